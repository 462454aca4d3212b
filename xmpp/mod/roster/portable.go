package roster

import (
	"fmt"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable (XEP-0227 §4.4, §4.9): the user's own items,
// and the requests that wait for an answer. What groups give is the office's, and
// stays.
func (m *Module) Export(account jid.JID, write func(string) error) error {
	a, err := m.acquire(account.Bare())
	if err != nil {
		return err
	}
	defer m.release(a)
	items := a.snapshot()
	xml := []byte("<query xmlns='" + ns + "'>")
	empty := len(xml)
	for _, it := range items {
		if it.listed {
			xml = it.appendXML(xml)
		}
	}
	if len(xml) > empty {
		if err := write(string(xml) + "</query>"); err != nil {
			return err
		}
	}
	for _, it := range items {
		if it.request != nil {
			if err := write(string(it.request.AppendXML(nil, "jabber:client"))); err != nil {
				return err
			}
		}
	}
	return nil
}

// Import implements xmpp.Portable.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	switch el.Name {
	case stanza.Name{Space: ns, Local: "query"}:
		for n := range el.Children {
			c := &el.Children[n]
			if (c.Name != stanza.Name{Space: ns, Local: "item"}) {
				continue
			}
			if err := importItem(i, c); err != nil {
				return true, err
			}
		}
	case stanza.Name{Space: "jabber:client", Local: "presence"}:
		if err := importRequest(i, el); err != nil {
			return true, err
		}
	default:
		return false, nil
	}
	owner := i.Account.Bare()
	i.After = append(i.After, func() { m.reread(owner) })
	return true, nil
}

func importItem(i *xmpp.Import, el *stanza.Element) error {
	contact, err := jid.Parse(el.Attr("jid"))
	if err != nil {
		return fmt.Errorf("%q in the roster is no address", el.Attr("jid"))
	}
	sub := el.Attr("subscription")
	if sub == "" {
		sub = "none"
	}
	if _, _, ok := parseSubscription(sub); !ok {
		return fmt.Errorf("the subscription %q of %s in the roster does not exist", sub, contact)
	}
	r := itemRecord{V: recordVersion, Name: el.Attr("name"), Sub: sub, Ask: el.Attr("ask") == "subscribe" && sub != "to" && sub != "both",
		Approved: el.Attr("approved") == "true" || el.Attr("approved") == "1"}
	for n := range el.Children {
		g := &el.Children[n]
		if g.Name.Local != "group" || g.Text == "" || slices.Contains(r.Groups, g.Text) {
			continue
		}
		if len(g.Text) > maxName {
			return fmt.Errorf("a group of %s in the roster has a name of more than %d bytes", contact, maxName)
		}
		r.Groups = append(r.Groups, g.Text)
	}
	k := key(i.Account.Bare(), contact)
	_, twice := i.Rows[tableRoster][k]
	switch {
	case contact.Bare() == i.Account.Bare():
		i.Note("The account's own address in its roster was left out.")
		return nil
	case twice:
		return fmt.Errorf("%s is in the roster twice", contact)
	case len(r.Name) > maxName:
		return fmt.Errorf("the name of %s in the roster has more than %d bytes", contact, maxName)
	case len(r.Groups) > maxGroups:
		return fmt.Errorf("%s is in more than %d groups of the roster", contact, maxGroups)
	case len(i.Rows[tableRoster]) >= maxItems:
		return fmt.Errorf("the roster has more than %d contacts", maxItems)
	}
	i.Put(tableRoster, k, r)
	return nil
}

func importRequest(i *xmpp.Import, el *stanza.Element) error {
	st, err := stanza.Parse(el.XML())
	if err != nil || st.Type != "subscribe" || st.From.IsZero() {
		return fmt.Errorf("a presence that is no subscription request of somebody")
	}
	owner, contact := i.Account.Bare(), st.From.Bare()
	if len(i.Rows[tableRequests]) >= maxRequests {
		i.Note("The subscription request of %s was left out: at most %d can wait.", contact, maxRequests)
		return nil
	}
	st = st.WithFrom(contact).WithTo(owner)
	xml := st.String()
	if len(xml) > maxRequestSize {
		xml = st.WithInner("").String()
	}
	i.Put(tableRequests, key(owner, contact), requestRecord{V: recordVersion, Stanza: xml})
	return nil
}

// reread has an account be read anew by whoever uses it next.
func (m *Module) reread(owner jid.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.accounts, owner)
}
