package c2s

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// TestClientThatNeverReads: the queue is bounded, the stream ends, what was
// not delivered goes back, and nobody else notices.
func TestClientThatNeverReads(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			j := &journal{}
			h := open(t, []xmpp.Module{j}, loopback, limits(func(l *Limits) { l.StanzaRate, l.ByteRate = -1, -1 }))
			login := h.login
			if secure {
				login = h.loginTLS
			}
			deaf, alice, bob := login("carol", "deaf"), login("alice", "desk"), login("bob", "desk")
			before := heap()
			body := strings.Repeat("x", 10<<10)
			const count = 2000 // 20 MB, more than the kernel and the queue hold
			went := make(chan struct{})
			go func() {
				defer close(went)
				for i := range count {
					alice.send("<message type='chat' id='%d' to='%s'><body>%s</body></message>", i, deaf.full, body)
				}
			}()
			for i := range 50 { // alice's reader works all the while; bob has his own
				bob.send("<iq type='get' id='%d'><x xmlns='urn:example:x'/></iq>", i)
				bob.expect("<service-unavailable")
			}
			<-went
			h.chat(alice, bob, "after the flood") // alice was never held up
			eventually(t, "the deaf client is still connected", func() bool { return h.srv.Connections() == 2 })
			if grown := int64(heap()) - int64(before); grown > 6<<20 {
				t.Errorf("%d KiB are still held", grown>>10)
			}
			n, _ := deaf.drain()
			j.mu.Lock()
			defer j.mu.Unlock()
			if back := len(j.offline); n/len(body)+back < count-1 {
				t.Errorf("of %d messages the kernel took %d, and %d came back", count, n/len(body), back)
			}
		})
	}
}

// TestSlowReaderGetsEverything reads after a pause: what the socket did not
// take at once follows, in order.
func TestSlowReaderGetsEverything(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h := open(t, nil, loopback, limits(func(l *Limits) { l.StanzaRate, l.ByteRate, l.Queue = -1, -1, 64<<20 }))
		login := h.login
		if secure {
			login = h.loginTLS
		}
		slow, alice := login("carol", "slow"), login("alice", "desk")
		body := strings.Repeat("x", 100<<10)
		const count = 200
		for i := range count {
			alice.send("<message id='%d' to='%s'><body>%s</body></message>", i, slow.full, body)
		}
		alice.send("<iq type='get' id='x'><x xmlns='urn:example:x'/></iq>")
		alice.expect("<service-unavailable") // all of it has been handled
		for i := range count {
			slow.expect(fmt.Sprintf("id='%d'", i))
		}
		h.chat(alice, slow, "in time again")
	}
}

func TestStalledWriteEnds(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) {
		l.StanzaRate, l.ByteRate, l.Queue, l.Stall = -1, -1, 64<<20, 200*time.Millisecond
	}))
	h.login("carol", "deaf")
	alice := h.login("alice", "desk")
	for range 200 {
		alice.send("<message to='carol@%s/deaf'><body>%s</body></message>", home, strings.Repeat("x", 100<<10))
	}
	eventually(t, "the stalled client is still connected", func() bool { return h.srv.Connections() == 1 })
}

// TestManyWriters: many clients write to one at once, in order for each.
func TestManyWriters(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.StanzaRate, l.ByteRate, l.Queue = -1, -1, 64<<20 }))
	hub := h.loginTLS("carol", "hub")
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		p := h.login(fmt.Sprintf("user%d", w), "x")
		wg.Go(func() {
			for i := range each {
				p.send("<message id='%d.%d' to='%s'><body>x</body></message>", w, i, hub.full)
			}
		})
	}
	next := [writers]int{}
	for range writers * each {
		s := hub.next()
		_, s, _ = strings.Cut(s, "id='")
		var w, i int
		if _, err := fmt.Sscanf(s, "%d.%d'", &w, &i); err != nil {
			t.Fatal(s, err)
		}
		if i != next[w] {
			t.Fatalf("writer %d: %d instead of %d", w, i, next[w])
		}
		next[w]++
	}
	wg.Wait()
}

// TestSendsWithoutABatch come from elsewhere than a reader.
func TestSendsWithoutABatch(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.loginTLS("alice", "desk")
	s := h.router.Sessions(parse(t, "alice@"+home))[0]
	for i := range 100 {
		s.Send(t.Context(), stanza.New(stanza.Message, "", fmt.Sprint(i), parse(t, home), s.JID(), "<body>x</body>"))
	}
	for i := range 100 {
		p.expect(fmt.Sprintf("id='%d'", i))
	}
	s.Close(&stanza.StreamError{Condition: "reset"})
	p.expectEnd("reset")
	// After the end it goes back and is not written.
	s.Send(t.Context(), stanza.New(stanza.Message, "", "x", parse(t, home), s.JID(), "<body>x</body>"))
}

// TestOneRecordAtATime: however the bytes arrive, TLS above the socket works,
// and its buffer holds no more than the largest record.
func TestOneRecordAtATime(t *testing.T) {
	cert, roots := selfSigned(t)
	for _, piece := range []int{1, 2, 3, 5, 7, 100, 1 << 20} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 5<<10)
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			tc := tls.Client(&choppy{c, piece}, &tls.Config{RootCAs: roots, ServerName: home})
			if _, err := tc.Write(want); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, tc); err != nil {
				t.Error(err)
			}
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := newSock(c)
		s.records = true
		s.hold(true)
		watch := &largest{Conn: s}
		tc := tls.Server(watch, &tls.Config{Certificates: []tls.Certificate{cert}})
		got := make([]byte, len(want))
		if _, err := io.ReadFull(tc, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("pieces of %d: %v", piece, err)
		}
		if watch.n > 5+16384+256 {
			t.Errorf("pieces of %d: %d bytes out of one Read", piece, watch.n)
		}
		if s.in != nil {
			t.Errorf("pieces of %d: a buffer is held after all was read", piece)
		}
		tc.Close()
		l.Close()
	}
}

// choppy writes in pieces.
type choppy struct {
	net.Conn
	piece int
}

func (c *choppy) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n:min(n+c.piece, len(p))])
		n += k
	}
	return n, err
}

// largest notes the most that one Read returned.
type largest struct {
	net.Conn
	n int
}

func (l *largest) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.n = max(l.n, n)
	return n, err
}

// TestWriteNeverBlocks fills a socket whose peer does not read.
func TestWriteNeverBlocks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := newSock(c)
	defer s.Close()
	watch := time.AfterFunc(patience, func() { peer.Close() }) // a write that waits for the peer ends then
	total := 32 << 20
	for n := 0; n < total; n += 64 << 10 {
		if _, err := s.Write(bytes.Repeat([]byte{byte(n >> 16)}, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if !watch.Stop() {
		t.Fatal("a write waited for the peer")
	}
	if s.pending() == 0 {
		t.Fatal("the kernel took everything")
	}
	if err := s.drain(50 * time.Millisecond); err == nil {
		t.Fatal("drained into a full socket")
	}
	// Once a deadline has expired nothing blocks and nothing is lost either.
	kept := s.pending()
	if _, err := s.Write([]byte("x")); err != nil || s.pending() != kept+1 {
		t.Errorf("write after a stall: %d kept, %v", s.pending(), err)
	}
}

func TestPipesWorkToo(t *testing.T) {
	a, b := net.Pipe()
	s := newSock(a)
	if _, err := s.Write([]byte("hello")); err != nil || s.pending() != 5 {
		t.Fatalf("%d kept, %v", s.pending(), err)
	}
	got := make([]byte, 5)
	done := make(chan error)
	go func() { _, err := io.ReadFull(b, got); done <- err }()
	if err := s.drain(patience); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// miser is a connection in memory that takes at once one byte only.
type miser struct {
	net.Conn
	now []byte
}

func (m *miser) Await() error { return nil }

func (m *miser) WriteNow(p []byte) (int, error) {
	m.now = append(m.now, p[0])
	return 1, nil
}

func TestPromptConnections(t *testing.T) {
	a, b := net.Pipe()
	m := &miser{Conn: a}
	s := newSock(m)
	for _, p := range []string{"hel", "lo"} { // the second goes behind what is kept
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if string(m.now) != "h" || s.pending() != 4 {
		t.Fatalf("%q at once, %d kept", m.now, s.pending())
	}
	got := make([]byte, 4)
	done := make(chan error)
	go func() { _, err := io.ReadFull(b, got); done <- err }()
	if err := s.drain(patience); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || string(got) != "ello" {
		t.Errorf("%q, %v", got, err)
	}
}
