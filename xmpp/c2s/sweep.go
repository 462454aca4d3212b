package c2s

import (
	"context"
	"time"
)

// sweep is the one clock for all connections' timeouts. Its step is a part
// of the shortest of them, and never less than the machine would notice.
func (s *Server) sweep(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	l := &s.lim
	step := min(l.Element, l.Idle, l.Answer) / 4
	if l.Resume > 0 {
		step = min(step, l.Resume/4)
	}
	if l.Trim > 0 {
		step = min(step, l.Trim/2)
	}
	step = min(max(step, 10*time.Millisecond), 5*time.Second)
	tick := time.NewTicker(step)
	defer tick.Stop()
	var t trimmer
	var list []*conn
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			s.expire(time.Now())
			continue
		case <-tick.C:
		}
		now := time.Now()
		s.expire(now)
		s.mu.Lock()
		for c := range s.conns {
			list = append(list, c)
		}
		s.mu.Unlock()
		for _, c := range list {
			c.check(now)
		}
		clear(list)
		list = list[:0]
		if l.Trim > 0 {
			t.look(now, l.Trim)
		}
	}
}

// check looks after one connection's timeouts. Negotiation and writes have
// deadlines of their own.
func (c *conn) check(now time.Time) {
	l := &c.srv.lim
	heard, begun := c.heard.Load(), c.begun.Load()
	since := func(ns int64) time.Duration { return time.Duration(now.UnixNano() - ns) }
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m := c.sm; {
	case c.state != bound:
	case begun != 0 && since(begun) > l.Element:
		c.end(errEndless)
	case m != nil && m.asked && m.askedAt.UnixNano() > heard && now.Sub(m.askedAt) > l.Answer:
		c.end(errSilent)
	case c.pinged > heard && c.link.Echoes():
		if since(c.pinged) > l.Answer {
			c.end(errSilent)
		}
	case since(max(heard, c.pinged)) <= l.Idle:
	case m != nil && m.counting:
		if !m.asked {
			m.ask(now)
			c.pinged = now.UnixNano()
			c.push(context.Background(), item{raw: ackRequest})
		}
	default: // RFC 6120 §4.6.1: a space; TCP tells when nobody takes it
		c.pinged = now.UnixNano()
		c.push(context.Background(), item{raw: " "})
	}
}
