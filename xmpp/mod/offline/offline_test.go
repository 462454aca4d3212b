package offline

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
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

func TestWhatIsStored(t *testing.T) {
	const body = "<body>x</body>"
	const composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
	const (
		stored  = "stored"
		refused = "service-unavailable"
		nothing = ""
	)
	for _, x := range []struct{ typ, inner, want string }{
		{"chat", body, stored},
		{"normal", body, stored},
		{"", body, stored},
		{"unheard-of", body, stored},
		{"headline", body, nothing},
		{"groupchat", body, refused},
		{"error", body, nothing},
		{"chat", composing, nothing},
		{"chat", composing + "<thread>t</thread>", nothing},
		{"chat", composing + body, stored},
		{"chat", composing + "<x xmlns='x:y'/>", refused},
		{"chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", refused},
		{"chat", "<received xmlns='urn:xmpp:receipts' id='1'/><store xmlns='urn:xmpp:hints'/>", stored},
		{"headline", body + "<store xmlns='urn:xmpp:hints'/>", nothing},
		{"chat", body + "<no-store xmlns='urn:xmpp:hints'/>", refused},
		{"chat", body + "<no-permanent-store xmlns='urn:xmpp:hints'/>", stored},
		{"chat", "", refused},
	} {
		store := routertest.NewStore()
		h := open(t, store, Config{})
		alice := h.login("alice", "desk", false, online)
		h.login("bob", "bot", false, "<presence><priority>-1</priority></presence>")
		typ := ""
		if x.typ != "" {
			typ = " type='" + x.typ + "'"
		}
		alice.Say("<message" + typ + " to='bob@office.example'>" + x.inner + "</message>")
		got := ""
		if store.Len() > 0 {
			got = stored
		}
		for _, st := range alice.All() {
			if e, ok := stanza.ErrorOf(st); ok {
				got += string(e.Condition)
			}
		}
		if got != x.want {
			t.Errorf("%s %s: %q, want %q", x.typ, x.inner, got, x.want)
		}
	}
	if !slices.Contains(open(t, routertest.NewStore(), Config{}).Router.Features(xmpp.ToHost), "msgoffline") {
		t.Error("not advertised")
	}
}

// TestReplay: a restart between; in order, stamped, erased on acknowledgement.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		h := open(t, store, Config{})
		alice := h.login("alice", "desk", false, online)
		carol := h.login("carol", "desk", false, online)
		for i := range 5 {
			chat(alice, fmt.Sprint("a", i))
			chat(carol, fmt.Sprint("c", i))
			time.Sleep(time.Second) // the bubble's clock
		}

		h = open(t, store, Config{})
		bot := h.login("bob", "bot", true, "<presence><priority>-1</priority></presence>")
		c := h.login("bob", "phone", true, "")
		if len(c.All())+len(bot.All()) != 0 {
			t.Fatal("replayed to a resource that takes no messages")
		}
		c.Say(online)
		if got := bodies(c); got != "a0 c0 a1 c1 a2 c2 a3 c3 a4 c4" {
			t.Fatalf("got %s", got)
		}
		for i, st := range c.All() {
			d, ok := st.Child("urn:xmpp:delay", "delay")
			want := time.Date(2000, 1, 1, 0, 0, i/2, 0, time.UTC).Format(time.RFC3339)
			if !ok || d.Attr("from") != home || d.Attr("stamp") != want {
				t.Errorf("%d has no delay or a wrong one: %v", i, st)
			}
			if st.To.String() != "bob@office.example" || st.From.Local() == "" || st.Type != "chat" {
				t.Errorf("header changed: %v", st)
			}
		}
		if store.Len() != 10 {
			t.Fatalf("%d rows before any acknowledgement", store.Len())
		}
		ack(c, 4)
		if store.Len() != 6 {
			t.Errorf("%d rows after four acknowledgements", store.Len())
		}
		c.Say("<presence><show>away</show></presence>")
		if len(c.All()) != 10 {
			t.Error("replayed twice to one session")
		}

		// The server dies: the six come again, nothing is lost.
		h = open(t, store, Config{})
		c = h.login("bob", "phone", true, online)
		if got := bodies(c); got != "a2 c2 a3 c3 a4 c4" {
			t.Errorf("got %s", got)
		}
		ack(c, 6)
		if store.Len() != 0 || len(h.m.boxes) != 0 {
			t.Errorf("%d rows, %d mailboxes are left", store.Len(), len(h.m.boxes))
		}
	})
}

// TestWithoutAcknowledgements: erased 60 s after the flush, not before.
func TestWithoutAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		h := open(t, store, Config{})
		defer h.Go(h.m.Run)()
		alice := h.login("alice", "desk", false, online)
		chat(alice, "one")
		chat(alice, "two")
		c := h.login("bob", "phone", false, online)
		if bodies(c) != "one two" {
			t.Fatalf("got %s", bodies(c))
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if store.Len() != 2 {
			t.Fatalf("%d rows after 59 s", store.Len())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if store.Len() != 0 {
			t.Fatalf("%d rows after 61 s", store.Len())
		}

		// A stream that ends within the minute has not got them for certain.
		c.Leave()
		chat(alice, "three")
		c = h.login("bob", "phone", false, online)
		time.Sleep(30 * time.Second)
		c.Leave()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		c = h.login("bob", "phone", false, online)
		if bodies(c) != "three" {
			t.Errorf("got %q", bodies(c))
		}
	})
}

func TestTwoResourcesAtOnce(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	for i := range 20 {
		chat(alice, fmt.Sprint(i))
	}
	one := h.login("bob", "one", true, "")
	two := h.login("bob", "two", true, "")
	var wg sync.WaitGroup
	wg.Go(func() { one.Say(online) })
	wg.Go(func() { two.Say(online) })
	wg.Wait()
	if n1, n2 := len(one.All()), len(two.All()); n1+n2 != 20 || n1*n2 != 0 {
		t.Fatalf("one got %d, two %d", n1, n2)
	}
	first, other := one, two
	got := one.All()
	if len(got) == 0 {
		first, other, got = two, one, two.All()
	}

	// It dies after it acknowledged five. c2s gives the rest back, which must
	// not become a second copy: the rows go to the other one, once.
	for _, st := range got[:5] {
		first.Session.Acked(context.Background(), st)
	}
	first.Session.Unbind(context.Background(), got[5:])
	if n := len(other.All()); n != 15 {
		t.Fatalf("the other one got %d: %s", n, bodies(other))
	}
	if other.All()[0].ID != "5" || other.All()[14].ID != "19" {
		t.Errorf("out of order: %s", bodies(other))
	}
	if store.Len() != 15 {
		t.Errorf("%d rows", store.Len())
	}
}

// TestGivenBackIsNotStoredTwice: as above, with nobody else there.
func TestGivenBackIsNotStoredTwice(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	chat(alice, "one")
	c := h.login("bob", "phone", true, online)
	chat(alice, "live")
	unacked := c.All()
	c.Session.Unbind(context.Background(), unacked)
	if store.Len() != 2 {
		t.Fatalf("%d rows", store.Len())
	}
	c = h.login("bob", "phone", true, online)
	if bodies(c) != "one live" {
		t.Errorf("got %s", bodies(c))
	}
	for _, st := range c.All() {
		if n := strings.Count(st.Inner(), "<delay"); n != 1 {
			t.Errorf("%d delay stamps: %v", n, st)
		}
	}
	ack(c, 2)
	if store.Len() != 0 {
		t.Errorf("%d rows are left", store.Len())
	}
}

// TestNothingOvertakes: live messages during a replay come after the stored
// ones of the same sender (RFC 6120 §10.1).
func TestNothingOvertakes(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	for i := range 10 {
		chat(alice, fmt.Sprint(i))
	}
	c := h.login("bob", "phone", true, "")
	sent := false
	c.OnSend = func(st *stanza.Stanza) {
		if st.ID == "3" && !sent { // another reader's turn, in the middle of the replay
			sent = true
			chat(alice, "10")
		}
	}
	c.Say(online)
	if got := bodies(c); got != "0 1 2 3 4 5 6 7 8 9 10" {
		t.Fatalf("got %s", got)
	}
	chat(alice, "11")
	if got := bodies(c); !strings.HasSuffix(got, " 10 11") {
		t.Errorf("got %s", got)
	}
	if store.Len() != 11 {
		t.Errorf("%d rows: a live message was stored, or a stored one lost", store.Len())
	}
}

// TestComingOnlineAmongSenders: eight people write while bob comes and goes;
// each one's messages reach him in order and at least once.
func TestComingOnlineAmongSenders(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	const senders, each = 8, 60
	var wg sync.WaitGroup
	for i := range senders {
		s := h.login([]string{"alice", "carol"}[i%2], fmt.Sprint("r", i), false, online)
		wg.Go(func() {
			for n := range each {
				st := stanza.New(stanza.Message, "chat", fmt.Sprint(n), jid.JID{}, jid.MustParse("bob@"+home), "<body>x</body>")
				if err := s.Session.Handle(context.Background(), st); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := map[jid.JID]int{}
	drain := func() {
		c := h.login("bob", "phone", true, online)
		chat(c, "self")
		got := c.End(func(st *stanza.Stanza) { c.Session.Unbind(context.Background(), []*stanza.Stanza{st}) })
		for _, st := range got {
			c.Session.Acked(context.Background(), st)
			if st.ID == "self" {
				continue
			}
			if want := fmt.Sprint(next[st.From]); st.ID != want {
				t.Errorf("%s: got %s, want %s", st.From, st.ID, want)
				continue
			}
			next[st.From]++
		}
		c.Leave()
	}
	for range 10 {
		drain()
	}
	wg.Wait()
	drain()
	for from, n := range next {
		if n != each {
			t.Errorf("%s: %d of %d arrived", from, n, each)
		}
	}
	if len(next) != senders {
		t.Errorf("heard %d senders", len(next))
	}
}

func TestQuota(t *testing.T) {
	for name, conf := range map[string]Config{"messages": {Messages: 3}, "bytes": {Bytes: 3 * 120}} {
		store := routertest.NewStore()
		h := open(t, store, conf)
		alice := h.login("alice", "desk", false, online)
		for i := range 10 {
			chat(alice, fmt.Sprint(i))
		}
		refused := len(alice.All())
		if store.Len()+refused != 10 || store.Len() < 2 || store.Len() > 3 {
			t.Fatalf("%s: %d stored, %d refused", name, store.Len(), refused)
		}
		e, _ := stanza.ErrorOf(alice.All()[0])
		if e == nil || e.Condition != stanza.ServiceUnavailable || !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%s: refused with %v", name, e)
		}
		// The bound holds after a restart, and room made is room to use.
		h = open(t, store, conf)
		alice = h.login("alice", "desk", false, online)
		if chat(alice, "more"); len(alice.All()) != 1 {
			t.Errorf("%s: forgotten after a restart", name)
		}
		b := h.login("bob", "phone", true, online)
		ack(b, 1)
		b.Leave()
		if chat(alice, "more"); len(alice.All()) != 1 {
			t.Errorf("%s: still full", name)
		}
	}
}

// TestAcknowledgementWaitsForTheDisk: XEP-0198 of the sender, and a failure.
func TestAcknowledgementWaitsForTheDisk(t *testing.T) {
	store := routertest.NewStore()
	store.Hold()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", true, online)
	chat(alice, "one")
	if alice.Holds() != 1 {
		t.Fatalf("%d holds before the commit", alice.Holds())
	}
	store.Settle()
	if alice.Holds() != 0 {
		t.Fatalf("%d holds after it", alice.Holds())
	}

	for _, hold := range []bool{true, false} { // told later, and at once
		store.Fail(errors.New("disk full"))
		if !hold {
			store.Release()
		}
		chat(alice, "two")
		store.Settle()
		got := alice.All()
		e, ok := stanza.ErrorOf(got[len(got)-1])
		if !ok || e.Condition != stanza.InternalServerError || alice.Holds() != 0 {
			t.Fatalf("got %v, %d holds", got, alice.Holds())
		}
	}
	store.Fail(nil)
	b := h.login("bob", "phone", true, online)
	if bodies(b) != "one" {
		t.Errorf("bob got %q", bodies(b))
	}
}

// TestFailureToOneself: the error comes back to the account whose mailbox
// fails, in the same goroutine.
func TestFailureToOneself(t *testing.T) {
	store := routertest.NewStore()
	store.Fail(errors.New("disk full"))
	h := open(t, store, Config{})
	bob := h.login("bob", "bot", false, "<presence><priority>-1</priority></presence>")
	bob.OnSend = func(*stanza.Stanza) { h.m.peek(bob.Session.JID().Bare()).waiting() } // needs the mailbox's lock
	chat(bob, "note")
	if len(bob.All()) != 1 {
		t.Errorf("got %v", bob.All())
	}
}

// TestLongReplays go in bursts that a stream's queue can hold.
func TestLongReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		h := open(t, store, Config{})
		defer h.Go(h.m.Run)()
		alice := h.login("alice", "desk", false, online)
		const n = 100
		text := strings.Repeat("x", 10_000)
		for i := range n {
			alice.Say(fmt.Sprintf("<message id='%d' to='bob@office.example'><body>%s</body></message>", i, text))
		}
		check := func(what string, c *routertest.Client, from, to int) {
			t.Helper()
			got := c.All()
			if len(got) < from || len(got) > to {
				t.Fatalf("%s: got %d", what, len(got))
			}
			for i, st := range got {
				if st.ID != fmt.Sprint(i) {
					t.Fatalf("%s: %d has id %s", what, i, st.ID)
				}
			}
		}
		c := h.login("bob", "phone", true, online)
		check("first burst", c, 20, 30)
		chat(alice, "100")
		for acked := 0; acked < n; acked++ {
			c.Session.Acked(context.Background(), c.All()[acked])
			check("with acknowledgements", c, acked+1, acked+32)
		}
		check("at the end", c, n+1, n+1)
		c.Leave()

		for i := range n {
			alice.Say(fmt.Sprintf("<message id='%d' to='carol@office.example'><body>%s</body></message>", i, text))
		}
		c = h.login("carol", "phone", false, online)
		check("first burst", c, 20, 30)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		check("second burst", c, 45, 60)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		check("at the end", c, n, n)
	})
}

func TestStreamThatOverflowsDuringReplay(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	for i := range 10 {
		chat(alice, fmt.Sprint(i))
	}
	c := h.login("bob", "phone", true, "")
	c.OnSend = func(st *stanza.Stanza) {
		if st.ID == "4" {
			c.Session.Unbind(context.Background(), c.All())
		}
	}
	c.Say(online)
	if store.Len() != 10 {
		t.Fatalf("%d rows", store.Len())
	}
	c = h.login("bob", "desk", true, online)
	if got := bodies(c); got != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("got %s", got)
	}
}

func TestUnreadableRowsAreLeftAlone(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	chat(alice, "one")
	store.Put("offline", "bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x00", `{"v":9}`)
	store.Put("offline", "bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x01z", `{"v":1,"xml":"<message"}`)
	store.Put("offline", "bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x01y", `nonsense`)
	h = open(t, store, Config{})
	c := h.login("bob", "phone", true, online)
	if bodies(c) != "one" {
		t.Errorf("got %q", bodies(c))
	}
	ack(c, 1)
	if store.Len() != 3 || !strings.Contains(h.Log.String(), "unreadable") {
		t.Errorf("%d rows, log %s", store.Len(), h.Log)
	}
}

func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		h := open(t, store, Config{})
		defer h.Go(h.m.Run)()
		alice := h.login("alice", "desk", false, online)
		chat(alice, "one")
		h = open(t, store, Config{})
		defer h.Go(h.m.Run)()
		alice = h.login("alice", "desk", false, online)
		store.Break(errors.New("bad sector"))
		chat(alice, "two")
		if e, ok := stanza.ErrorOf(alice.All()[0]); !ok || e.Condition != stanza.InternalServerError {
			t.Errorf("got %v", alice.All())
		}
		b := h.login("bob", "phone", true, online)
		if p, _ := b.Session.Presence(); p == nil || len(b.All()) != 0 {
			t.Fatal("bob cannot get online")
		}
		store.Break(nil)
		b.Say("<presence><show>away</show></presence>")
		if bodies(b) != "one" {
			t.Errorf("got %q", bodies(b))
		}
	})
}

func TestPurge(t *testing.T) {
	store := routertest.NewStore()
	h := open(t, store, Config{})
	alice := h.login("alice", "desk", false, online)
	for i := range 250 {
		chat(alice, fmt.Sprint(i))
	}
	alice.Say("<message to='carol@office.example'><body>stays</body></message>")
	if err := h.m.Purge(jid.MustParse("bob@" + home)); err != nil {
		t.Fatal(err)
	}
	if store.Len() != 1 {
		t.Fatalf("%d rows are left", store.Len())
	}
	if err := h.m.Purge(jid.MustParse("bob@" + home)); err != nil {
		t.Fatal(err)
	}
	chat(alice, "new")
	c := h.login("bob", "phone", true, online)
	if bodies(c) != "new" {
		t.Errorf("got %q", bodies(c))
	}
}

// BenchmarkOfflinePut stores a chat message of 300 bytes in a mailbox, on a
// table in memory.
func BenchmarkOfflinePut(b *testing.B) {
	store := routertest.NewStore()
	h := open(b, store, Config{Messages: 1 << 30, Bytes: 1 << 40})
	s := h.login("alice", "desk", true, online)
	st := routertest.Parse(b, "<message type='chat' id='m' to='bob@office.example'><body>"+strings.Repeat("x", 200)+"</body></message>")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Session.Handle(ctx, st); err != nil {
			b.Fatal(err)
		}
	}
}
