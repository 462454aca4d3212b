package blocking

import (
	"fmt"
	"slices"
	"strconv"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const privacy = "jabber:iq:privacy" // XEP-0016

// listName is what the list is called among privacy lists.
const listName = "blocked"

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable: the list as the default privacy list
// (XEP-0227 §4.8, XEP-0191 §5), which denies each address.
func (m *Module) Export(account jid.JID, write func(string) error) error {
	l := m.of(account.Bare())
	if len(l) == 0 {
		return nil
	}
	var w xmlstream.Writer
	w.Start(privacy, "query").Start("", "default", "name", listName).End().Start("", "list", "name", listName)
	for n, address := range l.sorted() {
		w.Start("", "item", "type", "jid", "value", address, "action", "deny", "order", strconv.Itoa(n+1)).End()
	}
	return write(w.End().End().String())
}

// Import implements xmpp.Portable. Of privacy lists it takes what the default
// one denies altogether and by address; the rest has no place here. It takes a
// list of XEP-0191, too.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	var found []string
	switch el.Name {
	case stanza.Name{Space: ns, Local: "blocklist"}:
		for n := range el.Children {
			found = append(found, el.Children[n].Attr("jid"))
		}
	case stanza.Name{Space: privacy, Local: "query"}:
		found = denied(i, el)
	default:
		return false, nil
	}
	user := i.Account.Bare()
	var now []string
	if r, ok := i.Rows["blocking"][user.String()].(record); ok {
		now = r.JIDs
	}
	for _, s := range found {
		j, err := jid.Parse(s)
		if err != nil {
			return true, fmt.Errorf("%q, which is blocked, is no address", s)
		}
		if !slices.Contains(now, j.String()) {
			now = append(now, j.String())
		}
	}
	if len(now) > maxItems {
		return true, fmt.Errorf("more than %d addresses are blocked", maxItems)
	}
	if len(now) > 0 {
		i.Put("blocking", user.String(), record{V: 1, JIDs: listOf(now).sorted()})
		i.After = append(i.After, func() { m.restore(user) })
	}
	return true, nil
}

// denied lists what the default privacy list denies.
func denied(i *xmpp.Import, query *stanza.Element) (found []string) {
	name := ""
	if d := query.Child(privacy, "default"); d != nil {
		name = d.Attr("name")
	}
	for n := range query.Children {
		list := &query.Children[n]
		if list.Name.Local != "list" {
			continue
		}
		if name == "" || list.Attr("name") != name {
			i.Note("The privacy list %q was left out: only the default one can be kept, as blocked addresses.", list.Attr("name"))
			continue
		}
		for k := range list.Children {
			item := &list.Children[k]
			switch {
			case item.Attr("action") == "allow" && item.Attr("type") == "": // the end of a list of what is denied
			case item.Attr("type") == "jid" && item.Attr("action") == "deny" && len(item.Children) == 0:
				found = append(found, item.Attr("value"))
			default:
				i.Note("A rule of the privacy list %q was left out: only addresses that are denied altogether can be kept.", name)
			}
		}
	}
	return found
}
