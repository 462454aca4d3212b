package pdu

import (
	"testing"

	"github.com/warthog618/sms/encoding/gsm7/charset"
)

// Our alphabets are those of another implementation.
func TestAlphabetsAgainstOracle(t *testing.T) {
	for id := 0; id <= 3; id++ {
		lock, single := language{locking: byte(id), single: byte(id)}.tables()
		theirs := charset.NewDecoder(id)
		if theirs == nil || id == spanish {
			theirs = charset.DefaultDecoder() // Spanish has no locking table
		}
		shift := charset.NewExtDecoder(id)
		if id == 0 {
			shift = charset.DefaultExtDecoder()
		}
		for c := range byte(128) {
			if c != escape && lock(c) != theirs[c] {
				t.Errorf("locking table %d, %02x: %c, theirs %c", id, c, lock(c), theirs[c])
			}
			// 0D is a control code there; at 1F of the third table theirs lacks the letter of TS 23.038 table A.2.3.
			if c == escape || c == 0x0D || id == portuguese && c == 0x1F {
				continue
			}
			if r := single(c); r != shift[c] {
				t.Errorf("single shift table %d, %02x: %c, theirs %c", id, c, r, shift[c])
			}
		}
	}
}

func TestSeptetsRoundTrip(t *testing.T) {
	for c := range byte(128) {
		if c == escape {
			continue
		}
		if code, cost := septet(basicRunes[c]); cost != 1 || code != c {
			t.Errorf("%c: %02x, %d", basicRunes[c], code, cost)
		}
		if r := extension(c); r != 0 {
			if code, cost := septet(r); cost != 2 || code != c {
				t.Errorf("%c: %02x, %d", r, code, cost)
			}
		}
	}
	for fill := range 7 {
		for n := range 20 {
			in := make([]byte, n)
			for i := range in {
				in[i] = byte(0x55+i*37) & 0x7F
			}
			if got := unpack(appendPacked(nil, in, fill), n, fill); string(got) != string(in) {
				t.Errorf("fill %d: %x, want %x", fill, got, in)
			}
		}
	}
}
