package presence

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// probed answers a presence probe (RFC 6121 §4.3.2, §4.6.6). Somebody without
// permission gets unsubscribed, alike for an account that does not exist.
func (m *Module) probed(ctx context.Context, st *stanza.Stanza, exists bool) {
	to := st.To
	user := to.Bare()
	losses := m.losses()
	if !exists || !m.subs.SeesPresence(user, st.From) {
		if !exists || !m.probedDirectly(ctx, st) {
			m.refuse(ctx, user, st.From.Bare(), st.ID)
		}
		return
	}
	there := false
	for _, s := range m.host.Sessions(user) {
		switch {
		case to.IsBare():
			if m.current(ctx, s, st.From) {
				m.retract(ctx, s.JID(), st.From, losses)
				there = true
			}
		case s.JID() == to:
			if p, _ := s.Presence(); p != nil {
				m.mere(ctx, s, st.From) // no details of one resource (§4.3.2)
				m.retract(ctx, s.JID(), st.From, losses)
				there = true
			}
		}
	}
	if !there {
		m.host.Send(ctx, stanza.New(stanza.Presence, "unavailable", st.ID, to, st.From, ""), quiet)
	}
}

// probedDirectly answers somebody who has no subscription but has got directed
// presence, as rooms do to find out who is still there (RFC 6121 §4.6.6).
func (m *Module) probedDirectly(ctx context.Context, st *stanza.Stanza) (answered bool) {
	for _, s := range m.host.Sessions(st.To.Bare()) {
		if st.To.IsFull() && s.JID() != st.To {
			continue
		}
		if p := stateOf(s); p != nil && p.toldOf(st.From) {
			m.mere(ctx, s, st.From)
			answered = true
		}
	}
	return answered
}

// mere says that a resource is available and nothing else.
func (m *Module) mere(ctx context.Context, s xmpp.Session, to jid.JID) {
	m.host.Send(ctx, stanza.New(stanza.Presence, "", "", s.JID(), to, ""), quiet)
}

// refuse tells that a user's presence is not for somebody. It cancels what the
// other one's roster says, and no pre-approval of the user's.
func (m *Module) refuse(ctx context.Context, user, viewer jid.JID, id string) {
	m.host.Send(ctx, stanza.New(stanza.Presence, "unsubscribed", id, user, viewer, ""), quiet)
}
