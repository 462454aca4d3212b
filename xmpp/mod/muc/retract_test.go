package muc_test

import (
	"errors"
	"strings"
	"testing"

	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

func moderate(id, reason string) string {
	if reason != "" {
		reason = "<reason>" + reason + "</reason>"
	}
	return "<moderate xmlns='urn:xmpp:message-moderate:1' id='" + id + "'><retract xmlns='urn:xmpp:message-retract:1'/>" + reason + "</moderate>"
}

// past is what somebody new hears of the hall's history.
func (k *keeper) past(name string) string {
	k.T.Helper()
	c := k.person(name)
	c.Say("<presence to='" + hall + "/" + name + "'>" + join + "</presence>")
	var b strings.Builder
	for _, st := range c.Take() {
		if st.Kind == stanza.Message {
			b.WriteString(st.String())
		}
	}
	c.Leave()
	return b.String()
}

// TestModeration: a moderator retracts what another has said: everybody hears
// of it, and neither history nor archive shows it again.
func TestModeration(t *testing.T) {
	k := openKept(t, nil)
	a := k.found("persistentroom=1")
	b := k.enter("bob")[0]
	say(b, "rude")
	say(b, "kind")
	said := ids(a.Take())
	b.Take()
	erin := k.person("erin")
	for _, x := range []struct {
		what string
		who  *routertest.Client
		to   string
		ask  string
		want string
	}{
		{"a participant", b, hall, moderate(said[0], ""), "forbidden"},
		{"a stranger", erin, hall, moderate(said[0], ""), "forbidden"},
		{"a stranger, an unknown id", erin, hall, moderate("nonsense", ""), "forbidden"},
		{"an unknown id", a, hall, moderate("0000000000000001", ""), "item-not-found"},
		{"no id of ours", a, hall, moderate("nonsense", ""), "item-not-found"},
		{"without an id", a, hall, moderate("", ""), "bad-request"},
		{"without an action", a, hall, "<moderate xmlns='urn:xmpp:message-moderate:1' id='" + said[0] + "'/>", "bad-request"},
		{"something else", a, hall, "<apply-to xmlns='urn:xmpp:fasten:0' id='" + said[0] + "'/>", "bad-request"},
		{"a long reason", a, hall, moderate(said[0], strings.Repeat("x", 3000)), "not-acceptable"},
		{"a room that is not", a, "nowhere@" + service, moderate(said[0], ""), "item-not-found"},
	} {
		if got := condition(x.who.Ask("set", x.to, x.ask)); got != x.want {
			t.Errorf("%s: %s, want %s", x.what, got, x.want)
		}
	}
	a.Want("nothing was told")
	if got := a.Ask("set", hall, moderate(said[0], "Not here &amp; now")); got != "" {
		t.Fatal(got)
	}
	for _, c := range []*routertest.Client{a, b} {
		st := c.One()
		inner := st.Inner()
		if st.Type != "groupchat" || st.From.String() != hall || st.ID == "" ||
			!strings.Contains(inner, "<retract xmlns='urn:xmpp:message-retract:1' id='"+said[0]+"'><moderated xmlns='urn:xmpp:message-moderate:1' by='"+hall+"/alice'><occupant-id") ||
			!strings.Contains(inner, "</moderated><reason>Not here &amp; now</reason></retract>") ||
			!strings.Contains(inner, "<apply-to xmlns='urn:xmpp:fasten:0' id='"+said[0]+"'><moderated xmlns='urn:xmpp:message-moderate:0' by='"+hall+"/alice'><retract xmlns='urn:xmpp:message-retract:0'/><reason>") {
			t.Errorf("%s", st)
		}
		if got := ids([]*stanza.Stanza{st}); len(got) != 1 {
			t.Errorf("not archived: %s", st)
		}
	}
	_, xml, _ := results(b, "")
	if len(xml) != 3 || strings.Contains(xml[0], "rude") || strings.Contains(xml[0], "<body") || !strings.Contains(xml[0], "<occupant-id") ||
		!strings.Contains(xml[0], "<retracted xmlns='urn:xmpp:message-retract:1' id='") || !strings.Contains(xml[0], "stamp='2026-03-01T12:00:00") ||
		!strings.Contains(xml[0], "by='"+hall+"/alice'") || !strings.Contains(xml[0], "<reason>Not here") || !strings.Contains(xml[2], "<retract ") {
		t.Errorf("%q", xml)
	}
	if strings.Contains(xml[0], "bob@office") {
		t.Errorf("the tombstone gives an address away: %s", xml[0])
	}
	past := k.past("carol")
	if strings.Contains(past, "rude") || !strings.Contains(past, "kind") {
		t.Errorf("history: %s", past)
	}
	announced, _, _ := results(a, "<set xmlns='http://jabber.org/protocol/rsm'><before/><max>1</max></set>")
	if got := a.Ask("set", hall, moderate(announced[0], "")); condition(got) != "item-not-found" {
		t.Errorf("the announcement itself: %s", got)
	}
	if got := a.Ask("set", hall, moderate(said[0], "")); got != "" {
		t.Errorf("once more: %s", got)
	}
}

// TestModerationOfOldClients: the request of XEP-0425 0.2, in a room without an
// archive.
func TestModerationOfOldClients(t *testing.T) {
	k := &keeper{office: open(t, nil)}
	a := k.found()
	b := k.enter("bob")[0]
	say(b, "rude")
	id := ids(a.Take())[0]
	b.Take()
	if got := a.Ask("set", hall, "<apply-to xmlns='urn:xmpp:fasten:0' id='"+id+"'><moderate xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/><reason>spam</reason></moderate></apply-to>"); got != "" {
		t.Fatal(got)
	}
	if st := b.One(); !strings.Contains(st.Inner(), "<reason>spam</reason></moderated></apply-to>") || !strings.Contains(st.Inner(), "<reason>spam</reason></retract>") {
		t.Errorf("%s", st)
	}
	if past := k.past("carol"); strings.Contains(past, "rude") {
		t.Errorf("history: %s", past)
	}
}

// TestOwnRetraction: who has written a message takes it back, from another
// resource and under another nick too; nobody else does.
func TestOwnRetraction(t *testing.T) {
	k := openKept(t, nil)
	a := k.found("persistentroom=1", "moderatedroom=1")
	set(a, "jid=bob@office.example affiliation=member")
	b := k.enter("bob")[0]
	carol := k.enter("carol")[0]
	forget(a, b)
	say(b, "oops")
	said := ids(a.Take())
	forget(b, carol)
	takeBack := "<message type='groupchat' to='" + hall + "' id='r1'><retract xmlns='urn:xmpp:message-retract:1' id='" + said[0] + "'/><body>/me retracted</body><fallback xmlns='urn:xmpp:fallback:0'/></message>"
	a.Say(takeBack)
	a.Want("another", "error message hall: forbidden")
	carol.Say(takeBack)
	carol.Want("a visitor", "error message hall: forbidden")
	k.person("erin").Say(takeBack)
	b.Say("<presence to='" + hall + "/robert'/>")
	forget(a, b, carol)
	b.Say(takeBack)
	a.Want("everybody hears it", "groupchat robert: /me retracted")
	_, xml, _ := results(b, "")
	if len(xml) != 2 || strings.Contains(xml[0], "oops") || !strings.Contains(xml[0], "<retracted xmlns='urn:xmpp:message-retract:1' id='r1' stamp=") || !strings.Contains(xml[1], "<retract ") {
		t.Errorf("%q", xml)
	}
	if past := k.past("dave"); strings.Contains(past, "oops") {
		t.Errorf("history: %s", past)
	}
	b.Take()
	b.Say("<message type='groupchat' to='" + hall + "' id='r2'><retract xmlns='urn:xmpp:message-retract:1' id='unknown'/></message>")
	if st := b.One(); st.Type != "groupchat" || len(ids([]*stanza.Stanza{st})) != 1 {
		t.Errorf("what the room does not know may be on screens: %s", st)
	}
}

// TestModerationFails: a disk that fails says so to the one who asked.
func TestModerationFails(t *testing.T) {
	store := routertest.NewStore()
	k := openKept(t, store)
	a := k.found("persistentroom=1")
	say(a, "rude")
	id := ids(a.Take())[0]
	store.Fail(errors.New("no space"))
	if got := a.Ask("set", hall, moderate(id, "")); condition(got) != "internal-server-error" {
		t.Error(got)
	}
	store.Fail(nil)
	a.Take()
	if got := a.Ask("set", hall, moderate(id, "")); got != "" {
		t.Error(got)
	}
	if past := k.past("bob"); strings.Contains(past, "rude") {
		t.Error(past)
	}
}
