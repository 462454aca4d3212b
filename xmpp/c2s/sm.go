package c2s

import (
	"context"
	"slices"
	"strconv"
	"time"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// ackRequest asks the client to acknowledge (XEP-0198 §4).
const ackRequest = "<r xmlns='" + nsSM + "'/>"

// management is the state of XEP-0198 on a stream; nil until it is enabled.
// Guarded by conn.mu. With the session it goes from one connection to the next.
type management struct {
	counting  bool // <enabled/> has been written: what follows is counted
	resumable bool // the client was given an id

	unacked []*stanza.Stanza // written and not yet acknowledged, oldest first
	bytes   int              // their size
	out     uint32           // written since <enabled/>, modulo 2^32

	asked   bool      // a request is waiting for its answer
	askedAt time.Time // when
	askedOf uint32    // out at that time

	owed   bool   // the client has asked and was not yet answered
	owedIn uint32 // conn.handled at that time
	timer  *time.Timer

	key   secret        // of the id
	max   time.Duration // how long the client wants to be able to resume; 0: as long as it may
	lost  time.Time     // while detached: since when
	until time.Time     // and how long
	ended bool          // there is no session any more
	freed chan struct{} // closed when the connection has let go of the session; nil: nobody waits for that
}

// disarm ends what belongs to one stream.
func (m *management) disarm() {
	if m.timer != nil {
		m.timer.Stop()
	}
	m.timer, m.owed, m.asked = nil, false, false
}

// confirm takes the client's count and returns what has arrived; false when it
// counts more than was sent.
func (m *management) confirm(h uint32) ([]*stanza.Stanza, bool) {
	n := h - (m.out - uint32(len(m.unacked))) // modulo 2^32, XEP-0198 §4
	if n > uint32(len(m.unacked)) {
		return nil, false
	}
	done := slices.Clone(m.unacked[:n])
	for _, st := range done {
		m.bytes -= st.Size()
	}
	clear(m.unacked[:n])
	if m.unacked = m.unacked[n:]; len(m.unacked) == 0 {
		m.unacked = nil
	}
	return done, true
}

func tooHigh(h, sent uint32) error {
	return &stanza.StreamError{Condition: "undefined-condition", App: "<handled-count-too-high xmlns='" + nsSM +
		"' h='" + number32(h) + "' send-count='" + number32(sent) + "'/>"}
}

func number32(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// sent counts a stanza that is being written.
func (m *management) sent(st *stanza.Stanza) {
	m.unacked = append(m.unacked, st)
	m.bytes += st.Size()
	m.out++
}

// wants reports that the client should be asked: after a message, or when
// much has gathered. One request at a time.
func (m *management) wants(message bool) bool {
	return m.counting && !m.asked && (message || len(m.unacked) >= askEvery)
}

func (m *management) ask(now time.Time) { m.asked, m.askedAt, m.askedOf = true, now, m.out }

func (m *management) over(l *Limits) bool {
	return m.bytes > l.UnackedBytes || len(m.unacked) > l.Unacked
}

// manage handles an element of XEP-0198.
func (c *conn) manage(ctx context.Context, t *xmlstream.Token) error {
	switch t.Name.Local {
	case "enable":
		c.enable(ctx, t)
	case "resume": // XEP-0198 §5: instead of bind
		c.send(ctx, smFailed("unexpected-request"))
	case "r":
		c.mu.Lock()
		if c.sm != nil {
			c.owe(ctx)
		}
		c.mu.Unlock()
	case "a":
		return c.acked(ctx, t)
	default:
		return &stanza.StreamError{Condition: "unsupported-stanza-type"}
	}
	return nil
}

func smFailed(condition string) string {
	return "<failed xmlns='" + nsSM + "'><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
}

func (c *conn) enable(ctx context.Context, t *xmlstream.Token) {
	if c.Acks() {
		c.send(ctx, smFailed("unexpected-request"))
		return
	}
	m, answer := &management{}, "<enabled xmlns='"+nsSM+"'/>"
	if r := string(t.Attr("resume")); r == "true" || r == "1" {
		answer = c.promise(m, t, answer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sm = m
	c.first = c.handled
	c.push(ctx, item{raw: answer, mark: starts})
}

// acked takes the client's count: what it covers has arrived.
func (c *conn) acked(ctx context.Context, t *xmlstream.Token) error {
	h, err := strconv.ParseUint(string(t.Attr("h")), 10, 32)
	if err != nil {
		return &stanza.StreamError{Condition: "bad-format", Text: "The h of an acknowledgement is a number below 4294967296.", Err: err}
	}
	c.mu.Lock()
	m := c.sm
	if m == nil {
		c.mu.Unlock()
		return &stanza.StreamError{Condition: "unsupported-stanza-type", Text: "Acknowledgements have not been enabled."}
	}
	done, ok := m.confirm(uint32(h))
	if !ok {
		sent := m.out
		c.mu.Unlock()
		return tooHigh(uint32(h), sent)
	}
	if m.asked = false; len(m.unacked) > 0 && m.out != m.askedOf { // more was written after the request
		m.ask(time.Now())
		c.push(ctx, item{raw: ackRequest})
	}
	c.mu.Unlock()
	c.session().Acked(ctx, done...)
	return nil
}

// ackWait is how long an acknowledgement waits for the disk before it tells
// what is safe so far.
const ackWait = time.Second

// owe answers a request at once when everything handled is safe, else as
// soon as it is, but within ackWait. With mu held.
func (c *conn) owe(ctx context.Context) {
	m := c.sm
	if c.safe() == c.handled {
		c.answer(ctx)
		return
	}
	if m.owedIn = c.handled; m.owed {
		return
	}
	m.owed = true
	if m.timer == nil {
		m.timer = time.AfterFunc(ackWait, c.answerNow)
	} else {
		m.timer.Reset(ackWait)
	}
}

func (c *conn) answerNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sm != nil && c.sm.owed && c.state == bound {
		c.answer(context.Background())
	}
}

// answer queues <a/>. With mu held.
func (c *conn) answer(ctx context.Context) {
	if c.sm.owed {
		c.sm.owed = false
		c.sm.timer.Stop()
	}
	c.push(ctx, item{raw: c.ackXML()})
}

// ackXML is the acknowledgement of what is safe. With mu held.
func (c *conn) ackXML() string {
	return "<a xmlns='" + nsSM + "' h='" + number32(c.safe()-c.first) + "'/>"
}
