package roster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
)

// TestNameAndGroupsOutliveTheGroup: an overlay waits for the contact to come back.
func TestNameAndGroupsOutliveTheGroup(t *testing.T) {
	g := with("s", "Sales", "alice bob", "members")
	g.names["bob"] = "Robert Miller"
	g.add("s", "Sales", "alice bob", "members")
	playWith(t, g, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		wantList(t, "as the directory has it", a, item(bob, "name='Robert Miller' "+both, "Sales"))
		// What is the directory's anyway is not kept as the user's own.
		a.Say(setXML("1", item(bob, "name='Robert Miller'", "Sales")))
		a.Want("alice", pushItem(bob, "name='Robert Miller' "+both, "Sales"), "result 1")
		routertest.Same(t, "disk", o.disk.Rows())
		// Without the shared label: the personal part is taken, the label stays.
		a.Say(setXML("2", item(bob, "name='Bobby'", "Chess")))
		mine := item(bob, "name='Bobby' "+both, "Sales", "Chess")
		a.Want("alice", "push "+mine, "result 2")
		o.groups.add("s", "Sales", "alice", "members")
		a.Want("group goes", pushItem(bob, "subscription='remove'"))
		wantList(t, "an overlay is no contact", a)
		a.Say(setXML("3", "<item jid='"+bob+"' subscription='remove'/>"))
		a.Want("nor can it be removed", "error 3 item-not-found modify")
		o.crash()
		a = o.online(alice + "/desk")
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("group comes back", "push "+mine)
		// A name is given up by taking the directory's.
		a.Say(setXML("4", item(bob, "name='Robert Miller'", "Chess")))
		a.Want("alice", pushItem(bob, "name='Robert Miller' "+both, "Sales", "Chess"), "result 4")
		o.groups.edit(func() { o.groups.names["bob"] = "Bob Miller" })
		a.Want("the directory renames", pushItem(bob, "name='Bob Miller' "+both, "Sales", "Chess"))
		a.Say(setXML("5", item(bob, "", "Sales")))
		a.Want("everything given up", pushItem(bob, "name='Bob Miller' "+both, "Sales"), "result 5")
		routertest.Same(t, "disk", o.disk.Rows())
	})
}

// refusal is the condition and the words of an answer.
func refusal(t *testing.T, c *routertest.Client, id, item string) string {
	t.Helper()
	c.Say(setXML(id, item))
	got := c.Take()
	if len(got) != 1 {
		t.Errorf("%s: %d stanzas", item, len(got))
		return ""
	}
	return got[0].Inner()
}

// TestClientsCannotBreakSharedGroups: what an administrator keeps is refused, with words.
func TestClientsCannotBreakSharedGroups(t *testing.T) {
	g := with("s", "Sales", "bob", "all").add("n", "Night", "carol", "all")
	playWith(t, g, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		before := list(a)
		for what, c := range map[string][2]string{
			"removing":                     {"<item jid='" + bob + "' subscription='remove'/>", "comes with a group"},
			"adding one's own contact":     {item("far@peer.example", "", "Mine", "Sales"), "“Sales” is kept by your administrator"},
			"moving to another one":        {item(bob, "", "Night"), "“Night” is kept by your administrator"},
			"both at once, and a new name": {item(bob, "name='x'", "Sales", "Night"), "“Night” is kept by your administrator"},
		} {
			got := refusal(t, a, "1", c[0])
			if !strings.Contains(got, "<not-acceptable ") || !strings.Contains(got, c[1]) {
				t.Errorf("%s: %s", what, got)
			}
		}
		a.Want("no push")
		routertest.Same(t, "disk", o.disk.Rows())
		if now := list(a); now != before {
			t.Errorf("the roster became %s", now)
		}
	})
}

// TestOwnGroupOfTheSameNameStays: who had a group of that name keeps it.
func TestOwnGroupOfTheSameNameStays(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.Say(setXML("1", item(bob, "", "Sales", "Mine")), setXML("2", item("far@peer.example", "", "Sales")))
		o.groups.add("s", "Sales", "bob", "all")
		a.Recv()
		a.Say(setXML("3", item(bob, "name='B'", "Sales")), setXML("4", item("far@peer.example", "name='F'", "Sales")))
		a.Want("alice", pushItem(bob, "name='B' "+to, "Sales"), "result 3",
			pushItem("far@peer.example", "name='F' subscription='none'", "Sales"), "result 4")
		o.groups.edit(func() { clear(o.groups.list) })
		wantList(t, "alice", a, item(bob, "name='B' subscription='none'", "Sales"), item("far@peer.example", "name='F' subscription='none'", "Sales"))
	})
}

// TestContactOfManySharedGroups: only groups of the user's own count for the limit.
func TestContactOfManySharedGroups(t *testing.T) {
	g := newGroups()
	var shared, own []string
	for i := range 40 {
		shared = append(shared, fmt.Sprintf("Group %02d", i))
		own = append(own, fmt.Sprintf("Own %02d", i))
		g.add(fmt.Sprint(i), shared[i], "alice bob", "members")
	}
	playWith(t, g, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.Say(setXML("1", item(bob, "name='Bobby'", append(slices.Clone(shared), own[:32]...)...)))
		a.Want("as many as can be", "push "+item(bob, "name='Bobby' "+both, append(slices.Clone(shared), own[:32]...)...), "result 1")
		a.Say(setXML("2", item(bob, "name='Bobby'", append(slices.Clone(shared), own[:33]...)...)))
		a.Want("too many", "error 2 not-acceptable modify")
		a.Say(setXML("3", item(carol, "name='C'", own[:33]...)))
		a.Want("too many of a contact of the user's own", "error 3 not-acceptable modify")
	})
}

// TestRemovalOfThePersonalPart pushes what remains, and ends the personal subscription alone.
func TestRemovalOfThePersonalPart(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		a.Say(setXML("1", item(bob, "name='Bobby'", "Chess")))
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Recv()
		b.Want("bob", pushItem(alice, both, "Sales"))
		a.Say(setXML("2", "<item jid='"+bob+"' subscription='remove'/>"))
		a.Want("alice", pushItem(bob, both, "Sales"), "result 2")
		b.Want("bob notices nothing")
		a.Say(setXML("3", "<item jid='"+bob+"' subscription='remove'/>"))
		a.Want("nothing personal is left", "error 3 not-acceptable modify")
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='remove'"))
		b.Want("bob", isGone(alice, bob), pushItem(alice, "subscription='none'"))
	})
}

// TestPersonalSubscriptionOutlivesTheGroup: the union ends with its last part, and presence with it.
func TestPersonalSubscriptionOutlivesTheGroup(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		befriend(a, b)
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("one push, and no presence again", pushItem(bob, both, "Sales"))
		b.Recv()
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("no unavailable", pushItem(bob, both))
		b.Recv()
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Recv()
		b.Recv()
		a.Say(sub("unsubscribe", bob), sub("unsubscribed", bob))
		a.Want("shared subscriptions cover it")
		b.Want("bob")
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='none'"))
		b.Want("bob", isGone(alice, bob), pushItem(alice, "subscription='none'"))
	})
}

// TestRequestsAreSettledByAGroup: what waited for an answer waits no longer, and
// is there again when the group goes.
func TestRequestsAreSettledByAGroup(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.Say(sub("subscribe", bob))
		a.Want("alice", pushItem(bob, "subscription='none' ask='subscribe'"))
		b.Want("bob", "presence:subscribe "+alice+" > "+bob)
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("alice", pushItem(bob, both, "Sales"), isHere(bob, alice))
		b.Recv()
		b.Say("<presence type='unavailable'/>", "<presence/>")
		b.Want("bob is not asked again", isGone(bob, bob), isHere(bob, bob), isHere(alice, bob+"/desk"))
		a.Recv()
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='none' ask='subscribe'"))
		b.Recv()
		b.Say(sub("subscribed", alice))
		a.Want("alice", "presence:subscribed "+bob+" > "+alice, pushItem(bob, to), isHere(bob, alice))
	})
}

// TestPersonalItemIsRaisedByWhoSeesTheUser: no item of its own, but "from" in the one that is there.
func TestPersonalItemIsRaisedByWhoSeesTheUser(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		b.Say(setXML("1", item(alice, "name='Boss'")))
		b.Recv()
		before := ver(t, b, "")
		o.groups.add("s", "Sales", "bob", "alice")
		b.Want("bob", pushItem(alice, "name='Boss' subscription='from'"))
		a.Want("alice", pushItem(bob, to, "Sales"), isHere(bob, alice))
		raised := ver(t, b, before)
		if raised == "" {
			t.Error("the version did not change with the raised item")
		}
		wantList(t, "bob", b, item(alice, "name='Boss' subscription='from'"))
		o.crash()
		b = o.online(bob + "/desk")
		if ver(t, b, raised) != "" {
			t.Error("the version did not survive a restart")
		}
		o.groups.edit(func() { clear(o.groups.list) })
		b.Want("bob", pushItem(alice, "name='Boss' subscription='none'"))
		if ver(t, b, before) != "" {
			t.Error("the roster is what it was, and has another version")
		}
		// Both ways at once: one push, of the shared item.
		o.groups.add("s", "Sales", "alice bob", "members")
		b.Want("bob", pushItem(alice, "name='Boss' "+both, "Sales"))
	})
}

// TestVersionsOfSharedRosters: equal ones get nothing, and every push but the last of a change has none that could be kept.
func TestVersionsOfSharedRosters(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members"), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		one := ver(t, a, "")
		if ver(t, a, one) != "" {
			t.Error("the current version got a roster")
		}
		o.groups.add("s", "Sales", "alice bob carol dave", "members")
		var pushed []string
		for _, st := range a.Take() {
			if q, ok := st.Child("jabber:iq:roster", "query"); ok {
				pushed = append(pushed, q.Attr("ver"))
			}
		}
		if len(pushed) != 2 || pushed[0] == pushed[1] || ver(t, a, pushed[0]) == "" || ver(t, a, pushed[1]) != "" {
			t.Errorf("pushes of one change carried %q", pushed)
		}
		a.Say(setXML("1", item(bob, "name='B'")))
		a.Recv()
		if now := ver(t, a, pushed[1]); now == "" || now == pushed[1] {
			t.Error("an overlay did not change the version")
		}
		o.crash()
		a = o.online(alice + "/desk")
		if ver(t, a, one) == "" {
			t.Error("an old version is current")
		}
		a.Say(setXML("2", "<item jid='"+bob+"' subscription='remove'/>"))
		a.Recv()
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Recv()
		if ver(t, a, one) != "" {
			t.Error("the roster is what it was, and has another version")
		}
	})
}

// TestVersionWhereTheLastContactLooksAsBefore: the last push of a change has the
// version, also when a later contact has changed and its own name hides that.
func TestVersionWhereTheLastContactLooksAsBefore(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob carol", "members"), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.Say(setXML("1", item(carol, "name='My Carol'")))
		a.Recv()
		o.groups.edit(func() { o.groups.names["bob"], o.groups.names["carol"] = "Bob Miller", "Carol Smith" })
		got := a.Take()
		if len(got) != 1 {
			t.Fatalf("%d pushes, want one of bob", len(got))
		}
		q, _ := got[0].Child("jabber:iq:roster", "query")
		if ver(t, a, q.Attr("ver")) != "" {
			t.Errorf("the version %q of the push is not that of the roster", q.Attr("ver"))
		}
	})
}

// TestBlockingOverridesGroups: who is blocked gets no presence by any change of groups.
func TestBlockingOverridesGroups(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		b.Say("<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='" + alice + "'/></block></iq>")
		b.Recv()
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("alice", pushItem(bob, both, "Sales"))
		b.Want("bob", pushItem(alice, both, "Sales"))
		b.Say("<presence><show>away</show></presence>")
		a.Want("alice")
		a.Say("<presence type='unavailable'/>", "<presence/>")
		a.Want("alice", isGone(alice, alice), isHere(alice, alice))
		b.Recv()
		b.Say("<iq type='set' id='2'><unblock xmlns='urn:xmpp:blocking'/></iq>")
		a.Want("alice", isHere(bob, alice)+" <show>away</show>")
	})
}

// TestPhonesAndTransportContacts get presence from where they live.
func TestPhonesAndTransportContacts(t *testing.T) {
	const phone = "+491701234567@peer.example"
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		o.groups.add("s", "Drivers", "alice "+phone, "members "+phone)
		a.Want("alice", pushItem(phone, both, "Drivers"))
		o.peer.Want("phone", "presence:probe "+alice+" > "+phone)
		a.Say("<presence><show>away</show></presence>")
		o.peer.Want("phone", "presence "+alice+"/desk > "+phone+" <show>away</show>")
		a.Say(sub("unsubscribe", phone), sub("unsubscribed", phone))
		o.peer.Want("phone")
		o.Route("<presence type='subscribe' from='" + phone + "' to='" + alice + "'/>")
		o.peer.Want("phone", "presence:subscribed "+alice+" > "+phone, "presence "+alice+"/desk > "+phone+" <show>away</show>")
		a.Recv()
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("alice", "presence:unavailable "+phone+" > "+alice, pushItem(phone, "subscription='remove'"))
		o.peer.Want("phone", "presence:unavailable "+alice+" > "+phone)
	})
}

// TestChangesAreHeldToTheOrderOfTheUsersOwn: a change of groups takes its turn
// behind what the user changed before, and a refused change is not shown by it.
func TestChangesAreHeldToTheOrderOfTheUsersOwn(t *testing.T) {
	playWith(t, with("s", "Sales", "bob", "all"), func(t *testing.T, o *office) {
		a, watch := o.online(alice+"/desk"), o.online(alice+"/watch")
		a.Recv()
		o.disk.Hold()
		done := make(chan struct{})
		go func() { defer close(done); a.Say(setXML("1", item(bob, "name='B'"))) }()
		a.Want("nothing yet")
		o.groups.add("s", "Trade", "bob", "all")
		watch.Want("nothing yet")
		o.disk.Release()
		<-done
		watch.Want("in order", pushItem(bob, "name='B' "+to, "Sales"), pushItem(bob, "name='B' "+to, "Trade"))
		o.disk.Fail(errors.New("no space left"))
		a.Recv()
		a.Say(setXML("2", item(bob, "name='C'")))
		a.Want("refused", "error 2 internal-server-error cancel")
		o.disk.Fail(nil)
		o.groups.add("s", "Sales", "bob", "all")
		watch.Want("watch", pushItem(bob, "name='B' "+to, "Sales"))
	})
}

// TestOfflineUsersCostNothing: a change loads no account and tells nobody who is not there.
func TestOfflineUsersCostNothing(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members"), func(t *testing.T, o *office) {
		reads := o.disk.Reads()
		o.groups.add("s", "Trade", "alice bob carol", "members")
		if o.roster.Loaded() > 0 || o.disk.Reads() != reads {
			t.Errorf("%d accounts were loaded, %d reads", o.roster.Loaded(), o.disk.Reads()-reads)
		}
		a := o.Login(alice + "/desk") // neither roster nor presence
		o.groups.add("s", "Sales", "alice bob carol", "members")
		a.Want("uninterested")
		a.Say("<presence/>")
		a.Recv()
		b := o.online(bob + "/desk")
		a.Want("alice", isHere(bob, alice))
		b.Recv()
		o.groups.add("s", "Sales", "alice", "members")
		a.Want("no push, but presence ends", isGone(bob, alice))
	})
}

// TestSubscriptionsAreTheUnion is what other modules see.
func TestSubscriptionsAreTheUnion(t *testing.T) {
	playWith(t, with("s", "Sales", "bob", "alice"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		contacts := func(user string) (got []string) {
			o.roster.Contacts(jid.MustParse(user), func(c jid.JID, s string) { got = append(got, c.Local()+" "+s) })
			return got
		}
		routertest.Same(t, "alice", contacts(alice), "bob to")
		routertest.Same(t, "bob", contacts(bob), "alice from")
		for _, c := range []struct{ user, contact, want string }{{alice, bob, "to"}, {bob, alice, ""}, {alice, carol, ""}, {"x@office.example", bob, ""}} {
			if got := o.roster.Subscription(jid.MustParse(c.user), jid.MustParse(c.contact)); got != c.want {
				t.Errorf("%s has %q for %s, want %q", c.user, got, c.contact, c.want)
			}
		}
		b.Say(sub("subscribe", alice))
		a.Say(sub("subscribed", bob))
		routertest.Same(t, "alice", contacts(alice), "bob both")
		routertest.Same(t, "bob", contacts(bob), "alice both")
		b.Say(setXML("r", "<item jid='"+alice+"' subscription='remove'/>"))
		routertest.Same(t, "bob", contacts(bob), "alice from")
		// An overlay of somebody who is gone is no contact, and hides no viewer.
		a.Say(setXML("1", item(bob, "name='B'")))
		o.groups.add("s", "Sales", "alice", "bob")
		routertest.Same(t, "alice, seen by bob", contacts(alice), "bob from")
	})
}

// TestOverlaysAreBounded: renaming cannot fill the disk.
func TestOverlaysAreBounded(t *testing.T) {
	playWith(t, with("s", "Sales", "bob carol", "all"), func(t *testing.T, o *office) {
		for i := range 3999 {
			o.disk.Put("roster", fmt.Sprintf("%s\x00p%d@office.example", alice, i), `{"v":1,"sub":"none","name":"x","overlay":true}`)
		}
		a := o.online(alice + "/desk")
		a.Say(setXML("1", item(bob, "name='B'")), setXML("2", item(carol, "name='C'")), setXML("3", item(bob, "name='D'")))
		a.Want("alice", pushItem(bob, "name='B' "+to, "Sales"), "result 1", "error 2 resource-constraint wait",
			pushItem(bob, "name='D' "+to, "Sales"), "result 3")
	})
}
