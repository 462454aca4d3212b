package presence_test

import (
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// TestInitialPresence is RFC 6121 §4.2: contacts that see the user, the user's
// own resources, and what the user may see.
func TestInitialPresence(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	o.subs[alice+" "+carol] = true // carol sees alice
	o.subs[alice+" "+far], o.subs[far+" "+alice] = true, true
	b := o.Login(bob + "/desk")
	b.Say("<presence><show>dnd</show><priority>-5</priority></presence>")
	quiet := o.Login(bob + "/quiet") // connected, not available
	c := o.online(carol+"/desk", b)
	other := o.online(alice+"/phone", b, c)
	b.Recv()

	a := o.Login(alice + "/desk")
	var seen []string
	o.after = func(d *xmpp.Delivery) { // what runs after finds everything sent, the sender available
		p, prio := d.Sender.Presence()
		seen = append(seen, fmt.Sprint(p != nil, prio, len(b.All())))
	}
	a.Say("<presence id='p1'><show>away</show><priority>7</priority><c xmlns='urn:caps'/></presence>")
	inner := "<show>away</show><priority>7</priority><c xmlns='urn:caps'/>"
	routertest.Same(t, "later hooks", seen, "true 7 1")
	b.Want("bob", "presence p1 "+alice+"/desk > "+bob+" "+inner)
	quiet.Want("bob's connected resource")
	c.Want("carol", "presence p1 "+alice+"/desk > "+carol+" "+inner)
	o.peer.Want("far", "presence p1 "+alice+"/desk > "+far+" "+inner, "probe "+alice+" > "+far)
	other.Want("alice's phone", "presence p1 "+alice+"/desk > "+alice+" "+inner)
	a.Want("alice", "presence p1 "+alice+"/desk > "+alice+" "+inner,
		"presence "+alice+"/phone > "+alice+"/desk",
		"presence "+bob+"/desk > "+alice+"/desk <show>dnd</show><priority>-5</priority>")
}

// TestUpdate is RFC 6121 §4.4: no probes, nothing collected again.
func TestUpdate(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	o.subs.friends(alice, far)
	b := o.online(bob + "/desk")
	a := o.online(alice+"/desk", b)
	a.Say("<presence><show>xa</show></presence>")
	b.Want("bob", "presence "+alice+"/desk > "+bob+" <show>xa</show>")
	a.Want("alice", "presence "+alice+"/desk > "+alice+" <show>xa</show>")
	o.peer.Want("far", "presence "+alice+"/desk > "+far+" <show>xa</show>")
	// After unavailable it is an initial presence again (§4.5.2).
	a.Say("<presence type='unavailable'/>")
	a.Recv()
	o.peer.Recv()
	a.Say("<presence/>")
	a.Want("alice", "presence "+alice+"/desk > "+alice, "presence "+bob+"/desk > "+alice+"/desk")
}

// TestUnavailable is RFC 6121 §4.5: with the last status, once, to the
// resource itself too.
func TestUnavailable(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b, a2 := o.online(bob+"/desk"), o.online(alice+"/phone")
	a := o.online(alice+"/desk", b, a2)
	a.Say("<presence type='unavailable' id='u'><status>gone home</status></presence>")
	for _, c := range []*routertest.Client{a, a2} {
		c.Want("alice", "unavailable u "+alice+"/desk > "+alice+" <status>gone home</status>")
	}
	b.Want("bob", "unavailable u "+alice+"/desk > "+bob+" <status>gone home</status>")
	if p, prio := a.Session.Presence(); p != nil || prio != 0 {
		t.Errorf("still available: %v %d", p, prio)
	}
	a.Say("<presence type='unavailable'/>")
	a.Leave()
	b.Want("bob, once")
	a2.Want("alice's phone, once")
}

// TestStreamDeath: the server makes up the unavailable presence (§4.5.2).
func TestStreamDeath(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b, a2 := o.online(bob+"/desk"), o.online(alice+"/phone")
	a := o.online(alice+"/desk", b, a2)
	a.Say("<presence to='room@peer.example/al'/>")
	o.peer.Recv()
	a.Leave()
	b.Want("bob", "unavailable "+alice+"/desk > "+bob)
	a2.Want("alice's phone", "unavailable "+alice+"/desk > "+alice)
	o.peer.Want("room", "unavailable "+alice+"/desk > room@peer.example/al")
	a.Leave()
	b.Want("bob")
	silent := o.Login(alice + "/silent") // never available: nobody hears of it
	silent.Leave()
	b.Want("bob")
}

// TestSameResourceAgain: a client that is back before its loss was noticed.
func TestSameResourceAgain(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	o.online(alice+"/desk", b)
	again := o.Login(alice + "/desk")
	b.Want("bob", "unavailable "+alice+"/desk > "+bob)
	again.Say("<presence/>")
	b.Want("bob", "presence "+alice+"/desk > "+bob)
}

// TestBadPresence: what is refused is neither broadcast nor kept.
func TestBadPresence(t *testing.T) {
	for _, c := range []struct{ inner, want string }{
		{"<priority>128</priority>", "bad-request"},
		{"<priority>-129</priority>", "bad-request"},
		{"<priority>high</priority>", "bad-request"},
		{"<priority/>", "bad-request"},
		{"<priority>1.5</priority>", "bad-request"},
		{"<priority>1</priority><priority>1</priority>", "bad-request"},
		{"<priority>1<x/></priority>", "bad-request"},
		{"<show>online</show>", "bad-request"},
		{"<show/>", "bad-request"},
		{"<show>away</show><show>away</show>", "bad-request"},
		{"<priority>127</priority><show>chat</show>", ""},
		{"<priority> -128 </priority><show>xa</show>", ""},
		{"<x:priority xmlns:x='urn:x'>999</x:priority><show xmlns='urn:x'>?</show>", ""},
		{"<x xmlns='urn:x'><show>?</show><priority>999</priority></x>", ""},
		{"<status>show priority</status>", ""},
	} {
		for _, to := range []string{"", " to='" + bob + "'"} {
			t.Run(c.inner+to, func(t *testing.T) {
				o := start(t)
				o.subs.friends(alice, bob)
				b := o.online(bob + "/desk")
				a := o.Login(alice + "/desk")
				a.Say("<presence" + to + ">" + c.inner + "</presence>")
				got := strings.Join(a.Recv(), "\n")
				if refused := strings.Contains(got, c.want) && c.want != ""; refused != (c.want != "") || strings.Contains(got, "error") != refused {
					t.Errorf("alice got %q", got)
				}
				p, _ := a.Session.Presence()
				if n := len(b.Recv()); (n > 0) != (c.want == "") || (p != nil) != (c.want == "" && to == "") {
					t.Errorf("bob got %d stanzas, presence kept %v", n, p)
				}
			})
		}
	}
}

func TestPriority(t *testing.T) {
	o := start(t)
	a := o.Login(alice + "/desk")
	for xml, want := range map[string]int8{"<presence/>": 0, "<presence><priority>127</priority></presence>": 127,
		"<presence><priority>-128</priority></presence>": -128, "<presence><priority>+5</priority></presence>": 5} {
		a.Say(xml)
		if p, prio := a.Session.Presence(); p == nil || prio != want {
			t.Errorf("%s has priority %d", xml, prio)
		}
	}
}

// TestUnknownType is RFC 6121 §4.7.1, from a client and from elsewhere.
func TestUnknownType(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	a.Say("<presence type='available'/>", "<presence type='away' to='"+bob+"'/>")
	a.Want("alice", "error "+alice+" > "+alice+"/desk bad-request", "error "+bob+" > "+alice+"/desk bad-request")
	o.Route("<presence type='here' from='" + far + "' to='" + alice + "'/>")
	o.peer.Want("far", "error "+alice+" > "+far+" bad-request")
	a.Want("alice")
}

// TestNothingForStrangers: somebody who does not see the user hears nothing.
func TestNothingForStrangers(t *testing.T) {
	o := start(t)
	o.subs[bob+" "+alice] = true // alice sees bob, not the reverse
	b := o.online(bob + "/desk")
	a := o.Login(alice + "/desk")
	a.Say("<presence/>")
	a.Want("alice", "presence "+alice+"/desk > "+alice, "presence "+bob+"/desk > "+alice+"/desk")
	a.Say("<presence type='unavailable'/>")
	b.Want("bob")
}

// TestPresenceForUnknownUser is RFC 6121 §8.5.1.
func TestPresenceForUnknownUser(t *testing.T) {
	o := start(t)
	for _, typ := range []string{"", " type='unavailable'", " type='error'"} {
		o.Route("<presence from='" + far + "' to='nobody@office.example'" + typ + "/>")
	}
	o.peer.Want("far")
}

// TestNoGhosts: a contact's presence that is collected at login, and crosses the
// contact's own unavailable presence on the way, is corrected.
func TestNoGhosts(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	a := o.Login(alice + "/desk")
	left := false
	o.before = func(d *xmpp.Delivery) {
		if d.Stanza.From == b.Session.JID() && d.Stanza.To == a.Session.JID() && !left {
			left = true // alice has looked at bob; before she tells her client, he leaves
			b.Say("<presence type='unavailable'><status>bye</status></presence>")
		}
	}
	a.Say("<presence/>")
	a.Want("alice", "presence "+alice+"/desk > "+alice,
		"unavailable "+bob+"/desk > "+alice+" <status>bye</status>",
		"presence "+bob+"/desk > "+alice+"/desk",
		"unavailable "+bob+"/desk > "+alice+"/desk <status>bye</status>")
}

// TestDeathDuringBroadcast: a stream that is replaced while its presence is on
// the way to contacts is unavailable in the end.
func TestDeathDuringBroadcast(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	o.subs.friends(alice, carol)
	b := o.online(bob + "/desk")
	c := o.online(carol+"/desk", b)
	a := o.Login(alice + "/desk")
	var once bool
	b.OnSend = func(st *stanza.Stanza) {
		if !once {
			once = true
			a.Leave() // as from another goroutine, in the midst of the broadcast
		}
	}
	a.Say("<presence/>")
	b.Want("bob", "presence "+alice+"/desk > "+bob, "unavailable "+alice+"/desk > "+bob)
	c.Want("carol", "presence "+alice+"/desk > "+carol, "unavailable "+alice+"/desk > "+carol)
}
