package mam_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/mam"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// TestBothKeepIt: a chat between two people lies once in the archive, both
// find it there, and the recipient is told its id, which is the sender's too.
func TestBothKeepIt(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	a.Say("<message type='chat' id='1' to='" + bob + "'><body>hello</body></message>")
	got := b.One()
	ids := stanzaIDs(got)
	if len(ids) != 1 || !strings.HasPrefix(ids[0], bob+" ") {
		t.Fatalf("bob got %s", got)
	}
	id := strings.TrimPrefix(ids[0], bob+" ")
	for _, c := range []*routertest.Client{a, b} {
		f := h.query(c, "")
		if f.bodies != "hello" || !slices.Equal(f.ids, []string{id}) || !f.complete {
			t.Errorf("%s found %+v", c.Session.JID(), f)
		}
		in := f.results[0].Inner()
		for _, want := range []string{"<delay xmlns='urn:xmpp:delay' stamp='2026-05-01T12:00:01.000000Z'/>", "<message xmlns='jabber:client' type='chat' id='1' from='alice@office.example/desk' to='bob@office.example'>"} {
			if !strings.Contains(in, want) {
				t.Errorf("%s lacks %s", in, want)
			}
		}
		if strings.Contains(in, "stanza-id") {
			t.Errorf("somebody's id is in what both keep: %s", in)
		}
	}
	bodies := 0
	for _, r := range h.Store.Rows() {
		if strings.HasPrefix(r, "archive ") {
			bodies++
		}
	}
	if bodies != 1 {
		t.Errorf("%d bodies", bodies)
	}
	f := h.query(h.Login("carol@office.example/desk", "<presence/>"), "")
	if f.bodies != "" || f.fin != "<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set></fin>" {
		t.Errorf("carol found %+v", f)
	}
}

// TestWhatIsKept: types, bodies and hints.
func TestWhatIsKept(t *testing.T) {
	for xml, want := range map[string]bool{
		"<message type='chat'><body>x</body></message>":                                                                     true,
		"<message><body>x</body></message>":                                                                                 true,
		"<message type='normal'><body>x</body></message>":                                                                   true,
		"<message type='unheard-of'><body>x</body></message>":                                                               true,
		"<message type='headline'><body>x</body></message>":                                                                 false,
		"<message type='groupchat'><body>x</body></message>":                                                                false,
		"<message type='error'><body>x</body><error type='cancel'/></message>":                                              false,
		"<message type='chat'/>":                                                                                            false,
		"<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>":                         false,
		"<message><subject>x</subject></message>":                                                                           false,
		"<message type='chat'><x xmlns='urn:x'/><store xmlns='urn:xmpp:hints'/></message>":                                  true,
		"<message type='headline'><store xmlns='urn:xmpp:hints'/></message>":                                                false,
		"<message type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>":                                   false,
		"<message type='chat'><body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>":                         false,
		"<message type='chat'><store xmlns='urn:xmpp:hints'/><no-store xmlns='urn:xmpp:hints'/></message>":                  false,
		"<message type='chat'><body>x</body><no-copy xmlns='urn:xmpp:hints'/></message>":                                    true,
		"<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>":                                       true,
		"<message type='chat'><request xmlns='urn:xmpp:receipts'/></message>":                                               false,
		"<message type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>":                                true,
		"<message type='chat'><markable xmlns='urn:xmpp:chat-markers:0'/></message>":                                        false,
		"<message type='chat'><encrypted xmlns='urn:xmpp:omemo:2'><payload>x</payload></encrypted></message>":               true,
		"<message type='chat'><encrypted xmlns='urn:xmpp:omemo:2'><header/></encrypted></message>":                          false,
		"<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'><payload/></encrypted></message>":           true,
		"<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'/><store xmlns='urn:xmpp:hints'/></message>": true,
		"<message type='chat'><openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp></message>":                                    true,
		"<message type='chat'><p:body xmlns:p='urn:x'>x</p:body></message>":                                                 false,
	} {
		h := open(t, nil)
		a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
		a.Say(strings.Replace(xml, "<message", "<message to='"+bob+"/desk'", 1))
		stamped := slices.ContainsFunc(b.Take(), func(st *stanza.Stanza) bool { return len(stanzaIDs(st)) > 0 })
		if got := len(h.query(b, "").ids) == 1; got != want || stamped != want {
			t.Errorf("%s: kept %v, id given %v, want %v", xml, got, stamped, want)
		}
		if got := len(h.query(a, "").ids) == 1; got != want {
			t.Errorf("%s: the sender kept it: %v", xml, got)
		}
	}
}

// TestRefusedIsNotKept: what is refused on the way is in nobody's archive.
func TestRefusedIsNotKept(t *testing.T) {
	h := open(t, nil)
	h.blocked[bob+" "+alice] = true
	a := h.Login(alice+"/desk", "<presence/>")
	b := h.Login(bob+"/desk", "<presence/>")
	c := h.Login("carol@office.example/desk", "<presence/>")
	a.Say("<message type='chat' to='"+bob+"'><body>blocked</body></message>",
		"<message type='chat' to='nobody@office.example'><body>nobody</body></message>",
		"<message to='carol@office.example/gone'><body>gone</body></message>",
		"<message to='office.example'><body>server</body></message>",
		"<message type='chat' to='x@elsewhere.example'><body>far away</body></message>")
	for _, who := range []*routertest.Client{a, c} {
		if f := h.query(who, ""); f.bodies != "" {
			t.Errorf("%s keeps %s", who.Session.JID(), f.bodies)
		}
	}
	// The blocker here does not stop delivery; only the archive asks it.
	if f := h.query(b, ""); strings.Contains(f.bodies, "nobody") {
		t.Errorf("bob keeps %s", f.bodies)
	}
}

// TestTexts: SMS both ways are in the archive of the person here.
func TestTexts(t *testing.T) {
	h := open(t, nil)
	a := h.Login(alice+"/desk", "<presence/>")
	a.Say("<message type='chat' to='" + phone + "'><body>out</body></message>")
	if out := h.sms.One(); len(stanzaIDs(out)) != 0 {
		t.Errorf("the gateway learns ids: %s", out)
	}
	h.Route("<message type='chat' from='" + phone + "' to='" + alice + "'><body>in</body></message>")
	if in := a.One(); len(stanzaIDs(in)) != 1 {
		t.Errorf("no id in %s", in)
	}
	if f := h.query(a, form("with", phone)); f.bodies != "out in" {
		t.Errorf("found %s", f.bodies)
	}
}

// TestForgedIDs: nobody else says where a message is archived.
func TestForgedIDs(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	forged := "<stanza-id xmlns='urn:xmpp:sid:0' by='" + bob + "' id='f'/><stanza-id xmlns='urn:xmpp:sid:0' by='BOB@office.example' id='g'/>" +
		"<stanza-id xmlns='urn:xmpp:sid:0' by='" + alice + "' id='h'/><stanza-id xmlns='urn:xmpp:sid:0' by='room@conference.example' id='r'/>"
	a.Say("<message type='chat' to='" + bob + "'><body>x</body>" + forged + "</message>")
	ids := stanzaIDs(b.One())
	if len(ids) != 2 || ids[0] != "room@conference.example r" || !strings.HasPrefix(ids[1], bob+" ") || ids[1] == bob+" f" {
		t.Errorf("bob sees %v", ids)
	}
	// Also where nothing is archived.
	a.Say("<message type='headline' to='" + bob + "'><body>x</body>" + forged + "</message>")
	if ids := stanzaIDs(b.One()); !slices.Equal(ids, []string{"room@conference.example r"}) {
		t.Errorf("bob sees %v", ids)
	}
}

// TestCopiesCarryTheID: carbons both ways and what waited offline carry the id
// under which their owner's archive has the message; the other side is not told.
func TestCopiesCarryTheID(t *testing.T) {
	h := open(t, nil)
	enable := "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
	a, a2 := h.Login(alice+"/desk", "<presence/>"), h.Login(alice+"/phone", "<presence/>", enable)
	b, b2 := h.Login(bob+"/desk", "<presence/>"), h.Login(bob+"/phone", "<presence/>", enable)
	a2.Take()
	b2.Take()
	a.Say("<message type='chat' to='" + bob + "/desk'><body>x</body></message>")
	id := h.query(a, "").ids[0]
	for who, got := range map[string]*stanza.Stanza{alice: a2.One(), bob: b.One(), bob + " ": b2.One()} {
		who = strings.TrimSpace(who)
		if ids := stanzaIDs(got); !slices.Equal(ids, []string{who + " " + id}) {
			t.Errorf("%s sees %v in %s", who, ids, got)
		}
	}
	a.Say("<message type='chat' to='carol@office.example'><body>later</body></message>")
	id = h.query(a, page("<before/><max>1</max>")).ids[0]
	c := h.Login("carol@office.example/desk", "<presence/>")
	if got := c.One(); !slices.Equal(stanzaIDs(got), []string{"carol@office.example " + id}) {
		t.Errorf("carol's waited with %s", got)
	}
	if f := h.query(c, ""); len(f.ids) != 1 || f.ids[0] != id {
		t.Errorf("carol keeps %v", f.ids)
	}
}

// TestGivenBack: what a dead stream had not acknowledged is not kept twice, and
// results of a query go to nobody else.
func TestGivenBack(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	a.Say("<message type='chat' to='" + bob + "'><body>x</body></message>")
	h.query(b, "")
	b.Say("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
	a.Say("<message type='chat' to='" + bob + "'><body>y</body></message>")
	left := b.End(func(*stanza.Stanza) {})
	if len(left) != 3 {
		t.Fatalf("%d stanzas are left", len(left))
	}
	b.Session.Unbind(context.Background(), left)
	again := h.Login(bob+"/desk", "<presence/>")
	got := again.One()
	if got.Body() != "y" || len(stanzaIDs(got)) != 1 {
		t.Errorf("came again: %s", got)
	}
	if f := h.query(again, ""); f.bodies != "x y" {
		t.Errorf("bob keeps %s", f.bodies)
	}
	a.Want("no errors")
}

// TestNotes: what somebody sends to the own account is kept once.
func TestNotes(t *testing.T) {
	h := open(t, nil)
	a := h.Login(alice+"/desk", "<presence/>")
	b := h.Login(bob+"/desk", "<presence/>")
	b.Say("<message type='chat' to='" + alice + "'><body>other</body></message>")
	a.Take()
	a.Say("<message type='chat'><body>one</body></message>", "<message type='chat' to='"+alice+"'><body>two</body></message>")
	for _, st := range a.Take() {
		if len(stanzaIDs(st)) != 1 {
			t.Errorf("a note came as %s", st)
		}
	}
	if f := h.query(a, form("with", alice)); f.bodies != "one two" {
		t.Errorf("notes: %s", f.bodies)
	}
	if f := h.query(a, ""); f.bodies != "other one two" {
		t.Errorf("all: %s", f.bodies)
	}
}

// TestDiskIsNotWaitedFor: the message is delivered at once and found at once,
// while the sender's acknowledgement waits; when the disk fails, the sender is told.
func TestDiskIsNotWaitedFor(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.Store.Hold()
	a.Say("<message type='chat' to='" + bob + "' id='1'><body>x</body></message>")
	if b.One().Body() != "x" || a.Holds() != 1 {
		t.Errorf("%d acknowledgements wait", a.Holds())
	}
	if f := h.query(b, ""); f.bodies != "x" {
		t.Errorf("found %q", f.bodies)
	}
	h.Store.Release()
	if a.Holds() != 0 {
		t.Error("the acknowledgement waits for ever")
	}
	h.Store.Fail(errors.New("disk full"))
	a.Say("<message type='chat' to='" + bob + "' id='2'><body>y</body></message>")
	a.Want("refusal", "error 2 bob@office.example > alice@office.example/desk internal-server-error")
	if f := h.query(b, ""); f.bodies != "x" {
		t.Errorf("found %q", f.bodies)
	}
}

// TestArchiveDropped: without archive.db all goes on, and ids are not used again.
func TestArchiveDropped(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.fill(a, b)
	old := h.query(a, "").ids
	next := open(t, nil)
	next.now = h.now
	a, b = next.Login(alice+"/desk", "<presence/>"), next.Login(bob+"/desk", "<presence/>")
	if got := a.Ask("set", "", "<query xmlns='urn:xmpp:mam:2'>"+page("<after>"+old[9]+"</after>")+"</query>"); got != "item-not-found" {
		t.Errorf("an id of the old archive: %s", got)
	}
	next.fill(a, b)
	for _, id := range next.query(a, "").ids {
		if slices.Contains(old, id) || id <= old[9] {
			t.Errorf("id %s after %s", id, old[9])
		}
	}
}

// TestPurge: a removed account's archive goes; others keep what they have.
func TestPurge(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.fill(a, b)
	a.Say("<message type='chat' to='" + phone + "'><body>sms</body></message>")
	a.Ask("set", "", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>")
	if err := h.module.Purge(jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	if f := h.query(a, ""); f.bodies != "" {
		t.Errorf("alice keeps %s", f.bodies)
	}
	if got := a.Ask("get", "", "<prefs xmlns='urn:xmpp:mam:2'/>"); !strings.Contains(got, "default='always'") {
		t.Errorf("alice wants %s", got)
	}
	if f := h.query(b, ""); f.bodies != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("bob keeps %s", f.bodies)
	}
	if err := h.module.Purge(jid.MustParse(bob)); err != nil {
		t.Fatal(err)
	}
	for _, r := range h.Store.Rows() {
		if strings.HasPrefix(r, "archive") && !strings.Contains(r, " size ") {
			t.Errorf("left: %s", r)
		}
	}
}

// TestOff: without an archive nothing is kept, what was kept goes, and clients
// are told that there is none.
func TestOff(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.fill(a, b)
	kept := archive.New(archive.Config{Age: 1})
	m := mam.New(mam.Config{Archive: kept, Off: true})
	off := routertest.Open(t, router.Config{Store: h.Store}, routertest.Available(), m)
	ctx, cancel := context.WithCancel(t.Context())
	stop := off.Go(func(context.Context) error { return m.Run(ctx) })
	defer stop()
	defer cancel()
	a, b = off.Login(alice+"/desk", "<presence/>"), off.Login(bob+"/desk", "<presence/>")
	a.Say("<message type='chat' to='" + bob + "'><body>x</body></message>")
	if got := b.One(); len(stanzaIDs(got)) != 0 {
		t.Errorf("bob got %s", got)
	}
	if got := a.Ask("set", "", "<query xmlns='urn:xmpp:mam:2'/>"); got != "service-unavailable" {
		t.Errorf("a query: %s", got)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); ; {
		if _, _, any, err := kept.Ends(jid.MustParse(alice), 0); err != nil {
			t.Fatal(err)
		} else if !any {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the old messages stay")
		}
	}
}

// TestRetraction: of a message that its author takes back a tombstone stays, in
// both archives; nobody else takes it back.
func TestRetraction(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/phone", "<presence/>")
	retraction := "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>/me took it back</body>"
	a.Say("<message type='chat' to='" + bob + "' id='m1'><body>oops</body><origin-id xmlns='urn:xmpp:sid:0' id='m1'/></message>")
	first := h.query(b, "").ids
	xml := func(c *routertest.Client) string {
		t.Helper()
		m, err := h.archive.Get(c.Session.JID().Bare(), must(archive.ParseID(first[0])))
		if err != nil {
			t.Fatal(err)
		}
		return m.XML
	}
	b.Say("<message type='chat' to='" + alice + "' id='m2'>" + retraction + "</message>")
	if got := xml(a); !strings.Contains(got, "oops") {
		t.Errorf("taken back by the other: %s", got)
	}
	a.Say("<message type='chat' to='" + bob + "' id='m3'>" + retraction + "</message>")
	for _, c := range []*routertest.Client{a, b} {
		got := xml(c)
		if strings.Contains(got, "oops") || !strings.Contains(got, " id='m1'") || !strings.Contains(got, "<origin-id") ||
			!strings.Contains(got, "<retracted xmlns='urn:xmpp:message-retract:1' id='m3' stamp='") {
			t.Errorf("%s", got)
		}
		if n := len(h.query(c, "").ids); n != 3 {
			t.Errorf("%d messages", n)
		}
	}
}

func must(id archive.ID, ok bool) archive.ID {
	if !ok {
		panic("no id")
	}
	return id
}
