package emulator

import (
	"strings"
	"testing"
	"time"

	"doorway/modem/pdu"
)

// short frames an answer without its line ends, lines joined by |.
func short(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' })
	return strings.Join(lines, "|")
}

func TestCommands(t *testing.T) {
	e := start(t, Config{Operator: "Testnet", IMEI: "123456789012347"})
	p := dial(t, e)
	if got := p.at("AT"); got != "AT\r\r\nOK\r\n" {
		t.Errorf("with echo: %q", got)
	}
	p.at("ATE0")
	for _, tc := range [][2]string{
		{"AT", "OK"},
		{"at+csq", "+CSQ: 20,99|OK"},
		{"\x1bAT", "OK"}, // what stands before AT is dropped
		{"ATE0V1Q0", "OK"},
		{"ATE0+CMEE=1;+CREG=2", "OK"},
		{"AT+CMEE?;+CREG?", `+CMEE: 1|+CREG: 2,1,"1A2B","01C3D4E5",7|OK`},
		{"AT+CMEE=3", "ERROR"},
		{"AT+CMEE=?", "+CMEE: (0-2)|OK"},
		{"AT&F&D0", "OK"},
		{"AT+CMEE?", "+CMEE: 0|OK"},
		{"ATE0", "OK"},
		{"ATS0=0", "OK"},
		{"AT+NOSUCH=1", "ERROR"},
		{"AT+MODE=2", "ERROR"},
		{"AT$TSSPCSW=?", "ERROR"},
		{"AT?", "ERROR"},
		{"AT+CGSN", "123456789012347|OK"},
		{"AT+CGSN=1", `+CGSN: "123456789012347"|OK`},
		{"AT+CGMI;+CGMM", "doorway|EMU-1|OK"},
		{"AT+CIMI", "262019000000001|OK"},
		{"AT+CCID", "+CCID: 8949020000000000018|OK"},
		{"AT+COPS?", `+COPS: 0,0,"Testnet",7|OK`},
		{"AT+COPS=3,2", "OK"},
		{"AT+COPS?", `+COPS: 0,2,"26201",7|OK`},
		{"AT+CEREG?", "+CEREG: 0,1|OK"},
		{"AT+CPIN?", "+CPIN: READY|OK"},
		{"AT+CFUN?", "+CFUN: 1|OK"},
		{"AT+CFUN=9", "ERROR"},
		{"AT+CSCS=?", `+CSCS: ("GSM","IRA","UCS2")|OK`},
		{"AT+CSCS=\"UCS2\"", "OK"},
		{"AT+CSCS?", `+CSCS: "UCS2"|OK`},
		{"AT+CMGF=?", "+CMGF: (0)|OK"},
		{"AT+CMGF=0", "OK"},
		{"AT+CMGF=1", "+CMS ERROR: 303"},
		{"AT+CSMS?", "+CSMS: 0,1,1,0|OK"},
		{"AT+CSMS=1", "+CSMS: 1,1,0|OK"},
		{"AT+CNMA", "+CMS ERROR: 340"},
		{"AT+CSMS=0", "+CSMS: 1,1,0|OK"},
		{"AT+CSMS=128", "+CMS ERROR: 302"},
		{"AT+CPMS=?", `+CPMS: ("ME","SM","SR"),("ME","SM"),("ME","SM")|OK`},
		{"AT+CPMS?", `+CPMS: "ME",0,50,"ME",0,50,"ME",0,50|OK`},
		{"AT+CPMS=\"SM\",\"SM\"", `+CPMS: 0,20,0,20,0,50|OK`},
		{"AT+CPMS=\"XX\"", "+CMS ERROR: 302"},
		{"AT+CPMS=\"ME\",\"SR\"", "+CMS ERROR: 302"},
		{"AT+CNMI=2,1,0,1,0", "OK"},
		{"AT+CNMI?", "+CNMI: 2,1,0,1,0|OK"},
		{"AT+CNMI=2,9", "+CMS ERROR: 302"},
		{"AT+CNMI=2,1", "OK"},
		{"AT+CMMS=1", "OK"},
		{"AT+CMMS?", "+CMMS: 1|OK"},
		{"AT+CSCA?", `+CSCA: "+491710760000",145|OK`},
		{"AT+CSCA=\"491710760001\",145", "OK"},
		{"AT+CSCA?", `+CSCA: "+491710760001",145|OK`},
		{"AT+CMGL=4", "OK"},
		{"AT+CMGL=7", "+CMS ERROR: 304"},
		{"AT+CMGR=3", "+CMS ERROR: 321"},
		{"AT+CMGD=99", "+CMS ERROR: 321"},
		{"AT+CMGD=3", "OK"},
		{"AT+CMGS=0", "+CMS ERROR: 304"},
		{"AT+CMGS", "+CMS ERROR: 304"},
		{"AT+CMEE=2", "OK"},
		{"AT+CMGR=3", "+CMS ERROR: invalid memory index"},
		{"AT+CFUN=4", "OK"},
		{"AT+CREG?", "+CREG: 0,0|OK"},
		{"AT+CMGS=20", "+CMS ERROR: no network service"},
		{"AT+CFUN=1", "OK"},
		{"ATD123;", "NO CARRIER"},
		{"ATZ", "OK"},
	} {
		if got := short(p.at(tc[0])); got != tc[1] && got != tc[0]+"|"+tc[1] {
			t.Errorf("%s: %s, want %s", tc[0], got, tc[1])
		}
	}
	p.at("ATE0")
	p.write("nonsense\r\n\r\r")
	p.quiet(30 * time.Millisecond)
	p.write("ATV0\r")
	p.until("0\r")
	p.write("AT+NOSUCH\r")
	p.until("4\r")
	p.write("ATV1\r")
	p.until("\r\nOK\r\n")
	if v := e.Violations(); v != nil {
		t.Error(v)
	}
}

func TestBrokenSubmitIsRefused(t *testing.T) {
	e := start(t, Config{})
	p := dial(t, e)
	p.at("ATE0")
	good := "0001000A9194515510100000026835"
	raw := strings.TrimSuffix(good, "35")
	for _, tc := range []struct{ name, length, hex string }{
		{"wrong length", "20", good},
		{"user data cut short", "13", raw},
		{"not hex", "14", "0001zz"},
		{"odd number of digits", "14", good + "0"},
		{"nothing", "14", ""},
		{"service centre field too long", "14", "FF01"},
		{"a DELIVER", "14", "0004" + good[4:]},
		{"octets behind the text", "15", good + "00"},
	} {
		if got := p.at("AT+CMGS=" + tc.length); got != "\r\n> " {
			t.Fatalf("%q", got)
		}
		if got := p.at(tc.hex + "\x1a"); got != "\r\n+CMS ERROR: 304\r\n" {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
	p.at("AT+CMGS=14")
	if got := p.at(good[:10] + "\x1b"); got != "\r\nOK\r\n" {
		t.Errorf("ESC: %q", got)
	}
	if n := len(e.Submits()); n != 0 {
		t.Errorf("%d parts reached the service centre", n)
	}
	p.at("AT+CMGS=14")
	if got := p.at(good + "\x1a"); short(got) != "+CMGS: 0|OK" {
		t.Errorf("a good one: %q", got)
	}
	if err := e.Set("smsc", ""); err != nil {
		t.Fatal(err)
	}
	p.at("AT+CMGS=14")
	if got := p.at(good + "\x1a"); short(got) != "+CMS ERROR: 330" {
		t.Errorf("without service centre: %q", got)
	}
}

func TestPINAndPUK(t *testing.T) {
	e := start(t, Config{PIN: "4711", PUK: "87654321"})
	p := dial(t, e)
	p.at("ATE0+CMEE=1")
	for _, tc := range [][2]string{
		{"AT+CPIN?", "+CPIN: SIM PIN|OK"},
		{"AT+CIMI", "+CME ERROR: 11"},
		{"AT+CPMS?", "+CMS ERROR: 311"},
		{"AT+CMGS=20", "+CMS ERROR: 311"},
		{"AT+CREG?", "+CREG: 0,0|OK"},
		{"AT+CPIN=\"0000\"", "+CME ERROR: 16"},
		{"AT+CPINR", "+CPINR: SIM PIN,2,3|+CPINR: SIM PUK,10,10|OK"},
		{"AT+CPIN=4711", "OK"},
		{"AT+CPIN?", "+CPIN: READY|OK"},
		{"AT+CPIN=4711", "+CME ERROR: 3"},
		{"AT+CFUN=1,1", "OK"}, // a restart asks again
		{"ATE0+CMEE=1", "ATE0+CMEE=1|OK"},
		{"AT+CPIN?", "+CPIN: SIM PIN|OK"},
		{"AT+CPIN=1", "+CME ERROR: 16"},
		{"AT+CPIN=2", "+CME ERROR: 16"},
		{"AT+CPIN=3", "+CME ERROR: 16"},
		{"AT+CPIN?", "+CPIN: SIM PUK|OK"},
		{"AT+CPIN=4711", "+CME ERROR: 3"},
		{"AT+CPIN=\"87654321\",\"1234\"", "OK"},
		{"AT+CREG?", "+CREG: 0,1|OK"},
	} {
		if got := short(p.at(tc[0])); got != tc[1] {
			t.Errorf("%s: %s, want %s", tc[0], got, tc[1])
		}
	}
	for state, want := range map[string]string{"absent": "+CME ERROR: 10", "busy": "+CME ERROR: 14"} {
		if err := e.Set("sim", state); err != nil {
			t.Fatal(err)
		}
		if got := short(p.at("AT+CPIN?")); got != want {
			t.Errorf("%s: %s", state, got)
		}
	}
}

func TestCharactersOneByOne(t *testing.T) {
	e := start(t, Config{})
	p := dial(t, e)
	for _, c := range "ATE0\r" {
		p.write(string(c))
	}
	p.until("ATE0\r\r\nOK\r\n")
	to, _ := pdu.ParseNumber("+4915550101")
	parts, _, _ := pdu.Encode("hi", pdu.Options{To: to})
	p.at("AT+CMGS=14")
	for _, c := range "00" + strings.ToLower(hexOf(parts[0])) + "\x1a" {
		p.write(string(c))
	}
	p.until("+CMGS: 0\r\n\r\nOK\r\n")
	eventually(t, "the phone has the text", func() bool { return len(e.Phone("+4915550101").Received()) == 1 })
}

func TestBalance(t *testing.T) {
	p := dial(t, start(t, Config{}))
	p.at("ATE0")
	if got := p.at(`AT+CUSD=1,"*100#",15`); got != "\r\nOK\r\n" {
		t.Errorf("%q", got)
	}
	p.until("+CUSD: 0,\"Your balance is 12.34 EUR.\",15\r\n")
}
