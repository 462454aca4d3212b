// Package offline keeps messages for people who are not there (XEP-0160
// 1.0.1) and replays them, in order and with the time they were stored
// (XEP-0203 2.0), when one of their resources can take messages again.
//
// Kept are messages of type chat and normal that have a body or ask for it
// (<store/>, XEP-0334), unless they ask not to be (<no-store/>). Lone chat
// states are dropped without a word, everything else is refused by the router
// with service-unavailable.
//
// A row is erased only after the receiving stream has acknowledged it
// (XEP-0198) or, on a stream without acknowledgements, a minute after it was
// queued: a crash may deliver twice, but never lose. While an account's rows
// wait to be replayed, newer messages to its bare JID are stored behind them,
// so that nothing overtakes (RFC 6120 §10.1). All rows of a replay go to one
// resource; when it ends before it took them they go to the next.
//
// What is queued for a client whose link was lost (XEP-0198 §5) gets a row too
// until the client has acknowledged it, since the queue is in memory only.
//
// Run is the package's only goroutine, owned by its caller; replays happen in
// the goroutine of the stream that came online or acknowledged. XEP-0013
// (retrieval on request) is left out.
package offline

import (
	"context"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Defaults of Config.
const (
	DefaultMessages = 1000
	DefaultBytes    = 10 << 20
)

const (
	hintSpace  = "urn:xmpp:hints"                        // XEP-0334
	stateSpace = "http://jabber.org/protocol/chatstates" // XEP-0085
	delaySpace = "urn:xmpp:delay"                        // XEP-0203

	grace  = 60 * time.Second // from the flush to the erasure on a stream without XEP-0198
	forget = 10 * time.Minute // how long what a dead stream had is recognised when it comes back
	pause  = time.Second      // between bursts on a stream without XEP-0198
	window = 256 << 10        // bytes of a burst, well under a stream's queue

	prioLoad   = 50  // at Outbound presence, before the presence module (100) makes the resource available
	prioReplay = 200 // and after it
	prioBehind = 900 // at Inbound messages, after blocking and archives
	prioStore  = 100 // at Offline
	prioCopy   = 900 // at Deliver messages, before client state indication
)

// unread marks a session that came online while the table could not be read.
var unread = xmpp.Key{Name: "offline unread"}

// Config bounds what is kept. Zero fields mean the defaults.
type Config struct {
	Messages int              // for each account
	Bytes    int              // of XML for each account
	Now      func() time.Time // nil means time.Now
}

// Module is XEP-0160. Safe for concurrent use after Load.
type Module struct {
	conf  Config
	host  xmpp.Host
	table xmpp.Table
	kick  chan struct{} // one place: something is due earlier than Run knows

	mu    sync.Mutex // guards boxes
	boxes map[jid.JID]*mailbox
}

// New makes the module.
func New(c Config) *Module {
	if c.Messages == 0 {
		c.Messages = DefaultMessages
	}
	if c.Bytes == 0 {
		c.Bytes = DefaultBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Module{conf: c, kick: make(chan struct{}, 1), boxes: make(map[jid.JID]*mailbox)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "offline", Specs: []xmpp.Spec{
		{Doc: "XEP-0160", Version: "1.0.1", Title: "Best Practices for Handling Offline Messages"},
		{Doc: "XEP-0203", Version: "2.0", Title: "Delayed Delivery"},
		{Doc: "XEP-0334", Version: "1.0.0", Title: "Message Processing Hints"},
	}}
}

// Load registers the hooks; rows live in the table "offline".
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table("offline")
	h.Feature(xmpp.ToHost, "msgoffline")
	h.Message(xmpp.Offline, prioStore, m.store)
	h.Message(xmpp.Inbound, prioBehind, m.behind)
	h.Message(xmpp.Acked, prioStore, m.acked)
	h.Message(xmpp.Deliver, prioCopy, m.copy)
	h.Presence(xmpp.Outbound, prioLoad, m.expect)
	h.Presence(xmpp.Outbound, prioReplay, m.arrived)
	h.Session(m.session)
	return nil
}

// Run erases rows whose minute has passed and goes on with long replays,
// until ctx ends.
func (m *Module) Run(ctx context.Context) error {
	timer := time.NewTimer(forget)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.kick:
		case <-timer.C:
		}
		wait := forget
		if next := m.tick(ctx); !next.IsZero() {
			wait = max(0, next.Sub(m.conf.Now()))
		}
		timer.Reset(wait)
	}
}

// tick does what is due in every mailbox and returns the next time.
func (m *Module) tick(ctx context.Context) (next time.Time) {
	m.mu.Lock()
	boxes := make([]*mailbox, 0, len(m.boxes))
	for _, b := range m.boxes {
		boxes = append(boxes, b)
	}
	m.mu.Unlock()
	for _, b := range boxes {
		if t := b.tick(ctx); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// wake has Run look again.
func (m *Module) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// fate of a message nobody is there to take.
type fate uint8

const (
	refuse fate = iota // not ours: the router says service-unavailable
	keep
	drop
)

// fateOf applies XEP-0160 §3 and the hints of XEP-0334.
func fateOf(st *stanza.Stanza) fate {
	switch st.Type {
	case "headline", "groupchat", stanza.TypeError:
		return refuse
	}
	switch {
	case st.HasChild(hintSpace, "no-store"):
		return refuse
	case st.HasChild("", "body"), st.HasChild(hintSpace, "store"):
		return keep
	case onlyState(st):
		return drop
	}
	return refuse
}

// onlyState reports a message that says no more than "is typing" (XEP-0085 §5.5).
func onlyState(st *stanza.Stanza) bool {
	found := false
	for _, e := range st.Elements() {
		switch {
		case e.Name.Space == stateSpace:
			found = true
		case e.Name.Local != "thread" && e.Name.Space != hintSpace:
			return false
		}
	}
	return found
}

// store is the Offline hook.
func (m *Module) store(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	switch fateOf(d.Stanza) {
	case refuse:
		return xmpp.Pass, nil
	case drop:
		return xmpp.Done, nil
	}
	_, err := m.put(ctx, d, false)
	return xmpp.Done, err
}

// behind is the Inbound hook: nothing overtakes what waits to be replayed,
// and what came back from a dead stream while its row still stands is dropped.
func (m *Module) behind(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	owner := st.To.Bare()
	b := m.peek(owner)
	if b == nil || !d.Exists {
		return xmpp.Pass, nil
	}
	if d.Again && b.has(st) {
		b.pump(ctx)
		return xmpp.Done, nil
	}
	if !b.waiting() || fateOf(st) != keep || !m.toBare(st) {
		return xmpp.Pass, nil
	}
	stored, err := m.put(ctx, d, true)
	if err != nil || !stored {
		return xmpp.Pass, err
	}
	return xmpp.Done, nil
}

// toBare reports that RFC 6121 §8.5 treats the message as one to the bare JID.
func (m *Module) toBare(st *stanza.Stanza) bool {
	if !st.To.IsFull() {
		return true
	}
	if st.Type != "chat" {
		return false
	}
	for _, s := range m.host.Sessions(st.To) {
		if s.JID() == st.To {
			return false
		}
	}
	return true
}

// takes reports a resource that gets messages to the bare JID.
func takes(s xmpp.Session) bool {
	st, prio := s.Presence()
	return st != nil && prio >= 0
}

// expect loads the mailbox before the resource becomes available, so that a
// live message from then on finds what it must not overtake.
func (m *Module) expect(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	s := d.Sender
	if s == nil || !d.Stanza.To.IsZero() || d.Stanza.Type != "" || takes(s) && s.Value(&unread) == nil {
		return xmpp.Pass, nil
	}
	if _, err := m.box(s.JID().Bare()); err != nil {
		// The person must get online all the same; the next presence tries again.
		s.SetValue(&unread, true)
		m.host.Log().Error("offline messages cannot be read", "comp", "offline", "user", s.JID().Bare().String(), "err", err)
		return xmpp.Pass, nil
	}
	s.SetValue(&unread, nil)
	return xmpp.Pass, nil
}

// arrived replays after the presence module has made the resource available.
func (m *Module) arrived(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if d.Sender != nil && d.Stanza.To.IsZero() && d.Stanza.Type == "" {
		m.Available(ctx, d.Sender)
	}
	return xmpp.Pass, nil
}

// Available replays what waits for the session's account, if the session
// takes messages. The hooks call it on every presence broadcast; a second
// call does no harm.
func (m *Module) Available(ctx context.Context, s xmpp.Session) {
	if !takes(s) {
		return
	}
	if b := m.peek(s.JID().Bare()); b != nil {
		b.pump(ctx)
	}
}

// session takes back what a session had not acknowledged.
func (m *Module) session(ctx context.Context, e xmpp.SessionEvent) {
	if e.Kind != xmpp.SessionClosed {
		return
	}
	if b := m.peek(e.Session.JID().Bare()); b != nil {
		b.lost(e.Session)
		b.pump(ctx)
	}
}

// acked erases the rows of what has arrived.
func (m *Module) acked(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if b := m.peek(d.Session.JID().Bare()); b != nil && b.arrived(d.Session, d.Stanza, d.More) {
		b.pump(ctx)
	}
	return xmpp.Pass, nil
}
