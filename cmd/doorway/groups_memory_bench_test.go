package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doorway/gateway/config"
	"doorway/gateway/control"
	"doorway/gateway/people"
	"doorway/xmpp/xmpptest"
)

// BenchmarkGroupInMemory is BenchmarkGroupOfEverybody without the kernel's part:
// the whole server in this process, with TLS and every module, and 2,000 clients on
// connections in memory, which sign in and then let go of what comes without a
// look at it. The figures are CPU time of the process (getrusage), in which clients
// have no part but to encrypt the few words that they send. A login is the
// roster and the presence of all, from resource binding on.
func BenchmarkGroupInMemory(b *testing.B) {
	const size, changes, logins, edits = 2000, 100, 40, 60
	for range b.N {
		h := openHall(b)
		h.everybody(map[string]int{"user": size, "late": logins})
		one := h.signIn("user0")
		one.begin()
		for i := range size - 1 {
			h.signIn(fmt.Sprint("user", i+1)).begin()
		}
		var late []*simulated
		for i := range logins {
			late = append(late, h.signIn(fmt.Sprint("late", i)))
		}
		presence, garbage := h.cost(changes, func(i int) {
			one.say(fmt.Sprintf("<presence><priority>%d</priority></presence>", i))
		})
		login, _ := h.cost(logins, func(i int) { late[i].begin() })
		edit, rubbish := h.cost(edits, func(i int) {
			name := fmt.Sprintf("Renamed %d", i)
			if err := control.Call(b.Context(), h.cfg.Data, "people.edit", control.PersonEdit{Who: "user1", Name: &name}, nil); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(presence*1000/size, "µs/recipient")
		b.ReportMetric(garbage/size, "allocs/recipient")
		b.ReportMetric(login-presence, "ms/login")
		b.ReportMetric(edit, "ms/edit")
		b.ReportMetric(rubbish/size, "allocs/push")
		h.stop()
	}
}

// hall is the whole server in this process.
type hall struct {
	*server
	b     *testing.B
	door  *memListener
	tls   *tls.Config
	taken atomic.Int64 // bytes written to clients that do not look
	stop  func()
}

func openHall(b *testing.B) *hall {
	b.Helper()
	if testing.Short() {
		b.Skip("the whole server runs in `make bench`, not with -short")
	}
	dir := b.TempDir()
	cfg, err := config.Parse(filepath.Join(dir, "doorway.toml"), fmt.Appendf(nil,
		"domain = \"office.localhost\"\ndata = %q\n[xmpp]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = []\n[http]\nlisten = [\"127.0.0.1:0\"]\n", filepath.Join(dir, "data")))
	if err != nil {
		b.Fatal(err)
	}
	h := &hall{b: b, door: newMemListener()}
	if h.server, err = newServer(cfg, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	h.tls = &tls.Config{RootCAs: roots(b, h.certs.CAFile()), MinVersion: tls.VersionTLS13}
	ready := make(chan struct{})
	h.ready = func() { close(ready) }
	h.group.Add(task("connections in memory", func(ctx context.Context) error { return h.clients.Serve(ctx, h.door, true) }))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }() // stop waits for it
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		b.Fatal("the server is not ready")
	}
	return h
}

// everybody makes so many accounts of each name, and one group of them all.
func (h *hall) everybody(names map[string]int) {
	h.b.Helper()
	var members []people.Member
	for name, n := range names {
		for i := range n {
			local := fmt.Sprint(name, i)
			if err := h.people.Add(local, "correct horse", fmt.Sprintf("Person Number %d", i)); err != nil {
				h.b.Fatal(err)
			}
			members = append(members, people.Member(local))
		}
	}
	err := h.people.Edit(h.b.Context(), func(e *people.Edit) error {
		g := people.Group{ID: "all", Label: "Everybody", Members: members}
		g.Visible.Members = true
		return e.PutGroup(g)
	})
	if err != nil {
		h.b.Fatal(err)
	}
}

// simulated is a client that signs in like any other.
type simulated struct {
	*xmpptest.Client
	h    *hall
	conn *memConn
}

func (h *hall) signIn(user string) *simulated {
	h.b.Helper()
	ctx, cancel := context.WithTimeout(h.b.Context(), time.Minute)
	defer cancel()
	conn := newMemConn(&h.taken)
	h.door.conns <- conn
	c, err := xmpptest.New(ctx, memClient{conn}, xmpptest.Options{
		Domain: "office.localhost", User: user, Password: "correct horse", TLS: xmpptest.Direct, TLSConfig: h.tls})
	if err != nil {
		h.b.Fatal(err)
	}
	return &simulated{c, h, conn}
}

// say sends, begin asks for the roster and becomes available; from then on the
// client does not look.
func (s *simulated) say(xml string) {
	if err := s.Send(xml); err != nil {
		s.h.b.Error(err)
	}
}

func (s *simulated) begin() {
	s.conn.deaf.Store(true)
	s.say("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence><priority>5</priority>" +
		"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>")
}

// quiet waits until the server has written all: nothing for a tenth of a second.
func (h *hall) quiet() {
	for last, same := int64(-1), 0; same < 5; same++ {
		wait(h.b, 20*time.Millisecond)
		if now := h.taken.Load(); now != last {
			last, same = now, 0
		}
	}
}

// cost is the CPU time of the process for one of n things, in ms, and what they allocate.
func (h *hall) cost(n int, do func(i int)) (ms, allocs float64) {
	h.quiet()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := h.used()
	for i := range n {
		do(i)
	}
	h.quiet()
	used := h.used() - begun
	runtime.ReadMemStats(&after)
	return float64(used.Microseconds()) / 1000 / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

// used is the CPU time of the process so far.
func (h *hall) used() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		h.b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
