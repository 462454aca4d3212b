package sms

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doorway/modem"
	"doorway/modem/emulator"
	"doorway/transports"
)

// nullOutbox takes jobs and forgets them.
type nullOutbox struct{ transports.Outbox }

func (nullOutbox) Put(context.Context, transports.Job) (uint64, error) { return 1, nil }

// BenchmarkSend is what a text costs until the outbox has it.
func BenchmarkSend(b *testing.B) {
	b.ReportAllocs()
	s, err := newSession(New(quiet), transports.Env{Table: newMemTable(), Outbox: nullOutbox{}, Now: time.Now, Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Send(b.Context(), transports.Message{To: bob, Body: "Der Aufzug in Haus 3 steht, bitte kommen."}); err != nil {
			b.Fatal(err)
		}
		s.posts.take()
	}
}

// BenchmarkPartOverTheLine is the way of one part from Send to its acceptance, through the driver and an emulated
// modem without latency, and without a disk: what doorway adds to the modem's own time.
func BenchmarkPartOverTheLine(b *testing.B) {
	b.ReportAllocs()
	path := filepath.Join(b.TempDir(), "modem")
	emu, err := emulator.New(emulator.Config{Link: path, Phones: []emulator.PhoneConfig{{Number: bob}}})
	if err != nil {
		b.Fatal(err)
	}
	d := modem.New(modem.Config{Name: "gsm0", Device: path, LockDir: b.TempDir()})
	c := quiet
	c.Modems = []modem.Modem{d}
	ses, err := New(c).Dial(b.Context(), transports.Account{}, transports.Env{Table: newMemTable(), Outbox: newMemOutbox()})
	if err != nil {
		b.Fatal(err)
	}
	accepted := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = emu.Run(ctx) }) // ignored: all three end with ctx
	wg.Go(func() { _ = d.Run(ctx) })
	wg.Go(func() {
		_ = ses.Run(ctx, func(_ context.Context, e transports.Event) error {
			if r, ok := e.(transports.Receipt); ok && r.State == transports.Accepted {
				accepted <- struct{}{}
			}
			return nil
		})
	})
	defer wg.Wait()
	defer cancel()
	send := func() {
		if _, err := ses.Send(ctx, transports.Message{To: bob, Body: "Der Aufzug in Haus 3 steht, bitte kommen."}); err != nil {
			b.Fatal(err)
		}
		select {
		case <-accepted:
		case <-time.After(30 * time.Second):
			b.Fatal("not accepted")
		}
	}
	send() // the modem is set up
	for b.Loop() {
		send()
	}
}
