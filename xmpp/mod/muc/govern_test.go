package muc_test

import (
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/routertest"
)

// isChief: the chief, u0, administers the server.
func isChief(j jid.JID) bool { return j.Bare().Local() == "u0" }

// TestAdministratorOfGroupRoom: nobody in a group owns its room, so that the
// server's administrators set it up, from inside and from outside.
func TestAdministratorOfGroupRoom(t *testing.T) {
	store := routertest.NewStore()
	g := &groups{}
	k := openGroups(t, store, g)
	g.set("Sales", "alice=admin", "bob=member")
	a, e := k.person("alice"), k.person("u0")
	k.tryJoin(a, "alice")
	if got := condition(a.Ask("set", hall, submit("moderatedroom=1"))); got != "forbidden" {
		t.Errorf("a manager: %s", got)
	}
	if got := condition(e.Ask("set", hall, submit("moderatedroom=1"))); got != "" {
		t.Errorf("an administrator: %s", got)
	}
	if got := condition(e.Ask("set", hall, submit("membersonly=0"))); got != "not-acceptable" {
		t.Errorf("what the group says: %s", got)
	}
	if got := e.Ask("get", service, "<query xmlns='http://jabber.org/protocol/disco#items'/>"); !strings.Contains(got, hall) {
		t.Errorf("the list of rooms: %s", got)
	}
	if got := k.tryJoin(e, "u0"); !slices.Contains(got, "u0 owner/moderator u0@office.example/desk 110 100") {
		t.Errorf("enters: %q", got)
	}
	for _, x := range []struct{ item, want string }{
		{"jid=u0@office.example affiliation=outcast", "not-allowed"},
		{"jid=u0@office.example affiliation=none", "forbidden"},
		{"nick=u0 role=none", "not-allowed"},
	} {
		if got := set(a, x.item); got != x.want {
			t.Errorf("a manager, %s: %s, want %s", x.item, got, x.want)
		}
	}
	if got := set(e, "jid=u0@office.example affiliation=none"); got != "not-allowed" {
		t.Errorf("of oneself: %s", got)
	}
	if rows := strings.Join(store.Rows(), "\n"); strings.Contains(rows, "u0@") {
		t.Errorf("stored: %s", rows)
	}
}

// TestAdministratorOfOrphan: a room whose last owner's account was removed is
// not lost; a room that has an owner is none of the administrators' business.
func TestAdministratorOfOrphan(t *testing.T) {
	o := openWith(t, routertest.NewStore(), muc.Config{Admin: isChief})
	a := o.found("persistentroom=1", "membersonly=1")
	e := o.person("u0")
	if got := condition(e.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'/>")); got != "forbidden" {
		t.Errorf("while there is an owner: %s", got)
	}
	a.Leave()
	if err := o.m.Purge(jid.MustParse("alice@office.example")); err != nil {
		t.Fatal(err)
	}
	if got := condition(o.person("bob").Ask("get", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'/>")); got != "forbidden" {
		t.Errorf("somebody: %s", got)
	}
	if got := condition(e.Ask("set", hall, submit("moderatedroom=1"))); got != "" {
		t.Errorf("configuration without an owner: %s", got)
	}
	if got := condition(e.Ask("set", hall, submit("roomowners=bob@office.example"))); got != "" {
		t.Errorf("a new owner: %s", got)
	}
	if got := condition(e.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'/>")); got != "forbidden" {
		t.Errorf("afterwards: %s", got)
	}
}
