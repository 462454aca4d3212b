package blocking

import (
	"context"
	"maps"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// get answers the list and has the resource get pushes from now on.
func (m *Module) get(_ context.Context, iq *xmpp.IQ) (string, error) {
	iq.Session.SetValue(&asked, true)
	return itemsXML("blocklist", m.of(iq.Session.JID().Bare()).sorted()), nil
}

// items reads the items of a request.
func items(iq *xmpp.IQ) ([]string, error) {
	el, _ := iq.Child(ns, iq.Payload.Local)
	var list []string
	for i := range el.Children {
		c := &el.Children[i]
		if c.Name != (stanza.Name{Space: ns, Local: "item"}) {
			continue
		}
		raw := c.Attr("jid")
		if raw == "" {
			return nil, stanza.NewError(stanza.BadRequest, "An item needs an address.")
		}
		j, err := jid.Parse(raw)
		if err != nil {
			return nil, stanza.NewError(stanza.JIDMalformed, "“"+raw+"” is not a valid XMPP address.")
		}
		if s := j.Clone().String(); !slices.Contains(list, s) {
			list = append(list, s)
		}
		if len(list) > maxItems {
			return nil, tooMany()
		}
	}
	return list, nil
}

func tooMany() error {
	return stanza.NewError(stanza.ResourceConstraint, "The list of blocked addresses is full. Unblock some, or block a whole domain.")
}

// block adds items (XEP-0191 §4.2).
func (m *Module) block(ctx context.Context, iq *xmpp.IQ) (string, error) {
	user := iq.Session.JID().Bare()
	add, err := items(iq)
	switch {
	case err != nil:
		return "", err
	case len(add) == 0:
		return "", stanza.NewError(stanza.BadRequest, "Say which address to block.")
	}
	for _, i := range add {
		if j := jid.MustParse(i); j.Bare() == user {
			return "", stanza.NewError(stanza.NotAllowed, "You cannot block yourself.")
		}
	}
	full := false
	old, now, err := m.change(user, func(l list) list {
		next := maps.Clone(l)
		if next == nil {
			next = make(list, len(add))
		}
		for _, i := range add {
			next[i] = struct{}{}
		}
		if full = len(next) > maxItems; full {
			return l
		}
		return next
	})
	if err == nil && full {
		err = tooMany()
	}
	if err != nil {
		return "", err
	}
	m.push(ctx, user, itemsXML("block", add))
	m.show(ctx, user, old, now)
	return "", nil
}

// unblock removes items, all of them when none is named (XEP-0191 §4.3, §4.4).
func (m *Module) unblock(ctx context.Context, iq *xmpp.IQ) (string, error) {
	user := iq.Session.JID().Bare()
	gone, err := items(iq)
	if err != nil {
		return "", err
	}
	old, now, err := m.change(user, func(l list) list {
		if len(gone) == 0 {
			return nil
		}
		next := maps.Clone(l)
		for _, i := range gone {
			delete(next, i)
		}
		return next
	})
	if err != nil {
		return "", err
	}
	m.push(ctx, user, itemsXML("unblock", gone))
	m.show(ctx, user, old, now)
	return "", nil
}

// show tells those who see the user's presence and are concerned by a change:
// unavailable for who is blocked now, current presence for who no longer is. The
// user sees the latter's presence again, too.
func (m *Module) show(ctx context.Context, user jid.JID, old, now list) {
	type change struct {
		to      jid.JID
		blocked bool
		sub     string
	}
	var changes []change
	note := func(to jid.JID, sub string) {
		if was, is := old.match(to), now.match(to); was != is {
			changes = append(changes, change{to, is, sub})
		}
	}
	m.subs.Contacts(user, note)
	for _, l := range []list{old, now} {
		for i := range l {
			j := jid.MustParse(i)
			if j.IsFull() && j.Local() != "" && old.has(i) != now.has(i) && old.match(j.Bare()) == now.match(j.Bare()) {
				note(j, m.subs.Subscription(user, j.Bare()))
			}
		}
	}
	for _, c := range changes {
		if c.sub == "from" || c.sub == "both" {
			for _, s := range m.host.Sessions(user) {
				if p, _ := s.Presence(); p != nil {
					if c.blocked {
						p = stanza.New(stanza.Presence, "unavailable", "", s.JID(), jid.JID{}, "")
					}
					m.host.Send(ctx, p.WithTo(c.to), quiet)
				}
			}
		}
		if !c.blocked && (c.sub == "to" || c.sub == "both") && len(m.host.Sessions(user)) > 0 {
			m.host.Send(ctx, stanza.New(stanza.Presence, "probe", "", user, c.to, ""), quiet)
		}
	}
}

// quiet has the router keep to itself that a stanza could not be delivered.
func quiet(error) {}

// sent refuses what a client sends to an address it has blocked.
func (m *Module) sent(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.To.IsZero() || !m.Blocked(d.Sender.JID(), st.To) {
		return xmpp.Pass, nil
	}
	return xmpp.Done, &stanza.Error{
		Type: stanza.Cancel, Condition: stanza.NotAcceptable, App: "<blocked xmlns='" + nsErrors + "'/>",
		Text: "You have blocked this address. Unblock it before you write to it.",
	}
}

// received keeps away what comes from a blocked address (XEP-0191 §4.2), and the
// presence of a user from those the user has blocked.
func (m *Module) received(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if !m.any.Load() || !d.Exists {
		return xmpp.Pass, nil
	}
	if !m.Blocked(st.To, st.From) {
		if st.Kind == stanza.Presence && st.Type == "" && m.Blocked(st.From, st.To) {
			return xmpp.Done, nil
		}
		return xmpp.Pass, nil
	}
	switch st.Kind {
	case stanza.Message:
		switch st.Type {
		case "headline", "groupchat", stanza.TypeError:
			return xmpp.Done, nil // the same as when nobody is there; a room must not remove the user for it
		}
		return xmpp.Done, stanza.NewError(stanza.ServiceUnavailable, "The message could not be delivered: nobody can be reached at this address now.")
	case stanza.IQ:
		if st.Type == string(stanza.Get) || st.Type == string(stanza.Set) {
			return xmpp.Done, stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address answers this request.")
		}
	}
	return xmpp.Done, nil
}
