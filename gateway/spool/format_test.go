package spool

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name, file string
		want       message
	}{
		{"the manual's example", "To: 491721234567\n\nHello, this is the sms.\n", message{To: []string{"+491721234567"}, Text: "Hello, this is the sms."}},
		{"CRLF", "To: +49 172 1234567\r\nFlash: yes\r\n\r\none\r\ntwo\r\n", message{To: []string{"+49 172 1234567"}, Text: "one\ntwo", Flash: true}},
		{"headers", "to: 358 12 345 6789\nReport: yes\nPriority: HIGH\nProvider: gsm1\nValidity: 2 hours\nAutosplit: 3\nX-Other: 1\nnonsense\n\nx",
			message{To: []string{"+358123456789"}, Text: "x", Report: true, Urgent: true, Via: "gsm1", Validity: 2 * time.Hour}},
		{"several", "To: 491721234567, s8888;0172-55\nTo: 491721234567\n\nx", message{To: []string{"+491721234567", "8888", "0172-55"}, Text: "x"}},
		{"national", "To: 1721234567\nTo_TOA: national\n\nx", message{To: []string{"1721234567"}, Text: "x"}},
		{"mail", "To: \"Herbert +491721234567\" <sms@localhost>\nSubject: x\n\nx", message{To: []string{"+491721234567"}, Text: "x"}},
		{"Latin-9", "To: +491\nAlphabet: ISO-8859-15\n\nK\xe4se 5 \xa4", message{To: []string{"+491"}, Text: "Käse 5 €"}},
		{"UTF-8 where ISO is said", "To: +491\nAlphabet: ISO\n\nKäse 5 €", message{To: []string{"+491"}, Text: "Käse 5 €"}},
		{"UCS-2", "To: +491\nAlphabet: UCS\n\n\x04\x1f\x04\x40\x00\x0a\xd8\x3d\xde\x00", message{To: []string{"+491"}, Text: "Пр\n😀"}},
		{"UCS-2 with a mark and an editor's end", "To: +491\nAlphabet: Unicode\n\n\xff\xfeA\x00\n", message{To: []string{"+491"}, Text: "A"}},
		{"GSM", "To: +491\nAlphabet: GSM\n\nA\x00\x1b\x65\x7b", message{To: []string{"+491"}, Text: "A@€ä"}},
		{"class 0, no user data", "To: +491\nClass: 0\nUDH: false\nHex: no\nMacro:\n\nx", message{To: []string{"+491"}, Text: "x", Flash: true}},
		{"an empty line in the text", "To: +491\n\n\na\n\nb\n", message{To: []string{"+491"}, Text: "\na\n\nb"}},
		{"validity that cannot be read", "To: +491\nValidity: soon\n\nx", message{To: []string{"+491"}, Text: "x"}},
		{"relative validity", "To: +491\nValidity: 168\n\nx", message{To: []string{"+491"}, Text: "x", Validity: 2 * day}},
	} {
		m, err := parse([]byte(c.file))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i := range m.To {
			if strings.HasPrefix(c.want.To[i], "+") && len(c.want.To[i]) > 4 {
				m.To[i] = strings.ReplaceAll(m.To[i], " ", "")
				c.want.To[i] = strings.ReplaceAll(c.want.To[i], " ", "")
			}
		}
		if strings.Join(m.To, " ") != strings.Join(c.want.To, " ") || m.Text != c.want.Text || m.Flash != c.want.Flash || m.Urgent != c.want.Urgent ||
			m.Report != c.want.Report || m.Via != c.want.Via || m.Validity != c.want.Validity {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, m, c.want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		file, want string
		early      bool
	}{
		{"", "no line with a number", true},
		{"To: +491", "There is no text", true},
		{"To: +491\n\n", "is empty", true},
		{"Flash: yes\n\nx", "no line with a number", false},
		{"To: +491\nAlphabet: binary\n\nx", "Binary messages", false},
		{"To: +491\nBinary: true\n\nx", "header Binary", false},
		{"To: +491\nUDH-DATA: 050003\n\nx", "header UDH-DATA", false},
		{"To: +491\nHex: yes\n\n41", "header Hex", false},
		{"To: +491\nVoicecall: yes\n\nTONE:", "nobody is called", false},
		{"To: +491\nInclude: /etc/passwd\n\nx", "other files are not read", false},
		{"To: +491\nMacro: a=b\n\nx", "macros", false},
		{"To: +491\nClass: 2\n\nx", "Class 2", false},
		{"To: +491\nAlphabet: Klingon\n\nx", "no alphabet", false},
		{"To: +491\nAlphabet: UCS2\n\nabc", "odd number", false},
		{"To: +491\nAlphabet: UTF-8\n\n\xff", "not UTF-8", false},
		{"To: +491\nAutosplit: 0\n\n" + strings.Repeat("x", 161), "needs 2 parts", false},
		{"To: +491\x00\n\nx", "not text", false},
		{strings.Repeat("A: b\n", 300) + "\nx", "more than 200 lines", false},
		{"To: " + strings.Repeat("+49155501,", 1) + many(1001) + "\n\nx", "recipients", false},
	} {
		_, err := parse([]byte(c.file))
		f, ok := err.(*fault)
		if !ok || !strings.Contains(f.text, c.want) || f.early != c.early || !strings.HasSuffix(f.text, ".") {
			t.Errorf("%.40q: %v", c.file, err)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("4915550")
		b.WriteString(strings.Repeat("1", i/10%10+1))
		b.WriteByte(byte('0' + i%10))
		b.WriteByte(byte('0' + i/100%10))
		b.WriteByte(byte('0' + i/1000))
		b.WriteByte(',')
	}
	return b.String()
}

func TestValidity(t *testing.T) {
	const day = 24 * time.Hour
	for v, want := range map[string]time.Duration{
		"0": 5 * time.Minute, "143": 12 * time.Hour, "144": 12*time.Hour + 30*time.Minute, "167": day, "196": 30 * day, "197": 35 * day, "255": 441 * day, "256": 0,
		"30 min": 30 * time.Minute, "12 hours": 12 * time.Hour, "day 3": 3 * day, "1 week": 7 * day, "1 month": 30 * day, "9 years": 441 * day, "0 min": time.Minute, "x": 0, "-1": 0,
	} {
		if got := validity(v); got != want {
			t.Errorf("validity(%q) = %v, want %v", v, got, want)
		}
	}
}

func TestCompose(t *testing.T) {
	file := "To: 491,492\nModem: old\nFail_reason: old\nAlphabet: UCS2\n\n\x00a\x00\n\x00b"
	got := string(compose([]byte(file), nil, []header{{"Modem", "gsm0"}, {"IMSI", ""}, {"Fail_reason", "two\nlines"}}))
	if want := "To: 491,492\nAlphabet: UCS2\nModem: gsm0\nFail_reason: two lines\n\n\x00a\x00\n\x00b"; got != want {
		t.Errorf("%q", got)
	}
	if got := string(compose([]byte(file), []string{"492"}, nil)); got != "To: 492\nAlphabet: UCS2\n\n\x00a\x00\n\x00b" {
		t.Errorf("%q", got)
	}
	if got := string(compose([]byte("\x00\x01"), nil, []header{{"Fail_reason", "x"}})); got != "Fail_reason: x\n\n\x00\x01" {
		t.Errorf("%q", got)
	}
}

func TestLatin(t *testing.T) {
	b, ok := toLatin("Käse 5 € Š")
	if !ok || fromLatin(b) != "Käse 5 € Š" {
		t.Errorf("%q %v", b, ok)
	}
	for _, s := range []string{"¤", "П", "š" + "½"} {
		if b, ok := toLatin(s); ok {
			t.Errorf("%q became %q", s, b)
		}
	}
}

// FuzzParse reads anything as an outgoing file: what is taken has recipients and a text that is UTF-8, and stays what it is
// when the file is written again with other headers, as it is kept in failed and put into outgoing once more.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"To: 491721234567\n\nx", "To: +491\r\nAlphabet: UCS\r\n\r\n\x00a", "To: s1,\"A +49155501\" <a@b>\nAlphabet: GSM\n\n\x1b\x65",
		"To:\n\n", " \nTo: 1\n\nx", "\n\nx", "Sent: 1\nTo: 1\nTo: 2\n\n\xa4", "From x\nTo: 12345678\nValidity: 3 days\n\nx"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			if fault, ok := err.(*fault); !ok || !strings.HasSuffix(fault.text, ".") && !bytes.ContainsAny(b, ".") {
				t.Fatalf("%v", err)
			}
			return
		}
		if len(m.To) == 0 || m.Text == "" || !utf8.ValidString(m.Text) {
			t.Fatalf("%+v", m)
		}
		again, err := parse(compose(b, nil, []header{{"Modem", "gsm0"}, {"Fail_reason", "x"}}))
		if err != nil || again.Text != m.Text || strings.Join(again.To, ",") != strings.Join(m.To, ",") || again.Report != m.Report {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
	})
}
