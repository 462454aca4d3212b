// Package presence exchanges presence: RFC 6121 §4, but for subscriptions (§3),
// which are xmpp/mod/roster's.
//
// It holds each session's last broadcast presence by Session.SetPresence,
// broadcasts it to the contacts that may see it and to the user's own available
// resources, collects the contacts' presence for a resource that comes online,
// answers probes, keeps track of directed presence, and makes up the
// unavailable presence of a stream that ends without a word. Nothing touches
// the disk.
//
// Local contacts are not probed: what the probe would bring is read from their
// sessions. What is sent that way may cross a change of it; the sender looks
// again afterwards and corrects itself, so that nobody stays online in
// anybody's list for ever, and no lock is held while hooks run. The same holds for
// presence that crosses the end of the right to see it (xmpp.Losses).
//
// Choices where the standard leaves room: a presence with a bad show or
// priority is refused with bad-request; a probe of somebody offline is answered
// with unavailable, without a time, since none is kept; errors that broadcasts
// and probes meet on their way are not passed to the client.
//
// The package starts no goroutine.
package presence

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// prio stands before the roster's pending requests (150) and the offline
// messages (200), which wait until the resource is available (RFC 6121 §4.2).
const prio = 100

// Module implements xmpp.Module. Safe for concurrent use after Load.
type Module struct {
	host   xmpp.Host
	subs   xmpp.Subscriptions
	losses func() uint64
}

var (
	_ xmpp.Module    = (*Module)(nil)
	_ xmpp.Presences = (*Module)(nil)
)

// New makes the module. subs says who sees whom.
func New(subs xmpp.Subscriptions) *Module {
	m := &Module{subs: subs, losses: func() uint64 { return 0 }}
	if l, ok := subs.(xmpp.Losses); ok {
		m.losses = l.Losses
	}
	return m
}

// Info describes the module.
func (m *Module) Info() xmpp.Info {
	return xmpp.Info{Name: "presence", Specs: []xmpp.Spec{{Doc: "RFC 6121 §4", Title: "Presence"}}}
}

// Load registers the hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	h.Presence(xmpp.Outbound, prio, m.sent)
	h.Presence(xmpp.Inbound, prio, m.received)
	h.Session(m.session)
	return nil
}

// sent takes what a client sends. A broadcast goes on to later hooks and ends
// there, having no address.
func (m *Module) sent(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st, s := d.Stanza, d.Sender
	switch st.Type {
	case "", "unavailable":
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		return xmpp.Pass, nil
	case "probe", stanza.TypeError:
		if st.To.IsZero() {
			return xmpp.Done, nil
		}
		return xmpp.Pass, nil
	default:
		return xmpp.Done, badType(st.Type)
	}
	priority := int8(0)
	if st.Type == "" {
		var err error
		if priority, err = check(st); err != nil {
			return xmpp.Done, err
		}
	}
	p := stateOf(s)
	if p == nil {
		return xmpp.Done, nil // the session has left the table
	}
	switch {
	case !st.To.IsZero():
		return xmpp.Pass, m.direct(s, p, st)
	case st.Type == "":
		p.do(func() { m.available(ctx, s, p, st, priority) })
	default:
		p.do(func() { m.unavailable(ctx, s, p, st, false) })
	}
	return xmpp.Pass, nil
}

// badType is RFC 6121 §4.7.1.
func badType(typ string) error {
	return stanza.NewError(stanza.BadRequest, "There is no presence of type “"+typ+"”.")
}

// session makes and ends a session's state. A stream that ends while the
// resource is available, or after directed presence, has the server say so
// (RFC 6121 §4.5.2).
func (m *Module) session(ctx context.Context, ev xmpp.SessionEvent) {
	s := ev.Session
	switch ev.Kind {
	case xmpp.SessionBound:
		s.SetValue(&key, new(state))
	case xmpp.SessionClosed:
		if p := stateOf(s); p != nil {
			gone := stanza.New(stanza.Presence, "unavailable", "", s.JID(), jid.JID{}, "")
			p.do(func() { m.unavailable(ctx, s, p, gone, true) })
		}
	}
}

// received looks at what comes in for a local account; the router delivers it.
func (m *Module) received(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	switch st.Type {
	case "probe":
		m.probed(ctx, st, d.Exists)
		return xmpp.Done, nil
	case "", "unavailable", stanza.TypeError, "subscribe", "subscribed", "unsubscribe", "unsubscribed":
	default:
		return xmpp.Done, badType(st.Type)
	}
	if !d.Exists {
		return xmpp.Done, nil // RFC 6121 §8.5.1
	}
	if st.Type == "unavailable" {
		m.forget(st.To, st.From, d.Sender != nil)
	}
	return xmpp.Pass, nil
}

// quiet has the router keep to itself that a stanza could not be delivered.
var quiet = func(error) {}

// tell sends a broadcast to one contact, unless it is plain that nobody is there.
func (m *Module) tell(ctx context.Context, st *stanza.Stanza, contact jid.JID) {
	told := quiet
	if m.local(contact) {
		if len(m.host.Sessions(contact)) == 0 {
			return
		}
		told = nil // nothing to be refused
	}
	m.host.Send(ctx, st.WithTo(contact), told)
}

// retract takes available presence back that was sent to somebody who lost the
// right to see it meanwhile; losses are those before the right was looked up.
func (m *Module) retract(ctx context.Context, from, to jid.JID, losses uint64) {
	if m.losses() != losses && !m.subs.SeesPresence(from.Bare(), to) {
		m.host.Send(ctx, stanza.New(stanza.Presence, "unavailable", "", from, to, ""), quiet)
	}
}

// local reports an address of the server's own domain.
func (m *Module) local(j jid.JID) bool { return j.Domain() == m.host.Domainpart() }
