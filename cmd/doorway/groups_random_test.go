package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/gateway/people"
	"doorway/xmpp/stanza"
)

// seedOf is a seed that the test's log names; GROUPS_SEED gives one again.
func seedOf(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("GROUPS_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("GROUPS_SEED=%d", seed)
	return seed
}

// TestGroupsUnderRandomEdits has clients of five people believe what they are
// told while people and groups are edited, and contacts, subscriptions, blocks,
// accounts and clients come and go. What they have must be what the server would
// tell them anew, with its version, and nobody may see who is not for them.
func TestGroupsUnderRandomEdits(t *testing.T) {
	w := newWorld(t, seedOf(t))
	w.strict = true
	for i := range groupSteps(120) {
		w.step = "nothing"
		w.act()
		w.step = fmt.Sprintf("step %d, %s", i, w.step)
		w.settle()
		w.check()
		if t.Failed() {
			return
		}
	}
}

// TestGroupsEditedDuringPresence edits groups while everybody's presence changes:
// in the end everybody has whom they may see, and nobody else.
func TestGroupsEditedDuringPresence(t *testing.T) {
	w := newWorld(t, seedOf(t))
	for _, n := range w.names {
		w.enter(n, "desk")
		w.enter(n, "phone")
	}
	for i := range groupSteps(20) {
		done := make(chan bool)
		go func() { // waited for below
			defer close(done)
			for range 8 {
				w.editGroup()
			}
		}()
		for k := range 20 {
			for _, c := range w.clients {
				c.show = shows[k%len(shows)]
				c.say("<presence><show>" + c.show + "</show></presence>")
			}
		}
		<-done
		w.step = fmt.Sprint("round ", i)
		for _, c := range w.clients {
			c.sync()
		}
		w.settle()
		w.check()
		if t.Failed() {
			return
		}
	}
}

// groupSteps is how many steps to make; GROUPS_STEPS asks for more.
func groupSteps(n int) int {
	if more, err := strconv.Atoi(os.Getenv("GROUPS_STEPS")); err == nil {
		return more
	}
	return n
}

var shows = []string{"away", "dnd", "xa", "chat"}

// act does one thing.
func (w *world) act() {
	w.t.Helper()
	a, b := w.pick(), w.pick()
	if w.clerks[a] == nil {
		w.step = a + " gets an account again"
		w.accounts(a)
		w.clerks[a] = w.connectAs(a, "clerk")
		return
	}
	switch n := w.rnd.IntN(24); {
	case n < 7:
		w.editGroup()
	case n == 7:
		w.step = "person " + a + " is changed"
		p := *w.people.State().OfAccount(a)
		p.Name, p.Hidden = fmt.Sprintf("Name %d", w.rnd.IntN(3)), w.rnd.IntN(4) == 0
		w.edit(func(e *people.Edit) error { return e.PutPerson(p) })
	case n == 8 && w.rnd.IntN(3) == 0:
		w.removeAccount(a)
	case n < 11:
		w.enter(a, []string{"desk", "phone"}[w.rnd.IntN(2)])
	case n < 16 && len(w.clients) > 0:
		keys := slices.Sorted(maps.Keys(w.clients))
		w.clientActs(keys[w.rnd.IntN(len(keys))])
	case n < 23 && a != b && w.clerks[b] != nil:
		w.userActs(a, b)
	case n == 23 && a != b && w.clerks[b] != nil:
		w.block(a, b)
	}
}

func (w *world) pick() string { return w.names[w.rnd.IntN(len(w.names))] }

// editGroup makes one edit of a group.
func (w *world) editGroup() {
	w.t.Helper()
	s := w.people.State()
	at := w.rnd.IntN(5)
	g := people.Group{ID: fmt.Sprintf("g%d", at), Label: fmt.Sprintf("L%d", w.rnd.IntN(4)), Visible: people.Visible{Members: true}}
	if old := s.Group(g.ID); old != nil {
		g = *old
	}
	switch w.rnd.IntN(8) {
	case 0:
		if s.Group(g.ID) != nil {
			w.step = "group " + g.ID + " is removed"
			w.edit(func(e *people.Edit) error { return e.RemoveGroup(g.ID) })
		}
		return
	case 1:
		g.Label = fmt.Sprintf("L%d", w.rnd.IntN(4))
	case 2, 3:
		g.Visible = people.Visible{Everybody: w.rnd.IntN(3) == 0, Members: w.rnd.IntN(2) == 0}
		for _, id := range []string{"g0", "g2", "g4"} {
			if s.Group(id) != nil && w.rnd.IntN(2) == 0 {
				g.Visible.Groups = append(g.Visible.Groups, id)
			}
		}
	default:
		g.Members = w.randomMembers(s, at)
	}
	w.step = fmt.Sprintf("group %s (%s) has %s and is visible to %s", g.ID, g.Label, g.Members, g.Visible)
	w.edit(func(e *people.Edit) error { return e.PutGroup(g) })
}

func (w *world) randomMembers(s *people.State, at int) (list []people.Member) {
	for range w.rnd.IntN(4) {
		if p := s.OfAccount(w.pick()); p != nil {
			list = append(list, people.Member(p.ID))
		}
	}
	if w.rnd.IntN(6) == 0 {
		list = append(list, people.Everybody)
	}
	if w.rnd.IntN(4) == 0 {
		list = append(list, "+4915550999")
	}
	if inner := fmt.Sprintf("g%d", at+1+w.rnd.IntN(5)); s.Group(inner) != nil { // upwards only: no circles
		list = append(list, people.GroupMember(inner))
	}
	return list
}

// removeAccount takes an account away, and all its clients with it.
func (w *world) removeAccount(a string) {
	w.t.Helper()
	w.step = "the account " + a + " is removed"
	if err := w.people.Remove(a); err != nil {
		w.t.Fatal(err)
	}
	mine := func(key string) bool { return strings.HasPrefix(key, a+"/") }
	delete(w.clerks, a)
	maps.DeleteFunc(w.clients, func(key string, _ *believer) bool { return mine(key) })
	maps.DeleteFunc(w.left, func(key string, _ memory) bool { return mine(key) })
	maps.DeleteFunc(w.blocked, func(pair [2]string, _ bool) bool { return pair[0] == a })
}

// enter has a client come, with the roster that it had.
func (w *world) enter(user, resource string) {
	w.t.Helper()
	key := user + "/" + resource
	if w.clients[key] != nil {
		return
	}
	w.step = key + " comes"
	c := &believer{member: w.connectAs(user, resource), memory: w.left[key], w: w, user: user,
		online: map[string]string{}, sets: map[string]bool{}, direct: map[string]bool{}}
	c.say("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='" + c.ver + "'/></iq>")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	st, err := c.Expect(ctx, func(st *stanza.Stanza) bool { return st.ID == "g" })
	if err != nil {
		w.t.Fatal(err)
	}
	if q, ok := st.Child("jabber:iq:roster", "query"); ok {
		c.memory = memoryOf(q)
	}
	w.clients[key] = c
	c.present(shows[w.rnd.IntN(len(shows))])
}

// present sends presence, unavailable for "".
func (c *believer) present(show string) {
	c.t.Helper()
	switch {
	case show == c.show:
		return
	case show == "":
		c.say("<presence type='unavailable'/>")
	default:
		c.say("<presence><show>" + show + "</show></presence>")
	}
	c.show = show
	if c.sync(); show == "" {
		clear(c.online)
		clear(c.direct)
	}
}

// clientActs has one client do something.
func (w *world) clientActs(key string) {
	w.t.Helper()
	c := w.clients[key]
	switch w.rnd.IntN(6) {
	case 0:
		w.leave(key)
	case 1:
		w.step = key + " becomes unavailable"
		c.present("")
	case 2:
		keys := slices.Sorted(maps.Keys(w.clients))
		to := keys[w.rnd.IntN(len(keys))]
		o := w.clients[to]
		pair, back := [2]string{c.user, o.user}, [2]string{o.user, c.user}
		if c.show == "" || o.show == "" || c.user == o.user || w.blocked[pair] || w.blocked[back] {
			return
		}
		w.step = key + " sends presence to " + to
		if _, seen := o.online[w.full(key)]; !seen {
			o.direct[w.full(key)] = true
		}
		c.say("<presence to='" + w.full(to) + "'><show>" + c.show + "</show></presence>")
		o.online[w.full(key)] = "" // it comes perhaps again
		c.sync()
	default:
		w.step = key + " changes presence"
		c.present(shows[w.rnd.IntN(len(shows))])
	}
}

// leave ends a stream, and waits until all have been told.
func (w *world) leave(key string) {
	w.t.Helper()
	w.step = key + " leaves"
	w.settle()
	c := w.clients[key]
	w.left[key] = c.memory
	delete(w.clients, key)
	if w.rnd.IntN(2) == 0 {
		_ = c.Kill() // ignored: it is not used any more
	} else {
		_ = c.Close() // ignored: as above
	}
	end := time.Now().Add(30 * time.Second)
	for told := false; !told && time.Now().Before(end); { // its end is told by a goroutine of the server's
		told = true
		for _, o := range w.clients {
			if o.show != "" && !w.blocked[[2]string{o.user, c.user}] {
				o.sync()
				_, there := o.online[w.full(key)]
				told = told && !there
			}
		}
	}
}

// userActs has a's client do something about b.
func (w *world) userActs(a, b string) {
	w.t.Helper()
	to := b + "@office.localhost"
	set := func(item string) {
		for _, c := range w.clients {
			c.sets[to] = c.sets[to] || c.user == a
		}
		w.clerks[a].ask(stanza.Set, a+"@office.localhost", "<query xmlns='jabber:iq:roster'><item jid='"+to+"'"+item+"</query>")
	}
	switch w.rnd.IntN(8) {
	case 0:
		w.step = a + " renames " + b
		set(fmt.Sprintf(" name='N%d'><group>own%d</group></item>", w.rnd.IntN(3), w.rnd.IntN(2)))
	case 1:
		w.step = a + " removes " + b
		set(" subscription='remove'/>")
	case 2:
		if strings.Contains(w.roster(a).have[to], "|subscribe|") {
			return // the refusal takes the request back at one end only (RFC 6121 §4.3.2, appendix A.3.4)
		}
		w.step = a + " probes " + b
		w.clerks[a].say("<presence type='probe' to='" + to + "'/>")
		w.clerks[a].lines()
	default:
		verb := []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}[w.rnd.IntN(4)]
		w.step = a + " sends " + verb + " to " + b
		w.clerks[a].say("<presence type='" + verb + "' to='" + to + "'/>")
		w.clerks[a].lines()
	}
}

// block has a block b, or ends one block where there are some.
func (w *world) block(a, b string) {
	w.t.Helper()
	verb := "block"
	if list := slices.SortedFunc(maps.Keys(w.blocked), func(x, y [2]string) int { return strings.Compare(x[0]+x[1], y[0]+y[1]) }); len(list) > 1 {
		verb, a, b = "unblock", list[0][0], list[0][1]
	}
	w.step = a + " " + verb + "s " + b
	if w.blocked[[2]string{a, b}] = true; verb == "unblock" {
		delete(w.blocked, [2]string{a, b})
		for _, c := range w.clients { // what it saw before the block it knows no more
			if c.user == a {
				maps.DeleteFunc(c.online, func(full, _ string) bool { return owner(full) == b })
			}
		}
	}
	w.clerks[a].ask(stanza.Set, a+"@office.localhost", "<"+verb+" xmlns='urn:xmpp:blocking'><item jid='"+b+"@office.localhost'/></"+verb+">")
}
