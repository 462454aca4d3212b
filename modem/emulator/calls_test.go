package emulator

import (
	"strings"
	"testing"
	"time"

	"doorway/modem/pdu"
)

func TestCalls(t *testing.T) {
	e, p := routed(t, Config{}, "AT+CLIP=1")
	e.Call("+4915550109", 2, time.Millisecond)
	p.until("NO CARRIER\r\n")
	if n := strings.Count(p.seen, "\r\nRING\r\n"); n != 2 || strings.Count(p.seen, `+CLIP: "+4915550109",145,`) != 2 {
		t.Errorf("heard %q", p.seen)
	}
	e.Call("", 100, time.Hour)
	p.until(`+CLIP: "",128,"",0,"",1` + "\r\n")
	if got := p.at("AT+CHUP"); !strings.HasSuffix(got, "\r\nOK\r\n") || e.HungUp() != 1 || !e.Idle() {
		t.Errorf("%q, refused %d", got, e.HungUp())
	}
	if r := e.Control(Request{Op: "call", From: "+4915550109"}); !strings.Contains(r.Error, "1 to 100") {
		t.Errorf("%+v", r)
	}
	if r := e.Control(Request{Op: "call", From: "+4915550109", Rings: 1}); r.Error != "" || e.Idle() {
		t.Errorf("%+v", r)
	}
}

func TestUSSDForms(t *testing.T) {
	e, p := routed(t, Config{})
	b, _ := pdu.Pack("Your balance is 12.34 EUR.")
	packed := hexOf(b)
	for _, c := range []struct{ form, code, want string }{
		{"", `AT+CUSD=1,"*100#",15`, `+CUSD: 0,"Your balance is 12.34 EUR.",15`},
		{"", `AT+CUSD=1,"*101#",15`, "+CUSD: 1,\"1 Balance\n2 Data\",15"},
		{"", `AT+CUSD=1,"1",15`, `+CUSD: 0,"Your balance is 12.34 EUR.",15`},
		{"", `AT+CUSD=1,"*102#",15`, "+CUSD: 4"},
		{"packed", `AT+CUSD=1,"AA180C3602",15`, `+CUSD: 0,"` + packed + `",15`},
		{"ucs2", `AT+CUSD=1,"002A0031003000300023",15`, "ERROR"}, // not before +CSCS
	} {
		if err := e.Set("ussd", c.form); err != nil {
			t.Fatal(err)
		}
		p.seen = ""
		got := p.at(c.code)
		if c.want == "ERROR" {
			if !strings.Contains(got, "ERROR") {
				t.Errorf("%s: %q", c.code, got)
			}
			continue
		}
		if !strings.Contains(p.seen, c.want) {
			p.until(c.want)
		}
	}
}
