package sms

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem/pdu"
)

// B28: parts out of order, twice, and missing; one reference from two senders,
// and again the next day; 8 and 16 bits; 255 parts.
func TestB28Reassembly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		n := 0
		want := func(texts ...string) {
			t.Helper()
			got := h.incoming()[n:]
			n += len(got)
			if len(got) != len(texts) {
				t.Fatalf("%d texts, want %d: %+v", len(got), len(texts), got)
			}
			for i, w := range texts {
				if got[i].Body != w {
					t.Errorf("got %.80q, want %.80q", got[i].Body, w)
				}
			}
		}
		text := func(c string) string { return strings.Repeat(c, 400) }
		parts := deliver(t, bob, text("a"), 7, time.Now())
		other := deliver(t, "+4915550202", text("b"), 7, time.Now())
		for _, i := range []int{2, 0, 2, 1} {
			p.arrive(other[i])
			p.arrive(parts[i])
		}
		want(text("b"), text("a"))
		p.arrive(parts[1]) // again
		want()

		wide, err := pdu.EncodeDeliver(text("c"), pdu.DeliverOptions{From: pduNumber(bob), Time: time.Now(), Ref: 7, WideRef: true})
		if err != nil {
			t.Fatal(err)
		}
		narrow := deliver(t, bob, text("d"), 7, time.Now()) // the same reference at the same time, in 8 bits
		for i := range wide {
			p.arrive(wide[i])
			p.arrive(narrow[i])
		}
		want(text("c"), text("d"))

		p.arrive(deliver(t, bob, text("e"), 7, time.Now())[0])
		pass(20 * time.Minute)
		got := h.incoming()[n:]
		if len(got) != 1 || !strings.HasSuffix(got[0].Body, "[part 2 of 3 missing][part 3 of 3 missing]") {
			t.Fatalf("got %+v", got)
		}
		n++
		pass(23*time.Hour + 30*time.Minute)
		for _, b := range deliver(t, bob, text("f"), 7, time.Now()) { // the reference comes again next day
			p.arrive(b)
		}
		want(text("f"))

		long := strings.Repeat("0123456789", 255*153/10)
		all, err := pdu.EncodeDeliver(long, pdu.DeliverOptions{From: pduNumber(bob), Time: time.Now(), Ref: 9})
		if err != nil || len(all) != 255 {
			t.Fatalf("%d parts, %v", len(all), err)
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, b := range all {
			p.arrive(b)
		}
		want(long)
		h.standing(p)
	})
}

// raw makes a DELIVER of a user data header, if any, and septets or octets.
func raw(from pdu.Number, dcs byte, header, data []byte) []byte {
	first, addr := byte(0x04), []byte{11, 0x91, 0x94, 0x51, 0x55, 0x05, 0x01, 0xF1}
	if from.TON == pdu.Alphanumeric {
		sept := pack([]byte(from.Digits), 0)
		addr = append([]byte{byte((len(from.Digits)*7 + 3) / 4), 0xD0}, sept...)
	}
	if header != nil {
		first |= 0x40
		header = append([]byte{byte(len(header))}, header...)
	}
	b := append([]byte{first}, addr...)
	b = append(b, 0, dcs, 0x62, 0x11, 0x22, 0x10, 0, 0, 0)
	septets := dcs&0x0C == 0 || dcs >= 0x80 && dcs < 0xE0
	if !septets {
		return append(append(append(b, byte(len(header)+len(data))), header...), data...)
	}
	skip := (len(header)*8 + 6) / 7
	return append(append(append(b, byte(skip+len(data))), header...), pack(data, skip*7-len(header)*8)...)
}

// pack packs septets behind fill bits (3GPP TS 23.038 §6.1.2.1).
func pack(septets []byte, fill int) []byte {
	out := make([]byte, (fill+7*len(septets)+7)/8)
	for i, c := range septets {
		for b := range 7 {
			at := fill + 7*i + b
			out[at/8] |= c >> b & 1 << (at % 8)
		}
	}
	return out
}

// B29: whatever senders do to a text, it is shown, lossy at worst.
func TestB29Texts(t *testing.T) {
	none := pdu.Number{}
	concat := func(seq byte) []byte { return []byte{0, 3, 99, 2, seq} }
	for name, c := range map[string]struct {
		tpdus [][]byte
		want  string
		from  string
		flash bool
	}{
		"emoji cut at a border": {[][]byte{raw(none, 8, concat(1), []byte{0, 'A', 0xD8, 0x3D}), raw(none, 8, concat(2), []byte{0xDC, 0x4D, 0, 'B'})}, "A👍B", "", false},
		"lone surrogate":        {[][]byte{raw(none, 8, nil, []byte{0, 'A', 0xD8, 0x3D})}, "A\uFFFD", "", false},
		"extension cut":         {[][]byte{raw(none, 0, concat(1), []byte{'a', 0x1B}), raw(none, 0, concat(2), []byte{0x65, 'b'})}, "a€b", "", false},
		"Turkish":               {[][]byte{raw(none, 0, []byte{0x24, 1, 1}, []byte{0x1B, 'S', 'u', 0x1B, 'g'})}, "Şuğ", "", false},
		"Turkish, locked":       {[][]byte{raw(none, 0, []byte{0x25, 1, 1}, []byte{0x1C, 'u', 0x0C})}, "Şuğ", "", false},
		"Spanish":               {[][]byte{raw(none, 0, []byte{0x24, 1, 2}, []byte{'q', 'u', 0x1B, 'e', 0x1B, 'a'})}, "qu€á", "", false},
		"Portuguese":            {[][]byte{raw(none, 0, []byte{0x24, 1, 3}, []byte{0x1B, 0x1F, 'x'})}, "Êx", "", false},
		"Hindi":                 {[][]byte{raw(none, 0, []byte{0x25, 1, 6, 0x24, 1, 6}, []byte{0x04, 0x1B, 0x1C})}, "आ०", "", false},
		"language unknown":      {[][]byte{raw(none, 0, []byte{0x24, 1, 77}, []byte{'o', 'k'})}, "ok", "", false},
		"8 bit":                 {[][]byte{raw(none, 4, nil, []byte("Gr\xfc\xdfe\x01"))}, "Grüße\uFFFD", "", false},
		"flash":                 {[][]byte{raw(none, 0x10, nil, []byte("now"))}, "now", "", true},
		"flash in UCS-2":        {[][]byte{raw(none, 0x18, nil, []byte{0, 'n', 0x20, 0xAC})}, "n€", "", true},
		"name as sender":        {[][]byte{raw(pdu.Number{Digits: "Vodafone", TON: pdu.Alphanumeric}, 0, nil, []byte("offer"))}, "offer", "Vodafone", false},
		"empty":                 {[][]byte{raw(none, 0, nil, nil)}, "(empty text)", "", false},
		"reserved coding":       {[][]byte{raw(none, 0x8C, nil, []byte("odd"))}, "odd", "", false},
		"message waiting":       {[][]byte{raw(none, 0xC8, nil, []byte("voicemail"))}, "[A voicemail waits for the SIM in gsm0. Call its mailbox.] voicemail", "", false},
		"waiting in UCS-2":      {[][]byte{raw(none, 0xE8, nil, []byte{0, 'v'})}, "[A voicemail waits for the SIM in gsm0. Call its mailbox.] v", "", false},
		"impossible part":       {[][]byte{raw(none, 0, []byte{0, 3, 5, 2, 3}, []byte("alone"))}, "alone", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer("gsm0")
				h := start(t, p)
				defer h.stop()
				for _, b := range c.tpdus {
					p.arrive(b)
				}
				got := h.incoming()
				if len(got) != 1 || got[0].Body != c.want || got[0].Flash != c.flash || c.from != "" && string(got[0].From) != c.from {
					t.Errorf("got %s, want %q", fmt.Sprintf("%+v", got), c.want)
				}
				h.standing(p)
			})
		})
	}
}
