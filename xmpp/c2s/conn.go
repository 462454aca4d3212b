package c2s

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// state is how far a connection is.
type state uint8

const (
	opening state = iota // negotiation; it alone writes
	bound
	detached // a session whose link was lost: it has no goroutine, and nobody writes
	closing  // its reader has been told to say goodbye
	parted   // what was not delivered has gone back to the router, or to the heir
	gone     // the connection is closed
)

// conn is one client. It implements router.Stream and xmpp.Stream. What every
// stanza needs stands together.
type conn struct {
	srv  *Server
	link Link
	sess atomic.Pointer[router.Session]
	run  *run // nil while detached

	mu      sync.Mutex // guards what follows, but for the last
	state   state
	writing bool   // somebody writes, or will
	broken  bool   // writing has failed
	out     *queue // waits to be written
	flight  *queue // taken by the writer
	queued  int    // bytes of both
	flying  int    // bytes of flight
	batch   *batch // will flush
	sm      *management
	heir    *conn  // goes on with the session
	handled uint32 // stanzas handled since bind, modulo 2^32
	first   uint32 // handled when XEP-0198 was enabled
	current *stanza.Stanza
	holds   []*hold       // oldest first
	calm    chan struct{} // closed when holds is empty; nil: nobody waits for that
	idle    chan struct{}
	pinged  int64 // when the sweep last asked for a sign of life
	account jid.JID
	why     *stanza.StreamError // at closing: what the client is told, nil for an ordinary close
	lang    string              // xml:lang of the client's stream

	pace  pace         // belongs to the reader
	heard atomic.Int64 // when input came last, Unix nanoseconds
	begun atomic.Int64 // since when an element is incomplete; 0: none is
}

// latest locks the connection that stands for the session now.
func (c *conn) latest() *conn {
	c.mu.Lock()
	for c.heir != nil {
		h := c.heir
		c.mu.Unlock()
		c = h
		c.mu.Lock()
	}
	return c
}

var (
	_ router.Stream = (*conn)(nil)
	_ xmpp.Stream   = (*conn)(nil)
	_ xmpp.Absentee = (*conn)(nil)
	_ xmpp.Paced    = (*conn)(nil)
)

// Stream errors that the server brings up by itself. None is ever changed.
var (
	errSlow    = &stanza.StreamError{Condition: "policy-violation", Text: "This client does not read what it is sent."}
	errUnacked = &stanza.StreamError{Condition: "policy-violation", Text: "This client does not acknowledge what it is sent."}
	errStalled = &stanza.StreamError{Condition: "connection-timeout"}
	errSilent  = &stanza.StreamError{Condition: "connection-timeout", Text: "Nothing was heard of this client."}
	errEndless = &stanza.StreamError{Condition: "connection-timeout", Text: "An element took too long to arrive."}
	errFast    = &stanza.StreamError{Condition: "policy-violation", Text: "This client sends too much, too fast."}
	errStop    = &stanza.StreamError{Condition: "system-shutdown", Text: "The server is stopping. Please connect again later."}
	errResumed = &stanza.StreamError{Condition: "conflict", Text: "This session goes on in another stream."}
	errFault   = &stanza.StreamError{Condition: "internal-server-error"}
)

// errClosed says that the client has closed its stream.
var errClosed = errors.New("stream closed by the client")

// Close implements router.Stream: it tells the goroutine that reads to say
// goodbye, and never waits.
func (c *conn) Close(e *stanza.StreamError) {
	c = c.latest()
	c.end(e)
	c.mu.Unlock()
}

// stop is Close for this connection alone.
func (c *conn) stop(e *stanza.StreamError) {
	c.mu.Lock()
	c.end(e)
	c.mu.Unlock()
}

// end is Close with mu held.
func (c *conn) end(e *stanza.StreamError) {
	if c.state >= closing {
		return
	}
	if c.state == detached {
		c.srv.kicked()
	}
	c.state, c.why = closing, e
	_ = c.link.SetReadDeadline(longAgo) // ignored: then the read has failed already
}

// longAgo wakes a reader.
var longAgo = time.Unix(1, 0)

// Secure, Addr, Account, Session, Lang and Acks are what the router and the
// modules ask of a stream.
func (c *conn) Secure() bool { return c.link.Secure() }

func (c *conn) Addr() string { return c.link.Addr() }

func (c *conn) Account() jid.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account
}

func (c *conn) Session() xmpp.Session {
	if s := c.sess.Load(); s != nil {
		return s
	}
	return nil
}

func (c *conn) session() *router.Session { return c.sess.Load() }

// Lang is the xml:lang of the client's stream header (RFC 6120 §4.7.4).
func (c *conn) Lang() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lang
}

// Acks reports that the client acknowledges what it receives (XEP-0198).
func (c *conn) Acks() bool {
	c = c.latest()
	defer c.mu.Unlock()
	return c.sm != nil
}

// Absent reports that the session waits for its client to resume it.
func (c *conn) Absent() bool {
	c = c.latest()
	defer c.mu.Unlock()
	return c.state == detached
}

func (c *conn) log() *slog.Logger { return c.srv.log.With("net", c.link.Addr()) }

// recovered ends a connection whose goroutine has panicked; the process and
// everybody else go on.
func (c *conn) recovered() {
	p := recover()
	if p == nil {
		return
	}
	c.panicked(p)
	c.mu.Lock()
	c.broken = true
	c.rest()
	c.end(errFault)
	c.mu.Unlock()
}

func (c *conn) panicked(p any) {
	c.srv.panics.Add(1)
	c.log().Error("a connection's goroutine panicked; the connection ends", "err", p, "stack", string(debug.Stack()))
	if f := c.srv.cfg.Panicked; f != nil {
		f(p)
	}
}

// finish ends a bound connection. A session that may be resumed waits for its
// client then; of any other what did not arrive goes back to the router. The
// client is told, and the connection is closed. err is why the reader stopped.
func (c *conn) finish(b *batch, err error) {
	ctx := context.WithoutCancel(b.Context)
	b.flush() // answers to what the client sent before it closed
	e, reachable := c.verdict(err)
	keep := c.patience(e, reachable)
	if keep > 0 {
		c.promised()
	}
	c.mu.Lock()
	farewell := &queue{}
	if c.sm != nil && !c.broken {
		farewell.items = append(farewell.items, item{raw: c.ackXML()})
	}
	if e != nil {
		farewell.items = append(farewell.items, item{raw: e.XML()})
	}
	farewell.items = append(farewell.items, item{mark: ends})
	m := c.sm
	if m != nil {
		m.disarm()
	}
	d := c.detach(keep)
	var rest []*stanza.Stanza
	if d == nil {
		rest = c.undelivered()
	}
	c.state = parted
	reachable = reachable && !c.broken
	var wait chan struct{}
	if reachable {
		c.out = farewell
		if c.writing {
			if c.idle == nil {
				c.idle = make(chan struct{})
			}
			wait = c.idle
		} else {
			c.writing = true
		}
	}
	c.mu.Unlock()
	if e != nil {
		c.log().Debug("stream ended", "user", c.session().JID(), "err", e)
	}
	if d != nil {
		c.srv.detached(ctx, c, d)
	} else {
		b.begin()
		c.unbind(ctx, b, rest)
		b.flush()
		c.srv.ended(c)
	}
	if reachable {
		c.goodbye(wait, e != nil || errors.Is(err, errClosed))
	}
}

// unbind calls modules, whose panic must not keep the socket open.
func (c *conn) unbind(ctx context.Context, b *batch, rest []*stanza.Stanza) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
		}
	}()
	b.Context = ctx
	c.session().Unbind(b, rest)
}

// goodbye is the closing handshake (RFC 6120 §4.4), bounded: our last bytes,
// close_notify, then the client's.
func (c *conn) goodbye(wait chan struct{}, answered bool) {
	limit := time.Now().Add(c.srv.lim.Closing)
	if wait == nil {
		c.pump(true)
	} else {
		t := time.NewTimer(c.srv.lim.Closing)
		defer t.Stop()
		select {
		case <-wait:
		case <-t.C:
			return
		}
	}
	c.linger(limit, answered)
}

// linger waits for the client's side of the closing handshake; after an error
// nothing is left to say, so that it goes straight on to the end below XML.
// Closing a socket that holds unread input would throw away our last bytes at
// the peer.
func (c *conn) linger(limit time.Time, answered bool) {
	c.link.Watch(nil)
	_ = c.link.SetReadDeadline(limit) // ignored: the reads fail then
	for n := 0; !answered && n < lingerFrames; n++ {
		t, err := c.link.Next()
		answered = err != nil || t.Kind == xmlstream.StreamClose
	}
	_ = c.link.Shut(limit) // ignored: the connection is closed either way
}

// lingerFrames bounds what a client may still send while it is being closed.
const lingerFrames = 1000

// verdict turns the reader's error into what the client is told, and says
// whether there is a client to tell.
func (c *conn) verdict(err error) (e *stanza.StreamError, reachable bool) {
	c.mu.Lock()
	ended, why := c.state >= closing, c.why
	c.mu.Unlock()
	if errors.Is(err, errClosed) || errors.Is(err, errClosedNow) {
		return nil, true
	}
	if ended {
		return why, true
	}
	return streamError(err)
}
