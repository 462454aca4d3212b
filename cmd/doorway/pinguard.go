package main

import (
	"errors"
	"fmt"
	"time"

	"doorway/gateway/store"
)

// pinGuard keeps the journal of PIN attempts, so that a wrong PIN costs one
// attempt in the life of the box and not one for each restart.
type pinGuard struct{ table *store.Table }

type pinAttempt struct {
	V       int       `json:"v"`
	At      time.Time `json:"at"`
	Success bool      `json:"success"`
}

var errPINTried = errors.New("this PIN was already tried on this SIM and not accepted")

func (g pinGuard) key(sim, hash string) string { return sim + "\x00" + hash }

// Attempt writes the attempt down before the PIN is sent.
func (g pinGuard) Attempt(sim, hash string) error {
	var a pinAttempt
	found, err := g.table.Get(g.key(sim, hash), &a)
	if err != nil {
		return fmt.Errorf("look up PIN attempts: %w", err)
	}
	if found && !a.Success {
		return errPINTried
	}
	return g.table.Write(map[string]any{g.key(sim, hash): pinAttempt{V: 1, At: time.Now()}})
}

// Success says that the PIN was right, so that it may be used again.
func (g pinGuard) Success(sim, hash string) error {
	return g.table.Write(map[string]any{g.key(sim, hash): pinAttempt{V: 1, At: time.Now(), Success: true}})
}
