package bookmarks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/bookmarks"
	"doorway/xmpp/mod/pep"
	"doorway/xmpp/mod/private"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	alice = "alice@office.example"
	hall  = "hall@conference.office.example"
	yard  = "yard@conference.office.example"

	node   = "urn:xmpp:bookmarks:1"
	legacy = "storage:bookmarks"
)

// alone has nobody see anybody.
type alone struct{ xmpp.Subscriptions }

func (alone) SeesPresence(owner, viewer jid.JID) bool   { return owner.Bare() == viewer.Bare() }
func (alone) Groups(_, _ jid.JID) []string              { return nil }
func (alone) Contacts(jid.JID, func(jid.JID, string))   {}
func (alone) Blocked(_, _ jid.JID) bool                 { return false }
func (alone) Has(jid.JID, string) bool                  { return true }
func (alone) Notify(xmpp.Session) []string              { return []string{legacy, node} }
func (alone) Watch(func(context.Context, xmpp.Session)) {}

type house struct {
	*routertest.House
	m *bookmarks.Module
	a *routertest.Client
}

func start(t *testing.T) *house {
	t.Helper()
	s := pubsub.New(pubsub.Config{Rules: alone{}})
	h := &house{m: bookmarks.New(s)}
	h.House = routertest.Open(t, router.Config{}, routertest.Available(),
		pep.New(pep.Config{Service: s, Subscriptions: alone{}, Blocker: alone{}, Caps: alone{}}), h.m, private.New(h.m))
	h.Line = func(st *stanza.Stanza) string {
		e, _ := st.Child(pubsub.SpaceEvent, "event")
		if len(e.Children) == 0 || len(e.Children[0].Children) == 0 {
			return routertest.Line(st)
		}
		c := &e.Children[0].Children[0]
		return c.Name.Local + " " + e.Children[0].Attr("node") + " " + c.Attr("id")
	}
	h.a = h.Login(alice+"/1", "<presence/>")
	return h
}

func wrap(inner string) string { return "<pubsub xmlns='" + pubsub.Space + "'>" + inner + "</pubsub>" }

func publish(node, id, payload string) string {
	return wrap("<publish node='" + node + "'><item id='" + id + "'>" + payload + "</item></publish>")
}

func (h *house) do(payload string) {
	h.T.Helper()
	if got := h.a.Ask("set", "", payload); got != "" && !strings.HasPrefix(got, "<") {
		h.T.Errorf("%s: %s", payload, got)
	}
}

// sees expects what each of the three views shows, in the order of changes.
func (h *house) sees(items, storage string) {
	h.T.Helper()
	inner := func(got, from, to string) string {
		_, got, ok := strings.Cut(got, from)
		i := strings.LastIndex(got, to)
		if !ok || i < 0 {
			return ""
		}
		return got[:i]
	}
	got := h.a.Ask("get", "", wrap("<items node='"+node+"'/>"))
	if got := inner(got, "<items node='"+node+"'>", "</items>"); got != items {
		h.T.Errorf("items\n got %s\nwant %s", got, items)
	}
	got = h.a.Ask("get", "", wrap("<items node='"+legacy+"'/>"))
	if got := inner(got, "<storage xmlns='"+legacy+"'>", "</storage>"); got != storage {
		h.T.Errorf("old item\n got %s\nwant %s", got, storage)
	}
	got = h.a.Ask("get", "", "<query xmlns='jabber:iq:private'><storage xmlns='"+legacy+"'/></query>")
	if got := inner(got, "<storage xmlns='"+legacy+"'>", "</storage>"); got != storage {
		h.T.Errorf("private storage\n got %s\nwant %s", got, storage)
	}
}

const (
	newHall = "<item id='" + hall + "'><conference xmlns='" + node + "' name='The Hall' autojoin='true'><nick>Al</nick><password>pw</password></conference></item>"
	oldHall = "<conference jid='" + hall + "' name='The Hall' autojoin='true'><nick>Al</nick><password>pw</password></conference>"
	newYard = "<item id='" + yard + "'><conference xmlns='" + node + "' name='Yard'/></item>"
	oldYard = "<conference jid='" + yard + "' name='Yard'/>"
)

// TestNewToOld: what is published as items is there in both old forms.
func TestNewToOld(t *testing.T) {
	h := start(t)
	h.sees("", "")
	h.do(publish(node, hall, "<conference xmlns='"+node+"' name='The Hall' autojoin='true'><nick>Al</nick><password>pw</password></conference>"))
	h.do(publish(node, yard, "<conference xmlns='"+node+"' name='Yard'/>"))
	h.a.Want("told", "item "+node+" "+hall, "item "+legacy+" current", "item "+node+" "+yard, "item "+legacy+" current")
	h.sees(newYard+newHall, oldHall+oldYard)
	h.do(wrap("<retract node='" + node + "'><item id='" + hall + "'/></retract>"))
	h.a.Want("told", "retract "+node+" "+hall, "item "+legacy+" current")
	h.sees(newYard, oldYard)
	h.do("<pubsub xmlns='" + pubsub.SpaceOwner + "'><delete node='" + node + "'/></pubsub>")
	h.sees("", "")
}

// TestOldToNew: what is set in either old form is there as items; rooms that
// are as they were are not told again.
func TestOldToNew(t *testing.T) {
	for name, set := range map[string]func(*house, string){
		"private": func(h *house, s string) { h.do("<query xmlns='jabber:iq:private'>" + s + "</query>") },
		"pep":     func(h *house, s string) { h.do(publish(legacy, "any", s)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			set(h, "<storage xmlns='"+legacy+"'>"+oldHall+"</storage>")
			h.a.Want("told", "item "+node+" "+hall, "item "+legacy+" current")
			h.sees(newHall, oldHall)
			url := "<url xmlns='" + legacy + "' name='Site' url='https://office.example/'/>"
			set(h, "<storage xmlns='"+legacy+"'>"+oldHall+oldYard+url+oldYard+"</storage>")
			h.a.Want("told of the new one", "item "+node+" "+yard, "item "+legacy+" current")
			h.sees(newYard+newHall, oldHall+oldYard+url)
			h.do(publish(node, yard, "<conference xmlns='"+node+"' name='Yard' autojoin='1'/>"))
			h.a.Want("told", "item "+node+" "+yard, "item "+legacy+" current")
			set(h, "<storage xmlns='"+legacy+"'><conference jid='"+hall+"'/></storage>")
			h.a.Want("told", "item "+node+" "+hall, "retract "+node+" "+yard, "item "+legacy+" current")
			h.sees("<item id='"+hall+"'><conference xmlns='"+node+"'/></item>", "<conference jid='"+hall+"'/>")
			set(h, "<storage xmlns='"+legacy+"'/>")
			h.sees("", "")
		})
	}
}

// TestExtensions: what an old client does not know of stays.
func TestExtensions(t *testing.T) {
	h := start(t)
	ext := "<extensions><pin xmlns='urn:pin'/><colour xmlns='urn:colour'>red</colour></extensions><more xmlns='urn:more'/>"
	h.do(publish(node, hall, "<conference xmlns='"+node+"' name='The Hall'>"+ext+"</conference>"))
	h.do("<query xmlns='jabber:iq:private'><storage xmlns='" + legacy + "'><conference jid='" + hall + "' name='Lobby'><colour xmlns='urn:colour'>blue</colour></conference></storage></query>")
	h.sees("<item id='"+hall+"'><conference xmlns='"+node+"' name='Lobby'><extensions><colour xmlns='urn:colour'>blue</colour><pin xmlns='urn:pin'/></extensions><more xmlns='urn:more'/></conference></item>",
		"<conference jid='"+hall+"' name='Lobby'><colour xmlns='urn:colour'>blue</colour><pin xmlns='urn:pin'/></conference>")
}

// TestRemoved: an old client that takes its item away removes the rooms; one
// that deletes the old node does not.
func TestRemoved(t *testing.T) {
	for what, gone := range map[string]bool{
		wrap("<retract node='" + legacy + "'><item id='current'/></retract>"):                true,
		"<pubsub xmlns='" + pubsub.SpaceOwner + "'><purge node='" + legacy + "'/></pubsub>":  true,
		"<pubsub xmlns='" + pubsub.SpaceOwner + "'><delete node='" + legacy + "'/></pubsub>": false,
	} {
		h := start(t)
		h.do(publish(legacy, "current", "<storage xmlns='"+legacy+"'>"+oldHall+"</storage>"))
		h.do(what)
		got := h.a.Ask("get", "", wrap("<items node='"+node+"'/>"))
		if strings.Contains(got, hall) == gone {
			t.Errorf("%s: %s", what, got)
		}
		h.do(publish(node, yard, "<conference xmlns='"+node+"' name='Yard'/>"))
		if gone {
			h.sees(newYard, oldYard)
		} else {
			h.sees(newYard+newHall, oldHall+oldYard)
		}
	}
}

// TestOpenView: an old node that others could read is closed before rooms are put into it.
func TestOpenView(t *testing.T) {
	h := start(t)
	h.do(wrap("<create node='" + legacy + "'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></configure>"))
	h.do(publish(node, hall, "<conference xmlns='"+node+"'/>"))
	b := h.Login("bob@office.example/1")
	for _, n := range []string{node, legacy} {
		if got := b.Ask("get", alice, wrap("<items node='"+n+"'/>")); !strings.HasPrefix(got, "not-allowed") {
			t.Errorf("%s: %s", n, got)
		}
	}
}

func TestRefused(t *testing.T) {
	h := start(t)
	for _, p := range []string{
		publish(node, "hall", "<conference xmlns='"+node+"'/>"),
		publish(node, hall+"/nick", "<conference xmlns='"+node+"'/>"),
		publish(node, hall, "<conference xmlns='urn:xmpp:bookmarks:0'/>"),
		publish(legacy, "current", "<conference xmlns='"+legacy+"'/>"),
	} {
		if got := h.a.Ask("set", "", p); !strings.HasPrefix(got, "bad-request") {
			t.Errorf("%s: %s", p, got)
		}
	}
	if n := h.Store.Len(); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestMoved: what lay in private storage before is moved, once.
func TestMoved(t *testing.T) {
	h := start(t)
	h.Store.Put("private", alice+"\x00"+legacy+"\x00storage", `{"v":1,"xml":"<storage xmlns='storage:bookmarks'>`+oldHall+oldYard+`</storage>"}`)
	h.do(publish(node, hall, "<conference xmlns='"+node+"' name='Mine'/>"))
	h.a.Ask("get", "", "<query xmlns='jabber:iq:private'><storage xmlns='"+legacy+"'/></query>")
	h.sees(newYard+"<item id='"+hall+"'><conference xmlns='"+node+"' name='Mine'/></item>", "<conference jid='"+hall+"' name='Mine'/>"+oldYard)
	h.do("<query xmlns='jabber:iq:private'><storage xmlns='" + legacy + "'/></query>")
	h.sees("", "")
}

// TestOffer: the server's bookmarks follow it, but for what the person wants otherwise.
func TestOffer(t *testing.T) {
	user, room := jid.MustParse(alice), jid.MustParse(hall)
	now := func(h *house) string {
		h.T.Helper()
		got := h.a.Ask("get", "", wrap("<items node='"+node+"'/>"))
		_, got, _ = strings.Cut(got, "<conference xmlns='"+node+"'")
		got, _, _ = strings.Cut(got, "</item>")
		return got
	}
	for _, c := range []struct{ what, person, want, after string }{
		{"nothing", "", " name='Sales' autojoin='true'/>", ""},
		{"autojoin off", publish(node, hall, "<conference xmlns='"+node+"' name='Old'/>"), " name='Sales'/>", ""},
		{"a name and a nick", publish(node, hall, "<conference xmlns='"+node+"' name='Mine' autojoin='true'><nick>al</nick></conference>"), " name='Mine' autojoin='true'><nick>al</nick></conference>", ""},
		{"removed", wrap("<retract node='" + node + "'><item id='" + hall + "'/></retract>"), "", ""},
		{"autojoin off, the old way", "<query xmlns='jabber:iq:private'><storage xmlns='" + legacy + "'><conference jid='" + hall + "' name='Old'/></storage></query>", " name='Sales'/>", ""},
	} {
		h := start(t)
		offer := func(name string, autojoin bool) {
			t.Helper()
			if err := h.m.Offer(t.Context(), user, room, name, autojoin); err != nil {
				t.Error(err)
			}
		}
		offer("Old", true)
		h.a.Want("told", "item "+node+" "+hall, "item "+legacy+" current")
		if c.person != "" {
			h.do(c.person)
		}
		h.a.Take()
		offer("Old", true)
		h.a.Want("the same again")
		offer("Sales", true)
		if got := now(h); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		if err := h.m.Withdraw(t.Context(), user, room); err != nil {
			t.Error(err)
		}
		if got := now(h); got != "" {
			t.Errorf("%s: withdrawn: %s", c.what, got)
		}
		offer("Again", false)
		if got := now(h); got != " name='Again'/>" {
			t.Errorf("%s: offered again: %s", c.what, got)
		}
		if err := h.m.Purge(user); err != nil {
			t.Error(err)
		}
	}
	// A bookmark of the person's own making stays, whatever is offered.
	h := start(t)
	h.do(publish(node, hall, "<conference xmlns='"+node+"' name='Mine'/>"))
	for _, name := range []string{"Old", "New"} {
		if err := h.m.Offer(t.Context(), user, room, name, true); err != nil {
			t.Error(err)
		}
	}
	if err := h.m.Withdraw(t.Context(), user, room); err != nil {
		t.Error(err)
	}
	if got := now(h); got != " name='Mine'/>" {
		t.Errorf("own: %s", got)
	}
	if h.m.Offer(t.Context(), jid.MustParse("nobody@office.example"), room, "x", true) == nil {
		t.Error("offered to nobody")
	}
}

// TestLongList: a list that is too long for the old item is whole in private storage.
func TestLongList(t *testing.T) {
	h := start(t)
	for i := range 3 {
		h.do(publish(node, strings.Repeat("x", i+1)+hall, "<conference xmlns='"+node+"' name='"+strings.Repeat("n", 50<<10)+"'/>"))
	}
	got := h.a.Ask("get", "", "<query xmlns='jabber:iq:private'><storage xmlns='"+legacy+"'/></query>")
	if strings.Count(got, "<conference") != 3 {
		t.Errorf("%d rooms in private storage", strings.Count(got, "<conference"))
	}
	if got := h.a.Ask("get", "", wrap("<items node='"+legacy+"'/>")); strings.Contains(got, "<conference") {
		t.Error("the old item is there")
	}
}

// TestReadingWritesNothing: asking in the old way is no change.
func TestReadingWritesNothing(t *testing.T) {
	h := start(t)
	for _, room := range []string{hall, yard} {
		h.do(publish(node, room, "<conference xmlns='"+node+"'/>"))
	}
	h.Store.Fail(errors.New("disk full"))
	if got := h.a.Ask("get", "", "<query xmlns='jabber:iq:private'><storage xmlns='"+legacy+"'/></query>"); strings.Count(got, "<conference") != 2 {
		t.Errorf("got %s", got)
	}
}

// TestTooMany: a list that does not fit is refused, and nothing is lost.
func TestTooMany(t *testing.T) {
	h := start(t)
	h.do(publish(node, hall, "<conference xmlns='"+node+"'/>"))
	var list strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&list, "<conference jid='r%d@c.example'/>", i)
	}
	if got := h.a.Ask("set", "", "<query xmlns='jabber:iq:private'><storage xmlns='"+legacy+"'>"+list.String()+"</storage></query>"); got != "resource-constraint" {
		t.Errorf("got %s", got)
	}
	h.sees("<item id='"+hall+"'><conference xmlns='"+node+"'/></item>", "<conference jid='"+hall+"'/>")
}
