package carbons_test

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/mod/carbons"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	online = "<presence/>"
	on     = "<iq type='set' id='c1'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
	off    = "<iq type='set' id='c2'><disable xmlns='urn:xmpp:carbons:2'/></iq>"
	alice  = "alice@office.example"
	bob    = "bob@office.example"
)

func start(t testing.TB) *routertest.House {
	return routertest.Open(t, router.Config{}, routertest.Available(), carbons.New())
}

// copied is the copy of a message as a resource gets it.
func copied(direction, typ, user, resource, original string) string {
	original = strings.Replace(original, "<message", "<message xmlns='jabber:client'", 1)
	return typ + " " + user + " > " + user + "/" + resource + " <" + direction + " xmlns='urn:xmpp:carbons:2'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'>" + original + "</forwarded></" + direction + ">"
}

func TestConversation(t *testing.T) {
	o := start(t)
	desk, phone, old := o.Login(alice+"/desk", online, on), o.Login(alice+"/phone", online, on), o.Login(alice+"/old", online)
	far := o.Login(bob+"/far", online, on)
	for _, c := range []*routertest.Client{desk, phone, far} {
		c.Recv()
	}

	desk.Say("<message type='chat' id='m1' to='bob@office.example'><body>hi</body></message>")
	original := "<message type='chat' id='m1' from='alice@office.example/desk' to='bob@office.example'><body>hi</body></message>"
	desk.Want("own message")
	phone.Want("sent", copied("sent", "chat", alice, "phone", original))
	old.Want("not enabled")
	far.Want("the original", "chat m1 alice@office.example/desk > bob@office.example <body>hi</body>")

	far.Say("<message type='chat' id='m2' to='alice@office.example/desk'><body>right</body></message>")
	original = "<message type='chat' id='m2' from='bob@office.example/far' to='alice@office.example/desk'><body>right</body></message>"
	desk.Want("the original", "chat m2 bob@office.example/far > alice@office.example/desk <body>right</body>")
	phone.Want("received", copied("received", "chat", alice, "phone", original))
	old.Want("not enabled")

	// To the bare JID all get the original, and nobody a copy.
	far.Say("<message type='chat' to='alice@office.example'><body>all</body></message>")
	for _, c := range []*routertest.Client{desk, phone, old} {
		c.Want("forked", "chat bob@office.example/far > alice@office.example <body>all</body>")
	}

	phone.Say(off)
	phone.Want("off", "result c2 alice@office.example > alice@office.example/phone")
	desk.Say("<message type='chat' to='bob@office.example'><body>x</body></message>")
	phone.Want("off")
	phone.Say(on, on)
	phone.Recv()
	desk.Say("<message type='chat' to='bob@office.example'><body>x</body></message>")
	if n := len(phone.Recv()); n != 1 {
		t.Errorf("enabled twice: %d copies", n)
	}
}

// TestWho gets a copy of a message to a bare JID: also resources that the
// message itself does not go to, but not when nobody takes it.
func TestWho(t *testing.T) {
	o := start(t)
	far := o.Login(bob+"/far", online)
	shy := o.Login(alice+"/shy", "<presence><priority>-1</priority></presence>", on)
	mute := o.Login(alice+"/mute", on)
	shy.Recv()
	mute.Recv()
	far.Say("<message type='chat' id='m' to='alice@office.example'><body>1</body></message>")
	shy.Want("nobody takes it")
	mute.Want("nobody takes it")
	far.Want("told", "error m alice@office.example > bob@office.example/far service-unavailable")
	far.Say("<message id='m' to='alice@office.example/gone'><body>2</body></message>")
	shy.Want("RFC 6121 §8.5.3.2.1")
	far.Recv()

	desk := o.Login(alice+"/desk", online)
	far.Say("<message type='chat' id='m' to='alice@office.example/gone'><body>3</body></message>")
	original := "<message type='chat' id='m' from='bob@office.example/far' to='alice@office.example/gone'><body>3</body></message>"
	desk.Want("as if to the bare JID", "chat m bob@office.example/far > alice@office.example/gone <body>3</body>")
	shy.Want("copy", copied("received", "chat", alice, "shy", original))
	mute.Want("copy", copied("received", "chat", alice, "mute", original))
	far.Say("<message id='m' to='alice@office.example/gone'><body>4</body></message>")
	shy.Want("RFC 6121 §8.5.3.2.1")
	far.Want("told", "error m alice@office.example/gone > bob@office.example/far service-unavailable")
}

func TestToOneself(t *testing.T) {
	o := start(t)
	desk, phone, shy := o.Login(alice+"/desk", online, on), o.Login(alice+"/phone", online, on), o.Login(alice+"/shy", on)
	for _, c := range []*routertest.Client{desk, phone, shy} {
		c.Recv()
	}
	for _, to := range []string{"", " to='alice@office.example'"} {
		desk.Say("<message type='chat'" + to + "><body>note</body></message>")
		desk.Want("the original", "chat alice@office.example/desk > alice@office.example <body>note</body>")
		phone.Want("the original", "chat alice@office.example/desk > alice@office.example <body>note</body>")
		shy.Want("one copy", copied("sent", "chat", alice, "shy",
			"<message type='chat' from='alice@office.example/desk' to='alice@office.example'><body>note</body></message>"))
	}
	desk.Say("<message type='chat' to='alice@office.example/phone'><body>note</body></message>")
	phone.Want("the original", "chat alice@office.example/desk > alice@office.example/phone <body>note</body>")
	desk.Want("nothing")
	if n := len(shy.Recv()); n != 1 {
		t.Errorf("%d copies", n)
	}
}

func TestRules(t *testing.T) {
	const muc = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
	for _, c := range []struct {
		typ, inner     string
		sent, received bool
	}{
		{"chat", "<body>x</body>", true, true},
		{"chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", true, true},
		{"", "<body>x</body>", true, true},
		{"normal", "<body>x</body>", true, true},
		{"", "<subject>x</subject>", false, false},
		{"", "<received xmlns='urn:xmpp:receipts' id='1'/>", true, true},
		{"", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true, true},
		{"headline", "<body>x</body>", false, false},
		{"error", "<body>x</body>", false, false},
		{"chat", "<body>x</body>" + muc, true, false},
		{"chat", "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", false, false},
		{"chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", true, true},
		{"chat", "<private xmlns='urn:xmpp:carbons:2'/><body>x</body>", false, false},
		{"chat", "<p:private xmlns:p='urn:xmpp:carbons:2'/><body>x</body>", false, false},
		{"chat", "<sent xmlns='urn:xmpp:carbons:2'/>", false, false},
	} {
		o := start(t)
		desk, other := o.Login(alice+"/desk", online), o.Login(alice+"/other", online, on)
		far, side := o.Login(bob+"/far", online), o.Login(bob+"/side", online, on)
		other.Recv()
		side.Recv()
		desk.Say("<message type='" + c.typ + "' to='bob@office.example/far'>" + c.inner + "</message>")
		if got := len(other.Recv()) == 1; got != c.sent {
			t.Errorf("%s %s: copied at the sender %v", c.typ, c.inner, got)
		}
		if got := len(side.Recv()) == 1; got != c.received {
			t.Errorf("%s %s: copied at the receiver %v", c.typ, c.inner, got)
		}
		got := far.Recv()
		if len(got) != 1 || strings.Contains(got[0], "private") || strings.Contains(c.inner, "body") && !strings.Contains(got[0], "x</body>") {
			t.Errorf("%s %s: delivered %v", c.typ, c.inner, got)
		}
	}
}

func TestSwitchOfOthers(t *testing.T) {
	o := start(t)
	a := o.Login(alice + "/desk")
	o.Login(bob + "/desk")
	for _, to := range []string{bob, "nobody@office.example"} {
		for _, x := range []string{"enable", "disable"} {
			if got := a.Ask("set", to, "<"+x+" xmlns='urn:xmpp:carbons:2'/>"); got != "not-allowed" {
				t.Errorf("%s %s: %s", x, to, got)
			}
		}
	}
	if got := a.Ask("set", alice, "<enable xmlns='urn:xmpp:carbons:2'/>"); got != "" {
		t.Errorf("own bare JID: %s", got)
	}
	if got := a.Ask("get", "", "<enable xmlns='urn:xmpp:carbons:2'/>"); got != "feature-not-implemented" {
		t.Errorf("get: %s", got)
	}
}

// TestCopyOfDeadStream: a copy that did not arrive goes nowhere else, neither to
// other resources nor to the offline store.
func TestCopyOfDeadStream(t *testing.T) {
	stored := 0
	o := routertest.Open(t, router.Config{}, routertest.Available(), carbons.New(), routertest.Module(func(h xmpp.Host) {
		h.Message(xmpp.Offline, 100, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) { stored++; return xmpp.Done, nil })
	}))
	desk, phone := o.Login(alice+"/desk", online), o.Login(alice+"/phone", online, on)
	phone.Recv()
	desk.Say("<message type='chat' to='bob@office.example'><body>x</body></message>")
	stored = 0
	copies := phone.All()
	if len(copies) != 1 {
		t.Fatalf("got %v", copies)
	}
	original := routertest.Parse(t, "<message type='chat' from='bob@office.example/far' to='alice@office.example/phone'><body>y</body></message>")
	phone.Session.Unbind(context.Background(), append(copies, original))
	got := desk.Recv()
	if len(got) != 1 || !strings.Contains(got[0], "<body>y</body>") {
		t.Errorf("desk got %v", got)
	}
	desk.Session.Unbind(context.Background(), copies)
	if stored != 0 {
		t.Error("a copy was stored")
	}
}

// Chats between users with one resource each must not pay.
func TestNoAllocation(t *testing.T) {
	var hooks []xmpp.Hook
	m := carbons.New()
	o := routertest.Open(t, router.Config{}, routertest.Module(func(h xmpp.Host) {
		if err := m.Load(spy{h, &hooks}); err != nil {
			t.Fatal(err)
		}
	}))
	a := o.Login(alice + "/desk")
	o.Login(bob + "/far")
	st := routertest.Parse(t, "<message type='chat' from='alice@office.example/desk' to='bob@office.example'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	d := &xmpp.Delivery{Stanza: st, Sender: a.Session, Exists: true}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		for _, h := range hooks {
			if v, err := h(ctx, d); v != xmpp.Pass || err != nil {
				t.Fatal(v, err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// spy keeps the message hooks of a module.
type spy struct {
	xmpp.Host
	hooks *[]xmpp.Hook
}

func (s spy) Message(_ xmpp.Point, _ int, h xmpp.Hook) { *s.hooks = append(*s.hooks, h) }

func BenchmarkCopy(b *testing.B) {
	o := start(b)
	desk := o.Login(alice+"/desk", online)
	for _, r := range []string{"a", "b", "c"} {
		o.Login(alice+"/"+r, online, on)
	}
	o.Login(bob+"/far", online)
	st := routertest.Parse(b, "<message type='chat' to='bob@office.example'><body>"+strings.Repeat("hello ", 40)+"</body></message>")
	b.ReportAllocs()
	for b.Loop() {
		if err := desk.Session.Handle(context.Background(), st); err != nil {
			b.Fatal(err)
		}
	}
}
