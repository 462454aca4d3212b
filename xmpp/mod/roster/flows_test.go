package roster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"doorway/xmpp"
	"doorway/xmpp/jid"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
)

func sub(typ, to string) string { return "<presence type='" + typ + "' to='" + to + "'/>" }

func push(jid, rest string) string { return "push <item jid='" + jid + "' subscription=" + rest + "/>" }

// befriend makes a mutual subscription of two people.
func befriend(a, b *client) {
	a.send(sub("subscribe", b.s.JID().Bare().String()))
	b.send(sub("subscribed", a.s.JID().Bare().String()), sub("subscribe", a.s.JID().Bare().String()))
	a.send(sub("subscribed", b.s.JID().Bare().String()))
	a.recv()
	b.recv()
}

// TestMutualSubscription is RFC 6121 §3.1 from both sides, with two resources
// at one of them.
func TestMutualSubscription(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, a2 := o.online(alice+"/desk"), o.online(alice+"/phone")
		b := o.online(bob + "/desk")
		a.recv()

		a.send("<presence type='subscribe' to='" + bob + "/desk' id='q'><status>It is me</status></presence>")
		same(t, "alice", a.recv(), push(bob, "'none' ask='subscribe'"))
		same(t, "alice's phone", a2.recv(), push(bob, "'none' ask='subscribe'"))
		same(t, "bob", b.recv(), "presence:subscribe "+alice+" > "+bob+" <status>It is me</status>")

		b.send(sub("subscribed", alice))
		same(t, "bob", b.recv(), push(alice, "'from'"))
		for _, c := range []*client{a, a2} {
			same(t, "alice", c.recv(), "presence:subscribed "+bob+" > "+alice, push(bob, "'to'"),
				"presence "+bob+"/desk > "+alice)
		}

		b.send(sub("subscribe", alice))
		same(t, "bob", b.recv(), push(alice, "'from' ask='subscribe'"))
		same(t, "alice's phone", a2.recv(), "presence:subscribe "+bob+" > "+alice)
		a.recv()
		a.send(sub("subscribed", bob))
		same(t, "bob", b.recv(), "presence:subscribed "+alice+" > "+bob, push(alice, "'both'"),
			"presence "+alice+"/desk > "+bob, "presence "+alice+"/phone > "+bob)
		same(t, "alice's phone", a2.recv(), push(bob, "'both'"))

		o.crash()
		a, b = o.login(alice+"/desk"), o.login(bob+"/desk")
		a.send(getXML)
		b.send(getXML)
		same(t, "alice", a.recv(), "result g <query xmlns='jabber:iq:roster'><item jid='"+bob+"' subscription='both'/></query>")
		same(t, "bob", b.recv(), "result g <query xmlns='jabber:iq:roster'><item jid='"+alice+"' subscription='both'/></query>")
	})
}

// TestDenial is RFC 6121 §3.2 for a request that waits.
func TestDenial(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.send(sub("subscribe", bob))
		a.recv()
		b.recv()
		b.send(sub("unsubscribed", alice))
		same(t, "alice", a.recv(), "presence:unsubscribed "+bob+" > "+alice, push(bob, "'none'"))
		same(t, "bob", b.recv()) // he never had an item
		same(t, "disk", o.disk.on(), "roster "+alice+" "+bob+` {"v":1,"sub":"none"}`)
	})
}

// TestCancelling is RFC 6121 §3.2: the one who granted takes it back.
func TestCancelling(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		b.send(sub("unsubscribed", alice))
		same(t, "bob", b.recv(), push(alice, "'to'"))
		same(t, "alice", a.recv(), "presence:unavailable "+bob+"/desk > "+alice,
			"presence:unsubscribed "+bob+" > "+alice, push(bob, "'from'"))
		b.send("<presence><show>dnd</show></presence>")
		same(t, "alice", a.recv())
		a.send("<presence><show>away</show></presence>")
		same(t, "bob still sees alice", b.recv()[1:], "presence "+alice+"/desk > "+bob+" <show>away</show>")
	})
}

// TestUnsubscribing is RFC 6121 §3.3: the one who asked gives it up.
func TestUnsubscribing(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		a.send(sub("unsubscribe", bob))
		// Bob's unavailable presence ends what she has of him (§3.3.3); it and her own push cross.
		got := a.recv()
		slices.Sort(got)
		same(t, "alice", got, "presence:unavailable "+bob+"/desk > "+alice, push(bob, "'from'"))
		same(t, "bob", b.recv(), "presence:unsubscribe "+alice+" > "+bob, push(alice, "'to'"))
		b.send("<presence><show>dnd</show></presence>")
		same(t, "alice", a.recv())
	})
}

// TestTakingARequestBack: unsubscribe before the answer.
func TestTakingARequestBack(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.send(sub("subscribe", bob), sub("unsubscribe", bob))
		a.recv()
		b := o.online(bob + "/desk")
		b.send("<presence type='unavailable'/>", "<presence/>")
		for _, st := range b.recv() {
			if strings.HasPrefix(st, "presence:subscribe") {
				t.Errorf("bob was asked: %s", st)
			}
		}
	})
}

// TestRemovalBetweenFriends is RFC 6121 §2.5 at both ends.
func TestRemovalBetweenFriends(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		a.send(setXML("1", "<item jid='"+bob+"' subscription='remove'/>"))
		got := a.recv()
		slices.Sort(got)
		same(t, "alice", got, "presence:unavailable "+bob+"/desk > "+alice,
			"push <item jid='"+bob+"' subscription='remove'/>", "result 1")
		same(t, "bob", b.recv(),
			"presence:unavailable "+alice+"/desk > "+bob,
			"presence:unsubscribe "+alice+" > "+bob, push(alice, "'to'"),
			"presence:unsubscribed "+alice+" > "+bob, push(alice, "'none'"))
		same(t, "disk", o.disk.on(), "roster "+bob+" "+alice+` {"v":1,"sub":"none"}`)
	})
}

// TestRequestIsDeliveredUntilAnswered is RFC 6121 §3.1.3 case 4: one whole
// stanza for each sender, at each initial presence, also after a restart.
func TestRequestIsDeliveredUntilAnswered(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, c := o.online(alice+"/desk"), o.online("carol@office.example/desk")
		a.send("<presence type='subscribe' to='"+bob+"'><status>first</status><x:nick xmlns:x='urn:x'>A</x:nick></presence>",
			"<presence type='subscribe' to='"+bob+"'><status>second</status></presence>")
		c.send(sub("subscribe", bob))
		want := []string{"presence:subscribe " + alice + " > " + bob + " <status>first</status><x:nick xmlns:x='urn:x'>A</x:nick>",
			"presence:subscribe carol@office.example > " + bob}
		asked := func(c *client) []string {
			got := c.recv()
			return slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "presence:subscribe ") })
		}
		b := o.login(bob + "/desk")
		b.send("<presence/>")
		same(t, "bob", asked(b), want...)
		b.send("<presence><show>away</show></presence>") // an update is no new session
		same(t, "bob", asked(b))
		b.send("<presence type='unavailable'/>", "<presence/>")
		same(t, "bob again", asked(b), want...)
		b2 := o.login(bob + "/phone")
		b2.send("<presence><priority>-1</priority></presence>")
		same(t, "bob's phone", asked(b2), want...)
		same(t, "bob", asked(b))
		o.crash()
		b = o.login(bob + "/desk")
		b.send("<presence/>")
		same(t, "bob after restart", asked(b), want...)
		b.send(sub("subscribed", alice), sub("unsubscribed", "carol@office.example"))
		b.recv()
		b.send("<presence type='unavailable'/>", "<presence/>")
		same(t, "bob, all answered", asked(b))
	})
}

// TestMereRequestIsNotInTheRoster: None + Pending In is neither returned nor
// pushed; an item that the user made himself stays what it is.
func TestMereRequestIsNotInTheRoster(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		b := o.online(bob + "/desk")
		b.send(setXML("1", "<item jid='carol@office.example' name='Carol'/>"))
		b.recv()
		o.says("<presence type='subscribe' from='" + contact + "' to='" + bob + "'/>")
		o.says("<presence type='subscribe' from='carol@office.example' to='" + bob + "'/>")
		same(t, "bob", b.recv(), "presence:subscribe "+contact+" > "+bob, "presence:subscribe carol@office.example > "+bob)
		b.send(getXML)
		same(t, "bob", b.recv(), "result g <query xmlns='jabber:iq:roster'><item jid='carol@office.example' name='Carol' subscription='none'/></query>")
		if got := o.roster.Subscription(jid.MustParse(bob), jid.MustParse(contact)); got != "" {
			t.Errorf("a mere request has subscription %q", got)
		}
	})
}

// TestUnknownUserIsSilentlyIgnored: no error and no unsubscribed.
func TestUnknownUserIsSilentlyIgnored(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		for _, verb := range []string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"} {
			o.says("<presence type='" + verb + "' from='" + contact + "' to='nobody@office.example'/>")
			a.send(sub(verb, "nobody@office.example"))
		}
		same(t, "contact", o.peer.recv())
		for _, st := range a.recv() {
			if !strings.HasPrefix(st, "push ") {
				t.Errorf("alice got %s", st)
			}
		}
		for _, line := range o.disk.on() {
			if strings.Contains(line, " nobody@office.example "+contact) {
				t.Errorf("disk has %s", line)
			}
		}
	})
}

// TestUnreachableDomainIsAnError is RFC 6121 §3.1.2.
func TestUnreachableDomainIsAnError(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.send(sub("subscribe", "x@elsewhere.example"), "<presence type='subscribe'/>", sub("subscribe", alice))
		same(t, "alice", a.recv(), "presence:error x@elsewhere.example > "+alice+" remote-server-not-found cancel",
			push("x@elsewhere.example", "'none' ask='subscribe'"),
			"presence:error "+alice+" > "+alice+"/desk bad-request modify")
	})
}

// TestPreApproval is RFC 6121 §3.4 between two local people.
func TestPreApproval(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		b.send(sub("subscribed", alice))
		same(t, "bob", b.recv(), push(alice, "'none' approved='true'"))
		same(t, "alice is not told", a.recv())
		a.send(sub("subscribe", bob))
		same(t, "alice", a.recv(), push(bob, "'none' ask='subscribe'"),
			"presence:subscribed "+bob+" > "+alice, push(bob, "'to'"), "presence "+bob+"/desk > "+alice)
		same(t, "bob is not asked", b.recv(), push(alice, "'from' approved='true'"))
	})
}

// TestLostHalfIsMended: a crash between the two accounts' commits leaves their
// rosters at odds; the next login mends that.
func TestLostHalfIsMended(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		put := func(user, contact, sub string, ask bool) {
			o.disk.Table("roster").Write(map[string]any{user + "\x00" + contact: map[string]any{"v": 1, "sub": sub, "ask": ask}})
		}
		put(alice, bob, "none", true) // bob has never seen the request
		put(alice, "carol@office.example", "none", true)
		put("carol@office.example", alice, "from", false) // carol's answer was lost
		put(bob, "carol@office.example", "to", false)     // carol has cancelled that
		b, c := o.online(bob+"/desk"), o.online("carol@office.example/desk")
		o.online(alice + "/desk")
		same(t, "bob", b.recv(), "presence:subscribe "+alice+" > "+bob)
		c.recv()
		if got := o.roster.Subscription(jid.MustParse(alice), jid.MustParse("carol@office.example")); got != "to" {
			t.Errorf("alice's subscription to carol is %q", got)
		}
		b.close()
		o.online(bob + "/desk")
		if got := o.roster.Subscription(jid.MustParse(bob), jid.MustParse("carol@office.example")); got != "none" {
			t.Errorf("bob's subscription to carol is %q", got)
		}
	})
}

// TestRequestsAreBounded is the security warning of RFC 6121 §3.1.3.
func TestRequestsAreBounded(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		for i := range 250 {
			o.says(fmt.Sprintf("<presence type='subscribe' from='p%d@peer.example' to='%s'><status>%s</status></presence>", i, bob, strings.Repeat("x", 10<<10)))
		}
		synctest.Wait()
		on := o.disk.on()
		if len(on) != 200 {
			t.Errorf("%d requests kept", len(on))
		}
		if n := len(strings.Join(on, "")); n > 100<<10 {
			t.Errorf("%d bytes kept", n)
		}
	})
}

// TestNoRequestIsDeliveredTwice: a request that comes while a resource is
// becoming available.
func TestNoRequestIsDeliveredTwice(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		o.disk.set(func() { o.disk.held = true })
		b := o.login(bob + "/desk")
		o.says("<presence type='subscribe' from='" + contact + "' to='" + bob + "'/>")
		b.send("<presence/>")
		same(t, "bob, before the disk has it", b.recv(), "presence "+bob+"/desk > "+bob)
		o.disk.set(func() { o.disk.held = false })
		same(t, "bob", b.recv(), "presence:subscribe "+contact+" > "+bob)

		c := o.login("carol@office.example/desk")
		o.between = func() { // she is available and has not been given what waits
			o.says("<presence type='subscribe' from='" + contact + "' to='carol@office.example'/>")
			synctest.Wait()
		}
		c.send("<presence/>")
		same(t, "carol", c.recv(), "presence carol@office.example/desk > carol@office.example",
			"presence:subscribe "+contact+" > carol@office.example")
	})
}

// TestMessageStaysBehindSubscribe: also when another resource's stanza is being
// handed over at that moment (RFC 6120 §10.1).
func TestMessageStaysBehindSubscribe(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		desk, phone := o.online(alice+"/desk"), o.online(alice+"/phone")
		o.peer.block = make(chan struct{})
		var clients sync.WaitGroup
		clients.Go(func() { desk.send(sub("subscribe", "x@peer.example")) })
		synctest.Wait()
		clients.Go(func() { phone.send(sub("subscribe", contact), "<message to='"+contact+"'><body>hi</body></message>") })
		synctest.Wait()
		close(o.peer.block)
		clients.Wait()
		same(t, "contacts", o.peer.recv(), "presence:subscribe "+alice+" > x@peer.example",
			"presence:subscribe "+alice+" > "+contact, "message "+alice+"/phone > "+contact+" <body>hi</body>")
	})
}

// gateway adds its contacts to the roster from within its handler.
type gateway struct {
	o *office
	t *testing.T
}

func (g *gateway) Handle(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if d.Stanza.Type == "subscribe" {
		if err := g.o.roster.Add(ctx, d.Stanza.From, d.Stanza.To, "Phone", []string{"Phones"}, "both"); err != nil {
			g.t.Error(err)
		}
	}
	return xmpp.Done, nil
}

func TestGatewayAddsFromItsHandler(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		if err := o.r.Domain(xmpp.Domain{Name: "sms.office.example", Handler: &gateway{o, t}}); err != nil {
			t.Fatal(err)
		}
		a := o.online(alice + "/desk")
		a.send(sub("subscribe", "+4915550101@sms.office.example"))
		same(t, "alice", a.recv(), push("+4915550101@sms.office.example", "'none' ask='subscribe'"),
			"push <item jid='+4915550101@sms.office.example' name='Phone' subscription='both'/>")
	})
}
