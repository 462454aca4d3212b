package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// world is an office in which people, groups, contacts and clients change at
// random, and what is known of it beside the server.
type world struct {
	*groupOffice
	rnd     *rand.Rand
	names   []string
	clerks  map[string]*member   // a client of each account that does what is asked and is not available
	clients map[string]*believer // by localpart and resource
	left    map[string]memory    // what clients that have left had last
	blocked map[[2]string]bool   // who, whom
	apart   map[[2]string]bool   // one has blocked the other at some time, and heard nothing of what the other ended
	step    string
	strict  bool // what comes is held against what should come then, and not only the end
}

// memory is what a client keeps from stream to stream.
type memory struct {
	have map[string]string // contacts by address
	ver  string
}

// believer is a client that believes what it is told: the roster and the pushes
// after it, and who is online.
type believer struct {
	*member
	memory
	w      *world
	user   string
	pushed bool              // since the last check
	sets   map[string]bool   // contacts that this user has set since then
	show   string            // its own, "" for unavailable
	online map[string]string // full JIDs → show
	direct map[string]bool   // full JIDs that have sent it presence by themselves
}

// full is the address of an account's client.
func (w *world) full(key string) string {
	user, resource, _ := strings.Cut(key, "/")
	return user + "@office.localhost/" + resource
}

// owner is the localpart of an address.
func owner(address string) string {
	local, _, _ := strings.Cut(address, "@")
	return local
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), names: []string{"e0", "e1", "e2", "e3", "e4"},
		clerks: map[string]*member{}, clients: map[string]*believer{}, left: map[string]memory{},
		blocked: map[[2]string]bool{}, apart: map[[2]string]bool{}}
	w.groupOffice = openGroups(t, w.names...)
	for _, n := range w.names {
		w.clerks[n] = w.connectAs(n, "clerk")
	}
	return w
}

func (c *believer) bad(format string, a ...any) {
	c.t.Helper()
	c.t.Errorf("%s: %s: %s", c.w.step, c.JID(), fmt.Sprintf(format, a...))
}

// canon is a roster item as one text.
func canon(it *stanza.Element) string {
	var groups []string
	for i := range it.Children {
		groups = append(groups, it.Children[i].Text)
	}
	slices.Sort(groups)
	return fmt.Sprintf("%s|%s|%s|%s|%s", it.Attr("subscription"), it.Attr("ask"), it.Attr("approved"), it.Attr("name"), strings.Join(groups, ","))
}

func isSeen(item string) bool {
	return strings.HasPrefix(item, "to|") || strings.HasPrefix(item, "both|")
}

func sees(item string) bool {
	return strings.HasPrefix(item, "from|") || strings.HasPrefix(item, "both|")
}

// sync handles what has come, once the server has handled what the client sent.
func (c *believer) sync() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	list, err := c.Settle(ctx)
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.w.step, c.JID(), err)
	}
	for _, st := range list {
		if q, ok := st.Child("jabber:iq:roster", "query"); ok && st.Type == "set" {
			c.push(q)
		} else if st.Kind == stanza.Presence {
			c.presence(st)
		}
	}
}

func (c *believer) push(q stanza.Element) {
	c.t.Helper()
	c.ver, c.pushed = q.Attr("ver"), true
	for i := range q.Children {
		it := &q.Children[i]
		who, is := it.Attr("jid"), canon(it)
		was, known := c.have[who]
		if c.have[who] = is; it.Attr("subscription") == "remove" {
			delete(c.have, who)
		}
		switch {
		case !c.w.strict || c.sets[who]:
		case known && was == is:
			c.bad("needless push of %s %s", who, is)
		case it.Attr("subscription") != "remove":
		case !known:
			c.bad("%s is removed, and was not there", who)
		case isSeen(was) && !c.w.blocked[[2]string{c.user, owner(who)}]:
			for full := range c.online {
				if strings.HasPrefix(full, who+"/") && !c.direct[full] {
					c.bad("%s is removed while %s is online", who, full)
				}
			}
		}
	}
}

func (c *believer) presence(st *stanza.Stanza) {
	c.t.Helper()
	from := st.From.String()
	if st.Type == "unavailable" {
		delete(c.online, from)
		delete(c.direct, from)
	}
	if st.Type != "" {
		return
	}
	show, _ := st.Child("", "show")
	was, known := c.online[from]
	c.online[from] = show.Text
	if !c.w.strict || owner(from) == c.user || c.direct[from] {
		return
	}
	if it := c.have[st.From.Bare().String()]; !isSeen(it) {
		c.bad("presence of %s, who is %q", from, it)
	}
	// RFC 6121 §3.1.3 and §3.1.5: an approval brings presence whether it is known or not. A gateway answers the bare JID.
	if known && was == show.Text && !strings.Contains(c.w.step, "subscribe") && st.From.Domain() == "office.localhost" {
		c.bad("presence of %s twice", from)
	}
}

// settle handles all that has come to all clients, once nothing more is on its way.
func (w *world) settle() {
	w.t.Helper()
	for range 4 { // so many accounts one stanza goes through, one after the other
		for _, n := range w.names {
			if c := w.clerks[n]; c != nil { // a roster stands behind all that was to be told before
				c.ask(stanza.Get, n+"@office.localhost", "<query xmlns='jabber:iq:roster' ver='-'/>")
				c.lines()
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(w.clients)) {
		w.clients[k].sync()
	}
	for _, c := range w.clients {
		clear(c.sets)
	}
}

// roster is what `doorway group preview` shows, with the version.
func (w *world) roster(n string) (m memory) {
	w.t.Helper()
	query, err := w.modules.roster.Query(jid.MustParse(n + "@office.localhost"))
	if err != nil {
		w.t.Fatal(err)
	}
	q, _ := stanza.New(stanza.IQ, "result", "", jid.JID{}, jid.JID{}, query).Child("jabber:iq:roster", "query")
	return memoryOf(q)
}

func memoryOf(q stanza.Element) memory {
	m := memory{map[string]string{}, q.Attr("ver")}
	for i := range q.Children {
		m.have[q.Children[i].Attr("jid")] = canon(&q.Children[i])
	}
	return m
}

// through are the labels of the groups through which a sees b, by the rule alone.
func through(s *people.State, a, b string) (labels []string) {
	var in func(id, who string) bool
	in = func(id, who string) bool {
		p := s.OfAccount(who)
		return slices.ContainsFunc(s.Group(id).Members, func(m people.Member) bool {
			inner, isGroup := m.Group()
			return p != nil && (string(m) == p.ID || m == people.Everybody && !p.Hidden || isGroup && in(inner, who))
		})
	}
	for g := range s.Groups() {
		shown := g.Visible.Everybody || g.Visible.Members && in(g.ID, a) ||
			slices.ContainsFunc(g.Visible.Groups, func(id string) bool { return in(id, a) })
		if shown && in(g.ID, b) {
			labels = append(labels, g.Label)
		}
	}
	return labels
}

// check holds what clients believe against the server, and the server against the rule.
func (w *world) check() {
	w.t.Helper()
	all := map[string]memory{}
	for n := range w.clerks {
		all[n] = w.roster(n)
	}
	may := map[[2]string]bool{} // viewer, owner
	for a := range all {
		for b := range all {
			if a != b {
				may[[2]string{a, b}] = w.pair(a, b, all)
			}
		}
	}
	for _, c := range w.clients {
		want := all[c.user]
		if !maps.Equal(c.have, want.have) {
			c.bad("has\n  %q\nand is to have\n  %q", c.have, want.have)
		}
		if c.pushed && c.ver != want.ver {
			c.bad("was pushed version %q, and has %q", c.ver, want.ver)
		}
		if c.pushed = false; c.show != "" {
			c.checkOnline(may)
		}
	}
}

// pair holds what a has of b against the groups and against what b has of a, and
// reports that a may see b's presence.
func (w *world) pair(a, b string, all map[string]memory) bool {
	w.t.Helper()
	it, back := all[a].have[b+"@office.localhost"], all[b].have[a+"@office.localhost"]
	labels := through(w.people.State(), a, b)
	for _, l := range labels {
		if !isSeen(it) || !slices.Contains(strings.Split(it[strings.LastIndex(it, "|")+1:], ","), l) {
			w.t.Errorf("%s: %s sees %s in %s and has %q", w.step, a, b, labels, it)
		}
	}
	if w.blocked[[2]string{a, b}] || w.blocked[[2]string{b, a}] || w.apart[[2]string{a, b}] {
		w.apart[[2]string{a, b}], w.apart[[2]string{b, a}] = true, true
		return false
	}
	shows := sees(back) || back == "" && len(labels) > 0
	if isSeen(it) != shows {
		w.t.Errorf("%s: %s has %s as %q, who has them as %q; through %s", w.step, a, b, it, back, labels)
	}
	return shows
}

// checkOnline holds who is online for a client against who is and may be seen.
func (c *believer) checkOnline(may map[[2]string]bool) {
	c.t.Helper()
	there := map[string]string{}
	for key, o := range c.w.clients {
		if o.show != "" {
			there[c.w.full(key)] = o.show
		}
	}
	for full, show := range there {
		pair := [2]string{c.user, owner(full)}
		if pair[0] == pair[1] || c.w.apart[pair] || c.direct[full] {
			continue
		}
		if got := c.online[full]; may[pair] && got != show || !may[pair] && got != "" {
			c.bad("has %s as %q, is to see them: %v %q; item %q", full, got, may[pair], show, c.have[owner(full)+"@office.localhost"])
		}
	}
	for full := range c.online {
		if there[full] == "" && strings.Contains(full, "@office.") && !c.w.blocked[[2]string{c.user, owner(full)}] {
			c.bad("%s has gone and is still there", full)
		}
	}
}
