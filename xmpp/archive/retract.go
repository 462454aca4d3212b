package archive

import (
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Namespaces of retraction (XEP-0424 0.4.2): the element, and the feature of
// who puts a tombstone in the place of a retracted message.
const (
	RetractSpace = "urn:xmpp:message-retract:1"
	Tombstones   = RetractSpace + "#tombstone"
)

// maxRetract bounds the id that a retraction names.
const maxRetract = 1024

// Retracts returns the id of the message that st retracts (XEP-0424 §3): of a
// room's archive in a groupchat, else a message's own. ok false when it
// retracts nothing.
func Retracts(st *stanza.Stanza) (id string, ok bool) {
	el, ok := st.Child(RetractSpace, "retract")
	if !ok {
		return "", false
	}
	id = el.Attr("id")
	return id, id != "" && len(id) <= maxRetract
}

// Tombstone is what is left of a retracted message (XEP-0424 §4): the header,
// the elements that keep names, and <retracted/>. id is that of the message
// which retracted it, content what XEP-0425 adds, "" for nothing.
func Tombstone(st *stanza.Stanza, keep func(*stanza.Element) bool, id string, when time.Time, content string) *stanza.Stanza {
	var w xmlstream.Writer
	w.Start(RetractSpace, "retracted", "id", id, "stamp", stamp(when)).Raw(content)
	return st.Without(func(e *stanza.Element) bool { return keep == nil || !keep(e) }).WithAppended(w.String())
}

// searched is how many messages exchanged with a contact are looked at for the
// one that is retracted: clients retract what is recent.
const searched = 200

// Find looks for a recent message of an owner by the id its author gave it,
// among those exchanged with a contact; ErrNotFound for none.
func (a *Archive) Find(owner, with, author jid.JID, id string) (ID, *stanza.Stanza, error) {
	w := window{a: a, owner: owner, with: with.Bare(), to: ^ID(0)}
	ids, _, err := w.list(searched, true)
	if err != nil {
		return 0, nil, err
	}
	for _, at := range ids {
		m, err := a.body(at)
		if err != nil || !strings.Contains(m.XML, xmlstream.Escaped(id)) {
			continue // ignored: it went just now, or cannot be read
		}
		if st, err := m.Stanza(); err == nil && st.ID == id && st.From.Bare() == author.Bare() {
			return at, st, nil
		}
	}
	return 0, nil, ErrNotFound
}
