// Package vcard keeps each account's vCard (XEP-0054 1.2), has the account's
// presence say which photo it holds (XEP-0153 1.1), and keeps that photo and the
// account's avatar (XEP-0084 1.1.4) the same (XEP-0398 1.0.0).
//
// A vCard is kept as it was written, up to 128 KiB, and anybody may ask for it.
// For an account without one the office directory answers (xmpp.Directory), to who
// may see the person, and its photo is the account's. One's own missing
// vCard is item-not-found; another's, and that of nobody, is service-unavailable alike.
//
// Available presence of a client leaves with the hash of the account's photo,
// whatever the client says, but for one that says by an empty photo that it has
// none to show (XEP-0398 §5); of an account without a vCard only when the client
// says something. A new photo is announced at once for all available resources.
//
// A photo that is set in the vCard is published as avatar data and metadata, to
// everybody when the nodes are new; one that is taken away ends the avatar. An
// avatar that is published becomes the vCard's photo, its bytes as they are, and
// ends with it. Both are on disk with the same commit. Not followed: an avatar
// that has only a URL, or whose data is missing or not what its id says; and one
// that its owner has closed (access model whitelist or roster), since a vCard is
// for everybody.
//
// Rows lie in the table "vcard": the vCard, and its photo's hash apart, so that
// presence does not read photos. In memory is one hash for each account that is
// online. The package starts no goroutine.
package vcard

import (
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0153 asks for it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
)

const (
	ns       = "vcard-temp"
	nsUpdate = "vcard-temp:x:update"
	table    = "vcard"

	maxSize = 128 << 10 // bytes
	prio    = 60        // at Outbound presence, before the presence module broadcasts (100)
)

// card is a vCard on disk.
type card struct {
	V      int    `json:"v"`
	XML    string `json:"xml"`
	Avatar bool   `json:"avatar,omitempty"` // nothing but a photo, which came as an avatar: the directory has the rest
}

// photo is what presence says of an account's vCard.
type photo struct {
	V      int    `json:"v"`
	SHA1   string `json:"sha1"` // "" without a photo
	none   bool   // there is no vCard
	stored bool   // it is the account's own
}

// Module is XEP-0054. Safe for concurrent use after Load.
type Module struct {
	presences xmpp.Presences
	service   *pubsub.Service
	directory xmpp.Directory
	host      xmpp.Host
	table     xmpp.Table

	mu     sync.Mutex // guards photos
	photos map[jid.JID]photo
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module; p broadcasts a new photo, s keeps the avatars.
func New(p xmpp.Presences, s *pubsub.Service) *Module {
	return &Module{presences: p, service: s, photos: make(map[jid.JID]photo)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "vcard", Specs: []xmpp.Spec{
		{Doc: "XEP-0054", Version: "1.2", Title: "vcard-temp"},
		{Doc: "XEP-0084", Version: "1.1.4", Title: "User Avatar"},
		{Doc: "XEP-0153", Version: "1.1", Title: "vCard-Based Avatars"},
		{Doc: "XEP-0398", Version: "1.0.0", Title: "User Avatar to vCard-Based Avatars Conversion"},
	}}
}

// Load registers the handlers and hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table(table)
	name := stanza.Name{Space: ns, Local: "vCard"}
	h.IQ(xmpp.ToSelf, stanza.Get, name, m.own)
	h.IQ(xmpp.ToSelf, stanza.Set, name, m.set)
	h.IQ(xmpp.ToBare, stanza.Get, name, m.other)
	h.IQ(xmpp.ToBare, stanza.Set, name, forbidden)
	h.Feature(xmpp.ToHost, ns)
	h.Feature(xmpp.ToBare, ns, nsConversion)
	m.service.Open(h)
	m.service.Before(nodeMeta, m.avatar)
	h.Presence(xmpp.Outbound, prio, m.presence)
	h.Session(m.session)
	return nil
}

func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "You can change your own vCard only.")
}

func (m *Module) read(user jid.JID) (c card, err error) {
	if _, err = m.table.Get(user.String(), &c); err != nil {
		return c, fmt.Errorf("read vCard: %w", err)
	}
	return c, nil
}

// show is an account's vCard as a viewer gets it, "" for none.
func (m *Module) show(viewer, user jid.JID) (string, error) {
	c, err := m.read(user)
	switch {
	case err != nil:
		return "", err
	case c.XML == "":
		return m.Card(viewer, user), nil
	case c.Avatar:
		if listed := m.Card(viewer, user); listed != "" {
			el, _ := element(c.XML) // ignored: then there is no photo
			raw, mime := picture(&el)
			return withPhoto(listed, mime, raw), nil
		}
	}
	return c.XML, nil
}

func (m *Module) own(_ context.Context, iq *xmpp.IQ) (string, error) {
	user := iq.Session.JID().Bare()
	xml, err := m.show(user, user)
	if err == nil && xml == "" {
		err = stanza.NewError(stanza.ItemNotFound, "You have no vCard yet.")
	}
	return xml, err
}

func (m *Module) other(_ context.Context, iq *xmpp.IQ) (xml string, err error) {
	if iq.Exists {
		xml, err = m.show(iq.From, iq.To)
	}
	if err == nil && xml == "" {
		err = stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address answers this request.")
	}
	return xml, err
}

// photoKey is the row of a photo's hash. No address holds a NUL.
func photoKey(user jid.JID) string { return user.String() + "\x00photo" }

func (m *Module) set(ctx context.Context, iq *xmpp.IQ) (string, error) {
	el, _ := iq.Child(ns, "vCard")
	xml := el.XML()
	if len(xml) > maxSize {
		return "", stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A vCard may have at most %d KiB; choose a smaller photo.", maxSize>>10))
	}
	user := iq.Session.JID().Bare()
	err := m.service.Change(ctx, user, func(tx *pubsub.Tx) error {
		old, err := m.photo(user)
		if err != nil {
			return err
		}
		raw, mime := picture(&el)
		now := photo{V: 1, SHA1: sum(raw), stored: true}
		m.put(tx, &card{V: 1, XML: xml}, old, now)
		if old.stored && old.SHA1 == now.SHA1 {
			return nil
		}
		return publish(tx, now.SHA1, mime, raw)
	})
	if err != nil {
		m.forget(user)
		return "", err
	}
	return "", nil
}

// put has a vCard stored with the transaction, nil for none, and its photo told
// behind it.
func (m *Module) put(tx *pubsub.Tx, c *card, old, now photo) {
	user := tx.Owner()
	if c != nil {
		tx.Put(table, user.String(), *c)
		tx.Put(table, photoKey(user), now)
	} else {
		tx.Put(table, user.String(), nil)
		tx.Put(table, photoKey(user), nil)
	}
	tx.After(func(ctx context.Context) {
		sessions := m.host.Sessions(user)
		m.mu.Lock()
		if m.photos[user] = now; len(sessions) == 0 {
			delete(m.photos, user)
		}
		m.mu.Unlock()
		if old.SHA1 == now.SHA1 {
			return
		}
		now.none = false // also that it is gone
		for _, s := range sessions {
			m.presences.Refresh(ctx, s, now.renew)
		}
	})
}

// forget has the hash read from the disk the next time.
func (m *Module) forget(user jid.JID) {
	m.mu.Lock()
	delete(m.photos, user)
	m.mu.Unlock()
}

// picture is the photo in the vCard and its media type, nil without one
// (XEP-0153 §3.1).
func picture(card *stanza.Element) (raw []byte, mime string) {
	p := card.Child(ns, "PHOTO")
	if p == nil {
		return nil, ""
	}
	raw, err := decode(p.ChildText(ns, "BINVAL"))
	if err != nil {
		return nil, ""
	}
	return raw, strings.TrimSpace(p.ChildText(ns, "TYPE"))
}

// decode reads base64 with white space in it.
func decode(text string) ([]byte, error) {
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, text)
	return base64.StdEncoding.DecodeString(text)
}

// sum is the SHA-1 of a photo, "" without one.
func sum(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	h := sha1.Sum(raw) //nolint:gosec // XEP-0153 asks for it
	return hex.EncodeToString(h[:])
}

// photo returns what an account's presence says, from memory if it is there.
func (m *Module) photo(user jid.JID) (photo, error) {
	m.mu.Lock()
	p, ok := m.photos[user]
	m.mu.Unlock()
	if ok {
		return p, nil
	}
	found, err := m.table.Get(photoKey(user), &p)
	if err != nil {
		return p, fmt.Errorf("read photo of vCard: %w", err)
	}
	if p.stored = found; !found {
		p = m.listed(user)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if newer, ok := m.photos[user]; ok {
		return newer, nil
	}
	m.photos[user.Clone()] = p
	return p, nil
}

// presence has available presence carry the hash, also where it is directed.
func (m *Module) presence(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if d.Stanza.Type != "" {
		return xmpp.Pass, nil
	}
	p, err := m.photo(d.Sender.JID().Bare())
	if err != nil {
		m.host.Log().Error("presence without its photo", "comp", "vcard", "user", d.Sender.JID().Bare().String(), "err", err)
		return xmpp.Pass, nil
	}
	d.Stanza = p.tell(d.Stanza, false)
	return xmpp.Pass, nil
}

// renew puts the hash into a presence that was told before.
func (p photo) renew(st *stanza.Stanza) *stanza.Stanza { return p.tell(st, true) }

// tell puts the hash into a presence, in place of what the client says. A client
// that says that it has no photo is left alone, but for one that has changed.
func (p photo) tell(st *stanza.Stanza, changed bool) *stanza.Stanza {
	if strings.Contains(st.Inner(), nsUpdate) || strings.Contains(st.Decls(), nsUpdate) {
		claims, right := 0, 0
		els := st.Elements()
		for i := range els {
			if !isUpdate(&els[i]) {
				continue
			}
			claims++
			if c := els[i].Child(nsUpdate, "photo"); c != nil && (c.Text == p.SHA1 || c.Text == "" && !changed) {
				right++
			}
		}
		if claims == 1 && right == 1 {
			return st
		}
		st = st.Without(isUpdate)
	} else if p.none {
		return st
	}
	if p.SHA1 == "" {
		return st.WithAppended("<x xmlns='" + nsUpdate + "'><photo/></x>")
	}
	return st.WithAppended("<x xmlns='" + nsUpdate + "'><photo>" + p.SHA1 + "</photo></x>")
}

func isUpdate(e *stanza.Element) bool { return e.Name == stanza.Name{Space: nsUpdate, Local: "x"} }

// session drops from memory who is no longer online.
func (m *Module) session(_ context.Context, e xmpp.SessionEvent) {
	user := e.Session.JID().Bare()
	if e.Kind == xmpp.SessionClosed && len(m.host.Sessions(user)) == 0 {
		m.forget(user)
	}
}

// Purge forgets the vCard of a removed account.
func (m *Module) Purge(account jid.JID) error {
	user := account.Bare()
	err := m.table.Write(map[string]any{user.String(): nil, photoKey(user): nil})
	m.forget(user)
	if err != nil {
		return fmt.Errorf("purge vCard of %s: %w", user, err)
	}
	return nil
}
