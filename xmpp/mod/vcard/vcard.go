// Package vcard keeps each account's vCard (XEP-0054 1.2) and has the account's
// presence say which photo it holds (XEP-0153 1.1, as a server does it after
// XEP-0398 1.0 §3).
//
// A vCard is kept as it was written, up to 128 KiB, and anybody may ask for it.
// For an account without one the office directory answers (xmpp.Directory), to who
// may see the person, and its photo is the account's. One's own missing
// vCard is item-not-found; another's, and that of nobody, is service-unavailable alike.
//
// Available presence of a client leaves with the hash of the account's photo,
// whatever the client says; of an account without a vCard only when the client
// says something. A new photo is announced at once for all available resources.
// Left out: conversion from and to XEP-0084.
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
	"doorway/xmpp/stanza"
)

const (
	ns       = "vcard-temp"
	nsUpdate = "vcard-temp:x:update"

	maxSize = 128 << 10 // bytes
	prio    = 60        // at Outbound presence, before the presence module broadcasts (100)
)

// card is a vCard on disk.
type card struct {
	V   int    `json:"v"`
	XML string `json:"xml"`
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
	directory xmpp.Directory
	host      xmpp.Host
	table     xmpp.Table

	mu     sync.Mutex // guards photos
	photos map[jid.JID]photo
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module; p broadcasts a new photo.
func New(p xmpp.Presences) *Module {
	return &Module{presences: p, photos: make(map[jid.JID]photo)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "vcard", Specs: []xmpp.Spec{
		{Doc: "XEP-0054", Version: "1.2", Title: "vcard-temp"},
		{Doc: "XEP-0153", Version: "1.1", Title: "vCard-Based Avatars"},
	}}
}

// Load registers the handlers and hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table("vcard")
	name := stanza.Name{Space: ns, Local: "vCard"}
	h.IQ(xmpp.ToSelf, stanza.Get, name, m.own)
	h.IQ(xmpp.ToSelf, stanza.Set, name, m.set)
	h.IQ(xmpp.ToBare, stanza.Get, name, m.other)
	h.IQ(xmpp.ToBare, stanza.Set, name, forbidden)
	h.Feature(xmpp.ToHost, ns)
	h.Feature(xmpp.ToBare, ns)
	h.Presence(xmpp.Outbound, prio, m.presence)
	h.Session(m.session)
	return nil
}

func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "You can change your own vCard only.")
}

func (m *Module) read(user jid.JID) (string, error) {
	var c card
	if _, err := m.table.Get(user.String(), &c); err != nil {
		return "", fmt.Errorf("read vCard: %w", err)
	}
	return c.XML, nil
}

func (m *Module) own(_ context.Context, iq *xmpp.IQ) (string, error) {
	user := iq.Session.JID().Bare()
	xml, err := m.read(user)
	if err == nil && xml == "" {
		xml = m.Card(user, user)
	}
	if err == nil && xml == "" {
		err = stanza.NewError(stanza.ItemNotFound, "You have no vCard yet.")
	}
	return xml, err
}

func (m *Module) other(_ context.Context, iq *xmpp.IQ) (xml string, err error) {
	if iq.Exists {
		if xml, err = m.read(iq.To); err == nil && xml == "" {
			xml = m.Card(iq.From, iq.To)
		}
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
	old, err := m.photo(user)
	if err != nil {
		return "", err
	}
	now := photo{V: 1, SHA1: hash(&el), stored: true}
	done := make(chan error, 1)
	m.mu.Lock() // disk and memory have one order
	m.table.Later(map[string]any{user.String(): card{V: 1, XML: xml}, photoKey(user): now}, func(err error) { done <- err })
	m.photos[user] = now
	m.mu.Unlock()
	if err := <-done; err != nil {
		m.mu.Lock()
		delete(m.photos, user)
		m.mu.Unlock()
		return "", fmt.Errorf("store vCard: %w", err)
	}
	if old.SHA1 != now.SHA1 {
		for _, s := range m.host.Sessions(user) {
			m.presences.Refresh(ctx, s, now.tell)
		}
	}
	return "", nil
}

// hash is the SHA-1 of the photo in the vCard, "" without one (XEP-0153 §3.1).
func hash(card *stanza.Element) string {
	p := card.Child(ns, "PHOTO")
	if p == nil {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, p.ChildText(ns, "BINVAL"))
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return ""
	}
	sum := sha1.Sum(raw) //nolint:gosec // XEP-0153 asks for it
	return hex.EncodeToString(sum[:])
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
	d.Stanza = p.tell(d.Stanza)
	return xmpp.Pass, nil
}

// tell puts the hash into a presence, in place of what the client says.
func (p photo) tell(st *stanza.Stanza) *stanza.Stanza {
	if strings.Contains(st.Inner(), nsUpdate) || strings.Contains(st.Decls(), nsUpdate) {
		claims, right := 0, 0
		els := st.Elements()
		for i := range els {
			if !isUpdate(&els[i]) {
				continue
			}
			claims++
			if c := els[i].Child(nsUpdate, "photo"); c != nil && c.Text == p.SHA1 {
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
		m.mu.Lock()
		delete(m.photos, user)
		m.mu.Unlock()
	}
}

// Purge forgets the vCard of a removed account.
func (m *Module) Purge(account jid.JID) error {
	user := account.Bare()
	err := m.table.Write(map[string]any{user.String(): nil, photoKey(user): nil})
	m.mu.Lock()
	delete(m.photos, user)
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("purge vCard of %s: %w", user, err)
	}
	return nil
}
