package routertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
)

// report is a test that keeps its complaints.
type report struct {
	testing.TB
	said []string
}

func (r *report) Helper()                        {}
func (r *report) Errorf(format string, a ...any) { r.said = append(r.said, fmt.Sprintf(format, a...)) }

// TestExpectations: what is as expected passes in silence, the rest is printed.
func TestExpectations(t *testing.T) {
	r := &report{TB: t}
	h := routertest.Open(r, router.Config{}, routertest.Available())
	peer := h.Component("peer.example")
	a, b := h.Login(alice+"/desk", "<presence><priority>3</priority></presence>"), h.Login(bob+"/desk")
	if _, prio := a.Session.Presence(); prio != 3 {
		t.Errorf("priority %d", prio)
	}
	b.Say("<message type='chat' id='1' to='alice@office.example'><body>x</body></message>", "<presence to='x@peer.example'/>")
	a.Want("message", "chat 1 "+bob+"/desk > "+alice+" <body>x</body>")
	a.Want("no more")
	peer.Want("presence", "presence "+bob+"/desk > x@peer.example")
	h.Route("<message type='headline' from='peer.example' to='" + alice + "'/>")
	if st := a.One(); st.Type != "headline" {
		t.Errorf("got %v", st)
	}
	if got := b.Ask("get", alice, "<q xmlns='u'/>"); got != "service-unavailable" {
		t.Errorf("answered %s", got)
	}
	if len(r.said) > 0 {
		t.Errorf("complains: %q", r.said)
	}
	b.Say("<message id='2' to='alice@office.example'><body>y</body></message>")
	a.Want("silence")
	b.Ask("result", alice, "<q xmlns='u'/>")
	want := []string{
		"silence: alice@office.example/desk got\n  message 2 bob@office.example/desk > alice@office.example <body>y</body>\nwant\n  ",
		"<q xmlns='u'/> to='alice@office.example': 0 answers",
	}
	if !slices.Equal(r.said, want) {
		t.Errorf("complains: %q", r.said)
	}
}

func TestStreams(t *testing.T) {
	var release func(error)
	h := routertest.Open(t, router.Config{}, routertest.Available(), routertest.Module(func(x xmpp.Host) {
		x.Message(xmpp.Offline, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			release = d.Await()
			return xmpp.Done, nil
		})
	}))
	st := &routertest.Stream{Acking: true, Language: "de"}
	a := h.Bind(alice+"/desk", st, "<presence/>")
	a.Say("<message type='chat' to='bob@office.example'><body>x</body></message>")
	if !a.Session.Acks() || a.Holds() != 1 {
		t.Errorf("%d holds", a.Holds())
	}
	if release(nil); a.Holds() != 0 {
		t.Errorf("%d holds are left", a.Holds())
	}
	h.Login(alice + "/desk")
	if a.Ended() != "conflict" {
		t.Errorf("ended with %q", a.Ended())
	}
	b := h.Login(bob+"/desk", "<presence/>")
	var late []*stanza.Stanza
	if got := b.End(func(st *stanza.Stanza) { late = append(late, st) }); len(got) != 0 {
		t.Errorf("bob had %v", got)
	}
	h.Route("<message type='chat' from='" + alice + "/x' to='" + bob + "'><body>x</body></message>")
	if len(late) != 1 || len(b.All()) != 0 {
		t.Errorf("late: %v, kept: %v", late, b.All())
	}
}

func TestStore(t *testing.T) {
	s := routertest.NewStore()
	tab := s.Table("a")
	get := func(key string) string {
		t.Helper()
		var v string
		ok, err := tab.Get(key, &v)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return "-"
		}
		return v
	}
	keys := func() string {
		var l []string
		if err := tab.Range("", "", true, func(k string, _ []byte) bool { l = append(l, k); return true }); err != nil {
			t.Fatal(err)
		}
		return strings.Join(l, " ")
	}
	var told []error
	done := func(err error) { told = append(told, err) }

	if err := tab.Write(map[string]any{"k\x001": "one"}); err != nil || get("k\x001") != "one" {
		t.Fatal(err)
	}
	s.Hold()
	tab.Later(map[string]any{"k\x001": nil, "k\x002": "two"}, done)
	s.LaterAll(map[string]map[string]any{"a": {"k\x003": "three"}, "b": {"x": 1}}, done)
	if get("k\x001") != "-" || get("k\x002") != "two" || keys() != "k\x003 k\x002" || len(told) != 0 {
		t.Errorf("held: %q, told %v", keys(), told)
	}
	routertest.Same(t, "disk", s.Rows(), `a k 1 "one"`)
	s.Fail(errors.New("full"))
	s.Settle()
	if get("k\x001") != "one" || keys() != "k\x001" || len(told) != 2 || told[0] == nil || told[1] == nil {
		t.Errorf("failed: %q, told %v", keys(), told)
	}
	s.Fail(nil)
	tab.Later(map[string]any{"k\x004": "four"}, nil)
	s.Crash()
	tab.Later(map[string]any{"k\x005": "five"}, nil)
	s.Release()
	routertest.Same(t, "disk", s.Rows(), `a k 1 "one"`, `a k 5 "five"`)
	s.Put("a", "bad", "junk")
	if _, err := tab.Get("bad", new(string)); err == nil || s.Len() != 3 {
		t.Errorf("junk is read as %v, %d rows", err, s.Len())
	}
	s.Break(errors.New("bad sector"))
	if _, err := tab.Get("k\x001", nil); err == nil || tab.Range("", "", false, nil) == nil {
		t.Error("a broken disk is read")
	}
}

// TestStoreWithRun: done is called in Run's goroutine, never in the caller's.
func TestStoreWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := routertest.NewStore()
		h := routertest.Open(t, router.Config{Store: s})
		defer h.Go(s.Run)()
		synctest.Wait()
		told := false
		s.Hold()
		s.Table("a").Later(map[string]any{"k": 1}, func(error) { told = true })
		s.Settle()
		synctest.Wait()
		if told || s.Len() != 0 {
			t.Error("held, and yet on disk")
		}
		s.Release()
		synctest.Wait()
		if !told || s.Len() != 1 {
			t.Error("not on disk")
		}
		if err := s.Table("a").Write(map[string]any{"k": nil}); err != nil || s.Len() != 0 {
			t.Error(err, s.Len())
		}
	})
}
