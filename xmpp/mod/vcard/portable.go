package vcard

import (
	"crypto/sha1" //nolint:gosec // XEP-0153 asks for it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable (XEP-0227 §4.7): what the account itself has
// stored, not what the directory says in its place.
func (m *Module) Export(account jid.JID, write func(string) error) error {
	var c card
	if _, err := m.table.Get(account.Bare().String(), &c); err != nil {
		return fmt.Errorf("read vCard: %w", err)
	}
	if c.XML == "" {
		return nil
	}
	return write(c.XML)
}

// Import implements xmpp.Portable.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	if (el.Name != stanza.Name{Space: ns, Local: "vCard"}) {
		return false, nil
	}
	xml, user := el.XML(), i.Account.Bare()
	if len(xml) > maxSize {
		return true, fmt.Errorf("the vCard is larger than %d KiB", maxSize>>10)
	}
	i.Put("vcard", user.String(), card{V: 1, XML: xml, Avatar: photoOnly(el)})
	i.Put("vcard", photoKey(user), photo{V: 1, SHA1: digest(el)})
	i.After = append(i.After, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.photos, user)
	})
	return true, nil
}

// photoOnly reports a vCard that is nothing but a photo. An export does not say
// that it came as an avatar; the directory has the rest either way.
func photoOnly(vcard *stanza.Element) bool {
	return len(vcard.Children) > 0 && !slices.ContainsFunc(vcard.Children, func(e stanza.Element) bool { return e.Name.Local != "PHOTO" })
}

// digest is the SHA-1 of the photo in a vCard (XEP-0153 §3.1), "" without one.
func digest(vcard *stanza.Element) string {
	p := vcard.Child(ns, "PHOTO")
	if p == nil {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p.ChildText(ns, "BINVAL")), ""))
	if err != nil || len(raw) == 0 {
		return ""
	}
	sum := sha1.Sum(raw) //nolint:gosec // XEP-0153 asks for it
	return hex.EncodeToString(sum[:])
}
