package presence

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// available is a broadcast of available presence (RFC 6121 §4.2, §4.4): to the
// contacts that see the user and to the user's own available resources, this
// one included. The first one of a presence session also brings what the
// resource may see.
func (m *Module) available(ctx context.Context, s xmpp.Session, p *state, st *stanza.Stanza, priority int8) {
	// Set first: a contact that comes online meanwhile finds it.
	initial, ok := p.rise(s, st, priority)
	if !ok {
		return
	}
	m.broadcast(ctx, s.JID().Bare(), st)
	if initial {
		m.collect(ctx, s)
	}
}

// Refresh implements xmpp.Presences. It is queued behind broadcasts that have
// begun, and may then be made by the goroutine that is at them.
func (m *Module) Refresh(ctx context.Context, s xmpp.Session, f func(*stanza.Stanza) *stanza.Stanza) {
	p := stateOf(s)
	if p == nil {
		return
	}
	p.do(func() {
		if st, priority := s.Presence(); st != nil {
			m.available(ctx, s, p, f(st), priority)
		}
	})
}

// broadcast sends a presence to contacts with from or both and to the user's
// available resources. All receivers share its content.
func (m *Module) broadcast(ctx context.Context, user jid.JID, st *stanza.Stanza) {
	losses := m.losses()
	m.subs.Contacts(user, func(contact jid.JID, subscription string) {
		if subscription == "from" || subscription == "both" {
			m.tell(ctx, st, contact)
			if st.Type == "" {
				m.retract(ctx, st.From, contact, losses)
			}
		}
	})
	m.tell(ctx, st, user)
}

// unavailable ends a presence session (RFC 6121 §4.5), by the client's own
// presence or, with closed, because the stream has ended: everybody is told who
// got available presence, by subscription or directly (§4.6.3), once.
func (m *Module) unavailable(ctx context.Context, s xmpp.Session, p *state, st *stanza.Stanza, closed bool) {
	was, directed := p.fall(s, st, closed)
	user := s.JID().Bare()
	if was {
		m.broadcast(ctx, user, st)
		if !closed {
			m.host.Deliver(ctx, s, st.WithTo(user)) // it is no longer among the available ones
		}
	}
	for _, to := range directed {
		if !was || !m.reached(user, to) {
			m.host.Send(ctx, st.WithTo(to), quiet)
		}
	}
}

// reached reports that a broadcast of user's comes to an address.
func (m *Module) reached(user, to jid.JID) bool {
	switch {
	case !m.subs.SeesPresence(user, to):
		return false
	case to.IsBare():
		return true
	case !m.local(to):
		return false // the contact's server or room decides; it was told at another address
	}
	for _, s := range m.host.Sessions(to.Bare()) {
		if s.JID() == to {
			p, _ := s.Presence()
			return p != nil
		}
	}
	return true // that resource is gone
}

// direct keeps track of directed presence (RFC 6121 §4.6.3).
func (m *Module) direct(s xmpp.Session, p *state, st *stanza.Stanza) error {
	if st.Type == "unavailable" {
		p.untrack(st.To)
		return nil
	}
	if now, _ := s.Presence(); now != nil && m.reached(s.JID().Bare(), st.To) {
		return nil // it will be told by broadcast
	}
	if !p.track(st.To) {
		return stanza.NewError(stanza.ResourceConstraint,
			"You are present at too many addresses that are not your contacts. Leave one first.")
	}
	return nil
}

// here reports a local resource that is available.
func (m *Module) here(full jid.JID) bool {
	if m.local(full) {
		for _, s := range m.host.Sessions(full.Bare()) {
			if s.JID() == full {
				p, _ := s.Presence()
				return p != nil
			}
		}
	}
	return false
}

// forget stops tracking an address that has itself become unavailable to a user
// or one resource (RFC 6121 §4.6.1), such as a room that was left. Unavailable
// presence of somebody here, which the server sends since the user may see them no
// longer, says nothing of what they see.
func (m *Module) forget(user, other jid.JID, said bool) {
	for _, s := range m.host.Sessions(user.Bare()) {
		if user.IsFull() && s.JID() != user {
			continue
		}
		if p := stateOf(s); p != nil && p.tracks(other) && (said || !m.here(other)) {
			p.untrack(other)
		}
	}
}

// paceEvery is after how many contacts' presence a client is given time to take it.
const paceEvery = 64

// collect brings a resource that has come online what it may see: the user's
// other resources, local contacts, and by probes the contacts elsewhere
// (RFC 6121 §4.2.2, §4.3.1). Where that are thousands, it is more than may be
// queued for a client.
func (m *Module) collect(ctx context.Context, s xmpp.Session) {
	me := s.JID()
	user := me.Bare()
	for _, o := range m.host.Sessions(user) {
		if o.JID() != me {
			m.current(ctx, o, me)
		}
	}
	paced, _ := s.(xmpp.Paced)
	n := 0
	m.subs.Contacts(user, func(contact jid.JID, subscription string) {
		if n++; n%paceEvery == 0 && paced != nil {
			paced.Pace()
		}
		switch {
		case subscription != "to" && subscription != "both":
		case !m.local(contact):
			m.host.Send(ctx, stanza.New(stanza.Presence, "probe", "", user, contact, ""), quiet)
		default:
			online := m.host.Sessions(contact)
			if len(online) == 0 {
				return
			}
			losses := m.losses()
			if !m.subs.SeesPresence(contact, user) {
				m.refuse(ctx, contact, user, "") // the two rosters disagree: as a probe would find
				return
			}
			for _, o := range online {
				if m.current(ctx, o, me) {
					m.retract(ctx, o.JID(), me, losses)
				}
			}
		}
	})
}

// current sends a session's presence to an address, nothing when it is
// unavailable. What is sent may have been overtaken by a change that was
// broadcast meanwhile; then the newer presence follows until it is the last.
func (m *Module) current(ctx context.Context, s xmpp.Session, to jid.JID) (sent bool) {
	p := stateOf(s)
	if p == nil {
		return false
	}
	now, gone, version := p.look()
	if now == nil {
		return false
	}
	for {
		if now == nil {
			now = gone
		}
		m.host.Send(ctx, now.WithTo(to), nil)
		var newer uint64
		if now, gone, newer = p.look(); newer == version {
			return true
		}
		version = newer
	}
}
