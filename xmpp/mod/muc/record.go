package muc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// Tables of the store.
const (
	tableRooms   = "rooms"
	tableUsers   = "room_users"
	tableHistory = "room_history"
)

// keepGone is how long a destroyed persistent room cannot be made again.
const keepGone = 30 * 24 * time.Hour

// record is a persistent room on disk.
type record struct {
	V      int        `json:"v"`
	Conf   settings   `json:"conf"`
	Secret []byte     `json:"secret,omitempty"`
	Photo  string     `json:"photo,omitempty"` // SHA-1 of the vCard's photo
	By     jid.JID    `json:"by,omitzero"`     // who made the room
	Group  bool       `json:"group,omitempty"` // it follows the group of its name
	Floor  archive.ID `json:"floor,omitempty"` // what is archived below it was another room's
	Gone   *tombstone `json:"gone,omitempty"`  // the room was destroyed; nothing else counts
}

// tombstone says why a room is no more.
type tombstone struct {
	At     time.Time `json:"at"`
	Venue  string    `json:"venue,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func (t *tombstone) err() error {
	text := "This room was destroyed."
	if t.Venue != "" {
		text += " Please go to " + t.Venue + " instead."
	}
	if t.Reason != "" {
		text += " Reason: " + t.Reason
	}
	e := stanza.NewError(stanza.Gone, text)
	if venue, err := jid.Parse(t.Venue); err == nil {
		e.Instead = enterURI(venue)
	}
	return e
}

// enterURI is the address of a room for who enters it (RFC 5122 §2.7, XEP-0147 §9.1).
func enterURI(room jid.JID) string {
	u := url.URL{Scheme: "xmpp", Opaque: url.PathEscape(room.Local()) + "@" + url.PathEscape(room.Domain()), RawQuery: "join"}
	return u.String()
}

// subject is what the room talks about, and who said so. Its row is apart from
// the record, since it changes without waiting for other changes.
type subject struct {
	V     int       `json:"v"`
	Inner string    `json:"inner"` // the <subject/> elements as they were written
	Text  string    `json:"text"`
	Nick  string    `json:"nick"`
	By    string    `json:"by"` // the XEP-0421 element of who said so
	At    time.Time `json:"at"`
}

// member is somebody's row: an affiliation, a registered nick, or both.
type member struct {
	V           int             `json:"v"`
	Affiliation muc.Affiliation `json:"affiliation"`
	Nick        string          `json:"nick,omitempty"`
	Reason      string          `json:"reason,omitempty"`
}

func (u member) empty() bool { return u.Affiliation == muc.NoAffiliation && u.Nick == "" }

// card is the room's vCard.
type card struct {
	V   int    `json:"v"`
	XML string `json:"xml"`
}

// No address holds a NUL.
func cardKey(room jid.JID) string       { return room.String() + "\x00vcard" }
func subjectKey(room jid.JID) string    { return room.String() + "\x00subject" }
func userKey(room, user jid.JID) string { return room.String() + "\x00" + user.String() }

// rows are changes by table and key.
type rows map[string]map[string]any

func (w rows) put(table, key string, v any) {
	if w[table] == nil {
		w[table] = make(map[string]any)
	}
	w[table][key] = v
}

// readIndex learns which rooms there are. A row that cannot be read is logged
// and left out: it must not keep the server from starting.
func (m *Module) readIndex() error {
	dead := make(map[string]any)
	err := m.table.Range("", "", false, func(key string, raw []byte) bool {
		if strings.Contains(key, "\x00") {
			return true
		}
		var rec record
		name, err := jid.Parse(key)
		if err == nil {
			err = json.Unmarshal(raw, &rec)
		}
		switch {
		case err != nil:
			m.log.Error("room unreadable", "room", key, "err", err)
		case rec.Gone != nil && m.conf.Now().After(rec.Gone.At.Add(keepGone)):
			dead[key] = nil
		case name.Domain() == m.conf.Domain:
			m.index[name.Clone()] = &entry{title: rec.Conf.Title, public: rec.Conf.Public, lasts: true, group: rec.Group, by: rec.By, gone: rec.Gone}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read rooms: %w", err)
	}
	if len(dead) > 0 {
		m.table.Later(dead, nil)
	}
	if err := m.sweepArchive(); err != nil {
		return err
	}
	return m.sweepHistory()
}

// load reads a persistent room.
func (r *room) load() error {
	var rec record
	found, err := r.m.table.Get(r.jid.String(), &rec)
	switch {
	case err != nil:
		return err
	case !found || rec.Gone != nil:
		return fmt.Errorf("no row")
	}
	r.conf, r.secret, r.photo, r.floor, r.by = rec.Conf, rec.Secret, rec.Photo, rec.Floor, rec.By
	if rec.Group {
		r.follow()
	}
	if _, err := r.m.table.Get(subjectKey(r.jid), &r.subject); err != nil {
		return err
	}
	var bad error
	err = r.m.users.Range(userKey(r.jid, jid.JID{}), r.jid.String()+"\x01", false, func(key string, raw []byte) bool {
		var u member
		_, who, _ := strings.Cut(key, "\x00")
		j, err := jid.Parse(who)
		if err == nil {
			err = json.Unmarshal(raw, &u)
		}
		if err != nil {
			bad = fmt.Errorf("row of %s: %w", who, err)
			return false // better no room than one that has forgotten a ban
		}
		r.users[j.Clone()] = u
		return true
	})
	if err == nil {
		err = bad
	}
	if err == nil {
		err = r.loadHistory()
	}
	return err
}

// record is the room's row with the given configuration.
func (r *room) record(conf settings) record {
	return record{V: 1, Conf: conf, Secret: r.secret, Photo: r.photo, By: r.by, Group: r.group != nil, Floor: r.floor}
}

// subjectRow is the subject's, nil while none was set.
func (r *room) subjectRow() any {
	if r.subject.Inner == "" {
		return nil
	}
	return r.subject
}

// commit writes rows and waits until they are on disk.
func (m *Module) commit(w rows) error {
	done := make(chan error, 1)
	m.host.Tables().LaterAll(w, func(err error) { done <- err })
	if err := <-done; err != nil {
		return fmt.Errorf("store room: %w", err)
	}
	return nil
}

// plan is a change that was checked: what goes to disk, and what happens then.
type plan struct {
	rows  rows
	apply func() // with the room locked
}

// change makes a lasting change. f runs with the room locked and checks; the
// rows it returns are on disk before apply is called. Changes of one room run
// one after the other, so what f has seen of the configuration and of the
// lists still holds in apply; occupants may have come and gone.
func (m *Module) change(ctx context.Context, name jid.JID, f func(r *room) (plan, error)) error {
	r, err := m.need(name)
	if err != nil {
		return err
	}
	r.pins++ // not to be put away meanwhile
	r.mu.Unlock()
	r.changes.Lock()
	defer r.changes.Unlock()
	defer func() {
		r.mu.Lock()
		r.pins--
		r.exit(ctx)
	}()
	p, err := r.prepare(f)
	if err == nil && len(p.rows) > 0 {
		err = m.commit(p.rows)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock() // before the exit above
	p.apply()
	return nil
}

func (r *room) prepare(f func(r *room) (plan, error)) (plan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return plan{}, noRoom()
	}
	return f(r)
}

// purge removes an account from the rooms' lists. A room that loses its last
// owner that way keeps its admins, and the server's administrators own it.
func (m *Module) purge(account jid.JID) error {
	m.mu.Lock()
	var names []jid.JID
	for name, e := range m.index {
		if e.gone == nil {
			names = append(names, name)
		}
	}
	m.mu.Unlock()
	for _, name := range names {
		err := m.change(context.Background(), name, func(r *room) (plan, error) {
			if _, ok := r.users[account]; !ok {
				return plan{apply: func() {}}, nil
			}
			return r.planUsers(map[jid.JID]member{account: {}}, telling{}, nil), nil
		})
		if e := (*stanza.Error)(nil); errors.As(err, &e) && e.Condition == stanza.ItemNotFound {
			continue // the room has ended meanwhile
		}
		if err != nil {
			return fmt.Errorf("purge %s of room %s: %w", account, name, err)
		}
	}
	return nil
}
