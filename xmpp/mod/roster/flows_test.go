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
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
)

func sub(typ, to string) string { return "<presence type='" + typ + "' to='" + to + "'/>" }

func push(jid, rest string) string { return "push <item jid='" + jid + "' subscription=" + rest + "/>" }

// befriend makes a mutual subscription of two people.
func befriend(a, b *routertest.Client) {
	a.Say(sub("subscribe", b.Session.JID().Bare().String()))
	b.Say(sub("subscribed", a.Session.JID().Bare().String()), sub("subscribe", a.Session.JID().Bare().String()))
	a.Say(sub("subscribed", b.Session.JID().Bare().String()))
	a.Recv()
	b.Recv()
}

// TestMutualSubscription is RFC 6121 §3.1 from both sides, with two resources
// at one of them.
func TestMutualSubscription(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, a2 := o.online(alice+"/desk"), o.online(alice+"/phone")
		b := o.online(bob + "/desk")
		a.Recv()

		a.Say("<presence type='subscribe' to='" + bob + "/desk' id='q'><status>It is me</status></presence>")
		a.Want("alice", push(bob, "'none' ask='subscribe'"))
		a2.Want("alice's phone", push(bob, "'none' ask='subscribe'"))
		b.Want("bob", "presence:subscribe "+alice+" > "+bob+" <status>It is me</status>")

		b.Say(sub("subscribed", alice))
		b.Want("bob", push(alice, "'from'"))
		for _, c := range []*routertest.Client{a, a2} {
			c.Want("alice", "presence:subscribed "+bob+" > "+alice, push(bob, "'to'"),
				"presence "+bob+"/desk > "+alice)
		}

		b.Say(sub("subscribe", alice))
		b.Want("bob", push(alice, "'from' ask='subscribe'"))
		a2.Want("alice's phone", "presence:subscribe "+bob+" > "+alice)
		a.Recv()
		a.Say(sub("subscribed", bob))
		b.Want("bob", "presence:subscribed "+alice+" > "+bob, push(alice, "'both'"),
			"presence "+alice+"/desk > "+bob, "presence "+alice+"/phone > "+bob)
		a2.Want("alice's phone", push(bob, "'both'"))

		o.crash()
		a, b = o.Login(alice+"/desk"), o.Login(bob+"/desk")
		a.Say(getXML)
		b.Say(getXML)
		a.Want("alice", "result g <query xmlns='jabber:iq:roster'><item jid='"+bob+"' subscription='both'/></query>")
		b.Want("bob", "result g <query xmlns='jabber:iq:roster'><item jid='"+alice+"' subscription='both'/></query>")
	})
}

// TestDenial is RFC 6121 §3.2 for a request that waits.
func TestDenial(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.Say(sub("subscribe", bob))
		a.Recv()
		b.Recv()
		b.Say(sub("unsubscribed", alice))
		a.Want("alice", "presence:unsubscribed "+bob+" > "+alice, push(bob, "'none'"))
		b.Want("bob") // he never had an item
		routertest.Same(t, "disk", o.disk.Rows(), "roster "+alice+" "+bob+` {"v":1,"sub":"none"}`)
	})
}

// TestCancelling is RFC 6121 §3.2: the one who granted takes it back.
func TestCancelling(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		b.Say(sub("unsubscribed", alice))
		b.Want("bob", push(alice, "'to'"))
		a.Want("alice", "presence:unavailable "+bob+"/desk > "+alice,
			"presence:unsubscribed "+bob+" > "+alice, push(bob, "'from'"))
		b.Say("<presence><show>dnd</show></presence>")
		a.Want("alice")
		a.Say("<presence><show>away</show></presence>")
		routertest.Same(t, "bob still sees alice", b.Recv()[1:], "presence "+alice+"/desk > "+bob+" <show>away</show>")
	})
}

// TestUnsubscribing is RFC 6121 §3.3: the one who asked gives it up.
func TestUnsubscribing(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		a.Say(sub("unsubscribe", bob))
		// Bob's unavailable presence ends what she has of him (§3.3.3); it and her own push cross.
		got := a.Recv()
		slices.Sort(got)
		routertest.Same(t, "alice", got, "presence:unavailable "+bob+"/desk > "+alice, push(bob, "'from'"))
		b.Want("bob", "presence:unsubscribe "+alice+" > "+bob, push(alice, "'to'"))
		b.Say("<presence><show>dnd</show></presence>")
		a.Want("alice")
	})
}

// TestTakingARequestBack: unsubscribe before the answer.
func TestTakingARequestBack(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.Say(sub("subscribe", bob), sub("unsubscribe", bob))
		a.Recv()
		b := o.online(bob + "/desk")
		b.Say("<presence type='unavailable'/>", "<presence/>")
		for _, st := range b.Recv() {
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
		a.Say(setXML("1", "<item jid='"+bob+"' subscription='remove'/>"))
		got := a.Recv()
		slices.Sort(got)
		routertest.Same(t, "alice", got, "presence:unavailable "+bob+"/desk > "+alice,
			"push <item jid='"+bob+"' subscription='remove'/>", "result 1")
		b.Want("bob",
			"presence:unavailable "+alice+"/desk > "+bob,
			"presence:unsubscribe "+alice+" > "+bob, push(alice, "'to'"),
			"presence:unsubscribed "+alice+" > "+bob, push(alice, "'none'"))
		routertest.Same(t, "disk", o.disk.Rows(), "roster "+bob+" "+alice+` {"v":1,"sub":"none"}`)
	})
}

// TestRequestIsDeliveredUntilAnswered is RFC 6121 §3.1.3 case 4: one whole
// stanza for each sender, at each initial presence, also after a restart.
func TestRequestIsDeliveredUntilAnswered(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, c := o.online(alice+"/desk"), o.online("carol@office.example/desk")
		a.Say("<presence type='subscribe' to='"+bob+"'><status>first</status><x:nick xmlns:x='urn:x'>A</x:nick></presence>",
			"<presence type='subscribe' to='"+bob+"'><status>second</status></presence>")
		c.Say(sub("subscribe", bob))
		want := []string{"presence:subscribe " + alice + " > " + bob + " <status>first</status><x:nick xmlns:x='urn:x'>A</x:nick>",
			"presence:subscribe carol@office.example > " + bob}
		asked := func(c *routertest.Client) []string {
			got := c.Recv()
			return slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "presence:subscribe ") })
		}
		b := o.Login(bob + "/desk")
		b.Say("<presence/>")
		routertest.Same(t, "bob", asked(b), want...)
		b.Say("<presence><show>away</show></presence>") // an update is no new session
		routertest.Same(t, "bob", asked(b))
		b.Say("<presence type='unavailable'/>", "<presence/>")
		routertest.Same(t, "bob again", asked(b), want...)
		b2 := o.Login(bob + "/phone")
		b2.Say("<presence><priority>-1</priority></presence>")
		routertest.Same(t, "bob's phone", asked(b2), want...)
		routertest.Same(t, "bob", asked(b))
		o.crash()
		b = o.Login(bob + "/desk")
		b.Say("<presence/>")
		routertest.Same(t, "bob after restart", asked(b), want...)
		b.Say(sub("subscribed", alice), sub("unsubscribed", "carol@office.example"))
		b.Recv()
		b.Say("<presence type='unavailable'/>", "<presence/>")
		routertest.Same(t, "bob, all answered", asked(b))
	})
}

// TestMereRequestIsNotInTheRoster: None + Pending In is neither returned nor
// pushed; an item that the user made himself stays what it is.
func TestMereRequestIsNotInTheRoster(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		b := o.online(bob + "/desk")
		b.Say(setXML("1", "<item jid='carol@office.example' name='Carol'/>"))
		b.Recv()
		o.Route("<presence type='subscribe' from='" + contact + "' to='" + bob + "'/>")
		o.Route("<presence type='subscribe' from='carol@office.example' to='" + bob + "'/>")
		b.Want("bob", "presence:subscribe "+contact+" > "+bob, "presence:subscribe carol@office.example > "+bob)
		b.Say(getXML)
		b.Want("bob", "result g <query xmlns='jabber:iq:roster'><item jid='carol@office.example' name='Carol' subscription='none'/></query>")
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
			o.Route("<presence type='" + verb + "' from='" + contact + "' to='nobody@office.example'/>")
			a.Say(sub(verb, "nobody@office.example"))
		}
		o.peer.Want("contact")
		for _, st := range a.Recv() {
			if !strings.HasPrefix(st, "push ") {
				t.Errorf("alice got %s", st)
			}
		}
		for _, line := range o.disk.Rows() {
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
		a.Say(sub("subscribe", "x@elsewhere.example"), "<presence type='subscribe'/>", sub("subscribe", alice))
		a.Want("alice", "presence:error x@elsewhere.example > "+alice+" remote-server-not-found cancel",
			push("x@elsewhere.example", "'none' ask='subscribe'"),
			"presence:error "+alice+" > "+alice+"/desk bad-request modify")
	})
}

// TestPreApproval is RFC 6121 §3.4 between two local people.
func TestPreApproval(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		b.Say(sub("subscribed", alice))
		b.Want("bob", push(alice, "'none' approved='true'"))
		a.Want("alice is not told")
		a.Say(sub("subscribe", bob))
		a.Want("alice", push(bob, "'none' ask='subscribe'"),
			"presence:subscribed "+bob+" > "+alice, push(bob, "'to'"), "presence "+bob+"/desk > "+alice)
		b.Want("bob is not asked", push(alice, "'from' approved='true'"))
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
		b.Want("bob", "presence:subscribe "+alice+" > "+bob)
		c.Recv()
		if got := o.roster.Subscription(jid.MustParse(alice), jid.MustParse("carol@office.example")); got != "to" {
			t.Errorf("alice's subscription to carol is %q", got)
		}
		b.Leave()
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
			o.Route(fmt.Sprintf("<presence type='subscribe' from='p%d@peer.example' to='%s'><status>%s</status></presence>", i, bob, strings.Repeat("x", 10<<10)))
		}
		synctest.Wait()
		on := o.disk.Rows()
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
		o.disk.Hold()
		b := o.Login(bob + "/desk")
		o.Route("<presence type='subscribe' from='" + contact + "' to='" + bob + "'/>")
		b.Say("<presence/>")
		b.Want("bob, before the disk has it", "presence "+bob+"/desk > "+bob)
		o.disk.Release()
		b.Want("bob", "presence:subscribe "+contact+" > "+bob)

		c := o.Login("carol@office.example/desk")
		o.between = func() { // she is available and has not been given what waits
			o.Route("<presence type='subscribe' from='" + contact + "' to='carol@office.example'/>")
			synctest.Wait()
		}
		c.Say("<presence/>")
		c.Want("carol", "presence carol@office.example/desk > carol@office.example",
			"presence:subscribe "+contact+" > carol@office.example")
	})
}

// TestMessageStaysBehindSubscribe: also when another resource's stanza is being
// handed over at that moment (RFC 6120 §10.1).
func TestMessageStaysBehindSubscribe(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		desk, phone := o.online(alice+"/desk"), o.online(alice+"/phone")
		block := make(chan struct{})
		o.peer.On = func(st *stanza.Stanza) {
			if st.To.Local() == "x" {
				<-block
			}
		}
		var clients sync.WaitGroup
		clients.Go(func() { desk.Say(sub("subscribe", "x@peer.example")) })
		synctest.Wait()
		clients.Go(func() { phone.Say(sub("subscribe", contact), "<message to='"+contact+"'><body>hi</body></message>") })
		synctest.Wait()
		close(block)
		clients.Wait()
		o.peer.Want("contacts", "presence:subscribe "+alice+" > x@peer.example",
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
		if err := o.Router.Domain(xmpp.Domain{Name: "sms.office.example", Handler: &gateway{o, t}}); err != nil {
			t.Fatal(err)
		}
		a := o.online(alice + "/desk")
		a.Say(sub("subscribe", "+4915550101@sms.office.example"))
		a.Want("alice", push("+4915550101@sms.office.example", "'none' ask='subscribe'"),
			"push <item jid='+4915550101@sms.office.example' name='Phone' subscription='both'/>")
	})
}
