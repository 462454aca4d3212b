package blocking_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	carol = "carol@office.example"
	far   = "far@peer.example"

	list    = "<blocklist xmlns='urn:xmpp:blocking'/>"
	blocked = "not-acceptable <blocked xmlns='urn:xmpp:blocking:errors'/>"
)

// change is the payload that blocks or unblocks.
func change(what string, jids ...string) string {
	s := "<" + what + " xmlns='urn:xmpp:blocking'"
	if len(jids) == 0 {
		return s + "/>"
	}
	s += ">"
	for _, j := range jids {
		s += "<item jid='" + j + "'/>"
	}
	return s + "</" + what + ">"
}

// friends see each other; everybody listed is everybody's friend.
type friends []string

func (f friends) Subscription(user, contact jid.JID) string {
	for _, c := range f {
		if c == contact.String() && c != user.Bare().String() {
			return "both"
		}
	}
	return ""
}

func (f friends) SeesPresence(owner, viewer jid.JID) bool {
	return owner.Bare() == viewer.Bare() || f.Subscription(owner, viewer.Bare()) != "" && f.Subscription(viewer, owner.Bare()) != ""
}

func (f friends) Contacts(user jid.JID, each func(jid.JID, string)) {
	for _, c := range f {
		if c != user.Bare().String() {
			each(jid.MustParse(c), "both")
		}
	}
}

func (friends) Add(context.Context, jid.JID, jid.JID, string, []string, string) error { return nil }
func (friends) Remove(context.Context, jid.JID, jid.JID) error                        { return nil }

// house is a server with presence and a gateway.
type house struct {
	*routertest.House
	m    *blocking.Module
	peer *routertest.Peer
}

// gateway keeps what it gets, a line each.
func start(t *testing.T, store *routertest.Store, f friends) *house {
	t.Helper()
	h := &house{m: blocking.New(f)}
	h.House = routertest.Open(t, router.Config{Store: store}, h.m, presence.New(h.m.Subscriptions()))
	h.peer = h.Component("peer.example")
	return h
}

func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestList(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	desk, phone, deaf := h.Login(alice+"/desk"), h.Login(alice+"/phone"), h.Login(alice+"/deaf")
	for _, c := range []*routertest.Client{desk, phone} {
		expect(t, "empty list", c.Ask("get", "", list), list)
	}
	expect(t, "block", desk.Ask("set", "", change("block", "Mallory@Spam.example", bob)), "")
	push := "<block xmlns='urn:xmpp:blocking'><item jid='mallory@spam.example'/><item jid='bob@office.example'/></block>"
	desk.Want("push", "set block1 "+alice+" > "+alice+"/desk "+push)
	phone.Want("push", "set block2 "+alice+" > "+alice+"/phone "+push)
	deaf.Want("has not asked for the list")
	expect(t, "list", deaf.Ask("get", alice, list),
		"<blocklist xmlns='urn:xmpp:blocking'><item jid='bob@office.example'/><item jid='mallory@spam.example'/></blocklist>")
	expect(t, "unblock one", desk.Ask("set", "", change("unblock", bob)), "")
	phone.Want("push", "set block4 "+alice+" > "+alice+"/phone <unblock xmlns='urn:xmpp:blocking'><item jid='bob@office.example'/></unblock>")
	expect(t, "block", desk.Ask("set", "", change("block", bob)), "")
	phone.Recv()
	expect(t, "unblock all", desk.Ask("set", "", change("unblock")), "")
	phone.Want("push", "set blocka "+alice+" > "+alice+"/phone <unblock xmlns='urn:xmpp:blocking'/>")
	expect(t, "empty list", desk.Ask("get", "", list), list)
	if len(h.Store.Rows()) != 0 {
		t.Errorf("left on disk: %v", h.Store.Rows())
	}
}

func TestErrors(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	a := h.Login(alice + "/desk")
	for _, c := range []struct{ typ, to, payload, want string }{
		{"set", "", change("block"), "bad-request"},
		{"set", "", "<block xmlns='urn:xmpp:blocking'><thing/></block>", "bad-request"},
		{"set", "", "<block xmlns='urn:xmpp:blocking'><item/></block>", "bad-request"},
		{"set", "", "<unblock xmlns='urn:xmpp:blocking'><item/></unblock>", "bad-request"},
		{"set", "", change("block", "@"), "jid-malformed"},
		{"set", "", change("unblock", "a@b@c"), "jid-malformed"},
		{"set", "", change("block", bob, alice), "not-allowed"},
		{"set", "", change("unblock", "stranger@spam.example"), ""},
		{"get", "", change("block", bob), "feature-not-implemented"},
		{"get", bob, list, "forbidden"},
		{"set", bob, change("block", carol), "forbidden"},
		{"set", bob, change("unblock"), "forbidden"},
		{"set", "nobody@office.example", change("unblock"), "forbidden"},
	} {
		expect(t, c.typ+" "+c.payload, a.Ask(c.typ, c.to, c.payload), c.want)
	}
	expect(t, "nothing changed", a.Ask("get", "", list), list)
	many := make([]string, 600)
	for i := range many {
		many[i] = fmt.Sprintf("user%d@spam.example", i)
	}
	expect(t, "600", a.Ask("set", "", change("block", many...)), "")
	for i := range many {
		many[i] = fmt.Sprintf("user%d@more.example", i)
	}
	expect(t, "1200", a.Ask("set", "", change("block", many...)), "resource-constraint")
	expect(t, "a domain instead", a.Ask("set", "", change("block", "more.example")), "")
	h.Store.Fail(errors.New("disk full"))
	expect(t, "disk full", a.Ask("set", "", change("block", bob)), "internal-server-error")
	h.Store.Fail(nil)
	if h.m.Blocked(jid.MustParse(alice), jid.MustParse(bob)) || !h.m.Blocked(jid.MustParse(alice), jid.MustParse("user7@spam.example")) {
		t.Error("what the disk has refused holds, or what it has does not")
	}
}

func TestMatching(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	a := h.Login(alice + "/desk")
	expect(t, "block", a.Ask("set", "", change("block", "one@a.example/x", "two@a.example", "b.example", "c.example/x", routertest.Domain)), "")
	for j, want := range map[string]bool{
		"one@a.example/x": true, "one@a.example/y": false, "one@a.example": false,
		"two@a.example": true, "two@a.example/z": true, "a.example": false,
		"b.example": true, "b.example/z": true, "x@b.example": true, "x@sub.b.example/y": true, "notb.example": false,
		"c.example/x": true, "c.example/y": false, "c.example": false, "u@c.example/x": false,
		bob: true, routertest.Domain: false, alice: false, alice + "/desk": false,
	} {
		if got := h.m.Blocked(a.Session.JID(), jid.MustParse(j)); got != want {
			t.Errorf("%s: %v", j, got)
		}
	}
	// The server goes on to answer although its domain is blocked.
	expect(t, "unblock", a.Ask("set", routertest.Domain, change("unblock")), "service-unavailable")
	expect(t, "unblock", a.Ask("set", "", change("unblock")), "")
}

// TestFromBlocked: the user seems to be offline (XEP-0191 §4.2).
func TestFromBlocked(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	a := h.Login(alice+"/desk", "<presence/>")
	expect(t, "block", a.Ask("set", "", change("block", bob)), "")
	a.Recv()
	b := h.Login(bob + "/desk")
	for _, to := range []string{alice, alice + "/desk"} {
		for _, x := range []struct{ xml, want string }{
			{"<message type='chat'%s><body>x</body></message>", "service-unavailable"},
			{"<message%s><body>x</body></message>", "service-unavailable"},
			{"<message type='headline'%s><body>x</body></message>", ""},
			{"<message type='groupchat'%s><body>x</body></message>", ""},
			{"<message type='error'%s/>", ""},
			{"<iq type='get' id='1'%s><q xmlns='u'/></iq>", "service-unavailable"},
			{"<iq type='set' id='1'%s><q xmlns='u'/></iq>", "service-unavailable"},
			{"<iq type='result' id='1'%s/>", ""},
			{"<iq type='error' id='1'%s/>", ""},
			{"<presence%s/>", ""},
			{"<presence type='subscribe'%s/>", ""},
			{"<presence type='probe'%s/>", ""},
			{"<presence type='unavailable'%s/>", ""},
		} {
			b.Say(fmt.Sprintf(x.xml, " to='"+to+"'"))
			if got := strings.Join(b.Recv(), "\n"); x.want == "" && got != "" || !strings.HasSuffix(got, x.want) {
				t.Errorf("%s to %s: %q, want %q", x.xml, to, got, x.want)
			}
		}
	}
	a.Want("nothing")
	expect(t, "unblock", a.Ask("set", "", change("unblock", bob)), "")
	b.Say("<message type='chat' to='" + alice + "'><body>x</body></message>")
	a.Want("again", "chat "+bob+"/desk > "+alice+" <body>x</body>")
}

// TestSameWords: a blocked sender hears what one hears of somebody offline.
func TestSameWords(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	a := h.Login(alice + "/desk")
	b := h.Login(bob + "/desk")
	words := func() (all []string) {
		b.Say("<message type='chat' to='"+alice+"'><body>x</body></message>", "<iq type='get' id='1' to='"+alice+"'><q xmlns='u'/></iq>")
		for _, st := range b.All() {
			all = append(all, st.String())
		}
		b.Recv()
		return all
	}
	before := words()
	expect(t, "block", a.Ask("set", "", change("block", bob)), "")
	if after := words(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("offline:\n%s\nblocked:\n%s", before, after)
	}
}

func TestToBlocked(t *testing.T) {
	h := start(t, routertest.NewStore(), nil)
	a, b := h.Login(alice+"/desk"), h.Login(bob+"/desk", "<presence/>")
	b.Recv()
	expect(t, "block", a.Ask("set", "", change("block", bob, "peer.example")), "")
	for _, to := range []string{bob, bob + "/desk", far} {
		for _, xml := range []string{
			"<message type='chat' id='e' to='" + to + "'><body>x</body></message>",
			"<iq type='get' id='e' to='" + to + "'><q xmlns='u'/></iq>",
			"<presence id='e' to='" + to + "'/>",
		} {
			a.Say(xml)
			a.Want("refused", "error e "+to+" > "+alice+"/desk "+blocked)
		}
		a.Say("<presence type='subscribe' id='e' to='" + to + "'/>")
		a.Want("refused", "error e "+to+" > "+alice+"/desk "+blocked)
		a.Say("<iq type='result' id='e' to='"+to+"'/>", "<message type='error' to='"+to+"'/>")
		a.Want("never answered")
	}
	b.Want("nothing")
	h.peer.Want("nothing")
}

// TestPresence: blocking looks like going offline, unblocking like coming back.
func TestPresence(t *testing.T) {
	h := start(t, routertest.NewStore(), friends{alice, bob, carol, far})
	b, c := h.Login(bob+"/desk", "<presence/>"), h.Login(carol+"/desk", "<presence/>")
	a := h.Login(alice+"/desk", "<presence><show>away</show></presence>")
	h.Login(alice + "/silent")
	for _, x := range []*routertest.Client{a, b, c} {
		x.Recv()
	}
	h.peer.Recv()
	expect(t, "block", a.Ask("set", "", change("block", bob, "peer.example")), "")
	b.Want("gone", "unavailable "+alice+"/desk > "+bob)
	c.Want("nothing")
	h.peer.Want("gone", "unavailable "+alice+"/desk > "+far)
	expect(t, "block again", a.Ask("set", "", change("block", bob+"/desk")), "")
	b.Want("nothing new")

	// While blocked: no presence either way, also when one of them logs in.
	a.Recv()
	a.Say("<presence><show>dnd</show></presence>")
	a.Recv()
	b.Say("<presence><show>xa</show></presence>")
	b.Recv()
	c.Recv()
	b2 := h.Login(bob+"/phone", "<presence/>")
	for _, line := range b2.Recv() {
		if strings.Contains(line, alice) {
			t.Errorf("bob's phone got %s", line)
		}
	}
	a2 := h.Login(alice+"/phone", "<presence/>")
	for _, line := range append(a2.Recv(), a.Recv()...) {
		if strings.Contains(line, bob) || strings.Contains(line, far) {
			t.Errorf("alice got %s", line)
		}
	}
	a2.Say("<presence type='unavailable'/>")
	b.Recv() // bob's own phone
	for _, l := range h.peer.Recv() {
		if strings.Contains(l, alice) {
			t.Errorf("the gateway got %s", l)
		}
	}
	a.Recv()
	expect(t, "unblock", a.Ask("set", "", change("unblock")), "")
	b.Want("back", "presence "+alice+"/desk > "+bob+" <show>dnd</show>")
	b2.Want("back", "presence "+alice+"/desk > "+bob+" <show>dnd</show>")
	a.Want("bob again", "presence "+bob+"/desk > "+alice+" <show>xa</show>", "presence "+bob+"/phone > "+alice)
	h.peer.Want("back", "presence "+alice+"/desk > "+far+" <show>dnd</show>", "probe "+alice+" > "+far)
}

// TestRestart: lists are there again, and go with the account.
func TestRestart(t *testing.T) {
	store := routertest.NewStore()
	h := start(t, store, nil)
	a := h.Login(alice + "/desk")
	expect(t, "block", a.Ask("set", "", change("block", bob, "spam.example")), "")
	if err := store.Table("blocking").Write(map[string]any{carol: "not a list"}); err != nil {
		t.Fatal(err)
	}
	h = start(t, store, nil)
	if !h.m.Blocked(jid.MustParse(alice), jid.MustParse("x@spam.example")) || h.m.Blocked(jid.MustParse(bob), jid.MustParse(alice)) {
		t.Error("not the list that was")
	}
	if err := h.m.Purge(jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	if h.m.Blocked(jid.MustParse(alice), jid.MustParse(bob)) || store.Len() != 1 {
		t.Errorf("left: %v", store.Rows())
	}
}

func BenchmarkBlocked(b *testing.B) {
	m := blocking.New(nil)
	store := routertest.NewStore()
	store.Put("blocking", alice, `{"v":1,"jids":["spam.example"]}`)
	routertest.Open(b, router.Config{Store: store}, m)
	u, o := jid.MustParse(alice), jid.MustParse("someone@chat.sub.example/phone")
	b.ReportAllocs()
	for b.Loop() {
		if m.Blocked(u, o) {
			b.Fatal("blocked")
		}
	}
}
