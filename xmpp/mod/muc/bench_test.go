package muc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"doorway/gateway/store"
	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/routertest"
)

// BenchmarkRoomFanout100 is a message of 200 bytes to a persistent room with
// 100 people, without the writing to their streams.
func BenchmarkRoomFanout100(b *testing.B) {
	b.Run("history", func(b *testing.B) { fanout(b, muc.Config{}) })
	b.Run("archive", func(b *testing.B) { fanout(b, muc.Config{Archive: archive.New(archive.Config{})}) })
}

func fanout(b *testing.B, c muc.Config) {
	o := openWith(b, nil, c, blocking.New(nil))
	a := o.found("persistentroom=1", "muc#roomconfig_maxusers=none")
	for i := range 99 {
		st := &routertest.Stream{}
		c := o.Bind(fmt.Sprintf("u%d@office.example/desk", i), st)
		c.Say(fmt.Sprintf("<presence to='%s/n%d'>%s</presence>", hall, i, join))
		st.Take()
		st.Quiet = true
	}
	a.Take()
	a.Quiet = true
	st := routertest.Parse(b, "<message type='groupchat' id='m1' to='"+hall+"'><body>"+fmt.Sprintf("%0200d", 7)+"</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Session.Handle(ctx, st); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleRooms says what 1,000 persistent rooms with 20 messages each
// cost: empty, and with one person in each.
func BenchmarkIdleRooms(b *testing.B) {
	for _, occupied := range []bool{false, true} {
		b.Run(fmt.Sprintf("occupied=%v", occupied), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(idleRooms(b, occupied))/1000, "bytes/room")
			}
		})
	}
}

func idleRooms(b *testing.B, occupied bool) int64 {
	const rooms = 1000
	dir := b.TempDir()
	withStore(b, dir, func(files lender) {
		o := openWith(b, files, muc.Config{RoomsEach: rooms})
		a := o.person("alice")
		for i := range rooms {
			at := fmt.Sprintf("room%d@%s", i, service)
			a.Say("<presence to='" + at + "/alice'>" + join + "</presence>")
			if got := a.Ask("set", at, submit("persistentroom=1", "roomname=A room of medium title")); got != "" {
				b.Fatal(got)
			}
			for range 20 {
				a.Say("<message type='groupchat' to='" + at + "'><body>" + fmt.Sprintf("%0200d", i) + "</body></message>")
			}
			a.Say("<presence type='unavailable' to='" + at + "/alice'/>")
			a.Take()
			o.now = o.now.Add(time.Minute)
		}
	})
	var used int64
	withStore(b, dir, func(files lender) {
		before := heap()
		o := open(b, files)
		for i := range rooms {
			who := fmt.Sprintf("u%d", i%200)
			c := o.person(fmt.Sprintf("%s/%d", who, i/200))
			c.Quiet = true
			c.Say(fmt.Sprintf("<presence to='room%d@%s/%s'>%s</presence>", i, service, who, join))
			if !occupied {
				c.Leave()
			}
		}
		used = heap() - before
		runtime.KeepAlive(o)
	})
	return used
}

// withStore calls f with a store that runs.
func withStore(b *testing.B, dir string, f func(lender)) {
	files, err := store.Open(dir, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- files.Run(ctx) }() // ends with cancel
	f(lender{files})
	cancel()
	if err := errors.Join(<-done, files.Close()); err != nil {
		b.Error(err)
	}
}

// lender adapts the store to the router.
type lender struct{ *store.Store }

func (l lender) Table(name string) xmpp.Table { return l.Store.Table(name) }

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
