package c2s

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// promise makes a stream resumable and completes the answer to <enable/>
// (XEP-0198 §3, §5). The client may ask for less time than it would get.
func (c *conn) promise(m *management, t *xmlstream.Token, refusal string) string {
	lim := c.srv.lim.Resume
	if lim <= 0 {
		return refusal
	}
	if s, err := strconv.ParseUint(string(t.Attr("max")), 10, 31); err == nil && s > 0 && time.Duration(s)*time.Second < lim {
		m.max = time.Duration(s) * time.Second
		lim = m.max
	}
	id := rand.Text() // 130 bits
	m.resumable, m.key = true, hashed(id)
	c.srv.promise(m.key, c)
	return "<enabled xmlns='" + nsSM + "' id='" + id + "' resume='true' max='" + strconv.Itoa(max(1, int(lim/time.Second))) + "'/>"
}

// diskWait bounds how long a resumption waits until all that the client has
// sent is on disk. Only then is every stanza counted that was handled, and
// none of them is sent twice.
const diskWait = 10 * time.Second

// resume handles <resume/> (XEP-0198 §5). Done when the stream goes on with
// the session; else the client has been told and may bind.
func (n *negotiation) resume(b *batch, t *xmlstream.Token) (done bool, err error) {
	h, err := strconv.ParseUint(string(t.Attr("h")), 10, 32)
	previd := string(t.Attr("previd"))
	if err != nil || previd == "" {
		return false, n.write(smFailed("bad-request"))
	}
	key := hashed(previd)
	limit := time.Now().Add(diskWait)
	for {
		c, count, known := n.srv.find(key, n.account)
		if c == nil {
			return false, n.write(unknownStream(count, known))
		}
		c = c.latest()
		var wait <-chan struct{}
		left := time.Until(limit)
		switch {
		case c.account != n.account:
			c.mu.Unlock()
			return false, n.write(unknownStream(0, false))
		case c.run != nil && c.sm != nil && !c.sm.ended: // its connection, lost or not, has to let go of it
			wait, left = c.leaving(), n.srv.lim.Negotiation
		case c.state != detached:
			count := c.safe() - c.first
			c.mu.Unlock()
			return false, n.write(unknownStream(count, true))
		case len(c.holds) > 0 && left > 0:
			if c.calm == nil {
				c.calm = make(chan struct{})
			}
			wait = c.calm
		default:
			acked, err := n.take(c, uint32(h), previd)
			c.mu.Unlock()
			if errors.Is(err, errLeft) {
				n.srv.kicked()
				return false, n.write(unknownStream(0, false))
			}
			if err != nil {
				return false, err
			}
			n.srv.resumed(key, c, n.conn)
			n.carryOn(b, acked)
			return true, nil
		}
		c.mu.Unlock()
		if err := n.await(wait, left); err != nil {
			return false, err
		}
	}
}

// unknownStream says that there is nothing to resume, and what is still known.
func unknownStream(h uint32, known bool) string {
	attr := ""
	if known {
		attr = " h='" + number32(h) + "'"
	}
	return "<failed xmlns='" + nsSM + "'" + attr + "><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
}

// leaving ends a connection in favour of another and returns what is closed
// when it has let go of the session. With mu held.
func (c *conn) leaving() <-chan struct{} {
	if c.sm.freed == nil {
		c.sm.freed = make(chan struct{})
	}
	freed := c.sm.freed
	c.end(errResumed)
	return freed
}

// await waits for a channel to be closed, or for so long.
func (n *negotiation) await(c <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	case <-n.ctx.Done():
		if n.run.ctx.Err() == nil {
			return errSilent
		}
		return errStop
	}
	return nil
}

// errLeft says that the session has lost its resource to another stream.
var errLeft = errors.New("session has ended")

// take goes on with the session of d. What the client has is confirmed; the
// rest is queued again behind the answer, in order and unchanged, and what
// has come meanwhile behind that. With d.mu held.
func (n *negotiation) take(d *conn, h uint32, previd string) (acked []*stanza.Stanza, err error) {
	c := n.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != opening {
		return nil, errEnded
	}
	m := d.sm
	if acked, ok := m.confirm(h); ok {
		if !d.session().Move(c) {
			return nil, errLeft
		}
		c.inherit(d)
		q := queues.Get().(*queue)
		q.items = append(q.items, item{raw: "<resumed xmlns='" + nsSM + "' h='" + number32(c.safe()-c.first) +
			"' previd='" + xmlstream.Escaped(previd) + "'/>"})
		c.queued += q.items[0].size()
		for _, st := range m.unacked {
			q.items = append(q.items, item{st: st, mark: again})
		}
		if c.out != nil {
			q.items = append(q.items, c.out.items...)
			c.out.free()
		}
		c.out = q
		c.link.Watch(c)
		c.state = bound
		_ = c.link.SetReadDeadline(time.Time{}) // ignored: reading fails then
		return acked, nil
	}
	return nil, tooHigh(h, m.out)
}

// carryOn tells the modules. It runs before the reader does, so that what they
// send comes behind what is sent again.
func (c *conn) carryOn(b *batch, acked []*stanza.Stanza) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
			c.stop(errFault)
		}
	}()
	b.begin()
	c.session().Acked(b, acked...)
	c.session().Resumed(context.Context(b))
	b.flush()
}
