package sms

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem"
	"doorway/modem/emulator"
	"doorway/transports"
)

// tap is the driver with an eye on the moment between the mark and Ctrl-Z.
type tap struct {
	*modem.Driver
	onAir func()
}

func (p *tap) Send(ctx context.Context, tpdu []byte, onAir func() error) (byte, error) {
	return p.Driver.Send(ctx, tpdu, func() error {
		err := onAir()
		if err == nil && p.onAir != nil {
			p.onAir()
		}
		return err
	})
}

// line is an emulated modem on a pseudo-terminal with one phone behind it.
type line struct {
	t     *testing.T
	emu   *emulator.Emulator
	path  string
	locks string
}

func newLine(t *testing.T) *line {
	t.Helper()
	l := &line{t: t, path: filepath.Join(t.TempDir(), "modem"), locks: t.TempDir()}
	var err error
	l.emu, err = emulator.New(emulator.Config{Link: l.path, Phones: []emulator.PhoneConfig{{Number: bob}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.emu.Run(ctx) }) // ignored: it ends with ctx
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

// driver starts the real driver on the line.
func (l *line) driver() (p *tap, stop func()) { return l.driverNamed("gsm0") }

func (l *line) driverNamed(name string) (p *tap, stop func()) {
	p = &tap{Driver: modem.New(modem.Config{Name: name, Device: l.path, LockDir: l.locks, Timeouts: modem.Timeouts{
		Command: time.Second, Storage: time.Second, List: 2 * time.Second, Prompt: time.Second, Send: 5 * time.Second,
		Poll: 3 * time.Second, Reopen: 50 * time.Millisecond, Quiet: 60 * time.Millisecond, Listen: 200 * time.Millisecond,
	}})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			l.t.Errorf("driver: %v", err)
		}
	})
	return p, func() { cancel(); wg.Wait() }
}

// until polls for something that a real device takes its time for.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	limit := time.After(60 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited too long for " + what)
		}
	}
}

func TestOverTheLineBothWays(t *testing.T) {
	l := newLine(t)
	p, stop := l.driver()
	defer stop()
	c := quiet
	c.Modems = []modem.Modem{p}
	h := run(t, newMemOutbox(), newMemTable(), c)
	defer h.stop()
	text := strings.TrimSpace(strings.Repeat("Grüße aus dem Büro 👩‍🚒 € {ok} ", 9))
	ref, err := h.s.Send(t.Context(), transports.Message{Sender: "alice@office.localhost", Origin: "o", To: "0155 501-01", Body: text})
	if err != nil {
		t.Fatal(err)
	}
	phone := l.emu.Phone(bob)
	until(t, "the text on the phone", func() bool { return slices.Equal(phone.Received(), []string{text}) })
	until(t, "the receipt", func() bool { return h.lastReceipt().State == transports.Delivered })
	if r := h.lastReceipt(); r.Ref != ref || r.Origin != "o" {
		t.Fatalf("receipt %+v", r)
	}
	if err := phone.Send(text + " zurück"); err != nil {
		t.Fatal(err)
	}
	until(t, "the answer", func() bool { return len(h.incoming()) == 1 })
	if m := h.incoming()[0]; m.Body != text+" zurück" || m.From != bob {
		t.Fatalf("answer %+v", m)
	}
	until(t, "an empty storage", func() bool { return len(l.emu.Slots()) == 0 })
	if v := l.emu.Violations(); len(v) > 0 {
		t.Fatalf("violations %q", v)
	}
}

// TestKilledOverTheLine is row B22 with the real driver: the disk says on-air, the phone has the text, nothing is sent again,
// and the report settles it after the restart.
func TestKilledOverTheLine(t *testing.T) {
	l := newLine(t)
	phone := l.emu.Phone(bob)
	if err := phone.SetMode(emulator.Off); err != nil { // the report comes in the second life
		t.Fatal(err)
	}
	p, stop := l.driver()
	var disk crash
	c := quiet
	c.Modems = []modem.Modem{p}
	h := run(t, newMemOutbox(), newMemTable(), c)
	p.onAir = func() { disk = h.crash() }
	ref, err := h.s.Send(t.Context(), transports.Message{To: bob, Body: "Zutritt frei?"})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := JobID(ref)
	until(t, "the modem's answer", func() bool { return h.chain(id).State == transports.Accepted })
	h.stop()
	stop()

	p, stop = l.driver()
	defer stop()
	c.Modems = []modem.Modem{p}
	h = run(t, disk.outbox, disk.table, c)
	defer h.stop()
	until(t, "the state possibly-sent", func() bool { return h.chain(id).State == transports.PossiblySent })
	until(t, "the modem", func() bool { return p.Status().State == modem.Ready })
	if err := phone.SetMode(emulator.On); err != nil {
		t.Fatal(err)
	}
	until(t, "the report", func() bool { return h.chain(id).State == transports.Delivered })
	if got := phone.Received(); !slices.Equal(got, []string{"Zutritt frei?"}) || len(l.emu.Submits()) != 1 {
		t.Fatalf("the phone got %q of %d submits", got, len(l.emu.Submits()))
	}
}
