package muc_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

// groups are groups that have rooms, kept in memory.
type groups struct {
	mu      sync.Mutex // guards what follows
	rooms   map[string]xmpp.GroupRoom
	members map[string]map[string]string // by id and address
	watch   func(context.Context, xmpp.GroupRoomChange)
}

var _ xmpp.GroupRooms = (*groups)(nil)

func (g *groups) Rooms(f func(xmpp.GroupRoom) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.rooms {
		if !f(r) {
			return
		}
	}
}

func (g *groups) Room(id string) (xmpp.GroupRoom, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.rooms[id]
	return r, ok
}

func (g *groups) Affiliation(id string, user jid.JID) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members[id][user.String()]
}

func (g *groups) Members(id string, f func(jid.JID, string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for who, a := range g.members[id] {
		if !f(jid.MustParse(who), a) {
			return
		}
	}
}

func (g *groups) Watch(f func(context.Context, xmpp.GroupRoomChange)) { g.watch = f }

// set gives a group a room, or changes it: people as "alice=admin".
func (g *groups) set(label string, people ...string) {
	g.mu.Lock()
	c := xmpp.GroupRoomChange{ID: "hall", After: &xmpp.GroupRoom{ID: "hall", Label: label}}
	if before, ok := g.rooms["hall"]; ok {
		c.Before = &before
	}
	was, is := g.members["hall"], map[string]string{}
	for _, p := range people {
		name, a, _ := strings.Cut(p, "=")
		is[name+"@office.example"] = a
	}
	for who := range was {
		if is[who] != was[who] {
			c.Users = append(c.Users, jid.MustParse(who))
		}
	}
	for who := range is {
		if was[who] == "" {
			c.Users = append(c.Users, jid.MustParse(who))
		}
	}
	g.rooms["hall"], g.members["hall"] = *c.After, is
	g.mu.Unlock()
	if g.watch != nil {
		g.watch(context.Background(), c)
	}
}

// drop takes the room from the group.
func (g *groups) drop() {
	g.mu.Lock()
	before := g.rooms["hall"]
	delete(g.rooms, "hall")
	delete(g.members, "hall")
	g.mu.Unlock()
	if g.watch != nil {
		g.watch(context.Background(), xmpp.GroupRoomChange{ID: "hall", Before: &before})
	}
}

func openGroups(t testing.TB, store router.Store, g *groups) *keeper {
	t.Helper()
	if g.rooms == nil {
		g.rooms, g.members = map[string]xmpp.GroupRoom{}, map[string]map[string]string{}
	}
	k := &keeper{archive: archive.New(archive.Config{})}
	k.office = openWith(t, store, muc.Config{Archive: k.archive, Groups: g, Admin: isChief})
	return k
}

func (k *keeper) tryJoin(c *routertest.Client, nick string) []string {
	c.Say("<presence to='" + hall + "/" + nick + "'>" + join + "</presence>")
	return c.Recv()
}

// TestGroupRoom: the room follows its group while people are in it.
func TestGroupRoom(t *testing.T) {
	g := &groups{}
	k := openGroups(t, nil, g)
	a, b, c := k.person("alice"), k.person("bob"), k.person("carol")
	g.set("Sales", "alice=admin", "bob=member")
	same(t, "a stranger", k.tryJoin(c, "carol"), []string{"error presence carol: registration-required"})
	same(t, "a manager", k.tryJoin(a, "alice"), []string{"alice admin/moderator alice@office.example/desk 110 100", "subject hall:"})
	same(t, "a member", k.tryJoin(b, "bob"), []string{"alice admin/moderator alice@office.example/desk", "bob member/participant bob@office.example/desk 110 100", "subject hall:"})
	a.Take()
	info := b.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
	for _, want := range []string{"name='Sales'", "muc_persistent", "muc_membersonly", "muc_nonanonymous", "muc_hidden"} {
		if !strings.Contains(info, want) {
			t.Errorf("no %s in %s", want, info)
		}
	}
	list := func(c *routertest.Client) bool {
		return strings.Contains(c.Ask("get", service, "<query xmlns='http://jabber.org/protocol/disco#items'/>"), hall)
	}
	if !list(b) || list(c) {
		t.Error("the list of rooms shows it to the wrong people")
	}

	g.set("Sales", "alice=admin", "bob=member", "carol=member")
	a.Want("a new member", "message hall member/none carol@office.example")
	b.Take()
	same(t, "who has joined the group", k.tryJoin(c, "carol")[2:], []string{"carol member/participant carol@office.example/desk 110 100", "subject hall:"})
	forget(a, b)
	g.set("Sales and more", "alice=admin", "bob=member", "carol=member")
	a.Want("another name", "message hall 104")
	forget(b, c)
	g.set("Sales and more", "alice=admin", "bob=admin")
	c.Want("who has left the group", "unavailable carol none/none carol@office.example/desk 110 321")
	a.Want("the others hear it", "unavailable carol none/none carol@office.example/desk 321", "bob admin/moderator bob@office.example/desk")
	b.Take()
	same(t, "and is not admitted", k.tryJoin(c, "carol"), []string{"error presence carol: registration-required"})

	g.drop()
	a.Want("the group's end", "unavailable alice none/none alice@office.example/desk destroyed The group Sales and more has no room any more. 110")
	same(t, "and afterwards", k.tryJoin(a, "alice"), []string{"error presence alice: gone"})
	g.set("Sales", "alice=member")
	same(t, "a new group of that name", k.tryJoin(a, "alice"), []string{"alice member/participant alice@office.example/desk 110 100", "subject hall:"})
}

// TestGroupMembersAreNotStored: what the group says cannot be changed here, and
// nothing of it lies on disk; guests and higher ranks do.
func TestGroupMembersAreNotStored(t *testing.T) {
	store := routertest.NewStore()
	g := &groups{}
	k := openGroups(t, store, g)
	g.set("Sales", "alice=owner", "bob=member", "carol=member")
	a := k.enter("alice")[0]
	for _, x := range []struct{ what, item, want string }{
		{"none", "jid=bob@office.example affiliation=none", "not-allowed"},
		{"outcast", "jid=bob@office.example affiliation=outcast", "not-allowed"},
		{"of oneself", "jid=alice@office.example affiliation=member", "not-allowed"},
		{"as it is", "jid=bob@office.example affiliation=member", ""},
		{"higher", "jid=bob@office.example affiliation=admin", ""},
		{"a guest", "jid=dave@office.example affiliation=member", ""},
		{"a banned person", "jid=erin@office.example affiliation=outcast", ""},
	} {
		if got := set(a, x.item); got != x.want {
			t.Errorf("%s: %s, want %s", x.what, got, x.want)
		}
	}
	members := a.Ask("get", hall, admin("affiliation=member"))
	if strings.Contains(members, "bob@") || !strings.Contains(members, "carol@") || !strings.Contains(members, "dave@") {
		t.Errorf("members: %s", members)
	}
	same(t, "admins", conf(t, a, "muc#roomconfig_roomadmins"), []string{"bob@office.example"})
	same(t, "owners", conf(t, a, "muc#roomconfig_roomowners"), []string{"alice@office.example"})
	for _, x := range []struct{ what, field, want string }{
		{"open", "membersonly=0", "not-acceptable"},
		{"another name", "roomname=Ours", "not-acceptable"},
		{"semi-anonymous", "whois=moderators", "not-acceptable"},
		{"temporary", "persistentroom=0", "not-acceptable"},
		{"no owner", "roomowners=dave@office.example", "not-allowed"},
		{"what it may", "moderatedroom=1", ""},
		{"the present name", "roomname=Sales", ""},
	} {
		if got := condition(a.Ask("set", hall, submit(x.field))); got != x.want {
			t.Errorf("%s: %s, want %s", x.what, got, x.want)
		}
	}
	if got := condition(a.Ask("set", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>")); got != "not-allowed" {
		t.Errorf("destroy: %s", got)
	}
	if got := a.Ask("set", hall, register("ally")); got != "" {
		t.Errorf("register: %s", got)
	}
	var stored []string
	for _, row := range store.Rows() {
		if who, ok := strings.CutPrefix(row, "room_users "+hall+" "); ok {
			stored = append(stored, who)
		}
		if strings.HasPrefix(row, "room_users") && (strings.Contains(row, "carol") || strings.Contains(row, "owner")) {
			t.Errorf("stored: %s", row)
		}
	}
	if len(stored) != 4 { // alice's nickname, bob, dave and erin
		t.Errorf("stored: %q", stored)
	}
	a.Leave()

	// A restart without bob and carol: bob keeps the rank he was given here.
	g.set("Sales", "alice=owner")
	k = openGroups(t, store, g)
	b, c := k.person("bob"), k.person("carol")
	if got := k.tryJoin(b, "bob"); !slices.Contains(got, "bob admin/moderator bob@office.example/desk 110 100") {
		t.Errorf("%q", got)
	}
	same(t, "carol", k.tryJoin(c, "carol"), []string{"error presence carol: registration-required"})
}

// TestGroupTakesName: the people of a room whose name a group takes do not
// come to read what the group says, nor the other way round.
func TestGroupTakesName(t *testing.T) {
	for _, running := range []bool{true, false} {
		store := routertest.NewStore()
		g := &groups{}
		k := openGroups(t, store, g)
		a := k.found("persistentroom=1")
		say(a, "ours")
		a.Take()
		if running {
			g.set("Board", "bob=member")
			a.Want("it ends", "unavailable alice none/none alice@office.example/desk destroyed This address now belongs to the group Board. 110")
		} else {
			a.Leave()
			g.watch = nil
			g.set("Board", "bob=member")
			k = openGroups(t, store, g)
			a = k.person("alice")
		}
		b := k.person("bob")
		same(t, "the group", k.tryJoin(b, "bob"), []string{"bob member/participant bob@office.example/desk 110 100", "subject hall:"})
		if got, _, fin := results(b, ""); len(got) != 0 || !strings.Contains(fin, "complete='true'") {
			t.Errorf("archive: %q %s", got, fin)
		}
		same(t, "the old owner", k.tryJoin(a, "alice"), []string{"error presence alice: registration-required"})
		if _, _, fin := results(a, ""); fin != "forbidden" {
			t.Error(fin)
		}
		b.Leave()
		g.watch = nil
		g.drop()
		k = openGroups(t, store, g)
		same(t, "a group that went while nobody looked", k.tryJoin(k.person("bob"), "bob"), []string{"error presence bob: gone"})
	}
}

// TestGroupRoomComing: nobody makes an ordinary room of a name that a group has
// just taken.
func TestGroupRoomComing(t *testing.T) {
	g := &groups{}
	k := openGroups(t, nil, g)
	g.watch = nil // the change is not told yet
	g.set("Sales", "alice=member")
	same(t, "too early", k.tryJoin(k.person("alice"), "alice"), []string{"error presence alice: resource-constraint"})
}
