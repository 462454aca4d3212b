package modem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// tokens cuts s, armed for a prompt of cmd when that is not empty, in pieces of n bytes.
func tokens(s, cmd string, n int) []string {
	var t tokenizer
	if cmd != "" {
		t.arm(cmd)
	}
	var out []string
	emit := func(k token) {
		if k.prompt {
			out = append(out, "PROMPT")
			return
		}
		out = append(out, k.text)
	}
	for b := []byte(s); len(b) > 0; {
		k := min(n, len(b))
		t.feed(b[:k], emit)
		b = b[k:]
	}
	t.settle(emit)
	return out
}

func TestTokenizer(t *testing.T) {
	for _, tc := range []struct {
		name, in, cmd string
		want          []string
	}{
		{"standard", "\r\n+CSQ: 20,99\r\n\r\nOK\r\n", "", []string{"+CSQ: 20,99", "OK"}},
		{"LF only", "+CSQ: 20,99\nOK\n", "", []string{"+CSQ: 20,99", "OK"}},
		{"CR only", "+CSQ: 20,99\rOK\r", "", []string{"+CSQ: 20,99", "OK"}},
		{"two replies and a URC in one read", "\r\nOK\r\n\r\n+CMTI: \"ME\",3\r\n\r\nERROR\r\n", "", []string{"OK", `+CMTI: "ME",3`, "ERROR"}},
		{"control characters", "\x00\x1a\x7fOK\r", "", []string{"OK"}},
		{"prompt", "\r\n> ", "AT+CMGS=9", []string{"PROMPT"}},
		{"bare prompt", ">", "AT+CMGS=9", []string{"PROMPT"}},
		{"prompt with a line end", "\r\n>\r\n", "AT+CMGS=9", []string{"PROMPT"}},
		{"glued to the echo", "AT+CMGS=9> ", "AT+CMGS=9", []string{"AT+CMGS=9", "PROMPT"}},
		{"text before it", "\r\n^RSSI:17> ", "AT+CMGS=9", []string{"^RSSI:17", "PROMPT"}},
		{"twice", "\r\n> \r\n> \r\n+CMGS: 5\r\nOK\r\n", "AT+CMGS=9", []string{"PROMPT", "+CMGS: 5", "OK"}},
		{"twice in one line", "> > +CMGS: 5\r\n", "AT+CMGS=9", []string{"PROMPT", "+CMGS: 5"}},
		{"not in quotes", "+CUSD: 0,\"a > b\",15\r\n> ", "AT+CMGS=9", []string{`+CUSD: 0,"a > b",15`, "PROMPT"}},
		{"unfinished in quotes", "+CUSD: 0,\"a >", "AT+CMGS=9", nil},
		{"not expected", "> \r\nOK\r\n", "", []string{">", "OK"}},
		{"error instead", "\r\n+CMS ERROR: 38\r\n", "AT+CMGS=9", []string{"+CMS ERROR: 38"}},
	} {
		for n := 1; n <= len(tc.in); n++ {
			if got := tokens(tc.in, tc.cmd, n); !slices.Equal(got, tc.want) {
				t.Errorf("%s in pieces of %d: %q, want %q", tc.name, n, got, tc.want)
			}
		}
	}
	long := strings.Repeat("x", 70_000)
	if got := tokens(long+"\r\nOK\r\n", "", 512); len(got) != 2 || len(got[0]) != maxLine || got[1] != "OK" {
		t.Errorf("endless line: %d tokens", len(got))
	}
}

func TestFinals(t *testing.T) {
	for line, want := range map[string]final{
		"OK": {finalOK, -1, "OK"}, "ERROR": {finalError, -1, "ERROR"},
		"+CMS ERROR: 38": {finalCMS, 38, "+CMS ERROR: 38"}, "+CMS ERROR:38": {finalCMS, 38, "+CMS ERROR:38"},
		"+CMS ERROR: Network out of order": {finalCMS, 38, "+CMS ERROR: Network out of order"},
		"+CMS ERROR: no-network service":   {finalCMS, 331, "+CMS ERROR: no-network service"},
		"+cms error: 500":                  {finalCMS, 500, "+cms error: 500"},
		"+CME ERROR: SIM PIN required":     {finalCME, 11, "+CME ERROR: SIM PIN required"},
		"+CME ERROR: never heard of":       {finalCME, -1, "+CME ERROR: never heard of"},
		"NO CARRIER":                       {finalOther, -1, "NO CARRIER"},
		"COMMAND NOT SUPPORT":              {finalOther, -1, "COMMAND NOT SUPPORT"},
		"TOO MANY PARAMETERS":              {finalOther, -1, "TOO MANY PARAMETERS"},
	} {
		if got, ok := parseFinal(line); !ok || got != want {
			t.Errorf("%s: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "OKAY", "+CMTI: \"SM\",1", "ERRORS", "+CMGS: 4"} {
		if f, ok := parseFinal(line); ok {
			t.Errorf("%q is final: %+v", line, f)
		}
	}
	// Every word form has a class other than unknown, as its number has.
	for w, n := range cmsWords {
		if f, ok := parseFinal("+CMS ERROR: " + w); !ok || f.code != n || classify(f, false, false) == ClassUnknown {
			t.Errorf("%s: %+v is %s", w, f, classify(f, false, false))
		}
	}
}

func TestClassesDependOnCtrlZ(t *testing.T) {
	for _, tc := range []struct {
		line         string
		after, quick bool
		want         Class
	}{
		{"ERROR", false, false, ClassUnknown}, {"ERROR", true, true, ClassUnknown}, {"ERROR", true, false, ClassAmbiguous},
		{"+CMS ERROR: 300", false, false, ClassModem}, {"+CMS ERROR: 300", true, false, ClassAmbiguous},
		{"+CMS ERROR: 500", true, true, ClassAmbiguous}, {"+CME ERROR: 31", true, false, ClassAmbiguous}, {"+CME ERROR: 31", false, false, ClassNetwork},
		{"+CME ERROR: 14", false, false, ClassBusy}, {"+CME ERROR: 515", false, false, ClassBusy}, {"+CME ERROR: 103", false, false, ClassSubscription},
		{"+CME ERROR: 16", false, false, ClassSIM}, {"+CME ERROR: 50", false, false, ClassConfig}, {"+CME ERROR: 20", false, false, ClassStorage},
		{"+CME ERROR: 100", false, false, ClassModem}, {"NO CARRIER", true, false, ClassAmbiguous},
	} {
		f, _ := parseFinal(tc.line)
		if got := classify(f, tc.after, tc.quick); got != tc.want {
			t.Errorf("%s after=%v quick=%v: %s, want %s", tc.line, tc.after, tc.quick, got, tc.want)
		}
	}
}

func TestRegistrationForms(t *testing.T) {
	for line, want := range map[string]registration{
		"+CREG: 0,1": {1, -1, true}, "+CREG: 2,5,\"00C3\",\"1A2B\",7": {5, 7, true}, "+CREG: 1": {1, -1, false},
		"+CREG: 1,\"00C3\",\"1A2B\"": {1, -1, false}, "+CREG: 5,00C3,1A2B": {5, -1, false}, "+CEREG: 2,1,\"54\",\"0\",7,,,\"1\"": {1, 7, true},
		"+CREG: 2,11": {11, -1, true}, "+CREG:2,3": {3, -1, true}, "+CREG: 1,\"01\",\"02\"": {1, -1, false}, "+CEREG: 10": {10, -1, false},
	} {
		if got, ok := parseCREG(line); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "+CREG", "+CREG:", "+CREG: x", "+CREG: 12"} {
		if got, ok := parseCREG(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
	for stat := range 12 {
		if got := (registration{stat: stat}).usable(); got != slices.Contains([]int{1, 5, 6, 7, 9, 10}, stat) {
			t.Errorf("%d usable: %v", stat, got)
		}
	}
}

func TestParsers(t *testing.T) {
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, want %#v", what, got, want)
		}
	}
	mr, ok := parseCMGS("+CMGS: 200")
	check("CMGS", []any{mr, ok}, []any{byte(200), true})
	mr, ok = parseCMGS(`+CMGS: 7,"07911326040000F0"`)
	check("CMGS with ackpdu", []any{mr, ok}, []any{byte(7), true})
	_, ok = parseCMGS("+CMGS: 256")
	check("CMGS out of range", ok, false)
	h, ok := parseCMGL(`+CMGL: 3,1,"a,b",24`)
	check("CMGL", []any{h, ok}, []any{header{3, 1, 24}, true})
	h, ok = parseCMGL(`+CMGL: 3,"REC UNREAD",,24`)
	check("CMGL in words", []any{h, ok}, []any{header{3, 0, 24}, true})
	h, ok = parseCMGR("+CMGR: 0,,24")
	check("CMGR", []any{h, ok}, []any{header{-1, 0, 24}, true})
	h, ok = parsePushed("+CDS: 26")
	check("CDS", []any{h, ok}, []any{header{-1, -1, 26}, true})
	h, ok = parsePushed(`+CMT: "x",30`)
	check("CMT", []any{h, ok}, []any{header{-1, -1, 30}, true})
	mem, i, ok := parseIndication(`+CMTI: "SM_P",12`)
	check("CMTI", []any{mem, i, ok}, []any{"SM_P", 12, true})
	_, _, ok = parseIndication(`+CMTI: "S\"M",12`)
	check("CMTI with a bad name", ok, false)
	check("CSQ", []int{parseCSQ("+CSQ: 20,99"), parseCSQ("+CSQ: 99,99"), parseCSQ("+CSQ: 0,0")}, []int{-73, 0, -113})
	check("COPS", []string{cops(`+COPS: 0,0,"A, B",7`), cops("+COPS: 0")}, []string{"A, B 7", " -1"})
	mem, u, ok := parseCPMS(`+CPMS: "ME",3,50,"ME",3,50,"ME",3,50`)
	check("CPMS?", []any{mem, u, ok}, []any{"ME", usage{3, 50}, true})
	mem, u, ok = parseCPMS("+CPMS: 3,50,3,50,3,50")
	check("CPMS=", []any{mem, u, ok}, []any{"", usage{3, 50}, true})
	check("CNMI=?", parseLists("+CNMI: (0,1,2),(0-3),(0,2),(0-2),(0,1)", "+CNMI"),
		[][]string{{"0", "1", "2"}, {"0", "1", "2", "3"}, {"0", "2"}, {"0", "1", "2"}, {"0", "1"}})
	check("CPMS=?", parseLists(`+CPMS: ("ME","SM"),("ME"),"SM"`, "+CPMS"), [][]string{{"ME", "SM"}, {"ME"}, {"SM"}})
	check("CPIN", []string{parseCPIN("+CPIN: READY"), parseCPIN(`+CPIN: "SIM PIN"`)}, []string{"READY", "SIM PIN"})
	b, ok := parsePDU("00060405", 3)
	check("PDU", []any{b, ok}, []any{[]byte{6, 4, 5}, true})
	b, ok = parsePDU("0791551010010201060405", 3)
	check("PDU with SMSC", []any{b, ok}, []any{[]byte{6, 4, 5}, true})
	_, ok = parsePDU("00060405", 5)
	check("PDU of another length", []bool{ok, wholePDU("00060405", 5), wholePDU("00060405", 3), wholePDU("00060405", 4)}, []bool{true, false, true, true})
	_, ok = parsePDU("FF060405", 5)
	check("SMSC longer than the line", ok, false)
}

// A URC that comes in the middle of everything else keeps out of it, and lines
// keep their order.
func TestEngineSortsLines(t *testing.T) {
	e := testEngine("\r\n+CMGR: 0,,4\r\n\r\n+CMTI: \"ME\",1\r\n+CDS: 3\r\n^RSSI:17\r\n00060405\r\n0000010203\r\n+CREG: 1,\"00\",\"01\"\r\n\r\nOK\r\n")
	r, err := e.collect(context.Background(), command{line: "AT+CMGR=1", info: "+CMGR", pdu: true}, time.Now().Add(time.Second))
	if err != nil || !slices.Equal(r.lines, []string{"+CMGR: 0,,4", "0000010203"}) {
		t.Errorf("lines %q, %v", r.lines, err)
	}
	want := []urc{{`+CMTI: "ME",1`, ""}, {"+CDS: 3", "00060405"}, {`+CREG: 1,"00","01"`, ""}}
	if !slices.Equal(e.urcs, want) {
		t.Errorf("unsolicited %q, want %q", e.urcs, want)
	}
}

// The read form of +CREG answers the command, the other one does not.
func TestEngineTellsCREGForms(t *testing.T) {
	e := testEngine("\r\n+CREG: 5,\"00C3\",\"1A2B\"\r\n\r\n+CREG: 2,1,\"00C3\",\"1A2B\"\r\n\r\nOK\r\n")
	r, err := e.collect(context.Background(), command{line: "AT+CREG?", info: "+CREG"}, time.Now().Add(time.Second))
	if err != nil || !slices.Equal(r.lines, []string{`+CREG: 2,1,"00C3","1A2B"`}) || len(e.urcs) != 1 {
		t.Errorf("lines %q, unsolicited %q, %v", r.lines, e.urcs, err)
	}
}

// B08: noise never extends a limit.
func TestB08NoiseDoesNotExtendLimit(t *testing.T) {
	e := newEngine(pipe{}, slog.New(slog.DiscardHandler), fast, func(time.Time) {}, func(Late) {})
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case e.in <- []byte("\r\n^RSSI:17\r\n\r\n+CREG: 1\r\nwhatever\r\n"):
				case <-stop:
					return
				}
			case <-stop:
				return
			}
		}
	}()
	defer close(stop)
	_, err := e.do(context.Background(), command{line: "AT+CSQ", info: "+CSQ", limit: 100 * time.Millisecond})
	if !errors.Is(err, errTimeout) { // were the noise to put it off, this would never end
		t.Errorf("%v, want a timeout", err)
	}
	if len(e.urcs) > maxURC {
		t.Errorf("%d lines are kept", len(e.urcs))
	}
}

// A modem that takes no bytes hangs; it is not unplugged.
func TestStuckWriteIsNotAbsence(t *testing.T) {
	e := newEngine(stuck{}, slog.New(slog.DiscardHandler), fast, func(time.Time) {}, func(Late) {})
	_, err := e.do(context.Background(), command{line: "AT", limit: time.Second})
	if st, text := explain(Config{Name: "gsm0", Device: "/dev/x"}, "", err); st != Unreachable || !strings.Contains(text, "unplug") {
		t.Errorf("%v is %s: %s", err, st, text)
	}
}

// stuck is a port that takes nothing.
type stuck struct{ pipe }

func (stuck) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// pipe is a port that takes everything and gives nothing.
type pipe struct{}

func (pipe) Read([]byte) (int, error)    { return 0, io.EOF }
func (pipe) Write(b []byte) (int, error) { return len(b), nil }
func (pipe) Close() error                { return nil }

// testEngine has read s and lost the port then.
func testEngine(s string) *engine {
	e := newEngine(pipe{}, slog.New(slog.DiscardHandler), fast, func(time.Time) {}, func(Late) {})
	e.in = make(chan []byte, 1)
	e.in <- []byte(s)
	close(e.in)
	return e
}

func FuzzTokenizer(f *testing.F) {
	f.Add([]byte("AT+CMGS=9\r\n> \r\n> \r\n+CMGS: 5\r\nOK\r\n"), "AT+CMGS=9")
	f.Add([]byte("^RSSI:17> \x1a"), "AT+CMGS=9")
	f.Fuzz(func(t *testing.T, b []byte, cmd string) {
		whole := tokens(string(b), cmd, len(b)+1)
		if single := tokens(string(b), cmd, 1); !slices.Equal(whole, single) {
			t.Errorf("in one piece %q, in single bytes %q", whole, single)
		}
		prompts := 0
		for _, s := range whole {
			if s == "PROMPT" {
				prompts++
			}
			if s == "" || len(s) > maxLine || strings.ContainsAny(s, "\r\n\x00\x1a\x1b") {
				t.Errorf("token %q", s)
			}
		}
		if prompts > 1 && !bytes.Contains(b, []byte("PROMPT")) {
			t.Errorf("%d prompts", prompts)
		}
	})
}

// FuzzAnswers feeds every parser of a line.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"+CMGS: 5,\"00\"", "+CMGL: 3,1,,24", "+CMGR: 0,,24", "+CREG: 2,1,\"00C3\",\"1A2B\",7", "+CSQ: 20,99",
		`+CPMS: "ME",3,50`, `+COPS: 0,0,"A",7`, `+CMTI: "ME",3`, "+CDS: 26", `+CMT: "x",30`, "+CMS ERROR: 38", "+CME ERROR: SIM busy",
		"+CNMI: (0-2),(0,1),(0),(1-999999999999),(", "0791551010010201060405", "+CPIN: SIM PIN", "^SYSSTART", "+CPINR: SIM PIN,3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if mr, ok := parseCMGS(s); ok && mr == 0 && !strings.Contains(s, "0") {
			t.Errorf("CMGS: reference 0 of %q", s)
		}
		if h, ok := parseCMGL(s); ok && (h.index < 0 || h.stat > 4) {
			t.Errorf("CMGL: %+v", h)
		}
		if h, ok := parseCMGR(s); ok && h.stat > 4 {
			t.Errorf("CMGR: %+v", h)
		}
		if r, ok := parseCREG(s); ok && (r.stat < 0 || r.stat > 11 || r.String() == "") {
			t.Errorf("CREG: %+v", r)
		}
		if dbm := parseCSQ(s); dbm > -51 && dbm != 0 || dbm < -113 {
			t.Errorf("CSQ: %d", dbm)
		}
		if mem, _, ok := parseIndication(s); ok && !isMemory(mem) {
			t.Errorf("CMTI: %q", mem)
		}
		if mem, u, ok := parseCPMS(s); ok && (u.used < 0 || u.size < 0 || mem != "" && !isMemory(mem)) {
			t.Errorf("CPMS: %q %+v", mem, u)
		}
		if h, ok := parsePushed(s); ok && h.length <= 0 {
			t.Errorf("CDS: %+v", h)
		}
		for _, l := range parseLists(s, "+CNMI") {
			if len(l) > 256 {
				t.Errorf("%d values", len(l))
			}
		}
		if b, ok := parsePDU(s, -1); ok && (len(b) == 0 || len(b)*2 >= len(s)) {
			t.Errorf("PDU: %d octets of %d digits", len(b), len(s))
		}
		if f, ok := parseFinal(s); ok && (f.raw != s || f.code < -1) {
			t.Errorf("final: %+v", f)
		}
		for _, n := range []string{parseCLIP(s), parseCNUM(s)} {
			if d := strings.TrimPrefix(n, "+"); len(d) > 20 || digits(d) != d {
				t.Errorf("number %q", n)
			}
		}
		if c, ok := parseCCLK(s); ok && c.IsZero() && !strings.Contains(s, "/") {
			t.Errorf("clock %v", c)
		}
		if _, text, ok := parseCUSD(s); ok && (len(text) > 3*len(s)+16 || !utf8.ValidString(text)) {
			t.Errorf("USSD %q", text)
		}
		if p := private('<', s); len(p) > 2*len(s)+16 {
			t.Errorf("masked %q", p)
		}
		quirksOf(s, s)
		_, _ = parseCOPS(s)
		_, _ = parseCPIN(s), urcKind(s)
	})
}

// FuzzEngine runs commands and a send over arbitrary bytes: each ends.
func FuzzEngine(f *testing.F) {
	f.Add("\r\n+CMGL: 3,1,,3\r\n00060405\r\n\r\nOK\r\n")
	f.Add("\r\n+CDS: 3\r\n^RSSI:1\r\n00060405\r\n+CMGS: 5\r\nOK\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		ctx := context.Background()
		for _, c := range []command{{line: "AT+CMGL=4", info: "+CMGL", pdu: true}, {line: "AT+CREG?", info: "+CREG"}, {line: "AT+CGMI", info: "+CGMI", bare: true}} {
			e := testEngine(s)
			r, err := e.collect(ctx, c, time.Now().Add(time.Second))
			if err != nil && !errors.Is(err, errLost) {
				t.Errorf("%s: %v", c.line, err)
			}
			if c.pdu && len(r.lines)%2 != 0 {
				t.Errorf("headers and PDUs do not alternate: %q", r.lines)
			}
			if len(e.urcs) > maxURC {
				t.Errorf("%d lines are kept", len(e.urcs))
			}
		}
		d := New(Config{Name: "fuzz", Timeouts: fast})
		a := &attempt{s: newSession(d, pipe{}), mr: -1, line: "AT+CMGS=3", pdu: "00060405", after: true, wrote: time.Now()}
		a.s.e = testEngine(s)
		err, fatal := a.answer(ctx)
		if err == nil && (a.mr < 0 || a.mr > 255) {
			t.Errorf("accepted with reference %d", a.mr)
		}
		if err != nil && fatal == nil && !strings.Contains(strings.ToUpper(s), "ERROR") && err.(*SendError).Class == ClassAccepted {
			t.Errorf("%v", err)
		}
	})
}

func cops(line string) string {
	operator, act := parseCOPS(line)
	return fmt.Sprint(operator, " ", act)
}
