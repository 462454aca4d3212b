package carbons_test

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/mod/carbons"
)

const (
	online = "<presence/>"
	on     = "<iq type='set' id='c1'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
	off    = "<iq type='set' id='c2'><disable xmlns='urn:xmpp:carbons:2'/></iq>"
	alice  = "alice@office.example"
	bob    = "bob@office.example"
)

func start(t testing.TB) *office { return open(t, nil, extra(available), carbons.New()) }

// copied is the copy of a message as a resource gets it.
func copied(direction, typ, user, resource, original string) string {
	original = strings.Replace(original, "<message", "<message xmlns='jabber:client'", 1)
	return typ + " " + user + " > " + user + "/" + resource + " <" + direction + " xmlns='urn:xmpp:carbons:2'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'>" + original + "</forwarded></" + direction + ">"
}

func TestConversation(t *testing.T) {
	o := start(t)
	desk, phone, old := o.login(alice+"/desk", online, on), o.login(alice+"/phone", online, on), o.login(alice+"/old", online)
	far := o.login(bob+"/far", online, on)
	for _, c := range []*client{desk, phone, far} {
		c.recv()
	}

	desk.send("<message type='chat' id='m1' to='bob@office.example'><body>hi</body></message>")
	original := "<message type='chat' id='m1' from='alice@office.example/desk' to='bob@office.example'><body>hi</body></message>"
	desk.want("own message")
	phone.want("sent", copied("sent", "chat", alice, "phone", original))
	old.want("not enabled")
	far.want("the original", "chat m1 alice@office.example/desk > bob@office.example <body>hi</body>")

	far.send("<message type='chat' id='m2' to='alice@office.example/desk'><body>right</body></message>")
	original = "<message type='chat' id='m2' from='bob@office.example/far' to='alice@office.example/desk'><body>right</body></message>"
	desk.want("the original", "chat m2 bob@office.example/far > alice@office.example/desk <body>right</body>")
	phone.want("received", copied("received", "chat", alice, "phone", original))
	old.want("not enabled")

	// To the bare JID all get the original, and nobody a copy.
	far.send("<message type='chat' to='alice@office.example'><body>all</body></message>")
	for _, c := range []*client{desk, phone, old} {
		c.want("forked", "chat bob@office.example/far > alice@office.example <body>all</body>")
	}

	phone.send(off)
	phone.want("off", "result c2 alice@office.example > alice@office.example/phone")
	desk.send("<message type='chat' to='bob@office.example'><body>x</body></message>")
	phone.want("off")
	phone.send(on, on)
	phone.recv()
	desk.send("<message type='chat' to='bob@office.example'><body>x</body></message>")
	if n := len(phone.recv()); n != 1 {
		t.Errorf("enabled twice: %d copies", n)
	}
}

// TestWho gets a copy of a message to a bare JID: also resources that the
// message itself does not go to, but not when nobody takes it.
func TestWho(t *testing.T) {
	o := start(t)
	far := o.login(bob+"/far", online)
	shy := o.login(alice+"/shy", "<presence><priority>-1</priority></presence>", on)
	mute := o.login(alice+"/mute", on)
	shy.recv()
	mute.recv()
	far.send("<message type='chat' id='m' to='alice@office.example'><body>1</body></message>")
	shy.want("nobody takes it")
	mute.want("nobody takes it")
	far.want("told", "error m alice@office.example > bob@office.example/far service-unavailable")
	far.send("<message id='m' to='alice@office.example/gone'><body>2</body></message>")
	shy.want("RFC 6121 §8.5.3.2.1")
	far.recv()

	desk := o.login(alice+"/desk", online)
	far.send("<message type='chat' id='m' to='alice@office.example/gone'><body>3</body></message>")
	original := "<message type='chat' id='m' from='bob@office.example/far' to='alice@office.example/gone'><body>3</body></message>"
	desk.want("as if to the bare JID", "chat m bob@office.example/far > alice@office.example/gone <body>3</body>")
	shy.want("copy", copied("received", "chat", alice, "shy", original))
	mute.want("copy", copied("received", "chat", alice, "mute", original))
	far.send("<message id='m' to='alice@office.example/gone'><body>4</body></message>")
	shy.want("RFC 6121 §8.5.3.2.1")
	far.want("told", "error m alice@office.example/gone > bob@office.example/far service-unavailable")
}

func TestToOneself(t *testing.T) {
	o := start(t)
	desk, phone, shy := o.login(alice+"/desk", online, on), o.login(alice+"/phone", online, on), o.login(alice+"/shy", on)
	for _, c := range []*client{desk, phone, shy} {
		c.recv()
	}
	for _, to := range []string{"", " to='alice@office.example'"} {
		desk.send("<message type='chat'" + to + "><body>note</body></message>")
		desk.want("the original", "chat alice@office.example/desk > alice@office.example <body>note</body>")
		phone.want("the original", "chat alice@office.example/desk > alice@office.example <body>note</body>")
		shy.want("one copy", copied("sent", "chat", alice, "shy",
			"<message type='chat' from='alice@office.example/desk' to='alice@office.example'><body>note</body></message>"))
	}
	desk.send("<message type='chat' to='alice@office.example/phone'><body>note</body></message>")
	phone.want("the original", "chat alice@office.example/desk > alice@office.example/phone <body>note</body>")
	desk.want("nothing")
	if n := len(shy.recv()); n != 1 {
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
		desk, other := o.login(alice+"/desk", online), o.login(alice+"/other", online, on)
		far, side := o.login(bob+"/far", online), o.login(bob+"/side", online, on)
		other.recv()
		side.recv()
		desk.send("<message type='" + c.typ + "' to='bob@office.example/far'>" + c.inner + "</message>")
		if got := len(other.recv()) == 1; got != c.sent {
			t.Errorf("%s %s: copied at the sender %v", c.typ, c.inner, got)
		}
		if got := len(side.recv()) == 1; got != c.received {
			t.Errorf("%s %s: copied at the receiver %v", c.typ, c.inner, got)
		}
		got := far.recv()
		if len(got) != 1 || strings.Contains(got[0], "private") || strings.Contains(c.inner, "body") && !strings.Contains(got[0], "x</body>") {
			t.Errorf("%s %s: delivered %v", c.typ, c.inner, got)
		}
	}
}

func TestSwitchOfOthers(t *testing.T) {
	o := start(t)
	a := o.login(alice + "/desk")
	o.login(bob + "/desk")
	for _, to := range []string{bob, "nobody@office.example"} {
		for _, x := range []string{"enable", "disable"} {
			if got := a.ask("set", to, "<"+x+" xmlns='urn:xmpp:carbons:2'/>"); got != "not-allowed" {
				t.Errorf("%s %s: %s", x, to, got)
			}
		}
	}
	if got := a.ask("set", alice, "<enable xmlns='urn:xmpp:carbons:2'/>"); got != "" {
		t.Errorf("own bare JID: %s", got)
	}
	if got := a.ask("get", "", "<enable xmlns='urn:xmpp:carbons:2'/>"); got != "feature-not-implemented" {
		t.Errorf("get: %s", got)
	}
}

// TestCopyOfDeadStream: a copy that did not arrive goes nowhere else, neither to
// other resources nor to the offline store.
func TestCopyOfDeadStream(t *testing.T) {
	stored := 0
	o := open(t, nil, extra(available), carbons.New(), extra(func(h xmpp.Host) {
		h.Message(xmpp.Offline, 100, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) { stored++; return xmpp.Done, nil })
	}))
	desk, phone := o.login(alice+"/desk", online), o.login(alice+"/phone", online, on)
	phone.recv()
	desk.send("<message type='chat' to='bob@office.example'><body>x</body></message>")
	stored = 0
	copies := phone.got
	if len(copies) != 1 {
		t.Fatalf("got %v", copies)
	}
	original := parse(t, "<message type='chat' from='bob@office.example/far' to='alice@office.example/phone'><body>y</body></message>")
	phone.s.Unbind(context.Background(), append(copies, original))
	got := desk.recv()
	if len(got) != 1 || !strings.Contains(got[0], "<body>y</body>") {
		t.Errorf("desk got %v", got)
	}
	desk.s.Unbind(context.Background(), copies)
	if stored != 0 {
		t.Error("a copy was stored")
	}
}

// Chats between users with one resource each must not pay.
func TestNoAllocation(t *testing.T) {
	var hooks []xmpp.Hook
	m := carbons.New()
	o := open(t, nil, extra(func(h xmpp.Host) {
		if err := m.Load(spy{h, &hooks}); err != nil {
			t.Fatal(err)
		}
	}))
	a := o.login(alice + "/desk")
	o.login(bob + "/far")
	st := parse(t, "<message type='chat' from='alice@office.example/desk' to='bob@office.example'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	d := &xmpp.Delivery{Stanza: st, Sender: a.s, Exists: true}
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
	desk := o.login(alice+"/desk", online)
	for _, r := range []string{"a", "b", "c"} {
		o.login(alice+"/"+r, online, on)
	}
	o.login(bob+"/far", online)
	st := parse(b, "<message type='chat' to='bob@office.example'><body>"+strings.Repeat("hello ", 40)+"</body></message>")
	b.ReportAllocs()
	for b.Loop() {
		if err := desk.s.Handle(context.Background(), st); err != nil {
			b.Fatal(err)
		}
	}
}
