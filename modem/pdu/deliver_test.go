package pdu

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/sms"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeDeliver(t *testing.T) {
	const head = "04 0B 91 9471 55 05 01 F1 " // +49175550101 (11 digits)
	stamp := "62 11 22 81 90 50 80 "          // 2026-11-22 18:09:05 +02:00
	at := time.Date(2026, 11, 22, 18, 9, 5, 0, time.FixedZone("", 2*3600))
	from := Number{"49175550101"[:11], International}
	for _, tc := range []struct {
		name, tpdu, text string
		class            Class
		remark           string // part of the first remark
		check            func(Deliver) bool
	}{
		{name: "plain", tpdu: head + "00 00" + stamp + "05 C8329BFD06", text: "Hello", check: func(d Deliver) bool { return d.Time.Equal(at) && !d.More }},
		{name: "name as sender", tpdu: "04 0D D0 D4F29C2E73E101 00 00" + stamp + "05 C8329BFD06", text: "Hello", check: func(d Deliver) bool { return d.From.TON == Alphanumeric }},
		{name: "short code", tpdu: "04 04 81 05 05 00 00" + stamp + "05 C8329BFD06", text: "Hello", check: func(d Deliver) bool { return d.From == Number{"5050", Unknown} }},
		{name: "flash", tpdu: head + "00 10" + stamp + "05 C8329BFD06", text: "Hello", class: Flash},
		{name: "UCS2", tpdu: head + "00 08" + stamp + "06 0416 D83DDE00", text: "Ж😀"},
		{name: "lone surrogate", tpdu: head + "00 08" + stamp + "04 0416 D83D", text: "Ж\uFFFD"},
		{name: "UCS2, odd octets", tpdu: head + "00 08" + stamp + "03 0416 D8", text: "Ж", remark: "odd"},
		{name: "8-bit UTF-8", tpdu: head + "00 04" + stamp + "05 48 65 C3 B6 21", text: "Heö!"},
		{name: "8-bit of other kind", tpdu: head + "00 04" + stamp + "03 48 FC 00", text: "Hü\uFFFD"},
		{name: "empty body", tpdu: head + "00 00" + stamp + "00", text: ""},
		{name: "no user data length", tpdu: head + "00 00" + stamp, text: "", remark: "no user data"},
		{name: "cut short", tpdu: head + "00 00" + stamp + "09 C8329BFD06", text: "Hello", remark: "cut short"},
		{name: "octets behind", tpdu: head + "00 00" + stamp + "05 C8329BFD06 FFFF", text: "Hello", remark: "behind"},
		{name: "reserved coding group", tpdu: head + "00 93" + stamp + "05 C8329BFD06", text: "Hello", remark: "reserved"},
		{name: "message waiting, UCS2", tpdu: head + "00 E0" + stamp + "02 0416", text: "Ж"},
		{name: "group F, 8-bit, SIM", tpdu: head + "00 F6" + stamp + "02 4869", text: "Hi", class: Class2},
		{name: "compressed", tpdu: head + "00 20" + stamp + "02 4869", text: "Hi", remark: "compressed", check: func(d Deliver) bool { return d.Compressed }},
		{name: "month 13", tpdu: head + "00 00 62 31 22 81 90 50 80 05 C8329BFD06", text: "Hello", remark: "time", check: func(d Deliver) bool { return d.Time.IsZero() && d.RawTime[1] == 0x31 }},
		{name: "digit above 9 in the time", tpdu: head + "00 00 6F 11 22 81 90 50 80 05 C8329BFD06", text: "Hello", remark: "time"},
		{name: "type 3", tpdu: "07" + head[2:] + "00 00" + stamp + "05 C8329BFD06", text: "Hello", remark: "reserved message type"},
		{name: "type 0", tpdu: head + "40 00" + stamp + "05 C8329BFD06", text: "Hello", check: Deliver.Silent},
		{name: "header longer than body", tpdu: "44" + head[2:] + "00 04" + stamp + "02 7F 41", text: "\x7fA", remark: "header longer", check: func(d Deliver) bool { return d.Part.Concat == Concat{} }},
		{name: "part 0 of 2", tpdu: "44" + head[2:] + "00 04" + stamp + "07 05 00 03 07 02 00 41", text: "A", remark: "impossible", check: func(d Deliver) bool { return d.Part.Concat == Concat{} }},
		{name: "element cut short", tpdu: "44" + head[2:] + "00 04" + stamp + "05 03 00 03 07 41", text: "A", remark: "cut short"},
		{name: "port", tpdu: "44" + head[2:] + "00 04" + stamp + "08 06 05 04 0B84 23F0 41", text: "A", check: func(d Deliver) bool { return d.Port == 2948 }},
		{name: "Spanish table", tpdu: "44" + head[2:] + "00 00" + stamp + spanishUD(), text: "Adiós Álvaro"},
		{name: "unknown table", tpdu: "44" + head[2:] + "00 00" + stamp + strings.Replace(spanishUD(), "240102", "24010D", 1), text: "Adios Alvaro"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := DecodeDeliver(unhex(t, tc.tpdu))
			if err != nil {
				t.Fatal(err)
			}
			if d.Text() != tc.text && !(tc.name == "header longer than body") {
				t.Errorf("text %q, want %q", d.Text(), tc.text)
			}
			if d.Class != tc.class {
				t.Errorf("class %d", d.Class)
			}
			if tc.remark == "" && d.Remarks != nil || tc.remark != "" && (len(d.Remarks) == 0 || !strings.Contains(d.Remarks[0], tc.remark)) {
				t.Errorf("remarks %q", d.Remarks)
			}
			if tc.check != nil && !tc.check(d) {
				t.Errorf("%+v", d)
			}
			if tc.name == "plain" && d.From != from {
				t.Errorf("sender %v", d.From)
			}
		})
	}
	for _, bad := range []string{"", "04", "04 0B 91 94", head, head + "0000" + stamp[:9], "06 00"} {
		if _, err := DecodeDeliver(unhex(t, bad)); !errors.Is(err, ErrShort) && !errors.Is(err, ErrKind) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// spanishUD is a body with the single shift table 2 in its header.
func spanishUD() string {
	septets := []byte("Adi\x1bos \x1bAlvaro")
	b := []byte{3, 0x24, 1, 2}
	b = appendPacked(b, septets, 3)
	return strings.ToUpper(hex.EncodeToString(append([]byte{byte(5 + len(septets))}, b...)))
}

// What we deliver is what another implementation reads.
func TestDeliverAgainstOracle(t *testing.T) {
	at := time.Date(2026, 2, 28, 23, 59, 58, 0, time.FixedZone("", -(3*3600+30*60)))
	for _, text := range []string{"", "Hello", strings.Repeat("{€} ", 60), strings.Repeat("Grüße 😀 ", 30)} {
		for _, from := range []Number{vienna, {"5050", Unknown}, {"0699123", National}, {"My Bank", Alphanumeric}} {
			for _, wide := range []bool{false, true} {
				out, err := EncodeDeliver(text, DeliverOptions{From: from, Time: at, Ref: 0x0142, WideRef: wide})
				if err != nil {
					t.Fatal(err)
				}
				var parts []Part
				for _, b := range out {
					p, err := sms.Unmarshal(b)
					if err != nil {
						t.Fatalf("%q from %v: %v (%x)", text, from, err, b)
					}
					want := from.String()
					if p.OA.Number() != want || !p.SCTS.Time.Equal(at) {
						t.Errorf("sender %q at %v", p.OA.Number(), p.SCTS.Time)
					}
					d, err := DecodeDeliver(b)
					if err != nil || d.Remarks != nil || d.From != from || !d.Time.Equal(at) {
						t.Errorf("%+v %v", d, err)
					}
					parts = append(parts, d.Part)
				}
				if got := Join(parts); got != text {
					t.Errorf("%q", got)
				}
			}
		}
	}
}

func TestForwardKeepsTheBody(t *testing.T) {
	text := strings.Repeat("{Hello} Wörld ", 30)
	out, _, err := Encode(text, Options{To: vienna, Ref: 9})
	if err != nil {
		t.Fatal(err)
	}
	var parts []Part
	for _, b := range out {
		s, err := DecodeSubmit(b)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Forward(Number{"4915550100", International}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		d, err := DecodeDeliver(f)
		if err != nil || d.Remarks != nil || !reflect.DeepEqual(d.Part, s.Part) {
			t.Errorf("%+v %v", d, err)
		}
		parts = append(parts, d.Part)
	}
	if Join(parts) != text {
		t.Errorf("%q", Join(parts))
	}
}

func TestHashAndKind(t *testing.T) {
	a, b := []byte{0x04, 1, 2}, []byte{0x00, 1, 2}
	if Hash(a) != Hash(b) {
		t.Error("the flag for more messages changes the hash")
	}
	if Hash(a) == Hash([]byte{0x44, 1, 2}) || Hash(a) == Hash([]byte{0x04, 1, 3}) || Hash(nil) == Hash(a) {
		t.Error("different TPDUs have one hash")
	}
	for in, want := range map[byte][2]Kind{
		0: {KindDeliver, KindDeliverReport}, 1: {KindSubmitReport, KindSubmit}, 2: {KindStatusReport, KindCommand}, 3: {KindDeliver, KindDeliverReport},
	} {
		if got := [2]Kind{KindOf([]byte{in}, false), KindOf([]byte{in}, true)}; got != want {
			t.Errorf("%d: %v", in, got)
		}
	}
	if KindOf(nil, true).String() != "DELIVER" {
		t.Error("empty")
	}
}
