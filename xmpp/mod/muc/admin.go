package muc

import (
	"cmp"
	"context"
	"sort"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// maxItems is how many changes one request may ask for.
const maxItems = 200

// maxListed is how many people may be on a room's lists.
const maxListed = 5000

func forbidden(text string) error { return stanza.NewError(stanza.Forbidden, text) }

// asker is who sends a request: an occupant, or somebody on the room's lists.
type asker struct {
	bare jid.JID
	aff  muc.Affiliation
	role muc.Role
	occ  *occupant // nil: not inside
}

func (r *room) asker(real jid.JID) asker {
	a := asker{bare: real.Bare(), aff: r.affiliation(real.Bare())}
	if s := r.seat(real); s != nil {
		a.occ, a.role = s.occ, s.occ.role
	}
	return a
}

func (a *asker) telling(reason string) telling {
	return telling{actor: a.occ, by: a.bare, reason: reason}
}

// adminGet lists affiliations or roles (XEP-0045 §8.5, §9.2, §9.5, §9.8, §10.5, §10.8).
func (m *Module) adminGet(ctx context.Context, st *stanza.Stanza) error {
	q, _ := st.Child(muc.SpaceAdmin, "query")
	items := itemsOf(&q)
	if len(items) != 1 || items[0].Bad || items[0].HasRole == items[0].HasAffiliation {
		return stanza.NewError(stanza.BadRequest, "Ask for one list: of an affiliation or of a role.")
	}
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	a, want := r.asker(st.From), items[0]
	var list []muc.Item
	if want.HasRole {
		if a.aff < muc.Admin && (a.role < muc.Moderator || want.Role == muc.Moderator) || want.Role == muc.NoRole {
			return forbidden("This list is not for you.")
		}
		for _, o := range r.occupants() {
			if o.role == want.Role {
				list = append(list, muc.Item{Affiliation: o.aff, Role: o.role, Nick: o.nick, JID: o.face.real})
			}
		}
	} else {
		if !r.mayList(a, want.Affiliation) {
			return forbidden("This list is not for you.")
		}
		open := r.conf.Anyone || a.aff >= muc.Admin || a.role == muc.Moderator
		list = r.affiliated(want.Affiliation, open)
	}
	r.send(st.Reply(muc.List(list)))
	return nil
}

// mayList says who may see which list.
func (r *room) mayList(a asker, want muc.Affiliation) bool {
	switch want {
	case muc.Owner, muc.Admin:
		return a.aff == muc.Owner
	case muc.Member:
		return a.aff >= muc.Admin || r.conf.MembersOnly && a.occ != nil
	case muc.Outcast:
		return a.aff >= muc.Admin
	}
	return false
}

// affiliated is the list of an affiliation; with open with real addresses.
func (r *room) affiliated(want muc.Affiliation, open bool) []muc.Item {
	var list []muc.Item
	r.everyone(func(j jid.JID, u member) {
		if u.Affiliation != want {
			return
		}
		it := muc.Item{Affiliation: want, OmitRole: true, Nick: u.Nick, JID: j, Reason: u.Reason}
		if !open {
			it.JID, it.Reason = jid.JID{}, ""
		}
		for _, o := range r.occupants() {
			if o.bare == j {
				it.Nick, it.Role, it.OmitRole = o.nick, o.role, false
			}
		}
		list = append(list, it)
	})
	sort.Slice(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return cmp.Or(strings.Compare(a.JID.String(), b.JID.String()), strings.Compare(a.Nick, b.Nick)) < 0
	})
	return list
}

// occupants in order of entry.
func (r *room) occupants() []*occupant {
	list := make([]*occupant, 0, len(r.nicks))
	seen := make(map[*occupant]bool, len(r.nicks))
	for _, s := range r.seats {
		if !seen[s.occ] {
			seen[s.occ] = true
			list = append(list, s.occ)
		}
	}
	return list
}

func itemsOf(q *stanza.Element) []muc.Asked {
	var list []muc.Asked
	for i := range q.Children {
		if c := &q.Children[i]; c.Name == (stanza.Name{Space: muc.SpaceAdmin, Local: "item"}) {
			list = append(list, muc.ParseItem(c))
		}
	}
	return list
}

// adminSet changes roles and affiliations: all of what is asked or nothing.
func (m *Module) adminSet(ctx context.Context, st *stanza.Stanza) error {
	q, _ := st.Child(muc.SpaceAdmin, "query")
	items := itemsOf(&q)
	if len(items) == 0 || len(items) > maxItems {
		return stanza.NewError(stanza.BadRequest, "A change of roles or affiliations needs at least one item, and not hundreds.")
	}
	return m.change(ctx, st.To, func(r *room) (plan, error) {
		d, err := r.check(r.asker(st.From), items)
		if err != nil {
			return plan{}, err
		}
		return r.plan(d, func() { r.send(st.Reply("")) }), nil
	})
}

// delta is a checked set of changes.
type delta struct {
	users map[jid.JID]member
	roles map[*occupant]muc.Role
	why   map[jid.JID]telling // by bare JID
	as    map[*occupant]telling
	by    asker
}

// check validates the items one after the other, each as if those before it
// had been done. The error names all that cannot be.
func (r *room) check(a asker, items []muc.Asked) (*delta, error) {
	d := &delta{users: make(map[jid.JID]member), roles: make(map[*occupant]muc.Role),
		why: make(map[jid.JID]telling), as: make(map[*occupant]telling), by: a}
	var first *stanza.Error
	var wrong strings.Builder
	for i := range items {
		if e := r.checkItem(a, d, &items[i]); e != nil {
			if first == nil {
				first = e
			}
			wrong.WriteString(items[i].XML)
		}
	}
	if first == nil && len(r.users)+len(d.users) > maxListed {
		first = stanza.NewError(stanza.ResourceConstraint, "The lists of this room are full; take somebody off them first.")
	}
	if first == nil && r.group == nil && r.owners(nil) > 0 && r.owners(d.users) == 0 {
		first = stanza.NewError(stanza.Conflict, "A room must keep at least one owner.")
		for i := range items {
			if items[i].HasAffiliation && items[i].Affiliation != muc.Owner {
				wrong.WriteString(items[i].XML)
			}
		}
	}
	if first != nil {
		first.App = "<query xmlns='" + muc.SpaceAdmin + "'>" + wrong.String() + "</query>"
		return nil, first
	}
	return d, nil
}

// owners counts them, with changes on top.
func (r *room) owners(changes map[jid.JID]member) int {
	n := 0
	for j, u := range r.users {
		if c, ok := changes[j]; ok {
			u = c
		}
		if u.Affiliation == muc.Owner {
			n++
		}
	}
	for j, c := range changes {
		if _, ok := r.users[j]; !ok && c.Affiliation == muc.Owner {
			n++
		}
	}
	return n
}

func (r *room) checkItem(a asker, d *delta, it *muc.Asked) *stanza.Error {
	switch {
	case it.Bad, it.HasRole == it.HasAffiliation, !it.HasNick && !it.HasJID, it.HasRole && !it.HasNick:
		return stanza.NewError(stanza.BadRequest, "Each item names one person and either a role or an affiliation.")
	case it.HasRole:
		return r.checkRole(a, d, it)
	}
	who := it.JID.Bare()
	if !it.HasJID {
		o := r.nicks[it.Nick]
		if o == nil {
			return stanza.NewError(stanza.ItemNotFound, "Nobody of this nickname is in the room.")
		}
		who = o.bare
	}
	u, ok := d.users[who]
	if !ok {
		u = r.users[who]
	}
	grouped, governs := r.computed(who), r.governs(who)
	now := max(u.Affiliation, r.computedOr(who, u.Affiliation))
	if governs {
		now = muc.Owner
	}
	if e := mayAffiliate(a, who, now, it.Affiliation); e != nil {
		return e
	}
	if governs && it.Affiliation < muc.Owner {
		return stanza.NewError(stanza.NotAllowed, "This is an administrator of the server, who governs this room.")
	}
	if grouped != muc.NoAffiliation && it.Affiliation < grouped {
		return r.followsGroup()
	}
	u.V, u.Affiliation, u.Reason = 1, it.Affiliation, it.Reason
	if grouped != muc.NoAffiliation && it.Affiliation == grouped { // as the group says, which is not stored
		u.Affiliation, u.Reason = muc.NoAffiliation, ""
	}
	if it.HasJID && it.HasNick { // XEP-0045 §9.3: with the member's nick
		if e := r.mayReserve(d, who, it.Nick); e != nil {
			return e
		}
		u.Nick = strings.Clone(it.Nick)
	}
	if it.Affiliation == muc.Outcast {
		u.Nick = ""
	}
	d.users[who], d.why[who] = u, a.telling(it.Reason)
	return nil
}

func (r *room) checkRole(a asker, d *delta, it *muc.Asked) *stanza.Error {
	o := r.nicks[it.Nick]
	if o == nil {
		return stanza.NewError(stanza.ItemNotFound, "Nobody of this nickname is in the room.")
	}
	now := o.role
	if x, ok := d.roles[o]; ok {
		now = x
	}
	if e := mayRole(a, o.aff, now, it.Role); e != nil {
		return e
	}
	d.roles[o], d.as[o] = it.Role, a.telling(it.Reason)
	return nil
}

// mayReserve reports whether a nick can be registered for somebody.
func (r *room) mayReserve(d *delta, who jid.JID, nick string) *stanza.Error {
	if owner, ok := r.registered(nick); ok && owner != who {
		return stanza.NewError(stanza.Conflict, "This nickname is registered by somebody else.")
	}
	for j, u := range d.users {
		if u.Nick == nick && j != who {
			return stanza.NewError(stanza.Conflict, "This nickname is given twice.")
		}
	}
	if _, err := r.jid.WithResource(nick); err != nil {
		return stanza.NewError(stanza.JIDMalformed, "This cannot be a nickname.")
	}
	return nil
}

// mayRole is XEP-0045 §5.1.1 and §8: what a may do to somebody with the given
// affiliation and role. A request above one's own rank is forbidden; against
// somebody of higher rank it is not allowed.
func mayRole(a asker, target muc.Affiliation, now, next muc.Role) *stanza.Error {
	over := stanza.NewError(stanza.NotAllowed, "You cannot do that to somebody of this rank.")
	admin := a.aff >= muc.Admin
	if !admin && a.role < muc.Moderator {
		return stanza.NewError(stanza.Forbidden, "Only moderators may do that.")
	}
	switch {
	case next == muc.NoRole: // kick (§8.2)
		if target > a.aff {
			return over
		}
	case next == muc.Moderator || now == muc.Moderator: // §9.6, §9.7
		if !admin {
			return stanza.NewError(stanza.Forbidden, "Only admins and owners may make or unmake moderators.")
		}
		if next != muc.Moderator && target >= muc.Admin {
			return over
		}
	case next == muc.Visitor: // §8.4
		if target >= muc.Admin || target > a.aff {
			return over
		}
	}
	return nil
}

// mayAffiliate is XEP-0045 §5.2.1, §9 and §10.
func mayAffiliate(a asker, who jid.JID, now, next muc.Affiliation) *stanza.Error {
	switch {
	case a.aff < muc.Admin:
		return stanza.NewError(stanza.Forbidden, "Only admins and owners may do that.")
	case next == muc.Outcast && who == a.bare:
		return stanza.NewError(stanza.Conflict, "You cannot ban yourself.")
	case a.aff == muc.Owner:
		return nil
	case next >= muc.Admin:
		return stanza.NewError(stanza.Forbidden, "Only owners may make admins and owners.")
	case now >= muc.Admin && next == muc.Outcast: // §9.1
		return stanza.NewError(stanza.NotAllowed, "You cannot ban an admin or owner.")
	case now >= muc.Admin:
		return stanza.NewError(stanza.Forbidden, "Only owners may change who is admin or owner.")
	}
	return nil
}
