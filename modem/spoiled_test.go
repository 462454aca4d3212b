package modem

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
)

// bubble is a driver on an emulated modem in a time of its own, in which
// waiting costs nothing: all limits are the real ones.
type bubble struct {
	t   *testing.T
	emu *emulator.Emulator
	d   *Driver

	mu    sync.Mutex // guards what follows
	seen  map[[32]byte]bool
	texts []string
	lines []string
}

// inBubble runs f with a modem that keeps to the rules given.
func inBubble(t *testing.T, ec emulator.Config, f func(*bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ec.NoPort = true
		emu, err := emulator.New(ec)
		if err != nil {
			t.Fatal(err)
		}
		b := &bubble{t: t, emu: emu, seen: map[[32]byte]bool{}}
		b.d = New(Config{Name: "gsm0", Device: "wire", LockDir: t.TempDir()})
		b.d.dial = func(context.Context) (io.ReadWriteCloser, error) {
			near, far := net.Pipe()
			emu.Attach(far)
			return &tapped{Conn: near, b: b}, nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = emu.Run(ctx) }) // ignored: nil
		wg.Go(func() { _ = b.d.Run(ctx) }) // ignored: nil
		wg.Go(func() { b.receive(ctx) })
		defer func() { cancel(); wg.Wait() }()
		f(b)
	})
}

// tapped keeps what goes over the wire, for the message of a failure.
type tapped struct {
	net.Conn
	b *bubble
}

func (c *tapped) Write(p []byte) (int, error) {
	c.b.note(">" + string(p))
	if err := c.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.b.note("<" + string(p[:n]))
	}
	return n, err
}

func (b *bubble) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, time.Now().Format("15:04:05.000 ")+strings.NewReplacer("\r", "␍", "\n", "␊").Replace(s))
}

func (b *bubble) receive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.d.Late():
		case s := <-b.d.Inbox():
			b.mu.Lock()
			if h := pdu.Hash(s.TPDU); !b.seen[h] {
				b.seen[h] = true
				if m, err := pdu.DecodeDeliver(s.TPDU); err == nil && pdu.KindOf(s.TPDU, false) == pdu.KindDeliver {
					b.texts = append(b.texts, m.Text())
				}
			}
			b.mu.Unlock()
			_ = s.Delete(ctx) // ignored: what stays is offered again
		}
	}
}

// until waits for a condition, an hour of the bubble's time at most.
func (b *bubble) until(what string, cond func() bool) {
	b.t.Helper()
	end := time.Now().Add(time.Hour)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if <-tick.C; time.Now().After(end) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("%s: not within an hour; %+v\n%s", what, b.d.Status(), strings.Join(b.lines[max(0, len(b.lines)-60):], "\n"))
		}
	}
}

func (b *bubble) ready() {
	b.t.Helper()
	b.until("ready", func() bool { return b.d.Status().State == Ready })
}

func (b *bubble) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.texts, text)
}

// works is the standing check: texts go out and come in, none is sent twice,
// and the storage is empty in the end.
func (b *bubble) works() {
	b.t.Helper()
	b.ready()
	var err error
	for i := range 12 { // the first ones meet what is spoiled
		text := strings.Repeat("x", i+1)
		if _, err = b.d.Send(context.Background(), encode(b.t, text), func() error { return nil }); err == nil {
			break
		}
		if se := (*SendError)(nil); !errors.As(err, &se) {
			b.t.Errorf("send: %v", err)
		}
		b.ready()
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.t.Fatalf("nothing can be sent: %v\n%s", err, strings.Join(b.lines[max(0, len(b.lines)-60):], "\n"))
	}
	for _, s := range b.emu.Submits() {
		if s.Count != 1 {
			b.t.Errorf("%q was sent %d times", s.Text, s.Count)
		}
	}
	for _, text := range []string{"first in", "second in"} {
		if err := b.emu.Deliver("+4915550102", text); err != nil {
			b.t.Fatal(err)
		}
		b.until(text, func() bool { return b.has(text) })
	}
	b.until("an empty storage", func() bool { return len(b.emu.Slots()) == 0 })
}

// asked are the commands of a start, a send and a reception, as patterns.
var asked = []string{`^AT$`, `^ATE0`, `^ATV1`, `^ATQ0`, `\+CMEE=`, `&D0`, `\+CGMI`, `\+CGMM`, `\+CGMR`, `\+CGSN`, `\+CSCS=`, `\+CPIN\?`, `\+CIMI`,
	`\+CCID`, `\+CNUM`, `\+CPMS\?`, `\+CMGF=0`, `\+CSMS=0`, `\+CPMS=\?`, `\+CPMS="ME"`, `\+CNMI=\?`, `\+CNMI=2`, `\+CSCA`, `\+CMMS=\?`,
	`\+CREG=2`, `\+CEREG=2`, `\+COPS=3`, `\+CLIP=1`, `\+CTZ`, `\+CREG\?`, `\+CSQ`, `\+COPS\?`, `\+CNMI\?`, `\+CMGL=4`, `\+CCLK`, `\+CMGS=`,
	`\+CMGR=`, `\+CMGD=`, "\x1a"}

// spoils are the ways in which an answer is spoiled.
var spoils = map[string]emulator.Rule{
	"truncated": {Spoil: func(s string) string { return s[:len(s)/2] }},
	"no end":    {Spoil: func(s string) string { return strings.TrimRight(s, "\r\n") }},
	"doubled":   {Spoil: func(s string) string { return s + s }},
	"interleaved": {Spoil: func(s string) string {
		return strings.ReplaceAll(s, "\r\n", "\r\n^RSSI:17\r\n\r\n+CREG: 1\r\n\r\n*PSUTTZ: 1\r\n")
	}},
	"late":       {Delay: 12 * time.Second},
	"much later": {Delay: 40 * time.Second},
	"charset": {Spoil: func(s string) string {
		b := []byte(s)
		for i, c := range b {
			if c >= ' ' {
				b[i] = c | 0x80
			}
		}
		return string(b)
	}},
	"UTF-16":  {Spoil: func(s string) string { return "\x00" + strings.Join(strings.Split(s, ""), "\x00") }},
	"swallow": {Swallow: true},
	"refused": {Result: "ERROR"},
	"nothing": {Spoil: func(string) string { return "\r\nOK\r\n" }, Skip: true},
	"garbage": {Spoil: func(s string) string { return "\xff\xfe}~\r\n\r\n> \r\n" + s }},
}

// Each answer of the modem is spoiled once in each way: in the end texts go out
// and come in, and none is sent twice.
func TestEveryAnswerSpoiled(t *testing.T) {
	for name, spoil := range spoils {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, cmd := range asked {
				t.Run(cmd, func(t *testing.T) {
					r := spoil
					r.On, r.Match, r.Nth = emulator.OnCommand, regexp.MustCompile(cmd), 1
					if cmd == "\x1a" {
						r.On, r.Match = emulator.OnPDU, nil
					}
					if cmd == `^AT$` {
						r.Nth, r.Times = 0, 2
					}
					inBubble(t, emulator.Config{Rules: []emulator.Rule{r}}, (*bubble).works)
				})
			}
		})
	}
}

// All first answers are spoiled in the same way, one after the other.
func TestAllAnswersSpoiled(t *testing.T) {
	for name, spoil := range spoils {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rules []emulator.Rule
			for _, cmd := range asked {
				r := spoil
				r.On, r.Match, r.Nth = emulator.OnCommand, regexp.MustCompile(cmd), 1
				if cmd == "\x1a" {
					r.On, r.Match = emulator.OnPDU, nil
				}
				rules = append(rules, r)
			}
			inBubble(t, emulator.Config{Rules: rules}, (*bubble).works)
		})
	}
}

// A modem that answers ERROR to everything but AT has a clear state and a
// sentence, and works as soon as it comes to its senses.
func TestErrorToEverything(t *testing.T) {
	inBubble(t, emulator.Config{Rules: parse(t, "on command AT.\n result ERROR\n")}, func(b *bubble) {
		b.until("a state", func() bool { return b.d.Status().State != Absent && b.d.Status().State != Starting })
		st := b.d.Status()
		if !strings.HasSuffix(st.Text, ".") || st.State == Ready {
			t.Errorf("%+v", st)
		}
		_, err := b.d.Send(context.Background(), encode(t, "waits"), func() error { t.Error("on air"); return nil })
		if se := (*SendError)(nil); !errors.As(err, &se) || se.Class != ClassDown {
			t.Errorf("send: %v", err)
		}
		if err := b.d.Probe(context.Background()); err != nil {
			t.Errorf("probe: %v", err)
		}
		b.emu.ClearRules()
		b.works()
	})
}

// ERROR to AT as well: any final result proves life.
func TestErrorToReallyEverything(t *testing.T) {
	inBubble(t, emulator.Config{Rules: parse(t, "on command AT\n result ERROR\n")}, func(b *bubble) {
		b.until("a state", func() bool { return b.d.Status().State == SIMMissing || b.d.Status().State == Unreachable })
		b.emu.ClearRules()
		b.works()
	})
}

// PDUs that lie about their length, or are none, do not keep others out.
func TestLyingPDUs(t *testing.T) {
	good, err := pdu.EncodeDeliver("an honest text", pdu.DeliverOptions{From: theNumber(t, "+4915550107"), Time: time.Unix(1700000000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(string) string{
		"length too large": func(s string) string { return regexp.MustCompile(`,(\d+)\r\n`).ReplaceAllString(s, ",9$1\r\n") },
		"length too small": func(s string) string { return regexp.MustCompile(`,(\d+)\r\n`).ReplaceAllString(s, ",1\r\n") },
		"length missing":   func(s string) string { return regexp.MustCompile(`,(\d+)\r\n`).ReplaceAllString(s, "\r\n") },
		"odd digits":       func(s string) string { return strings.Replace(s, "\r\n\r\nOK", "A\r\n\r\nOK", 1) },
		"no digits":        func(s string) string { return regexp.MustCompile(`[0-9A-F]{20,}`).ReplaceAllString(s, "not a PDU") },
		"SMSC too long":    func(s string) string { return strings.Replace(s, "\r\n07", "\r\nFF", 1) },
		"no PDU line":      func(s string) string { return regexp.MustCompile(`[0-9A-F]{20,}\r\n`).ReplaceAllString(s, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := []emulator.Rule{
				{On: emulator.OnCommand, Match: regexp.MustCompile(`\+CMGR=0`), Times: 1, Spoil: spoil},
				{On: emulator.OnCommand, Match: regexp.MustCompile(`\+CMGL`), Times: 2, Spoil: spoil},
			}
			inBubble(t, emulator.Config{Rules: rules}, func(b *bubble) {
				b.ready()
				b.emu.DeliverTPDU(good[0])
				b.works()
			})
		})
	}
}

func theNumber(t *testing.T, s string) pdu.Number {
	t.Helper()
	n, err := pdu.ParseNumber(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
