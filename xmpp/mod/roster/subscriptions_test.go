package roster_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

func TestAddAndRemove(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		ctx := context.Background()
		user, phone := jid.MustParse(alice), jid.MustParse("+4915550101@peer.example")
		a := o.online(alice + "/desk")
		add := func(name string, groups []string, sub string) {
			t.Helper()
			if err := o.roster.Add(ctx, user, phone, name, groups, sub); err != nil {
				t.Fatal(err)
			}
		}
		add("Field", []string{"Phones"}, "both")
		if on := o.disk.Rows(); len(on) != 1 || !strings.Contains(on[0], `"sub":"both"`) {
			t.Errorf("Add returned with %q on disk", on)
		}
		item := "<item jid='+4915550101@peer.example' name='Field' subscription='both'><group>Phones</group></item>"
		a.Want("alice", "push "+item)
		o.peer.Want("the contact", "presence "+alice+"/desk > "+phone.String())
		add("Other", []string{"Else"}, "both") // existing names and groups stay
		a.Want("alice")
		add("Other", nil, "to")
		a.Want("alice", "push "+strings.Replace(item, "both", "to", 1))

		if got := o.roster.Subscription(user, phone); got != "to" {
			t.Errorf("subscription %q", got)
		}
		if o.roster.SeesPresence(user, phone) || !o.roster.SeesPresence(user, jid.MustParse(alice+"/phone")) {
			t.Error("wrong about who sees alice")
		}
		var all []string
		o.roster.Contacts(user, func(c jid.JID, s string) { all = append(all, c.String()+" "+s) })
		routertest.Same(t, "Contacts", all, phone.String()+" to")

		for range 2 {
			if err := o.roster.Remove(ctx, user, phone); err != nil {
				t.Fatal(err)
			}
		}
		a.Want("alice", "push <item jid='+4915550101@peer.example' subscription='remove'/>")
		o.peer.Want("the contact")
		routertest.Same(t, "disk", o.disk.Rows())
	})
}

func TestAddRefuses(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		for _, c := range []struct {
			user, contact, sub string
			want               stanza.Condition
		}{
			{"nobody@office.example", contact, "both", stanza.ItemNotFound},
			{"x@elsewhere.example", contact, "both", stanza.ItemNotFound},
			{alice, alice, "both", stanza.NotAllowed},
			{alice, contact, "friends", stanza.BadRequest},
		} {
			err := o.roster.Add(context.Background(), jid.MustParse(c.user), jid.MustParse(c.contact), "", nil, c.sub)
			var e *stanza.Error
			if !errors.As(err, &e) || e.Condition != c.want {
				t.Errorf("%s adds %s as %s: %v", c.user, c.contact, c.sub, err)
			}
		}
		o.disk.Fail(errors.New("no space left"))
		if err := o.roster.Add(context.Background(), jid.MustParse(alice), jid.MustParse(contact), "", nil, "both"); err == nil {
			t.Error("Add says nothing of a full disk")
		}
	})
}

// TestAddAnswersARequest: what waits is answered by the new subscription.
func TestAddAnswersARequest(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		prepare(o, "None + Pending Out+In", false)
		if err := o.roster.Add(context.Background(), jid.MustParse(me), jid.MustParse(contact), "", nil, "from"); err != nil {
			t.Fatal(err)
		}
		if got, _ := stateOn(o); got != "From + Pending Out" {
			t.Errorf("state %s", got)
		}
	})
}

func TestPurge(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		a, b, c := o.online(alice+"/desk"), o.online(bob+"/desk"), o.online("carol@office.example/desk")
		befriend(a, b)
		c.Say(setXML("1", "<item jid='"+alice+"' name='Al'/>"))
		a.Say(sub("subscribe", "carol@office.example"))
		prepare(o, "None", false)
		a.Say(sub("subscribe", contact))
		o.Route("<presence type='subscribed' from='" + contact + "' to='" + alice + "'/>")
		o.Route("<presence type='subscribe' from='x@peer.example' to='" + alice + "'/>")
		c.Say(sub("subscribe", alice))
		b.Recv()
		c.Recv()
		o.peer.Recv()
		a.Leave()
		delete(o.accounts, "alice")
		b.Recv()
		if err := o.roster.Purge(context.Background(), jid.MustParse(alice)); err != nil {
			t.Fatal(err)
		}
		routertest.Same(t, "disk", o.disk.Rows())
		b.Want("bob", "push <item jid='"+alice+"' subscription='remove'/>")
		c.Want("carol", "push <item jid='"+alice+"' subscription='remove'/>")
		got := o.peer.Recv()
		slices.Sort(got)
		routertest.Same(t, "contacts elsewhere", got, "presence:unsubscribe "+alice+" > "+contact, "presence:unsubscribed "+alice+" > x@peer.example")
		// Somebody new under the same name starts with nothing.
		o.accounts["alice"] = true
		a = o.Login(alice + "/desk")
		a.Say(getXML, "<presence/>")
		a.Want("the next alice", "result g <query xmlns='jabber:iq:roster'></query>", "presence "+alice+"/desk > "+alice)
	})
}

// TestFarewell: of an account that is removed while it is online each resource goes
// offline, for contacts and for those who see it through a group.
func TestFarewell(t *testing.T) {
	playWith(t, with("s", "Sales", "alice", "carol"), func(t *testing.T, o *office) {
		desk, phone, idle := o.online(alice+"/desk"), o.online(alice+"/phone"), o.Login(alice+"/idle")
		b, c, d := o.online(bob+"/desk"), o.online(carol+"/desk"), o.online("dave@office.example/desk")
		befriend(desk, b)
		all := []*routertest.Client{desk, phone, idle, b, c, d}
		for _, x := range all {
			x.Recv()
		}
		delete(o.accounts, "alice")
		o.roster.Farewell(context.Background(), jid.MustParse(alice))
		for _, x := range []*routertest.Client{desk, phone, idle} {
			x.Leave()
		}
		for who, x := range map[string]*routertest.Client{bob: b, carol: c} {
			got := x.Recv()
			slices.Sort(got)
			routertest.Same(t, who, got, isGone(alice, who), "presence:unavailable "+alice+"/phone > "+who)
		}
		d.Want("dave, who does not see alice")
	})
}

// TestRunWaitsForWhatIsQueued: nothing that is on disk stays untold at the end.
func TestRunWaitsForWhatIsQueued(t *testing.T) {
	play(t, func(t *testing.T, o *office) {
		b := o.online(bob + "/desk")
		o.Route("<presence type='subscribe' from='" + contact + "' to='" + bob + "'/>")
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := o.roster.Run(ctx); err != nil {
			t.Fatal(err)
		}
		b.Want("bob", "presence:subscribe "+contact+" > "+bob)
	})
}
