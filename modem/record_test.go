package modem

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
)

// What a driver has recorded makes an emulator that answers in the same way,
// and nothing private is in it.
func TestRecordAndReplay(t *testing.T) {
	t.Parallel()
	transcript := readTranscript(t, "testdata/quirks/telit.txt")
	rules, err := emulator.ParseTranscript(transcript.text)
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{}
	r := newRig(t, emulator.Config{PIN: "4711", Rules: append(rules, parse(t, "on command \\+CSQ\n instead \"\\r\\n+CSQ: 9,99\\r\\n\\r\\nOK\\r\\n\"\n")...)},
		func(c *Config) { c.PIN, c.Guard = "4711", g })
	r.ready()
	r.mustSend("a secret text")
	r.deliver("another secret", 0)
	was := r.d.Status()
	r.stop()

	var b bytes.Buffer
	if _, err := r.d.Record().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, secret := range []string{"4711", "15550101", "5155051010", "5155051020", was.IMSI, was.ICCID, was.IMEI,
		strings.ToUpper(hex.EncodeToString(r.tpdu("a secret text")))} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the recording", secret)
		}
	}
	for _, want := range []string{"> AT+CGMM\n", "< LE910-EU1\n", "> AT+CPIN=\"****\"", "! ready: ", "<Ctrl-Z>", "# Telit LE910-EU1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the recording:\n%s", want, text)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "<Ctrl-Z>") {
			checkMasked(t, line)
		}
	}

	rules, err = emulator.ParseTranscript(text)
	if err != nil {
		t.Fatal(err)
	}
	r2 := newRig(t, emulator.Config{Rules: rules}, nil)
	r2.ready()
	now := r2.d.Status()
	if now.Model != was.Model || now.Family != "Telit" || now.RSSI != was.RSSI || now.Operator != was.Operator || now.Firmware != was.Firmware {
		t.Errorf("replayed: %+v\nwas: %+v", now, was)
	}
	r2.standing()
}

// checkMasked decodes the PDU of a line: it is whole, and says nothing.
func checkMasked(t *testing.T, line string) {
	t.Helper()
	f := strings.Fields(line)
	raw, err := hex.DecodeString(strings.TrimSuffix(f[len(f)-1], "<Ctrl-Z>"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := pdu.DecodeSubmit(raw[1:])
	if err != nil || strings.Trim(m.Text(), "x") != "" || len(m.Text()) != len("a secret text") || m.To.String() != "+5555555501" {
		t.Errorf("%q to %s, %v", m.Text(), m.To, err)
	}
}

func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		dir       byte
		line, out string
	}{
		{'>', "AT+CSQ", "AT+CSQ"},
		{'<', "+CSCA: \"+491710760000\",145", "+CSCA: \"+000000000000\",145"},
		{'<', "+CLIP: \"+4915550109\",145,\"\",0,\"\",0", "+CLIP: \"+0000000109\",145,\"\",0,\"\",0"},
		{'<', "490154203237518", "000000000000518"},
		{'>', "AT+CUSD=1,\"*100#\",15", "AT+CUSD=1,\"*100#\",15"},
		{'>', "AT+CUSD=1,\"*104*1234567890123#\",15", "AT+CUSD=1,\"*104*0000000000123#\",15"},
		{'<', "+CUSD: 0,\"Your balance is 12.34 EUR.\",15", "+CUSD: 0,\"Your balance is 12.34 EUR.\",15"},
		{'<', "+CUSD: 0,\"0059006F0075\",72", "+CUSD: 0,\"007800780078\",72"},
		{'!', "lost /dev/ttyUSB12345678", "lost /dev/ttyUSB12345678"},
	} {
		if got := private(c.dir, c.line); got != c.out {
			t.Errorf("%s: %s, want %s", c.line, got, c.out)
		}
	}
}

// The recorder is bounded in lines, in bytes and in age.
func TestRecorderIsBounded(t *testing.T) {
	var r recorder
	for range 4 * recordLines {
		r.add('<', strings.Repeat("^RSSI:17 ", 3))
	}
	if n := len(r.lines) - r.first; n > recordLines {
		t.Errorf("%d lines", n)
	}
	for range 2000 {
		r.add('<', strings.Repeat("y", 1000))
	}
	total := 0
	for _, l := range r.lines[r.first:] {
		total += len(l.Line)
	}
	if total > recordBytes || total != r.bytes || cap(r.lines) > 4*recordLines {
		t.Errorf("%d bytes, counted %d, room for %d lines", total, r.bytes, cap(r.lines))
	}
}
