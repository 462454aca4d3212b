package emulator

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"doorway/modem/pdu"
)

// send submits a text through the port and returns the message references.
func (p *peer) send(to, text string, o pdu.Options) []string {
	p.t.Helper()
	o.To, _ = pdu.ParseNumber(to)
	parts, _, err := pdu.Encode(text, o)
	if err != nil {
		p.t.Fatal(err)
	}
	var mrs []string
	for _, b := range parts {
		if got := p.at(fmt.Sprintf("AT+CMGS=%d", len(b))); !strings.HasSuffix(got, "\r\n> ") {
			p.t.Fatalf("instead of the prompt: %q", got)
		}
		got := p.at("00" + strings.ToUpper(hex.EncodeToString(b)) + "\x1a")
		_, mr, ok := strings.Cut(got, "\r\n+CMGS: ")
		if !ok {
			p.t.Fatalf("instead of +CMGS: %q", got)
		}
		mr, _, _ = strings.Cut(mr, "\r\n")
		mrs = append(mrs, mr)
	}
	return mrs
}

// reports waits until n +CDS have come since the start and decodes them.
func (p *peer) reports(n int) []pdu.StatusReport {
	p.t.Helper()
	found := regexp.MustCompile(`\r\n\+CDS: (\d+)\r\n([0-9A-F]+)\r\n`)
	for len(found.FindAllString(p.seen+string(p.buf), -1)) < n {
		p.until("\r\n")
	}
	var out []pdu.StatusReport
	for _, m := range found.FindAllStringSubmatch(p.seen+string(p.buf), -1) {
		raw, err := hex.DecodeString(m[2])
		if err != nil {
			p.t.Fatal(err)
		}
		_, b, err := pdu.SplitSMSC(raw)
		if err != nil || strconv.Itoa(len(b)) != m[1] {
			p.t.Fatalf("%q: %v", m[0], err)
		}
		r, err := pdu.DecodeStatusReport(b)
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestSendReachesPhoneAndReports(t *testing.T) {
	e := start(t, Config{})
	p := dial(t, e)
	p.at("ATE0")
	p.at("AT+CNMI=2,1,0,1,0")
	text := strings.Repeat("Störung an Pumpe 7 😀 ", 12)
	mrs := p.send("+4915550101", text, pdu.Options{Ref: 77, StatusReport: true})
	if len(mrs) != 4 || mrs[0] != "0" || mrs[3] != "3" {
		t.Errorf("references %q", mrs)
	}
	for i, r := range p.reports(4) {
		if int(r.MR) != i || r.To.String() != "+4915550101" || r.Status != pdu.StatusDelivered {
			t.Errorf("report %+v", r)
		}
	}
	if got := e.Phone("+4915550101").Received(); len(got) != 1 || got[0] != text {
		t.Errorf("the phone received %q", got)
	}
	s := e.Submits()
	if len(s) != 4 || s[3].Seq != 4 || s[3].Total != 4 || s[3].Ref != 77 || s[3].Count != 1 {
		t.Errorf("submits %+v", s)
	}
	if v := e.Violations(); v != nil {
		t.Error(v)
	}
}

func TestPhoneTextsModem(t *testing.T) {
	e := start(t, Config{})
	p := dial(t, e)
	p.at("ATE0")
	p.at("AT+CNMI=2,1,0,0,0")
	text := strings.Repeat("Bin unterwegs, {20} Minuten. ", 8)
	if err := e.Phone("+4915550102").Send(text); err != nil {
		t.Fatal(err)
	}
	var parts []pdu.Part
	for i := range 2 {
		p.until(fmt.Sprintf("\r\n+CMTI: \"ME\",%d\r\n", i))
	}
	for i := range 2 {
		got := p.at(fmt.Sprintf("AT+CMGR=%d", i))
		lines := strings.Split(strings.TrimSpace(got), "\r\n")
		raw, err := hex.DecodeString(lines[1])
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		_, b, _ := pdu.SplitSMSC(raw)
		if want := fmt.Sprintf("+CMGR: 0,,%d", len(b)); lines[0] != want {
			t.Errorf("%q, want %q", lines[0], want)
		}
		d, err := pdu.DecodeDeliver(b)
		if err != nil || d.From.String() != "+4915550102" {
			t.Fatal(d, err)
		}
		parts = append(parts, d.Part)
		if got := p.at(fmt.Sprintf("AT+CMGD=%d", i)); got != "\r\nOK\r\n" {
			t.Errorf("%q", got)
		}
	}
	if got := pdu.Join(parts); got != text {
		t.Errorf("received %q", got)
	}
	if s := e.Slots(); len(s) != 0 {
		t.Errorf("left in the storage: %v", s)
	}
}

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
