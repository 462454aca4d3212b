package c2s

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// run is one call of Serve or ServeLinks: it owns its connections' goroutines.
type run struct {
	srv *Server
	ctx context.Context
	wg  sync.WaitGroup
}

// Serve accepts clients until ctx ends, with direct TLS (XEP-0368) or with
// STARTTLS. It may be called for several listeners at once. When ctx ends it
// closes the listener, ends every stream with system-shutdown, waits for them
// (Limits.Closing, then one second more with the sockets closed) and returns
// nil. An error is the listener's.
func (s *Server) Serve(ctx context.Context, l net.Listener, direct bool) error {
	if direct && s.direct == nil {
		return errors.New("direct TLS without a TLS configuration")
	}
	r := s.enter(ctx)
	defer s.leave()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // ignored: it ends Accept, whatever it says
	defer stop()
	err := r.accept(l, direct)
	_ = l.Close() // ignored: nothing is accepted any more
	r.shutdown()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("listen on %s: %w", l.Addr(), err)
}

// ServeLinks serves clients on links that another package makes, until ctx
// ends; then it ends their streams as Serve does. Nobody else may use a link
// that it has received; it closes each.
func (s *Server) ServeLinks(ctx context.Context, links <-chan Link) {
	r := s.enter(ctx)
	defer s.leave()
	for {
		select {
		case l := <-links:
			if !s.admit(l.Addr()) {
				s.log.Debug("connection refused", "net", l.Addr(), "err", errCrowded)
				_ = l.Close() // ignored: it was not used
				continue
			}
			r.start(l, false)
		case <-ctx.Done():
			r.shutdown()
			return
		}
	}
}

// errCrowded says that too many connections wait for authentication.
var errCrowded = errors.New("too many connections that are not authenticated")

// Accept is tried again after errors such as a lack of descriptors, at first
// after firstPause, then up to lastPause.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

func (r *run) accept(l net.Listener, direct bool) error {
	pause := firstPause
	for {
		c, err := l.Accept()
		if err == nil {
			pause = firstPause
			r.welcome(c, direct)
			continue
		}
		if r.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return err
		}
		r.srv.log.Warn("accept a client", "net", l.Addr().String(), "err", err)
		t := time.NewTimer(pause)
		select {
		case <-r.ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// welcome starts a connection, or drops it when too many are waiting.
func (r *run) welcome(c net.Conn, direct bool) {
	addr := hostOf(c.RemoteAddr())
	if !r.srv.admit(addr) {
		r.srv.log.Debug("connection refused", "net", addr, "err", errCrowded)
		_ = c.Close() // ignored: it was not used
		return
	}
	l := newTCPLink(c, addr, r.srv.lim.PreAuth)
	l.tune(r.srv.lim.Stall + r.srv.lim.Answer)
	r.start(l, direct)
}

func (r *run) start(l Link, direct bool) {
	c := &conn{srv: r.srv, run: r, link: l, writing: true}
	c.heard.Store(time.Now().UnixNano())
	r.srv.mu.Lock()
	r.srv.conns[c] = struct{}{}
	r.srv.mu.Unlock()
	r.wg.Add(1)
	go c.serve(direct)
	if r.ctx.Err() != nil {
		c.stop(errStop) // shutdown may have missed it
	}
}

// done is a connection's last act.
func (r *run) done(c *conn) {
	_ = c.link.Close() // ignored: nothing is read or written any more
	c.mu.Lock()
	c.state = gone
	c.mu.Unlock()
	c.srv.mu.Lock()
	delete(c.srv.conns, c)
	c.srv.mu.Unlock()
	r.wg.Done()
}

// shutdown ends all connections of the run and waits for them, bounded.
func (r *run) shutdown() {
	each := func(f func(*conn)) {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		for c := range r.srv.conns {
			if c.run == r {
				f(c)
			}
		}
	}
	each(func(c *conn) { c.stop(errStop) })
	ended := make(chan struct{})
	go func() { r.wg.Wait(); close(ended) }()
	for _, wait := range []time.Duration{r.srv.lim.Closing, time.Second} {
		t := time.NewTimer(wait)
		select {
		case <-ended:
			t.Stop()
			return
		case <-t.C:
			each(func(c *conn) { _ = c.link.Close() }) // ignored: it is given up
		}
	}
	r.srv.log.Warn("clients are still being served after their connections were closed")
}

// admit counts a connection that is not authenticated; false: too many.
func (s *Server) admit(addr string) bool {
	key := limitKey(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending >= s.lim.Unauthenticated || s.waiting[key] >= s.lim.PerAddress {
		return false
	}
	s.pending++
	s.waiting[key]++
	return true
}

// admitted undoes admit, after authentication or at the end.
func (s *Server) admitted(addr string) {
	key := limitKey(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	if s.waiting[key]--; s.waiting[key] == 0 {
		delete(s.waiting, key)
	}
}

// limitKey is the unit in which addresses are counted: one IPv4 address, or
// the /64 that a single IPv6 subscriber has for itself.
func limitKey(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Unmap().Is4() {
		return addr
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return p.String()
}

// enter and leave bracket Serve and ServeLinks; the sweep runs in between.
func (s *Server) enter(ctx context.Context) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving++; s.serving == 1 {
		sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
		s.stop = stop
		s.swept = make(chan struct{})
		go s.sweep(sweeping, s.swept) // leave waits for it
	}
	return &run{srv: s, ctx: ctx}
}

func (s *Server) leave() {
	s.mu.Lock()
	s.serving--
	last := s.serving == 0
	swept := s.swept
	if last {
		s.stop()
	}
	s.mu.Unlock()
	if last {
		<-swept
		s.dismiss()
	}
}
