package emulator

import (
	"strings"
	"testing"
	"time"

	"doorway/modem/pdu"
)

// submitHi is a SUBMIT of "hi" to +4915550101 in the form of +CMGS, 14 octets.
func submitHi(t *testing.T) string {
	t.Helper()
	to, _ := pdu.ParseNumber("+4915550101")
	parts, _, err := pdu.Encode("hi", pdu.Options{To: to})
	if err != nil || len(parts[0]) != 14 {
		t.Fatal(err)
	}
	return "00" + hexOf(parts[0]) + "\x1a"
}

func TestEveryNamedScriptParses(t *testing.T) {
	for _, name := range append(ScriptNames(), "B05", "B15", "B22", "B16@1s", "B18-38") {
		if rules, err := Script(name); err != nil || len(rules) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "B99", "B18-", "B18-x", "B16@soon"} {
		if _, err := Script(name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestScriptErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"skip":                            "line 1",
		"on monday":                       "line 1",
		"# c\non command [":               "line 2",
		"on pdu\n\n delay soon":           "line 3",
		"on pdu\n urc 1s":                 "line 2",
		"on pdu\n dance":                  "line 2",
		"on pdu\n instead unquoted":       "line 2",
		"on pdu\n repeat 1s 1s many \"\"": "line 2",
	} {
		if _, err := ParseScript(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What the client reads of one send, by script.
func TestPromptsAndAnswersOfScripts(t *testing.T) {
	for _, tc := range []struct{ script, prompt, answer string }{
		{"B05-lf", "\n> ", "\n+CMGS: 0\n\nOK\n"},
		{"B05-cr", "\r> ", "\r+CMGS: 0\r\rOK\r"},
		{"B05-blank", "\r\n\r\n> ", "\r\n\r\n+CMGS: 0\r\n\r\n\r\n\r\nOK\r\n\r\n"},
		{"B05-bare", "> ", "+CMGS: 0\r\nOK\r\n"},
		{"B09@1ms", "\r\n+CMTI: \"ME\",0\r\n\r\n^RSSI:17\r\n\r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B10@1ms", "\r\n> ", "\r\n+CMTI: \"ME\",0\r\n\r\n^HCSQ:\"LTE\",45,40,120,20\r\n\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-crlf", "\r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-bare", ">", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-line", "\r\n>\r\n", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-glued", "AT+CMGS=14\r> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-urc", "\r\n^RSSI:17> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B15-twice", "\r\n> \r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B16@1ms", "\r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B17", "\r\n> ", "\r\nOK\r\n"},
		{"B18-500", "\r\n> ", "\r\n+CMS ERROR: 500\r\n"},
		{"B22-before@1ms", "\r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
		{"B22-after@1ms", "\r\n> ", "\r\n+CMGS: 0\r\n\r\nOK\r\n"},
	} {
		t.Run(tc.script, func(t *testing.T) {
			e := start(t, Config{Scripts: []string{tc.script}})
			p := dial(t, e)
			p.write("ATE0\r")
			p.until("OK")
			p.drop()
			p.write("AT+CMGS=14\r")
			if got := p.until(tc.prompt); got != tc.prompt {
				t.Errorf("prompt %q, want %q", got, tc.prompt)
			}
			p.write(submitHi(t))
			if got := p.until(tc.answer); got != tc.answer {
				t.Errorf("answer %q, want %q", got, tc.answer)
			}
			want := 1
			if tc.script == "B18-500" {
				want = 0
			}
			if n := len(e.Submits()); n != want {
				t.Errorf("%d parts reached the service centre, want %d", n, want)
			}
		})
	}
}

// drop drops what is still coming.
func (p *peer) drop() {
	_ = p.f.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	tmp := make([]byte, 4096)
	_, _ = p.f.Read(tmp)
	p.buf = nil
}

func TestStuckAtThePrompt(t *testing.T) {
	e := start(t, Config{Scripts: []string{"B03"}})
	p := dial(t, e)
	eventually(t, "the script has begun", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.prompt == 140 })
	p.write("AT\r")
	p.until("AT")
	p.write("\x1b\r")
	p.until("\r\nOK\r\n")
	p.at("AT")
	if len(e.Submits()) != 0 {
		t.Error("something was sent")
	}
}

func TestFirstCommandSwallowed(t *testing.T) {
	p := dial(t, start(t, Config{Scripts: []string{"B02"}}))
	p.write("AT\r")
	p.until("AT\r")
	p.quiet(30 * time.Millisecond)
	p.at("AT")
}

func TestEchoReturnsWithAReset(t *testing.T) {
	e := start(t, Config{Scripts: []string{"B01"}})
	p := dial(t, e)
	p.at("ATE0")
	p.send("+4915550101", "one", pdu.Options{})
	if got := p.at("AT+CMGS=14"); got != "\r\nERROR\r\n" {
		t.Errorf("%q", got)
	}
	if got := p.at("AT"); got != "AT\r\r\nOK\r\n" {
		t.Errorf("after the reset: %q", got)
	}
}

func TestSecondPromptComesLate(t *testing.T) {
	e := start(t, Config{Scripts: []string{"B15-twice-late@10ms"}})
	p := dial(t, e)
	p.at("ATE0")
	p.at("AT+CMGS=14")
	p.until("\r\n> ")
	p.write(submitHi(t))
	p.until("+CMGS: 0\r\n\r\nOK\r\n")
	if s := e.Submits(); len(s) != 1 || s[0].Count != 1 {
		t.Errorf("%+v", s)
	}
}

// The port hangs up after Ctrl-Z and comes back under the same link.
func TestPortVanishes(t *testing.T) {
	for script, want := range map[string]int{"B20@30ms": 1, "B20-lost@30ms": 0} {
		t.Run(script, func(t *testing.T) {
			link := t.TempDir() + "/modem"
			e := start(t, Config{Scripts: []string{script}, Link: link})
			p := dial(t, e)
			p.at("ATE0")
			p.at("AT+CMGS=14")
			p.write(submitHi(t))
			_ = p.f.SetReadDeadline(time.Now().Add(30 * time.Second))
			if n, err := p.f.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("the line is still up: %d bytes", n)
			}
			if n := len(e.Submits()); n != want {
				t.Errorf("%d parts reached the service centre, want %d", n, want)
			}
			eventually(t, "the port is back", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.port != nil })
			p = dial(t, e)
			if got := p.at("AT"); got != "AT\r\r\nOK\r\n" {
				t.Errorf("a new modem echoes again: %q", got)
			}
		})
	}
}

func TestBytesDuringACommandAreNoted(t *testing.T) {
	e := start(t, Config{Scripts: []string{"B06@30ms"}})
	p := dial(t, e)
	p.at("ATE0")
	p.write("AT+CSQ\rAT\r")
	p.until("+CSQ: 20,99\r\n\r\nOK\r\n\r\nOK\r\n")
	if v := e.Violations(); len(v) != 1 || !strings.Contains(v[0], "AT+CSQ") {
		t.Errorf("%q", v)
	}
}

func TestFloodAndPartialAnswers(t *testing.T) {
	rules, err := ParseScript("on command \\+CSQ\n partial 6\n urc 5ms \"\\r\\n^BOOT\\r\\n\"\n repeat 10ms 1ms 5 \"\\r\\n^RSSI:1\\r\\n\"")
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, start(t, Config{Rules: rules}))
	p.at("ATE0")
	p.write("AT+CSQ\r")
	if got := p.until("^BOOT\r\n"); got != "\r\n+CSQ\r\n^BOOT\r\n" {
		t.Errorf("%q", got)
	}
	for range 5 {
		p.until("\r\n^RSSI:1\r\n")
	}
	p.quiet(20 * time.Millisecond)
}

// The base modem takes any bytes: no panic, bounded buffers, and it still answers.
func FuzzClientBytes(f *testing.F) {
	f.Add([]byte("ATE0\rAT+CMGS=14\r0001000A91945155101000000268341a\x1a\rAT+CMGL=4\r"))
	f.Add([]byte("AT+CMEE=1;+CREG=2;+CPMS=\"SM\",\"SM\"\rAT+CNMI=2,1,0,1,0\r"))
	f.Add([]byte("AT+CPIN=\rAT+CFUN=\rAT+CSCA=\rAT+CUSD=\rAT+CSCS=\rA/\r\x1b\r"))
	f.Add([]byte("ATS0=1S0?&F&\xffV0Q1\rAT+CNMA=9\rAT+COPS=,,\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := New(Config{})
		if err != nil {
			t.Skip(err)
		}
		defer e.Close()
		e.mu.Lock()
		e.port.close("") // nobody reads: write nothing
		e.port = nil
		e.feed(b)
		if len(e.line) > 2048 || len(e.rx) > 4096 || len(e.queued) > len(b) {
			t.Error("buffers grow")
		}
		e.mu.Unlock()
	})
}

func FuzzParseScript(f *testing.F) {
	for _, text := range scripts {
		f.Add(strings.ReplaceAll(text, "%D", "1s"))
	}
	f.Fuzz(func(t *testing.T, text string) { _, _ = ParseScript(text) })
}
