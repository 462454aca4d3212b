package modem

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
)

// fast are limits for tests: the modem answers in microseconds.
var fast = Timeouts{
	Command: 400 * time.Millisecond, Storage: 500 * time.Millisecond, List: time.Second,
	Prompt: 500 * time.Millisecond, Send: 2 * time.Second, Write: 500 * time.Millisecond,
	Poll: 1200 * time.Millisecond, Reopen: 30 * time.Millisecond, Quiet: 60 * time.Millisecond, Listen: 150 * time.Millisecond,
	Radio: 50 * time.Millisecond, Reset: 300 * time.Millisecond, Patience: 20 * time.Second, Recovery: 200 * time.Millisecond,
}

// TestMain has more tests wait at the same time than there are processors:
// nearly all their time is spent in limits of the driver.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// rig is a driver on an emulated modem, and an inbox that takes everything.
type rig struct {
	t    *testing.T
	emu  *emulator.Emulator
	d    *Driver
	stop func() // ends the driver and waits
	// impatient: the row has the driver speak after a limit, while the modem is still busy.
	impatient bool
	noReports bool // the modem cannot announce reports

	mu    sync.Mutex     // guards what follows
	keeps bool           // the modem does not delete
	slow  func(s Stored) // called before what was received is deleted; nil for nothing
	lines []string
	got   []Stored
	late  []Late
	seen  map[[32]byte]int // deliveries by hash, as the gateway counts them
}

// newRig starts an emulator and a driver on it.
func newRig(t *testing.T, ec emulator.Config, tweak func(*Config)) *rig {
	t.Helper()
	if ec.Link == "" {
		ec.Link = filepath.Join(t.TempDir(), "modem")
	}
	emu, err := emulator.New(ec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = emu.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	r := &rig{t: t, emu: emu, seen: map[[32]byte]int{}}
	c := Config{Name: "gsm0", Device: ec.Link, LockDir: t.TempDir(), Timeouts: fast, Trace: r.trace}
	if tweak != nil {
		tweak(&c)
	}
	r.run(c)
	return r
}

// run starts a driver; it is stopped at the end of the test.
func (r *rig) run(c Config) {
	r.d = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.d.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	wg.Go(func() { r.receive(ctx) })
	r.stop = func() { cancel(); wg.Wait() }
	r.t.Cleanup(r.stop)
}

func (r *rig) trace(dir byte, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(dir)+line)
}

// receive is what the gateway does: persist, then delete.
func (r *rig) receive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-r.d.Late():
			r.mu.Lock()
			r.late = append(r.late, l)
			r.mu.Unlock()
		case s := <-r.d.Inbox():
			r.mu.Lock()
			r.seen[pdu.Hash(s.TPDU)]++
			if r.seen[pdu.Hash(s.TPDU)] == 1 {
				r.got = append(r.got, s)
			}
			slow, keeps := r.slow, r.keeps
			r.mu.Unlock()
			if slow != nil {
				slow(s)
			}
			if err := s.Delete(ctx); err != nil && !keeps && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrDown) {
				r.t.Errorf("delete %s %d: %v", s.Storage, s.Index, err)
			}
		}
	}
}

// until waits for a condition, with a deadline.
func (r *rig) until(what string, limit time.Duration, cond func() bool) {
	r.t.Helper()
	waitFor(r.t, what, limit, cond, r.dump)
}

func waitFor(t *testing.T, what string, limit time.Duration, cond func() bool, dump func()) {
	t.Helper()
	limit = max(limit, 20*time.Second) // a busy machine is no fault
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			if dump != nil {
				dump()
			}
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

func (r *rig) dump() {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := max(0, len(r.lines)-80)
	r.t.Logf("status %+v\nlines:\n%s", r.d.Status(), strings.Join(r.lines[from:], "\n"))
}

func (r *rig) ready() {
	r.t.Helper()
	r.until("modem ready", 5*time.Second, func() bool { return r.d.Status().State == Ready })
}

// tpdu encodes a text of one part with a status report.
func (r *rig) tpdu(text string) []byte {
	r.t.Helper()
	return encode(r.t, text)
}

func encode(t testing.TB, text string) []byte {
	t.Helper()
	return encodeWith(t, text, pdu.Options{StatusReport: true})
}

func encodeWith(t testing.TB, text string, o pdu.Options) []byte {
	t.Helper()
	to, err := pdu.ParseNumber("+4915550101")
	if err != nil {
		t.Fatal(err)
	}
	o.To = to
	parts, _, err := pdu.Encode(text, o)
	if err != nil || len(parts) != 1 {
		t.Fatalf("encode %q: %d parts, %v", text, len(parts), err)
	}
	return parts[0]
}

// send sends a text; onAir counts.
func (r *rig) send(text string) (mr byte, marks int, err error) {
	mr, err = r.d.Send(context.Background(), r.tpdu(text), func() error { marks++; return nil })
	return mr, marks, err
}

// mustSend sends a text that has to be accepted.
func (r *rig) mustSend(text string) byte {
	r.t.Helper()
	mr, marks, err := r.send(text)
	if err != nil || marks != 1 {
		r.dump()
		r.t.Fatalf("send %q: %v, on-air marks %d", text, err, marks)
	}
	return mr
}

// has tells whether a text was received.
func (r *rig) has(text string) bool { return slices.Contains(r.texts(), text) }

// deliver texts in and waits for the text.
func (r *rig) deliver(text string, limit time.Duration) {
	r.t.Helper()
	if err := r.emu.Deliver("+4915550102", text); err != nil {
		r.t.Fatal(err)
	}
	r.until(text, limit, func() bool { return r.has(text) })
}

// set changes the modem's state.
func (r *rig) set(name, value string) {
	r.t.Helper()
	if err := r.emu.Set(name, value); err != nil {
		r.t.Fatal(err)
	}
}

// texts are the messages received, reports left out, in order.
func (r *rig) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.got {
		if pdu.KindOf(s.TPDU, false) != pdu.KindDeliver {
			continue
		}
		m, err := pdu.DecodeDeliver(s.TPDU)
		if err != nil {
			continue // the gateway keeps it aside
		}
		out = append(out, m.Text())
	}
	return out
}

// reports are the references of the status reports received.
func (r *rig) reports() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	for _, s := range r.got {
		if rep, err := pdu.DecodeStatusReport(s.TPDU); err == nil && pdu.KindOf(s.TPDU, false) == pdu.KindStatusReport {
			out = append(out, rep.MR)
		}
	}
	return out
}

// counts tells how often each text reached the service centre.
func (r *rig) counts() map[string]int {
	m := map[string]int{}
	for _, s := range r.emu.Submits() {
		m[s.Text] += s.Count
	}
	return m
}

func (r *rig) traced(line string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.lines {
		if l == line {
			n++
		}
	}
	return n
}

// standing is the check at the end of each behaviour row: a normal send and a
// normal receive work, nothing was sent twice, storage is empty, and the
// modem was never spoken to while it was busy.
func (r *rig) standing() { r.t.Helper(); r.standingBut(0) }

// standingBut is standing where some slots are left alone.
func (r *rig) standingBut(left int) {
	r.t.Helper()
	r.ready()
	mr := r.mustSend("standing check")
	r.until("report of the standing check", 5*time.Second, func() bool {
		if r.noReports {
			return true
		}
		for _, m := range r.reports() {
			if m == mr {
				return true
			}
		}
		return false
	})
	if err := r.emu.Deliver("+4915550102", "standing answer"); err != nil {
		r.t.Fatal(err)
	}
	r.until("standing answer", 5*time.Second, func() bool {
		for _, s := range r.texts() {
			if s == "standing answer" {
				return true
			}
		}
		return false
	})
	r.mu.Lock()
	keeps := r.keeps
	r.mu.Unlock()
	if !keeps {
		r.until("storage empty", 5*time.Second, func() bool { return len(r.emu.Slots()) == left })
	}
	for text, n := range r.counts() {
		if n != 1 {
			r.t.Errorf("%q reached the service centre %d times", text, n)
		}
	}
	for _, v := range r.emu.Violations() {
		if !r.impatient {
			r.t.Errorf("violation: %s", v)
		}
	}
}
