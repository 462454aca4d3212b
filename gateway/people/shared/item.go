package shared

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// contact is somebody who may be in rosters: an address with a name. It stays
// the same from state to state while both do, and its items with it.
type contact struct {
	jid  jid.JID
	name string
	made atomic.Pointer[[]made] // items rendered so far, by what they show
}

// made is an item that was rendered once, for all who see it so.
type made struct {
	key  string
	item *xmpp.SharedItem
	sum  digest
}

// maxMade bounds the items of one contact. So many kinds of viewers one has
// only after groups were changed often; then it begins anew.
const maxMade = 64

// A key is how one person sees another, as class.look writes it: whether the
// other sees them too, then the numbers of the groups through which they do.
// It begins with the subscription.
const (
	keyTo   = 't'
	keyBoth = 'b'
)

// appendNumber appends the number of a group to a key.
func appendNumber(b []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(b, n) }

// render returns the item of a contact that is seen so, made once. labels
// names the groups by their numbers.
func (c *contact) render(key string, labels map[uint32]string) made {
	for {
		old := c.made.Load()
		var list []made
		if old != nil {
			list = *old
		}
		for i := range list {
			if list[i].key == key {
				return list[i]
			}
		}
		if len(list) >= maxMade {
			list = nil
		}
		m := c.newMade(key, labels)
		next := append(slices.Clip(slices.Clone(list)), m)
		if c.made.CompareAndSwap(old, &next) {
			return m
		}
	}
}

func (c *contact) newMade(key string, labels map[uint32]string) made {
	it := &xmpp.SharedItem{Contact: c.jid, Name: c.name, Subscription: "to"}
	if key[0] == keyBoth {
		it.Subscription = "both"
	}
	for rest := key[1:]; len(rest) >= 4; rest = rest[4:] {
		it.Groups = append(it.Groups, labels[binary.BigEndian.Uint32([]byte(rest[:4]))])
	}
	slices.Sort(it.Groups)
	it.Groups = slices.Compact(it.Groups)
	it.XML = itemXML(it)
	return made{key: key, item: it, sum: sumOf(it.XML)}
}

// itemXML is RFC 6121 §2.1.2.
func itemXML(it *xmpp.SharedItem) string {
	b := make([]byte, 0, 160)
	b = append(b, "<item jid='"...)
	b = xmlstream.AppendEscaped(b, it.Contact.String())
	if it.Name != "" {
		b = append(b, "' name='"...)
		b = xmlstream.AppendEscaped(b, it.Name)
	}
	b = append(b, "' subscription='"...)
	b = append(b, it.Subscription...)
	b = append(b, "'>"...)
	for _, g := range it.Groups {
		b = append(b, "<group>"...)
		b = xmlstream.AppendEscaped(b, g)
		b = append(b, "</group>"...)
	}
	return string(append(b, "</item>"...))
}

// digest is a sum over items that does not depend on their order, so that one
// of a roster with an item more or less costs one addition. It names what
// clients see and nothing else, so it survives restarts.
type digest struct {
	hi, lo uint64
	n      int // items
}

func sumOf(xml string) digest {
	h := sha256.Sum256([]byte(xml))
	return digest{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16]), 1}
}

func (d digest) plus(o digest) digest  { return digest{d.hi + o.hi, d.lo + o.lo, d.n + o.n} }
func (d digest) minus(o digest) digest { return digest{d.hi - o.hi, d.lo - o.lo, d.n - o.n} }

// String is "" for no items.
func (d digest) String() string {
	if d.n == 0 {
		return ""
	}
	var space [32]byte
	b := append(strconv.AppendUint(space[:0], d.hi, 36), '.')
	return string(strconv.AppendUint(b, d.lo, 36))
}
