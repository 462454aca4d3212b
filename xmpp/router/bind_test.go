package router_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// diary notes session events.
type diary struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (d *diary) load(h xmpp.Host) {
	h.Session(func(_ context.Context, e xmpp.SessionEvent) {
		what := map[xmpp.SessionEventKind]string{xmpp.SessionBound: "+", xmpp.SessionClosed: "-", xmpp.SessionResumed: "="}[e.Kind]
		listed := false
		for _, s := range h.Sessions(e.Session.JID().Bare()) {
			listed = listed || s == e.Session
		}
		if listed != (e.Kind != xmpp.SessionClosed) {
			what += "!"
		}
		d.note(what + e.Session.JID().Resource())
	})
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, " ")
}

func bindError(t *testing.T, r *router.Router, account, resource string) stanza.Condition {
	t.Helper()
	_, err := r.Bind(background(t), at(account+"@"+home), resource, &routertest.Stream{})
	var e *stanza.Error
	if !errors.As(err, &e) {
		t.Fatalf("bind %.20q: %v", resource, err)
	}
	return e.Condition
}

func TestBindResources(t *testing.T) {
	var d diary
	r, _ := newRouter(t, d.load)
	a, _ := bind(t, r, "alice", "", away)
	b, _ := bind(t, r, "alice", "", away)
	if a.JID() == b.JID() || len(a.JID().Resource()) < 16 {
		t.Errorf("made up %s and %s", a.JID(), b.JID())
	}
	if c := bindError(t, r, "alice", strings.Repeat("x", 1024)); c != stanza.BadRequest {
		t.Errorf("too long: %s", c)
	}
	if c := bindError(t, r, "alice", "a\x00b"); c != stanza.BadRequest {
		t.Errorf("control character: %s", c)
	}
	if s, _ := bind(t, r, "alice", strings.Repeat("x", 1023), away); len(s.JID().Resource()) != 1023 {
		t.Error("1023 bytes are fine")
	}
	for i := range router.DefaultMaxSessions - 3 {
		bind(t, r, "alice", fmt.Sprint(i), away)
	}
	if c := bindError(t, r, "alice", "one more"); c != stanza.ResourceConstraint {
		t.Errorf("one too many: %s", c)
	}
	bind(t, r, "alice", "0", away) // in the place of the old one
	bind(t, r, "bob", "0", away)
	if n := r.Count(); n != router.DefaultMaxSessions+1 {
		t.Errorf("%d bound", n)
	}
	a.Unbind(background(t), nil)
	bind(t, r, "alice", "one more", away)
	if strings.Contains(d.String(), "!") {
		t.Errorf("events at the wrong moment: %s", &d)
	}
}

func TestResumed(t *testing.T) {
	var d diary
	r, _ := newRouter(t, d.load)
	s, _ := bind(t, r, "alice", "phone", 0)
	if !s.Resumed(background(t)) {
		t.Error("a bound session cannot be resumed")
	}
	s.Unbind(background(t), nil)
	if s.Resumed(background(t)) {
		t.Error("a session that has gone was resumed")
	}
	if got, want := d.String(), "+phone =phone -phone"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestBindConflict(t *testing.T) {
	var d diary
	r, _ := newRouter(t, d.load)
	old, oldStream := bind(t, r, "alice", "phone", 0)
	_, desk := bind(t, r, "alice", "desk", 0)
	fresh, freshStream := bind(t, r, "alice", "phone", 0)
	d.note("bound")
	if got, want := d.String(), "+phone +desk -phone +phone bound"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if ended := oldStream.Ended(); ended != "conflict" {
		t.Errorf("the old stream ended with %q", ended)
	}
	if ended := desk.Ended(); ended != "" {
		t.Error("another resource was closed")
	}
	// The old stream's own end comes later, with what it had.
	old.Unbind(background(t), []*stanza.Stanza{parse(t, "<message type='chat' from='bob@office.example/x' to='alice@office.example/phone'><body>late</body></message>")})
	if st := one(t, freshStream); st.Body() != "late" {
		t.Errorf("got %v", st)
	}
	if !bound(r, fresh) {
		t.Error("the old stream's end removed the new session")
	}
	if got := strings.Count(d.String(), "-phone"); got != 1 {
		t.Errorf("closed was told %d times", got)
	}
}

// TestBindConflictWithStreamThatUnbindsItself: c2s may end the old session
// while it is being closed, in the same goroutine or in another.
func TestBindConflictWithStreamThatUnbindsItself(t *testing.T) {
	for _, inline := range []bool{true, false} {
		var d diary
		r, _ := newRouter(t, d.load)
		var wg sync.WaitGroup
		for range 50 {
			c := &routertest.Stream{}
			var s *router.Session
			c.OnClose = func() {
				if inline {
					s.Unbind(context.Background(), nil)
					return
				}
				wg.Go(func() { s.Unbind(context.Background(), nil) })
			}
			var err error
			if s, err = r.Bind(background(t), at("alice@"+home), "phone", c); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		want := strings.TrimSuffix(strings.Repeat("+phone -phone ", 50), " -phone ")
		if got := d.String(); got != want {
			t.Errorf("inline %v: events %q", inline, got)
		}
	}
}

// TestBindAtOnce: many logins of one resource at the same time leave one.
func TestBindAtOnce(t *testing.T) {
	var d diary
	r, _ := newRouter(t, d.load)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				c := &routertest.Stream{}
				s, err := r.Bind(context.Background(), at("alice@"+home), "phone", c)
				if err != nil {
					t.Error(err)
					return
				}
				s.Unbind(context.Background(), nil)
			}
		})
	}
	wg.Wait()
	if r.Count() != 0 {
		t.Errorf("%d left", r.Count())
	}
	if got, want := d.String(), strings.TrimSpace(strings.Repeat("+phone -phone ", 160)); got != want {
		t.Errorf("events overlap: %q", got)
	}
}

func TestUnbindGivesBack(t *testing.T) {
	var stored []*stanza.Stanza
	var again []bool
	var d diary
	r, _ := newRouter(t, d.load, func(h xmpp.Host) {
		h.Message(xmpp.Inbound, 0, func(_ context.Context, x *xmpp.Delivery) (xmpp.Verdict, error) {
			again = append(again, x.Again)
			return xmpp.Pass, nil
		})
		h.Message(xmpp.Offline, 0, func(_ context.Context, x *xmpp.Delivery) (xmpp.Verdict, error) {
			d.note("store")
			stored = append(stored, x.Stanza)
			return xmpp.Done, nil
		})
	})
	phone, _ := bind(t, r, "alice", "phone", 0)
	_, bob := bind(t, r, "bob", "desk", 0)
	const from = " from='bob@office.example/desk' to='alice@office.example/phone'"
	var unacked []*stanza.Stanza
	for _, x := range []string{
		"<message type='chat' id='1'" + from + "><body>one</body></message>",
		"<presence" + from + "/>",
		"<message type='headline' id='2'" + from + "><body>news</body></message>",
		"<message type='groupchat' id='3'" + from + "><body>room</body></message>",
		"<message type='error' id='4'" + from + "/>",
		"<iq type='get' id='5'" + from + "><q xmlns='x:y'/></iq>",
		"<iq type='result' id='6'" + from + "/>",
		"<message id='7' from='bob@office.example/desk' to='alice@office.example'><body>normal</body></message>",
		"<message id='9'" + from + "><body>normal, to a resource</body></message>",
		"<message type='chat' id='8'" + from + "><body>again</body><delay xmlns='urn:xmpp:delay' from='office.example' stamp='2002-09-10T23:08:25Z'/></message>",
	} {
		unacked = append(unacked, parse(t, x))
	}
	phone.Unbind(background(t), unacked)
	phone.Unbind(background(t), nil)
	if st := wantError(t, bob, stanza.ServiceUnavailable); st.ID != "5" {
		t.Errorf("answered %v", st)
	}
	if got, want := d.String(), "+phone +desk -phone store store store store"; got != want {
		t.Fatalf("events %q, want %q", got, want)
	}
	for i, want := range []string{"1", "7", "9", "8"} {
		st := stored[i]
		delay, ok := st.Child("urn:xmpp:delay", "delay")
		if st.ID != want || !ok || delay.Attr("from") != home || strings.Count(st.Inner(), "<delay") != 1 || !again[i] {
			t.Errorf("stored %v", st)
		}
		if i < 3 && delay.Attr("stamp") != "2026-03-01T12:00:00Z" {
			t.Errorf("stamp is %s", delay.Attr("stamp"))
		}
	}

	// With another resource there it takes over.
	phone, _ = bind(t, r, "alice", "phone", 0)
	_, desk := bind(t, r, "alice", "desk", 0)
	phone.Unbind(background(t), unacked[:1])
	if st := one(t, desk); st.ID != "1" || !st.HasChild("urn:xmpp:delay", "delay") {
		t.Errorf("got %v", st)
	}
}

func TestAcked(t *testing.T) {
	var got []string
	r, _ := newRouter(t, func(h xmpp.Host) {
		for _, v := range []xmpp.Verdict{xmpp.Done, xmpp.Pass} {
			h.Message(xmpp.Acked, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
				if got = append(got, d.Stanza.ID+" "+d.Session.JID().Resource()); d.More {
					got[len(got)-1] += " more"
				}
				return v, errors.New("ignored")
			})
		}
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	c.Acking = true
	if !alice.Acks() {
		t.Error("the stream's acknowledgements are not seen")
	}
	alice.Acked(background(t), parse(t, "<message id='m'/>"))
	alice.Acked(background(t), parse(t, "<presence/>"))
	if strings.Join(got, ",") != "m desk,m desk" {
		t.Errorf("hooks saw %q", got)
	}
	got = nil
	alice.Acked(background(t), parse(t, "<message id='1'/>"), parse(t, "<presence/>"), parse(t, "<message id='2'/>"), parse(t, "<presence/>"))
	if strings.Join(got, ",") != "1 desk more,1 desk more,2 desk,2 desk" {
		t.Errorf("of several the hooks saw %q", got)
	}
}
