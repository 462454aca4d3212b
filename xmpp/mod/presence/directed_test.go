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
	a.send("<presence to='" + room + "'/>")
	same(t, "room", o.peer.recv(), "presence "+alice+"/desk > "+room)
	a.send("<presence><show>dnd</show></presence>") // not included in broadcasts (§4.6.3)
	same(t, "room", o.peer.recv())
	a.send("<presence type='unavailable'><status>bye</status></presence>")
	same(t, "room", o.peer.recv(), "unavailable "+alice+"/desk > "+room+" <status>bye</status>")
	a.send("<presence/>", "<presence type='unavailable'/>")
	a.close()
	same(t, "room, once", o.peer.recv())
}

// TestDirectedPresenceToASubscriber must not produce two unavailables.
func TestDirectedPresenceToASubscriber(t *testing.T) {
	for _, to := range []string{bob, bob + "/desk"} {
		for _, first := range []bool{true, false} { // initial presence before or after
			t.Run(fmt.Sprint(to, first), func(t *testing.T) {
				o := start(t)
				o.subs.friends(alice, bob)
				b := o.online(bob + "/desk")
				a := o.login(alice + "/desk")
				if first {
					a.send("<presence/>", "<presence to='"+to+"'/>")
				} else {
					a.send("<presence to='"+to+"'/>", "<presence/>")
				}
				same(t, "bob", b.recv(), "presence "+alice+"/desk > "+map[bool]string{true: bob, false: to}[first],
					"presence "+alice+"/desk > "+map[bool]string{true: to, false: bob}[first])
				a.close()
				same(t, "bob", b.recv(), "unavailable "+alice+"/desk > "+bob)
			})
		}
	}
}

// TestDirectedPresenceToAConnectedResource: a subscriber's resource that is not
// available gets no broadcast and is told directly.
func TestDirectedPresenceToAConnectedResource(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.login(bob + "/desk")
	a := o.online(alice + "/desk")
	a.send("<presence to='" + bob + "/desk'/>")
	a.close()
	same(t, "bob", b.recv(), "presence "+alice+"/desk > "+bob+"/desk", "unavailable "+alice+"/desk > "+bob+"/desk")
}

// TestDirectedWithoutInitialPresence is RFC 6121 §4.6.3 case 3.
func TestDirectedWithoutInitialPresence(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	a := o.login(alice + "/desk")
	a.send("<presence to='"+bob+"'/>", "<presence to='"+room+"'/>")
	same(t, "bob", b.recv(), "presence "+alice+"/desk > "+bob)
	o.peer.recv()
	a.close()
	same(t, "bob", b.recv(), "unavailable "+alice+"/desk > "+bob)
	same(t, "room", o.peer.recv(), "unavailable "+alice+"/desk > "+room)
}

// TestDirectedUnavailableEndsIt: what was taken back is not repeated.
func TestDirectedUnavailableEndsIt(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	a.send("<presence to='"+room+"'/>", "<presence to='"+room+"' type='unavailable'/>")
	o.peer.recv()
	a.close()
	same(t, "room", o.peer.recv())
}

// TestRoomThatEndsItFirst: whoever sends unavailable is no longer tracked (§4.6.1).
func TestRoomThatEndsItFirst(t *testing.T) {
	for _, to := range []string{alice, alice + "/desk"} {
		o := start(t)
		a, other := o.online(alice+"/desk"), o.online(alice+"/phone")
		a.send("<presence to='" + room + "'/>")
		other.send("<presence to='" + room + "'/>")
		o.peer.recv()
		o.says("<presence type='unavailable' from='" + room + "' to='" + to + "'/>")
		a.close()
		same(t, "room", o.peer.recv())
		other.close()
		if to == alice {
			same(t, "room", o.peer.recv())
		} else {
			same(t, "room", o.peer.recv(), "unavailable "+alice+"/phone > "+room)
		}
	}
}

func TestTooManyAddresses(t *testing.T) {
	o := start(t)
	a := o.online(alice + "/desk")
	for i := range 500 {
		a.send(fmt.Sprintf("<presence to='room%d@peer.example/al'/>", i))
	}
	same(t, "alice", a.recv())
	a.send("<presence to='room0@peer.example/al'/>") // known already
	same(t, "alice", a.recv())
	a.send("<presence to='room@peer.example/al'/>")
	same(t, "alice", a.recv(), "error "+room+" > "+alice+"/desk resource-constraint")
	o.peer.recv()
	a.close()
	if n := len(o.peer.recv()); n != 500 {
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
	o.says(probing(far, alice))
	same(t, "far, of somebody offline", o.peer.recv(), "unavailable pr "+alice+" > "+far)
	a, a2 := o.login(alice+"/desk"), o.login(alice+"/phone")
	a.send("<presence id='p1'><show>dnd</show><c xmlns='urn:caps'/></presence>")
	a2.send("<presence id='p2'><priority>-1</priority></presence>")
	o.login(alice + "/connected")
	o.peer.recv()
	for _, from := range []string{far, far + "/home"} {
		o.says(probing(from, alice))
		same(t, "far", o.peer.recv(), "presence p1 "+alice+"/desk > "+from+" <show>dnd</show><c xmlns='urn:caps'/>",
			"presence p2 "+alice+"/phone > "+from+" <priority>-1</priority>")
	}
	o.says(probing(far, alice+"/desk"))
	same(t, "far, of one resource", o.peer.recv(), "presence "+alice+"/desk > "+far)
	o.says(probing(far, alice+"/connected"))
	same(t, "far, of a connected one", o.peer.recv(), "unavailable pr "+alice+"/connected > "+far)
	same(t, "alice's phone hears nothing of probes", a2.recv(), "presence p2 "+alice+"/phone > "+alice+" <priority>-1</priority>",
		"presence p1 "+alice+"/desk > "+alice+"/phone <show>dnd</show><c xmlns='urn:caps'/>")
}

func TestProbeWithoutPermission(t *testing.T) {
	o := start(t)
	o.online(alice + "/desk")
	for _, user := range []string{alice, "nobody@office.example"} {
		o.says(probing(far+"/home", user))
		same(t, "far", o.peer.recv(), "unsubscribed pr "+user+" > "+far)
	}
	o.says(probing(far, alice+"/desk"))
	same(t, "far", o.peer.recv(), "unsubscribed pr "+alice+" > "+far)
}

// TestProbeOfDirectedPresence is RFC 6121 §4.6.6: mere presence, of that resource only.
func TestProbeOfDirectedPresence(t *testing.T) {
	o := start(t)
	a := o.login(alice + "/desk")
	a.send("<presence><show>dnd</show></presence>", "<presence to='"+room+"'><show>away</show></presence>")
	o.online(alice + "/phone")
	o.says(probing(room, alice+"/desk"))
	same(t, "room", o.peer.recv(), "presence "+alice+"/desk > "+room)
	o.says(probing(room, alice+"/phone"))
	same(t, "room, of another resource", o.peer.recv(), "unsubscribed pr "+alice+" > room@peer.example")
	a.close()
	o.peer.recv()
	o.says(probing(room, alice+"/desk"))
	same(t, "room, of a ghost", o.peer.recv(), "unsubscribed pr "+alice+" > room@peer.example")
}

// TestProbeByAClient is processed and no error (§4.3).
func TestProbeByAClient(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	o.online(bob + "/desk")
	a := o.online(alice + "/desk")
	a.send("<presence type='probe' to='"+bob+"'/>", "<presence type='probe' to='"+far+"'/>", "<presence type='probe'/>")
	same(t, "alice", a.recv(), "presence "+bob+"/desk > "+alice+"/desk")
	same(t, "far", o.peer.recv(), "probe "+alice+"/desk > "+far)
}

// TestRefresh: another module changes what a resource's presence says.
func TestRefresh(t *testing.T) {
	o := start(t)
	o.subs.friends(alice, bob)
	b := o.online(bob + "/desk")
	a := o.online(alice+"/desk", b)
	idle := o.login(alice + "/idle")
	mark := func(st *stanza.Stanza) *stanza.Stanza { return st.WithAppended("<x/>") }
	a.send("<presence><priority>3</priority></presence>")
	a.recv()
	b.recv()
	o.m.Refresh(t.Context(), a.s, mark)
	o.m.Refresh(t.Context(), idle.s, mark)
	same(t, "bob", b.recv(), "presence "+alice+"/desk > "+bob+" <priority>3</priority><x/>")
	same(t, "alice", a.recv(), "presence "+alice+"/desk > "+alice+" <priority>3</priority><x/>")
	if st, prio := a.s.Presence(); st.Inner() != "<priority>3</priority><x/>" || prio != 3 {
		t.Errorf("kept %v %d", st, prio)
	}
}
