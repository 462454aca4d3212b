package vcard

import (
	"context"
	"encoding/base64"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// Consult has the module ask a directory for people who keep no vCard. It is
// called before Load, and returns the module.
func (m *Module) Consult(d xmpp.Directory) *Module {
	m.directory = d
	return m
}

// Card is the vCard that the directory makes of the person at an address: an
// account without a vCard of its own, or a phone. "" where the viewer may see
// nobody there.
func (m *Module) Card(viewer, address jid.JID) string {
	if m.directory == nil {
		return ""
	}
	e, ok := m.directory.Entry(viewer.Bare(), address.Bare())
	if !ok || !described(&e) {
		return ""
	}
	var w xmlstream.Writer
	w.Start(ns, "vCard").Leaf("", "FN", e.Name)
	if e.First != "" || e.Last != "" {
		w.Start("", "N").Leaf("", "FAMILY", e.Last).Leaf("", "GIVEN", e.First).End()
	}
	if e.Nick != "" {
		w.Leaf("", "NICKNAME", e.Nick)
	}
	if e.Department != "" {
		w.Start("", "ORG").Leaf("", "ORGNAME", "").Leaf("", "ORGUNIT", e.Department).End()
	}
	for _, p := range e.Phones {
		w.Start("", "TEL").Leaf("", "WORK", "").Leaf("", "CELL", "").Leaf("", "NUMBER", p).End()
	}
	if e.Email != "" {
		w.Start("", "EMAIL").Leaf("", "WORK", "").Leaf("", "INTERNET", "").Leaf("", "USERID", e.Email).End()
	}
	if !e.JID.IsZero() {
		w.Leaf("", "JABBERID", e.JID.String())
	}
	if e.PhotoSHA1 != "" {
		media, image, err := m.directory.Photo(viewer.Bare(), address.Bare())
		switch {
		case err != nil:
			m.host.Log().Error("photo of the directory unreadable", "comp", "vcard", "user", address.String(), "err", err)
		case len(image) > 0:
			w.Start("", "PHOTO").Leaf("", "TYPE", media).Leaf("", "BINVAL", base64.StdEncoding.EncodeToString(image)).End()
		}
	}
	return w.End().String()
}

// Photo is the SHA-1 (XEP-0153 §3.1) of the image in that vCard, "" for none;
// listed is false where there is no vCard.
func (m *Module) Photo(viewer, address jid.JID) (sha1 string, listed bool) {
	if m.directory == nil {
		return "", false
	}
	e, ok := m.directory.Entry(viewer.Bare(), address.Bare())
	return e.PhotoSHA1, ok && described(&e)
}

// described reports that the directory knows more of somebody than the address.
func described(e *xmpp.DirectoryEntry) bool {
	return e.Name != "" && e.Name != e.JID.Local() || e.First+e.Last+e.Nick+e.Email+e.Department+e.PhotoSHA1 != "" || len(e.Phones) > 0
}

// listed is what the presence of an account without a vCard of its own says:
// the photo that the directory has.
func (m *Module) listed(user jid.JID) (p photo) {
	p.none = true
	if m.directory == nil {
		return p
	}
	if e, ok := m.directory.Entry(user, user); ok && e.PhotoSHA1 != "" {
		p.SHA1, p.none = e.PhotoSHA1, false
	}
	return p
}

// Changed says that the directory has another photo of an account's, so that
// presence tells of it at once.
func (m *Module) Changed(ctx context.Context, user jid.JID) {
	user = user.Bare()
	m.mu.Lock()
	old, known := m.photos[user]
	if known && !old.stored {
		delete(m.photos, user)
	}
	m.mu.Unlock()
	if !known || old.stored {
		return // nobody is online, or there is a vCard of the user's own
	}
	now, err := m.photo(user)
	if err != nil || now.SHA1 == old.SHA1 {
		return // ignored: the next presence reads again
	}
	now.none = false // also that it is gone
	for _, s := range m.host.Sessions(user) {
		m.presences.Refresh(ctx, s, now.renew)
	}
}
