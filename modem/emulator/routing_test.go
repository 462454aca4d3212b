package emulator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorway/modem/pdu"
)

// routed prepares a client with the given routing.
func routed(t *testing.T, cfg Config, cmds ...string) (*Emulator, *peer) {
	t.Helper()
	e := start(t, cfg)
	p := dial(t, e)
	p.at("ATE0")
	for _, c := range cmds {
		if got := p.at(c); !strings.HasSuffix(got, "\r\nOK\r\n") {
			t.Fatalf("%s: %q", c, got)
		}
	}
	return e, p
}

func TestRouting(t *testing.T) {
	for _, tc := range []struct{ cnmi, deliver, report string }{
		{"2,0,0,0,0", "", ""},
		{"2,1,0,0,0", "+CMTI: \"ME\",0\r\n", ""},
		{"1,1,0,1,0", "+CMTI: \"ME\",0\r\n", "+CDS: 24\r\n"},
		{"2,1,0,2,0", "+CMTI: \"ME\",0\r\n", "+CDSI: \"SR\",0\r\n"},
		{"2,2,0,1,0", "+CMT: ,23\r\n", "+CDS: 24\r\n"},
		{"2,3,0,0,0", "+CMTI: \"ME\",0\r\n", ""},
	} {
		t.Run(tc.cnmi, func(t *testing.T) {
			e, p := routed(t, Config{}, "AT+CNMI="+tc.cnmi)
			p.send("+4915550101", "Alarm", pdu.Options{StatusReport: true})
			if tc.report != "" {
				p.until("\r\n" + tc.report)
				if strings.Contains(tc.report, "CDS:") {
					p.until("\r\n")
				}
			}
			if err := e.Deliver("+4915550101", "Hello"); err != nil {
				t.Fatal(err)
			}
			if tc.deliver != "" {
				p.until("\r\n" + tc.deliver)
				if strings.Contains(tc.deliver, "CMT:") {
					p.until("\r\n")
				}
			} else {
				eventually(t, "the message is stored", func() bool { return len(e.Slots()) == 1 })
			}
			p.quiet(20 * time.Millisecond)
		})
	}
}

func TestNothingIsAnnouncedAtThePrompt(t *testing.T) {
	e, p := routed(t, Config{}, "AT+CNMI=2,1,0,1,0")
	p.at("AT+CMGS=20")
	if err := e.Deliver("+4915550101", "Hello"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message is stored", func() bool { return len(e.Slots()) == 1 })
	p.quiet(20 * time.Millisecond)
	if got := p.at("\x1b"); got != "\r\nOK\r\n" {
		t.Errorf("%q", got)
	}
	p.until("\r\n+CMTI: \"ME\",0\r\n")
}

// A directly routed message that is not acknowledged comes again, and routing falls back.
func TestAcknowledgement(t *testing.T) {
	network := NewNetwork(NetworkConfig{Retry: 10 * time.Millisecond})
	go func() { _ = network.Run(t.Context()) }() // ends with the test; nil always
	e, p := routed(t, Config{AckTimeout: time.Second, Network: network}, "AT+CSMS=1", "AT+CNMI=2,2,0,1,0")
	if err := e.Deliver("+4915550101", "one"); err != nil {
		t.Fatal(err)
	}
	if err := e.Deliver("+4915550101", "two"); err != nil {
		t.Fatal(err)
	}
	p.until("\r\n+CMT: ,21\r\n")
	p.until("\r\n")
	if got := p.at("AT+CNMA"); got != "\r\nOK\r\n" {
		t.Fatalf("%q", got)
	}
	p.until("\r\n+CMT: ,21\r\n") // the second one waited for that, and is not acknowledged
	p.until("\r\n")
	eventually(t, "it comes again, into the storage", func() bool { return len(e.Slots()) == 1 })
	if got := short(p.at("AT+CNMI?")); got != "+CNMI: 2,0,0,0,0|OK" {
		t.Errorf("routing afterwards: %s", got)
	}
	if got := short(p.at("AT+CNMA")); got != "+CMS ERROR: 340" {
		t.Errorf("late acknowledgement: %s", got)
	}
}

func TestFullStorageHoldsMessagesBack(t *testing.T) {
	network := NewNetwork(NetworkConfig{})
	go func() { _ = network.Run(t.Context()) }() // ends with the test; nil always
	e, p := routed(t, Config{Memories: []Memory{{"SM", 2, 900}}, Network: network}, "AT+CNMI=2,1")
	for i := range 3 {
		if err := e.Deliver("+4915550101", fmt.Sprint("message ", i)); err != nil {
			t.Fatal(err)
		}
	}
	p.until("\r\n+CMTI: \"SM\",900\r\n")
	p.until("\r\n+CMTI: \"SM\",901\r\n")
	p.quiet(20 * time.Millisecond)
	if got := short(p.at("AT+CPMS?")); got != `+CPMS: "SM",2,2,"SM",2,2,"SM",2,2|OK` {
		t.Error(got)
	}
	p.at("AT+CMGD=900")
	p.until("\r\n+CMTI: \"SM\",900\r\n")
	if got := strings.Count(p.at("AT+CMGL=4"), "+CMGL: "); got != 2 {
		t.Errorf("%d messages listed", got)
	}
	if got := strings.Count(p.at("AT+CMGL=0"), "+CMGL: "); got != 0 {
		t.Errorf("%d messages are still unread", got)
	}
	p.at("AT+CMGD=1,4")
	if n := len(e.Slots()); n != 0 {
		t.Errorf("%d messages left", n)
	}
}

func TestDraftsStayApart(t *testing.T) {
	e, p := routed(t, Config{})
	to, _ := pdu.ParseNumber("+4915550101")
	parts, _, _ := pdu.Encode("draft", pdu.Options{To: to})
	p.at(fmt.Sprintf("AT+CMGW=%d", len(parts[0])))
	if got := short(p.at("00" + hexOf(parts[0]) + "\x1a")); got != "+CMGW: 0|OK" {
		t.Error(got)
	}
	if got := short(p.at("AT+CMGR=0")); got != fmt.Sprintf("+CMGR: 2,,%d|00%s|OK", len(parts[0]), hexOf(parts[0])) {
		t.Error(got)
	}
	if len(e.Submits()) != 0 {
		t.Error("a draft was sent")
	}
}
