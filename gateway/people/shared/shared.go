// Package shared works out what people and groups (gateway/people) make of
// rosters, rooms and the directory: xmpp.SharedRoster, xmpp.GroupRooms and
// xmpp.Directory.
//
// A sees B if B is in a group that is visible to A. A's item of B is both if
// each sees the other, else to; it shows the labels of all groups through which
// B is seen. Nobody is in their own roster.
//
// Nothing of it is stored. Every change of people and groups makes a new
// snapshot, which readers take from an atomic pointer, so that they never wait.
// People who are in the same groups and see the same groups are a class; how
// one class sees another is all that has to be worked out, and it is when
// somebody asks. An item is rendered once for all who see a contact in the same
// way, and lives on in later snapshots. So a group of 2,000 people costs one
// item for each of them, and one more person one item more. What a change makes
// of rosters is worked out for each pair of classes, when it is asked for.
//
// The package starts no goroutine; watchers are called by whoever changed
// people or groups.
package shared

import (
	"context"
	"sync"
	"sync/atomic"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// Roster implements xmpp.SharedRoster. Safe for concurrent use.
type Roster struct {
	house people.House
	now   atomic.Pointer[snapshot]

	rooms *Rooms

	mu    sync.Mutex // guards watch
	watch []func(context.Context, xmpp.SharedChange)
}

var _ xmpp.SharedRoster = (*Roster)(nil)

// New works out the rosters of the people and follows their changes.
func New(p *people.People) *Roster {
	r := &Roster{house: p.House()}
	r.rooms = &Rooms{r: r}
	r.now.Store(build(r.house, p.State(), nil))
	p.OnChange(r.changed)
	return r
}

// changed is called by one Edit after the other.
func (r *Roster) changed(ctx context.Context, _, state *people.State) {
	before := r.now.Load()
	after := build(r.house, state, before)
	c := newChange(before, after)
	c.carrySums()
	r.now.Store(after)
	r.mu.Lock()
	watch := r.watch
	r.mu.Unlock()
	if len(c.dirty) > 0 {
		for _, f := range watch {
			f(ctx, c)
		}
	}
	r.rooms.changed(ctx, before, after)
}

// Version implements xmpp.SharedRoster.
func (r *Roster) Version(user jid.JID) string {
	s := r.now.Load()
	if i := s.user(user); i >= 0 {
		return s.version(i).String()
	}
	return ""
}

// Items implements xmpp.SharedRoster.
func (r *Roster) Items(user jid.JID, f func(*xmpp.SharedItem) bool) {
	s := r.now.Load()
	if i := s.user(user); i >= 0 {
		s.walk(s.classOf(i), i, func(_ *node, m made) bool { return f(m.item) })
	}
}

// Item implements xmpp.SharedRoster.
func (r *Roster) Item(user, contact jid.JID) *xmpp.SharedItem {
	s := r.now.Load()
	return s.sharedItem(s.user(user), contact)
}

// Sees implements xmpp.SharedRoster.
func (r *Roster) Sees(viewer, owner jid.JID) bool {
	s := r.now.Load()
	v, o := s.find(viewer), s.user(owner)
	return v >= 0 && o >= 0 && v != o && meet(s.classOf(v).sees, s.classOf(o).in)
}

// Known implements xmpp.SharedRoster.
func (r *Roster) Known(user jid.JID, f func(*xmpp.SharedItem) bool, viewer func(account jid.JID)) {
	s := r.now.Load()
	i := s.user(user)
	if i < 0 {
		return
	}
	me := s.classOf(i)
	s.walk(me, i, func(_ *node, m made) bool { return f(m.item) })
	var only []bool // classes that see the user and are not seen; there are few
	for k, c := range s.classes {
		if meet(c.sees, me.in) && !meet(me.sees, c.in) {
			if only == nil {
				only = make([]bool, len(s.classes))
			}
			only[k] = true
		}
	}
	if only == nil {
		return
	}
	for k := range s.nodes {
		if n := &s.nodes[k]; n.user && only[n.class] {
			viewer(n.jid)
		}
	}
}

// Watch implements xmpp.SharedRoster.
func (r *Roster) Watch(f func(context.Context, xmpp.SharedChange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = append(r.watch, f)
}
