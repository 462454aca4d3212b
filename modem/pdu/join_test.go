package pdu

import (
	"fmt"
	"strings"
	"testing"
)

func TestJoin(t *testing.T) {
	gsm := func(seq, total int, septets string) Part {
		return Part{Concat: Concat{Ref: 1, Total: total, Seq: seq}, Alphabet: GSM7, Data: []byte(septets)}
	}
	ucs := func(seq, total int, octets string) Part {
		return Part{Concat: Concat{Ref: 1, Total: total, Seq: seq}, Alphabet: UCS2, Data: []byte(octets)}
	}
	for _, tc := range []struct {
		name, want string
		parts      []Part
	}{
		{"in order", "ab", []Part{gsm(1, 2, "a"), gsm(2, 2, "b")}},
		{"out of order", "abc", []Part{gsm(3, 3, "c"), gsm(1, 3, "a"), gsm(2, 3, "b")}},
		{"twice", "ab", []Part{gsm(1, 2, "a"), gsm(1, 2, "x"), gsm(2, 2, "b")}},
		{"escape cut at the border", "a€b", []Part{gsm(1, 2, "a\x1b"), gsm(2, 2, "\x65b")}},
		{"escape at the end", "a", []Part{gsm(1, 1, "a\x1b")}},
		{"surrogates cut at the border", "😀", []Part{ucs(1, 2, "\xd8\x3d"), ucs(2, 2, "\xde\x00")}},
		{"two alphabets", "aЖb", []Part{gsm(1, 3, "a"), ucs(2, 3, "\x04\x16"), gsm(3, 3, "b")}},
		{"nothing heals across a hole", "a[2/3]eb", []Part{gsm(1, 3, "a\x1b"), gsm(3, 3, "\x65b")}},
		{"first and last missing", "[1/3]b[3/3]", []Part{gsm(2, 3, "b")}},
		{"single", "a", []Part{{Alphabet: GSM7, Data: []byte("a")}}},
		{"none", "", nil},
	} {
		if got := JoinGaps(tc.parts, func(seq, total int) string { return fmt.Sprintf("[%d/%d]", seq, total) }); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	var many []Part
	for i := 255; i > 0; i-- {
		many = append(many, gsm(i, 255, "x"))
	}
	if got := Join(many); got != strings.Repeat("x", 255) {
		t.Errorf("255 parts: %d characters", len(got))
	}
	if got := Join([]Part{gsm(2, 3, "b")}); got != "b" {
		t.Errorf("without marks: %q", got)
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string]Number{
		"+43 (699) 123-45.67": {"436991234567", International}, "5050": {"5050", Unknown}, "0699 1234567": {"06991234567", Unknown}, "*100#": {"*100#", Unknown},
	} {
		if got, err := ParseNumber(in); err != nil || got != want {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "+", "+1234", "+0123456", "+1234567890123456", "12a", "Bank", "1+2", "+49*100#", strings.Repeat("1", 21)} {
		if n, err := ParseNumber(in); err == nil {
			t.Errorf("%q was taken as %+v", in, n)
		}
	}
	if s, ok := vienna.E164(); !ok || s != "+4369912345678" {
		t.Error(s)
	}
	if _, ok := (Number{"5050", Unknown}).E164(); ok {
		t.Error("a short code is not E.164")
	}
	for _, tc := range []struct {
		a, b Number
		same bool
	}{
		{vienna, Number{"069912345678", National}, true},
		{vienna, Number{"004369912345678", Unknown}, true},
		{vienna, Number{"4369912345679", International}, false},
		{Number{"5050", Unknown}, Number{"5050", Unknown}, true},
		{Number{"5050", Unknown}, Number{"4915550505050", International}, false},
		{Number{"Bank", Alphanumeric}, Number{"Bank", Alphanumeric}, true},
		{Number{"Bank", Alphanumeric}, vienna, false},
	} {
		if tc.a.SameTail(tc.b) != tc.same || tc.b.SameTail(tc.a) != tc.same {
			t.Errorf("%v %v", tc.a, tc.b)
		}
	}
}

func TestSMSC(t *testing.T) {
	smsc, _ := ParseNumber("+491710760000")
	full, err := WithSMSC(smsc, []byte{1, 2})
	if err != nil || fmt.Sprintf("%X", full) != "079194710167000001 02"[:16]+"0102" {
		t.Errorf("%X %v", full, err)
	}
	got, tpdu, err := SplitSMSC(full)
	if err != nil || got != smsc || string(tpdu) != "\x01\x02" {
		t.Error(got, tpdu, err)
	}
	if got, tpdu, err = SplitSMSC([]byte{0, 9}); err != nil || got != (Number{}) || string(tpdu) != "\x09" {
		t.Error(got, tpdu, err)
	}
	for _, b := range [][]byte{nil, {5, 1}} {
		if _, _, err := SplitSMSC(b); err == nil {
			t.Errorf("%x was taken", b)
		}
	}
}
