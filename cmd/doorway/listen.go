package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"doorway/gateway/health"
)

// listeners opens TCP listeners; those that the service manager passed
// (sd_listen_fds(3)) replace equal addresses.
type listeners struct {
	log    *slog.Logger
	health *health.Health

	mu        sync.Mutex // guards inherited
	inherited map[string]net.Listener
	// tried counts down as each listener has been tried once.
	tried sync.WaitGroup
}

func newListeners(log *slog.Logger, h *health.Health) (*listeners, error) {
	l := &listeners{log: log, health: h, inherited: map[string]net.Listener{}}
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the service manager's sockets: %w", err)
	}
	for _, p := range passed {
		if p != nil {
			l.inherited[p.Addr().String()] = p
		}
	}
	return l, nil
}

// open opens one address now.
func (l *listeners) open(addr string) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for have, ln := range l.inherited {
		if sameAddress(have, addr) {
			delete(l.inherited, have)
			return ln, nil
		}
	}
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &portTaken{addr, err}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}

// portTaken is a sentence that names the port.
type portTaken struct {
	addr string
	err  error
}

func (e *portTaken) Error() string {
	return fmt.Sprintf("another program already listens on %s. Stop it (`ss -ltnp` shows which one it is), or choose another address", e.addr)
}
func (e *portTaken) Unwrap() error { return e.err }

// sameAddress compares host and port; an empty host, 0.0.0.0 and :: are all "everywhere".
func sameAddress(a, b string) bool {
	ha, pa, err1 := net.SplitHostPort(a)
	hb, pb, err2 := net.SplitHostPort(b)
	anywhere := func(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }
	return err1 == nil && err2 == nil && pa == pb && (ha == hb || anywhere(ha) && anywhere(hb))
}

// serve opens addr, again and again while it cannot be had, and serves it
// with f until ctx ends. Everything else goes on meanwhile.
func (l *listeners) serve(ctx context.Context, what, addr string, f func(context.Context, net.Listener) error) error {
	name := "listener " + addr
	first := true
	tried := func() {
		if first {
			l.tried.Done()
		}
		first = false
	}
	defer tried()
	for {
		ln, err := l.open(addr)
		if err == nil {
			l.health.Clear(name)
			l.log.Info("listening", "comp", what, "addr", ln.Addr().String())
			tried()
			return f(ctx, ln)
		}
		if l.health.Set(name, health.Failure, fmt.Sprintf("%s is not reachable: %v. doorway tries again every ten seconds.", what, err)) {
			l.log.Error("cannot listen", "comp", what, "addr", addr, "err", err)
		}
		tried()
		timer := time.NewTimer(10 * time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
