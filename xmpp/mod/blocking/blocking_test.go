package blocking_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/presence"
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
	*office
	m    *blocking.Module
	peer *gateway
}

// gateway keeps what it gets, a line each.
type gateway struct{ got []string }

func (g *gateway) Handle(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	g.got = append(g.got, strings.TrimSpace(fmt.Sprintf("%s %s %s > %s", d.Stanza.Kind, d.Stanza.Type, d.Stanza.From, d.Stanza.To)))
	return xmpp.Done, nil
}

func start(t *testing.T, store *memory, f friends) *house {
	t.Helper()
	h := &house{m: blocking.New(f), peer: &gateway{}}
	h.office = open(t, store, h.m, presence.New(h.m.Subscriptions()))
	if err := h.r.Domain(xmpp.Domain{Name: "peer.example", Handler: h.peer}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (c *client) expect(what, got, want string) {
	c.Helper()
	if got != want {
		c.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestList(t *testing.T) {
	h := start(t, nil, nil)
	desk, phone, deaf := h.login(alice+"/desk"), h.login(alice+"/phone"), h.login(alice+"/deaf")
	for _, c := range []*client{desk, phone} {
		c.expect("empty list", c.ask("get", "", list), list)
	}
	desk.expect("block", desk.ask("set", "", change("block", "Mallory@Spam.example", bob)), "")
	push := "<block xmlns='urn:xmpp:blocking'><item jid='mallory@spam.example'/><item jid='bob@office.example'/></block>"
	desk.want("push", "set block1 "+alice+" > "+alice+"/desk "+push)
	phone.want("push", "set block2 "+alice+" > "+alice+"/phone "+push)
	deaf.want("has not asked for the list")
	desk.expect("list", deaf.ask("get", alice, list),
		"<blocklist xmlns='urn:xmpp:blocking'><item jid='bob@office.example'/><item jid='mallory@spam.example'/></blocklist>")
	desk.expect("unblock one", desk.ask("set", "", change("unblock", bob)), "")
	phone.want("push", "set block4 "+alice+" > "+alice+"/phone <unblock xmlns='urn:xmpp:blocking'><item jid='bob@office.example'/></unblock>")
	desk.expect("block", desk.ask("set", "", change("block", bob)), "")
	phone.recv()
	desk.expect("unblock all", desk.ask("set", "", change("unblock")), "")
	phone.want("push", "set blocka "+alice+" > "+alice+"/phone <unblock xmlns='urn:xmpp:blocking'/>")
	desk.expect("empty list", desk.ask("get", "", list), list)
	if len(h.store.rows) != 0 {
		t.Errorf("left on disk: %v", h.store.rows)
	}
}

func TestErrors(t *testing.T) {
	h := start(t, nil, nil)
	a := h.login(alice + "/desk")
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
		a.expect(c.typ+" "+c.payload, a.ask(c.typ, c.to, c.payload), c.want)
	}
	a.expect("nothing changed", a.ask("get", "", list), list)
	many := make([]string, 600)
	for i := range many {
		many[i] = fmt.Sprintf("user%d@spam.example", i)
	}
	a.expect("600", a.ask("set", "", change("block", many...)), "")
	for i := range many {
		many[i] = fmt.Sprintf("user%d@more.example", i)
	}
	a.expect("1200", a.ask("set", "", change("block", many...)), "resource-constraint")
	a.expect("a domain instead", a.ask("set", "", change("block", "more.example")), "")
	h.store.fail = errors.New("disk full")
	a.expect("disk full", a.ask("set", "", change("block", bob)), "internal-server-error")
	h.store.fail = nil
	if h.m.Blocked(jid.MustParse(alice), jid.MustParse(bob)) || !h.m.Blocked(jid.MustParse(alice), jid.MustParse("user7@spam.example")) {
		t.Error("what the disk has refused holds, or what it has does not")
	}
}

func TestMatching(t *testing.T) {
	h := start(t, nil, nil)
	a := h.login(alice + "/desk")
	a.expect("block", a.ask("set", "", change("block", "one@a.example/x", "two@a.example", "b.example", "c.example/x", home)), "")
	for j, want := range map[string]bool{
		"one@a.example/x": true, "one@a.example/y": false, "one@a.example": false,
		"two@a.example": true, "two@a.example/z": true, "a.example": false,
		"b.example": true, "b.example/z": true, "x@b.example": true, "x@sub.b.example/y": true, "notb.example": false,
		"c.example/x": true, "c.example/y": false, "c.example": false, "u@c.example/x": false,
		bob: true, home: false, alice: false, alice + "/desk": false,
	} {
		if got := h.m.Blocked(a.s.JID(), jid.MustParse(j)); got != want {
			t.Errorf("%s: %v", j, got)
		}
	}
	// The server goes on to answer although its domain is blocked.
	a.expect("unblock", a.ask("set", home, change("unblock")), "service-unavailable")
	a.expect("unblock", a.ask("set", "", change("unblock")), "")
}

// TestFromBlocked: the user seems to be offline (XEP-0191 §4.2).
func TestFromBlocked(t *testing.T) {
	h := start(t, nil, nil)
	a := h.login(alice+"/desk", "<presence/>")
	a.expect("block", a.ask("set", "", change("block", bob)), "")
	a.recv()
	b := h.login(bob + "/desk")
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
			b.send(fmt.Sprintf(x.xml, " to='"+to+"'"))
			if got := strings.Join(b.recv(), "\n"); x.want == "" && got != "" || !strings.HasSuffix(got, x.want) {
				t.Errorf("%s to %s: %q, want %q", x.xml, to, got, x.want)
			}
		}
	}
	a.want("nothing")
	a.expect("unblock", a.ask("set", "", change("unblock", bob)), "")
	b.send("<message type='chat' to='" + alice + "'><body>x</body></message>")
	a.want("again", "chat "+bob+"/desk > "+alice+" <body>x</body>")
}

// TestSameWords: a blocked sender hears what one hears of somebody offline.
func TestSameWords(t *testing.T) {
	h := start(t, nil, nil)
	a := h.login(alice + "/desk")
	b := h.login(bob + "/desk")
	words := func() (all []string) {
		b.send("<message type='chat' to='"+alice+"'><body>x</body></message>", "<iq type='get' id='1' to='"+alice+"'><q xmlns='u'/></iq>")
		for _, st := range b.got {
			all = append(all, st.String())
		}
		b.recv()
		return all
	}
	before := words()
	a.expect("block", a.ask("set", "", change("block", bob)), "")
	if after := words(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("offline:\n%s\nblocked:\n%s", before, after)
	}
}

func TestToBlocked(t *testing.T) {
	h := start(t, nil, nil)
	a, b := h.login(alice+"/desk"), h.login(bob+"/desk", "<presence/>")
	b.recv()
	a.expect("block", a.ask("set", "", change("block", bob, "peer.example")), "")
	for _, to := range []string{bob, bob + "/desk", far} {
		for _, xml := range []string{
			"<message type='chat' id='e' to='" + to + "'><body>x</body></message>",
			"<iq type='get' id='e' to='" + to + "'><q xmlns='u'/></iq>",
			"<presence id='e' to='" + to + "'/>",
		} {
			a.send(xml)
			a.want("refused", "error e "+to+" > "+alice+"/desk "+blocked)
		}
		a.send("<presence type='subscribe' id='e' to='" + to + "'/>")
		a.want("refused", "error e "+to+" > "+alice+"/desk "+blocked)
		a.send("<iq type='result' id='e' to='"+to+"'/>", "<message type='error' to='"+to+"'/>")
		a.want("never answered")
	}
	b.want("nothing")
	if len(h.peer.got) > 0 {
		t.Errorf("the gateway got %v", h.peer.got)
	}
}

// TestPresence: blocking looks like going offline, unblocking like coming back.
func TestPresence(t *testing.T) {
	h := start(t, nil, friends{alice, bob, carol, far})
	b, c := h.login(bob+"/desk", "<presence/>"), h.login(carol+"/desk", "<presence/>")
	a := h.login(alice+"/desk", "<presence><show>away</show></presence>")
	a.login(alice + "/silent")
	for _, x := range []*client{a, b, c} {
		x.recv()
	}
	h.peer.got = nil
	a.expect("block", a.ask("set", "", change("block", bob, "peer.example")), "")
	b.want("gone", "unavailable "+alice+"/desk > "+bob)
	c.want("nothing")
	if got := strings.Join(h.peer.got, ", "); got != "presence unavailable alice@office.example/desk > far@peer.example" {
		t.Errorf("the gateway got %s", got)
	}
	h.peer.got = nil
	a.expect("block again", a.ask("set", "", change("block", bob+"/desk")), "")
	b.want("nothing new")

	// While blocked: no presence either way, also when one of them logs in.
	a.recv()
	a.send("<presence><show>dnd</show></presence>")
	a.recv()
	b.send("<presence><show>xa</show></presence>")
	b.recv()
	c.recv()
	b2 := h.login(bob+"/phone", "<presence/>")
	for _, line := range b2.recv() {
		if strings.Contains(line, alice) {
			t.Errorf("bob's phone got %s", line)
		}
	}
	a2 := h.login(alice+"/phone", "<presence/>")
	for _, line := range append(a2.recv(), a.recv()...) {
		if strings.Contains(line, bob) || strings.Contains(line, far) {
			t.Errorf("alice got %s", line)
		}
	}
	a2.send("<presence type='unavailable'/>")
	b.recv() // bob's own phone
	if len(h.peer.got) > 0 {
		for _, l := range h.peer.got {
			if strings.Contains(l, alice) {
				t.Errorf("the gateway got %s", l)
			}
		}
	}
	h.peer.got = nil
	a.recv()
	a.expect("unblock", a.ask("set", "", change("unblock")), "")
	b.want("back", "presence "+alice+"/desk > "+bob+" <show>dnd</show>")
	b2.want("back", "presence "+alice+"/desk > "+bob+" <show>dnd</show>")
	a.want("bob again", "presence "+bob+"/desk > "+alice+" <show>xa</show>", "presence "+bob+"/phone > "+alice)
	if got := strings.Join(h.peer.got, ", "); got != "presence  alice@office.example/desk > far@peer.example, presence probe alice@office.example > far@peer.example" {
		t.Errorf("the gateway got %s", got)
	}
}

// TestRestart: lists are there again, and go with the account.
func TestRestart(t *testing.T) {
	store := &memory{}
	h := start(t, store, nil)
	a := h.login(alice + "/desk")
	a.expect("block", a.ask("set", "", change("block", bob, "spam.example")), "")
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
	if h.m.Blocked(jid.MustParse(alice), jid.MustParse(bob)) || len(store.rows) != 1 {
		t.Errorf("left: %v", store.rows)
	}
}

func BenchmarkBlocked(b *testing.B) {
	m := blocking.New(nil)
	open(b, &memory{rows: map[string][]byte{"blocking/" + alice: []byte(`{"v":1,"jids":["spam.example"]}`)}}, m)
	u, o := jid.MustParse(alice), jid.MustParse("someone@chat.sub.example/phone")
	b.ReportAllocs()
	for b.Loop() {
		if m.Blocked(u, o) {
			b.Fatal("blocked")
		}
	}
}
