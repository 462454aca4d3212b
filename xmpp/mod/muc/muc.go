// Package muc is the group chat service: a hosted domain whose addresses are
// rooms (XEP-0045 1.34, with XEP-0249 1.2 invitations, XEP-0410 1.1 self-ping,
// XEP-0421 1.0 occupant identifiers and XEP-0486 0.1 room avatars), with an
// archive for each room (XEP-0313 1.1.3) in which authors (XEP-0424 0.4.2) and
// moderators (XEP-0425 0.3.0) retract messages.
//
// A room is in memory while somebody is in it; a persistent one lies on disk
// otherwise, and nothing of it runs. What a room tells leaves it in one order
// for all occupants: whoever changes it queues under its lock what is to be
// sent, and one goroutine at a time, that of whoever came first, sends it
// without the lock. A change that must survive (affiliations, configuration,
// registrations, the vCard) is checked, written, waited for, and only then
// applied and told, so that a crash leaves either all of it or none.
//
// Choices where the standard leaves room: resources of one bare JID share a
// nick; presence without the join element from somebody who is not inside is
// refused, so that clients notice that they have fallen out; a destroyed
// persistent room stays gone for 30 days; registering a nick makes a member;
// status 170 tells of the owner's setting for a public log (§7.2.12), not of the
// archive, which only those read who may enter; the server's administrators own
// the rooms of groups, and rooms that have lost their last owner.
//
// The package starts no goroutine.
package muc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// Config is what the service is made of.
type Config struct {
	Domain string // full name of the service
	// Create says who may make rooms; nil: the accounts of this server.
	Create func(jid.JID) bool
	// Rooms is how many there may be; 0 means 10,000.
	Rooms int
	// RoomsEach is how many one account may have made; 0 means 200.
	RoomsEach int
	// Seats is how many resources a room holds, whatever its configuration says;
	// 0 means 2,000.
	Seats int
	// Archive keeps what is said in rooms; nil for none. With ArchiveOff nothing
	// new comes into it and nobody reads it, but what rooms that end have left goes.
	Archive    *archive.Archive
	ArchiveOff bool
	// Groups are the groups that have rooms; nil for none.
	Groups xmpp.GroupRooms
	// Admin says who administers the server: they own the rooms that nobody else
	// does. nil: nobody.
	Admin func(jid.JID) bool
	Now   func() time.Time // nil means time.Now
}

// Module is the service. Safe for concurrent use after Load.
type Module struct {
	conf Config
	host xmpp.Host
	log  *slog.Logger

	table, users, history xmpp.Table

	mu    sync.Mutex // guards what follows; a leaf, taken inside a room's lock too
	rooms map[jid.JID]*room
	index map[jid.JID]*entry
	where map[jid.JID][]*room // rooms that an address is in
	paces map[jid.JID]*pace   // of joins, by bare JID
}

// entry is what is known of a room without loading it.
type entry struct {
	title  string
	public bool
	lasts  bool    // persistent
	group  bool    // the room of a group
	by     jid.JID // who made it, zero where that is not known
	gone   *tombstone
}

var (
	_ xmpp.Module  = (*Module)(nil)
	_ xmpp.Handler = (*Module)(nil)
)

// New makes the module.
func New(c Config) *Module {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rooms == 0 {
		c.Rooms = 10000
	}
	if c.RoomsEach == 0 {
		c.RoomsEach = 200
	}
	if c.Seats == 0 {
		c.Seats = 2000
	}
	return &Module{
		conf:  c,
		rooms: make(map[jid.JID]*room), index: make(map[jid.JID]*entry),
		where: make(map[jid.JID][]*room), paces: make(map[jid.JID]*pace),
	}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "muc", Specs: []xmpp.Spec{
		{Doc: "XEP-0045", Version: "1.34", Title: "Multi-User Chat"},
		{Doc: "XEP-0249", Version: "1.2", Title: "Direct MUC Invitations"},
		{Doc: "XEP-0410", Version: "1.1", Title: "MUC Self-Ping"},
		{Doc: "XEP-0421", Version: "1.0", Title: "Occupant Identifiers for MUC"},
		{Doc: "XEP-0424", Version: "0.4.2", Title: "Message Retraction"},
		{Doc: "XEP-0425", Version: "0.3.0", Title: "Moderated Message Retraction"},
		{Doc: "XEP-0486", Version: "0.1", Title: "MUC Avatars"},
	}}
}

// Load registers the domain and reads which rooms there are.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.log = h, h.Log().With("comp", "muc")
	j, err := jid.Parse(m.conf.Domain)
	if err != nil {
		return fmt.Errorf("domain of rooms: %w", err)
	}
	m.conf.Domain = j.String() // canonical
	if m.conf.Create == nil {
		m.conf.Create = h.Exists
	}
	if m.conf.Admin == nil {
		m.conf.Admin = func(jid.JID) bool { return false }
	}
	m.table, m.users, m.history = h.Table(tableRooms), h.Table(tableUsers), h.Table(tableHistory)
	if m.conf.Archive != nil {
		if err := m.conf.Archive.Open(h); err != nil {
			return err
		}
	}
	if err := m.readIndex(); err != nil {
		return err
	}
	if err := m.readGroups(); err != nil {
		return err
	}
	features := []string{muc.Space, muc.SpaceOccupant}
	if m.archives() {
		features = append(features, archive.Space)
	}
	h.Session(m.session)
	return h.Domain(xmpp.Domain{
		Name:       m.conf.Domain,
		Identities: []xmpp.Identity{{Category: "conference", Type: "text", Name: "Rooms"}},
		Features:   features,
		Handler:    m,
	})
}

// Handle takes everything that is addressed to the domain.
func (m *Module) Handle(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	switch {
	case st.To.Local() == "":
		return m.service(ctx, st)
	case st.Kind == stanza.Presence:
		return xmpp.Done, m.presence(ctx, st)
	case st.Kind == stanza.Message:
		return xmpp.Done, m.message(ctx, d)
	}
	return m.iq(ctx, st)
}

// enter returns a room, loaded and locked; exit must follow. nil, nil: there
// is none.
func (m *Module) enter(name jid.JID) (*room, error) {
	for {
		m.mu.Lock()
		r := m.rooms[name]
		if r == nil {
			if e := m.index[name]; e == nil || e.gone != nil {
				m.mu.Unlock()
				return nil, nil
			}
			r = m.newRoom(name.Clone())
			m.rooms[r.jid] = r
		}
		m.mu.Unlock()
		r.once.Do(func() { r.err = r.load() })
		r.mu.Lock()
		switch {
		case r.err != nil:
			r.drop()
			r.mu.Unlock()
			return nil, fmt.Errorf("load room %s: %w", name, r.err)
		case !r.dead:
			return r, nil
		}
		r.mu.Unlock()
	}
}

// need is enter for requests: a missing room is item-not-found.
func (m *Module) need(name jid.JID) (*room, error) {
	r, err := m.enter(name)
	if err == nil && r == nil {
		err = noRoom()
	}
	return r, err
}

func noRoom() error {
	return stanza.NewError(stanza.ItemNotFound, "There is no room of this name.")
}

// create makes a room that waits for its first configuration, locked; exit
// must follow. With nil, nil somebody else was faster.
func (m *Module) create(name, by jid.JID) (*room, error) {
	if !m.conf.Create(by.Bare()) {
		return nil, stanza.NewError(stanza.NotAllowed, "You may not create rooms here.")
	}
	if m.grouped(name) { // it is coming, or going
		return nil, stanza.NewError(stanza.ResourceConstraint, "The room of this group is being made; try again in a moment.")
	}
	r := m.newRoom(name.Clone())
	r.once.Do(func() {}) // nothing to load
	r.begin(by)
	r.mu.Lock()
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.index[name]
	switch {
	case e != nil && e.gone != nil && m.conf.Now().Before(e.gone.At.Add(keepGone)):
		r.mu.Unlock()
		return nil, e.gone.err()
	case e != nil && e.gone == nil:
		r.mu.Unlock()
		return nil, nil
	case len(m.index) >= m.conf.Rooms:
		r.mu.Unlock()
		return nil, stanza.NewError(stanza.NotAllowed, "There are too many rooms; ask your administrator.")
	case m.made(r.by) >= m.conf.RoomsEach:
		r.mu.Unlock()
		return nil, stanza.NewError(stanza.NotAllowed, fmt.Sprintf("You have made %d rooms; destroy one that nobody needs before you make another.", m.conf.RoomsEach))
	}
	m.rooms[r.jid] = r
	m.index[r.jid] = &entry{title: r.title(), by: r.by}
	return r, nil
}

// made counts the rooms that somebody has made. mu is held.
func (m *Module) made(by jid.JID) (n int) {
	for _, e := range m.index {
		if e.gone == nil && e.by == by {
			n++
		}
	}
	return n
}

// session takes a resource that is gone out of its rooms.
func (m *Module) session(ctx context.Context, e xmpp.SessionEvent) {
	if e.Kind == xmpp.SessionClosed {
		m.lost(ctx, e.Session.JID(), nil)
	}
}

// lost takes an address that nothing can be sent to out of all its rooms.
func (m *Module) lost(ctx context.Context, real jid.JID, codes []int) {
	m.mu.Lock()
	rooms := slices.Clone(m.where[real])
	m.mu.Unlock()
	for _, r := range rooms {
		r.with(ctx, func() {
			if s := r.seat(real); s != nil {
				r.leave(s, nil, false, codes)
			}
		})
	}
}

// alive reports that a local resource is still there, so that an error from
// it is no sign of a ghost.
func (m *Module) alive(real jid.JID) bool {
	return slices.ContainsFunc(m.host.Sessions(real.Bare()), func(s xmpp.Session) bool { return s.JID() == real })
}

// ghost looks at an error that came back from an occupant: when it says that
// nobody is there, the occupant is taken out of all rooms (XEP-0045 §7.14).
func (m *Module) ghost(ctx context.Context, st *stanza.Stanza) {
	e, ok := stanza.ErrorOf(st)
	if !ok || m.alive(st.From) {
		return
	}
	switch e.Condition {
	case stanza.Gone, stanza.ItemNotFound, stanza.RecipientUnavailable, stanza.Redirect, stanza.ServiceUnavailable,
		stanza.RemoteServerNotFound, stanza.RemoteServerTimeout, stanza.JIDMalformed:
		m.lost(ctx, st.From, []int{muc.StatusTechnical})
	}
}

// maxRooms is how many rooms one address may be in.
const maxRooms = 300

// track notes that an address is in a room; false when it is in too many.
func (m *Module) track(real jid.JID, r *room) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.where[real]
	if len(l) >= maxRooms {
		return false
	}
	m.where[real] = append(l, r)
	return true
}

func (m *Module) untrack(real jid.JID, r *room) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.where[real]
	if i := slices.Index(l, r); i >= 0 {
		if l = slices.Delete(l, i, i+1); len(l) == 0 {
			delete(m.where, real)
		} else {
			m.where[real] = l
		}
	}
}

// Run tells everybody at the end that the service stops (status 332).
func (m *Module) Run(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	var rooms []*room
	for _, r := range m.rooms {
		rooms = append(rooms, r)
	}
	m.mu.Unlock()
	for _, r := range rooms {
		r.with(context.WithoutCancel(ctx), r.shutdown)
	}
	return nil
}

// Purge takes a removed account out of all rooms' lists.
func (m *Module) Purge(account jid.JID) error { return m.purge(account.Bare()) }
