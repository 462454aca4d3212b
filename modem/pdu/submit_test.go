package pdu

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/sms"
	"github.com/warthog618/sms/encoding/tpdu"
)

var vienna = Number{"4369912345678", International}

func TestEncodeSplits(t *testing.T) {
	family := "👨‍👩‍👧‍👦" // 11 units, one cluster
	for _, tc := range []struct {
		name, text string
		alphabet   Alphabet
		parts      []string // runes of each part; nil: only the count matters
		n          int
	}{
		{name: "one letter", text: "a", alphabet: GSM7, n: 1},
		{name: "160 septets", text: strings.Repeat("a", 160), alphabet: GSM7, n: 1},
		{name: "161 septets", text: strings.Repeat("a", 161), alphabet: GSM7, n: 2},
		{name: "two full parts", text: strings.Repeat("a", 304), alphabet: GSM7, n: 2},
		{name: "one more", text: strings.Repeat("a", 305), alphabet: GSM7, n: 3},
		{name: "160 septets with euro", text: strings.Repeat("a", 158) + "€", alphabet: GSM7, n: 1},
		{name: "161 septets with euro", text: strings.Repeat("a", 159) + "€", alphabet: GSM7, n: 2},
		{name: "euro at a border", text: strings.Repeat("a", 151) + "€" + strings.Repeat("b", 20), alphabet: GSM7,
			parts: []string{strings.Repeat("a", 151), "€" + strings.Repeat("b", 20)}},
		{name: "line end at a border", text: strings.Repeat("a", 151) + "\r\n" + strings.Repeat("b", 20), alphabet: GSM7,
			parts: []string{strings.Repeat("a", 151), "\r\n" + strings.Repeat("b", 20)}},
		{name: "70 units", text: strings.Repeat("ж", 70), alphabet: UCS2, n: 1},
		{name: "71 units", text: strings.Repeat("ж", 71), alphabet: UCS2, n: 2},
		{name: "emoji at a border", text: strings.Repeat("ж", 65) + "😀" + strings.Repeat("ж", 10), alphabet: UCS2,
			parts: []string{strings.Repeat("ж", 65), "😀" + strings.Repeat("ж", 10)}},
		{name: "joined emoji at a border", text: strings.Repeat("ж", 60) + family + strings.Repeat("ж", 10), alphabet: UCS2,
			parts: []string{strings.Repeat("ж", 60), family + strings.Repeat("ж", 10)}},
		{name: "combining accent at a border", text: strings.Repeat("ж", 65) + "e\u0301" + "жжжжж", alphabet: UCS2,
			parts: []string{strings.Repeat("ж", 65), "e\u0301жжжжж"}},
		{name: "cluster larger than a part", text: "e" + strings.Repeat("\u0301", 100), alphabet: UCS2, n: 2},
		{name: "255 parts", text: strings.Repeat("a", 152*255), alphabet: GSM7, n: 255},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, info, err := Encode(tc.text, Options{To: vienna, Ref: 0xBEEF})
			if err != nil {
				t.Fatal(err)
			}
			if tc.parts != nil {
				tc.n = len(tc.parts)
			}
			if n, a := Parts(tc.text); n != tc.n || a != tc.alphabet || info.Parts != tc.n || info.Alphabet != tc.alphabet || len(out) != tc.n {
				t.Fatalf("Parts says %d %s, Encode %+v and %d TPDUs; want %d %s", n, a, info, len(out), tc.n, tc.alphabet)
			}
			var parts []Part
			for i, b := range out {
				s, err := DecodeSubmit(b)
				if err != nil || s.Remarks != nil {
					t.Fatal(err, s.Remarks)
				}
				if s.To != vienna {
					t.Errorf("recipient %v", s.To)
				}
				if tc.parts != nil && s.Text() != tc.parts[i] {
					t.Errorf("part %d is %q, want %q", i+1, s.Text(), tc.parts[i])
				}
				if want := (Concat{Ref: 0xBEEF, Wide: true, Total: tc.n, Seq: i + 1}); tc.n > 1 && s.Part.Concat != want {
					t.Errorf("part %d: %+v", i+1, s.Part.Concat)
				}
				if len(b) > 164 {
					t.Errorf("part %d has %d octets", i+1, len(b))
				}
				parts = append(parts, s.Part)
			}
			if got := Join(parts); got != tc.text {
				t.Errorf("joined %q", got)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	to := Options{To: vienna}
	if _, _, err := Encode("", to); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, _, err := Encode("a\xff", to); !errors.Is(err, ErrText) {
		t.Error(err)
	}
	if _, _, err := Encode("a", Options{}); !errors.Is(err, ErrNumber) {
		t.Error(err)
	}
	if _, _, err := Encode("a", Options{To: Number{"Bank", Alphanumeric}}); !errors.Is(err, ErrNumber) {
		t.Error(err)
	}
	var long *TooLongError
	if _, info, err := Encode(strings.Repeat("a", 152*255+1), to); !errors.As(err, &long) || long.Parts != 256 || info.Parts != 256 {
		t.Error(err)
	}
	to.MaxParts = 2
	if _, _, err := Encode(strings.Repeat("a", 305), to); !errors.As(err, &long) || long.Max != 2 {
		t.Error(err)
	}
}

// Every option is seen by another implementation as it was meant.
func TestEncodeAgainstOracle(t *testing.T) {
	texts := []string{"Hello", "Grüße aus Wien: 20 € {netto}", "Привет 😀", strings.Repeat("0123456789", 40), strings.Repeat("ж€", 120), "@£$¥\f^{}\\[~]|€"}
	for i, text := range texts {
		for _, narrow := range []bool{false, true} {
			o := Options{To: vienna, Ref: 0x1234, NarrowRef: narrow, StatusReport: i%2 == 0, Validity: 24 * time.Hour, RejectDuplicates: i%3 == 0}
			if i == 1 {
				o.Class = Flash
			}
			if i == 2 {
				o.To, o.Validity = Number{Digits: "5050"}, 0
			}
			out, _, err := Encode(text, o)
			if err != nil {
				t.Fatal(err)
			}
			var got []*tpdu.TPDU
			for _, b := range out {
				p, err := sms.Unmarshal(b, sms.AsMO)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if p.DA.Number() != o.To.String() {
					t.Errorf("recipient %q", p.DA.Number())
				}
				if again, err := p.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
					t.Errorf("%q: marshalled again to %x (%v), ours is %x", text, again, err, b)
				}
				if (p.FirstOctet&0x20 != 0) != o.StatusReport || (p.FirstOctet&4 != 0) != o.RejectDuplicates {
					t.Errorf("first octet %02x", byte(p.FirstOctet))
				}
				if o.Validity > 0 && p.VP.Duration != o.Validity {
					t.Errorf("validity %v", p.VP.Duration)
				}
				got = append(got, p)
			}
			msg, err := sms.Decode(got)
			if err != nil || string(msg) != text {
				t.Errorf("decoded to %q (%v), want %q", msg, err, text)
			}
		}
	}
}

func TestValidity(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		time.Second: 5 * time.Minute, 9 * time.Minute: 5 * time.Minute, 10 * time.Minute: 10 * time.Minute,
		12 * time.Hour: 12 * time.Hour, 12*time.Hour + 29*time.Minute: 12 * time.Hour, 13 * time.Hour: 13 * time.Hour,
		24 * time.Hour: 24 * time.Hour, 47*time.Hour + 59*time.Minute: 24 * time.Hour, 48 * time.Hour: 48 * time.Hour,
		34 * 24 * time.Hour: 30 * 24 * time.Hour, 36 * 24 * time.Hour: 35 * 24 * time.Hour, 10000 * time.Hour: 413 * 24 * time.Hour, 1e6 * time.Hour: 63 * 7 * 24 * time.Hour,
	} {
		if got := validityPeriod(relativeValidity(d)); got != want {
			t.Errorf("%v becomes %v, want %v", d, got, want)
		}
	}
	for v := range 256 {
		d := validityPeriod(byte(v))
		if got := validityPeriod(relativeValidity(d)); got != d {
			t.Errorf("period %d (%v) becomes %v", v, d, got)
		}
	}
}

func BenchmarkEncodeSMS(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"gsm160", strings.Repeat("0123456789abcdef", 10)},
		{"gsm6parts", strings.Repeat("0123456789abcdef", 56)},
		{"emoji3parts", strings.Repeat("Привет 😀👨‍👩‍👧 ", 10)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Encode(bm.text, Options{To: vienna, Ref: 7, StatusReport: true, Validity: time.Hour}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleEncode() {
	to, _ := ParseNumber("+43 699 12345678")
	parts, info, _ := Encode("Grüß Gott", Options{To: to})
	fmt.Printf("%d %s %X\n", info.Parts, info.Alphabet, parts[0])
	// Output: 1 gsm7 01000D91349619325476F800000947B9DF033ABEE974
}

func TestSetValidity(t *testing.T) {
	for _, to := range []string{"+4915550101", "+491555010", "5050"} {
		n, err := ParseNumber(to)
		if err != nil {
			t.Fatal(err)
		}
		parts, _, err := Encode("text", Options{To: n, Validity: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		for d, want := range map[time.Duration]time.Duration{time.Minute: 5 * time.Minute, 50 * time.Minute: 50 * time.Minute, 20 * time.Hour: 20 * time.Hour, 72 * time.Hour: 72 * time.Hour} {
			s, err := DecodeSubmit(SetValidity(parts[0], d))
			if err != nil || s.Validity != want || s.Text() != "text" || s.To != n {
				t.Errorf("%s, %v: %+v, %v", to, d, s, err)
			}
		}
		if s, err := DecodeSubmit(parts[0]); err != nil || s.Validity != 24*time.Hour {
			t.Errorf("the original was changed: %+v", s)
		}
		if parts, _, err = Encode("text", Options{To: n}); err != nil || string(SetValidity(parts[0], time.Hour)) != string(parts[0]) {
			t.Errorf("without a validity period: changed, %v", err)
		}
	}
	for _, b := range [][]byte{nil, {0x11}, {0x11, 0, 200, 0x91}, {0x04, 1, 2, 3, 4, 5, 6, 7}} {
		if string(SetValidity(b, time.Hour)) != string(b) {
			t.Errorf("%x is changed", b)
		}
	}
}
