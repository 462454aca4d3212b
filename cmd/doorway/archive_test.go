package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/store"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/mam"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
)

// archiveHouse is the real router, archive and store, without a network.
type archiveHouse struct {
	*routertest.House
	store   *store.Store
	archive *archive.Archive
}

func openArchive(t testing.TB) *archiveHouse {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // waited for in Cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &archiveHouse{store: s, archive: archive.New(archive.Config{})}
	accounts := routertest.Accounts{}
	for i := range 50 {
		accounts[fmt.Sprintf("sender%d", i)], accounts[fmt.Sprintf("reader%d", i)] = true, true
	}
	h.House = routertest.Open(t, router.Config{Store: lender{s}, Accounts: accounts}, routertest.Available(), mam.New(mam.Config{Archive: h.archive}))
	return h
}

// ackStream is a stream that tells when its client may be acknowledged to.
type ackStream struct {
	routertest.Stream
	acked chan struct{}
}

func (s *ackStream) Hold() (release func(error)) { return func(error) { s.acked <- struct{}{} } }

// sender is one of the concurrent clients, with somebody who gets its messages.
type sender struct {
	stream  *ackStream
	session *router.Session
	xml     *stanza.Stanza
	arrived chan struct{}
}

func (h *archiveHouse) senders(t testing.TB, n int) []*sender {
	t.Helper()
	list := make([]*sender, n)
	for i := range list {
		s := &sender{stream: &ackStream{acked: make(chan struct{}, 8)}, arrived: make(chan struct{}, 8)}
		s.stream.Quiet = true
		var err error
		if s.session, err = h.Router.Bind(t.Context(), jid.MustParse(fmt.Sprintf("sender%d@%s", i, routertest.Domain)), "desk", s.stream); err != nil {
			t.Fatal(err)
		}
		h.Bind(fmt.Sprintf("reader%d@%s/desk", i, routertest.Domain), &routertest.Stream{OnSend: func(*stanza.Stanza) { s.arrived <- struct{}{} }}, "<presence/>")
		s.xml = routertest.Parse(t, fmt.Sprintf("<message type='chat' id='5f1b7e0a-9d0c-4f2c-8a1e-77aa0d1c9f10' to='reader%d@%s'><body>%s</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>", i, routertest.Domain, strings.Repeat("Noon? ", 20)))
		list[i] = s
	}
	return list
}

// say sends one message, waits for its acknowledgement and returns how long
// the message took.
func (s *sender) say(t testing.TB) (there time.Duration) {
	start := time.Now()
	if err := s.session.Handle(context.Background(), s.xml); err != nil {
		t.Error(err)
	}
	<-s.arrived
	there = time.Since(start)
	<-s.stream.acked
	return there
}

// TestArchiveSharesCommits: 50 who write at the same time share the waiting
// for the disk. The clock stands still while anybody works, so that the linger
// of the archive means the same on every machine. That messages do not wait for
// the disk is shown in mod/mam.
func TestArchiveSharesCommits(t *testing.T) { synctest.Test(t, sharesCommits) }

func sharesCommits(t *testing.T) {
	h := openArchive(t)
	senders := h.senders(t, 50)
	senders[0].say(t)
	const said = 10
	before := h.store.Stats().Commits
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() {
			for range said {
				s.say(t)
			}
		})
	}
	wg.Wait()
	commits := h.store.Stats().Commits - before
	messages := uint64(len(senders) * said)
	t.Logf("%d messages in %d commits", messages, commits)
	if messages < 20*commits {
		t.Errorf("%d messages took %d commits", messages, commits)
	}
	for i := range senders {
		for _, who := range []string{"sender", "reader"} {
			owner := jid.MustParse(fmt.Sprintf("%s%d@%s", who, i, routertest.Domain))
			p, err := h.archive.Page(owner, archive.Query{Page: rsm.Request{Max: 0}})
			want := said
			if i == 0 {
				want++
			}
			if err != nil || p.Result.Count != want {
				t.Errorf("%s has %d messages, %v", owner, p.Result.Count, err)
			}
		}
	}
}

// BenchmarkArchivePut50: fifty clients that write and wait for their
// acknowledgements. Budget: 20 messages for each fsync.
func BenchmarkArchivePut50(b *testing.B) {
	h := openArchive(b)
	senders := h.senders(b, 50)
	before := h.store.Stats().Commits
	var delay time.Duration
	var mu sync.Mutex // guards delay
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, s := range senders {
		wg.Go(func() {
			var sum time.Duration
			for n := i; n < b.N; n += len(senders) {
				sum += s.say(b)
			}
			mu.Lock()
			delay += sum
			mu.Unlock()
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(max(1, h.store.Stats().Commits-before)), "messages/fsync")
	b.ReportMetric(float64(delay.Microseconds())/float64(b.N), "µs-delivery")
}

// BenchmarkPage50of10000: the last page, one from the middle and one of a
// contact. Budget: 5 ms.
func BenchmarkPage50of10000(b *testing.B) {
	h := openArchive(b)
	owner := jid.MustParse("sender0@" + routertest.Domain)
	var contacts []jid.JID
	for i := range 50 {
		contacts = append(contacts, jid.MustParse(fmt.Sprintf("reader%d@%s/desk", i, routertest.Domain)))
	}
	var middle archive.ID
	var wg sync.WaitGroup
	for i := range 10_000 {
		c := contacts[i%len(contacts)]
		st := routertest.Parse(b, fmt.Sprintf("<message type='chat' id='m%d' from='%s/desk' to='%s'><body>%s</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>", i, owner, c, strings.Repeat("Noon? ", 30)))
		wg.Add(1)
		id := h.archive.Put(st, func(err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		}, archive.Owner{JID: owner, With: c}, archive.Owner{JID: c.Bare(), With: owner})
		if i == 5000 {
			middle = id
		}
	}
	wg.Wait()
	for name, q := range map[string]archive.Query{
		"last":    {Page: rsm.Request{Max: 50, Backward: true}},
		"middle":  {Page: rsm.Request{Max: 50, After: middle.String()}},
		"since":   {Start: middle.Time(), Page: rsm.Request{Max: 50}},
		"contact": {With: contacts[7].Bare(), Page: rsm.Request{Max: 50, Backward: true}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sent := 0
				fin, err := h.archive.AnswerQuery(q, owner, owner, nil, func(*stanza.Stanza) { sent++ })
				if err != nil || sent != 50 || fin == "" {
					b.Fatalf("%d results, %v", sent, err)
				}
			}
		})
	}
}

// checkArchive reads alice's archive page by page and holds it against what
// was acknowledged to her: nothing is missing, nothing is there twice.
func checkArchive(t *testing.T, s *smsBox, ca string, acked []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	alice := dialClient(t, s.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
	defer alice.Close()
	bodies := map[string]string{} // by id
	after, pages := "", 0
	for complete := false; !complete; pages++ {
		page := "<max>50</max>"
		if after != "" {
			page += "<after>" + after + "</after>"
		}
		id := fmt.Sprint("page", pages)
		if err := alice.Send("<iq type='set' id='" + id + "'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>" + page + "</set></query></iq>"); err != nil {
			t.Fatal(err)
		}
		fin, err := alice.Expect(ctx, func(st *stanza.Stanza) bool {
			if e, ok := st.Child(archive.Space, "result"); ok {
				if f := e.Child("urn:xmpp:forward:0", "forwarded"); f != nil {
					bodies[e.Attr("id")] = f.Child("jabber:client", "message").ChildText("", "body")
				}
			}
			return st.Kind == stanza.IQ && st.ID == id
		})
		if err != nil {
			t.Fatal(err)
		}
		el, _ := fin.Child(archive.Space, "fin")
		complete = el.Attr("complete") == "true"
		if set := el.Child(rsm.Space, "set"); set != nil {
			after = set.ChildText("", "last")
		}
		if after == "" {
			t.Fatalf("a page says %s", fin)
		}
	}
	times := map[string]int{}
	for _, body := range bodies {
		times[body]++
	}
	lost := 0
	for _, text := range acked {
		if times[text] != 1 {
			lost++
			t.Errorf("%s is in the archive %d times", text, times[text])
		}
	}
	t.Logf("%d messages in %d pages of the archive, %d wrong", len(bodies), pages, lost)
}

// TestPagesInARow: who asks for many large pages before reading the first gets
// them all; they do not overrun the queue of the stream.
func TestPagesInARow(t *testing.T) {
	b := startBox(t, "")
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := dialClient(t, b.addr(t, "XMPP"), filepath.Join(b.dir, "ca", "ca.pem"), "office.localhost", "alice", "correct horse")
	defer c.Close()
	const room, said, asked = "hall@conference.office.localhost", 6, 100 // each time 100 KiB, 10 MiB together
	if err := c.Send("<presence to='" + room + "/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 16<<10)
	for range said {
		if err := c.Send("<message type='groupchat' to='" + room + "'><body>" + text + "</body></message><message type='chat' to='alice@office.localhost/nobody'><body>" + text + "</body></message>"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range asked {
		to := ""
		if i%2 == 0 {
			to = " to='" + room + "'"
		}
		if err := c.Send(fmt.Sprintf("<iq type='set' id='q%d'%s><query xmlns='urn:xmpp:mam:2' queryid='q%d'/></iq>", i, to, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range asked {
		id := fmt.Sprint("q", i)
		if _, err := c.Expect(ctx, func(st *stanza.Stanza) bool { return st.Kind == stanza.IQ && st.ID == id }); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Settle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]int{}
	for _, st := range got {
		if e, ok := st.Child(archive.Space, "result"); ok {
			results[e.Attr("queryid")]++
		}
	}
	for i := range asked {
		if id := fmt.Sprint("q", i); results[id] != said {
			t.Errorf("%d results of %s", results[id], id)
		}
	}
}
