// Package carbons copies messages to the other resources of a user that want
// them, so that each device shows the whole conversation (XEP-0280 1.0.1).
//
// Copied are messages of type chat, and normal ones with a body, a receipt
// (XEP-0184) or a chat marker (XEP-0333). What carries <private/> or <no-copy/>
// (XEP-0334) is not copied, and <private/> goes no further than here. A
// resource gets the original or a copy, never both; what nobody takes, because
// it is refused or waits in the offline store, is not copied, since the replay
// would bring it a second time.
//
// Left out: errors are not copied, since nobody keeps track of what they
// answer (XEP-0280 §6 leaves that open); neither is what comes from an occupant
// of a room, because every resource in the room gets it from there.
//
// The package starts no goroutine. A session has one flag.
package carbons

import (
	"context"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	ns        = "urn:xmpp:carbons:2"
	rules     = "urn:xmpp:carbons:rules:0"
	forward   = "urn:xmpp:forward:0"     // XEP-0297
	hints     = "urn:xmpp:hints"         // XEP-0334
	receipts  = "urn:xmpp:receipts"      // XEP-0184
	markers   = "urn:xmpp:chat-markers:" // XEP-0333
	ids       = "urn:xmpp:sid:0"         // XEP-0359
	occupants = "http://jabber.org/protocol/muc#user"
)

const (
	prioSent     = 900 // at Outbound, behind all that may refuse
	prioReceived = 950 // at Inbound, behind blocking and what is stored instead of delivered
)

// enabled marks a session that wants copies.
var enabled = xmpp.Key{Name: "carbons"}

// Module is XEP-0280. Safe for concurrent use after Load.
type Module struct{ host xmpp.Host }

var _ xmpp.Module = (*Module)(nil)

// New makes the module.
func New() *Module { return &Module{} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "carbons", Specs: []xmpp.Spec{{Doc: "XEP-0280", Version: "1.0.1", Title: "Message Carbons"}}}
}

// Load registers the switch and the hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	for _, on := range []bool{true, false} {
		name := stanza.Name{Space: ns, Local: "disable"}
		if on {
			name.Local = "enable"
		}
		h.IQ(xmpp.ToSelf, stanza.Set, name, func(_ context.Context, iq *xmpp.IQ) (string, error) {
			if on {
				iq.Session.SetValue(&enabled, true)
			} else {
				iq.Session.SetValue(&enabled, nil)
			}
			return "", nil
		})
		h.IQ(xmpp.ToBare, stanza.Set, name, notAllowed)
	}
	h.Feature(xmpp.ToHost, ns, rules)
	h.Feature(xmpp.ToBare, ns)
	h.Message(xmpp.Outbound, prioSent, m.sent)
	h.Message(xmpp.Inbound, prioReceived, m.received)
	return nil
}

// notAllowed is XEP-0280 §4.1, §5.1: only one's own copies can be switched.
func notAllowed(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.NotAllowed, "Copies of messages can be switched on and off for your own account only.")
}

// sent copies what a client sends to the user's other resources (XEP-0280 §8).
func (m *Module) sent(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st, me := d.Stanza, d.Sender.JID()
	all := m.host.Sessions(me.Bare())
	if len(all) < 2 {
		return xmpp.Pass, nil
	}
	to := st.To
	if to.IsZero() {
		to = me.Bare()
	}
	toSelf := to.Bare() == me.Bare()
	var w wrapped
	for _, s := range all {
		switch {
		case s == d.Sender || s.Value(&enabled) == nil:
		case toSelf && gets(all, s, to, st.Type):
		case !w.wrap("sent", archived(st.WithTo(to), me.Bare(), d.Archived), me.Bare()):
			return xmpp.Pass, nil
		default:
			m.host.Deliver(ctx, s, w.st.WithTo(s.JID()))
		}
	}
	return xmpp.Pass, nil
}

// archived tells the user's own resources where their archive has the message
// (XEP-0313 §3.5). Its recipient is not told.
func archived(st *stanza.Stanza, me jid.JID, id string) *stanza.Stanza {
	if id == "" {
		return st
	}
	return st.WithAppended("<stanza-id xmlns='" + ids + "' by='" + xmlstream.Escaped(me.String()) + "' id='" + id + "'/>")
}

// received copies what comes in to the resources that do not get the original
// (XEP-0280 §7).
func (m *Module) received(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if !d.Exists {
		return xmpp.Pass, nil
	}
	mentioned := strings.Contains(st.Inner(), ns) || strings.Contains(st.Decls(), ns)
	if d.Again {
		if mentioned && isCopy(st) {
			return xmpp.Done, nil // a copy that a dead stream gave back: the original has its own way
		}
		return xmpp.Pass, nil
	}
	user := st.To.Bare()
	all := m.host.Sessions(user)
	if len(all) > 1 && (d.Sender == nil || st.From.Bare() != user) { // else sent has seen to it
		m.copy(ctx, st, all)
	}
	if mentioned {
		d.Stanza = st.Without(isPrivate)
	}
	return xmpp.Pass, nil
}

// copy sends copies of what comes in.
func (m *Module) copy(ctx context.Context, st *stanza.Stanza, all []xmpp.Session) {
	taken, want := false, false
	for _, s := range all {
		got := gets(all, s, st.To, st.Type)
		taken = taken || got
		want = want || !got && s.Value(&enabled) != nil
	}
	var w wrapped
	if !taken || !want || st.To.IsFull() && st.HasChild(occupants, "x") || !w.wrap("received", st, st.To.Bare()) {
		return
	}
	for _, s := range all {
		if s.Value(&enabled) != nil && !gets(all, s, st.To, st.Type) {
			m.host.Deliver(ctx, s, w.st.WithTo(s.JID()))
		}
	}
}

// gets reports that a resource is one of those that get a message itself, as
// the router delivers it (RFC 6121 §8.5).
func gets(all []xmpp.Session, s xmpp.Session, to jid.JID, typ string) bool {
	if to.IsFull() {
		for _, o := range all {
			if o.JID() == to {
				return o == s
			}
		}
		if typ != "chat" {
			return false
		}
	}
	p, priority := s.Presence()
	return p != nil && priority >= 0
}

// wrapped is the copy of a message, made once for all who get it.
type wrapped struct{ st *stanza.Stanza }

// wrap makes the copy unless it is there; false when the message is not to be
// copied.
func (w *wrapped) wrap(direction string, st *stanza.Stanza, user jid.JID) bool {
	if w.st != nil {
		return true
	}
	if !eligible(st) {
		return false
	}
	open := "<" + direction + " xmlns='" + ns + "'><forwarded xmlns='" + forward + "'>"
	end := "</forwarded></" + direction + ">"
	b := make([]byte, 0, len(open)+st.Size()+len(" xmlns='jabber:client'")+len(end))
	b = append(st.AppendXML(append(b, open...), "jabber:client"), end...)
	w.st = stanza.New(stanza.Message, st.Type, "", user, jid.JID{}, string(b))
	return true
}

// eligible applies the rules of XEP-0280 §6.1, and the ways to opt out (§9).
func eligible(st *stanza.Stanza) bool {
	ok := false
	switch st.Type {
	case "chat":
		ok = true
	case "headline", "groupchat", stanza.TypeError:
		return false
	}
	els := st.Elements()
	for i := range els {
		switch e := &els[i]; {
		case isPrivate(e), e.Name == stanza.Name{Space: hints, Local: "no-copy"}, e.Name.Space == ns:
			return false
		case e.Name.Local == "body" && e.Name.Space == "jabber:client", e.Name.Space == receipts, strings.HasPrefix(e.Name.Space, markers):
			ok = true
		}
	}
	return ok
}

func isPrivate(e *stanza.Element) bool { return e.Name == stanza.Name{Space: ns, Local: "private"} }

// isCopy reports one of our own copies, by its content. A client cannot send
// one in the account's name.
func isCopy(st *stanza.Stanza) bool {
	return st.From == st.To.Bare() && st.Payload.Space == ns && (st.Payload.Local == "sent" || st.Payload.Local == "received")
}
