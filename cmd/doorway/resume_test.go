package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmpptest"
)

const smSpace = "urn:xmpp:sm:3"

// phone is a client that resumes its stream (XEP-0198 §5) and counts.
type phone struct {
	*chatter
	t       testing.TB
	dial    func(noBind bool) *chatter
	id      string
	handled int            // stanzas taken since <enabled/>
	got     map[string]int // texts, and how often
}

// element waits for one that is not a stanza, and passes over others.
func (p *phone) element(name string) stanza.Element {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		el, err := p.Element(ctx)
		if err != nil {
			p.t.Fatalf("waiting for <%s/>: %v", name, err)
		}
		if el.Name.Local == name {
			return el
		}
	}
}

func (p *phone) say(xml string) {
	p.t.Helper()
	if err := p.Send(xml); err != nil {
		p.t.Fatal(err)
	}
}

// fresh binds and enables resumption.
func (p *phone) fresh() {
	p.t.Helper()
	p.chatter, p.handled = p.dial(false), 0
	p.say("<enable xmlns='" + smSpace + "' resume='true'/>")
	el := p.element("enabled")
	p.id = el.Attr("id")
	p.present(p.t)
	p.handled += 2 // the answers that present waits for
}

// back is what a client does when its link is there again: it resumes and
// reports true, or is told that there is nothing to resume, and binds.
func (p *phone) back() bool {
	p.t.Helper()
	if p.id == "" {
		p.fresh()
		return false
	}
	p.chatter = p.dial(true)
	p.say(fmt.Sprintf("<resume xmlns='%s' previd='%s' h='%d'/>", smSpace, p.id, p.handled))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	el, err := p.Element(ctx)
	switch {
	case err != nil:
		p.t.Fatalf("resume: %v", err)
	case el.Name.Local == "resumed" && el.Attr("previd") == p.id:
		return true
	case el.Name.Local != "failed" || el.Child("urn:ietf:params:xml:ns:xmpp-stanzas", "item-not-found") == nil || el.Attr("h") != "":
		p.t.Fatalf("resume was answered by %v", el)
	}
	_ = p.Kill() // ignored: a new connection is made
	p.fresh()
	return false
}

// take reads what comes until it has been quiet for a while, or until the
// connection ends.
func (p *phone) take(quiet time.Duration) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), quiet)
		st, err := p.Next(ctx)
		cancel()
		if err != nil {
			return
		}
		p.handled++
		if st.Kind == stanza.Message && st.Type == "chat" {
			p.got[st.Body()]++
		}
	}
}

// lose ends the link without a word, and waits until the server has noticed.
func (p *phone) lose() {
	p.t.Helper()
	if err := p.Conn().(*tls.Conn).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
	p.take(30 * time.Second) // it closes the connection when the session waits
	_ = p.Kill()             // ignored: it is lost
}

// letters is what a client has said, of which it resends what the server has
// not confirmed.
type letters struct {
	sent  []string // all
	first int      // of them on this stream
	acked int      // of those on this stream
}

// write sends n texts more, asking for an acknowledgement after each, and
// takes the acknowledgements as they come.
func (l *letters) write(t testing.TB, c *chatter, to func() string, n int) {
	t.Helper()
	for range n {
		text := strconv.Itoa(len(l.sent))
		l.sent = append(l.sent, text)
		l.post(t, c, to(), text)
	}
}

func (l *letters) post(t testing.TB, c *chatter, to, text string) {
	t.Helper()
	if err := c.Send("<message to='" + to + "' type='chat' id='m" + text + "'><body>" + text + "</body></message><r xmlns='" + smSpace + "'/>"); err != nil {
		t.Fatal(err)
	}
}

// confirmed reads acknowledgements for a while.
func (l *letters) confirmed(t testing.TB, c *chatter, until func() bool) {
	t.Helper()
	for !until() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		el, err := c.Element(ctx)
		cancel()
		if err != nil {
			return // the server has gone
		}
		if h, err := strconv.Atoi(el.Attr("h")); err == nil && el.Name.Local == "a" {
			l.acked = max(l.acked, h)
		}
	}
}

// resend is what a client does that could not resume: a new stream, and what
// was not confirmed on the old one once more.
func (l *letters) resend(t testing.TB, c *chatter, to func() string) {
	t.Helper()
	if err := c.Send("<enable xmlns='" + smSpace + "' resume='true'/>"); err != nil {
		t.Fatal(err)
	}
	l.first, l.acked = l.first+l.acked, 0
	for _, text := range l.sent[l.first:] {
		l.post(t, c, to(), text)
	}
}

// TestKillWhileAbsent kills doorway, or stops it, while a phone whose link was
// lost waits to be resumed. Afterwards there is nothing to resume; nothing
// acknowledged is lost, neither what waited for the phone in memory nor what
// it was in the middle of receiving, and what was not acknowledged its sender
// sends again.
func TestKillWhileAbsent(t *testing.T) {
	b := startBox(t, "")
	for _, name := range []string{"alice", "bob"} {
		if out, code := b.run(t, "correct horse\n", "user", "add", name); code != 0 {
			t.Fatal(out)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	dial := func(noBind bool) *chatter {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		c, err := xmpptest.Dial(ctx, b.addr(t, "XMPP"), xmpptest.Options{
			Domain: "office.localhost", User: "bob", Password: "correct horse", Resource: "phone", TLS: xmpptest.StartTLS,
			TLSConfig: &tls.Config{RootCAs: roots(t, ca), MinVersion: tls.VersionTLS13}, NoBind: noBind,
		})
		if err != nil {
			t.Fatal(err)
		}
		return &chatter{c}
	}
	bob := &phone{t: t, dial: dial, got: map[string]int{}}
	to := func() string { // the address a conversation goes to
		if rnd.IntN(2) == 0 {
			return "bob@office.localhost"
		}
		return "bob@office.localhost/phone"
	}
	var l letters
	resumed := 0
	for round := range 12 {
		if bob.back() {
			t.Fatal("a stream of another life was resumed")
		}
		bob.take(100 * time.Millisecond)
		bob.lose()
		alice := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		l.resend(t, alice, to)
		for range rnd.IntN(3) { // back and away again
			l.write(t, alice, to, 20)
			l.confirmed(t, alice, func() bool { return l.first+l.acked == len(l.sent) })
			if !bob.back() {
				t.Fatal("not resumed")
			}
			resumed++
			bob.take(50 * time.Millisecond)
			if rnd.IntN(2) == 0 {
				bob.say(fmt.Sprintf("<a xmlns='%s' h='%d'/>", smSpace, bob.handled))
			}
			bob.lose()
		}
		l.write(t, alice, to, 20+rnd.IntN(40))
		enough := l.acked + rnd.IntN(20)
		l.confirmed(t, alice, func() bool { return l.acked >= enough })
		if round%4 == 3 {
			b.process.stop(t)
		} else {
			b.process.kill(t)
		}
		l.confirmed(t, alice, func() bool { return false }) // what was still under way
		_ = alice.Kill()                                    // ignored: the server's end is gone
		b.start(t)
	}
	alice := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
	l.resend(t, alice, to)
	l.confirmed(t, alice, func() bool { return l.first+l.acked == len(l.sent) })
	bob.back()
	until(t, 30*time.Second, func() (bool, string) {
		bob.take(200 * time.Millisecond)
		i := slices.IndexFunc(l.sent, func(text string) bool { return bob.got[text] == 0 })
		return i < 0, fmt.Sprintf("%d of %d messages have come; the first that is missing is %d", len(bob.got), len(l.sent), i)
	})
	twice := 0
	for _, n := range bob.got {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d messages, %d of them more than once, %d resumptions", len(l.sent), twice, resumed)
}
