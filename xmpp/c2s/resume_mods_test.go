package c2s

import (
	"strings"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/mod/csi"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
)

// TestResumeOfAnIdlePhone: it is waited for longer, gets what client state
// indication (XEP-0352) held back, and counts as active from then on.
func TestResumeOfAnIdlePhone(t *testing.T) {
	idle := csi.New()
	h := open(t, []xmpp.Module{idle}, loopback, func(c *Config) { c.Idlers = idle })
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	alice.send("<inactive xmlns='urn:xmpp:csi:0'/>")
	alice.counts(0)
	bob.send("<presence to='%s'><show>away</show></presence>", alice.full)
	h.chat(bob, bob, "handled")
	h.lose(alice)
	h.srv.mu.Lock()
	for c := range h.srv.absent.away {
		if got := c.sm.until.Sub(c.sm.lost); got != 10*time.Minute {
			t.Errorf("it is waited for %v", got)
		}
	}
	h.srv.mu.Unlock()
	bob.send("<presence to='%s'><show>xa</show></presence>", alice.full)
	h.chat(bob, bob, "handled, too")
	full := alice.full
	alice = h.resume("alice", id, 0)
	alice.expect("<resumed ")
	alice.expect("<presence", "<show>xa</show>") // the newest
	bob.send("<presence to='%s'><show>chat</show></presence>", full)
	alice.expect("<presence", "<show>chat</show>")
}

// TestPresenceOfAnAbsentClient stays, and ends with the wait; what its
// contacts broadcast meanwhile is queued.
func TestPresenceOfAnAbsentClient(t *testing.T) {
	subs := roster.New(nil)
	h := open(t, []xmpp.Module{subs, presence.New(subs)}, loopback, limits(func(l *Limits) { l.Resume = 2 * time.Second }))
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	for _, p := range []*peer{alice, bob} {
		p.start()
	}
	full := alice.full
	alice.send("<presence type='subscribe' to='bob@%s'/>", home)
	bob.until("type='subscribe'")
	bob.send("<presence type='subscribed' to='alice@%s'/><presence type='subscribe' to='alice@%s'/>", home, home)
	alice.until("type='subscribe'")
	alice.send("<presence type='subscribed' to='bob@%s'/>", home)
	bob.until("<presence", "from='"+full+"'")
	alice.until("subscription='both'")
	id := alice.resumable()
	h.lose(alice)
	bob.send("<presence><show>dnd</show></presence>")
	bob.until("<show>dnd</show>")
	alice = h.resume("alice", id, 0)
	alice.until("<resumed ")
	alice.until("<presence", "from='"+bob.full+"'", "<show>dnd</show>")
	began := time.Now()
	h.lose(alice)
	bob.until("<presence", "type='unavailable'", "from='"+full+"'")
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("it became unavailable after %v", d)
	}
}

// until reads on to an element that has all the parts.
func (p *peer) until(parts ...string) {
	p.t.Helper()
	for {
		s := p.next()
		found := true
		for _, part := range parts {
			found = found && strings.Contains(s, part)
		}
		if found {
			return
		}
	}
}
