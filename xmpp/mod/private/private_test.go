package private_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/mod/private"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
)

func query(inner string) string { return "<query xmlns='jabber:iq:private'>" + inner + "</query>" }

func TestStorage(t *testing.T) {
	store := routertest.NewStore()
	o := routertest.Open(t, router.Config{Store: store}, private.New())
	a, b := o.Login(alice+"/desk"), o.Login(bob+"/desk")
	marks := query("<storage xmlns='storage:bookmarks'><conference name='A &amp; B'\n jid='x@y'/></storage>")
	for _, c := range []struct {
		who         *routertest.Client
		typ, to     string
		in, want    string
		description string
	}{
		{a, "get", "", query("<storage xmlns='storage:bookmarks'/>"), query("<storage xmlns='storage:bookmarks'/>"), "never stored"},
		{a, "set", "", marks, "", "store"},
		{a, "get", "", query("<storage xmlns='storage:bookmarks'/>"), marks, "as it was written"},
		{a, "get", alice, query("<storage xmlns='storage:bookmarks'>x</storage>"), marks, "own bare JID"},
		{b, "get", "", query("<storage xmlns='storage:bookmarks'/>"), query("<storage xmlns='storage:bookmarks'/>"), "another account"},
		{a, "get", "", query("<other xmlns='storage:bookmarks'/>"), query("<other xmlns='storage:bookmarks'/>"), "another name"},
		{a, "get", "", query("<storage xmlns='storage:else'/>"), query("<storage xmlns='storage:else'/>"), "another namespace"},
		{a, "set", "", query("<p:x xmlns:p='u:p'><p:y/></p:x>"), "", "prefix"},
		{a, "get", "", query("<x xmlns='u:p'/>"), query("<p:x xmlns='jabber:iq:private' xmlns:p='u:p'><p:y/></p:x>"), "prefix, with the default namespace it stood in"},
		{a, "set", "", query("<x xmlns='u:p'/>"), "", "replace"},
		{a, "get", "", query("<x xmlns='u:p'/>"), query("<x xmlns='u:p'/>"), "replaced"},
		{a, "get", "", query(""), "bad-request", "nothing"},
		{a, "set", "", query(""), "bad-request", "nothing"},
		{a, "get", "", query("<a xmlns='u'/><b xmlns='u'/>"), "bad-request", "two"},
		{a, "set", "", query("<a xmlns='u'/><b xmlns='u'/>"), "bad-request", "two"},
		{a, "set", "", query("<a/>"), "bad-request", "no namespace"},
		{a, "set", "", query("<a xmlns='jabber:client'/>"), "bad-request", "no namespace"},
		{a, "set", bob, query("<a xmlns='u'/>"), "forbidden", "another user"},
		{a, "get", bob, query("<a xmlns='u'/>"), "forbidden", "another user"},
		{a, "get", "nobody@office.example", query("<a xmlns='u'/>"), "forbidden", "no such user"},
		{a, "set", "", query("<a xmlns='u'>" + strings.Repeat("x", 128<<10) + "</a>"), "not-acceptable", "too big"},
	} {
		if got := c.who.Ask(c.typ, c.to, c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.description, got, c.want)
		}
	}
	store.Fail(errors.New("disk full"))
	if got := a.Ask("set", "", query("<a xmlns='u'/>")); got != "internal-server-error" {
		t.Errorf("disk full: %s", got)
	}
}

func TestLimitAndPurge(t *testing.T) {
	store := routertest.NewStore()
	m := private.New()
	o := routertest.Open(t, router.Config{Store: store}, m)
	a, b := o.Login(alice+"/desk"), o.Login(bob+"/desk")
	b.Ask("set", "", query("<a xmlns='u'/>"))
	for i := range 100 {
		if got := a.Ask("set", "", query(fmt.Sprintf("<a%d xmlns='u'/>", i))); got != "" {
			t.Fatalf("%d: %s", i, got)
		}
	}
	if got := a.Ask("set", "", query("<more xmlns='u'/>")); got != "resource-constraint" {
		t.Errorf("101: %s", got)
	}
	if got := a.Ask("set", "", query("<a7 xmlns='u'>new</a7>")); got != "" {
		t.Errorf("replace: %s", got)
	}
	if err := m.Purge(jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	if store.Len() != 1 {
		t.Errorf("%d rows left", store.Len())
	}
}
