package muc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// The room of a group is a persistent room whose row says so. Its name, its
// openness and its people follow the group and are never stored; what is stored
// is what the group does not say: guests, nicknames, higher ranks, and the rest
// of the configuration.

// maxTold is how many changes of membership one edit of a group announces.
const maxTold = 50

// groupRoom is the address of a group's room.
func (m *Module) groupRoom(id string) (jid.JID, error) {
	j, err := jid.New(id, m.conf.Domain, "")
	if err != nil {
		return j, fmt.Errorf("room of group %q: %w", id, err)
	}
	return j, nil
}

// grouped reports that a room of this name belongs to a group.
func (m *Module) grouped(name jid.JID) bool {
	if m.conf.Groups == nil {
		return false
	}
	_, ok := m.conf.Groups.Room(name.Local())
	return ok
}

// follow makes a room that was read the room of its group.
func (r *room) follow() {
	g := xmpp.GroupRoom{ID: r.jid.Local(), Label: r.jid.Local()}
	if r.m.conf.Groups != nil {
		if now, ok := r.m.conf.Groups.Room(g.ID); ok {
			g = now
		}
	}
	r.group = &g
	r.conf = groupSettings(r.conf, g)
}

// groupSettings are settings as the group wants them.
func groupSettings(c settings, g xmpp.GroupRoom) settings {
	c.Title, c.Desc, c.Password = g.Label, g.Description, ""
	c.Persistent, c.MembersOnly, c.Anyone = true, true, true
	return c
}

// computed is what the group makes of somebody.
func (r *room) computed(bare jid.JID) muc.Affiliation {
	if r.group == nil || r.m.conf.Groups == nil {
		return muc.NoAffiliation
	}
	a, _ := muc.ParseAffiliation(r.m.conf.Groups.Affiliation(r.group.ID, bare)) // ignored: "" is none
	return max(a, muc.NoAffiliation)
}

// everyone calls f for all that have an affiliation or a nickname here, with
// what they have in effect.
func (r *room) everyone(f func(jid.JID, member)) {
	for j, u := range r.users {
		u.Affiliation = max(u.Affiliation, r.computedOr(j, u.Affiliation))
		f(j, u)
	}
	if r.group == nil || r.m.conf.Groups == nil {
		return
	}
	more := make(map[jid.JID]member)
	r.m.conf.Groups.Members(r.group.ID, func(j jid.JID, word string) bool {
		if _, ok := r.users[j]; !ok {
			a, _ := muc.ParseAffiliation(word) // ignored: none
			more[j] = member{Affiliation: max(a, muc.NoAffiliation)}
		}
		return true
	})
	for j, u := range more { // f may ask the groups
		f(j, u)
	}
}

// computedOr is computed, or other for who is not in the group.
func (r *room) computedOr(bare jid.JID, other muc.Affiliation) muc.Affiliation {
	if a := r.computed(bare); a != muc.NoAffiliation {
		return a
	}
	return other
}

// followsGroup is the refusal of what only the group can say.
func (r *room) followsGroup() *stanza.Error {
	return stanza.NewError(stanza.NotAllowed, "This room follows the group "+r.group.Label+"; change the group instead, or ask your administrator to.")
}

// unlike reports that a configuration says other than the group.
func (r *room) unlike(c settings) error {
	if r.group != nil && c != groupSettings(c, *r.group) {
		return unacceptable("Name, description and who may enter follow the group " + r.group.Label + "; leave them as they are.")
	}
	return nil
}

// groupRecord is the row of a group's new room.
func (m *Module) groupRecord() record {
	c := defaults()
	c.Public = false // its members find it all the same
	rec := record{V: 1, Conf: c, Secret: make([]byte, 16), Group: true, Floor: m.floor()}
	_, _ = rand.Read(rec.Secret) // ignored: never fails
	return rec
}

// readGroups brings the rooms on disk in line with the groups, at the start.
func (m *Module) readGroups() error {
	if m.conf.Groups == nil {
		return nil
	}
	want := make(map[jid.JID]xmpp.GroupRoom)
	var bad error
	m.conf.Groups.Rooms(func(g xmpp.GroupRoom) bool {
		j, err := m.groupRoom(g.ID)
		bad = errors.Join(bad, err)
		if err == nil {
			want[j] = g
		}
		return true
	})
	if bad != nil {
		m.log.Error("groups without rooms", "err", bad)
	}
	for name, e := range m.index {
		if _, ok := want[name]; e.group && e.gone == nil && !ok {
			gone := &tombstone{At: m.conf.Now().UTC()}
			if err := m.replace(name, record{V: 1, Gone: gone}); err != nil {
				return err
			}
			m.index[name] = &entry{lasts: true, gone: gone}
		}
	}
	for name, g := range want {
		e := m.index[name]
		if e == nil || e.gone != nil || !e.group {
			if err := m.replace(name, m.groupRecord()); err != nil {
				return err
			}
			e = &entry{}
		}
		m.index[name] = &entry{title: g.Label, public: e.public, lasts: true, group: true}
	}
	m.conf.Groups.Watch(m.groupChanged)
	return nil
}

// replace puts a row in the place of all that a room has left, while nobody can
// be in it.
func (m *Module) replace(name jid.JID, rec record) error {
	users := make(map[string]any)
	err := m.users.Range(userKey(name, jid.JID{}), name.String()+"\x01", false, func(key string, _ []byte) bool {
		users[key] = nil
		return true
	})
	past := make(map[string]any)
	if err == nil {
		from, to := historyRange(name)
		err = m.history.Range(from, to, false, func(key string, _ []byte) bool {
			past[key] = nil
			return true
		})
	}
	if err != nil {
		return fmt.Errorf("replace room %s: %w", name, err)
	}
	if len(users) > 0 {
		m.users.Later(users, nil) // before the row, which is waited for
	}
	if len(past) > 0 {
		m.history.Later(past, nil)
	}
	if m.conf.Archive != nil {
		m.conf.Archive.Forget(name)
	}
	if err := m.table.Write(map[string]any{name.String(): rec, cardKey(name): nil, subjectKey(name): nil}); err != nil {
		return fmt.Errorf("replace room %s: %w", name, err)
	}
	return nil
}

// groupChanged follows an edit of a group. The change is on disk; what goes
// wrong here is made good at the next start.
func (m *Module) groupChanged(ctx context.Context, c xmpp.GroupRoomChange) {
	name, err := m.groupRoom(c.ID)
	if err == nil {
		switch {
		case c.After == nil:
			err = m.endGroup(ctx, name, c.Before)
		case c.Before == nil:
			err = m.beginGroup(ctx, name, *c.After)
		default:
			err = m.editGroup(ctx, name, c)
		}
	}
	if err != nil {
		m.log.Error("the room of a group does not follow it", "room", c.ID, "err", err)
	}
}

// beginGroup makes the room of a group. One that had its name ends, with all
// that was said in it: neither its people belong to the group nor theirs to them.
func (m *Module) beginGroup(ctx context.Context, name jid.JID, g xmpp.GroupRoom) error {
	err := m.turnAway(ctx, name, "This address now belongs to the group "+g.Label+".", func(r *room) bool { return r.group == nil })
	if err != nil {
		return err
	}
	w := rows{}
	w.put(tableRooms, name.String(), m.groupRecord())
	if err := m.commit(w); err != nil {
		return err
	}
	m.mu.Lock()
	m.index[name] = &entry{title: g.Label, lasts: true, group: true}
	m.mu.Unlock()
	return nil
}

// endGroup turns everybody out of a room whose group wants none any more.
func (m *Module) endGroup(ctx context.Context, name jid.JID, g *xmpp.GroupRoom) error {
	reason := "The room's group is no more."
	if g != nil {
		reason = "The group " + g.Label + " has no room any more."
	}
	return m.turnAway(ctx, name, reason, func(r *room) bool { return r.group != nil })
}

// turnAway destroys a room if it is of the kind; no such room is no error.
func (m *Module) turnAway(ctx context.Context, name jid.JID, reason string, kind func(*room) bool) error {
	err := m.change(ctx, name, func(r *room) (plan, error) {
		if !kind(r) {
			return plan{apply: func() {}}, nil
		}
		return r.planDestroy(&muc.Destroy{Reason: reason}, func() {}), nil
	})
	if e := (*stanza.Error)(nil); errors.As(err, &e) && e.Condition == stanza.ItemNotFound {
		return nil
	}
	return err
}

// editGroup shows the members of a room what is new about their group. A room
// that nobody is in learns it when it is read.
func (m *Module) editGroup(ctx context.Context, name jid.JID, c xmpp.GroupRoomChange) error {
	m.mu.Lock()
	if e := m.index[name]; e != nil && e.group {
		m.index[name] = &entry{title: c.After.Label, public: e.public, lasts: true, group: true}
	}
	r := m.rooms[name]
	m.mu.Unlock()
	if r == nil {
		return nil
	}
	r, err := m.enter(name) // loaded to the end
	if err != nil || r == nil {
		return err
	}
	defer r.exit(ctx)
	if r.group == nil {
		return nil
	}
	r.group, r.conf = c.After, groupSettings(r.conf, *c.After)
	absent := slices.DeleteFunc(slices.Clone(c.Users), r.inside) // who is inside is told of as such
	r.apply(&delta{why: make(map[jid.JID]telling)}, nil)
	if len(absent) <= maxTold {
		for _, j := range absent {
			r.tellAbsent(j, member{Affiliation: r.affiliation(j), Nick: r.users[j].Nick}, telling{})
		}
	}
	if c.Before.Label != c.After.Label || c.Before.Description != c.After.Description {
		r.status(muc.StatusConfigChanged)
	}
	return nil
}

// inside reports that somebody is in the room.
func (r *room) inside(bare jid.JID) bool {
	for _, s := range r.seats {
		if s.occ.bare == bare {
			return true
		}
	}
	return false
}
