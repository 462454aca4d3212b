package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/mod/muc"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// refused counts the errors of a condition among what somebody got.
func refused(c *routertest.Client, cond stanza.Condition) (n int) {
	for _, st := range c.Take() {
		if e, ok := stanza.ErrorOf(st); ok && e.Condition == cond {
			n++
		}
	}
	return n
}

// TestNickFlood: who changes his nickname all the time is stopped, and nobody
// else notices.
func TestNickFlood(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b, c := o.enter("bob")[0], o.enter("carol")[0]
	forget(a, b, c)
	for i := range 100 {
		b.Say(fmt.Sprintf("<presence to='%s/bob%d'/>", hall, i))
	}
	if n := refused(b, stanza.ResourceConstraint); n != 94 { // 30 presences' worth, five for each
		t.Errorf("%d of 100 changes of nickname were refused", n)
	}
	if n := len(a.Take()); n != 12 {
		t.Errorf("alice heard %d presences", n)
	}
	c.Say("<presence to='" + hall + "/carola'/>")
	a.Want("another is not slowed", "unavailable carol none/participant carol@office.example/desk carola 303", "carola none/participant carol@office.example/desk")
	o.now = o.now.Add(time.Minute)
	b.Take()
	b.Say("<presence to='" + hall + "/robert'/>")
	if n := refused(b, stanza.ResourceConstraint); n != 0 {
		t.Error("still refused after a minute")
	}
}

// TestPresenceStorm: the same for presence.
func TestPresenceStorm(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	forget(a, b)
	for i := range 200 {
		b.Say(fmt.Sprintf("<presence to='%s/bob'><status>%d</status></presence>", hall, i))
	}
	if n := refused(b, stanza.ResourceConstraint); n != 170 {
		t.Errorf("%d of 200 presences were refused", n)
	}
	if n := len(a.Take()); n != 30 {
		t.Errorf("alice heard %d presences", n)
	}
	say(b, "still here")
	a.Want("words are not refused", "groupchat bob: still here")
}

// TestRoomsOfOneAccount: one account makes so many rooms and no more, also
// after a restart; others make theirs.
func TestRoomsOfOneAccount(t *testing.T) {
	store := routertest.NewStore()
	o := openWith(t, store, muc.Config{RoomsEach: 3})
	a := o.person("alice")
	enter := func(c *routertest.Client, i int) string {
		room := fmt.Sprintf("room%d@%s", i, service)
		c.Say("<presence to='" + room + "/me'>" + join + "</presence>")
		for _, st := range c.Take() {
			if e, ok := stanza.ErrorOf(st); ok {
				return string(e.Condition)
			}
		}
		return c.Ask("set", room, submit("persistentroom=1"))
	}
	for i := range 3 {
		same(t, "a room", []string{enter(a, i)}, []string{""})
	}
	same(t, "one too many", []string{enter(a, 3)}, []string{"not-allowed"})
	o = openWith(t, store, muc.Config{RoomsEach: 3})
	a = o.person("alice")
	same(t, "after a restart", []string{enter(a, 3)}, []string{"not-allowed"})
	same(t, "another's", []string{enter(o.person("bob"), 3)}, []string{""})
	if got := a.Ask("set", "room0@"+service, "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>"); got != "" {
		t.Fatal(got)
	}
	same(t, "one less", []string{enter(a, 4)}, []string{""})
}

// TestSeats: no room holds more resources than any may, those of one person
// and an owner's too.
func TestSeats(t *testing.T) {
	o := openWith(t, nil, muc.Config{Seats: 5})
	o.found("muc#roomconfig_maxusers=none")
	o.enter("bob/1", "bob/2", "bob/3", "bob/4")
	a := o.person("alice/phone")
	a.Say("<presence to='" + hall + "/alice'>" + join + "</presence>")
	a.Want("an owner", "error presence alice: service-unavailable")
	late := o.person("carol")
	late.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	late.Want("full", "error presence carol: service-unavailable")
}

// TestOwnerLeavesWhileConfiguring: the room goes, and those who wait for it get
// exact answers; a configuration that comes too late has no room.
func TestOwnerLeavesWhileConfiguring(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a, b := o.enter("alice")[0], o.person("bob")
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	b.Want("not open yet", "error presence bob: item-not-found")
	if got := a.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'/>"); !strings.Contains(got, "roomconfig_roomname") {
		t.Fatal(got)
	}
	a.Say("<presence type='unavailable' to='" + hall + "/alice'/>")
	a.Take()
	if got := condition(a.Ask("set", hall, submit("persistentroom=1"))); got != "item-not-found" {
		t.Errorf("too late: %s", got)
	}
	if n := store.Len(); n != 0 {
		t.Errorf("%d rows stay: %q", n, store.Rows())
	}
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	if got := b.Recv(); len(got) == 0 || got[0] != "bob owner/moderator bob@office.example/desk 110 201" {
		t.Errorf("the name is free: %q", got)
	}
}

// TestArchiveNonsense: what a room's archive is asked wrongly.
func TestArchiveNonsense(t *testing.T) {
	k := openKept(t, nil)
	a := k.found("persistentroom=1")
	for i := range 5 {
		say(a, fmt.Sprint(i))
	}
	said := ids(a.Take())
	rsm := func(s string) string { return "<set xmlns='http://jabber.org/protocol/rsm'>" + s + "</set>" }
	field := func(name, value string) string {
		return "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='" + name + "'><value>" + value + "</value></field></x>"
	}
	for _, x := range []struct{ what, ask, want string }{
		{"a negative page", rsm("<max>-1</max>"), "bad-request"},
		{"no number", rsm("<max>ten</max>"), "bad-request"},
		{"by index", rsm("<index>3</index>"), "feature-not-implemented"},
		{"twice", rsm("<max>1</max><max>2</max>"), "bad-request"},
		{"after an unknown id", rsm("<after>0000000000000001</after>"), "item-not-found"},
		{"after nonsense", rsm("<after>x'y&amp;</after>"), "item-not-found"},
		{"before an unknown id", rsm("<before>ffffffffffffffff</before>"), "item-not-found"},
		{"an unknown id", field("ids", "0000000000000001"), "item-not-found"},
		{"after-id unknown", field("after-id", "nope"), "item-not-found"},
		{"no date", field("start", "yesterday"), "bad-request"},
		{"no address", field("with", "@@"), "bad-request"},
		{"an unknown field", field("mood", "good"), "feature-not-implemented"},
		{"another form", "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>other</value></field></x>", "bad-request"},
		{"a form not submitted", "<x xmlns='jabber:x:data' type='form'/>", "bad-request"},
	} {
		if got, _, fin := results(a, x.ask); condition(fin) != x.want || len(got) > 0 {
			t.Errorf("%s: %s %q, want %s", x.what, fin, got, x.want)
		}
	}
	if got := condition(a.Ask("set", hall, "<query xmlns='urn:xmpp:mam:2' node='n'/>")); got != "item-not-found" {
		t.Errorf("a node: %s", got)
	}
	for _, x := range []struct {
		what, ask string
		want      []string
	}{
		{"a huge page", rsm("<max>99999999999999999999999999</max>"), said},
		{"between", rsm("<after>" + said[0] + "</after><before>" + said[4] + "</before>"), said[1:4]},
		{"between, the wrong way", rsm("<after>" + said[3] + "</after><before>" + said[1] + "</before>"), nil},
		{"flipped", rsm("<max>2</max><before/>") + "<flip-page/>", []string{said[4], said[3]}},
		{"some", field("ids", said[2]), said[2:3]},
		{"nothing", rsm("<max>0</max>"), nil},
	} {
		got, _, fin := results(a, x.ask)
		same(t, x.what, got, x.want)
		if !strings.HasPrefix(fin, "<fin") {
			t.Errorf("%s: %s", x.what, fin)
		}
	}
}
