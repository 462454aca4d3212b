package emulator

import (
	"strings"
	"testing"
	"time"

	"doorway/modem/pdu"
)

func TestPhonesThatDoNotReceive(t *testing.T) {
	for _, tc := range []struct {
		mode   Mode
		status pdu.Status
	}{{Unknown, pdu.StatusNotObtainable}, {Refuse, pdu.StatusRejected}} {
		t.Run(string(tc.mode), func(t *testing.T) {
			e, p := routed(t, Config{Phones: []PhoneConfig{{Number: "+4915550101", Mode: tc.mode}}}, "AT+CNMI=2,1,0,1,0")
			p.send("+4915550101", "Alarm", pdu.Options{StatusReport: true})
			if r := p.reports(1)[0]; r.Status != tc.status {
				t.Errorf("status %v", r.Status)
			}
			if got := e.Phone("+4915550101").Received(); got != nil {
				t.Errorf("received %q", got)
			}
		})
	}
}

func TestPhoneThatIsOff(t *testing.T) {
	e, p := routed(t, Config{}, "AT+CNMI=2,1,0,1,0")
	phone := e.Phone("+4915550101")
	if err := phone.SetMode(Off); err != nil {
		t.Fatal(err)
	}
	p.send("+4915550101", "first", pdu.Options{StatusReport: true, Validity: time.Hour})
	p.quiet(20 * time.Millisecond)
	e.Network().Expire("+4915550101")
	if r := p.reports(1)[0]; r.Status != pdu.StatusExpired || r.MR != 0 {
		t.Errorf("after its validity: %+v", r)
	}
	p.send("+4915550101", "second", pdu.Options{StatusReport: true})
	if err := phone.SetMode(On); err != nil {
		t.Fatal(err)
	}
	if r := p.reports(2)[1]; r.Status != pdu.StatusDelivered || r.MR != 1 {
		t.Errorf("when it is on again: %+v", r)
	}
	if got := phone.Received(); len(got) != 1 || got[0] != "second" {
		t.Errorf("received %q", got)
	}
}

func TestFaultsOfTheServiceCentre(t *testing.T) {
	e, p := routed(t, Config{}, "AT+CNMI=2,1,0,1,0")
	to, _ := pdu.ParseNumber("+4915550101")
	parts, _, _ := pdu.Encode("hi", pdu.Options{To: to})
	e.Network().Fail(Fault{Cause: 38})
	p.at("AT+CMGS=14")
	if got := short(p.at("00" + hexOf(parts[0]) + "\x1a")); got != "+CMS ERROR: 38" {
		t.Error(got)
	}
	e.Network().Fail(Fault{Lose: true})
	p.send("+4915550101", "lost", pdu.Options{StatusReport: true})
	e.Network().Fail(Fault{Status: int(pdu.StatusNoResponse), ReportCopies: 1})
	p.send("+4915550101", "hard", pdu.Options{StatusReport: true})
	var got []pdu.Status
	for _, r := range p.reports(4) {
		got = append(got, r.Status)
	}
	if len(got) != 4 || got[0] != pdu.StatusNoResponse || got[1] != pdu.StatusNoResponse || got[2] != 0 || got[3] != 0 {
		t.Errorf("reports %v", got)
	}
	if r := e.Phone("+4915550101").Received(); len(r) != 1 || r[0] != "hard" {
		t.Errorf("received %q", r)
	}
	if s := e.Submits(); len(s) != 2 {
		t.Errorf("%d parts were accepted", len(s))
	}
}

// The count of copies does not depend on what a retry may change.
func TestCopiesAreCounted(t *testing.T) {
	e, p := routed(t, Config{})
	p.send("+4915550101", "once", pdu.Options{})
	p.send("+4915550101", "twice", pdu.Options{Validity: time.Hour})
	p.send("+4915550101", "twice", pdu.Options{RejectDuplicates: true, StatusReport: true})
	s := e.Submits()
	if len(s) != 2 || s[0].Count != 1 || s[1].Count != 2 || string(s[1].MRs) != "\x01\x02" {
		t.Errorf("%+v", s)
	}
}

func TestModemsTextEachOther(t *testing.T) {
	network := NewNetwork(NetworkConfig{})
	go func() { _ = network.Run(t.Context()) }() // ends with the test; nil always
	_, a := routed(t, Config{Number: "+4915550001", Network: network}, "AT+CNMI=2,1,0,1,0")
	b, bp := routed(t, Config{Number: "+4915550002", Network: network}, "AT+CNMI=2,1,0,1,0")
	text := strings.Repeat("von A nach B ", 20)
	a.send("+4915550002", text, pdu.Options{StatusReport: true, Ref: 4711})
	bp.until("+CMTI: \"ME\",1\r\n")
	if r := a.reports(2); r[0].Status != pdu.StatusDelivered {
		t.Errorf("report %+v", r[0])
	}
	var parts []pdu.Part
	for _, s := range b.Slots() {
		d, err := pdu.DecodeDeliver(s.TPDU)
		if err != nil || d.Remarks != nil || d.From.String() != "+4915550001" {
			t.Fatal(d, err)
		}
		parts = append(parts, d.Part)
	}
	if got := pdu.Join(parts); got != text {
		t.Errorf("received %q", got)
	}
}

func TestAutomaticAnswer(t *testing.T) {
	e, p := routed(t, Config{Phones: []PhoneConfig{{Number: "+4915550101", Answer: "You said: {text}"}}}, "AT+CNMI=2,1")
	text := strings.Repeat("long ", 50)
	p.send("+4915550101", text, pdu.Options{})
	p.until("+CMTI: \"ME\",1\r\n")
	p.quiet(20 * time.Millisecond) // one answer, not one for each part
	m := e.Phone("+4915550101").Messages()
	if len(m) != 2 || m[0].Parts != 2 || !m[1].Sent || m[1].Text != "You said: "+text {
		t.Errorf("%+v", m)
	}
}

func TestNamesAndBrokenTPDUsReachTheModem(t *testing.T) {
	e, p := routed(t, Config{}, "AT+CNMI=2,1")
	if err := e.Deliver("My Bank", "TAN 1234"); err != nil {
		t.Fatal(err)
	}
	e.DeliverTPDU([]byte{0x04, 0xFF})
	p.until("+CMTI: \"ME\",1\r\n")
	s := e.Slots()
	d, err := pdu.DecodeDeliver(s[0].TPDU)
	if err != nil || d.From != (pdu.Number{Digits: "My Bank", TON: pdu.Alphanumeric}) || d.Text() != "TAN 1234" {
		t.Errorf("%+v %v", d, err)
	}
	if string(s[1].TPDU) != "\x04\xff" {
		t.Errorf("%x", s[1].TPDU)
	}
	if got := short(p.at("AT+CMGR=1")); got != "+CMGR: 0,,2|0791947101670000"+"04FF|OK" {
		t.Error(got)
	}
}
