package muc_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// keeper is an office whose rooms have archives.
type keeper struct {
	*office
	archive *archive.Archive
}

func openKept(t testing.TB, store router.Store) *keeper {
	t.Helper()
	k := &keeper{archive: archive.New(archive.Config{})}
	k.office = openWith(t, store, muc.Config{Archive: k.archive})
	return k
}

var idOfStanza = regexp.MustCompile(`<stanza-id xmlns='urn:xmpp:sid:0' by='[^']*' id='([^']*)'`)

// ids are the room's ids of messages.
func ids(list []*stanza.Stanza) (out []string) {
	for _, st := range list {
		if f := idOfStanza.FindStringSubmatch(st.Inner()); f != nil && st.From.Domain() == service {
			out = append(out, f[1])
		}
	}
	return out
}

// results asks for a page of the hall's archive: "id: xml" of each result, and
// the answer.
func results(c *routertest.Client, inner string) (ids, xml []string, fin string) {
	c.House.T.Helper()
	fin = c.Ask("set", hall, "<query xmlns='urn:xmpp:mam:2' queryid='q'>"+inner+"</query>")
	for _, st := range c.Pick(func(st *stanza.Stanza) bool { return st.HasChild(archive.Space, "result") }) {
		if st.From.String() != hall || st.To != c.Session.JID() {
			c.House.T.Errorf("a result from %s to %s", st.From, st.To)
		}
		el, _ := st.Child(archive.Space, "result")
		if el.Attr("queryid") != "q" {
			c.House.T.Errorf("a result of another query: %s", st)
		}
		ids = append(ids, el.Attr("id"))
		xml = append(xml, el.Child("urn:xmpp:forward:0", "forwarded").Child("jabber:client", "message").XML())
	}
	return ids, xml, fin
}

func with(who string) string {
	return "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='with'><value>" + who + "</value></field></x>"
}

// TestRoomArchive: what is said is found under the id it was sent with, in
// order, without a to, and from the occupant.
func TestRoomArchive(t *testing.T) {
	k := openKept(t, nil)
	a := k.found("persistentroom=1")
	b := k.enter("bob")[0]
	forget(a)
	b.Say("<message type='groupchat' to='"+hall+"' id='m1'><body>one</body><stanza-id xmlns='urn:xmpp:sid:0' by='"+hall+"' id='forged'/>"+
		"<x xmlns='http://jabber.org/protocol/muc#user'><item jid='carol@office.example' affiliation='owner' role='moderator'/></x></message>",
		"<message type='groupchat' to='"+hall+"' id='m2'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
		"<message type='groupchat' to='"+hall+"' id='m3'><body>not this</body><no-store xmlns='urn:xmpp:hints'/></message>",
		"<message type='chat' to='"+hall+"/alice' id='m4'><body>nor this</body></message>")
	a.Say("<message type='groupchat' to='" + hall + "' id='m5'><subject>Lunch</subject></message>")
	say(a, "two")
	heard := ids(b.Take())
	got, xml, fin := results(b, "")
	same(t, "ids", got, heard)
	if len(xml) != 3 || !strings.Contains(fin, "complete='true'") {
		t.Fatalf("%q %s", xml, fin)
	}
	for i, want := range []string{"<body>one</body>", "<subject>Lunch</subject>", "<body>two</body>"} {
		if !strings.Contains(xml[i], want) || strings.Contains(xml[i], " to=") || strings.Contains(xml[i], "forged") {
			t.Errorf("%d: %s", i, xml[i])
		}
		if strings.Contains(xml[i], "@office.example") {
			t.Errorf("a participant of a semi-anonymous room learns an address: %s", xml[i])
		}
	}
	if !strings.Contains(xml[0], "from='"+hall+"/bob'") || !strings.Contains(xml[0], "<occupant-id") {
		t.Errorf("%s", xml[0])
	}
	_, xml, _ = results(a, "")
	if !strings.Contains(xml[0], "<item affiliation='none' role='participant' jid='bob@office.example/desk'/>") || strings.Contains(xml[0], "carol") {
		t.Errorf("a moderator sees %s", xml[0])
	}
	if got, _, _ := results(a, with("bob@office.example")); !slices.Equal(got, heard[:1]) {
		t.Errorf("by bob: %q", got)
	}
	if got, _, _ := results(b, with(hall+"/alice")); !slices.Equal(got, heard[1:]) {
		t.Errorf("by the nickname: %q", got)
	}
	if got, _, fin := results(b, with(hall+"/nobody")); got != nil || !strings.Contains(fin, "complete='true'") {
		t.Errorf("by nobody's nickname: %q %s", got, fin)
	}
	if _, _, fin := results(b, with("alice@office.example")); fin != "forbidden" {
		t.Errorf("an address without right: %s", fin)
	}
	if got := b.Ask("get", hall, "<metadata xmlns='urn:xmpp:mam:2'/>"); !strings.Contains(got, "<start id='"+heard[0]+"'") || !strings.Contains(got, "<end id='"+heard[2]+"'") {
		t.Errorf("metadata: %s", got)
	}
	if got := b.Ask("get", hall, "<query xmlns='urn:xmpp:mam:2'/>"); !strings.Contains(got, "var='with'") {
		t.Errorf("form: %s", got)
	}
	info := b.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
	for _, f := range []string{"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0", "urn:xmpp:message-moderate:1", "urn:xmpp:message-retract:1", "urn:xmpp:message-retract:1#tombstone"} {
		if !strings.Contains(info, "<feature var='"+f+"'/>") {
			t.Errorf("no feature %s", f)
		}
	}
}

// TestRoomArchiveAfterRestart: history at entry and the archive agree, also
// after a restart.
func TestRoomArchiveAfterRestart(t *testing.T) {
	store := routertest.NewStore()
	k := openKept(t, store)
	a := k.found("persistentroom=1")
	for i := range 5 {
		say(a, fmt.Sprint(i))
	}
	heard := ids(a.Take())
	k = openKept(t, store)
	b := k.person("bob")
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	past := ids(b.Take())
	got, _, _ := results(b, "")
	same(t, "history", past, heard)
	same(t, "archive", got, heard)
}

// TestWhoMayReadTheArchive: who may enter.
func TestWhoMayReadTheArchive(t *testing.T) {
	k := openKept(t, nil)
	a := k.enter("alice")[0]
	b, c := k.person("bob"), k.person("carol")
	ask := func(c *routertest.Client) string {
		t.Helper()
		_, _, fin := results(c, "")
		if strings.HasPrefix(fin, "<fin") {
			return ""
		}
		return fin
	}
	check := func(what, alice, bob, carol string) {
		t.Helper()
		same(t, what, []string{ask(a), ask(b), ask(c)}, []string{alice, bob, carol})
	}
	check("not open yet", "", "item-not-found", "item-not-found")
	a.Ask("set", hall, submit("persistentroom=1"))
	check("open", "", "", "")
	set(a, "jid=bob@office.example affiliation=outcast", "jid=carol@office.example affiliation=member")
	check("banned", "", "forbidden", "")
	a.Ask("set", hall, submit("membersonly=1"))
	set(a, "jid=bob@office.example affiliation=none")
	check("members only", "", "forbidden", "")
	a.Ask("set", hall, submit("membersonly=0", "passwordprotectedroom=1", "roomsecret=sesame"))
	check("password", "", "forbidden", "forbidden")
	c.Say("<presence to='" + hall + "/carol'><x xmlns='http://jabber.org/protocol/muc'><password>sesame</password></x></presence>")
	check("inside", "", "forbidden", "")
	for _, field := range []string{"muc#roomconfig_enablearchiving=0", "mam=0", "muc#roomconfig_mam=0"} {
		same(t, "shown", conf(t, a, "muc#roomconfig_enablearchiving"), []string{"1"})
		a.Ask("set", hall, submitRaw(field))
		check(field, "service-unavailable", "forbidden", "service-unavailable")
		if strings.Contains(a.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info'/>"), "urn:xmpp:mam:2") {
			t.Error("offered")
		}
		a.Ask("set", hall, submit("muc#roomconfig_enablearchiving=1"))
	}
	if _, _, fin := results(k.person("dave"), ""); fin != "forbidden" {
		t.Error(fin)
	}
	if got := a.Ask("set", "nowhere@"+service, "<query xmlns='urn:xmpp:mam:2'/>"); got != "item-not-found" {
		t.Error(got)
	}
}

// submitRaw is submit with one field of exactly that name.
func submitRaw(field string) string {
	name, value, _ := strings.Cut(field, "=")
	return "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>" +
		"<field var='" + name + "'><value>" + value + "</value></field></x></query>"
}

// TestArchiveOff: nothing is kept and nothing offered; the field is not shown.
func TestArchiveOff(t *testing.T) {
	k := &keeper{archive: archive.New(archive.Config{})}
	k.office = openWith(t, nil, muc.Config{Archive: k.archive, ArchiveOff: true})
	a := k.found()
	say(a, "hello")
	if got := ids(a.Take()); len(got) != 1 {
		t.Errorf("ids %q", got)
	}
	if _, _, any, err := k.archive.Ends(jid.MustParse(hall), 0); any || err != nil {
		t.Errorf("something is archived, %v", err)
	}
	if _, _, fin := results(a, ""); fin != "service-unavailable" {
		t.Error(fin)
	}
	if conf(t, a, "muc#roomconfig_enablearchiving") != nil {
		t.Error("the field is shown")
	}
}

// TestArchiveEndsWithTheRoom: a room of the same name does not show what was
// said in the one before, at once and for ever.
func TestArchiveEndsWithTheRoom(t *testing.T) {
	for _, persistent := range []string{"0", "1"} {
		for _, runs := range []bool{true, false} {
			t.Run(persistent+fmt.Sprint(runs), func(t *testing.T) {
				store := routertest.NewStore()
				k := openKept(t, store)
				stop := func() {}
				if runs {
					stop = k.Go(k.archive.Run)
				}
				a := k.found("persistentroom=" + persistent)
				say(a, "secret")
				old := ids(a.Take())
				if got := a.Ask("set", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>"); got != "" {
					t.Fatal(got)
				}
				if runs {
					waitUntil(t, func() bool {
						_, _, any, err := k.archive.Ends(jid.MustParse(hall), 0)
						return err == nil && !any
					})
				}
				stop()
				k.now = k.now.Add(31 * 24 * time.Hour) // a destroyed room is gone for so long
				a.Say("<presence to='" + hall + "/alice'>" + join + "</presence>")
				a.Ask("set", hall, submit("persistentroom=1"))
				a.Take()
				say(a, "new")
				heard := ids(a.Take())
				got, _, _ := results(a, "")
				same(t, "the new room", got, heard)
				if _, _, fin := results(a, "<set xmlns='http://jabber.org/protocol/rsm'><after>"+old[0]+"</after></set>"); fin != "item-not-found" {
					t.Errorf("an id of the old room: %s", fin)
				}
				if meta := a.Ask("get", hall, "<metadata xmlns='urn:xmpp:mam:2'/>"); strings.Contains(meta, old[0]) {
					t.Error(meta)
				}
				k = openKept(t, store)
				a = k.enter("alice")[0]
				got, _, _ = results(a, "")
				same(t, "after a restart", got, heard)
			})
		}
	}
}

// TestLostRoomsAreForgotten: a temporary room that ended with the process
// leaves nothing.
func TestLostRoomsAreForgotten(t *testing.T) {
	store := routertest.NewStore()
	k := openKept(t, store)
	a := k.found()
	say(a, "secret")
	store.Settle()
	k = openKept(t, store)
	defer k.Go(k.archive.Run)()
	waitUntil(t, func() bool {
		_, _, any, err := k.archive.Ends(jid.MustParse(hall), 0)
		return err == nil && !any
	})
}

func waitUntil(t testing.TB, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not happen")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestArchiveOrder: eight talk at once; the archive has the order that
// everybody has heard.
func TestArchiveOrder(t *testing.T) {
	const senders, each = 8, 50
	k := openKept(t, nil)
	k.found("persistentroom=1")
	var all []*routertest.Client
	for i := range senders {
		all = append(all, k.enter(fmt.Sprint("u", i))...)
	}
	forget(all...)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			for n := range each {
				c.Say(fmt.Sprintf("<message type='groupchat' to='%s'><body>%d %d</body></message>", hall, i, n))
			}
		})
	}
	wg.Wait()
	heard := ids(all[0].Take())
	if len(heard) != senders*each || !slices.IsSorted(heard) {
		t.Fatalf("%d messages", len(heard))
	}
	for _, c := range all[1:] {
		same(t, "another", ids(c.Take()), heard)
	}
	var kept []string
	for after := ""; len(kept) < len(heard); after = "<after>" + kept[len(kept)-1] + "</after>" {
		got, _, fin := results(all[0], "<set xmlns='http://jabber.org/protocol/rsm'>"+after+"</set>")
		if len(got) == 0 {
			t.Fatalf("%d are archived: %s", len(kept), fin)
		}
		kept = append(kept, got...)
	}
	same(t, "archive", kept, heard)
}

// TestArchiveIsAcknowledged: a message is heard before, and acknowledged
// after it is on disk; a crash before that loses it from history and archive.
func TestArchiveIsAcknowledged(t *testing.T) {
	store := routertest.NewStore()
	k := openKept(t, store)
	a := k.found("persistentroom=1")
	store.Hold()
	say(a, "hello")
	a.Want("it is heard", "groupchat alice: hello")
	if a.Holds() != 2 {
		t.Errorf("%d changes are waited for", a.Holds())
	}
	store.Release()
	store.Settle()
	if a.Holds() != 0 {
		t.Errorf("%d changes are still waited for", a.Holds())
	}
	store.Fail(errors.New("no space"))
	say(a, "lost")
	store.Settle()
	store.Fail(nil)
	if got, _, _ := results(a, ""); len(got) != 1 {
		t.Errorf("archived: %q", got)
	}
}
