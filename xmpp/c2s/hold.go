package c2s

import (
	"context"

	"doorway/xmpp/stanza"
)

// hold keeps the acknowledgement of one stanza back while something that it
// caused is on its way to the disk.
type hold struct {
	n       uint32 // the stanza's number
	pending int    // releases to come
	st      *stanza.Stanza
	failed  bool
}

// Hold implements xmpp.Holder: it concerns the stanza that is being handled.
func (c *conn) Hold() (release func(error)) {
	c = c.latest()
	defer c.mu.Unlock()
	n := c.handled + 1
	var h *hold
	if k := len(c.holds); k > 0 && c.holds[k-1].n == n {
		h = c.holds[k-1]
	} else {
		h = &hold{n: n, st: c.current}
		c.holds = append(c.holds, h)
	}
	h.pending++
	return func(err error) { c.release(h, err) }
}

// release is called from any goroutine, the committer's mostly.
func (c *conn) release(h *hold, err error) {
	ctx := context.Background()
	c = c.latest()
	if h.pending == 0 {
		c.mu.Unlock()
		return
	}
	h.pending--
	if err != nil && !h.failed && h.st != nil {
		h.failed = true
		c.refuse(ctx, h.st, err)
	}
	k := 0
	for k < len(c.holds) && c.holds[k].pending == 0 {
		c.holds[k] = nil
		k++
	}
	if c.holds = c.holds[k:]; len(c.holds) == 0 {
		c.holds = nil
		if c.calm != nil {
			close(c.calm)
			c.calm = nil
		}
	}
	if m := c.sm; k > 0 && m != nil && m.owed && c.state == bound && int32(c.safe()-m.owedIn) >= 0 {
		c.answer(ctx)
	}
	c.mu.Unlock()
}

// refuse tells the sender that its stanza could not be kept. With mu held.
func (c *conn) refuse(ctx context.Context, st *stanza.Stanza, err error) {
	c.log().Error("store what a client sent", "user", c.account, "err", err)
	e := stanza.NewError(stanza.InternalServerError, "The server could not store this. Please send it again later.")
	reply := st.ErrorReply(e)
	if reply == nil || c.state >= parted {
		return
	}
	c.push(ctx, item{st: reply.WithTo(c.session().JID())})
}

// safe is the number of stanzas that need no more waiting. With mu held.
func (c *conn) safe() uint32 {
	if len(c.holds) == 0 {
		return c.handled
	}
	// Numbers are taken modulo 2^32; the oldest hold is the first.
	return c.holds[0].n - 1
}
