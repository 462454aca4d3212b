package offline

import (
	"context"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// absent logs a resource in and loses its link.
func (h *house) absent(account, resource string) *routertest.Client {
	h.T.Helper()
	s := &routertest.Stream{Acking: true}
	c := h.Bind(account+"@"+home+"/"+resource, s)
	c.Say(online)
	s.Gone = true
	return c
}

// TestAbsentClient: what waits for it in memory is on disk until it has it.
func TestAbsentClient(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	phone := h.absent("bob", "phone")
	chat(alice, "one")
	alice.Say("<message type='chat' id='two' to='bob@office.example/phone'><body>two</body></message>")
	alice.Say("<message type='chat' id='typing' to='bob@office.example/phone'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	if bodies(phone) != "one two " || store.Len() != 2 {
		t.Fatalf("queued %q, %d rows", bodies(phone), store.Len())
	}
	for _, st := range phone.All()[:2] {
		if n := strings.Count(st.Inner(), "<delay"); n != 1 {
			t.Errorf("%d delay stamps: %v", n, st)
		}
	}
	ack(phone, 1)
	if store.Len() != 1 {
		t.Errorf("%d rows after it has taken one", store.Len())
	}

	// The server dies.
	again := open(t, store, Config{})
	c := again.login("bob", "phone", true, online)
	if bodies(c) != "two" {
		t.Errorf("replayed %q", bodies(c))
	}
	ack(c, 1)
	if store.Len() != 0 {
		t.Errorf("%d rows are left", store.Len())
	}
}

// TestAbsentClientThatStaysAway: its messages go to the next, once.
func TestAbsentClientThatStaysAway(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	phone := h.absent("bob", "phone")
	chat(alice, "one")
	chat(alice, "two")
	phone.Session.Unbind(context.Background(), phone.All())
	if store.Len() != 2 {
		t.Fatalf("%d rows", store.Len())
	}
	c := h.login("bob", "desk", true, online)
	if bodies(c) != "one two" {
		t.Errorf("got %q", bodies(c))
	}
	ack(c, 2)
	if store.Len() != 0 {
		t.Errorf("%d rows are left", store.Len())
	}
}

// TestTwoAbsentClients share a row, and each has its copy.
func TestTwoAbsentClients(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	phone, tablet := h.absent("bob", "phone"), h.absent("bob", "tablet")
	chat(alice, "one")
	if bodies(phone) != "one" || bodies(tablet) != "one" || store.Len() != 1 {
		t.Fatalf("queued %q and %q, %d rows", bodies(phone), bodies(tablet), store.Len())
	}
	ack(tablet, 1)
	ack(phone, 1)
	if store.Len() != 0 {
		t.Errorf("%d rows are left", store.Len())
	}
}

// TestAbsentClientOverQuota has its messages in memory only.
func TestAbsentClientOverQuota(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{Messages: 1})
	alice := h.login("alice", "desk", false, online)
	phone := h.absent("bob", "phone")
	chat(alice, "one")
	chat(alice, "two")
	if bodies(phone) != "one two" || store.Len() != 1 {
		t.Errorf("queued %q, %d rows", bodies(phone), store.Len())
	}
}

// TestAbsentSessionThatEndsMeanwhile: a row of a session that has gone waits.
func TestAbsentSessionThatEndsMeanwhile(t *testing.T) {
	h := open(t, routertest.NewStore(), Config{})
	phone := h.absent("bob", "phone")
	phone.Session.Unbind(context.Background(), nil)
	h.Router.Deliver(context.Background(), phone.Session,
		routertest.Parse(t, "<message type='chat' id='1' from='alice@office.example/desk' to='bob@office.example/phone'><body>late</body></message>"))
	phone.Session.Unbind(context.Background(), []*stanza.Stanza{phone.All()[0]})
	if c := h.login("bob", "desk", true, online); bodies(c) != "late" {
		t.Errorf("got %q", bodies(c))
	}
}

// TestOneAcknowledgement of many erases their rows together, or none of them
// when the reader ends before the last; those go when its session does.
func TestOneAcknowledgement(t *testing.T) {
	for name, ends := range map[string]bool{"whole": false, "cut short": true} {
		t.Run(name, func(t *testing.T) {
			store := routertest.NewStore()
			var rows []int
			watch := routertest.Module(func(x xmpp.Host) {
				x.Message(xmpp.Acked, prioStore+1, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
					if rows = append(rows, store.Len()); ends && len(rows) == 2 {
						panic("the reader ends")
					}
					return xmpp.Pass, nil
				})
			})
			h := &house{House: routertest.Open(t, router.Config{Store: store}, New(Config{}), routertest.Available(), watch)}
			alice := h.login("alice", "desk", false, online)
			phone := h.absent("bob", "phone")
			for _, body := range []string{"one", "two", "three"} {
				chat(alice, body)
			}
			func() {
				defer func() { _ = recover() }() // ignored: it is the test's own
				phone.Session.Acked(context.Background(), phone.All()...)
			}()
			want, left, back := []int{3, 3, 0}, 0, []*stanza.Stanza(nil)
			if ends {
				want, left, back = []int{3, 3}, 3, phone.All()[2:]
			}
			if !slices.Equal(rows, want) || store.Len() != left {
				t.Errorf("%d rows stood after each, %d at the end", rows, store.Len())
			}
			phone.Session.Unbind(context.Background(), back)
			if left = min(left, 1); store.Len() != left {
				t.Errorf("%d rows after the session's end", store.Len())
			}
			if c := h.login("bob", "desk", true, online); ends && bodies(c) != "three" || !ends && bodies(c) != "" {
				t.Errorf("replayed %q", bodies(c))
			}
		})
	}
}
