package router_test

import (
	"testing"
	"time"

	"doorway/xmpp/routertest"
)

// TestMove: what comes for a session goes where it has moved to, and one that
// has been replaced moves nowhere.
func TestMove(t *testing.T) {
	var d diary
	r, _ := newRouter(t, d.load)
	s, first := bind(t, r, "alice", "phone", 0)
	second := &routertest.Stream{}
	if !s.Move(second) || !s.Resumed(background(t)) {
		t.Fatal("the session does not move")
	}
	_, bob := bind(t, r, "bob", "desk", 0)
	r.Send(background(t), parse(t, "<message type='chat' from='bob@office.example/desk' to='alice@office.example/phone'><body>hello</body></message>"), nil)
	if st := one(t, second); st.Body() != "hello" {
		t.Errorf("got %v", st)
	}
	none(t, first)
	none(t, bob)
	fresh, _ := bind(t, r, "alice", "phone", 0)
	if ended := second.Ended(); ended != "conflict" {
		t.Errorf("the stream it moved to ended with %q", ended)
	}
	if ended := first.Ended(); ended != "" {
		t.Errorf("the stream it had left ended with %q", ended)
	}
	if s.Move(first) {
		t.Error("a session that has gone was moved")
	}
	if !bound(r, fresh) {
		t.Error("the new session is not found")
	}
}

// TestMoveWhileReplaced: the stream it moves to in that moment is closed too.
func TestMoveWhileReplaced(t *testing.T) {
	r, _ := newRouter(t)
	s, first := bind(t, r, "alice", "phone", 0)
	second := &routertest.Stream{}
	first.OnClose = func() { s.Move(second) }
	bind(t, r, "alice", "phone", 0)
	if ended := second.Ended(); ended != "conflict" {
		t.Errorf("the stream it moved to ended with %q", ended)
	}
}

func TestDelayed(t *testing.T) {
	r, _ := newRouter(t)
	s, _ := bind(t, r, "alice", "phone", 0)
	at := time.Date(2026, 2, 28, 13, 0, 0, 0, time.FixedZone("", 3600))
	st := s.Delayed(parse(t, "<message type='chat'><body>x</body></message>"), at)
	if e, ok := st.Child("urn:xmpp:delay", "delay"); !ok || e.Attr("stamp") != "2026-02-28T12:00:00Z" || e.Attr("from") != home {
		t.Errorf("got %v", st)
	}
	if again := s.Delayed(st, time.Now()); again != st {
		t.Errorf("stamped twice: %v", again)
	}
	for _, x := range []string{"<presence/>", "<iq type='result' id='1'/>", "<message type='error'/>"} {
		if st := parse(t, x); s.Delayed(st, at) != st {
			t.Errorf("stamped: %s", x)
		}
	}
}
