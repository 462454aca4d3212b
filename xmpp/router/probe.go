package router

import (
	"context"
	"fmt"
	"time"
)

// Probe returns when the session table's lock could be had, for the watchdog:
// somebody who hangs while holding it would starve every stanza. The error is
// that of ctx.
func (r *Router) Probe(ctx context.Context) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !r.mu.TryLock() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("router lock: %w", ctx.Err())
		case <-again.C:
		}
	}
	r.mu.Unlock()
	return nil
}
