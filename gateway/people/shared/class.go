package shared

import (
	"encoding/binary"
	"sync/atomic"
)

// class is everybody who is in the same groups and sees the same groups: they
// see the same contacts, in the same way, and are seen in the same way by
// everybody. It never changes, and stays the same from state to state.
type class struct {
	sees []uint32 // numbers of the groups visible to it, rising
	in   []uint32 // numbers of the groups it is in, rising
	key  string   // both, as a map knows them
}

// classKey is what makes a class; both lists rise.
func classKey(b []byte, sees, in []uint32) []byte {
	b = binary.BigEndian.AppendUint32(b[:0], uint32(len(sees)))
	for _, n := range sees {
		b = appendNumber(b, n)
	}
	for _, n := range in {
		b = appendNumber(b, n)
	}
	return b
}

// meet reports that two rising lists have a number in common.
func meet(a, b []uint32) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return true
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}

// look appends the key of how one of class c sees one of class o: B is seen by
// A if B is in a group visible to A, and both see each other if that holds the
// other way round too. Nothing is appended for not at all.
func (c *class) look(buf []byte, o *class) []byte {
	start := len(buf)
	buf = append(buf, keyTo)
	a, b := c.sees, o.in
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			buf = appendNumber(buf, a[0])
			a, b = a[1:], b[1:]
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	if len(buf) == start+1 {
		return buf[:start]
	}
	if meet(o.sees, c.in) {
		buf[start] = keyBoth
	}
	return buf
}

// known is the digest of all items that a class sees, once somebody asked.
type known = atomic.Pointer[digest]
