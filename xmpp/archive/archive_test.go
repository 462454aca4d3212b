package archive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
)

var (
	alice = jid.MustParse("alice@office.example")
	bob   = jid.MustParse("bob@office.example/desk")
	room  = jid.MustParse("room@conference.office.example")
)

// open opens an archive on a store.
func open(t testing.TB, store router.Store, c archive.Config) *archive.Archive {
	t.Helper()
	a := archive.New(c)
	routertest.Open(t, router.Config{Store: store}, routertest.Module(func(h xmpp.Host) {
		if err := errors.Join(a.Open(h), a.Open(h)); err != nil {
			t.Error(err)
		}
	}))
	return a
}

func text(body string) *stanza.Stanza {
	return stanza.New(stanza.Message, "chat", "", bob, alice, "<body>"+body+"</body>")
}

func ok(t testing.TB) func(error) {
	return func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
}

// all is the whole archive of an owner, in pages.
func all(t testing.TB, a *archive.Archive, owner jid.JID) (list []archive.Message) {
	t.Helper()
	q := archive.Query{Page: rsm.Request{Max: 100}}
	for {
		p, err := a.Page(owner, q)
		if err != nil {
			t.Fatal(err)
		}
		if list = append(list, p.Messages...); p.Complete {
			return list
		}
		q.Page.After = p.Result.Last
	}
}

// TestAge: what is older than it may be goes, for all owners, and by itself.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		a := open(t, store, archive.Config{Age: 24 * time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		for i := range 200 {
			a.Put(text(fmt.Sprint(i)), ok(t), archive.Owner{JID: alice, With: bob}, archive.Owner{JID: bob.Bare(), With: alice})
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		got := all(t, a, alice)
		if n := len(got); n < 143 || n > 146 || !strings.Contains(got[n-1].XML, "<body>199</body>") {
			t.Errorf("%d messages of a day are left", n)
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if rows := store.Rows(); len(rows) != 1 || !strings.HasSuffix(rows[0], `"bytes":0,"upto":`+fmt.Sprint(uint64(got[len(got)-1].ID))+"}") {
			t.Errorf("left after a day: %s", rows)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestSize: the oldest go when there is too much, and the size is known again
// after a restart, with and without an orderly end.
func TestSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		const most = 100_000
		ctx, cancel := context.WithCancel(t.Context())
		var ends []chan error
		run := func(a *archive.Archive) {
			ends = append(ends, make(chan error, 1))
			go func(end chan error) { end <- a.Run(ctx) }(ends[len(ends)-1])
			synctest.Wait()
		}
		body := strings.Repeat("x", 1000)
		for start := range 3 {
			a := open(t, store, archive.Config{Bytes: most})
			if start > 0 {
				run(a)
			}
			for i := range 300 {
				a.Put(text(fmt.Sprint(i, " ", body)), ok(t), archive.Owner{JID: room})
				if start > 0 {
					synctest.Wait()
				}
			}
			size := 0 // without what this store, unlike the real one, writes as six characters
			for _, r := range store.Rows() {
				size += len(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(r))
			}
			switch {
			case start == 0 && size < 300_000:
				t.Fatalf("%d bytes without a limit", size)
			case start > 0 && (size > most*11/10 || size < most*8/10):
				t.Errorf("%d bytes are kept of %d", size, most)
			case start > 0:
				got := all(t, a, room)
				if last := got[len(got)-1]; !strings.Contains(last.XML, ">299 x") {
					t.Errorf("the newest is %.100s", last.XML)
				}
			}
			if !slices.IsSortedFunc(all(t, a, room), func(x, y archive.Message) int { return strings.Compare(x.ID.String(), y.ID.String()) }) {
				t.Error("ids do not rise")
			}
		}
		cancel()
		for _, end := range ends {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestDiskFullWhileTrimming: what could not be deleted is tried again.
func TestDiskFullWhileTrimming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		a := open(t, store, archive.Config{Age: time.Hour})
		a.Put(text("old"), ok(t), archive.Owner{JID: alice, With: bob})
		time.Sleep(2 * time.Hour)
		store.Fail(errors.New("no space"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		if len(all(t, a, alice)) != 1 {
			t.Error("gone without a trace on the disk")
		}
		store.Fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := all(t, a, alice); len(got) != 0 {
			t.Errorf("%d are left", len(got))
		}
		cancel()
		<-ended
	})
}

// TestOneOrder: whoever sees a message sees all that came before it, while
// many write.
func TestOneOrder(t *testing.T) {
	store := routertest.NewStore()
	a := open(t, store, archive.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = store.Run(ctx) })
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 25 {
				a.Put(text(fmt.Sprint(w, " ", i)), ok(t), archive.Owner{JID: room})
			}
		})
	}
	seen := 0
	last := ""
	for seen < 200 {
		p, err := a.Page(room, archive.Query{Page: rsm.Request{Max: 10, After: last}})
		if err != nil {
			t.Fatal(err)
		}
		if seen += len(p.Messages); len(p.Messages) > 0 {
			last = p.Result.Last
		}
	}
	writers.Wait()
	if n := len(all(t, a, room)); n != 200 {
		t.Errorf("%d of 200, of which a reader saw all", n)
	}
	cancel()
	wg.Wait()
}

// TestClockSetBack: ids go on rising, and each message says the clock's time.
func TestClockSetBack(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	a := open(t, routertest.NewStore(), archive.Config{Now: func() time.Time { return now }})
	first := a.Put(text("1"), ok(t), archive.Owner{JID: alice})
	now = now.Add(-24 * time.Hour)
	second := a.Put(text("2"), ok(t), archive.Owner{JID: alice})
	third := a.Put(text("3"), ok(t), archive.Owner{JID: alice})
	got := all(t, a, alice)
	if second <= first || third <= second || len(got) != 3 || !got[1].At.Equal(now) {
		t.Errorf("ids %s %s %s, messages %+v", first, second, third, got)
	}
}

func TestReplace(t *testing.T) {
	a := open(t, routertest.NewStore(), archive.Config{})
	id := a.Put(text("rude"), ok(t), archive.Owner{JID: room, With: bob})
	before, err := a.Get(room, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Replace(room, id, stanza.New(stanza.Message, "groupchat", "", bob, jid.JID{}, "<retracted xmlns='urn:xmpp:message-retract:1'/>"), ok(t)); err != nil {
		t.Fatal(err)
	}
	after, err := a.Get(room, id)
	if err != nil || strings.Contains(after.XML, "rude") || !strings.Contains(after.XML, "<retracted") || !after.At.Equal(before.At) {
		t.Errorf("%+v, %v", after, err)
	}
	for _, owner := range []jid.JID{alice, room} {
		wrong := id
		if owner == room {
			wrong++
		}
		if _, err := a.Get(owner, wrong); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s %s: %v", owner, wrong, err)
		}
		if err := a.Replace(owner, wrong, text("x"), ok(t)); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s %s: %v", owner, wrong, err)
		}
	}
}

// TestShow: a room decides what somebody may see of a message.
func TestShow(t *testing.T) {
	a := open(t, routertest.NewStore(), archive.Config{})
	for _, body := range []string{"one", "secret"} {
		a.Put(text(body).WithType("groupchat").WithTo(jid.JID{}), ok(t), archive.Owner{JID: room})
	}
	iq := stanza.New(stanza.IQ, "set", "1", alice, room, "<query xmlns='"+archive.Space+"' queryid='&lt;q>'/>")
	var got []string
	fin, err := a.Answer(iq, room, func(st *stanza.Stanza) *stanza.Stanza {
		if st.Body() == "secret" {
			return nil
		}
		return st.WithFrom(room)
	}, func(st *stanza.Stanza) { got = append(got, st.String()) })
	if err != nil || !strings.Contains(fin, "complete='true'") || len(got) != 2 {
		t.Fatalf("%s, %v, %d results", fin, err, len(got))
	}
	if want := "<message xmlns='jabber:client' type='groupchat' from='" + room.String() + "'><body>one</body></message></forwarded>"; !strings.Contains(got[0], want) || !strings.Contains(got[0], "queryid='&lt;q") {
		t.Errorf("%s lacks %s", got[0], want)
	}
	if strings.Contains(got[1], "body") || !strings.Contains(got[1], "<delay ") {
		t.Errorf("the hidden one is %s", got[1])
	}
}

func TestID(t *testing.T) {
	for _, s := range []string{"", "0", "10", "ffffffffffffffff0", "000000000000001G", "000000000000001A", "+00000000000001a", "0x0000000000000a"} {
		if id, ok := archive.ParseID(s); ok {
			t.Errorf("%q is %s", s, id)
		}
	}
	if id, ok := archive.ParseID("000000000000001a"); !ok || id != 26 || id.String() != "000000000000001a" {
		t.Errorf("%v %v", id, ok)
	}
}

// TestUnreadable: a broken row costs itself and nothing else.
func TestUnreadable(t *testing.T) {
	store := routertest.NewStore()
	a := open(t, store, archive.Config{})
	a.Put(text("1"), ok(t), archive.Owner{JID: alice, With: bob})
	a.Put(text("2"), ok(t), archive.Owner{JID: alice, With: bob})
	store.Break(errors.New("disk gone"))
	if _, err := a.Page(alice, archive.Query{Page: rsm.Request{Max: -1}}); err == nil {
		t.Error("a page of a broken disk")
	}
	if _, _, _, err := a.Ends(alice, 0); err == nil {
		t.Error("ends of a broken disk")
	}
	if err := a.Purge(alice); err == nil {
		t.Error("purged on a broken disk")
	}
	store.Break(nil)
	if err := a.Purge(alice); err != nil || len(all(t, a, alice)) != 0 {
		t.Errorf("purge: %v", err)
	}
}
