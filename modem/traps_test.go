package modem

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
	"doorway/modem/port"
)

// The command engine of github.com/warthog618/modem v0.4.0 has traps; here the
// driver meets the bytes that spring them. traps_at_test.go shows the library
// itself with the same bytes. Those that are rows of the behaviour matrix: a
// second prompt, a hidden prompt (B15), line ends (B05), late answers (B06),
// slow sends (B16), OK without a reference (B17), the port gone (B20).

// wire is the modem's end of a pseudo-terminal for exact bytes. Each command
// line, PDU or ESC that arrives is recorded and answered.
type wire struct {
	path string
	m    *os.File

	mu   sync.Mutex // guards got
	got  []string
	done chan struct{}
}

// newWire answers with what answer gives for each input ("" nothing). An input
// is a command line, a PDU with its Ctrl-Z, or ESC; line ends stay on it.
func newWire(t *testing.T, answer func(in string) string) *wire {
	t.Helper()
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{path: s.Name(), m: m, done: make(chan struct{})}
	p, err := port.Open(port.Config{Path: s.Name(), LockDir: t.TempDir()}) // makes the line raw
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	go w.serve(answer) // ends with the master; awaited below
	t.Cleanup(func() { m.Close(); s.Close(); <-w.done })
	return w
}

func (w *wire) serve(answer func(string) string) {
	defer close(w.done)
	var in []byte
	b := make([]byte, 1)
	for {
		if n, err := w.m.Read(b); err != nil || n == 0 {
			return
		}
		in = append(in, b[0])
		if b[0] != '\r' && b[0] != 0x1a && b[0] != 0x1b {
			continue
		}
		s := string(in)
		in = in[:0]
		w.mu.Lock()
		w.got = append(w.got, s)
		w.mu.Unlock()
		if a := answer(strings.Trim(s, "\n")); a != "" {
			if _, err := w.m.WriteString(a); err != nil {
				return
			}
		}
	}
}

func (w *wire) inputs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// count tells how many inputs hold a text.
func (w *wire) count(s string) (n int) {
	for _, g := range w.inputs() {
		if strings.Contains(g, s) {
			n++
		}
	}
	return n
}

// The trap: when a send times out the library writes ESC although Ctrl-Z is
// out; the modem may be sending, and what follows ESC is taken for its command.
func TestTrapNoEscapeAfterCtrlZ(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B19@420ms"), func(c *Config) { c.Timeouts.Send = 300 * time.Millisecond })
	r.ready()
	if _, _, err := r.send("unanswered"); err == nil {
		t.Fatal("accepted")
	}
	r.until("late reference", 5*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.late) == 1
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := slices.IndexFunc(r.lines, func(l string) bool { return strings.HasSuffix(l, "<Ctrl-Z>") })
	if slices.Contains(r.lines[sent:], "><ESC>") {
		t.Error("ESC after Ctrl-Z")
	}
}

// The trap: commands end with CR LF, and Init begins with ATZ, which loads a
// stored profile.
func TestTrapCommandsEndWithCROnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.standing()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l == ">ATZ" || l == ">AT&F" || strings.Contains(l, `\n`) {
			t.Errorf("wrote %s", l)
		}
	}
	w := newWire(t, func(string) string { return "\r\nOK\r\n" })
	d := New(Config{Name: "wire", Device: w.path, LockDir: t.TempDir(), Timeouts: fast})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	waitFor(t, "commands", 5*time.Second, func() bool { return w.count("AT+CMGL=4") > 0 }, nil)
	for _, in := range w.inputs() {
		if strings.Contains(in, "\n") {
			t.Errorf("wrote %q", in)
		}
	}
}

// The trap (B07): gsm.Init refuses a modem whose +GCAP is missing or differs by a blank.
func TestB07NoGCAP(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B07"), nil)
	r.standing()
	if n := r.traced(">AT+GCAP"); n != 0 {
		t.Errorf("+GCAP asked %d times", n)
	}
}

// The trap: handlers of unsolicited lines run as goroutines in any order.
func TestTrapMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	var want []string
	for _, s := range []string{"one", "two", "three", "four", "five", "six", "seven", "eight"} {
		want = append(want, s)
		if err := r.emu.Deliver("+4915550102", s); err != nil {
			t.Fatal(err)
		}
	}
	r.until("all", 5*time.Second, func() bool { return len(r.texts()) == len(want) })
	if got := r.texts(); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
}

// The trap (B12): the line after +CDS or +CMT is taken for its PDU blindly, be
// it noise or the OK of a command. And its length may be the only field.
func TestB12PushedWithNoiseBetween(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	report := "0006050D91945155100001F1" + "62112281000000" + "62112281100000" + "00"
	r.emu.Send("\r\n+CDS: " + lengthOf(report) + "\r\n\r\n^RSSI:17\r\n\r\n+CREG: 1\r\n")
	if _, err := r.d.Send(context.Background(), encodeWith(t, "between the lines", pdu.Options{}), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	r.emu.Send("\r\n" + report + "\r\n")
	r.until("report", 5*time.Second, func() bool { return slices.Contains(r.reports(), 5) })
	r.standing()
}

func lengthOf(pdu string) string {
	return string([]byte{'0' + byte((len(pdu)/2-1)/10), '0' + byte((len(pdu)/2-1)%10)})
}

// The trap: a line over 64 KiB without an end closes the engine.
func TestTrapEndlessLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	for range 40 {
		r.emu.Send(strings.Repeat("x", 2000))
	}
	r.emu.Send("\r\n")
	r.standing()
	if n := r.traced("><ESC>"); n != 1 {
		t.Errorf("the port was started %d times", n)
	}
}

// The trap (B13): the library acknowledges a pushed message before anybody has
// stored it. Here +CNMA waits for Delete.
func TestB13AcknowledgedAfterDelete(t *testing.T) {
	t.Parallel()
	rules, err := emulator.ParseScript("on command \\+CSMS=0\n result ERROR\n\non command \\+CSMS\\?\n instead \"\\r\\n+CSMS: 1,1,1,1\\r\\n\\r\\nOK\\r\\n\"\n")
	if err != nil {
		t.Fatal(err)
	}
	emu, d := bare(t, emulator.Config{Rules: rules, AckTimeout: 20 * time.Second})
	if err := emu.Set("csms", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Send(context.Background(), encode(t, "report wants CNMA"), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	s := take(t, d, 5*time.Second)
	if s.Index != -1 {
		t.Fatalf("stored %+v, want a pushed one", s)
	}
	if err := s.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	// An acknowledged report does not come again.
	select {
	case s := <-d.Inbox():
		t.Errorf("again: %+v", s)
	case <-time.After(300 * time.Millisecond):
	}
}

// The trap: an empty text makes the library panic.
func TestTrapEmptyTPDU(t *testing.T) {
	d := New(Config{Name: "gsm0", Device: filepath.Join(t.TempDir(), "none")})
	for _, tpdu := range [][]byte{nil, {}, make([]byte, 256)} {
		_, err := d.Send(context.Background(), tpdu, func() error { return nil })
		var se *SendError
		if !errors.As(err, &se) || se.Class != ClassPDU {
			t.Errorf("%d octets: %v", len(tpdu), err)
		}
	}
}
