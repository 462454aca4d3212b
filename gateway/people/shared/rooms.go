package shared

import (
	"context"
	"maps"
	"slices"
	"sort"
	"sync"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// Affiliations (XEP-0045 §5.2) that groups give.
const (
	affiliationMember = "member"
	affiliationAdmin  = "admin"
)

// Rooms implements xmpp.GroupRooms: the members of a group with an address
// that can enter rooms are members of its room, its managers are admins, and
// nobody owns it. Phones, and the domain of texts, are members of those rooms in
// which phones take part. Safe for concurrent use.
type Rooms struct {
	r *Roster

	mu    sync.Mutex // guards watch
	watch []func(context.Context, xmpp.GroupRoomChange)
}

var _ xmpp.GroupRooms = (*Rooms)(nil)

// Rooms are those of the groups.
func (r *Roster) Rooms() *Rooms { return r.rooms }

// roomOf is the room of a group; ok false for none.
func (s *snapshot) roomOf(id string) (g xmpp.GroupRoom, ok bool) {
	r := s.groups[id]
	if r == nil || r.Room == people.NoRoom {
		return g, false
	}
	return xmpp.GroupRoom{ID: id, Label: r.Label, Description: r.Description, Autojoin: r.Room == people.RoomAutojoin, Texts: r.Texts}, true
}

// Rooms implements xmpp.GroupRooms.
func (rs *Rooms) Rooms(f func(xmpp.GroupRoom) bool) {
	s := rs.r.now.Load()
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		if g, ok := s.roomOf(id); ok && !f(g) {
			return
		}
	}
}

// Room implements xmpp.GroupRooms.
func (rs *Rooms) Room(id string) (xmpp.GroupRoom, bool) { return rs.r.now.Load().roomOf(id) }

// Affiliation implements xmpp.GroupRooms.
func (rs *Rooms) Affiliation(id string, user jid.JID) string {
	s := rs.r.now.Load()
	room, ok := s.roomOf(id)
	if !ok || user.Domain() == rs.r.house.SMSDomain && !room.Texts {
		return ""
	}
	if user.String() == rs.r.house.SMSDomain {
		return affiliationMember
	}
	g := s.groups[id]
	for _, m := range g.Managers {
		if p := s.state.Person(m); p != nil && p.Address() == user {
			return affiliationAdmin
		}
	}
	if i := s.find(user); i >= 0 {
		if _, ok := slices.BinarySearch(g.members, int32(i)); ok {
			return affiliationMember
		}
	}
	return ""
}

// affiliated is somebody with an affiliation.
type affiliated struct {
	jid         jid.JID
	affiliation string
}

// affiliations lists those of a room by address; nothing for no room.
func (s *snapshot) affiliations(id string, smsDomain string) []affiliated {
	room, ok := s.roomOf(id)
	if !ok {
		return nil
	}
	g := s.groups[id]
	list := make([]affiliated, 0, len(g.members)+len(g.Managers)+1)
	if gateway, err := jid.New("", smsDomain, ""); err == nil && room.Texts {
		list = append(list, affiliated{gateway, affiliationMember})
	}
	for _, m := range g.Managers {
		if p := s.state.Person(m); p != nil && !p.Address().IsZero() && p.Address().Domain() != smsDomain {
			list = append(list, affiliated{p.Address(), affiliationAdmin})
		}
	}
	for _, i := range g.members {
		if j := s.nodes[i].jid; j.Domain() != smsDomain || room.Texts {
			list = append(list, affiliated{j, affiliationMember})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].jid.String() < list[j].jid.String() })
	return slices.CompactFunc(list, func(a, b affiliated) bool { return a.jid == b.jid }) // the first: admin
}

// Members implements xmpp.GroupRooms.
func (rs *Rooms) Members(id string, f func(user jid.JID, affiliation string) bool) {
	for _, a := range rs.r.now.Load().affiliations(id, rs.r.house.SMSDomain) {
		if !f(a.jid, a.affiliation) {
			return
		}
	}
}

// Watch implements xmpp.GroupRooms.
func (rs *Rooms) Watch(f func(context.Context, xmpp.GroupRoomChange)) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.watch = append(rs.watch, f)
}

// changed tells of every room that is not as it was.
func (rs *Rooms) changed(ctx context.Context, before, after *snapshot) {
	rs.mu.Lock()
	watch := rs.watch
	rs.mu.Unlock()
	if len(watch) == 0 {
		return
	}
	ids := maps.Clone(before.groups)
	maps.Copy(ids, after.groups)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		c := xmpp.GroupRoomChange{ID: id}
		if g, ok := before.roomOf(id); ok {
			c.Before = &g
		}
		if g, ok := after.roomOf(id); ok {
			c.After = &g
		}
		if c.Before == nil && c.After == nil {
			continue
		}
		c.Users = differing(before.affiliations(id, rs.r.house.SMSDomain), after.affiliations(id, rs.r.house.SMSDomain))
		if len(c.Users) == 0 && c.Before != nil && c.After != nil && *c.Before == *c.After {
			continue
		}
		for _, f := range watch {
			f(ctx, c)
		}
	}
}

// differing lists who is in one of two lists in order, or in both with another
// affiliation.
func differing(a, b []affiliated) (users []jid.JID) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].jid.String() < b[0].jid.String():
			users, a = append(users, a[0].jid), a[1:]
		case len(a) == 0 || b[0].jid.String() < a[0].jid.String():
			users, b = append(users, b[0].jid), b[1:]
		default:
			if a[0].affiliation != b[0].affiliation {
				users = append(users, a[0].jid)
			}
			a, b = a[1:], b[1:]
		}
	}
	return users
}
