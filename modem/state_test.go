package modem

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/port"
)

// guard is a PINGuard in memory, which outlives a driver as the store does.
type guard struct {
	mu    sync.Mutex
	tried map[string]bool // sim and hash: tried without success
	fail  error
	again bool  // what was tried without success may be tried again
	left  []int // attempts that were left
}

func (g *guard) Attempt(sim, hash string, left int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return g.fail
	}
	g.left = append(g.left, left)
	if g.tried[sim+hash] && !g.again {
		return errors.New("tried before")
	}
	if g.tried == nil {
		g.tried = map[string]bool{}
	}
	g.tried[sim+hash] = true
	return nil
}

func (g *guard) Refused(sim, hash string) error { return nil }

func (g *guard) Success(sim, hash string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tried, sim+hash)
	return nil
}

// is waits for a state whose sentence holds all the words.
func (r *rig) is(st State, words ...string) {
	r.t.Helper()
	r.until(string(st)+" "+strings.Join(words, " "), 5*time.Second, func() bool {
		s := r.d.Status()
		return s.State == st && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s.Text, w) })
	})
	if s := r.d.Status().Text; !strings.HasSuffix(s, ".") || strings.ToUpper(s[:1]) != s[:1] && s[0] != '/' {
		r.t.Errorf("not a sentence: %q", s)
	}
	if st != Ready {
		_, err := r.d.Send(context.Background(), r.tpdu("must wait"), func() error { r.t.Error("on air"); return nil })
		var se *SendError
		if !errors.As(err, &se) || se.Class != ClassDown || !errors.Is(err, ErrDown) {
			r.t.Errorf("Send: %v, want down", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.d.Probe(ctx); err != nil {
		r.t.Errorf("probe in state %s: %v", st, err)
	}
}

func TestNoModem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Device = filepath.Join(dir, "later") })
	r.is(Absent, "No modem at", "plug it in")
	if err := os.Symlink(r.emu.Path(), filepath.Join(dir, "later")); err != nil {
		t.Fatal(err)
	}
	r.standing()
}

func TestWrongDevice(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Device = os.DevNull })
	r.is(Unreachable, "not a serial port", "/dev/serial/by-id")

	rules, err := emulator.ParseScript("on command .\n swallow\n")
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, emulator.Config{Rules: rules}, nil)
	r.is(Unreachable, "does not answer AT commands", "try the next port")
	r.emu.ClearRules()
	r.standing()
}

// Of several ports of a stick the one that answers is taken.
func TestFirstPortThatAnswers(t *testing.T) {
	mute := newWire(t, func(string) string { return "" })
	talks := newWire(t, func(in string) string {
		if strings.HasPrefix(in, "AT") {
			return "\r\nOK\r\n"
		}
		return ""
	})
	d := New(Config{Name: "stick", Device: "auto", LockDir: t.TempDir(), Timeouts: fast})
	p, err := d.openFirst(context.Background(), []port.Candidate{{Path: mute.path}, {Path: talks.path}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Path() != talks.path || d.Status().Device != talks.path {
		t.Errorf("opened %s, want %s", p.Path(), talks.path)
	}
	// Its bytes belong to whoever reads next.
	if _, err := p.Write([]byte("AT\r")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 6)
	if _, err := io.ReadFull(p, b); err != nil || string(b) != "\r\nOK\r\n" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := d.openFirst(context.Background(), nil); !errors.Is(err, port.ErrAbsent) {
		t.Errorf("without candidates: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	first := newRig(t, emulator.Config{}, nil)
	first.ready()
	lock := first.d.cfg.LockDir
	second := newRig(t, emulator.Config{}, func(c *Config) { c.Device, c.LockDir = first.d.cfg.Device, lock })
	second.is(Unreachable, "in use by", "stop it")
	first.standing()
	first.stop()
	second.ready()
}

func TestSIMMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(*Config) {})
	r.ready()
	if err := r.emu.Set("sim", "absent"); err != nil {
		t.Fatal(err)
	}
	r.is(SIMMissing, "no SIM card", "insert the SIM")
	if err := r.emu.Set("sim", "READY"); err != nil {
		t.Fatal(err)
	}
	r.standing()
}

func TestPUK(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	if err := r.emu.Set("sim", "SIM PUK"); err != nil {
		t.Fatal(err)
	}
	r.is(SIMLocked, "PUK", "in a phone")
	if n := r.traced(`>AT+CPIN="****"`); n != 0 {
		t.Errorf("%d PINs sent to a blocked card", n)
	}
}

func TestPIN(t *testing.T) {
	t.Parallel()
	g := &guard{}
	r := newRig(t, emulator.Config{PIN: "4711"}, func(c *Config) { c.PIN, c.Guard = "4711", g })
	r.standing()
	if len(g.tried) != 0 {
		t.Error("the success is not recorded")
	}
	if n := r.traced(`>AT+CPIN="****"`); n != 1 {
		t.Errorf("PIN sent %d times", n)
	}
	for _, l := range r.lines {
		if strings.Contains(l, "4711") {
			t.Errorf("the PIN is in the trace: %s", l)
		}
	}
}

// A modem that restarts asks for its PIN again and gets it.
func TestPINAfterReset(t *testing.T) {
	t.Parallel()
	g := &guard{}
	r := newRig(t, emulator.Config{PIN: "4711"}, func(c *Config) { c.PIN, c.Guard = "4711", g })
	r.ready()
	r.emu.Reset()
	r.until("PIN again", 5*time.Second, func() bool { return r.traced(`>AT+CPIN="****"`) == 2 })
	r.standing()
	if len(g.tried) != 0 {
		t.Error("the success is not recorded")
	}
}

func TestPINRefusals(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		tries int
		tweak func(*Config)
		words []string
	}{
		{"none", 3, func(*Config) {}, []string{"asks for its PIN", "pin_file"}},
		{"no guard", 3, func(c *Config) { c.PIN, c.Guard = "4711", nil }, []string{"cannot be recorded"}},
		{"guard fails", 3, func(c *Config) { c.PIN, c.Guard = "4711", &guard{fail: errors.New("disk")} }, []string{"not sent again"}},
		{"not a PIN", 3, func(c *Config) { c.PIN, c.Guard = "47\r11", &guard{} }, []string{"4 to 8 digits"}},
		{"one left", 1, func(c *Config) { c.PIN, c.Guard = "4711", &guard{} }, []string{"one attempt"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Config{PIN: "4711", PINTries: tc.tries}, tc.tweak)
			r.is(SIMLocked, tc.words...)
			if n := r.traced(`>AT+CPIN="****"`); n != 0 {
				t.Errorf("PIN sent %d times", n)
			}
		})
	}
}

// A wrong PIN costs one attempt over the whole life of the box: neither a
// lost port nor a new process sends it again.
func TestWrongPINOnce(t *testing.T) {
	t.Parallel()
	g := &guard{}
	r := newRig(t, emulator.Config{PIN: "4711"}, func(c *Config) { c.PIN, c.Guard = "1234", g })
	r.is(SIMLocked, "refused the PIN")
	r.emu.Vanish(100 * time.Millisecond)
	r.until("gone", 2*time.Second, func() bool { return r.d.Status().State == Absent })
	r.is(SIMLocked, "refused the PIN")
	r.stop()
	r.run(r.d.cfg)
	r.is(SIMLocked, "was tried before", "correct it")
	if n := r.traced(`>AT+CPIN="****"`); n != 1 {
		t.Errorf("PIN sent %d times", n)
	}
}

// A PIN that got no answer, since the modem went away just then, is looked at once more: the guard knows whether it cost an
// attempt.
func TestPINWithoutAnswer(t *testing.T) {
	t.Parallel()
	g := &guard{again: true}
	r := newRig(t, emulator.Config{PIN: "4711", Rules: parse(t, "on command \\+CPIN=\n nth 1\n skip\n vanish 100ms\n")},
		func(c *Config) { c.PIN, c.Guard = "4711", g })
	r.standing()
	if n := r.traced(`>AT+CPIN="****"`); n != 2 {
		t.Errorf("PIN sent %d times", n)
	}
	if len(g.left) != 2 || g.left[0] != 3 || g.left[1] != 3 {
		t.Errorf("attempts left %v", g.left)
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	for _, st := range []struct {
		stat string
		want State
		word string
	}{{"2", Searching, "looks for its network"}, {"3", Denied, "registration denied"}, {"11", Denied, "emergency"}, {"0", Searching, "antenna"}} {
		if err := r.emu.Set("registration", st.stat); err != nil {
			t.Fatal(err)
		}
		r.is(st.want, st.word)
	}
	if err := r.emu.Set("registration", "5"); err != nil {
		t.Fatal(err)
	}
	r.ready()
	if s := r.d.Status().Registration; s != "roaming" {
		t.Errorf("registration %q", s)
	}
	r.standing()
}

func TestNoSMSCentre(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{SMSC: "-"}, nil)
	r.ready()
	_, marks, err := r.send("nowhere to go")
	var se *SendError
	if !errors.As(err, &se) || se.Class != ClassConfig || se.CMS != 330 || marks != 0 {
		t.Errorf("error %#v, marks %d; want 330", err, marks)
	}
	if !strings.Contains(r.d.Status().Text, "SMS centre") {
		t.Errorf("text %q", r.d.Status().Text)
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	select {
	case <-r.d.Changed():
	case <-time.After(30 * time.Second):
		t.Error("nobody was told")
	}
}

func TestProbeWithoutRun(t *testing.T) {
	d := New(Config{Name: "idle", Device: "auto"})
	if err := d.Probe(context.Background()); err == nil {
		t.Error("a loop that does not run is healthy")
	}
	if d.Status().State != Absent {
		t.Errorf("state %s", d.Status().State)
	}
	if _, err := d.Send(context.Background(), []byte{1}, nil); !errors.Is(err, ErrDown) {
		t.Errorf("Send: %v", err)
	}
}

// A loop that hangs is found by the probe.
func TestProbeFindsHang(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	hang := make(chan struct{})
	go func() {
		_ = r.d.submit(context.Background(), func(context.Context, *session) error { <-hang; return nil })
	}()
	r.until("probe fails", 5*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		return r.d.Probe(ctx) != nil
	})
	close(hang)
	r.standing()
}
