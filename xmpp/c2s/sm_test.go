package c2s

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp"
)

// journal is a module that stores every message, and notes what was
// acknowledged and what came back for the offline store.
type journal struct {
	mu      sync.Mutex // guards what follows
	acked   []string
	offline []string
}

func (*journal) Info() xmpp.Info { return xmpp.Info{Name: "journal"} }

func (j *journal) Load(h xmpp.Host) error {
	table := h.Table("journal")
	h.Message(xmpp.Outbound, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if strings.HasPrefix(d.Stanza.Body(), "store") {
			table.Later(map[string]any{"m": "x"}, d.Await())
		}
		return xmpp.Pass, nil
	})
	note := func(list *[]string) xmpp.Hook {
		return func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			body := d.Stanza.Body()
			*list = append(*list, strings.Clone(body[:min(len(body), 16)]))
			return xmpp.Done, nil
		}
	}
	h.Message(xmpp.Acked, 0, note(&j.acked))
	h.Message(xmpp.Offline, 0, note(&j.offline))
	return nil
}

func (j *journal) has(list *[]string, want ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Sprint(*list) == fmt.Sprint(want)
}

func (p *peer) enable() {
	p.t.Helper()
	p.send("<enable xmlns='%s'/>", nsSM)
	p.expect("<enabled xmlns='" + nsSM + "'/>")
}

func (p *peer) counts(h int) {
	p.t.Helper()
	p.send("<r xmlns='%s'/>", nsSM)
	p.expect(fmt.Sprintf("<a xmlns='%s' h='%d'/>", nsSM, h))
}

func TestAcknowledgements(t *testing.T) {
	j := &journal{}
	h := open(t, []xmpp.Module{j}, loopback)
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	alice.send("<r xmlns='%s'/>", nsSM) // not enabled: ignored
	h.chat(alice, bob, "uncounted")
	alice.enable()
	alice.counts(0)
	h.chat(alice, bob, "one")
	alice.send("<presence to='%s'/>", bob.full)
	bob.expect("<presence")
	alice.send("<message to='@'/>")
	alice.expect("<jid-malformed")
	alice.expect("<r ")
	alice.counts(3)
	alice.send("<enable xmlns='%s'/>", nsSM)
	alice.expect("<failed xmlns='"+nsSM+"'>", "<unexpected-request")
	alice.send("<resume xmlns='%s' previd='x' h='0'/>", nsSM)
	alice.expect("<failed xmlns='"+nsSM+"'>", "<unexpected-request")
	alice.send("<a xmlns='%s' h='1'/>", nsSM)

	// What the server sends: it asks after a message, and again when more
	// was sent meanwhile.
	for i := range 3 {
		bob.send("<message to='%s'><body>b%d</body></message>", alice.full, i)
		alice.expect(fmt.Sprintf("<body>b%d<", i))
		if i == 0 {
			alice.expect("<r xmlns='" + nsSM + "'/>")
		}
	}
	alice.send("<a xmlns='%s' h='2'/>", nsSM) // the error came first
	eventually(t, "not told of the acknowledgement", func() bool { return j.has(&j.acked, "", "b0") })
	alice.expect("<r xmlns='" + nsSM + "'/>")
	alice.send("<a xmlns='%s' h='4'/>", nsSM)
	eventually(t, "not told of the acknowledgement", func() bool { return j.has(&j.acked, "", "b0", "b1", "b2") })
	alice.send("</stream:stream>")
	alice.expect("<a xmlns='" + nsSM + "' h='3'/>")
	alice.expectEnd("")
	if !j.has(&j.offline) {
		t.Errorf("given back: %v", j.offline)
	}
}

func TestWrongCounts(t *testing.T) {
	h := open(t, nil, loopback)
	for _, c := range []struct{ h, want string }{
		{"1", "undefined-condition"},
		{"4294967295", "undefined-condition"},
		{"4294967296", "bad-format"},
		{"99999999999999999999999999", "bad-format"},
		{"-1", "bad-format"},
		{"", "bad-format"},
		{"one", "bad-format"},
		{"+1", "bad-format"},
	} {
		p := h.login("alice", "desk")
		p.enable()
		p.send("<a xmlns='%s' h='%s'/>", nsSM, c.h)
		p.expect("<a xmlns='" + nsSM + "' h='0'/>") // what it may rely on
		s := p.expect("<stream:error>", "<"+c.want+" ")
		if c.want == "undefined-condition" && !strings.Contains(s, "<handled-count-too-high xmlns='"+nsSM+"' h='"+c.h+"' send-count='0'/>") {
			t.Errorf("h=%s: %s", c.h, s)
		}
		p.expectEnd("")
	}
}

func TestCountsWrapAround(t *testing.T) {
	j := &journal{}
	h := open(t, []xmpp.Module{j}, loopback)
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	alice.enable()
	alice.counts(0)
	for c := range h.conns() {
		c.mu.Lock()
		if c.sm != nil {
			c.sm.out = 1<<32 - 2
			c.first -= 1<<32 - 2
		}
		c.mu.Unlock()
	}
	for i := range 4 {
		h.chat(bob, alice, fmt.Sprint(i))
		if i == 0 {
			alice.expect("<r ")
		}
		h.chat(alice, bob, "x")
	}
	alice.counts(2)
	alice.send("<a xmlns='%s' h='4294967295'/>", nsSM)
	eventually(t, "count before the wrap", func() bool { return j.has(&j.acked, "0") })
	alice.expect("<r ")
	alice.send("<a xmlns='%s' h='2'/>", nsSM)
	eventually(t, "count after the wrap", func() bool { return j.has(&j.acked, "0", "1", "2", "3") })
}

// TestAckWaitsForTheDisk: h covers a stored message only when it is stored.
func TestAckWaitsForTheDisk(t *testing.T) {
	h := open(t, []xmpp.Module{&journal{}}, loopback)
	h.shelf.held = true
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	alice.enable()
	h.chat(alice, bob, "one")
	h.chat(alice, bob, "store two")
	h.chat(alice, bob, "three")
	h.chat(alice, bob, "store four")

	// Nothing is committed within a second: an honest smaller number.
	began := time.Now()
	alice.counts(1)
	if d := time.Since(began); d < ackWait-100*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	// Committed out of order or in part: as far as it is whole.
	h.shelf.commit(1, nil)
	alice.counts(3)
	// Committed while the answer is owed: at once. A busy machine may be slow
	// now and then.
	h.shelf.commit(1, nil)
	for n := 5; ; n += 2 {
		h.chat(alice, bob, "store this")
		began = time.Now()
		alice.send("<r xmlns='%s'/>", nsSM)
		h.chat(alice, bob, "more")
		h.shelf.commit(1, nil)
		alice.expect(fmt.Sprintf("h='%d'", n+1))
		if d := time.Since(began); d < ackWait {
			break
		} else if n > 20 {
			t.Fatalf("answered after %v", d)
		}
	}
}

func TestFailedCommitIsAnError(t *testing.T) {
	h := open(t, []xmpp.Module{&journal{}}, loopback)
	h.shelf.held = true
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	alice.enable()
	alice.send("<message id='m1' to='%s'><body>store</body></message>", bob.full)
	bob.expect("store")
	h.shelf.commit(-1, errors.New("disk full"))
	alice.expect("type='error'", "id='m1'", "<internal-server-error")
	alice.expect("<r ")
	alice.counts(1)
}

// TestHoldRefusesItself: the stream answers when it is released with an error.
func TestHoldRefusesItself(t *testing.T) {
	release := make(chan func(error), 3)
	var hold func() func(error)
	h := open(t, []xmpp.Module{trap{func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if d.Stanza.Body() == "hold" {
			release <- hold()
			release <- hold()
		}
		return xmpp.Pass, nil
	}}}, loopback)
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	for c := range h.conns() {
		if c.session().JID().String() == alice.full {
			hold = c.Hold
		}
	}
	alice.enable()
	alice.send("<message id='m1' to='%s'><body>hold</body></message>", bob.full)
	bob.expect("hold")
	(<-release)(errors.New("disk full"))
	alice.expect("type='error'", "id='m1'", "<internal-server-error")
	alice.expect("<r ")
	alice.send("<r xmlns='%s'/>", nsSM)
	f := <-release
	f(errors.New("disk full")) // told once
	f(nil)                     // and once too often
	alice.expect("<a ", "h='1'")
}

// TestUnackedGoBack: what a lost client did not acknowledge is not lost.
func TestUnackedGoBack(t *testing.T) {
	for _, acks := range []bool{true, false} {
		j := &journal{}
		h := open(t, []xmpp.Module{j}, loopback)
		alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
		if acks {
			alice.enable()
		}
		for i := range 3 {
			bob.send("<message type='chat' to='%s'><body>m%d</body></message>", alice.full, i)
			alice.expect(fmt.Sprintf("m%d", i))
			if acks && i == 0 {
				alice.expect("<r ")
				alice.send("<a xmlns='%s' h='1'/>", nsSM)
				eventually(t, "no acknowledgement", func() bool { return j.has(&j.acked, "m0") })
			}
			if acks && i == 1 {
				alice.expect("<r ")
			}
		}
		if !acks { // a round trip: the server knows that it has written all of it
			alice.send("<iq type='get' id='p' to='%s'><x xmlns='some:thing'/></iq>", home)
			alice.expect("id='p'")
		}
		alice.conn.Close()
		if acks {
			eventually(t, "unacknowledged messages are lost", func() bool { return j.has(&j.offline, "m1", "m2") })
		} else {
			eventually(t, "the session stays", func() bool { return h.srv.Connections() == 1 })
			if !j.has(&j.offline) {
				t.Errorf("what was written without acknowledgements came back: %v", j.offline)
			}
		}
	}
}

// TestClientThatNeverAcknowledges fills its share and is put out.
func TestClientThatNeverAcknowledges(t *testing.T) {
	j := &journal{}
	h := open(t, []xmpp.Module{j}, loopback, limits(func(l *Limits) { l.Unacked = 20 }))
	alice, bob := h.login("alice", "desk"), h.login("bob", "desk")
	alice.enable()
	for i := range 21 {
		h.chatOr(bob, alice, fmt.Sprintf("m%02d", i))
	}
	eventually(t, "still there", func() bool { return h.srv.Connections() == 1 })
	eventually(t, "messages are lost", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.offline) == 21
	})
	_, s := alice.drain()
	if !strings.Contains(s, "<policy-violation ") {
		t.Errorf("it was told: %s", s)
	}
}

func (h *house) chatOr(from, to *peer, body string) {
	from.send("<message type='chat' to='%s'><body>%s</body></message>", to.full, body)
}
