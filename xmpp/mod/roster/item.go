package roster

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// item is what an account knows of one contact: the roster item, when it is
// listed, and a request of the contact that waits for an answer. It never
// changes once an account holds it; a change puts a copy in its place.
type item struct {
	contact  jid.JID
	name     string
	groups   []string
	state    state
	listed   bool           // in the roster by the user's own doing; false for a mere request (RFC 6121 appendix A.1, state 3)
	overlay  bool           // not listed: name and groups for a contact that comes through a group
	approved bool           // pre-approval (RFC 6121 §3.4)
	request  *stanza.Stanza // not nil exactly when state.in()
}

// empty reports that nothing is worth keeping.
func (it *item) empty() bool { return !it.kept() && it.request == nil }

// kept reports that there is a record in table "roster".
func (it *item) kept() bool { return it.listed || it.overlay }

// sameRecord reports that two items look alike on disk.
func sameRecord(a, b *item) bool {
	return a.listed == b.listed && a.overlay == b.overlay && (!a.kept() || a.name == b.name && a.approved == b.approved &&
		a.state.subscription() == b.state.subscription() && a.state.out() == b.state.out() &&
		slices.Equal(a.groups, b.groups))
}

// appendXML appends the <item/> of results and pushes (RFC 6121 §2.1.2).
func (it *item) appendXML(dst []byte) []byte {
	dst = append(dst, "<item jid='"...)
	dst = xmlstream.AppendEscaped(dst, it.contact.String())
	if it.name != "" {
		dst = append(dst, "' name='"...)
		dst = xmlstream.AppendEscaped(dst, it.name)
	}
	dst = append(dst, "' subscription='"...)
	dst = append(dst, it.state.subscription()...)
	if it.state.out() {
		dst = append(dst, "' ask='subscribe"...)
	}
	if it.approved {
		dst = append(dst, "' approved='true"...)
	}
	if len(it.groups) == 0 {
		return append(dst, "'/>"...)
	}
	dst = append(dst, "'>"...)
	for _, g := range it.groups {
		dst = append(dst, "<group>"...)
		dst = xmlstream.AppendEscaped(dst, g)
		dst = append(dst, "</group>"...)
	}
	return append(dst, "</item>"...)
}

// removedXML is the <item/> that tells of a removal (RFC 6121 §2.5.2).
func removedXML(contact jid.JID) string {
	return "<item jid='" + xmlstream.Escaped(contact.String()) + "' subscription='remove'/>"
}

// queryXML wraps items.
func queryXML(ver, items string) string {
	return "<query xmlns='jabber:iq:roster' ver='" + xmlstream.Escaped(ver) + "'>" + items + "</query>"
}

// digest is an order-independent sum over the user's own part of the roster. It
// depends on what clients see only, so that a version survives restarts and a
// roster that is what it was has the version that it had (RFC 6121 §2.6).
type digest [2]uint64

func (it *item) digest() digest {
	xml := it.appendXML(nil)
	if it.overlay {
		xml = append(xml, "overlay"...)
	}
	return digestOf(xml)
}

func digestOf(b []byte) digest {
	h := sha256.Sum256(b)
	return digest{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])}
}

func (d *digest) add(o digest)    { d[0] += o[0]; d[1] += o[1] }
func (d *digest) remove(o digest) { d[0] -= o[0]; d[1] -= o[1] }

// String is the ver attribute. Never empty: that means "first time".
func (d digest) String() string {
	var space [32]byte
	return string(d.append(space[:0]))
}

func (d digest) append(dst []byte) []byte {
	dst = append(strconv.AppendUint(dst, d[0], 36), '.')
	return strconv.AppendUint(dst, d[1], 36)
}

// itemRecord is the JSON of table "roster".
type itemRecord struct {
	V        int      `json:"v"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Sub      string   `json:"sub"` // none, to, from, both
	Ask      bool     `json:"ask,omitempty"`
	Approved bool     `json:"approved,omitempty"`
	Overlay  bool     `json:"overlay,omitempty"` // not in the roster but through a group
}

// requestRecord is the JSON of table "requests": the whole stanza (RFC 6121 §3.1.3).
type requestRecord struct {
	V      int    `json:"v"`
	Stanza string `json:"stanza"`
}

const recordVersion = 1

func (it *item) record() itemRecord {
	return itemRecord{V: recordVersion, Name: it.name, Groups: it.groups, Sub: it.state.subscription(),
		Ask: it.state.out(), Approved: it.approved, Overlay: it.overlay}
}

// key is where an account keeps a contact, in both tables.
func key(owner, contact jid.JID) string { return owner.String() + "\x00" + contact.String() }

// keyRange holds all keys of an account.
func keyRange(owner jid.JID) (first, end string) {
	return owner.String() + "\x00", owner.String() + "\x01"
}

// contactOf is the second half of a key, in memory of its own.
func contactOf(k string) (owner string, contact jid.JID, err error) {
	owner, c, ok := strings.Cut(k, "\x00")
	if !ok {
		return "", jid.JID{}, fmt.Errorf("key %q has no contact", k)
	}
	contact, err = jid.Parse(strings.Clone(c))
	return owner, contact, err
}

// decodeItem reads a record of table "roster".
func decodeItem(contact jid.JID, raw []byte) (*item, error) {
	var r itemRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("roster item: %w", err)
	}
	return r.item(contact)
}

func (r itemRecord) item(contact jid.JID) (*item, error) {
	if r.V != recordVersion {
		return nil, fmt.Errorf("roster item of version %d", r.V)
	}
	hasTo, hasFrom, ok := parseSubscription(r.Sub)
	if !ok {
		return nil, fmt.Errorf("roster item with subscription %q", r.Sub)
	}
	return &item{contact: contact, name: r.Name, groups: r.Groups, listed: !r.Overlay, overlay: r.Overlay, approved: r.Approved,
		state: stateOf(hasTo, hasFrom, r.Ask, false)}, nil
}

// parseSubscription takes none, to, from and both.
func parseSubscription(s string) (hasTo, hasFrom, ok bool) {
	switch s {
	case "none":
		return false, false, true
	case "to":
		return true, false, true
	case "from":
		return false, true, true
	case "both":
		return true, true, true
	}
	return false, false, false
}

// decodeRequest reads a record of table "requests".
func decodeRequest(raw []byte) (*stanza.Stanza, error) {
	var r requestRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("subscription request: %w", err)
	}
	return r.parse()
}

func (r requestRecord) parse() (*stanza.Stanza, error) {
	if r.V != recordVersion {
		return nil, fmt.Errorf("subscription request of version %d", r.V)
	}
	s, err := stanza.Parse(r.Stanza)
	if err != nil {
		return nil, fmt.Errorf("subscription request: %w", err)
	}
	return s, nil
}

// withRequest is it (or an unlisted item, when nil) with a request that waits.
func withRequest(it *item, contact jid.JID, req *stanza.Stanza) *item {
	next := item{contact: contact}
	if it != nil {
		next = *it
	}
	next.state = stateOf(next.state.hasTo(), next.state.hasFrom(), next.state.out(), true)
	if next.state.in() {
		next.request = req
	}
	return &next
}
