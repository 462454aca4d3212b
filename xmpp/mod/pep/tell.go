package pep

import (
	"context"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
)

// quiet has the router keep to itself that a notification could not be delivered.
var quiet = func(error) {}

// letter is one event on its way to several addresses: its content is written
// once.
type letter struct {
	m     *Module
	event *pubsub.Event
	st    *stanza.Stanza
	sent  map[jid.JID]bool
}

func (m *Module) letter(e *pubsub.Event) *letter {
	return &letter{m: m, event: e, st: stanza.New(stanza.Message, e.MessageType(), "", e.Owner, jid.JID{}, e.XML())}
}

func (l *letter) to(ctx context.Context, to jid.JID) {
	if l.sent[to] {
		return
	}
	if l.sent != nil {
		l.sent[to] = true
	}
	l.m.host.Send(ctx, l.st.WithTo(to), quiet)
}

// tell sends an event to all who are to hear of it (XEP-0163 §4.3).
func (m *Module) tell(ctx context.Context, e *pubsub.Event) {
	if e.Quiet() {
		return
	}
	l := m.letter(e)
	if !e.Only.IsZero() {
		m.subscriber(ctx, l, e.Only)
		return
	}
	subscribers := e.Subscribed()
	if subscribers {
		l.sent = make(map[jid.JID]bool)
	}
	m.resources(ctx, l, e.Owner)
	m.Subscriptions.Contacts(e.Owner, func(contact jid.JID, subscription string) {
		if subscription != "from" && subscription != "both" || len(m.host.Sessions(contact)) == 0 || !e.Readable(contact) {
			return
		}
		m.resources(ctx, l, contact)
	})
	if subscribers {
		e.Subscribers(func(who jid.JID) { m.subscriber(ctx, l, who) })
	}
}

// resources sends to the available resources of an account that have asked for
// the node by their capabilities.
func (m *Module) resources(ctx context.Context, l *letter, user jid.JID) {
	for _, s := range m.host.Sessions(user) {
		if m.wants(s, l.event.Node) {
			l.to(ctx, s.JID())
		}
	}
}

// subscriber sends to somebody who has subscribed: to each resource that takes
// messages once, whether or not it has got the event by its capabilities too.
func (m *Module) subscriber(ctx context.Context, l *letter, who jid.JID) {
	if who.Bare() != l.event.Owner && m.Blocker.Blocked(l.event.Owner, who) {
		return
	}
	if who.IsFull() || who.Domain() != m.host.Domainpart() {
		l.to(ctx, who)
		return
	}
	for _, s := range m.host.Sessions(who) {
		if p, priority := s.Presence(); p != nil && priority >= 0 {
			l.to(ctx, s.JID())
		}
	}
}

// arrived sends a resource whose capabilities have become known, or have
// changed, the last items of what it wants and has not got (XEP-0163 §4.3.4).
func (m *Module) arrived(ctx context.Context, s xmpp.Session) {
	nodes := m.Caps.Notify(s)
	if p, _ := s.Presence(); p == nil {
		return
	}
	had, _ := s.Value(&served).([]string)
	if slices.Equal(had, nodes) {
		return
	}
	s.SetValue(&served, nodes)
	fresh := nodes
	if len(had) > 0 {
		fresh = nil
		for _, n := range nodes {
			if _, ok := slices.BinarySearch(had, n); !ok {
				fresh = append(fresh, n)
			}
		}
	}
	if len(fresh) == 0 {
		return
	}
	user := s.JID().Bare()
	m.last(ctx, user, s, fresh)
	m.Subscriptions.Contacts(user, func(contact jid.JID, subscription string) {
		if (subscription == "to" || subscription == "both") && m.may(contact, user) {
			m.last(ctx, contact, s, fresh)
		}
	})
}

// may reports that a local account lets a contact see its presence, and so
// have its events.
func (m *Module) may(account, contact jid.JID) bool {
	return contact.Domain() == m.host.Domainpart() && m.host.Exists(account) &&
		m.Subscriptions.SeesPresence(account, contact) && !m.Blocker.Blocked(account, contact)
}

// last sends a resource the last items of an account's nodes.
func (m *Module) last(ctx context.Context, account jid.JID, s xmpp.Session, nodes []string) {
	wanted := func(node string) bool {
		_, ok := slices.BinarySearch(nodes, node)
		return ok
	}
	err := m.Service.LastItems(account, s.JID(), true, wanted, func(e *pubsub.Event) {
		m.letter(e).to(ctx, s.JID())
	})
	if err != nil {
		m.host.Log().Error("resource without last items", "comp", "pep", "user", account.String(), "err", err)
	}
}

// gone forgets what a resource has got when it becomes unavailable.
func (m *Module) gone(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if d.Stanza.Type == "unavailable" && d.Stanza.To.IsZero() {
		d.Sender.SetValue(&served, nil)
	}
	return xmpp.Pass, nil
}

// approved sends the last items of an account to a contact that it has just let
// see its presence (XEP-0163 §4.1). The roster says so by having the account's
// presence probed in the contact's name, or, when the account is not online, by
// the subscribed alone.
func (m *Module) approved(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	var account, contact jid.JID
	switch st := d.Stanza; {
	case st.Type == "probe" && st.From.IsBare():
		account, contact = st.To.Bare(), st.From
	case st.Type == "subscribed":
		account, contact = st.From.Bare(), st.To.Bare()
		if m.available(account) {
			return xmpp.Pass, nil // its probe follows
		}
	default:
		return xmpp.Pass, nil
	}
	if account == contact || len(m.host.Sessions(contact)) == 0 || !m.may(account, contact) {
		return xmpp.Pass, nil
	}
	for _, s := range m.host.Sessions(contact) {
		if p, _ := s.Presence(); p != nil {
			if nodes := m.Caps.Notify(s); len(nodes) > 0 {
				m.last(ctx, account, s, nodes)
			}
		}
	}
	return xmpp.Pass, nil
}

func (m *Module) available(account jid.JID) bool {
	return slices.ContainsFunc(m.host.Sessions(account), func(s xmpp.Session) bool { p, _ := s.Presence(); return p != nil })
}
