package roster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"doorway/xmpp/routertest"
)

func setXML(id, item string) string {
	return "<iq type='set' id='" + id + "'><query xmlns='jabber:iq:roster'>" + item + "</query></iq>"
}

const getXML = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"

func TestGetReturnsWhatWasSet(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		alice := o.Login("alice@office.example/desk")
		alice.Say(getXML)
		alice.Want("alice", "result g <query xmlns='jabber:iq:roster'></query>")
		alice.Say(setXML("s", "<item jid='Bob@office.example' name='Bob &amp; Co' subscription='both' ask='subscribe' approved='true'><group>A&lt;B</group><group>C</group></item>"))
		item := "<item jid='bob@office.example' name='Bob &amp; Co' subscription='none'><group>A&lt;B</group><group>C</group></item>"
		// The result and the push, in either order; a push before the first presence too.
		got := alice.Recv()
		slices.Sort(got)
		routertest.Same(t, "alice", got, "push "+item, "result s")
		// Replaced as a whole (RFC 6121 §2.4): an empty name is no name.
		alice.Say(setXML("s2", "<item jid='bob@office.example' name=''/>"), getXML)
		got = alice.Recv()
		routertest.Same(t, "alice", got[len(got)-1:], "result g <query xmlns='jabber:iq:roster'><item jid='bob@office.example' subscription='none'/></query>")
		o.crash()
		alice = o.Login("alice@office.example/desk")
		alice.Say("<iq type='get' id='g' to='alice@office.example'><query xmlns='jabber:iq:roster'/></iq>")
		alice.Want("alice after restart", "result g <query xmlns='jabber:iq:roster'><item jid='bob@office.example' subscription='none'/></query>")
	})
}

func TestSetErrors(t *testing.T) {
	long := strings.Repeat("x", 1024)
	var many strings.Builder
	for i := range 33 {
		fmt.Fprintf(&many, "<group>g%d</group>", i)
	}
	for _, c := range []struct{ name, item, want string }{
		{"no item", "", "bad-request modify"},
		{"two items", "<item jid='x@y.example'/><item jid='z@y.example'/>", "bad-request modify"},
		{"no jid", "<item name='x'/>", "bad-request modify"},
		{"bad jid", "<item jid='@@'/>", "jid-malformed modify"},
		{"own jid", "<item jid='alice@office.example'/>", "not-allowed cancel"},
		{"duplicate group", "<item jid='bob@office.example'><group>A</group><group>A</group></item>", "bad-request modify"},
		{"empty group", "<item jid='bob@office.example'><group/></item>", "not-acceptable modify"},
		{"long group", "<item jid='bob@office.example'><group>" + long + "</group></item>", "not-acceptable modify"},
		{"long name", "<item jid='bob@office.example' name='" + long + "'/>", "not-acceptable modify"},
		{"many groups", "<item jid='bob@office.example'>" + many.String() + "</item>", "not-acceptable modify"},
		{"remove of an absent item", "<item jid='x@office.example' subscription='remove'/>", "item-not-found modify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(t *testing.T, o *office) {
				alice := o.online("alice@office.example/desk")
				alice.Say(setXML("1", "<item jid='bob@office.example' name='Bob'><group>Old</group></item>"))
				alice.Recv()
				before := o.disk.Rows()
				alice.Say(setXML("e", c.item))
				alice.Want("alice", "error e "+c.want)
				routertest.Same(t, "disk", o.disk.Rows(), before...) // the item is as it was
			})
		})
	}
}

func TestLongestNamesFit(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		long := strings.Repeat("x", 1023)
		alice := o.Login("alice@office.example/desk")
		alice.Say(setXML("1", "<item jid='bob@office.example' name='"+long+"'><group>"+long+"</group></item>"))
		alice.Want("alice", "result 1")
	})
}

func TestSomebodyElsesRosterIsForbidden(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		alice, bob := o.online("alice@office.example/desk"), o.online("bob@office.example/desk")
		for _, to := range []string{"bob@office.example", "nobody@office.example"} {
			alice.Say("<iq type='set' id='s' to='"+to+"'><query xmlns='jabber:iq:roster'><item jid='x@office.example'/></query></iq>",
				"<iq type='get' id='g' to='"+to+"'><query xmlns='jabber:iq:roster'/></iq>")
			alice.Want("alice", "error s forbidden auth", "error g forbidden auth")
		}
		bob.Want("bob")
		routertest.Same(t, "disk", o.disk.Rows())
	})
}

func TestPushesGoToEveryInterestedResource(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		desk, phone, deaf := o.Login("alice@office.example/desk"), o.Login("alice@office.example/phone"), o.Login("alice@office.example/deaf")
		desk.Say(getXML)
		phone.Say(getXML)
		deaf.Say("<presence/>")
		desk.Recv()
		phone.Recv()
		deaf.Recv()
		desk.Say(setXML("1", "<item jid='bob@office.example'/>"))
		push := "push <item jid='bob@office.example' subscription='none'/>"
		got := desk.Recv()
		slices.Sort(got)
		routertest.Same(t, "requester", got, push, "result 1")
		phone.Want("other resource", push)
		deaf.Want("uninterested resource")
		// What clients answer to pushes is ignored.
		phone.Say("<iq type='error' id='push1' to='alice@office.example'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
			"<iq type='error' id='push1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
			"<iq type='result' id='push1'/>")
		phone.Want("phone")
		desk.Want("desk")
		desk.Say(setXML("2", "<item jid='bob@office.example' subscription='remove'/>"))
		gone := "push <item jid='bob@office.example' subscription='remove'/>"
		got = desk.Recv()
		slices.Sort(got)
		routertest.Same(t, "requester", got, gone, "result 2")
		phone.Want("other resource", gone)
		routertest.Same(t, "disk", o.disk.Rows())
	})
}

// TestRemovalEndsSubscriptions is RFC 6121 §2.5.2 in every state that an item can be in.
func TestRemovalEndsSubscriptions(t *testing.T) {
	unavailable := "presence:unavailable " + me + "/desk > " + contact
	unsubscribe := "presence:unsubscribe " + me + " > " + contact
	unsubscribed := "presence:unsubscribed " + me + " > " + contact
	for state, want := range map[string][]string{
		"None + Pending Out":    {unsubscribe},
		"None + Pending Out+In": {unsubscribe, unsubscribed},
		"To":                    {unsubscribe},
		"To + Pending In":       {unsubscribe, unsubscribed},
		"From":                  {unavailable, unsubscribed},
		"From + Pending Out":    {unavailable, unsubscribe, unsubscribed},
		"Both":                  {unavailable, unsubscribe, unsubscribed},
	} {
		t.Run(state, func(t *testing.T) {
			play(t, func(t *testing.T, o *office) {
				prepare(o, state, false)
				alice := o.online(me + "/desk")
				o.peer.Recv()
				alice.Say(setXML("1", "<item jid='"+contact+"' subscription='remove'/>"))
				got := alice.Recv()
				slices.Sort(got)
				routertest.Same(t, "alice", got, "push <item jid='"+contact+"' subscription='remove'/>", "result 1")
				o.peer.Want("contact", want...)
				routertest.Same(t, "disk", o.disk.Rows())
			})
		})
	}
}

func TestVersion(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		alice := o.Login("alice@office.example/desk")
		version := func(ask string) string {
			t.Helper()
			alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'" + ask + "/></iq>")
			got := alice.Take()
			q, ok := got[len(got)-1].Child("jabber:iq:roster", "query")
			if !ok {
				return ""
			}
			if q.Attr("ver") == "" {
				t.Error("a result without ver")
			}
			return q.Attr("ver")
		}
		empty := version(" ver=''")
		if version(" ver='"+empty+"'") != "" {
			t.Error("the current version got a whole roster")
		}
		alice.Say(setXML("1", "<item jid='bob@office.example'/>"))
		var pushed string
		for _, st := range alice.Take() {
			if st.Type == "set" {
				pushed = st.Inner()
			}
		}
		one := version("")
		if one == empty || version(" ver='"+empty+"'") != one {
			t.Error("a change did not change the version, or an old version got no roster")
		}
		if !strings.Contains(pushed, "ver='"+one+"'") {
			t.Errorf("push %q does not carry version %s", pushed, one)
		}
		o.crash()
		alice = o.Login("alice@office.example/desk")
		if version(" ver='"+one+"'") != "" {
			t.Error("the version did not survive a restart")
		}
	})
}

func TestStreamFeatures(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		var got []string
		for _, f := range o.Router.StreamFeatures() {
			got = append(got, f.Offer(nil))
		}
		routertest.Same(t, "features", got, "<ver xmlns='urn:xmpp:features:rosterver'/>", "<sub xmlns='urn:xmpp:features:pre-approval'/>")
	})
}

func TestAtMost1500Items(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		for i := range 1500 {
			o.disk.Table("roster").Later(map[string]any{fmt.Sprintf("%s\x00p%d@peer.example", me, i): map[string]any{"v": 1, "sub": "none"}}, nil)
		}
		alice := o.online(me + "/desk")
		alice.Say(setXML("new", "<item jid='one@toomany.example'/>"), setXML("old", "<item jid='p7@peer.example' name='Seven'/>"),
			"<presence type='subscribe' to='one@toomany.example'/>")
		got := alice.Recv()
		slices.Sort(got)
		routertest.Same(t, "alice", got, "error new resource-constraint wait",
			"presence:error one@toomany.example > "+me+"/desk resource-constraint wait",
			"push <item jid='p7@peer.example' name='Seven' subscription='none'/>", "result old")
	})
}

// TestNothingIsToldBeforeItIsOnDisk covers results, pushes and subscription stanzas.
func TestNothingIsToldBeforeItIsOnDisk(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		desk, phone := o.online(me+"/desk"), o.online(me+"/phone")
		desk.Recv()
		o.disk.Hold()
		var clients sync.WaitGroup
		clients.Go(func() { desk.Say(setXML("1", "<item jid='bob@office.example'/>")) })
		desk.Want("desk")
		// What a client sends after a subscription stanza does not overtake it.
		clients.Go(func() {
			phone.Say("<presence type='subscribe' to='"+contact+"'/>", "<message to='"+contact+"' type='chat'><body>hi</body></message>")
		})
		synctest.Wait()
		// A roster asked for meanwhile stands behind what it contains.
		late := o.Login(me + "/late")
		late.Say(getXML)
		desk.Want("desk")
		phone.Want("phone")
		late.Want("late")
		o.peer.Want("contact")
		o.disk.Release()
		clients.Wait()
		bob, asked := "push <item jid='bob@office.example' subscription='none'/>", "push "+shows("None + Pending Out", false)
		got := desk.Recv()
		slices.Sort(got)
		routertest.Same(t, "desk", got, bob, asked, "result 1")
		phone.Want("phone", bob, asked)
		late.Want("late", "result g <query xmlns='jabber:iq:roster'><item jid='bob@office.example' subscription='none'/>"+shows("None + Pending Out", false)+"</query>")
		o.peer.Want("contact", "presence:subscribe "+me+" > "+contact,
			"message:chat "+me+"/phone > "+contact+" <body>hi</body>")
	})
}

func TestAFullDiskChangesNothing(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		alice, bob := o.online(me+"/desk"), o.online("bob@office.example/desk")
		alice.Say(setXML("1", "<item jid='bob@office.example' name='Bob'/>"))
		alice.Recv()
		o.disk.Fail(errors.New("no space left"))
		alice.Say(setXML("2", "<item jid='bob@office.example' name='Robert'/>"),
			setXML("3", "<item jid='bob@office.example' subscription='remove'/>"),
			"<presence type='subscribe' to='bob@office.example' id='4'/>")
		alice.Want("alice", "error 2 internal-server-error cancel", "error 3 internal-server-error cancel",
			"presence:error bob@office.example > "+me+"/desk internal-server-error cancel")
		// A request that the other side's disk refuses comes back too.
		o.Route("<presence type='subscribe' from='" + contact + "' to='" + me + "'/>")
		alice.Want("alice")
		bob.Want("bob")
		o.peer.Want("contact", "presence:error "+me+" > "+contact+" internal-server-error cancel")
		o.disk.Fail(nil)
		alice.Say(getXML)
		alice.Want("alice", "result g <query xmlns='jabber:iq:roster'><item jid='bob@office.example' name='Bob' subscription='none'/></query>")
	})
}

// TestPushesLeaveInTheOrderOfCommits has eight resources change one item.
func TestPushesLeaveInTheOrderOfCommits(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		watch := o.online(me + "/watch")
		var clients sync.WaitGroup
		for i := range 8 {
			c := o.Login(fmt.Sprintf("%s/c%d", me, i))
			clients.Go(func() {
				for n := range 25 {
					c.Say(setXML("s", fmt.Sprintf("<item jid='bob@office.example' name='%d-%d'/>", i, n)))
				}
			})
		}
		clients.Wait()
		pushes := watch.Recv()
		if len(pushes) != 200 {
			t.Fatalf("%d pushes", len(pushes))
		}
		next := map[string]int{}
		for _, p := range pushes {
			_, v, _ := strings.Cut(p, "name='")
			var who, n int
			fmt.Sscanf(v, "%d-%d", &who, &n)
			key := fmt.Sprint(who)
			if next[key] != n {
				t.Fatalf("change %d of client %d came when %d was due", n, who, next[key])
			}
			next[key]++
		}
		_, last, _ := strings.Cut(pushes[199], "name='")
		last, _, _ = strings.Cut(last, "'")
		if on := o.disk.Rows(); len(on) != 1 || !strings.Contains(on[0], `"name":"`+last+`"`) {
			t.Errorf("disk has %v, the last push said %s", on, last)
		}
	})
}

func TestUnreadableRecordIsPassedOver(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		o.disk.Table("roster").Write(map[string]any{me + "\x00bad@peer.example": "junk",
			me + "\x00new@peer.example":  map[string]any{"v": 99, "sub": "both"},
			me + "\x00odd@peer.example":  map[string]any{"v": 1, "sub": "sometimes"},
			me + "\x00good@peer.example": map[string]any{"v": 1, "sub": "none"}})
		o.disk.Table("requests").Write(map[string]any{me + "\x00bad@peer.example": map[string]any{"v": 1, "stanza": "<presence"}})
		alice := o.Login(me + "/desk")
		alice.Say(getXML)
		alice.Want("alice", "result g <query xmlns='jabber:iq:roster'><item jid='good@peer.example' subscription='none'/></query>")
	})
}

// TestIdleAccountsAreDropped: what is loaded for somebody offline does not stay for ever.
func TestIdleAccountsAreDropped(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		alice := o.online(me + "/desk")
		alice.Say(setXML("1", "<item jid='bob@office.example' name='Bob'/>"))
		alice.Recv()
		for i := range 1000 {
			local := fmt.Sprintf("p%d", i)
			o.accounts[local] = true
			o.Route("<presence type='unsubscribe' from='" + contact + "' to='" + local + "@office.example'/>")
		}
		synctest.Wait()
		if n := o.roster.Loaded(); n > 520 {
			t.Errorf("%d accounts are loaded", n)
		}
		alice.Say(setXML("2", "<item jid='bob@office.example' name='Bobby'/>"))
		if got := alice.Recv(); len(got) != 2 {
			t.Errorf("alice got %q", got)
		}
	})
}
