package bridge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/bridge"
	"doorway/modem/emulator"
	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const (
	conference = "conference.office.localhost"
	mobile2    = "+4915550102"
	mobile3    = "+4915550103"
	fieldRoom  = "field@" + conference
)

// groups is what groups say of one room, field, and with two of another one of the same members, whose label is
// "Field".
type groups struct {
	archive bool // rooms have one
	two     bool

	mu    sync.Mutex
	on    bool
	users []string // bare JIDs
	names map[string]string
	watch []func(context.Context, xmpp.GroupRoomChange)
}

func newGroups(numbers ...string) *groups {
	g := &groups{on: true, users: []string{"alice@" + office, "bob@" + office, gateway}, names: map[string]string{mobile: "Anna Berg"}}
	for _, n := range numbers {
		g.users = append(g.users, n+"@"+gateway)
	}
	return g
}

func (g *groups) name(c transports.ContactID) string { return g.names[string(c)] }

func (g *groups) room() xmpp.GroupRoom {
	return xmpp.GroupRoom{ID: "field", Label: "Field staff", Texts: g.on}
}

func (g *groups) Rooms(f func(xmpp.GroupRoom) bool) {
	g.mu.Lock()
	r := g.room()
	g.mu.Unlock()
	if f(r) && g.two {
		f(xmpp.GroupRoom{ID: "two", Label: "Field", Texts: true})
	}
}

func (g *groups) Room(id string) (xmpp.GroupRoom, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.two && id == "two" {
		return xmpp.GroupRoom{ID: "two", Label: "Field", Texts: true}, true
	}
	return g.room(), id == "field"
}

func (g *groups) Affiliation(id string, user jid.JID) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on && user.Domain() == gateway {
		return ""
	}
	if (id == "field" || g.two && id == "two") && slices.Contains(g.users, user.String()) {
		return rank(user.String())
	}
	return ""
}

// rank: alice manages the group.
func rank(user string) string {
	if user == "alice@"+office {
		return "admin"
	}
	return "member"
}

func (g *groups) Members(_ string, f func(jid.JID, string) bool) {
	g.mu.Lock()
	users := slices.Clone(g.users)
	g.mu.Unlock()
	for _, u := range users {
		if !f(jid.MustParse(u), rank(u)) {
			return
		}
	}
}

func (g *groups) Watch(f func(context.Context, xmpp.GroupRoomChange)) { g.watch = append(g.watch, f) }

// texts lets phones take part, or not.
func (g *groups) texts(on bool) {
	g.mu.Lock()
	before := g.room()
	g.on = on
	after := g.room()
	var users []jid.JID
	for _, u := range g.users {
		if j := jid.MustParse(u); j.Domain() == gateway {
			users = append(users, j)
		}
	}
	g.mu.Unlock()
	for _, f := range g.watch {
		f(context.Background(), xmpp.GroupRoomChange{ID: "field", Before: &before, After: &after, Users: users})
	}
}

// edit changes the group and tells of it.
func (g *groups) edit(user string, in bool) {
	g.mu.Lock()
	before := g.room()
	g.users = slices.DeleteFunc(g.users, func(u string) bool { return u == user })
	if in {
		g.users = append(g.users, user)
	}
	after := g.room()
	g.mu.Unlock()
	for _, f := range g.watch {
		f(context.Background(), xmpp.GroupRoomChange{ID: "field", Before: &before, After: &after, Users: []jid.JID{jid.MustParse(user)}})
	}
}

// enter takes a client into the room and waits for the gateway and who else is named.
func (c client) enter(nick string, with ...string) {
	c.House.T.Helper()
	c.Say("<presence xmlns='jabber:client' to='" + fieldRoom + "/" + nick + "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>")
	c.gets("<presence", "code='110'")
	for _, w := range with {
		c.gets("<presence", "from='"+fieldRoom+"/"+w+"'")
	}
}

func (c client) says(text string) {
	c.Say("<message xmlns='jabber:client' type='groupchat' id='" + fmt.Sprint(time.Now().UnixNano()) + "' to='" + fieldRoom + "'>" + text + "</message>")
}

func (h *house) phone(number string) *emulator.Phone { return h.emu.Phone(number) }

// received waits until a phone has these texts, and no others.
func (h *house) received(number string, want ...string) {
	h.t.Helper()
	var got []string
	until(h.t, fmt.Sprintf("%q at %s", want, number), func() bool {
		got = h.phone(number).Received()
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		h.t.Errorf("%s got %q, want %q", number, got, want)
	}
}

func (h *house) texts(number, text string) {
	h.t.Helper()
	if err := h.phone(number).Send(text); err != nil {
		h.t.Fatal(err)
	}
}

// TestPhonesInARoom: two phones without XMPP in the room of their group.
func TestPhonesInARoom(t *testing.T) {
	g := newGroups(mobile, mobile2)
	h := newHouseWith(t, g, nil)
	alice, bob := h.login("alice"), h.login("bob")
	alice.enter("alice", "SMS", "Anna Berg", mobile2)
	bob.enter("bob", "alice")

	alice.says("<body>Pump 3 is down</body>")
	h.received(mobile, "alice (Field staff): Pump 3 is down")
	h.received(mobile2, "alice (Field staff): Pump 3 is down")

	// An answer is the phone's own in the room, and a text at the other phone; nobody hears it twice.
	h.texts(mobile, "On my way")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/Anna Berg'", "<body>On my way</body>")
	h.received(mobile2, "alice (Field staff): Pump 3 is down", "Anna Berg: On my way")
	bob.says("<body>/me waits</body>")
	h.received(mobile, "alice (Field staff): Pump 3 is down", "* bob waits")

	// What is no text stays in the room.
	bob.says("<subject>Pumps</subject>")
	bob.says("<composing xmlns='http://jabber.org/protocol/chatstates'/>")
	bob.says("<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>👍</reaction></reactions><body>👍</body>")
	bob.says("<body>&gt; On my way\nThank you</body><reply xmlns='urn:xmpp:reply:0' id='x'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='12'/></fallback>")
	h.received(mobile, "alice (Field staff): Pump 3 is down", "* bob waits", "bob: Thank you")
	bob.says("<body>I sent you an OMEMO encrypted message</body><encrypted xmlns='eu.siacs.conversations.axolotl'/>")
	bob.gets("<message", "type='chat'", "from='"+fieldRoom+"/SMS'", "cannot read encrypted messages")

	// A text between two people does not go into the room, and neither does its answer.
	bob.Say("<message xmlns='jabber:client' type='chat' id='p1' to='" + fieldRoom + "/Anna Berg'><body>Call me</body></message>")
	h.received(mobile, "alice (Field staff): Pump 3 is down", "* bob waits", "bob: Thank you", "bob (only to you): Call me")
	h.texts(mobile, "Later")
	bob.gets("<message", "type='chat'", "from='"+contact+"'", "<body>Later</body>")
	alice.says("<body>Status?</body>")
	h.received(mobile, "alice (Field staff): Pump 3 is down", "* bob waits", "bob: Thank you", "bob (only to you): Call me", "alice (Field staff): Status?")

	// Who has been taken out of the group is out of the room, in both directions.
	g.edit(mobile2+"@"+gateway, false)
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/"+mobile2+"'")
	h.texts(mobile2, "Am I out?")
	bob.gets("<message", "type='chat'", "from='"+mobile2+"@"+gateway+"'", "Am I out?")
	n := len(h.phone(mobile2).Received())
	alice.says("<body>Anna alone</body>")
	until(t, "the text to Anna", func() bool { return slices.Contains(h.phone(mobile).Received(), "alice: Anna alone") })
	if got := h.phone(mobile2).Received(); len(got) != n {
		t.Errorf("a removed phone got %q", got[n:])
	}
	g.edit(mobile3+"@"+gateway, true)
	alice.gets("<presence", "from='"+fieldRoom+"/"+mobile3+"'")
	h.texts(mobile3, "Hello") // never texted before: its only room
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/"+mobile3+"'", "<body>Hello</body>")
	if v := h.emu.Violations(); len(v) > 0 {
		t.Errorf("violations %q", v)
	}
}

// TestRoomOverARestart: what was said while the gateway was off, or had not
// heard it yet, goes out once.
func TestRoomOverARestart(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	alice.says("<body>one</body>")
	h.received(mobile, "alice (Field staff): one")
	h.stopBridge()
	until(t, "the phone to leave", func() bool {
		found := false
		alice.Pick(func(st *stanza.Stanza) bool {
			found = found || strings.Contains(st.String(), "unavailable")
			return false
		})
		return found
	})
	alice.says("<body>two</body>")
	alice.gets("<message", "<body>two</body>")
	h.stop()

	h.start()
	h.received(mobile, "alice (Field staff): one", "alice: two")
	alice = h.login("alice")
	alice.enter("alice", "Anna Berg")
	h.texts(mobile, "three")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/Anna Berg'", "<body>three</body>")
	h.stop()
	h.start()
	alice = h.login("alice")
	alice.enter("alice", "Anna Berg")
	alice.says("<body>four</body>")
	h.received(mobile, "alice (Field staff): one", "alice: two", "alice: four")
}

// TestRoomCost: the bound of the day holds for all phones together, and is told
// once.
func TestRoomCost(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), func(c *bridge.Config) { c.Rooms.PerDay = 5 })
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<body>1</body>")
	alice.says("<body>2</body>")
	alice.gets("<message", "from='"+fieldRoom+"/SMS'", "4 of the 5 texts")
	alice.says("<body>3</body>")
	alice.gets("<message", "from='"+fieldRoom+"/SMS'", "did not get the last message", "room_per_day")
	alice.gets("<presence", "from='"+fieldRoom+"/SMS'", "<show>dnd</show>")
	alice.says("<body>4</body>")
	h.texts(mobile, "5") // costs nothing, and is heard
	alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "<body>5</body>")
	h.received(mobile, "alice (Field staff): 1", "alice: 2")
	h.received(mobile2, "alice (Field staff): 1", "alice: 2")
	if jobs, err := h.queue.List(transports.Filter{}); err != nil || len(jobs) != 4 {
		t.Errorf("%d texts, %v", len(jobs), err)
	}
	told := 0
	alice.Pick(func(st *stanza.Stanza) bool {
		if strings.Contains(st.String(), "did not get the last message") {
			told++
		}
		return false
	})
	if told > 0 {
		t.Errorf("told %d times more", told)
	}
}

// TestLeaveARoom: STOP, LEAVE and JOIN come from the phone.
func TestLeaveARoom(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	h.texts(mobile, "Leave.")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'")
	const left = "You get no more texts from Field staff. Text JOIN to come back."
	const again = "You are in Field staff again. Text LEAVE to get no more texts from there."
	h.received(mobile, left)
	alice.says("<body>without Anna</body>")
	h.received(mobile2, "alice (Field staff): without Anna")
	h.stop()
	h.start() // it is remembered
	alice = h.login("alice")
	alice.enter("alice", "SMS", mobile2)
	alice.says("<body>still</body>")
	h.received(mobile2, "alice (Field staff): without Anna", "alice: still")
	h.texts(mobile, "join field")
	alice.gets("<presence", "from='"+fieldRoom+"/Anna Berg'")
	h.received(mobile, left, again)

	h.texts(mobile2, "STOP")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/"+mobile2+"'", "wants no more texts")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/"+mobile2+"'")
	h.texts(mobile2, "START")
	alice.gets("<presence", "from='"+fieldRoom+"/"+mobile2+"'", "participant")

	alice.Say("<iq xmlns='jabber:client' type='set' id='kick' to='" + fieldRoom + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='Anna Berg' role='none'/></query></iq>")
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'", "code='307'")
	alice.says("<body>without her again</body>")
	until(t, "the text", func() bool { return slices.Contains(h.phone(mobile2).Received(), "alice: without her again") })
	h.texts(mobile, "JOIN")
	alice.gets("<presence", "from='"+fieldRoom+"/Anna Berg'", "participant")
	h.received(mobile, left, again, again)
}

// TestAutomataInARoom: two phones that answer everything by themselves do not
// talk for ever.
func TestAutomataInARoom(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), nil)
	h.phone(mobile).SetAnswer("I am driving")
	h.phone(mobile2).SetAnswer("I am on holiday")
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<body>Hello</body>")
	h.received(mobile, "alice (Field staff): Hello", mobile2+": I am on holiday")
	h.received(mobile2, "alice (Field staff): Hello", "Anna Berg: I am driving")
	// They answer each other, which the room hears and the phones do not.
	until(t, "an empty storage", func() bool { return len(h.emu.Slots()) == 0 })
	alice.says("<body>Enough</body>")
	until(t, "the end", func() bool { return slices.Contains(h.phone(mobile).Received(), "alice: Enough") })
	if got := h.phone(mobile).Received(); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// TestRoomFailures: who speaks learns which phones did not hear it.
func TestRoomFailures(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<body>" + strings.Repeat("x", 1000) + "</body>")
	alice.gets("<message", "type='chat'", "from='"+fieldRoom+"/SMS'", "did not go to 2 of 2 phones", "too long")
	h.emu.Network().Fail(emulator.Fault{Cause: 1})
	alice.says("<body>short</body>")
	alice.gets("<message", "type='chat'", "from='"+fieldRoom+"/", "did not reach this phone", "does not exist")
	alice.Say("<message xmlns='jabber:client' id='i' to='" + fieldRoom + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='" + mobile3 + "@" + gateway + "'/></x></message>")
	alice.gets("<message", "<decline", "by invitation")
	alice.Say("<message xmlns='jabber:client' type='chat' id='q' to='" + fieldRoom + "/SMS'><body>What are you?</body></message>")
	alice.gets("<message", "type='chat'", "from='"+fieldRoom+"/SMS'", "to 2 phones as texts")
}

// TestTextsForARoom: a room may be among the recipients of texts, and a keyword's.
func TestTextsForARoom(t *testing.T) {
	g := newGroups(mobile)
	h := newHouseWith(t, g, func(c *bridge.Config) {
		room := func() []jid.JID { return []jid.JID{jid.MustParse(fieldRoom)} }
		c.DefaultRecipients, c.Rooms.Also = room, room
		c.Keywords = []bridge.Keyword{{Word: "fuel", To: room()}}
		c.Rooms.Account = func(n transports.ContactID) jid.JID {
			if n == mobile3 {
				return jid.MustParse("bob@" + office)
			}
			return jid.JID{}
		}
	})
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	h.texts(mobile2, "Who is there?")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/SMS'", "<body>"+mobile2+": Who is there?</body>")
	h.texts(mobile2, "fuel 40 l")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/SMS'", "fuel 40 l")
	h.texts(mobile3, "#field from Bob's phone") // bob is a member by his address
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/SMS'", "<body>"+mobile3+": from Bob")
	h.received(mobile, "(Field staff) "+mobile3+": from Bob's phone") // what strangers text is nothing for phones
	alice.Say("<message xmlns='jabber:client' type='chat' id='m1' to='" + contact + "'><body>Just you</body></message>")
	until(t, "the text", func() bool { return slices.Contains(h.phone(mobile).Received(), "Just you") })
	h.texts(mobile, "#fieldstaff To all")
	alice.gets("<message", "type='groupchat'", "from='"+fieldRoom+"/Anna Berg'", "<body>To all</body>")
}
