package muc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// room is a room in memory.
type room struct {
	m    *Module
	jid  jid.JID
	once sync.Once // loads
	err  error     // why loading went wrong

	// changes is held by one lasting change from its check to its end, over
	// the wait for the disk. Taken before mu, never by who sends.
	changes sync.Mutex

	// mu is the entity lock: it may be held while queueing and calling
	// Table.Later, never while sending, reading or waiting. It guards what follows.
	mu       sync.Mutex
	idle     sync.Cond // out has become shorter
	out      []parcel
	draining bool // somebody sends what is in out
	dead     bool // not in Module.rooms any more
	pins     int  // lasting changes under way
	quiet    bool // new members need no invitation: they have one

	conf    settings
	group   *xmpp.GroupRoom // whose room it is, nil for nobody's
	secret  []byte          // of the occupant ids
	photo   string
	subject subject
	creator jid.JID // while the room waits for its first configuration: who must give it
	by      jid.JID // the creator's bare JID, for ever
	users   map[jid.JID]member

	seats   []*seat // in order of entry
	nicks   map[string]*occupant
	targets []jid.JID // the seats' addresses; replaced, never changed
	asked   []question

	last  uint64     // id of the last message
	kept  []uint64   // ids of the messages on disk, oldest first
	floor archive.ID // below everything that was archived here
}

// occupant is a nick; those who share it are resources of one bare JID.
type occupant struct {
	nick string
	at   jid.JID // room/nick
	bare jid.JID
	aff  muc.Affiliation
	role muc.Role
	id   string // the XEP-0421 element
	face *seat  // the one whose presence is shown
	n    int    // seats
}

// seat is one resource in the room.
type seat struct {
	real     jid.JID
	occ      *occupant
	presence *stanza.Stanza // as it is shown to others, without what the room adds
	pace     pace
}

// parcel is a stanza on its way out, to its own address or to several.
type parcel struct {
	st *stanza.Stanza
	to []jid.JID
}

// backlog is how many parcels may wait before those who bring more wait too.
const backlog = 256

func (m *Module) newRoom(name jid.JID) *room {
	r := &room{m: m, jid: name, users: make(map[jid.JID]member), nicks: make(map[string]*occupant)}
	r.idle.L = &r.mu
	return r
}

// begin makes it a new room that waits for its configuration.
func (r *room) begin(by jid.JID) {
	r.conf = defaults()
	r.secret = make([]byte, 16)
	_, _ = rand.Read(r.secret) // ignored: never fails
	r.creator = by.Clone()
	r.by = r.creator.Bare()
	r.users[r.by] = member{V: 1, Affiliation: muc.Owner}
	r.floor = r.m.floor()
}

// locked reports that the first configuration has not come.
func (r *room) locked() bool { return !r.creator.IsZero() }

// title is the name people see.
func (r *room) title() string {
	if r.conf.Title != "" {
		return r.conf.Title
	}
	return r.jid.Local()
}

// affiliation is somebody's in effect.
func (r *room) affiliation(bare jid.JID) muc.Affiliation {
	if r.governs(bare) {
		return muc.Owner
	}
	return r.standing(bare)
}

// governs reports an administrator of the server in a room that nobody else
// governs: a group's, or one without an owner. That is neither stored nor listed.
func (r *room) governs(bare jid.JID) bool {
	return r.m.conf.Admin(bare) && (r.group != nil || r.owners(nil) == 0)
}

// standing is what the room's lists and its group say of somebody; the whole
// domain may be banned. Who is in the room's group cannot be.
func (r *room) standing(bare jid.JID) muc.Affiliation {
	if a := r.computed(bare); a != muc.NoAffiliation {
		return max(a, r.users[bare].Affiliation)
	}
	if u, ok := r.users[bare]; ok && u.Affiliation != muc.NoAffiliation {
		return u.Affiliation
	}
	if r.users[bare.DomainJID()].Affiliation == muc.Outcast {
		return muc.Outcast
	}
	return muc.NoAffiliation
}

// role is what an affiliation brings at entry (XEP-0045 §5.1.2).
func (r *room) role(a muc.Affiliation) muc.Role {
	switch {
	case a >= muc.Admin:
		return muc.Moderator
	case a == muc.NoAffiliation && r.conf.Moderated:
		return muc.Visitor
	case a == muc.Outcast:
		return muc.NoRole
	}
	return muc.Participant
}

// seat finds the resource, nil when it is not in the room.
func (r *room) seat(real jid.JID) *seat {
	for _, s := range r.seats {
		if s.real == real {
			return s
		}
	}
	return nil
}

// sees reports that a seat may know real addresses.
func (r *room) sees(s *seat) bool { return r.conf.Anyone || s.occ.role == muc.Moderator }

// occupantID is XEP-0421 §3: the same for a person at each visit.
func (r *room) occupantID(bare jid.JID) string {
	h := hmac.New(sha256.New, r.secret)
	h.Write([]byte(bare.String()))
	return muc.OccupantID(base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
}

// sit puts a resource under a nick, which is made when nobody has it.
func (r *room) sit(s *seat, nick string) *occupant {
	o := r.nicks[nick]
	if o == nil {
		bare := s.real.Bare()
		at, _ := r.jid.WithResource(nick) // ignored: nick is the resource of an address
		aff := r.affiliation(bare)
		o = &occupant{nick: strings.Clone(nick), at: at.Clone(), bare: bare, aff: aff, role: r.role(aff), id: r.occupantID(bare)}
		r.nicks[o.nick] = o
	}
	o.n++
	o.face, s.occ = s, o
	return o
}

// stand takes a resource from its nick, which ends with the last one.
func (r *room) stand(s *seat) {
	o := s.occ
	if o.n--; o.n == 0 {
		delete(r.nicks, o.nick)
		return
	}
	if o.face == s {
		for _, x := range r.seats {
			if x.occ == o && x != s {
				o.face = x
			}
		}
	}
}

// seated and unseated keep the list of those who get what is said.
func (r *room) seated(s *seat) {
	r.seats = append(r.seats, s)
	r.targets = append(r.targets[:len(r.targets):len(r.targets)], s.real)
}

func (r *room) unseated(s *seat) {
	r.seats = slices.DeleteFunc(r.seats, func(x *seat) bool { return x == s })
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), func(j jid.JID) bool { return j == s.real })
	r.m.untrack(s.real, r)
}

// send queues a stanza to its address.
func (r *room) send(st *stanza.Stanza) { r.out = append(r.out, parcel{st: st}) }

// sendAll queues a stanza to several; the list must never change.
func (r *room) sendAll(st *stanza.Stanza, to []jid.JID) {
	if len(to) > 0 {
		r.out = append(r.out, parcel{st: st, to: to})
	}
}

// insideKey marks what is done while a room sends.
type insideKey struct{}

// exit ends what enter began: it sends what was queued, unless somebody is at
// it, puts the room away when nobody needs it, and unlocks it.
func (r *room) exit(ctx context.Context) {
	inside := ctx.Value(insideKey{}) != nil
	if r.draining {
		// Who is called by a sender must not wait for one.
		for !inside && r.draining && len(r.out) > backlog {
			r.idle.Wait()
		}
		r.mu.Unlock()
		return
	}
	if len(r.out) > 0 {
		if !inside {
			ctx = context.WithValue(ctx, insideKey{}, true)
		}
		r.draining = true
		for len(r.out) > 0 {
			batch := r.out
			r.out = nil
			r.mu.Unlock()
			for i := range batch {
				r.m.deliver(ctx, &batch[i])
			}
			r.mu.Lock()
			r.idle.Broadcast()
		}
		r.draining = false
		r.idle.Broadcast()
	}
	r.settle()
	r.mu.Unlock()
}

// with calls f between lock and exit, for who has the room at hand.
func (r *room) with(ctx context.Context, f func()) {
	r.mu.Lock()
	defer r.exit(ctx)
	if !r.dead {
		f()
	}
}

// deliver sends one parcel. A panic on the way ends this parcel only: the
// goroutine may belong to somebody else's connection.
func (m *Module) deliver(ctx context.Context, p *parcel) {
	defer func() {
		if v := recover(); v != nil {
			m.log.Error("panic while a room was sending", "err", v, "stack", string(debug.Stack()))
		}
	}()
	if p.to == nil {
		m.host.Send(ctx, p.st, nil)
		return
	}
	copies := make([]stanza.Stanza, len(p.to)) // headers only; all share the content
	for i, j := range p.to {
		copies[i] = *p.st
		copies[i].To = j
		m.host.Send(ctx, &copies[i], nil)
	}
}

// settle puts a room away that nobody is in: a persistent one only from
// memory, any other for ever, and so one whose creator has left it without a
// configuration.
func (r *room) settle() {
	if r.dead || r.pins > 0 || len(r.seats) > 0 {
		return
	}
	if r.locked() || !r.conf.Persistent {
		r.forget(nil)
	}
	r.drop()
}

// drop takes the room from memory.
func (r *room) drop() {
	r.dead = true
	r.m.mu.Lock()
	if r.m.rooms[r.jid] == r {
		delete(r.m.rooms, r.jid)
	}
	r.m.mu.Unlock()
}

// forget ends the room: its messages go, and its entry, but for a tombstone.
func (r *room) forget(gone *tombstone) {
	r.m.mu.Lock()
	if gone != nil {
		r.m.index[r.jid] = &entry{lasts: true, gone: gone}
	} else {
		delete(r.m.index, r.jid)
	}
	r.m.mu.Unlock()
	r.dropHistory()
	if a := r.m.conf.Archive; a != nil {
		a.Forget(r.jid)
	}
}

// enlist shows the room's configuration in the list of rooms.
func (r *room) enlist() {
	r.m.mu.Lock()
	r.m.index[r.jid] = &entry{title: r.title(), public: r.conf.Public && !r.locked(), lasts: r.conf.Persistent, group: r.group != nil, by: r.by}
	r.m.mu.Unlock()
}
