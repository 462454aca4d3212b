package bridge_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doorway/gateway/bridge"
	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// TestWhisperToNobody: that somebody has left whom the gateway would tell something is no sign that it is not in the room.
func TestWhisperToNobody(t *testing.T) {
	g := newGate()
	var ahead atomic.Int64
	people := newGroups(mobile)
	h := newHouseWith(t, people, func(c *bridge.Config) {
		holdCost(c, g)
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	alice, bob := h.login("alice"), h.login("bob")
	alice.enter("alice")
	bob.enter("bob")
	until(t, "the gateway's last presence", func() bool {
		ahead.Add(int64(time.Minute))
		people.edit("carol@"+office, true) // has it look
		return alice.take("<presence", "from='"+fieldRoom+"/SMS'", "signal")
	})
	g.shut.Store(true)
	bob.says("<body>" + strings.Repeat("x", 1000) + "</body>")
	<-g.inside
	bob.Say("<presence xmlns='jabber:client' type='unavailable' to='" + fieldRoom + "/bob'/>")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/bob'")
	for alice.take("from='" + fieldRoom + "/SMS'") {
	}
	close(g.open)
	alice.says("<body>one</body>")
	h.received(mobile, "alice (Field staff): one")
	ahead.Add(int64(2 * time.Minute)) // it would have entered by then
	alice.says("<body>two</body>")
	h.received(mobile, "alice (Field staff): one", "alice: two")
	alice.says("<body>three</body>")
	h.received(mobile, "alice (Field staff): one", "alice: two", "alice: three")
	if alice.has("<presence", "from='"+fieldRoom+"/SMS'") {
		t.Error("the gateway has entered anew")
	}
}

// take takes one stanza with all these parts out, if there is one.
func (c client) take(parts ...string) (found bool) {
	c.Pick(func(st *stanza.Stanza) bool {
		s := st.String()
		if found || slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) }) {
			return false
		}
		found = true
		return true
	})
	return found
}

// TestNamedRooms: an id comes before a label, and who only speaks into a room by its name stays in conversation with
// others.
func TestNamedRooms(t *testing.T) {
	people := newGroups(mobile)
	people.two = true
	h := newHouseWith(t, people, func(c *bridge.Config) {
		c.Rooms.Account = func(n transports.ContactID) jid.JID {
			if n == mobile3 {
				return jid.MustParse("bob@" + office)
			}
			return jid.JID{}
		}
	})
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	for _, text := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} { // rooms are found in any order
		h.texts(mobile, "#field "+text)
		alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "<body>"+text+"</body>")
	}
	alice.Say("<message xmlns='jabber:client' type='chat' id='m1' to='" + mobile3 + "@" + gateway + "'><body>Call me</body></message>")
	h.received(mobile3, "Call me")
	h.texts(mobile3, "#field from outside")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/SMS'", "from outside")
	h.texts(mobile3, "Later")
	alice.gets("<message", "type='chat'", "from='"+mobile3+"@"+gateway+"'", "<body>Later</body>")
}

// TestRoomCostOfOne: one message that is too long for the rest of the day does not use it up.
func TestRoomCostOfOne(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), func(c *bridge.Config) { c.Rooms.PerDay = 10 })
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<body>" + strings.Repeat("x", 3000) + "</body>")
	alice.gets("<message", "type='chat'", "from='"+fieldRoom+"/SMS'", "did not go to the 2 phones", "10 of the 10 of today are left")
	alice.says("<body>short</body>")
	h.received(mobile, "alice (Field staff): short")
}

// TestRoomCostTooSmall: a bound below the number of phones is told as it is.
func TestRoomCostTooSmall(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), func(c *bridge.Config) { c.Rooms.PerDay = 1 })
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<body>1</body>")
	alice.gets("<message", "from='"+fieldRoom+"/SMS'", "did not get the last message", "needs 2 texts", "0 of the 1", "room_per_day")
}

// TestAutomatonAtTheGateway: a program that answers everything does not talk with the gateway for ever.
func TestAutomatonAtTheGateway(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile), nil)
	alice := h.login("alice")
	alice.enter("alice", "SMS", "Anna Berg")
	for range 3 {
		alice.Say("<message xmlns='jabber:client' type='chat' to='" + fieldRoom + "/SMS'><body>What?</body></message>")
	}
	alice.gets("<message", "from='"+fieldRoom+"/SMS'", "to 1 phones as texts")
	alice.says("<body>one</body>")
	h.received(mobile, "alice (Field staff): one")
	if alice.has("to 1 phones as texts") {
		t.Error("answered more than once")
	}
}

// TestSameWordsOnceAnHour: what a phone says again and again goes to the others once an hour.
func TestSameWordsOnceAnHour(t *testing.T) {
	var ahead atomic.Int64
	n := &endings{}
	h := newHouseWith(t, newGroups(mobile, mobile2), func(c *bridge.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		n.Network, c.Network = c.Network, n
	})
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	for _, ref := range []transports.Ref{"a", "b", "c"} {
		if err := (*n.sink.Load())(t.Context(), transports.Incoming{Message: transports.Message{From: mobile, Ref: ref, Body: "All is well"}}); err != nil {
			t.Fatal(err)
		}
		alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "All is well")
		ahead.Add(int64(40 * time.Minute))
	}
	alice.says("<body>Good</body>")
	h.received(mobile2, "Anna Berg (Field staff): All is well", "Anna Berg: All is well", "alice: Good")
}

// TestFirstMessageOfARoom: also the very first message is not lost when the gateway is off.
func TestFirstMessageOfARoom(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	h.stopBridge()
	alice.says("<body>one</body>")
	alice.gets("<message", "<body>one</body>")
	h.stop()
	h.start()
	h.received(mobile, "alice (Field staff): one")
}

// forgetful is a table that loses which texts were delivered.
type forgetful struct{ transports.Table }

func (f forgetful) Later(changes map[string]any, done func(error)) {
	for key := range changes {
		if strings.HasPrefix(key, "ref/") {
			delete(changes, key)
		}
	}
	f.Table.Later(changes, done)
}

// TestTextOfferedAgain: a text that comes twice, as after a crash, is one for the other phones.
func TestTextOfferedAgain(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), func(c *bridge.Config) {
		c.Table = forgetful{c.Table}
		c.Network = &endings{Network: c.Network, twice: true}
	})
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	h.texts(mobile, "LEAVE")
	h.received(mobile, "You get no more texts from Field staff. Text JOIN to come back.")
	h.texts(mobile, "JOIN")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'")
	alice.gets("<presence", "from='"+fieldRoom+"/Anna Berg'", "participant")
	h.texts(mobile, "On my way")
	alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "On my way")
	alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "On my way")
	alice.says("<body>Good</body>")
	h.received(mobile2, "Anna Berg (Field staff): On my way", "alice: Good")
}

// TestFailureAfterLeaving: who spoke learns that a text failed when its phone is not in the room any more.
func TestFailureAfterLeaving(t *testing.T) {
	n := &endings{}
	h := newHouseWith(t, newGroups(mobile), func(c *bridge.Config) { n.Network, c.Network = c.Network, n })
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	h.texts(mobile, "LEAVE")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'")
	origin := `{"f":"` + fieldRoom + `/alice","i":"x","t":"` + contact + `/sms","m":true}`
	err := (*n.sink.Load())(t.Context(), transports.Receipt{Ref: "1", To: mobile, Origin: origin, State: transports.Cancelled})
	if err != nil {
		t.Fatal(err)
	}
	alice.gets("<message", "type='chat'", "from='"+fieldRoom+"/SMS'", "did not reach "+mobile)
}

// TestOptedOutOverARestart: who wants no texts is not in the room for the first minutes either.
func TestOptedOutOverARestart(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	h.texts(mobile, "STOP")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'")
	h.stop()
	h.start()
	alice = h.login("alice")
	alice.enter("alice", "SMS", mobile2)
	alice.says("<body>one</body>")
	h.received(mobile2, "alice (Field staff): one")
	alice.Say("<message xmlns='jabber:client' type='chat' to='" + fieldRoom + "/SMS'><body>Who hears me?</body></message>")
	alice.gets("<message", "from='"+fieldRoom+"/SMS'", "to 1 phones as texts", "1 more get nothing")
	if alice.has("Anna Berg") || alice.has("did not go") {
		t.Error("the phone that wants no texts is in the room")
	}
}
