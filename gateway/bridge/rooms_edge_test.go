package bridge_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"doorway/gateway/bridge"
	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// has reports whether a client has got a stanza with all these parts, which stays.
func (c client) has(parts ...string) (found bool) {
	c.Pick(func(st *stanza.Stanza) bool {
		s := st.String()
		found = found || !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
		return false
	})
	return found
}

// gate stops who passes it while it is shut.
type gate struct {
	shut   atomic.Bool
	inside chan struct{}
	open   chan struct{}
}

func newGate() *gate { return &gate{inside: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	if g.shut.CompareAndSwap(true, false) {
		close(g.inside)
		<-g.open
	}
}

// holdCost has the rooms wait before they send a text while g is shut.
func holdCost(c *bridge.Config, g *gate) {
	cost := c.Rooms.Cost
	c.Rooms.Cost = func(body string) int { g.pass(); return cost(body) }
}

// endings tells when a network's sessions have ended, and with twice gives each text two times.
type endings struct {
	transports.Network
	ended chan struct{}
	twice bool
	sink  atomic.Pointer[transports.Sink] // of the session
}

type ending struct {
	transports.Session
	n *endings
}

func (n *endings) Dial(ctx context.Context, a transports.Account, e transports.Env) (transports.Session, error) {
	s, err := n.Network.Dial(ctx, a, e)
	return ending{s, n}, err
}

func (s ending) Run(ctx context.Context, sink transports.Sink) error {
	defer func() {
		if s.n.ended != nil {
			close(s.n.ended)
		}
	}()
	s.n.sink.Store(&sink)
	return s.Session.Run(ctx, func(ctx context.Context, e transports.Event) error {
		err := sink(ctx, e)
		if _, ok := e.(transports.Incoming); ok && err == nil && s.n.twice {
			err = sink(ctx, e)
		}
		return err
	})
}

// TestRoomStopsWhileItIsSaid: what was said in the room while the gateway was stopping goes out after the start.
func TestRoomStopsWhileItIsSaid(t *testing.T) {
	g := newGate()
	n := &endings{ended: make(chan struct{})}
	h := newHouseWith(t, newGroups(mobile), func(c *bridge.Config) {
		holdCost(c, g)
		if n != nil {
			n.Network, c.Network = c.Network, n
		}
	})
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	g.shut.Store(true)
	alice.says("<body>one</body>")
	<-g.inside
	alice.says("<body>two</body>")
	alice.says("<body>three</body>")
	stopped := make(chan struct{})
	go func() { defer close(stopped); h.stopBridge() }() // waited for below
	<-n.ended
	close(g.open)
	<-stopped
	h.stop()
	n = nil
	h.start()
	h.received(mobile, "alice (Field staff): one", "alice: two", "alice: three")
}

// TestTextWhileStopping: a text that is looked at while the gateway leaves the rooms is for the room all the same.
func TestTextWhileStopping(t *testing.T) {
	g := newGate()
	h := newHouseWith(t, newGroups(mobile), func(c *bridge.Config) {
		c.Interceptors = append(c.Interceptors, func(context.Context, transports.Message) (bool, error) { g.pass(); return false, nil })
	})
	alice, bob := h.login("alice"), h.login("bob")
	alice.enter("alice", "Anna Berg")
	g.shut.Store(true)
	h.texts(mobile, "On my way")
	<-g.inside
	stopped := make(chan struct{})
	go func() { defer close(stopped); h.stopBridge() }() // waited for below
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/SMS'")
	close(g.open)
	<-stopped
	if bob.has("On my way") {
		t.Error("the text went to the default recipient")
	}
	h.stop()
	h.start()
	alice = h.login("alice")
	alice.Say("<presence xmlns='jabber:client' to='" + fieldRoom + "/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	alice.gets("<message", "from='"+fieldRoom+"/Anna Berg'", "<body>On my way</body>")
}

// late is groups that the gateway does not know yet.
type late struct {
	*groups
	asked, known chan struct{}
}

func (l late) Rooms(f func(xmpp.GroupRoom) bool) {
	select {
	case l.asked <- struct{}{}:
	default:
	}
	<-l.known
	l.groups.Rooms(f)
}

// TestTextBeforeTheRooms: a text that comes before the rooms are known waits for them.
func TestTextBeforeTheRooms(t *testing.T) {
	l := late{groups: newGroups(mobile), asked: make(chan struct{}, 1), known: make(chan struct{})}
	var offered atomic.Int32
	h := newHouseWith(t, l.groups, func(c *bridge.Config) {
		c.Rooms.Groups = l
		c.Interceptors = append(c.Interceptors, func(context.Context, transports.Message) (bool, error) { offered.Add(1); return false, nil })
	})
	alice, bob := h.login("alice"), h.login("bob")
	<-l.asked
	h.texts(mobile, "My only room")
	until(t, "the text to be offered again", func() bool { return offered.Load() > 1 || bob.has("My only room") })
	close(l.known)
	alice.enter("alice", "Anna Berg")
	until(t, "an empty storage", func() bool { return len(h.emu.Slots()) == 0 })
	until(t, "the text", func() bool { return alice.has("My only room") || bob.has("My only room") })
	if !alice.has("from='"+fieldRoom+"/Anna Berg'", "My only room") {
		t.Error("the text went elsewhere")
	}
}

// TestRemovedPhoneHearsNothing: who is taken out of the group does not get what is said from then on, also when the
// gateway is behind.
func TestRemovedPhoneHearsNothing(t *testing.T) {
	g, people := newGate(), newGroups(mobile, mobile2)
	h := newHouseWith(t, people, func(c *bridge.Config) { holdCost(c, g) })
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	g.shut.Store(true)
	alice.says("<body>one</body>")
	<-g.inside
	people.edit(mobile2+"@"+gateway, false)
	alice.says("<body>secret</body>")
	close(g.open)
	h.received(mobile, "alice (Field staff): one", "alice: secret")
	if got := h.phone(mobile2).Received(); slices.Contains(got, "alice: secret") {
		t.Errorf("%q", got)
	}
}

// TestTextsOffAndOn: what is said while phones take no part is nothing for them, later neither.
func TestTextsOffAndOn(t *testing.T) {
	people := newGroups(mobile)
	h := newHouseWith(t, people, nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	alice.says("<body>one</body>")
	h.received(mobile, "alice (Field staff): one")
	people.texts(false)
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/Anna Berg'")
	alice.says("<body>secret</body>")
	people.texts(true)
	alice.gets("<presence", "from='"+fieldRoom+"/Anna Berg'", "participant")
	alice.says("<body>two</body>")
	h.received(mobile, "alice (Field staff): one", "alice: two")
}

// TestTimesInARoom: a message is old when the room says so, and nobody else.
func TestTimesInARoom(t *testing.T) {
	h := newHouseWith(t, newGroups(mobile, mobile2), nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg", mobile2)
	alice.says("<delay xmlns='urn:xmpp:delay' from='" + office + "' stamp='2020-01-01T00:00:00Z'/><body>written in the train</body>")
	h.received(mobile, "alice (Field staff): written in the train")
	alice.Say("<message xmlns='jabber:client' type='chat' id='p1' to='" + fieldRoom + "/Anna Berg'><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><body>so was this</body></message>")
	h.received(mobile, "alice (Field staff): written in the train", "alice (only to you): so was this")
}

// TestMessagesThatAreNotKept: what no archive keeps has no id of the room's.
func TestMessagesThatAreNotKept(t *testing.T) {
	people := newGroups(mobile)
	people.archive = true
	h := newHouseWith(t, people, nil)
	alice := h.login("alice")
	alice.enter("alice", "Anna Berg")
	for _, text := range []string{"one", "two"} {
		alice.Say("<message xmlns='jabber:client' type='groupchat' to='" + fieldRoom + "'><body>" + text + "</body><no-store xmlns='urn:xmpp:hints'/></message>")
	}
	alice.says("<body>three</body>")
	h.received(mobile, "alice (Field staff): one", "alice: two", "alice: three")
}

// TestNamesInARoom: two people of one name, and names that are written otherwise than an address has them.
func TestNamesInARoom(t *testing.T) {
	people := newGroups(mobile, mobile2, mobile3)
	people.names[mobile2], people.names[mobile3] = "Anna Berg", " Ange\u0301lique\u00a0B. "
	h := newHouseWith(t, people, nil)
	alice, bob := h.login("alice"), h.login("bob")
	one, two := "Anna Berg ("+mobile+")", "Anna Berg ("+mobile2+")"
	alice.enter("alice", one, two, "Angélique B.")
	h.texts(mobile, "I am the first")
	alice.gets("<message", "from='"+fieldRoom+"/"+one+"'", "I am the first")
	h.received(mobile2, one+" (Field staff): I am the first")
	people.edit(mobile+"@"+gateway, false)
	alice.gets("<presence", "type='unavailable'", "from='"+fieldRoom+"/"+one+"'")
	people.edit(mobile+"@"+gateway, true)
	alice.gets("<presence", "from='"+fieldRoom+"/"+one+"'")
	if alice.has("<presence", "from='"+fieldRoom+"/Angélique B.'") {
		t.Error("a phone has entered anew without a reason")
	}

	// Somebody with an account may be called like a phone, and say something before the gateway comes.
	h.stopBridge()
	bob.enter("Angélique B.")
	bob.says("<body>I am another one</body>")
	bob.gets("<message", "I am another one")
	h.stop()
	h.start()
	h.received(mobile3, one+" (Field staff): I am the first", "Angélique B.: I am another one")
}
