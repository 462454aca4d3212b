package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// TestGroupRoom: a group with a room, edited from the command line while its
// people are in it, over a restart, until it is gone.
func TestGroupRoom(t *testing.T) {
	b := startBox(t, "")
	run := func(in string, args ...string) {
		t.Helper()
		if out, code := b.run(t, in, args...); code != 0 {
			t.Fatalf("%q: %s", args, out)
		}
	}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		run("correct horse\n", "user", "add", name)
	}
	run("", "group", "add", "sales", "dave", "bob", "--label", "Sales", "--room", "offered", "--manager", "dave")
	const room = "sales@conference.office.localhost"
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	login := func(name string) *chatter {
		c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", name, "correct horse")
		t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
		return c
	}
	enter := func(c *chatter, nick, want string) {
		t.Helper()
		if err := c.Send("<presence to='" + room + "/" + nick + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
			t.Fatal(err)
		}
		c.sees(t, nick+" enters", func(s string) bool { return strings.Contains(s, want) })
	}
	dave, bob, carol := login("dave"), login("bob"), login("carol")
	enter(dave, "da", "affiliation='admin'")
	enter(bob, "bo", "code='110'")
	enter(carol, "ca", "<registration-required")

	run("", "group", "edit", "sales", "--label", "Sales & more")
	bob.sees(t, "another name", func(s string) bool { return strings.Contains(s, "code='104'") })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	info, err := bob.Get(ctx, jid.MustParse(room), "<query xmlns='http://jabber.org/protocol/disco#info'/>")
	if err != nil || !strings.Contains(info.Inner(), "name='Sales &amp; more'") || !strings.Contains(info.Inner(), "muc_membersonly") {
		t.Errorf("%v %v", info, err)
	}
	_, err = dave.Set(ctx, jid.MustParse(room), "<query xmlns='"+roomAdmin+"'><item affiliation='none' jid='bob@office.localhost'/></query>")
	if e, ok := err.(*stanza.Error); !ok || e.Condition != stanza.NotAllowed || !strings.Contains(e.Text, "Sales & more") {
		t.Errorf("a computed member is taken out: %v", err)
	}
	moderated := "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>" +
		"<field var='muc#roomconfig_moderatedroom'><value>1</value></field></x></query>"
	_, err = dave.Set(ctx, jid.MustParse(room), moderated)
	if e, ok := err.(*stanza.Error); !ok || e.Condition != stanza.Forbidden {
		t.Errorf("a manager sets the room up: %v", err)
	}
	if _, err = login("alice").Set(ctx, jid.MustParse(room), moderated); err != nil {
		t.Errorf("an administrator of the server sets the room up: %v", err)
	}

	run("", "group", "member", "add", "sales", "carol")
	enter(carol, "ca", "code='110'")
	run("", "group", "member", "remove", "sales", "bob")
	bob.sees(t, "the end of his membership", func(s string) bool { return strings.Contains(s, "code='321'") })
	enter(bob, "bo", "<registration-required")

	b.process.kill(t)
	b.start(t)
	dave, bob = login("dave"), login("bob")
	enter(bob, "bo", "<registration-required")
	enter(dave, "da", "code='110'")
	run("", "group", "edit", "sales", "--room", "none")
	dave.sees(t, "the end of the room", func(s string) bool { return strings.Contains(s, "<destroy") })
	enter(dave, "da", "<gone")
}
