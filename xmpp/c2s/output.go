package c2s

import (
	"context"
	"slices"
	"sync"
	"time"

	"doorway/xmpp/stanza"
)

// item is one frame to write: a stanza or ready XML.
type item struct {
	st   *stanza.Stanza
	raw  string
	mark mark
}

// mark tells what else an item means.
type mark uint8

const (
	plain   mark = iota
	starts       // acknowledgements count from the next stanza on (XEP-0198 §3)
	ends         // the stream's closing tag, raw is empty
	counted      // a stanza that the client will acknowledge
	again        // one of those, to be written once more (XEP-0198 §5); not charged
	framed       // raw is a frame as the link wants it
)

func (it item) size() int {
	if it.st != nil {
		return it.st.Size()
	}
	return len(it.raw)
}

// queue is what waits to be written; borrowed while there is something.
type queue struct{ items []item }

var queues = sync.Pool{New: func() any { return &queue{items: make([]item, 0, 4)} }}

func (q *queue) free() {
	clear(q.items)
	if q.items = q.items[:0]; cap(q.items) <= 512 { // as many presences as Pace lets gather
		queues.Put(q)
	}
}

// size is about what the queue takes on the wire.
func (q *queue) size() int {
	n := 0
	for _, it := range q.items {
		n += it.size()
	}
	return n
}

// writes lends the buffers in which frames are put together.
var writes = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

const (
	// writeBatch is where one write ends, in bytes: what is in flight comes
	// back when the client turns out to be gone.
	writeBatch = 64 << 10
	// helping is how many writes a reader makes for a connection that others
	// keep filling, before it leaves that to a writer.
	helping = 4
	// askEvery is how many unacknowledged stanzas other than messages may
	// gather before the client is asked.
	askEvery = 10
)

// Send implements router.Stream.
func (c *conn) Send(ctx context.Context, st *stanza.Stanza) {
	c = c.latest()
	if c.state >= parted { // what comes too late goes back, never lost
		c.mu.Unlock()
		c.session().Unbind(ctx, []*stanza.Stanza{st})
		return
	}
	if c.state == detached {
		st = c.session().Delayed(st, time.Now())
	}
	c.push(ctx, item{st: st})
	c.mu.Unlock()
}

// send queues ready XML.
func (c *conn) send(ctx context.Context, raw string) {
	c.mu.Lock()
	if c.state < parted {
		c.push(ctx, item{raw: raw})
	}
	c.mu.Unlock()
}

// push queues an item and sees to it that somebody writes. With mu held.
func (c *conn) push(ctx context.Context, it item) {
	if c.state == detached && it.st == nil {
		return // it belonged to the stream that was lost
	}
	if c.out == nil {
		c.out = queues.Get().(*queue)
	}
	c.out.items = append(c.out.items, it)
	c.queued += it.size()
	if c.queued > c.srv.lim.Queue || c.state == detached && len(c.out.items) > c.srv.lim.Absent {
		c.end(errSlow)
		return
	}
	if c.writing || c.state == closing {
		return
	}
	if b := batchOf(ctx); b != nil && c.queued < writeBatch && (c.batch == b || b.add(c)) {
		c.batch = b
		return
	}
	c.writing = true
	c.spawn()
}

// spawn starts a writer, which Serve waits for. With mu held and writing set.
func (c *conn) spawn() {
	if c.state == gone {
		c.rest()
		return
	}
	c.run.wg.Add(1)
	go func() {
		defer c.run.wg.Done()
		defer c.recovered()
		c.pump(true)
	}()
}

// flush writes what is queued, unless somebody does so already.
func (c *conn) flush() {
	c.mu.Lock()
	if c.writing || c.out == nil || c.state == closing {
		c.batch = nil
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	c.pump(false)
}

// paceFrom is how many bytes may be queued before Pace waits for the client.
const paceFrom = writeBatch

// Pace implements xmpp.Paced.
func (c *conn) Pace() {
	c = c.latest()
	switch {
	case c.state != bound || c.queued < paceFrom:
		c.mu.Unlock()
	case !c.writing:
		c.writing = true
		c.mu.Unlock()
		c.pump(true)
	default:
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		<-idle // the writer ends, or fails after Limits.Stall
	}
}

// pump writes until the queue is empty. Its caller has set writing. Unless
// mayWait it never waits for the client but leaves the rest to a writer.
func (c *conn) pump(mayWait bool) {
	if mayWait {
		if err := c.link.Drain(c.stall()); err != nil {
			c.fail(err)
			return
		}
		c.landed()
	}
	for round := 0; ; round++ {
		if !mayWait && round == helping {
			c.mu.Lock()
			c.spawn()
			c.mu.Unlock()
			return
		}
		q := c.take()
		if q == nil {
			return
		}
		buf := writes.Get().(*[]byte)
		b := slices.Grow((*buf)[:0], q.size())
		for i := range q.items {
			switch it := &q.items[i]; {
			case it.st != nil:
				b = c.link.AppendStanza(b, it.st)
			case it.mark == ends:
				b = c.link.AppendClose(b)
			case it.mark == framed:
				b = append(b, it.raw...)
			default:
				b = c.link.AppendXML(b, it.raw)
			}
		}
		kept, err := c.link.Write(b)
		if *buf = b[:0]; cap(b) <= 2*writeBatch {
			writes.Put(buf)
		}
		switch {
		case err != nil:
			c.fail(err)
			return
		case kept == 0:
			c.landed()
		case mayWait:
			if err := c.link.Drain(c.stall()); err != nil {
				c.fail(err)
				return
			}
			c.landed()
		default:
			c.mu.Lock()
			c.spawn()
			c.mu.Unlock()
			return
		}
	}
}

// take moves the next frames from the queue to the wire's side; nil ends the
// writing. With acknowledgements on it adds the request for one.
func (c *conn) take() *queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.out
	c.batch = nil
	if q == nil || c.broken {
		c.rest()
		return nil
	}
	c.out = nil
	n, free, ask := 0, 0, false // free: of n not charged
	for i := range q.items {
		it := &q.items[i]
		if n += it.size(); n > writeBatch && i > 0 {
			rest := queues.Get().(*queue)
			rest.items = append(rest.items, q.items[i:]...)
			clear(q.items[i:])
			q.items = q.items[:i]
			c.out = rest
			n -= it.size()
			break
		}
		switch {
		case it.mark == starts:
			c.sm.counting = true
		case it.mark == again:
			it.mark, ask = counted, true
			free += it.size()
			continue
		}
		if it.st != nil && c.sm != nil && c.sm.counting {
			c.sm.sent(it.st)
			it.mark = counted
			ask = ask || it.st.Kind == stanza.Message
		}
	}
	if c.sm != nil && c.sm.wants(ask) {
		q.items = append(q.items, item{raw: ackRequest})
		c.sm.ask(time.Now())
		c.queued += len(ackRequest)
		n += len(ackRequest)
	}
	c.flight, c.flying = q, n-free
	if c.sm != nil && c.sm.over(&c.srv.lim) {
		c.end(errUnacked)
	}
	return q
}

// landed says that the kernel has all that was taken.
func (c *conn) landed() {
	c.mu.Lock()
	if q := c.flight; q != nil {
		c.flight = nil
		c.queued -= c.flying
		q.free()
	}
	c.mu.Unlock()
}

// fail ends a connection that cannot be written to any more.
func (c *conn) fail(err error) {
	c.log().Debug("write to client", "err", err)
	c.mu.Lock()
	c.broken = true
	c.rest()
	c.end(errStalled)
	c.mu.Unlock()
}

// rest says that nobody writes now. With mu held.
func (c *conn) rest() {
	c.writing = false
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// stall is how long a write may stand still.
func (c *conn) stall() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state >= closing {
		return min(c.srv.lim.Closing, c.srv.lim.Stall)
	}
	return c.srv.lim.Stall
}

// undelivered returns, in order, the stanzas of which nobody knows that they
// have arrived, and forgets them. With mu held.
func (c *conn) undelivered() []*stanza.Stanza {
	var list []*stanza.Stanza
	if c.sm != nil {
		list = append(list, c.sm.unacked...)
		c.sm.unacked, c.sm.bytes = nil, 0
	}
	for _, q := range []*queue{c.flight, c.out} {
		if q == nil {
			continue
		}
		for _, it := range q.items {
			if it.st != nil && it.mark == plain { // the others are among the unacknowledged
				list = append(list, it.st)
			}
		}
	}
	if c.out != nil {
		c.out.free()
		c.out = nil
		c.queued = c.flying
	}
	return list
}
