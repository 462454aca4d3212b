// Package csi spares phones that nobody looks at: a client says whether it is
// active, and an inactive one gets only what cannot wait (XEP-0352 1.0).
//
// For an inactive client the newest presence of each full JID is held, and the
// newest event of each item of a personal node (XEP-0163); lone chat states
// (XEP-0085) are dropped, carbon copies of them too. Everything else goes out at
// once, behind what was held until then, so that nothing changes its order: IQs,
// messages with a body, errors, and one's own presence in a room (XEP-0045
// §7.2.2). So does everything held when the client is active again, when its
// stream is resumed (XEP-0198 §5), or when too much has gathered.
//
// The package starts no goroutine. A session that is active has no state here.
package csi

import (
	"context"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

const (
	ns   = "urn:xmpp:csi:0"
	prio = 1000 // at Deliver, the last one before the queue

	// What is held for one session goes out when it is more than this.
	maxHeld  = 500
	maxBytes = 256 << 10
)

// key finds the state of an inactive session.
var key = xmpp.Key{Name: "csi"}

// Module is XEP-0352. Safe for concurrent use after Load.
type Module struct{}

var _ xmpp.Module = (*Module)(nil)

// New makes the module.
func New() *Module { return &Module{} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "csi", Specs: []xmpp.Spec{{Doc: "XEP-0352", Version: "1.0.0", Title: "Client State Indication"}}}
}

// Load registers the feature and the hooks.
func (m *Module) Load(h xmpp.Host) error {
	h.StreamFeature(xmpp.StreamFeature{
		Name: stanza.Name{Space: ns, Local: "csi"}, Phase: xmpp.PostAuth, Inline: true,
		Offer:  func(xmpp.Stream) string { return "<csi xmlns='" + ns + "'/>" },
		Handle: m.handle,
	})
	for _, register := range []func(xmpp.Point, int, xmpp.Hook){h.Message, h.Presence, h.IQHook} {
		register(xmpp.Deliver, prio, m.deliver)
	}
	h.Session(func(ctx context.Context, e xmpp.SessionEvent) {
		if e.Kind == xmpp.SessionResumed {
			activate(ctx, e.Session)
		}
	})
	return nil
}

// Inactive reports that the session's client said that nobody looks at it.
func (*Module) Inactive(s xmpp.Session) bool {
	p := stateOf(s)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.active
}

// handle takes <active/> and <inactive/> (XEP-0352 §4).
func (*Module) handle(ctx context.Context, st xmpp.Stream, el stanza.Element) (string, error) {
	s := st.Session()
	switch {
	case el.Name.Local != "active" && el.Name.Local != "inactive":
		return "", &stanza.StreamError{Condition: "unsupported-stanza-type"}
	case s == nil: // before bind there is nothing to hold
	case el.Name.Local == "active":
		activate(ctx, s)
	default:
		if p := stateOf(s); p == nil || !p.rest() {
			s.SetValue(&key, &state{})
		}
	}
	return "", nil
}

func stateOf(s xmpp.Session) *state {
	p, _ := s.Value(&key).(*state)
	return p
}

// activate sends what is held and ends the state.
func activate(ctx context.Context, s xmpp.Session) {
	if p := stateOf(s); p != nil {
		p.mu.Lock()
		p.active = true
		p.flush(ctx, s, nil)
	}
}

// deliver holds, drops or passes what comes for a session.
func (*Module) deliver(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	p := stateOf(d.Session)
	if p == nil {
		return xmpp.Pass, nil
	}
	what, name := classify(d.Stanza)
	p.mu.Lock()
	switch {
	case p.active && !p.busy:
	case what == drop && !p.active:
		p.mu.Unlock()
		return xmpp.Done, nil
	case what == hold && !p.active:
		if p.hold(name, d.Stanza) {
			p.mu.Unlock()
		} else {
			p.flush(ctx, d.Session, nil)
		}
		return xmpp.Done, nil
	case p.busy || len(p.held) > 0:
		p.flush(ctx, d.Session, d.Stanza)
		return xmpp.Done, nil
	}
	p.mu.Unlock()
	return xmpp.Pass, nil
}

// state is what is held for an inactive session.
type state struct {
	mu     sync.Mutex // guards what follows; a leaf but for Session.SetValue
	active bool       // nothing is held any more
	held   []held
	bytes  int
	busy   bool             // a goroutine sends
	out    []*stanza.Stanza // what it is to send next
	over   bool             // the state has ended
}

// held is a stanza that waits.
type held struct {
	name name
	st   *stanza.Stanza
}

// rest makes a state inactive that was about to end; false when it has ended.
func (p *state) rest() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.active = false
	}
	return !p.over
}

// hold keeps a stanza in the place of an older one of the same name; false when
// that is too much. Needs the lock.
func (p *state) hold(n name, st *stanza.Stanza) bool {
	p.bytes += st.Size()
	for i := range p.held {
		if p.held[i].name == n {
			p.bytes -= p.held[i].st.Size()
			p.held[i].st = st
			return p.bytes <= maxBytes
		}
	}
	p.held = append(p.held, held{n, st})
	return p.bytes <= maxBytes && len(p.held) <= maxHeld
}

// flush sends what is held and then the given stanza, if any, without the lock:
// in this goroutine, or in the one that is at it. It unlocks.
func (p *state) flush(ctx context.Context, s xmpp.Session, then *stanza.Stanza) {
	defer p.mu.Unlock()
	for _, h := range p.held {
		p.out = append(p.out, h.st)
	}
	p.held, p.bytes = nil, 0
	if then != nil {
		p.out = append(p.out, then)
	}
	if p.busy {
		return
	}
	p.busy = true
	defer func() { p.busy = false }()
	for len(p.out) > 0 {
		list := p.out
		p.out = nil
		func() {
			p.mu.Unlock()
			defer p.mu.Lock() // also when a send panics
			for _, st := range list {
				s.Send(ctx, st)
			}
		}()
	}
	if p.active && !p.over {
		p.over = true
		s.SetValue(&key, nil)
	}
}
