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
		table := newMemory()
		h := open(t, table, Config{})
		alice, c := h.login("alice", "desk", false, online)
		h.login("bob", "bot", false, "<presence><priority>-1</priority></presence>")
		typ := ""
		if x.typ != "" {
			typ = " type='" + x.typ + "'"
		}
		h.handle(alice, "<message"+typ+" to='bob@office.example'>"+x.inner+"</message>")
		got := ""
		if table.count() > 0 {
			got = stored
		}
		for _, st := range c.all() {
			if e, ok := stanza.ErrorOf(st); ok {
				got += string(e.Condition)
			}
		}
		if got != x.want {
			t.Errorf("%s %s: %q, want %q", x.typ, x.inner, got, x.want)
		}
	}
	if !slices.Contains(open(t, newMemory(), Config{}).r.Features(xmpp.ToHost), "msgoffline") {
		t.Error("not advertised")
	}
}

// TestReplay: a restart between; in order, stamped, erased on acknowledgement.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		h := open(t, table, Config{})
		alice, _ := h.login("alice", "desk", false, online)
		carol, _ := h.login("carol", "desk", false, online)
		for i := range 5 {
			h.chat(alice, fmt.Sprint("a", i))
			h.chat(carol, fmt.Sprint("c", i))
			time.Sleep(time.Second) // the bubble's clock
		}

		h = open(t, table, Config{})
		_, bot := h.login("bob", "bot", true, "<presence><priority>-1</priority></presence>")
		s, c := h.login("bob", "phone", true, "")
		if len(c.all())+len(bot.all()) != 0 {
			t.Fatal("replayed to a resource that takes no messages")
		}
		h.handle(s, online)
		if got := c.bodies(); got != "a0 c0 a1 c1 a2 c2 a3 c3 a4 c4" {
			t.Fatalf("got %s", got)
		}
		for i, st := range c.all() {
			d, ok := st.Child("urn:xmpp:delay", "delay")
			want := time.Date(2000, 1, 1, 0, 0, i/2, 0, time.UTC).Format(time.RFC3339)
			if !ok || d.Attr("from") != home || d.Attr("stamp") != want {
				t.Errorf("%d has no delay or a wrong one: %v", i, st)
			}
			if st.To.String() != "bob@office.example" || st.From.Local() == "" || st.Type != "chat" {
				t.Errorf("header changed: %v", st)
			}
		}
		if table.count() != 10 {
			t.Fatalf("%d rows before any acknowledgement", table.count())
		}
		h.ack(s, c, 4)
		if table.count() != 6 {
			t.Errorf("%d rows after four acknowledgements", table.count())
		}
		h.handle(s, "<presence><show>away</show></presence>")
		if len(c.all()) != 10 {
			t.Error("replayed twice to one session")
		}

		// The server dies: the six come again, nothing is lost.
		h = open(t, table, Config{})
		s, c = h.login("bob", "phone", true, online)
		if got := c.bodies(); got != "a2 c2 a3 c3 a4 c4" {
			t.Errorf("got %s", got)
		}
		h.ack(s, c, 6)
		if table.count() != 0 || len(h.m.boxes) != 0 {
			t.Errorf("%d rows, %d mailboxes are left", table.count(), len(h.m.boxes))
		}
	})
}

// TestWithoutAcknowledgements: erased 60 s after the flush, not before.
func TestWithoutAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		h := open(t, table, Config{})
		stop := h.run()
		defer stop()
		alice, _ := h.login("alice", "desk", false, online)
		h.chat(alice, "one")
		h.chat(alice, "two")
		s, c := h.login("bob", "phone", false, online)
		if c.bodies() != "one two" {
			t.Fatalf("got %s", c.bodies())
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if table.count() != 2 {
			t.Fatalf("%d rows after 59 s", table.count())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if table.count() != 0 {
			t.Fatalf("%d rows after 61 s", table.count())
		}

		// A stream that ends within the minute has not got them for certain.
		s.Unbind(context.Background(), nil)
		h.chat(alice, "three")
		s, _ = h.login("bob", "phone", false, online)
		time.Sleep(30 * time.Second)
		s.Unbind(context.Background(), nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		_, c = h.login("bob", "phone", false, online)
		if c.bodies() != "three" {
			t.Errorf("got %q", c.bodies())
		}
	})
}

// run starts the module's Run; stop ends it and waits.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.m.Run(ctx); err != nil {
			h.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func TestTwoResourcesAtOnce(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	for i := range 20 {
		h.chat(alice, fmt.Sprint(i))
	}
	one, c1 := h.login("bob", "one", true, "")
	two, c2 := h.login("bob", "two", true, "")
	var wg sync.WaitGroup
	wg.Go(func() { h.handle(one, online) })
	wg.Go(func() { h.handle(two, online) })
	wg.Wait()
	if n1, n2 := len(c1.all()), len(c2.all()); n1+n2 != 20 || n1*n2 != 0 {
		t.Fatalf("one got %d, two %d", n1, n2)
	}
	first, other := one, c2
	got := c1.all()
	if len(got) == 0 {
		first, other, got = two, c1, c2.all()
	}

	// It dies after it acknowledged five. c2s gives the rest back, which must
	// not become a second copy: the rows go to the other one, once.
	for _, st := range got[:5] {
		first.Acked(context.Background(), st)
	}
	first.Unbind(context.Background(), got[5:])
	if n := len(other.all()); n != 15 {
		t.Fatalf("the other one got %d: %s", n, other.bodies())
	}
	if other.all()[0].ID != "5" || other.all()[14].ID != "19" {
		t.Errorf("out of order: %s", other.bodies())
	}
	if table.count() != 15 {
		t.Errorf("%d rows", table.count())
	}
}

// TestGivenBackIsNotStoredTwice: as above, with nobody else there.
func TestGivenBackIsNotStoredTwice(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	h.chat(alice, "one")
	s, c := h.login("bob", "phone", true, online)
	h.chat(alice, "live")
	unacked := c.all()
	s.Unbind(context.Background(), unacked)
	if table.count() != 2 {
		t.Fatalf("%d rows", table.count())
	}
	s, c = h.login("bob", "phone", true, online)
	if c.bodies() != "one live" {
		t.Errorf("got %s", c.bodies())
	}
	for _, st := range c.all() {
		if n := strings.Count(st.Inner(), "<delay"); n != 1 {
			t.Errorf("%d delay stamps: %v", n, st)
		}
	}
	h.ack(s, c, 2)
	if table.count() != 0 {
		t.Errorf("%d rows are left", table.count())
	}
}

// TestNothingOvertakes: live messages during a replay come after the stored
// ones of the same sender (RFC 6120 §10.1).
func TestNothingOvertakes(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	for i := range 10 {
		h.chat(alice, fmt.Sprint(i))
	}
	s, c := h.login("bob", "phone", true, "")
	sent := false
	c.onSend = func(st *stanza.Stanza) {
		if st.ID == "3" && !sent { // another reader's turn, in the middle of the replay
			sent = true
			h.chat(alice, "10")
		}
	}
	h.handle(s, online)
	if got := c.bodies(); got != "0 1 2 3 4 5 6 7 8 9 10" {
		t.Fatalf("got %s", got)
	}
	h.chat(alice, "11")
	if got := c.bodies(); !strings.HasSuffix(got, " 10 11") {
		t.Errorf("got %s", got)
	}
	if table.count() != 11 {
		t.Errorf("%d rows: a live message was stored, or a stored one lost", table.count())
	}
}

// TestComingOnlineAmongSenders: eight people write while bob comes and goes;
// each one's messages reach him in order and at least once.
func TestComingOnlineAmongSenders(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	const senders, each = 8, 60
	var wg sync.WaitGroup
	for i := range senders {
		s, _ := h.login([]string{"alice", "carol"}[i%2], fmt.Sprint("r", i), false, online)
		wg.Go(func() {
			for n := range each {
				st := stanza.New(stanza.Message, "chat", fmt.Sprint(n), jid.JID{}, jid.MustParse("bob@"+home), "<body>x</body>")
				if err := s.Handle(context.Background(), st); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := map[jid.JID]int{}
	drain := func() {
		s, c := h.login("bob", "phone", true, online)
		h.chat(s, "self")
		got := c.end(func(st *stanza.Stanza) { s.Unbind(context.Background(), []*stanza.Stanza{st}) })
		for _, st := range got {
			s.Acked(context.Background(), st)
			if st.ID == "self" {
				continue
			}
			if want := fmt.Sprint(next[st.From]); st.ID != want {
				t.Errorf("%s: got %s, want %s", st.From, st.ID, want)
				continue
			}
			next[st.From]++
		}
		s.Unbind(context.Background(), nil)
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
		table := newMemory()
		h := open(t, table, conf)
		alice, c := h.login("alice", "desk", false, online)
		for i := range 10 {
			h.chat(alice, fmt.Sprint(i))
		}
		refused := len(c.all())
		if table.count()+refused != 10 || table.count() < 2 || table.count() > 3 {
			t.Fatalf("%s: %d stored, %d refused", name, table.count(), refused)
		}
		e, _ := stanza.ErrorOf(c.all()[0])
		if e == nil || e.Condition != stanza.ServiceUnavailable || !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%s: refused with %v", name, e)
		}
		// The bound holds after a restart, and room made is room to use.
		h = open(t, table, conf)
		alice, c = h.login("alice", "desk", false, online)
		if h.chat(alice, "more"); len(c.all()) != 1 {
			t.Errorf("%s: forgotten after a restart", name)
		}
		s, b := h.login("bob", "phone", true, online)
		h.ack(s, b, 1)
		s.Unbind(context.Background(), nil)
		if h.chat(alice, "more"); len(c.all()) != 1 {
			t.Errorf("%s: still full", name)
		}
	}
}

// TestAcknowledgementWaitsForTheDisk: XEP-0198 of the sender, and a failure.
func TestAcknowledgementWaitsForTheDisk(t *testing.T) {
	table := newMemory()
	table.hold = true
	h := open(t, table, Config{})
	alice, c := h.login("alice", "desk", true, online)
	h.chat(alice, "one")
	if c.held() != 1 {
		t.Fatalf("%d holds before the commit", c.held())
	}
	table.settle()
	if c.held() != 0 {
		t.Fatalf("%d holds after it", c.held())
	}

	for _, hold := range []bool{true, false} { // told later, and at once
		table.set(func(m *memory) { m.fail, m.hold = errors.New("disk full"), hold })
		h.chat(alice, "two")
		table.settle()
		got := c.all()
		e, ok := stanza.ErrorOf(got[len(got)-1])
		if !ok || e.Condition != stanza.InternalServerError || c.held() != 0 {
			t.Fatalf("got %v, %d holds", got, c.held())
		}
	}
	table.set(func(m *memory) { m.fail, m.hold = nil, false })
	_, b := h.login("bob", "phone", true, online)
	if b.bodies() != "one" {
		t.Errorf("bob got %q", b.bodies())
	}
}

// TestFailureToOneself: the error comes back to the account whose mailbox
// fails, in the same goroutine.
func TestFailureToOneself(t *testing.T) {
	table := newMemory()
	table.fail = errors.New("disk full")
	h := open(t, table, Config{})
	bob, c := h.login("bob", "bot", false, "<presence><priority>-1</priority></presence>")
	c.onSend = func(*stanza.Stanza) { h.m.peek(bob.JID().Bare()).waiting() } // needs the mailbox's lock
	h.chat(bob, "note")
	if len(c.all()) != 1 {
		t.Errorf("got %v", c.all())
	}
}

// TestLongReplays go in bursts that a stream's queue can hold.
func TestLongReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		h := open(t, table, Config{})
		defer h.run()()
		alice, _ := h.login("alice", "desk", false, online)
		const n = 100
		text := strings.Repeat("x", 10_000)
		for i := range n {
			h.handle(alice, fmt.Sprintf("<message id='%d' to='bob@office.example'><body>%s</body></message>", i, text))
		}
		check := func(what string, c *client, from, to int) {
			t.Helper()
			got := c.all()
			if len(got) < from || len(got) > to {
				t.Fatalf("%s: got %d", what, len(got))
			}
			for i, st := range got {
				if st.ID != fmt.Sprint(i) {
					t.Fatalf("%s: %d has id %s", what, i, st.ID)
				}
			}
		}
		s, c := h.login("bob", "phone", true, online)
		check("first burst", c, 20, 30)
		h.chat(alice, "100")
		for acked := 0; acked < n; acked++ {
			s.Acked(context.Background(), c.all()[acked])
			check("with acknowledgements", c, acked+1, acked+32)
		}
		check("at the end", c, n+1, n+1)
		s.Unbind(context.Background(), nil)

		for i := range n {
			h.handle(alice, fmt.Sprintf("<message id='%d' to='carol@office.example'><body>%s</body></message>", i, text))
		}
		_, c = h.login("carol", "phone", false, online)
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
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	for i := range 10 {
		h.chat(alice, fmt.Sprint(i))
	}
	s, c := h.login("bob", "phone", true, "")
	c.onSend = func(st *stanza.Stanza) {
		if st.ID == "4" {
			s.Unbind(context.Background(), c.all())
		}
	}
	h.handle(s, online)
	if table.count() != 10 {
		t.Fatalf("%d rows", table.count())
	}
	_, c = h.login("bob", "desk", true, online)
	if got := c.bodies(); got != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("got %s", got)
	}
}

func TestUnreadableRowsAreLeftAlone(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	h.chat(alice, "one")
	table.rows["bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x00"] = []byte(`{"v":9}`)
	table.rows["bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x01z"] = []byte(`{"v":1,"xml":"<message"}`)
	table.rows["bob@office.example\x00\x00\x00\x00\x00\x00\x00\x00\x01y"] = []byte(`nonsense`)
	h = open(t, table, Config{})
	s, c := h.login("bob", "phone", true, online)
	if c.bodies() != "one" {
		t.Errorf("got %q", c.bodies())
	}
	h.ack(s, c, 1)
	if table.count() != 3 || !strings.Contains(h.log.String(), "unreadable") {
		t.Errorf("%d rows, log %s", table.count(), h.log)
	}
}

func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		h := open(t, table, Config{})
		defer h.run()()
		alice, _ := h.login("alice", "desk", false, online)
		h.chat(alice, "one")
		h = open(t, table, Config{})
		defer h.run()()
		alice, c := h.login("alice", "desk", false, online)
		table.set(func(m *memory) { m.broken = errors.New("bad sector") })
		h.chat(alice, "two")
		if e, ok := stanza.ErrorOf(c.all()[0]); !ok || e.Condition != stanza.InternalServerError {
			t.Errorf("got %v", c.all())
		}
		s, b := h.login("bob", "phone", true, online)
		if p, _ := s.Presence(); p == nil || len(b.all()) != 0 {
			t.Fatal("bob cannot get online")
		}
		table.set(func(m *memory) { m.broken = nil })
		h.handle(s, "<presence><show>away</show></presence>")
		if b.bodies() != "one" {
			t.Errorf("got %q", b.bodies())
		}
	})
}

func TestPurge(t *testing.T) {
	table := newMemory()
	h := open(t, table, Config{})
	alice, _ := h.login("alice", "desk", false, online)
	for i := range 250 {
		h.chat(alice, fmt.Sprint(i))
	}
	h.handle(alice, "<message to='carol@office.example'><body>stays</body></message>")
	if err := h.m.Purge(jid.MustParse("bob@" + home)); err != nil {
		t.Fatal(err)
	}
	if table.count() != 1 {
		t.Fatalf("%d rows are left", table.count())
	}
	if err := h.m.Purge(jid.MustParse("bob@" + home)); err != nil {
		t.Fatal(err)
	}
	h.chat(alice, "new")
	_, c := h.login("bob", "phone", true, online)
	if c.bodies() != "new" {
		t.Errorf("got %q", c.bodies())
	}
}

// BenchmarkOfflinePut stores a chat message of 300 bytes in a mailbox, on a
// table in memory.
func BenchmarkOfflinePut(b *testing.B) {
	table := newMemory()
	t := &testing.T{}
	h := open(t, table, Config{Messages: 1 << 30, Bytes: 1 << 40})
	s, _ := h.login("alice", "desk", true, online)
	st, err := stanza.Parse("<message type='chat' id='m' to='bob@office.example'><body>" + strings.Repeat("x", 200) + "</body></message>")
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Handle(ctx, st); err != nil {
			b.Fatal(err)
		}
	}
}
