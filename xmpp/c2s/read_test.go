package c2s

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"doorway/xmpp"
)

// trap is a module with a hook that tests set.
type trap struct{ outbound xmpp.Hook }

func (trap) Info() xmpp.Info { return xmpp.Info{Name: "trap"} }

func (m trap) Load(h xmpp.Host) error {
	h.Message(xmpp.Outbound, 0, m.outbound)
	return nil
}

// sees is as much of presence as delivery needs.
type sees struct{}

func (sees) Info() xmpp.Info { return xmpp.Info{Name: "presence"} }

func (sees) Load(h xmpp.Host) error {
	h.Presence(xmpp.Outbound, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if d.Stanza.To.IsZero() {
			d.Sender.SetPresence(d.Stanza, 0)
		}
		return xmpp.Pass, nil
	})
	return nil
}

func (h *house) chat(from, to *peer, body string) {
	h.t.Helper()
	from.send("<message type='chat' to='%s'><body>%s</body></message>", to.full, body)
	to.expect("<body>"+body+"</body>", "from='"+from.full+"'")
}

func TestChat(t *testing.T) {
	h := open(t, nil, loopback)
	alice, bob := h.loginTLS("alice", "desk"), h.login("bob", "phone")
	h.chat(alice, bob, "hello")
	h.chat(bob, alice, "hello back")
	big := strings.Repeat("0123456789", 20_000)
	h.chat(alice, bob, big)
	h.chat(bob, alice, big)
	alice.send("</stream:stream>")
	alice.expectEnd("")
	bob.send("<message type='chat' id='m' to='%s'><body>x</body></message>", alice.full)
	bob.expect("type='error'", "<service-unavailable")
}

func TestAnswersComeBeforeTheClosingTag(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.login("alice", "desk")
	p.send("<iq type='get' id='1'><x xmlns='urn:example:x'/></iq></stream:stream>")
	p.expect("id='1'", "<service-unavailable")
	p.expectEnd("")
}

// TestRunningStreamErrors breaks a stream that is bound.
func TestRunningStreamErrors(t *testing.T) {
	h := open(t, []xmpp.Module{sees{}}, loopback)
	bob := h.login("bob", "desk")
	for _, c := range []struct{ name, in, want string }{
		{"somebody else's from", "<message from='bob@" + home + "' to='carol@" + home + "'/>", "invalid-from"},
		{"malformed from", "<message from='@' to='carol@" + home + "'/>", "invalid-from"},
		{"other content namespace", "<message xmlns='jabber:server'/>", "invalid-namespace"},
		{"no stanza", "<parcel/>", "unsupported-stanza-type"},
		{"unknown namespace", "<hello xmlns='urn:example:hello'/>", "unsupported-stanza-type"},
		{"nested stream", header[len("<?xml version='1.0'?>"):] + "</stream:stream>", "invalid-xml"},
		{"broken XML", "<message></presence>", "not-well-formed"},
		{"unbound prefix", "<message><a:b/></message>", "not-well-formed"},
		{"text between stanzas", "hello", "invalid-xml"},
		{"document type", "<!DOCTYPE a>", "restricted-xml"},
		{"second declaration", "<?xml version='1.0'?>", "restricted-xml"},
		{"not UTF-8", "<message><body>\xff</body></message>", "unsupported-encoding"},
		{"half a character", "<message><body>\xe2\x82</body></message>", "unsupported-encoding"},
		{"10,000 deep", "<message>" + strings.Repeat("<a>", 10_000), "policy-violation"},
		{"endless stanza", "<message><body>" + strings.Repeat("x", 300<<10), "policy-violation"},
		{"endless attribute", "<message id='" + strings.Repeat("x", 300<<10), "policy-violation"},
		{"second login", plainAuth("bob", password), "unsupported-stanza-type"},
		{"acknowledging nothing", "<a xmlns='" + nsSM + "' h='0'/>", "unsupported-stanza-type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			p := h.login("alice", "desk")
			go io.WriteString(p.conn, c.in) // ends with the connection
			p.expectEnd(c.want)
		})
	}
	h.t = t
	// A wrong address only concerns its stanza.
	p := h.login("alice", "desk")
	p.send("<message id='1' to='@'><body>x</body></message>")
	p.expect("type='error'", "id='1'", "<jid-malformed")
	h.chat(p, bob, "still here")
}

func TestPanicEndsOneConnection(t *testing.T) {
	var log bytes.Buffer
	told := make(chan any, 1)
	h := open(t, []xmpp.Module{trap{func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if d.Stanza.Body() == "bang" {
			panic("the hook's fault")
		}
		return xmpp.Pass, nil
	}}}, loopback, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Panicked = func(what any) { told <- what }
	})
	alice, bob, carol := h.login("alice", "desk"), h.login("bob", "desk"), h.login("carol", "desk")
	alice.send("<message to='%s'><body>bang</body></message>", bob.full)
	alice.expectEnd("internal-server-error")
	h.chat(bob, carol, "what was that")
	if what := <-told; what != "the hook's fault" || h.srv.Panics() != 1 {
		t.Errorf("told of %v, counted %d", what, h.srv.Panics())
	}
	h.close()
	if !strings.Contains(log.String(), "read_test.go") {
		t.Errorf("no stack in the log: %s", log.String())
	}
}

func TestShutdown(t *testing.T) {
	h := open(t, nil, requireTLS, limits(func(l *Limits) { l.Closing, l.Negotiation = 300*time.Millisecond, time.Hour }))
	alice := h.loginTLS("alice", "desk")
	fresh, opened, stuck := h.dial(), h.dial(), h.dialTCP(h.direct)
	opened.open()
	stuck.send("\x16") // in the middle of a handshake
	h.close()
	alice.expectEnd("system-shutdown")
	opened.expectEnd("system-shutdown")
	fresh.expect("<stream:stream")
	fresh.expectEnd("system-shutdown")
}

func TestOrderlyCloseByTheServer(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.login("alice", "desk")
	for c := range h.conns() {
		c.Close(nil)
	}
	p.expect("</stream:stream>")
	p.send("</stream:stream>")
	if s := p.next(); s != "EOF" {
		t.Errorf("after the handshake came %s", s)
	}
}

// TestSlowElement sends an element a byte at a time: the deadline runs from its
// first byte, while white space between elements may go on for ever.
func TestSlowElement(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.Element = 200 * time.Millisecond }))
	p := h.login("alice", "desk")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		<-tick.C
		p.send(" ")
	}
	p.send("<iq type='get' id='1'><x xmlns='urn:example:x'/></iq><message><body>")
	p.expect("id='1'")
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := io.WriteString(p.conn, "x"); err != nil {
					return
				}
			}
		}
	}()
	p.expectEnd("connection-timeout")
}

// TestOutsideElements: what a link reads in pieces and then keeps to itself,
// such as a ping, is no element that takes too long.
func TestOutsideElements(t *testing.T) {
	c := &conn{srv: New(Config{Domain: home})}
	for i, inside := range []bool{false, true, true, false, true} {
		if err := c.BeforeRead(inside); err != nil {
			t.Fatal(err)
		}
		if began := c.begun.Load() != 0; began != inside {
			t.Errorf("wait %d: an element has begun: %v, want %v", i, began, inside)
		}
	}
}

func TestSilentClientsAreAsked(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.Idle, l.Answer = 100*time.Millisecond, 2*time.Second }))
	// Without acknowledgements: a space, and nothing else happens.
	p := h.login("alice", "desk")
	p.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 2)
	for range 2 {
		if n, err := p.conn.Read(b); err != nil || strings.Trim(string(b[:n]), " ") != "" {
			t.Fatalf("instead of a space: %q, %v", b[:n], err)
		}
	}
	// With them: a request, which must be answered.
	q := h.login("alice", "phone")
	q.send("<enable xmlns='%s'/>", nsSM)
	q.expect("<enabled")
	for range 3 {
		q.expect("<r xmlns='" + nsSM + "'/>")
		q.send("<a xmlns='%s' h='0'/>", nsSM)
	}
	q.expect("<r xmlns='" + nsSM + "'/>")
	q.expect("<a xmlns='" + nsSM + "' h='0'/>")
	q.expectEnd("connection-timeout")
}

func TestInputIsPaced(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.StanzaRate, l.Burst = 100, 100*time.Millisecond }))
	p := h.login("alice", "desk")
	began := time.Now()
	for i := range 50 { // the burst is ten
		p.send("<iq type='get' id='%d'><x xmlns='urn:example:x'/></iq>", i)
	}
	for range 50 {
		p.expect("<service-unavailable")
	}
	p.send("<iq type='get' id='last'><x xmlns='urn:example:x'/></iq>")
	p.expect("id='last'")
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("50 stanzas took %v at 100 a second", d)
	}
}

// TestFloodEnds goes on long enough for ten bursts of debt.
func TestFloodEnds(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.StanzaRate, l.Burst = 100, 5*time.Millisecond }))
	p := h.login("alice", "desk")
	go func() {
		flood := strings.Repeat("<iq type='get' id='x'><x xmlns='urn:example:x'/></iq>", 100)
		for {
			if _, err := io.WriteString(p.conn, flood); err != nil {
				return
			}
		}
	}()
	n := 0
	for ; strings.Contains(p.expect(), "type='error'"); n++ {
	}
	if n == 0 || n > 2000 {
		t.Errorf("%d stanzas were taken", n)
	}
}

func TestByteRate(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.ByteRate, l.Burst = 100<<10, 100*time.Millisecond }))
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	began := time.Now()
	h.chat(alice, bob, strings.Repeat("x", 50<<10))
	h.chat(alice, bob, "and then")
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("50 KiB took %v at 100 KiB a second", d)
	}
}

// TestEndlessStanzasAreBounded has many clients send stanzas without end at
// once; the limit holds while they arrive.
func TestEndlessStanzasAreBounded(t *testing.T) {
	h := open(t, nil, loopback)
	const clients = 20
	before := heap()
	done := make(chan error, clients)
	for i := range clients {
		p := h.login(fmt.Sprintf("user%d", i), "x")
		go func() {
			piece := strings.Repeat("<b/>", 4<<10)
			_, err := io.WriteString(p.conn, "<message>")
			for range 1000 {
				if err != nil {
					break
				}
				_, err = io.WriteString(p.conn, piece)
			}
			done <- err
		}()
	}
	for range clients {
		if err := <-done; err == nil {
			t.Error("16 MiB of one stanza were taken")
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("%d KiB are still held", grown>>10)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestLangReachesTheRouter(t *testing.T) {
	h := open(t, nil, loopback)
	bob := h.login("bob", "desk")
	p := h.dial()
	p.open()
	p.scram("alice")
	p.fresh()
	p.send("%s", strings.Replace(header, "'1.0'>", "'1.0' xml:lang='de'>", 1))
	p.expect("<stream:stream")
	p.expect("<stream:features")
	p.bindOpen("desk")
	p.send("<message to='%s'><body>hallo</body></message>", bob.full)
	bob.expect("xml:lang='de'")
}
