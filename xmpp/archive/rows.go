package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"

	"doorway/xmpp/jid"
)

// record is a row of the table "archive".
type record struct {
	V      int     `json:"v"`  // 1
	At     int64   `json:"at"` // when, in microseconds since 1970
	Owners []owner `json:"own"`
	XML    string  `json:"xml"`
}

type owner struct {
	JID  string `json:"o"`
	With string `json:"w,omitempty"`
}

// encode writes < and > as they are: most of a message consists of them.
func (r *record) encode() json.RawMessage {
	var b bytes.Buffer
	b.Grow(len(r.XML) + len(r.XML)/8 + 128)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(r) // ignored: strings and numbers only
	return bytes.TrimRight(b.Bytes(), "\n")
}

// What a row takes beside its key and its value, and a record beside its XML
// and its owners.
const (
	rowCost    = 24
	recordCost = 48
)

// cost is about what a message takes, its index included. It does not depend
// on how the record is escaped.
func (r *record) cost() int64 {
	n := rowCost + 8 + recordCost + len(r.XML)
	for _, o := range r.Owners {
		n += rowCost + 2*len(o.JID) + 25 + 2*len(o.With)
		if o.With != "" {
			n += rowCost + len(o.JID) + 2*len(o.With) + 12
		}
	}
	return int64(n)
}

// keys are the rows of the index for one owner. The contact's one is "" when
// there is none.
func (o *owner) keys(id ID) (main, contact string) {
	main = o.JID + "\x00" + bodyKey(id)
	if with, err := jid.Parse(o.With); err == nil {
		contact = o.JID + "\x01" + with.Bare().String() + "\x00" + bodyKey(id)
	}
	return main, contact
}

func bodyKey(id ID) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return string(b[:])
}

// An address has no control characters, so that the rows of one owner, and
// those of one contact, stand apart from all others.
func indexKey(owner jid.JID, id ID) string { return owner.String() + "\x00" + bodyKey(id) }

func contactKey(owner, with jid.JID, id ID) string {
	return owner.String() + "\x01" + with.Bare().String() + "\x00" + bodyKey(id)
}

// idOf is the id in a key of either table.
func idOf(key string) ID {
	if len(key) < 8 {
		return 0
	}
	return ID(binary.BigEndian.Uint64([]byte(key[len(key)-8:])))
}

// contactIn is the value of an index row.
func contactIn(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.Clone(s)
}

// tallyKey is where the index says how much the archive takes.
const tallyKey = "\x00size"

// tally is what all messages up to an id take.
type tally struct {
	V     int   `json:"v"` // 1
	Bytes int64 `json:"bytes"`
	UpTo  ID    `json:"upto"`
}
