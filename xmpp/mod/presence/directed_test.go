package presence_test

import (
	"fmt"
	"testing"

	"doorway/xmpp/stanza"
)

const room = "room@peer.example/al"

func TestDirectedPresenceIsEndedOnce(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	a.Say("<presence to='" + room + "'/>")
	o.peer.Want("room", "presence "+alice+"/desk > "+room)
	a.Say("<presence><show>dnd</show></presence>") // not included in broadcasts (§4.6.3)
	o.peer.Want("room")
	a.Say("<presence type='unavailable'><status>bye</status></presence>")
	o.peer.Want("room", "unavailable "+alice+"/desk > "+room+" <status>bye</status>")
	a.Say("<presence/>", "<presence type='unavailable'/>")
	a.Leave()
	o.peer.Want("room, once")
}

// TestDirectedPresenceToASubscriber must not produce two unavailables.
func TestDirectedPresenceToASubscriber(t *testing.T) {
	for _, to := range []string{bob, bob + "/desk"} {
		for _, first := range []bool{true, false} { // initial presence before or after
			t.Run(fmt.Sprint(to, first), func(t *testing.T) {
				o := start(t)
				o.subs.friends(alice, bob)
				b := o.online(bob + "/desk")
				a := o.Login(alice + "/desk")
				if first {
					a.Say("<presence/>", "<presence to='"+to+"'/>")
				} else {
					a.Say("<presence to='"+to+"'/>", "<presence/>")
				}
				b.Want("bob", "presence "+alice+"/desk > "+map[bool]string{true: bob, false: to}[first],
					"presence "+alice+"/desk > "+map[bool]string{true: to, false: bob}[first])
				a.Leave()
				b.Want("bob", "unavailable "+alice+"/desk > "+bob)
			})
		}
	}
}

// TestDirectedPresenceToAConnectedResource: a subscriber's resource that is not
// available gets no broadcast and is told directly.
func TestDirectedPresenceToAConnectedResource(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.Login(bob + "/desk")
	a := o.online(alice + "/desk")
	a.Say("<presence to='" + bob + "/desk'/>")
	a.Leave()
	b.Want("bob", "presence "+alice+"/desk > "+bob+"/desk", "unavailable "+alice+"/desk > "+bob+"/desk")
}

// TestDirectedWithoutInitialPresence is RFC 6121 §4.6.3 case 3.
func TestDirectedWithoutInitialPresence(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	a := o.Login(alice + "/desk")
	a.Say("<presence to='"+bob+"'/>", "<presence to='"+room+"'/>")
	b.Want("bob", "presence "+alice+"/desk > "+bob)
	o.peer.Recv()
	a.Leave()
	b.Want("bob", "unavailable "+alice+"/desk > "+bob)
	o.peer.Want("room", "unavailable "+alice+"/desk > "+room)
}

// TestDirectedUnavailableEndsIt: what was taken back is not repeated.
func TestDirectedUnavailableEndsIt(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	a.Say("<presence to='"+room+"'/>", "<presence to='"+room+"' type='unavailable'/>")
	o.peer.Recv()
	a.Leave()
	o.peer.Want("room")
}

// TestRoomThatEndsItFirst: whoever sends unavailable is no longer tracked (§4.6.1).
func TestRoomThatEndsItFirst(t *testing.T) {
	for _, to := range []string{alice, alice + "/desk"} {
		o := start(t)
		a, other := o.online(alice+"/desk"), o.online(alice+"/phone")
		a.Say("<presence to='" + room + "'/>")
		other.Say("<presence to='" + room + "'/>")
		o.peer.Recv()
		o.Route("<presence type='unavailable' from='" + room + "' to='" + to + "'/>")
		a.Leave()
		o.peer.Want("room")
		other.Leave()
		if to == alice {
			o.peer.Want("room")
		} else {
			o.peer.Want("room", "unavailable "+alice+"/phone > "+room)
		}
	}
}

func TestTooManyAddresses(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	for i := range 500 {
		a.Say(fmt.Sprintf("<presence to='room%d@peer.example/al'/>", i))
	}
	a.Want("alice")
	a.Say("<presence to='room0@peer.example/al'/>") // known already
	a.Want("alice")
	a.Say("<presence to='room@peer.example/al'/>")
	a.Want("alice", "error "+room+" > "+alice+"/desk resource-constraint")
	o.peer.Recv()
	a.Leave()
	if n := len(o.peer.Recv()); n != 500 {
		t.Errorf("%d rooms were told", n)
	}
}

// The probes of RFC 6121 §4.3.2.

func probing(from, to string) string {
	return "<presence type='probe' id='pr' from='" + from + "' to='" + to + "'/>"
}

func TestProbeWithPermission(t *testing.T) {
	o := start(t)
	o.subs[alice+" "+far] = true
	o.Route(probing(far, alice))
	o.peer.Want("far, of somebody offline", "unavailable pr "+alice+" > "+far)
	a, a2 := o.Login(alice+"/desk"), o.Login(alice+"/phone")
	a.Say("<presence id='p1'><show>dnd</show><c xmlns='urn:caps'/></presence>")
	a2.Say("<presence id='p2'><priority>-1</priority></presence>")
	o.Login(alice + "/connected")
	o.peer.Recv()
	for _, from := range []string{far, far + "/home"} {
		o.Route(probing(from, alice))
		o.peer.Want("far", "presence p1 "+alice+"/desk > "+from+" <show>dnd</show><c xmlns='urn:caps'/>",
			"presence p2 "+alice+"/phone > "+from+" <priority>-1</priority>")
	}
	o.Route(probing(far, alice+"/desk"))
	o.peer.Want("far, of one resource", "presence "+alice+"/desk > "+far)
	o.Route(probing(far, alice+"/connected"))
	o.peer.Want("far, of a connected one", "unavailable pr "+alice+"/connected > "+far)
	a2.Want("alice's phone hears nothing of probes", "presence p2 "+alice+"/phone > "+alice+" <priority>-1</priority>",
		"presence p1 "+alice+"/desk > "+alice+"/phone <show>dnd</show><c xmlns='urn:caps'/>")
}

func TestProbeWithoutPermission(t *testing.T) {
	o := start(t)
	o.online(alice + "/desk")
	for _, user := range []string{alice, "nobody@office.example"} {
		o.Route(probing(far+"/home", user))
		o.peer.Want("far", "unsubscribed pr "+user+" > "+far)
	}
	o.Route(probing(far, alice+"/desk"))
	o.peer.Want("far", "unsubscribed pr "+alice+" > "+far)
}

// TestProbeOfDirectedPresence is RFC 6121 §4.6.6: mere presence, of that resource only.
func TestProbeOfDirectedPresence(t *testing.T) {
	o := start(t)
	a := o.Login(alice + "/desk")
	a.Say("<presence><show>dnd</show></presence>", "<presence to='"+room+"'><show>away</show></presence>")
	o.online(alice + "/phone")
	o.Route(probing(room, alice+"/desk"))
	o.peer.Want("room", "presence "+alice+"/desk > "+room)
	o.Route(probing(room, alice+"/phone"))
	o.peer.Want("room, of another resource", "unsubscribed pr "+alice+" > room@peer.example")
	a.Leave()
	o.peer.Recv()
	o.Route(probing(room, alice+"/desk"))
	o.peer.Want("room, of a ghost", "unsubscribed pr "+alice+" > room@peer.example")
}

// TestProbeByAClient is processed and no error (§4.3).
func TestProbeByAClient(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	o.online(bob + "/desk")
	a := o.online(alice + "/desk")
	a.Say("<presence type='probe' to='"+bob+"'/>", "<presence type='probe' to='"+far+"'/>", "<presence type='probe'/>")
	a.Want("alice", "presence "+bob+"/desk > "+alice+"/desk")
	o.peer.Want("far", "probe "+alice+"/desk > "+far)
}

// TestRefresh: another module changes what a resource's presence says.
func TestRefresh(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	a := o.online(alice+"/desk", b)
	idle := o.Login(alice + "/idle")
	mark := func(st *stanza.Stanza) *stanza.Stanza { return st.WithAppended("<x/>") }
	a.Say("<presence><priority>3</priority></presence>")
	a.Recv()
	b.Recv()
	o.m.Refresh(t.Context(), a.Session, mark)
	o.m.Refresh(t.Context(), idle.Session, mark)
	b.Want("bob", "presence "+alice+"/desk > "+bob+" <priority>3</priority><x/>")
	a.Want("alice", "presence "+alice+"/desk > "+alice+" <priority>3</priority><x/>")
	if st, prio := a.Session.Presence(); st.Inner() != "<priority>3</priority><x/>" || prio != 3 {
		t.Errorf("kept %v %d", st, prio)
	}
}
