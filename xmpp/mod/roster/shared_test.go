package roster_test

import (
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const carol = "carol@office.example"

// item is a roster item with groups.
func item(jid, rest string, groups ...string) string {
	if len(groups) == 0 {
		return "<item jid='" + jid + "' " + rest + "/>"
	}
	return "<item jid='" + jid + "' " + rest + "><group>" + strings.Join(groups, "</group><group>") + "</group></item>"
}

func pushItem(jid, rest string, groups ...string) string { return "push " + item(jid, rest, groups...) }

func isHere(who, to string) string { return "presence " + who + "/desk > " + to }

func isGone(who, to string) string { return "presence:unavailable " + who + "/desk > " + to }

// list asks for the roster.
func list(c *routertest.Client) string {
	c.Say(getXML)
	got := c.Recv()
	if len(got) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(got[len(got)-1], "result g <query xmlns='jabber:iq:roster'>"), "</query>")
}

// wantList expects exactly these items.
func wantList(t *testing.T, who string, c *routertest.Client, items ...string) {
	t.Helper()
	if got, want := list(c), strings.Join(items, ""); got != want {
		t.Errorf("%s: roster is\n  %s\nwant\n  %s", who, got, want)
	}
}

const both, to = "subscription='both'", "subscription='to'"

// TestMemberAddedIsSeenWithoutLoginAgain is acceptance case 1: push first, presence second, both ways.
func TestMemberAddedIsSeenWithoutLoginAgain(t *testing.T) {
	playWith(t, with("s", "Sales", "alice", "members"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("alice", pushItem(bob, both, "Sales"), isHere(bob, alice))
		b.Want("bob", pushItem(alice, both, "Sales"), isHere(alice, bob))
		a.Say("<presence><show>away</show></presence>")
		b.Want("bob", isHere(alice, bob)+" <show>away</show>")
	})
}

// TestVisibilityAloneIsPushed is case 2.
func TestVisibilityAloneIsPushed(t *testing.T) {
	playWith(t, with("s", "Sales", "bob", "alice"), func(t *testing.T, o *office) {
		a, b, c := o.online(alice+"/desk"), o.online(bob+"/desk"), o.online(carol+"/desk")
		a.Recv()
		o.groups.add("s", "Sales", "bob", "carol")
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='remove'"))
		c.Want("carol", pushItem(bob, to, "Sales"), isHere(bob, carol))
		b.Want("bob")
	})
}

// TestMemberRemovedGoesOfflineFirst is case 3.
func TestMemberRemovedGoesOfflineFirst(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.Recv()
		o.groups.add("s", "Sales", "alice", "members")
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='remove'"))
		b.Want("bob", isGone(alice, bob), pushItem(alice, "subscription='remove'"))
		b.Say("<presence><show>away</show></presence>")
		a.Want("alice, afterwards")
	})
}

// TestSightLostWhilePresenceIsOnItsWay: whose presence is about to be delivered when the
// receiver loses sight of them does not stay online there for ever.
func TestSightLostWhilePresenceIsOnItsWay(t *testing.T) {
	for what, cause := range map[string]func(a, c *routertest.Client){
		"broadcast": func(a, _ *routertest.Client) { a.Say("<presence><show>away</show></presence>") },
		"login":     func(_, c *routertest.Client) { c.Say("<presence type='unavailable'/>", "<presence/>") },
		"probe":     func(_, c *routertest.Client) { c.Say("<presence type='probe' to='" + alice + "'/>") },
	} {
		t.Run(what, func(t *testing.T) {
			playWith(t, with("s", "Sales", "alice", "bob carol"), func(t *testing.T, o *office) {
				a, b, c := o.online(alice+"/desk"), o.online(bob+"/desk"), o.online(carol+"/desk")
				o.arriving = func(st *stanza.Stanza) {
					if st.Type == "" && st.From.Bare() == address("alice") && st.To.Bare() == address("carol") {
						o.arriving = nil
						o.groups.add("s", "Sales", "alice", "bob")
					}
				}
				cause(a, c)
				got := c.Recv()
				if o.arriving != nil || !slices.Contains(got, pushItem(alice, "subscription='remove'")) {
					t.Fatalf("carol got %q", got)
				}
				last := ""
				for _, line := range got {
					if strings.HasPrefix(line, "presence") && strings.Contains(line, " "+alice+"/desk > ") {
						last = line
					}
				}
				if !strings.HasPrefix(last, "presence:unavailable") {
					t.Errorf("the last that carol hears of alice is %q, of %q", last, got)
				}
				for _, line := range b.Recv() {
					if strings.HasPrefix(line, "presence:unavailable "+alice) {
						t.Errorf("bob, who sees alice all the time, got %q", line)
					}
				}
			})
		})
	}
}

// TestViewerBecomesContactDuringABroadcast: who saw somebody before a change and sees them
// after it gets what was broadcast meanwhile.
func TestViewerBecomesContactDuringABroadcast(t *testing.T) {
	g := with("s", "Sales", "alice bob", "members").add("b", "Bosses", "alice", "carol")
	playWith(t, g, func(t *testing.T, o *office) {
		a, b, c := o.online(alice+"/desk"), o.online(bob+"/desk"), o.online(carol+"/desk")
		b.Recv()
		o.arriving = func(st *stanza.Stanza) {
			if st.From.Bare() == address("alice") && st.To.Bare() == address("bob") {
				o.arriving = nil
				o.groups.add("b", "Bosses", "alice carol", "carol alice")
			}
		}
		a.Say("<presence><show>away</show></presence>")
		if got, want := c.Recv(), isHere(alice, carol)+" <show>away</show>"; !slices.Contains(got, want) {
			t.Errorf("carol got %q, without %q", got, want)
		}
	})
}

// TestDirectedPresenceOutlivesTheGroup: who sent presence to somebody, and then lost
// sight of them, still says to them that it is gone.
func TestDirectedPresenceOutlivesTheGroup(t *testing.T) {
	playWith(t, with("s", "Sales", "alice", "bob"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		b.Say("<presence to='" + alice + "/desk'/>")
		a.Want("alice", isHere(bob, alice+"/desk"))
		o.groups.add("s", "Sales", "alice", "")
		b.Recv()
		b.Leave()
		a.Want("alice", isGone(bob, alice+"/desk"))
	})
}

// TestLeavingOneOfTwoGroupsIsNoRemoval is case 4.
func TestLeavingOneOfTwoGroupsIsNoRemoval(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members").add("n", "Night", "alice bob", "members"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		wantList(t, "alice", a, item(bob, both, "Night", "Sales"))
		o.groups.add("n", "Night", "alice", "members")
		a.Want("alice", pushItem(bob, both, "Sales"))
		b.Want("bob", pushItem(alice, both, "Sales"))
	})
}

// TestPersonalAndSharedGroupsStandTogether is case 5.
func TestPersonalAndSharedGroupsStandTogether(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		a.Say(setXML("1", item(bob, "name='Bobby'", "Chess")))
		a.Recv()
		o.groups.add("s", "Sales", "alice bob", "members")
		a.Want("shared comes", pushItem(bob, "name='Bobby' "+both, "Sales", "Chess"))
		a.Say(setXML("2", item(bob, "name='Bobby'", "Sales", "Chess", "Running")))
		a.Want("personal changes", pushItem(bob, "name='Bobby' "+both, "Sales", "Chess", "Running"), "result 2")
		o.groups.add("n", "Night", "bob", "all")
		a.Want("another shared comes", pushItem(bob, "name='Bobby' "+both, "Night", "Sales", "Chess", "Running"))
		o.groups.edit(func() { clear(o.groups.list) })
		a.Want("shared goes", pushItem(bob, "name='Bobby' subscription='none'", "Chess", "Running"))
		o.crash()
		wantList(t, "after a restart", o.Login(alice+"/desk"), item(bob, "name='Bobby' subscription='none'", "Chess", "Running"))
	})
}

// TestNewAccountIsPushedBeforeItsFirstPresence is case 6.
func TestNewAccountIsPushedBeforeItsFirstPresence(t *testing.T) {
	playWith(t, with("all", "Everybody", "alice bob", "members"), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		o.accounts["dave"] = true
		o.groups.add("all", "Everybody", "alice bob dave", "members")
		a.Want("alice", pushItem("dave@office.example", both, "Everybody"))
		d := o.Login("dave@office.example/desk")
		wantList(t, "dave", d, item(alice, both, "Everybody"), item(bob, both, "Everybody"))
		d.Say("<presence/>")
		a.Want("alice", isHere("dave@office.example", alice))
	})
}

// TestInvisibleGroupLeavesNobodyBehind is case 7: online at once, offline at the next login, versioned get included.
func TestInvisibleGroupLeavesNobodyBehind(t *testing.T) {
	for _, end := range []string{"hidden", "deleted"} {
		t.Run(end, func(t *testing.T) {
			playWith(t, with("s", "Sales", "alice bob carol", "members"), func(t *testing.T, o *office) {
				a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
				c := o.Login(carol + "/desk")
				version := ver(t, c, "")
				c.Leave()
				a.Recv()
				if end == "hidden" {
					o.groups.add("s", "Sales", "alice bob carol", "")
				} else {
					o.groups.edit(func() { delete(o.groups.list, "s") })
				}
				a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='remove'"), pushItem(carol, "subscription='remove'"))
				b.Want("bob", isGone(alice, bob), pushItem(alice, "subscription='remove'"), pushItem(carol, "subscription='remove'"))
				c = o.Login(carol + "/desk")
				c.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='" + version + "'/></iq>")
				c.Want("carol", "result g <query xmlns='jabber:iq:roster'></query>")
			})
		})
	}
}

// ver asks for the roster with a version and returns the one of the answer, "" for an empty one.
func ver(t *testing.T, c *routertest.Client, had string) string {
	t.Helper()
	c.Say("<iq type='get' id='v'><query xmlns='jabber:iq:roster' ver='" + had + "'/></iq>")
	got := c.Take()
	if len(got) == 0 {
		t.Fatal("no answer")
	}
	q, _ := got[len(got)-1].Child("jabber:iq:roster", "query")
	return q.Attr("ver")
}

// TestSubscriptionStanzasDoNotTouchSharedState is case 8.
func TestSubscriptionStanzasDoNotTouchSharedState(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.Recv()
		a.Say("<presence type='subscribe' to='" + bob + "' id='x'/>")
		a.Want("nobody is asked", "presence:subscribed "+bob+" > "+alice)
		for _, typ := range []string{"unsubscribe", "unsubscribed", "subscribed"} {
			a.Say(sub(typ, bob))
			b.Say(sub(typ, alice))
			a.Want("alice, " + typ)
			b.Want("bob, " + typ)
		}
		routertest.Same(t, "disk", o.disk.Rows())
		wantList(t, "alice", a, item(bob, both, "Sales"))
		wantList(t, "bob", b, item(alice, both, "Sales"))
		a.Say("<presence><show>dnd</show></presence>")
		b.Want("presence flows on", isHere(alice, bob)+" <show>dnd</show>")
	})
}

// TestExplicitMembersWorkAsEverybodyDoes is case 9.
func TestExplicitMembersWorkAsEverybodyDoes(t *testing.T) {
	var seen [2][]string
	for i, visible := range []string{"all", "alice bob carol dave"} {
		playWith(t, newGroups(), func(t *testing.T, o *office) {
			a := o.online(alice + "/desk")
			b := o.online(bob + "/desk")
			o.groups.add("s", "Sales", "alice bob carol", visible)
			seen[i] = append(append(a.Recv(), "bob:"), b.Recv()...)
			o.groups.add("s", "Sales", "alice", visible)
			seen[i] = append(append(append(seen[i], a.Recv()...), "bob:"), b.Recv()...)
			seen[i] = append(seen[i], list(a), list(b))
		})
	}
	if len(seen[0]) < 8 || !slices.Equal(seen[0], seen[1]) {
		t.Errorf("to all:\n  %s\nto each by name:\n  %s", strings.Join(seen[0], "\n  "), strings.Join(seen[1], "\n  "))
	}
}

// TestSeveralGroupsMakeOneItem is case 10.
func TestSeveralGroupsMakeOneItem(t *testing.T) {
	g := with("s", "Sales", "bob", "all").add("n", "Night", "bob", "alice").add("n2", "Night", "bob", "all")
	playWith(t, g, func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		wantList(t, "alice", a, item(bob, to, "Night", "Sales"))
		a.Say(setXML("1", item(bob, "name='B'", "Night", "Mine")))
		a.Want("alice", pushItem(bob, "name='B' "+to, "Night", "Sales", "Mine"), "result 1")
	})
}

// TestLabelChangeIsOnePushForEachContact is case 11.
func TestLabelChangeIsOnePushForEachContact(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob carol", "members"), func(t *testing.T, o *office) {
		a := o.online(alice + "/desk")
		o.online(bob + "/desk")
		a.Recv()
		o.groups.add("s", "Trade", "alice bob carol", "members")
		a.Want("alice", pushItem(bob, both, "Trade"), pushItem(carol, both, "Trade"))
	})
}

// TestDirectedVisibility is case 12: managers see sales, not back.
func TestDirectedVisibility(t *testing.T) {
	playWith(t, newGroups(), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		o.groups.add("s", "Sales", "bob", "alice")
		a.Want("manager", pushItem(bob, to, "Sales"), isHere(bob, alice))
		b.Want("sales")
		wantList(t, "sales", b)
		b.Say("<presence><show>away</show></presence>")
		a.Say("<presence><show>xa</show></presence>")
		a.Want("manager", isHere(bob, alice)+" <show>away</show>", isHere(alice, alice)+" <show>xa</show>")
		b.Want("sales", isHere(bob, bob)+" <show>away</show>")
		for viewer, owner := range map[string]string{alice: bob, bob: alice} {
			if got := o.roster.SeesPresence(jid.MustParse(owner), jid.MustParse(viewer)); got != (viewer == alice) {
				t.Errorf("%s sees %s: %v", viewer, owner, got)
			}
		}
	})
}

// TestDeletedAccountLeavesGroupsAndRosters is case 13.
func TestDeletedAccountLeavesGroupsAndRosters(t *testing.T) {
	playWith(t, with("s", "Sales", "alice bob", "members"), func(t *testing.T, o *office) {
		a, b := o.online(alice+"/desk"), o.online(bob+"/desk")
		a.Say(setXML("1", item(bob, "name='Bobby'")))
		a.Recv()
		b.Leave()
		delete(o.accounts, "bob")
		o.groups.edit(func() {
			o.groups.people = []string{"alice", "carol", "dave"}
			o.groups.list["s"].members = []string{"alice"}
		})
		if err := o.roster.Purge(t.Context(), jid.MustParse(bob)); err != nil {
			t.Fatal(err)
		}
		a.Want("alice", isGone(bob, alice), pushItem(bob, "subscription='remove'"))
		routertest.Same(t, "disk", o.disk.Rows())
		wantList(t, "alice", a)
	})
}
