package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	home = "office.example"
	sms  = "sms.office.example"
)

func at(s string) jid.JID                   { return jid.MustParse(s) }
func background(testing.TB) context.Context { return context.Background() }

// handler makes a component of a function.
type handler func(*xmpp.Delivery) (xmpp.Verdict, error)

func (f handler) Handle(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) { return f(d) }

var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRouter(t testing.TB, modules ...func(xmpp.Host)) (*router.Router, *routertest.Log) {
	t.Helper()
	var list []xmpp.Module
	for _, m := range modules {
		list = append(list, routertest.Module(m))
	}
	h := routertest.Open(t, router.Config{Now: func() time.Time { return clock }}, list...)
	return h.Router, h.Log
}

// away is no available presence; any other number is a priority.
const away = 1000

func bind(t testing.TB, r *router.Router, account, resource string, prio int) (*router.Session, *routertest.Stream) {
	t.Helper()
	c := &routertest.Stream{}
	s, err := r.Bind(background(t), at(account+"@"+home), resource, c)
	if err != nil {
		t.Fatal(err)
	}
	if prio != away {
		s.SetPresence(parse(t, "<presence/>"), int8(prio))
	}
	return s, c
}

func parse(t testing.TB, xml string) *stanza.Stanza {
	t.Helper()
	return routertest.Parse(t, xml)
}

// bound reports that this very session is in the table.
func bound(r *router.Router, s *router.Session) bool {
	return slices.ContainsFunc(r.Sessions(s.JID().Bare()), func(o xmpp.Session) bool { return o == xmpp.Session(s) })
}

func handle(t testing.TB, s *router.Session, xml string) {
	t.Helper()
	if err := s.Handle(background(t), parse(t, xml)); err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
}

// says describes a stanza for comparison: "error service-unavailable" or its type.
func says(st *stanza.Stanza) string {
	if e, ok := stanza.ErrorOf(st); ok {
		return "error " + string(e.Condition)
	}
	return st.Type
}

// one expects exactly one stanza.
func one(t testing.TB, c *routertest.Stream) *stanza.Stanza {
	t.Helper()
	got := c.Take()
	if len(got) != 1 {
		t.Fatalf("got %d stanzas, want one: %v", len(got), got)
	}
	return got[0]
}

func none(t testing.TB, c *routertest.Stream) {
	t.Helper()
	if got := c.Take(); len(got) > 0 {
		t.Fatalf("got %v, want nothing", got)
	}
}

func wantError(t testing.TB, c *routertest.Stream, condition stanza.Condition) *stanza.Stanza {
	t.Helper()
	st := one(t, c)
	if says(st) != "error "+string(condition) {
		t.Fatalf("got %v, want %s", st, condition)
	}
	return st
}

func TestSessionValues(t *testing.T) {
	r, _ := newRouter(t)
	s, _ := bind(t, r, "alice", "desk", away)
	a, b := &xmpp.Key{Name: "a"}, &xmpp.Key{Name: "a"}
	s.SetValue(a, 1)
	s.SetValue(b, "two")
	s.SetValue(a, 3)
	if s.Value(a) != 3 || s.Value(b) != "two" {
		t.Fatal("values are mixed up")
	}
	s.SetValue(a, nil)
	if s.Value(a) != nil || s.Value(b) != "two" {
		t.Fatal("a forgotten value is still there, or the wrong one went")
	}
}

func TestDomainRefusesBadNames(t *testing.T) {
	r, _ := newRouter(t)
	h := handler(func(*xmpp.Delivery) (xmpp.Verdict, error) { return xmpp.Done, nil })
	if err := r.Domain(xmpp.Domain{Name: sms, Handler: h}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []xmpp.Domain{
		{Name: home, Handler: h}, {Name: sms, Handler: h}, {Name: "x@y", Handler: h},
		{Name: "", Handler: h}, {Name: "UPPER.example", Handler: h}, {Name: "irc." + home},
	} {
		if err := r.Domain(d); err == nil {
			t.Errorf("domain %q was taken", d.Name)
		}
	}
	if got := r.Domains(); len(got) != 1 || got[0].Name != sms {
		t.Errorf("domains are %v", got)
	}
}

func TestHooksRunInOrderOfPriority(t *testing.T) {
	var order []string
	note := func(name string) xmpp.Hook {
		return func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
			order = append(order, name)
			return xmpp.Pass, nil
		}
	}
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.Message(xmpp.Outbound, 20, note("out 20"))
		h.Message(xmpp.Outbound, 10, note("out 10, first"))
		h.Message(xmpp.Deliver, 0, note("deliver"))
		h.Message(xmpp.Inbound, 0, note("in"))
		h.Presence(xmpp.Outbound, 0, note("presence"))
	}, func(h xmpp.Host) { h.Message(xmpp.Outbound, 10, note("out 10, second")) })
	alice, _ := bind(t, r, "alice", "desk", 0)
	bind(t, r, "bob", "desk", 0)
	handle(t, alice, `<message to='bob@office.example'><body>x</body></message>`)
	want := []string{"out 10, first", "out 10, second", "out 20", "in", "deliver"}
	if !slices.Equal(order, want) {
		t.Fatalf("hooks ran as %q, want %q", order, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a hook was taken after Load")
		}
	}()
	r.Message(xmpp.Inbound, 0, note("late"))
}

// TestOrder: what one client sends to one recipient arrives in order, however
// many send at once (RFC 6120 §10.1).
func TestOrder(t *testing.T) {
	const senders, each = 8, 200
	r, _ := newRouter(t)
	_, bob := bind(t, r, "bob", "desk", 0)
	var wg sync.WaitGroup
	for i := range senders {
		s, _ := bind(t, r, "alice", fmt.Sprint("r", i), away)
		wg.Go(func() {
			for n := range each {
				st := stanza.New(stanza.Message, "chat", fmt.Sprint(n), jid.JID{}, at("bob@"+home), "<body>x</body>")
				if err := s.Handle(context.Background(), st); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[jid.JID]int{}
	for _, st := range bob.Take() {
		if st.ID != fmt.Sprint(next[st.From]) {
			t.Fatalf("%s: got %s, want %d", st.From, st.ID, next[st.From])
		}
		next[st.From]++
	}
	if len(next) != senders {
		t.Fatalf("heard %d senders", len(next))
	}
	for from, n := range next {
		if n != each {
			t.Errorf("%s: %d arrived", from, n)
		}
	}
}

func TestProbe(t *testing.T) {
	r, _ := newRouter(t)
	if err := r.Probe(background(t)); err != nil {
		t.Error(err)
	}
	unlock := r.Lock()
	ctx, cancel := context.WithTimeout(background(t), 20*time.Millisecond)
	defer cancel()
	if err := r.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with the lock held: %v", err)
	}
	unlock()
}
