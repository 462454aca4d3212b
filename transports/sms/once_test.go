package sms

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorway/transports"
)

// A text that was taken is not refused when it comes again under its key, whatever stands in the way of a new one now.
func TestRepeatedKeyIsNotRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		bar    func(*house)
	}{
		"cap of the person": {Config{PersonPerDay: 1}, func(*house) {}},
		"cap of the house":  {Config{PerDay: 1}, func(*house) {}},
		"opted out": {Config{}, func(h *house) {
			if _, changed, err := h.net.SetOptOut(bob, true); !changed || err != nil {
				t.Fatal(changed, err)
			}
		}},
		"unwanted": {Config{}, func(h *house) { h.net.cfg.Unwanted = func(string) bool { return true } }},
		"denied":   {Config{}, func(h *house) { h.net.cfg.DenyTo = []string{"+"} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := routed(t, c.config, nil, newPeer("gsm0"))
				first := h.send("hi", urgent, func(m *transports.Message) { m.Key = "k" })
				c.bar(h)
				again := func(h *house, key string) (transports.Ref, error) {
					return h.s.Send(t.Context(), transports.Message{Sender: "alice@office.localhost", To: bob, Body: "hi", Key: key})
				}
				var te *transports.Error
				if _, err := again(h, "other"); !errors.As(err, &te) {
					t.Errorf("another text: %v", err)
				}
				for range 2 {
					if ref, err := again(h, "k"); err != nil || ref != refOf(first) {
						t.Errorf("the same text: %q %v", ref, err)
					}
				}
				used := h.s.used.day(time.Now(), usedByAll)
				h.stop()
				cfg := h.net.cfg
				cfg.Modems = nil
				h = open(t, h.outbox, h.table, cfg, newPeer("gsm0"))
				defer h.stop()
				if ref, err := again(h, "k"); err != nil || ref != refOf(first) {
					t.Errorf("after a restart: %q %v", ref, err)
				}
				if n := h.s.used.day(time.Now(), usedByAll); n != used || n != 1 {
					t.Errorf("%d parts counted, before the restart %d", n, used)
				}
			})
		})
	}
}

// slowOutbox holds each Put until the gate lets it go on.
type slowOutbox struct {
	*memOutbox
	gate chan error
}

func (o slowOutbox) Put(ctx context.Context, j transports.Job) (uint64, error) {
	if err := <-o.gate; err != nil {
		return 0, err
	}
	return o.memOutbox.Put(ctx, j)
}

// Two requests with one key at the same time are one text, also when the cap has room for one only; the second one stores
// it when the first one could not.
func TestOneKeyAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := slowOutbox{newMemOutbox(), make(chan error)}
		c := quiet
		c.PersonPerDay, c.Location = 1, time.UTC
		s, err := newSession(New(c), transports.Env{Table: newMemTable(), Outbox: o, Now: time.Now, Log: discard})
		if err != nil {
			t.Fatal(err)
		}
		refs, errs := make([]transports.Ref, 2), make([]error, 2)
		round := func(key string, answers ...error) {
			var wg sync.WaitGroup // waited for below
			for i := range refs {
				wg.Go(func() {
					refs[i], errs[i] = s.Send(t.Context(), transports.Message{Sender: "alice@office.localhost", To: bob, Body: "hi", Key: key})
				})
			}
			for _, a := range answers {
				synctest.Wait()
				o.gate <- a
			}
			wg.Wait()
		}
		round("k", errors.New("disk full"), nil)
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("a full disk for one of two: %v", errs)
		}
		round("k")
		if errs[0] != nil || errs[1] != nil || refs[0] != refs[1] {
			t.Errorf("%v %v", refs, errs)
		}
		if n := s.used.day(time.Now(), usedByAll); n != 1 || len(o.jobs) != 1 {
			t.Errorf("%d texts, %d counted", len(o.jobs), n)
		}
		pass(24 * time.Hour)
		round("l", nil)
		if errs[0] != nil || errs[1] != nil || refs[0] != refs[1] || len(o.jobs) != 2 || len(s.sending) != 0 {
			t.Errorf("%v %v, %d texts, %d keys held", refs, errs, len(o.jobs), len(s.sending))
		}

		// Whoever waits for another's request may go.
		ctx, cancel := context.WithCancel(t.Context())
		pass(24 * time.Hour)
		done := make(chan error, 2)
		for range 2 {
			go func() { // waited for below
				_, err := s.Send(ctx, transports.Message{To: bob, Body: "hi", Key: "m"})
				done <- err
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "Try again") {
			t.Error(err)
		}
		o.gate <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Texts that are sent at the same time do not get over a cap together.
func TestCapHoldsForManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := routed(t, Config{PersonPerDay: 5}, nil, newPeer("gsm0"))
		defer h.stop()
		var taken atomic.Int32
		var wg sync.WaitGroup // waited for below
		for range 40 {
			wg.Go(func() {
				if _, err := h.s.Send(t.Context(), transports.Message{Sender: "alice@office.localhost", To: bob, Body: "hi"}); err == nil {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if n := taken.Load(); n != 5 {
			t.Errorf("%d texts were taken", n)
		}
	})
}
