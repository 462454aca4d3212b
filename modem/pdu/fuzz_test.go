package pdu

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/warthog618/sms"
	"github.com/warthog618/sms/encoding/tpdu"
)

// Any octets give a text or an error, and the text is UTF-8.
func FuzzDecodeDeliver(f *testing.F) {
	f.Add(unhex(f, "040B91947155 0501F1 000062112281905080 05C8329BFD06"))
	f.Add(unhex(f, "440DD0D4F29C2E73E101000862112281905080080500032A0201D83D"))
	f.Add(unhex(f, "4404810505009362312281905080FF0608040102FF0341"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		d, err := DecodeDeliver(b)
		if !bytes.Equal(in, b) {
			t.Fatal("the input was changed")
		}
		Hash(b)
		if err != nil {
			return
		}
		text := d.Text()
		if !utf8.ValidString(text) || len(text) > 4*255 || !utf8.ValidString(d.From.String()) {
			t.Errorf("text %q from %q", text, d.From)
		}
		Join([]Part{d.Part, d.Part})
		// What a strict decoder reads of the default codings, ours reads alike.
		p, err := strict(b)
		if err != nil || d.Remarks != nil || d.Part.lang != (language{}) {
			return
		}
		if alpha, err := p.Alphabet(); err == nil && alpha == tpdu.AlphaUCS2 && (d.DCS == 8 || d.DCS == 0x18) {
			if msg, err := sms.Decode([]*tpdu.TPDU{p}); err == nil && utf8.Valid(msg) && !bytes.Contains(msg, []byte("\uFFFD")) && string(msg) != text {
				t.Errorf("%q, another implementation reads %q", text, msg)
			}
		}
	})
}

// strict is the other implementation; it may panic on what nobody sends.
func strict(b []byte) (p *tpdu.TPDU, err error) {
	defer func() {
		if recover() != nil {
			err = ErrShort
		}
	}()
	return sms.Unmarshal(b)
}

func FuzzDecodeStatusReport(f *testing.F) {
	f.Add(unhex(f, "06C80D91349619325476F8621122819050006211228100510046"))
	f.Add(unhex(f, "0600FF9134"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeStatusReport(b)
		if err != nil || len(r.Remarks) > 0 || r.To.TON == Alphanumeric || len(r.To.Digits) > 20 {
			return
		}
		again, err := EncodeStatusReport(r)
		if err != nil {
			t.Fatal(err)
		}
		r2, err := DecodeStatusReport(again)
		if err != nil || r2.MR != r.MR || r2.To != r.To || r2.Status != r.Status || !r2.Time.Equal(r.Time) || !r2.Done.Equal(r.Done) {
			t.Errorf("%+v became %+v (%v)", r, r2, err)
		}
	})
}

func FuzzDecodeSubmit(f *testing.F) {
	f.Add(unhex(f, "01000D91349619325476F800000947B9DF033ABEE974"))
	f.Add(unhex(f, "71070D91349619325476F80018A70A060804BEEF0201D83D"))
	f.Add(unhex(f, "1900048105050000620112281905080548"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSubmit(b)
		if err != nil {
			return
		}
		if !utf8.ValidString(s.Text()) {
			t.Errorf("text %q", s.Text())
		}
		fw, err := s.Forward(vienna, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		d, err := DecodeDeliver(fw)
		if err != nil {
			t.Fatal(err)
		}
		if s.Remarks == nil && (d.Text() != s.Text() || d.Part.Concat != s.Part.Concat) {
			t.Errorf("%q became %q", s.Text(), d.Text())
		}
	})
}

// A text that is taken comes out the same, and no part is too long.
func FuzzText(f *testing.F) {
	f.Add("Hello", uint16(1), false)
	f.Add("{€} \r\n"+string(make([]byte, 200)), uint16(0xFFFF), true)
	f.Add("👨‍👩‍👧‍👦 e\u0301 \U0001F1E6\U0001F1F9 Ж", uint16(7), false)
	f.Fuzz(func(t *testing.T, text string, ref uint16, narrow bool) {
		text = text + text + text // longer ones are found sooner
		out, info, err := Encode(text, Options{To: vienna, Ref: ref, NarrowRef: narrow})
		if err != nil {
			if text != "" && utf8.ValidString(text) && len(text) < 10000 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if n, a := Parts(text); !narrow && (n != info.Parts || a != info.Alphabet) {
			t.Errorf("Parts says %d %s, Encode %+v", n, a, info)
		}
		var parts []Part
		var theirs []*tpdu.TPDU
		for _, b := range out {
			s, err := DecodeSubmit(b)
			if err != nil || s.Remarks != nil {
				t.Fatal(err, s.Remarks)
			}
			if !utf8.ValidString(s.Text()) || len(b) > 3+8+2+1+140 {
				t.Errorf("part %q of %d octets", s.Text(), len(b))
			}
			parts = append(parts, s.Part)
			p, err := sms.Unmarshal(b, sms.AsMO)
			if err != nil {
				t.Fatal(err)
			}
			theirs = append(theirs, p)
		}
		if got := Join(parts); got != text {
			t.Errorf("%q became %q", text, got)
		}
		if msg, err := sms.Decode(theirs); err != nil || string(msg) != text {
			t.Errorf("%q: another implementation reads %q (%v)", text, msg, err)
		}
	})
}

// FuzzRedact: whatever the TPDU, as much comes out as went in, all of it masked
// where it could be decoded.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{"0011000A9155155501010000AA05F8329BFD06", "040B915155550501F20000621122014512400AC8329BFD064D9B5320", "06050B915155550501F262112201451240621122014522400000"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, mo bool) {
		out := Redact(b, mo)
		if len(out) != len(b) {
			t.Fatalf("%d octets of %d", len(out), len(b))
		}
		if len(out) > 0 && out[0] != b[0] {
			t.Error("another type")
		}
		if again := Redact(out, mo); !bytes.Equal(again, out) {
			t.Errorf("masked twice: %x, then %x", out, again)
		}
		if d, err := DecodeDeliver(out); !mo && err == nil && KindOf(out, false) == KindDeliver && d.Port < 0 && !d.Compressed {
			if s := strings.Trim(d.Text(), "x"); s != "" && len(d.Header) == 0 && len(d.Remarks) == 0 {
				t.Errorf("text %q", d.Text())
			}
		}
	})
}
