package modem

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
)

// bare is a driver on an emulator whose inbox the test reads itself.
func bare(tb testing.TB, ec emulator.Config) (*emulator.Emulator, *Driver) {
	tb.Helper()
	ec.Link = filepath.Join(tb.TempDir(), "modem")
	emu, err := emulator.New(ec)
	if err != nil {
		tb.Fatal(err)
	}
	d := New(Config{Name: "gsm0", Device: ec.Link, LockDir: tb.TempDir(), Timeouts: fast})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = emu.Run(ctx) })
	wg.Go(func() { _ = d.Run(ctx) })
	tb.Cleanup(func() { cancel(); wg.Wait() })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for d.Status().State != Ready {
		select {
		case <-tick.C:
		case <-time.After(30 * time.Second):
			tb.Fatalf("not ready: %+v", d.Status())
		}
	}
	return emu, d
}

// newBenchRig drains the inbox so that it does not hold up sending.
func newBenchRig(b *testing.B) *Driver {
	b.Helper()
	_, d := bare(b, emulator.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case s := <-d.Inbox():
				_ = s.Delete(ctx) // ignored: offered again
			case <-ctx.Done():
				return
			}
		}
	})
	b.Cleanup(func() { cancel(); wg.Wait() })
	return d
}

func take(t *testing.T, d *Driver, limit time.Duration) Stored {
	t.Helper()
	limit = max(limit, 30*time.Second) // a busy machine is no fault
	select {
	case s := <-d.Inbox():
		return s
	case <-time.After(limit):
		t.Fatalf("nothing in the inbox within %v", limit)
	}
	return Stored{}
}

// From +CMTI to the inbox there is one command and no pause.
func TestAnnouncedAtOnce(t *testing.T) {
	emu, d := bare(t, emulator.Config{})
	best := time.Hour // a busy machine may be slow now and then
	for range 10 {
		began := time.Now()
		if err := emu.Deliver("+4915550102", "quick"); err != nil {
			t.Fatal(err)
		}
		s := take(t, d, time.Second)
		best = min(best, time.Since(began))
		if err := s.Delete(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if best > fast.Poll/2 {
		t.Errorf("the fastest of 10 took %v", best)
	}
}

// What is not deleted is offered again, also after the port was lost.
func TestOfferedUntilDeleted(t *testing.T) {
	t.Parallel()
	emu, d := bare(t, emulator.Config{})
	if err := emu.Deliver("+4915550102", "again"); err != nil {
		t.Fatal(err)
	}
	first := take(t, d, time.Second)
	second := take(t, d, 2*fast.Poll)
	if pdu.Hash(first.TPDU) != pdu.Hash(second.TPDU) || first.Index != second.Index || first.Storage != second.Storage {
		t.Errorf("first %+v, then %+v", first, second)
	}
	if err := second.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(emu.Slots()); n != 0 {
		t.Errorf("%d slots left", n)
	}
	if err := first.Delete(context.Background()); err != nil {
		t.Errorf("second delete: %v", err)
	}
}

// A slot that holds another message by now is not emptied.
func TestDeleteComparesSlot(t *testing.T) {
	t.Parallel()
	emu, d := bare(t, emulator.Config{})
	if err := emu.Deliver("+4915550102", "old"); err != nil {
		t.Fatal(err)
	}
	old := take(t, d, time.Second)
	if err := old.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := emu.Deliver("+4915550102", "new"); err != nil {
		t.Fatal(err)
	}
	fresh := take(t, d, time.Second)
	if fresh.Index != old.Index {
		t.Fatalf("slot %d, want %d again", fresh.Index, old.Index)
	}
	if err := old.Delete(context.Background()); err != nil { // a late second delete of the first message
		t.Fatal(err)
	}
	s := emu.Slots()
	if len(s) != 1 {
		t.Fatalf("slots %+v, want the new message", s)
	}
	if err := fresh.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := emu.Slots(); len(s) != 0 {
		t.Errorf("slots %+v", s)
	}
}

// Pushed status reports exist nowhere else: they are offered until deleted.
func TestPushedOfferedUntilDeleted(t *testing.T) {
	t.Parallel()
	emu, d := bare(t, emulator.Config{})
	mr, err := d.Send(context.Background(), encode(t, "with report"), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	first := take(t, d, 5*time.Second)
	if first.Index != -1 || first.Stat != -1 || first.Storage != "" {
		t.Errorf("stored %+v, want a pushed one", first)
	}
	if rep, err := pdu.DecodeStatusReport(first.TPDU); err != nil || rep.MR != mr {
		t.Errorf("report %+v, %v; want reference %d", rep, err, mr)
	}
	again := take(t, d, 2*fast.Poll)
	if !slices.Equal(again.TPDU, first.TPDU) {
		t.Errorf("then %+v", again)
	}
	if err := again.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	emu.Vanish(50 * time.Millisecond)
	select {
	case s := <-d.Inbox():
		t.Errorf("after Delete: %+v", s)
	case <-time.After(fast.Poll):
	}
}

// Messages that lay in either memory before the start are found; what cannot
// be decoded is handed on as it is and does not block the others.
func TestFoundAtStart(t *testing.T) {
	emu, err := emulator.New(emulator.Config{Link: filepath.Join(t.TempDir(), "modem")})
	if err != nil {
		t.Fatal(err)
	}
	good := func(text string) []byte {
		parts, err := pdu.EncodeDeliver(text, pdu.DeliverOptions{From: mustNumber(t, "+4915550102")})
		if err != nil {
			t.Fatal(err)
		}
		return parts[0]
	}
	emu.Store("SM", 0, good("in SM"))
	emu.Store("ME", 0, good("in ME"))
	emu.Store("ME", 0, []byte{0xff, 0x01})
	emu.Store("ME", 1, good("read before"))
	r := &rig{t: t, emu: emu, seen: map[[32]byte]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = emu.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	r.run(Config{Name: "gsm0", Device: emu.Path(), LockDir: t.TempDir(), Timeouts: fast, Trace: r.trace})
	r.until("all found", 5*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) == 4
	})
	r.until("storage empty", 5*time.Second, func() bool { return len(emu.Slots()) == 0 })
}

func mustNumber(t *testing.T, s string) pdu.Number {
	t.Helper()
	n, err := pdu.ParseNumber(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
