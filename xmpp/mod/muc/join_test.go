package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/routertest"
)

// TestFirst: the first who enters makes the room, which is locked until he has
// configured it.
func TestFirst(t *testing.T) {
	o := open(t, nil)
	a, b := o.person("alice"), o.person("bob")
	a.Say("<presence to='" + hall + "/al'>" + join + "</presence>")
	a.Want("made", "al owner/moderator alice@office.example/desk 110 201", "subject hall:")
	b.Say("<presence to='" + hall + "/bo'>" + join + "</presence>")
	b.Want("locked", "error presence bo: item-not-found")
	if got := a.Ask("set", hall, submit()); got != "" {
		t.Fatal(got)
	}
	a.Want("an instant room says nothing")
	b.Say("<presence to='" + hall + "/bo'>" + join + "</presence>")
	b.Want("open", "al owner/moderator", "bo none/participant bob@office.example/desk 110", "subject hall:")
	a.Want("open", "bo none/participant bob@office.example/desk")
	stranger := "<presence from='x@far.example/y' to='new@" + service + "/x'>" + join + "</presence>"
	far := o.Component("far.example")
	o.Route(stranger)
	far.Want("may not make rooms", "error presence x: not-allowed")
}

// TestUnconfigured: cancelling the first configuration ends the room, and so
// does leaving it.
func TestUnconfigured(t *testing.T) {
	o := open(t, nil)
	a := o.enter("alice")[0]
	if got := a.Ask("set", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query>"); got != "" {
		t.Fatal(got)
	}
	a.Want("cancelled", "unavailable alice none/none alice@office.example/desk destroyed 110")
	for _, end := range []func(*routertest.Client){
		func(a *routertest.Client) { a.Say("<presence type='unavailable' to='" + hall + "/alice'/>") },
		func(a *routertest.Client) { a.Leave() },
	} {
		b := o.enter("bob")[0]
		b.Say("<presence to='" + hall + "/alice'/>")
		b.Take()
		end(b)
		c := o.person("carol")
		if got := c.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info'/>"); got != "item-not-found" {
			t.Errorf("the room is still there: %s", got)
		}
		c.Leave()
	}
}

// TestRefusals: who may not enter, and why.
func TestRefusals(t *testing.T) {
	o := open(t, nil)
	a := o.found("membersonly=1", "maxusers=2", "persistentroom=1")
	if got := set(a, "jid=bob@office.example affiliation=member nick=robert", "jid=dave@office.example affiliation=outcast"); got != "" {
		t.Fatal(got)
	}
	b, c, d := o.person("bob"), o.person("carol"), o.person("dave")
	try := func(what string, x *routertest.Client, to, inner string, want ...string) {
		t.Helper()
		x.Take()
		x.Say("<presence to='" + to + "'>" + inner + "</presence>")
		x.Want(what, want...)
	}
	try("no nick", b, hall, join, "error presence hall: jid-malformed")
	b.Say("<presence to='" + hall + "/alice' id='j'>" + join + "</presence>")
	if st := b.One(); st.ID != "j" || !st.HasChild("http://jabber.org/protocol/muc", "x") {
		t.Errorf("clients do not take this for the answer to a join: %s", st)
	}
	try("banned", d, hall+"/dave", join, "error presence dave: forbidden")
	try("not a member", c, hall+"/carol", join, "error presence carol: registration-required")
	try("no join", b, hall+"/bob", "", "error presence bob: not-acceptable")
	try("no join, no room", b, "nowhere@"+service+"/bob", "", "error presence bob: not-acceptable")
	try("in use", b, hall+"/alice", join, "error presence alice: conflict")

	a.Ask("set", hall, submit("membersonly=0", "passwordprotectedroom=1", "roomsecret=sesame &amp; co"))
	try("no password", b, hall+"/bob", join, "error presence bob: not-authorized")
	try("wrong password", b, hall+"/bob", "<x xmlns='http://jabber.org/protocol/muc'><password>x</password></x>", "error presence bob: not-authorized")
	with := "<x xmlns='http://jabber.org/protocol/muc'><password>sesame &amp; co</password></x>"
	try("reserved", c, hall+"/robert", with, "error presence robert: conflict")
	a.Ask("set", hall, submit("x-roomconfig_locknicks=1"))
	try("locked nick", b, hall+"/bob", with, "error presence bob: not-acceptable")
	try("right", b, hall+"/robert", with, "alice owner/moderator", "robert member/participant bob@office.example/desk 110", "subject hall:")
	try("full", c, hall+"/carol", with, "error presence carol: service-unavailable")
	if got := set(a, "jid=carol@office.example affiliation=admin"); got != "" {
		t.Fatal(got)
	}
	try("full, but admin", c, hall+"/carol", with, "alice owner/moderator alice@office.example/desk",
		"robert member/participant bob@office.example/desk", "carol admin/moderator carol@office.example/desk 110", "subject hall:")
	a.Ask("set", hall, submit("passwordprotectedroom=0"))
	phone := o.person("bob/phone")
	try("the own nick is not one more", phone, hall+"/robert", join, "alice owner/moderator", "carol admin/moderator",
		"robert member/participant bob@office.example/phone 110", "subject hall:")
}

// TestAnonymity: real addresses are for moderators, or for all.
func TestAnonymity(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	o.enter("bob")
	a.Take()
	c := o.person("carol")
	c.Say("<presence to='" + hall + "/carol'>" + join + "<show>away</show></presence>")
	c.Want("semi-anonymous", "alice owner/moderator", "bob none/participant", "carol none/participant carol@office.example/desk 110", "subject hall:")
	a.Want("a moderator sees", "carol none/participant carol@office.example/desk")
	a.Ask("set", hall, submit("whois=anyone", "enablelogging=1"))
	c.Want("changed", "message hall 170 172")
	c.Say("<presence type='unavailable' to='" + hall + "/carol'/>")
	c.Take()
	c.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	c.Want("non-anonymous", "alice owner/moderator alice@office.example/desk", "bob none/participant bob@office.example/desk",
		"carol none/participant carol@office.example/desk 110 100 170", "subject hall:")
}

// TestSharedNick: the resources of a person share a nick.
func TestSharedNick(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	a.Take()
	phone := o.person("bob/phone")
	phone.Say("<presence to='" + hall + "/bob'>" + join + "<show>xa</show></presence>")
	a.Want("second resource", "bob none/participant bob@office.example/phone")
	b.Want("second resource", "bob none/participant bob@office.example/phone 110")
	phone.Want("second resource", "alice owner/moderator", "bob none/participant bob@office.example/phone 110", "subject hall:")
	say(a, "hello")
	b.Want("both hear", "groupchat alice: hello")
	phone.Want("both hear", "groupchat alice: hello")
	forget(a)
	phone.Leave()
	a.Want("one left", "bob none/participant bob@office.example/desk")
	b.Want("one left", "bob none/participant bob@office.example/desk 110")
	b.Leave()
	a.Want("all left", "unavailable bob none/none bob@office.example/desk")
}

func TestNickChange(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	p := o.enter("bob", "carol")
	b, c := p[0], p[1]
	forget(a, b)
	b.Say("<presence to='" + hall + "/carol'/>")
	b.Want("taken", "error presence carol: conflict")
	b.Say("<presence to='" + hall + "/bobby'/>")
	c.Want("renamed", "unavailable bob none/participant bobby 303", "bobby none/participant")
	b.Want("renamed", "unavailable bob none/participant bob@office.example/desk bobby 110 303", "bobby none/participant bob@office.example/desk 110")
	a.Take()
	for range 20 {
		b.Say("<presence to='"+hall+"/x'/>", "<presence to='"+hall+"/y'/>")
	}
	if n := len(c.Take()); n > 20 {
		t.Errorf("a flood of nicks made %d presences", n)
	}
	b.Take()
	o.now = o.now.Add(time.Minute)
	b.Say("<presence to='" + hall + "/bob'/>")
	if n := len(b.Take()); n != 2 {
		t.Errorf("after a rest: %d presences", n)
	}
}

// TestPresence: new status reaches all, the same again nobody, and what only a
// room may say is taken out.
func TestPresence(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	a.Take()
	b.Say("<presence to='" + hall + "/bob'><show>dnd</show><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/></x>" +
		"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></presence>")
	st := a.One()
	if x := st.Inner(); !strings.Contains(x, "<show>dnd</show>") || strings.Contains(x, "owner") || strings.Contains(x, "forged") || strings.Count(x, "occupant-id:0") != 1 {
		t.Error(x)
	}
	b.Want("self", "bob none/participant bob@office.example/desk 110")
	b.Say("<presence to='" + hall + "/bob'><show>dnd</show></presence>")
	a.Want("nothing new")
	for i := range 500 {
		b.Say(fmt.Sprintf("<presence to='%s'><status>%d</status></presence>", hall, i))
	}
	if n := len(a.Take()); n > 40 {
		t.Errorf("a storm of presence reached others %d times", n)
	}
}

// TestRejoin: a client that has lost its state enters again.
func TestRejoin(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	say(a, "hello")
	forget(a, b)
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	b.Want("again", "alice owner/moderator", "bob none/participant bob@office.example/desk 110", "groupchat alice: hello (late)", "subject hall:")
}

// TestHistory: how much of it is told.
func TestHistory(t *testing.T) {
	for _, conf := range []string{"persistentroom=0", "persistentroom=1"} {
		store := routertest.NewStore()
		o := open(t, store)
		a := o.found(conf)
		for i := range 60 {
			say(a, fmt.Sprint("m", i))
			o.now = o.now.Add(time.Second)
		}
		a.Say("<message type='groupchat' to='" + hall + "'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
		get := func(history string) []string {
			b := o.person("bob")
			defer b.Leave()
			b.Say("<presence to='" + hall + "/bob'><x xmlns='http://jabber.org/protocol/muc'>" + history + "</x></presence>")
			all := b.Recv()
			return all[2 : len(all)-1]
		}
		want := func(from, n int) []string {
			var l []string
			for i := from; i < from+n; i++ {
				l = append(l, fmt.Sprintf("groupchat alice: m%d (late)", i))
			}
			return l
		}
		same(t, "default", get(""), want(40, 20))
		same(t, "none", get("<history maxstanzas='0'/>"), nil)
		same(t, "no chars", get("<history maxchars='0'/>"), nil)
		same(t, "three", get("<history maxstanzas='3'/>"), want(57, 3))
		same(t, "seconds", get("<history seconds='5'/>"), want(55, 5))
		same(t, "since", get("<history since='2026-03-01T12:00:58Z'/>"), want(58, 2))
		same(t, "more than there is", get("<history maxstanzas='1000'/>"), want(40, 20))
		a.Ask("set", hall, submit("muc#maxhistoryfetch=70"))
		same(t, "as configured", get(""), want(10, 50))
		if n := len(store.Rows()); conf == "persistentroom=0" && n != 50 {
			t.Errorf("%d rows", n)
		}
		a.Leave()
		if conf == "persistentroom=0" && store.Len() != 0 {
			t.Errorf("left behind: %v", store.Rows())
		}
	}
}
