package roster

import (
	"context"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// nobody is the groups of a server that has none.
type nobody struct{}

func (nobody) Version(jid.JID) string                                    { return "" }
func (nobody) Items(jid.JID, func(*xmpp.SharedItem) bool)                {}
func (nobody) Item(_, _ jid.JID) *xmpp.SharedItem                        { return nil }
func (nobody) Sees(_, _ jid.JID) bool                                    { return false }
func (nobody) Known(jid.JID, func(*xmpp.SharedItem) bool, func(jid.JID)) {}
func (nobody) Watch(func(context.Context, xmpp.SharedChange))            {}

// plain reports that a contact looks as the groups have it: the user added nothing.
func (it *item) plain() bool { return it == nil || !it.kept() }

// over is the user's own part of a contact laid over what the groups say of it:
// the user's name for it, all groups, and both subscriptions together.
func (it *item) over(s *xmpp.SharedItem) *item {
	sum := *it
	if sum.name == "" {
		sum.name = s.Name
	}
	if sum.groups = s.Groups; len(it.groups) > 0 {
		sum.groups = slices.Clone(s.Groups)
		for _, g := range it.groups {
			if !slices.Contains(s.Groups, g) {
				sum.groups = append(sum.groups, g)
			}
		}
	}
	sum.state = stateOf(true, it.state.hasFrom() || s.Subscription == "both", false, false)
	return &sum
}

// raised is an item of the user's own whose contact sees the user through a group.
func (it *item) raised() *item {
	sum := *it
	sum.state = stateOf(it.state.hasTo(), true, it.state.out(), it.state.in())
	return &sum
}

// sum is a contact as the user's clients see it: the user's own part and what
// the groups say. Either may be nil; the sum is nil for a contact that is not in
// the roster, and also for one of which only the groups speak (s.XML says it all).
func (a *account) sum(it *item, s *xmpp.SharedItem) *item {
	switch {
	case it.plain() || s == nil && !it.listed:
		return nil
	case s != nil:
		return it.over(s)
	case !it.state.hasFrom() && a.shared.Sees(it.contact, a.owner):
		return it.raised()
	}
	return it
}

// appendShown appends a contact as clients see it; nothing for one that they do not.
func (a *account) appendShown(dst []byte, it *item, s *xmpp.SharedItem) []byte {
	if sum := a.sum(it, s); sum != nil {
		return sum.appendXML(dst)
	}
	if s != nil {
		return append(dst, s.XML...)
	}
	return dst
}

// shown is appendShown as a string.
func (a *account) shown(it *item, s *xmpp.SharedItem) string {
	if s != nil && it.plain() {
		return s.XML
	}
	return string(a.appendShown(nil, it, s))
}

// each calls f for each contact of items and of the groups, in order, until it
// returns false; it or s is nil where only the other knows the contact.
func (a *account) each(items []*item, f func(it *item, s *xmpp.SharedItem) bool) {
	a.merge(items, func(g func(*xmpp.SharedItem) bool) { a.shared.Items(a.owner, g) }, f)
}

// merge is each for items that groups calls its function for.
func (a *account) merge(items []*item, groups func(func(*xmpp.SharedItem) bool), f func(it *item, s *xmpp.SharedItem) bool) {
	more := true
	groups(func(s *xmpp.SharedItem) bool {
		contact := s.Contact.String()
		for more && len(items) > 0 && items[0].contact.String() < contact {
			more = f(items[0], nil)
			items = items[1:]
		}
		var it *item
		if len(items) > 0 && items[0].contact == s.Contact {
			it, items = items[0], items[1:]
		}
		more = more && f(it, s)
		return more
	})
	for more && len(items) > 0 {
		more = f(items[0], nil)
		items = items[1:]
	}
}

// shareable is RFC 6121 §2.3 for a contact and labels that groups may own: an
// error when the user would put it into a group that others administer.
func (a *account) shareable(old *item, s *xmpp.SharedItem, groups []string) error {
	var fresh []string
	for _, g := range groups {
		if s != nil && slices.Contains(s.Groups, g) || old != nil && slices.Contains(old.groups, g) {
			continue
		}
		fresh = append(fresh, g)
	}
	if len(fresh) == 0 {
		return nil
	}
	taken := ""
	a.shared.Items(a.owner, func(s *xmpp.SharedItem) bool {
		for _, g := range fresh {
			if slices.Contains(s.Groups, g) {
				taken = g
			}
		}
		return taken == ""
	})
	if taken == "" {
		return nil
	}
	return stanza.NewError(stanza.NotAcceptable, "The group “"+taken+
		"” is kept by your administrator. Choose a group of your own for this contact, or ask for it to be added.")
}

// edited is what a user's own part becomes when a client sets a contact that
// groups show: a name and groups that are theirs anyway are not the user's, but
// those that were the user's before stay.
func edited(old *item, s *xmpp.SharedItem, ed edit) item {
	next := item{contact: ed.contact}
	if old != nil {
		next = *old
	}
	var had []string
	if old != nil {
		had = old.groups
	}
	if ed.name != s.Name || next.name != s.Name {
		next.name = ""
		if ed.name != s.Name {
			next.name = ed.name
		}
	}
	next.groups = nil
	for _, g := range ed.groups {
		if !slices.Contains(s.Groups, g) || slices.Contains(had, g) {
			next.groups = append(next.groups, g)
		}
	}
	if !next.listed {
		next.overlay = next.name != "" || len(next.groups) > 0
	}
	return next
}

// errShared refuses to remove what only an administrator can.
func errShared() error {
	return stanza.NewError(stanza.NotAcceptable,
		"This contact comes with a group that your administrator keeps, and stays as long as it is in there.")
}

// sees and seen say who sees whom through groups: the user the contact, and the
// contact the user.
func (a *account) sees(contact jid.JID) bool { return a.shared.Item(a.owner, contact) != nil }

func (a *account) seen(contact jid.JID) bool { return a.shared.Sees(contact, a.owner) }
