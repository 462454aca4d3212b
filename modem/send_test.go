package modem

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
)

// The on-air mark comes after the prompt and before the PDU; its error, and a
// caller who gives up meanwhile, leave nothing sent and the modem usable.
func TestOnAirRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	full := errors.New("disk full")
	_, err := r.d.Send(context.Background(), r.tpdu("not recorded"), func() error {
		if len(r.emu.Submits()) != 0 {
			t.Error("sent before the mark")
		}
		return full
	})
	var se *SendError
	if !errors.As(err, &se) || !errors.Is(err, full) || se.AfterCtrlZ || se.Class != ClassDown {
		t.Errorf("error %#v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = r.d.Send(ctx, r.tpdu("given up"), func() error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if _, err = r.d.Send(ctx, r.tpdu("given up before"), func() error { t.Error("on air"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	r.standing()
	if s := r.emu.Submits(); len(s) != 1 {
		t.Errorf("service centre: %+v", s)
	}
}

// A modem that leaves the prompt while the mark is written gets no PDU as a command line.
func TestPromptClosesDuringMark(t *testing.T) {
	t.Parallel()
	rules, err := emulator.ParseScript("on command \\+CMGS=\n nth 1\n urc 30ms \"\\r\\nERROR\\r\\n\"\n")
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, emulator.Config{Rules: rules}, func(b *bubble) {
		b.ready()
		_, err := b.d.Send(context.Background(), encode(t, "slow disk"), func() error { <-time.After(100 * time.Millisecond); return nil })
		var se *SendError
		if !errors.As(err, &se) || se.AfterCtrlZ || se.Class == ClassAmbiguous {
			t.Errorf("error %#v, want one before Ctrl-Z", err)
		}
		if n := len(b.emu.Submits()); n != 0 {
			t.Errorf("%d parts sent", n)
		}
	})
}

// B18: the classes of refusals, in both forms.
func TestB18Classes(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	for code, want := range map[int]Class{
		1: ClassRecipient, 30: ClassRecipient, 8: ClassSubscription, 50: ClassSubscription, 96: ClassPDU, 160: ClassPDU,
		38: ClassNetwork, 41: ClassNetwork, 331: ClassNetwork, 98: ClassProtocol, 332: ClassAmbiguous, 500: ClassAmbiguous,
		300: ClassAmbiguous, 197: ClassAccepted, 310: ClassSIM, 314: ClassBusy, 322: ClassStorage, 303: ClassConfig,
		513: ClassVendor, 77: ClassUnknown,
	} {
		r.ready()
		r.emu.Network().Fail(emulator.Fault{Cause: code})
		_, _, err := r.send(fmt.Sprintf("cause %d", code))
		var se *SendError
		if !errors.As(err, &se) || se.Class != want || se.CMS != code || se.CME != -1 || !se.AfterCtrlZ || se.Raw == "" {
			t.Errorf("cause %d: %#v, want %s", code, err, want)
		}
		// A refusal may have the driver look at the modem again first.
		r.until("ready again", 5*time.Second, func() bool { _, err := r.d.Send(canceled(), []byte{1}, nil); return errors.Is(err, context.Canceled) })
	}
	r.standing()
}

// canceled is a context that is over.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestRefusedBeforePrompt(t *testing.T) {
	t.Parallel()
	rules, err := emulator.ParseScript("on command \\+CMGS=\n times 1\n result +CMS ERROR: 300\n\non command \\+CMGS=\n times 1\n swallow\n\non command \\+CMGS=\n times 1\n result +CME ERROR: SIM busy\n")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, emulator.Config{Rules: rules}, nil)
	r.ready()
	for i, want := range []Class{ClassModem, ClassModem, ClassBusy} {
		_, marks, err := r.send("refused")
		var se *SendError
		for errors.As(err, &se) && se.Class == ClassDown { // it looks after itself first
			r.ready()
			_, marks, err = r.send("refused")
		}
		if !errors.As(err, &se) || se.Class != want || se.AfterCtrlZ || marks != 0 {
			t.Errorf("%d: %#v, marks %d; want %s before Ctrl-Z", i, err, marks, want)
		}
	}
	r.standing()
}

// Many callers share the modem; each gets the reference of its own part.
func TestSendersShare(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	var mu sync.Mutex
	refs := map[string]byte{}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			text := fmt.Sprintf("part %d", i)
			mr, _, err := r.send(text)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			refs[text] = mr
		})
	}
	wg.Wait()
	for _, s := range r.emu.Submits() {
		if refs[s.Text] != s.MRs[0] {
			t.Errorf("%q has reference %d, its sender was told %d", s.Text, s.MRs[0], refs[s.Text])
		}
	}
	r.standing()
}

// Inside a burst the link is kept open and nothing but CMGS is asked; what
// arrives meanwhile is read afterwards.
func TestBurst(t *testing.T) {
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.until("quiet", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 2 && r.traced(">AT+CCLK?") > 0 })
	r.mu.Lock()
	r.lines = nil
	r.mu.Unlock()
	end := r.d.Burst(context.Background(), 3)
	for i := range 3 {
		if i == 1 {
			if err := r.emu.Deliver("+4915550102", "meanwhile"); err != nil {
				t.Fatal(err)
			}
		}
		r.mustSend(fmt.Sprintf("part %d of 3", i))
	}
	r.mu.Lock()
	var asked []string
	for _, l := range r.lines {
		if len(l) > 5 && l[:3] == ">AT" {
			asked = append(asked, l[1:8])
		}
	}
	r.mu.Unlock()
	if n := min(4, len(asked)); !slices.Equal(asked[:n], []string{"AT+CMMS", "AT+CMGS", "AT+CMGS", "AT+CMGS"}) {
		t.Errorf("asked in the burst: %v", asked)
	}
	r.until("message", 2*time.Second, func() bool { return slices.Contains(r.texts(), "meanwhile") })
	end()
	end()
	// A burst that is given up does not hold up reception.
	end = r.d.Burst(context.Background(), 5)
	r.mustSend("one of five")
	end()
	began := time.Now()
	r.standing()
	t.Logf("standing check took %v after a burst", time.Since(began))
}

// Stopping waits for the part in flight.
func TestStopDuringSend(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B16@400ms"), nil)
	r.ready()
	onAir := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		_, err := r.d.Send(context.Background(), r.tpdu("in flight"), func() error { close(onAir); return nil })
		got <- err
	}()
	<-onAir
	r.stop()
	if err := <-got; err != nil {
		t.Errorf("the part in flight: %v", err)
	}
}

// BenchmarkSend measures the driver's own time for each part: the emulated
// modem answers at once.
func BenchmarkSend(b *testing.B) {
	r := newBenchRig(b)
	tpdu := encode(b, "benchmark")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Send(context.Background(), tpdu, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive is the way of a text from its announcement (+CMTI) to the
// inbox and out of the storage.
func BenchmarkReceive(b *testing.B) {
	emu, err := emulator.New(emulator.Config{Link: filepath.Join(b.TempDir(), "modem")})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = emu.Run(ctx) })
	d := New(Config{Name: "gsm0", Device: emu.Path(), LockDir: b.TempDir()})
	wg.Go(func() { _ = d.Run(ctx) })
	for d.Status().State != Ready {
		<-d.Changed()
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := emu.Deliver("+4915550102", "as fast as you can"); err != nil {
			b.Fatal(err)
		}
		if err := (<-d.Inbox()).Delete(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
