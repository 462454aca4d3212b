package c2s

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// drawer is a module that keeps messages nobody takes, and notes what became
// of sessions and what was acknowledged.
type drawer struct {
	mu      sync.Mutex // guards what follows
	offline []*stanza.Stanza
	events  []string
	acked   []string
}

func (*drawer) Info() xmpp.Info { return xmpp.Info{Name: "drawer"} }

func (d *drawer) Load(h xmpp.Host) error {
	h.Message(xmpp.Offline, 0, func(_ context.Context, x *xmpp.Delivery) (xmpp.Verdict, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.offline = append(d.offline, x.Stanza)
		return xmpp.Done, nil
	})
	h.Message(xmpp.Acked, 0, func(_ context.Context, x *xmpp.Delivery) (xmpp.Verdict, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.acked = append(d.acked, x.Stanza.Body())
		return xmpp.Pass, nil
	})
	h.Session(func(ctx context.Context, e xmpp.SessionEvent) {
		d.mu.Lock()
		mark := map[xmpp.SessionEventKind]string{xmpp.SessionBound: "+", xmpp.SessionClosed: "-", xmpp.SessionResumed: "="}[e.Kind]
		d.events = append(d.events, mark+e.Session.JID().Local())
		d.mu.Unlock()
		if e.Kind == xmpp.SessionResumed {
			e.Session.Send(ctx, stanza.New(stanza.Message, "headline", "", e.Session.JID().Bare(), e.Session.JID(), "<body>welcome back</body>"))
		}
	})
	return nil
}

func (d *drawer) seen(event string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.events, event)
}

// bodies of what was stored.
func (d *drawer) bodies() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, st := range d.offline {
		list = append(list, st.Body())
	}
	return strings.Join(list, " ")
}

// resumable enables acknowledgements and returns the id for resumption.
func (p *peer) resumable() string {
	p.t.Helper()
	p.send("<enable xmlns='%s' resume='true'/>", nsSM)
	s := p.expect("<enabled xmlns='"+nsSM+"'", "resume='true'", "max='")
	_, s, _ = strings.Cut(s, "id='")
	id, _, _ := strings.Cut(s, "'")
	if len(id) < 26 { // five bits each
		p.t.Fatalf("the id is %q", id)
	}
	return id
}

// authenticated connects as far as <resume/> may come.
func (h *house) authenticated(user string) *peer {
	h.t.Helper()
	p := h.dial()
	p.open()
	p.scram(user)
	p.open()
	return p
}

// resume goes on with a stream, the client having taken n stanzas of it.
func (h *house) resume(user, id string, n int) *peer {
	h.t.Helper()
	p := h.authenticated(user)
	p.send("<resume xmlns='%s' previd='%s' h='%d'/>", nsSM, id, n)
	return p
}

// lose cuts the connection and waits until the server has noticed.
func (h *house) lose(p *peer) {
	h.t.Helper()
	p.conn.Close()
	eventually(h.t, "the lost link is not noticed", func() bool { return h.absent() == 1 })
}

func (h *house) absent() int {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	return len(h.srv.absent.away)
}

func TestResume(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	full := alice.full
	id := alice.resumable()
	h.chat(alice, bob, "one")
	h.chat(alice, bob, "two")
	var sent []string
	for i := range 3 {
		bob.send("<message type='chat' to='%s' id='%d'><body>m%d</body><x xmlns='some:thing' a='&amp;'/></message>", full, i, i)
		sent = append(sent, alice.expect(fmt.Sprintf("m%d", i)))
		if i == 0 {
			alice.expect("<r ")
		}
	}
	h.lose(alice)
	if n := h.router.Count(); n != 2 {
		t.Errorf("%d sessions while one is waited for", n)
	}
	before := time.Now().Truncate(time.Second)
	bob.send("<presence to='%s'><status>hello</status></presence><iq type='get' id='q' to='%s'><query xmlns='some:thing'/></iq>", full, full)
	bob.send("<message type='chat' to='%s'><body>m3</body></message><message type='groupchat' to='%s'><body>m4</body></message>", full, full)
	bob.send("<iq type='get' id='p' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", home)
	bob.expect("id='p'") // all of that was handled

	alice = h.resume("alice", id, 1)
	alice.expect("<resumed xmlns='"+nsSM+"'", "h='2'", "previd='"+id+"'")
	for _, want := range sent[1:] { // unchanged, in order
		if got := alice.next(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	alice.expect("<presence", "hello")
	alice.expect("<iq", "id='q'")
	for _, want := range []string{"m3", "m4"} { // says when it came (XEP-0203)
		s := alice.expect("<body>"+want+"</body>", "<delay xmlns='urn:xmpp:delay' from='"+home+"' stamp='")
		_, s, _ = strings.Cut(s, "stamp='")
		s, _, _ = strings.Cut(s, "'")
		if at, err := time.Parse(time.RFC3339, s); err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s is of %s", want, s)
		}
	}
	alice.expect("welcome back") // what modules send comes behind
	alice.expect("<r ")
	eventually(t, "the client's count on resumption is not told", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return fmt.Sprint(d.acked) == "[m0]"
	})
	alice.full = full
	alice.send("<a xmlns='%s' h='8'/>", nsSM)
	eventually(t, "the count does not go on", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return fmt.Sprint(d.acked) == "[m0 m1 m2 m3 m4 welcome back]"
	})
	h.chat(alice, bob, "three")
	alice.counts(3)
	h.chat(bob, alice, "m5")
	if d.seen("-alice") || !d.seen("=alice") {
		t.Errorf("events %v", d.events)
	}
	alice.expect("<r ")

	// Once more, with the same id; nobody had anything to say meanwhile.
	h.lose(alice)
	alice = h.resume("alice", id, 9)
	alice.expect("<resumed ", "h='3'")
	alice.expect("welcome back")
	alice.send("</stream:stream>")
	eventually(t, "not gone", func() bool { return d.seen("-alice") })
	if d.bodies() != "" {
		t.Errorf("stored: %s", d.bodies())
	}
}

// TestResumeTakesOver: a phone is back before its loss was noticed.
func TestResumeTakesOver(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	old, bob := h.loginTLS("alice", "phone"), h.login("bob", "desk")
	id := old.resumable()
	h.chat(bob, old, "m0")
	alice := h.resume("alice", id, 0)
	alice.expect("<resumed ", "h='0'")
	alice.expect("m0")
	old.expect("<r ")
	old.expect("<a ")
	old.expectEnd("conflict")
	alice.expect("welcome back")
	alice.expect("<r ")
	alice.full = old.full
	h.chat(bob, alice, "m1")
	if d.seen("-alice") || d.bodies() != "" {
		t.Errorf("the session ended: %v, stored %s", d.events, d.bodies())
	}
	eventually(t, "the old connection stays", func() bool { return h.srv.Connections() == 2 })
}

func TestResumeRefused(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	alice := h.login("alice", "phone")
	id := alice.resumable()
	bob := h.login("bob", "desk")
	h.chat(alice, bob, "one")
	h.lose(alice)
	const notFound = "<failed xmlns='" + nsSM + "'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"

	// Somebody else does not get it, nor learns that it exists.
	carol := h.resume("carol", id, 0)
	carol.expect(notFound)
	carol.send("<resume xmlns='%s' previd='nonsense' h='0'/>", nsSM)
	carol.expect(notFound)
	for _, attrs := range []string{"", "h='0'", "previd='" + id + "'", "previd='" + id + "' h='-1'", "previd='" + id + "' h='4294967296'"} {
		carol.send("<resume xmlns='%s' %s/>", nsSM, attrs)
		carol.expect("<failed xmlns='"+nsSM+"'>", "<bad-request")
	}
	carol.bindOpen("desk") // and may bind

	// A count of what was never sent ends the new stream, not the session.
	p := h.resume("alice", id, 1)
	p.expect("<stream:error>", "<undefined-condition", "<handled-count-too-high xmlns='"+nsSM+"' h='1' send-count='0'/>")
	p.expect("</stream:stream>")
	p = h.resume("alice", id, 0)
	p.expect("<resumed ", "h='1'")
	p.expect("welcome back")
	p.send("<resume xmlns='%s' previd='%s' h='0'/>", nsSM, id)
	p.expect("<r ")
	p.expect("<failed xmlns='"+nsSM+"'>", "<unexpected-request")
	p.send("<enable xmlns='%s' resume='true'/>", nsSM)
	p.expect("<failed xmlns='"+nsSM+"'>", "<unexpected-request")

	// After an orderly end there is nothing to resume, but the count is known.
	p.send("</stream:stream>")
	p.expect("<a ")
	p.expect("</stream:stream>")
	p = h.resume("alice", id, 0)
	p.expect("<failed xmlns='" + nsSM + "' h='1'><item-not-found")
	p.bindOpen("phone")
	h.resume("carol", id, 0).expect(notFound)
}

// TestNotResumable: streams that were ended on purpose are not waited for.
func TestNotResumable(t *testing.T) {
	for name, end := range map[string]string{
		"closed":    "</stream:stream>",
		"malformed": "<message",
		"forged":    "<message from='bob@office.example/x'/>",
	} {
		d := &drawer{}
		h := open(t, []xmpp.Module{d}, loopback)
		alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
		id := alice.resumable()
		h.chat(bob, alice, "m0")
		alice.send(end)
		if name == "malformed" {
			alice.send("<")
		}
		eventually(t, name+": the session stays", func() bool { return d.bodies() == "m0" && d.seen("-alice") })
		h.resume("alice", id, 0).expect("<failed ", "<item-not-found")
	}
	// And without a limit there is no promise.
	h := open(t, nil, loopback, limits(func(l *Limits) { l.Resume = -1 }))
	alice := h.login("alice", "phone")
	alice.send("<enable xmlns='%s' resume='true'/>", nsSM)
	alice.expect("<enabled xmlns='" + nsSM + "'/>")
	alice.conn.Close()
	eventually(t, "the session stays", func() bool { return h.router.Count() == 0 })
}

// TestResumeWaitsForTheDisk: the count on resumption covers all that was
// handled, so that nothing is sent twice.
func TestResumeWaitsForTheDisk(t *testing.T) {
	h := open(t, []xmpp.Module{&journal{}}, loopback)
	h.shelf.held = true
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	h.chat(alice, bob, "one")
	h.chat(alice, bob, "store two")
	h.chat(alice, bob, "store three")
	h.lose(alice)
	alice = h.resume("alice", id, 0)
	alice.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if tok, err := alice.r.Next(); err == nil {
		t.Fatalf("answered before it was stored: %s", tok.Raw)
	}
	h.shelf.commit(1, nil)
	h.shelf.commit(1, errors.New("disk full"))
	alice.expect("<resumed ", "h='3'")
	alice.expect("type='error'", "<internal-server-error") // refused, and so counted
}

// TestResumeAfterResumptionFailed: a link that dies while it is written again
// costs nothing.
func TestResumeAfterResumptionFailed(t *testing.T) {
	h := open(t, nil, loopback)
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	const count = 40
	body := strings.Repeat("x", 20_000)
	for i := range count {
		bob.send("<message type='chat' to='%s'><body>%d %s</body></message>", alice.full, i, body)
	}
	alice.expect("<body>0 ")
	h.lose(alice)
	for range 5 {
		p := h.resume("alice", id, 1)
		p.expect("<resumed ")
		p.expect("<body>1 ")
		h.lose(p)
	}
	alice = h.resume("alice", id, 1)
	alice.expect("<resumed ")
	for i := 1; i < count; i++ {
		s := alice.next()
		for strings.HasPrefix(s, "<r ") {
			s = alice.next()
		}
		if !strings.Contains(s, fmt.Sprintf("<body>%d x", i)) {
			t.Fatalf("instead of %d came %.80s", i, s)
		}
	}
}
