package shared

import (
	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// Compare calls f for each item of each account that would differ if people and
// groups were as in a state that was only tried (people.People.Try): before is
// nil for one that would be new, after for one that would go. The order is that
// of addresses. Nothing is changed.
func (r *Roster) Compare(tried *people.State, f func(user, contact jid.JID, before, after *xmpp.SharedItem)) {
	now := r.now.Load()
	c := newChange(now, build(r.house, tried, now))
	c.Users(func(user jid.JID) {
		c.Items(user, func(contact jid.JID, before, after *xmpp.SharedItem) { f(user, contact, before, after) })
	})
}
