package roster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// group is a shared group as an administrator keeps it. Words of members and
// visible are localparts or addresses; in visible also "all" and "members".
type group struct {
	label            string
	members, visible []string
}

// groups is an emulated directory of groups. One goroutine edits it.
type groups struct {
	people []string // local accounts
	names  map[string]string
	list   map[string]*group
	watch  []func(context.Context, xmpp.SharedChange)
	items  atomic.Pointer[table]
	known  map[string]*xmpp.SharedItem // by what they say, so that equal ones are one
}

// table is the computed items: user, contact.
type table map[jid.JID]map[jid.JID]*xmpp.SharedItem

var _ xmpp.SharedRoster = (*groups)(nil)

// newGroups knows alice, bob, carol and dave.
func newGroups() *groups {
	g := &groups{people: []string{"alice", "bob", "carol", "dave"}, names: map[string]string{}, list: map[string]*group{},
		known: map[string]*xmpp.SharedItem{}}
	t := g.compute()
	g.items.Store(&t)
	return g
}

// with is newGroups with one group.
func with(id, label, members, visible string) *groups {
	return newGroups().add(id, label, members, visible)
}

func (g *groups) add(id, label, members, visible string) *groups {
	g.edit(func() { g.list[id] = &group{label, strings.Fields(members), strings.Fields(visible)} })
	return g
}

// edit makes one change and tells the watchers.
func (g *groups) edit(f func()) {
	f()
	c := change{*g.items.Load(), g.compute()}
	g.items.Store(&c.after)
	for _, w := range g.watch {
		w(context.Background(), c)
	}
}

func address(word string) jid.JID {
	if !strings.Contains(word, "@") {
		word += "@office.example"
	}
	return jid.MustParse(word)
}

// shows reports that a group is visible to somebody.
func (gr *group) shows(viewer jid.JID) bool {
	for _, v := range gr.visible {
		if v == "all" || v == "members" && gr.has(viewer) || v != "members" && address(v) == viewer {
			return true
		}
	}
	return false
}

func (gr *group) has(j jid.JID) bool {
	return slices.ContainsFunc(gr.members, func(m string) bool { return address(m) == j })
}

// labels are those of the groups through which viewer sees contact.
func (g *groups) labels(viewer, contact jid.JID) []string {
	var l []string
	for _, gr := range g.list {
		if viewer != contact && gr.shows(viewer) && gr.has(contact) && !slices.Contains(l, gr.label) {
			l = append(l, gr.label)
		}
	}
	slices.Sort(l)
	return l
}

func (g *groups) compute() table {
	t := table{}
	for _, p := range g.people {
		user := address(p)
		t[user] = map[jid.JID]*xmpp.SharedItem{}
		for _, gr := range g.list {
			for _, m := range gr.members {
				contact := address(m)
				labels := g.labels(user, contact)
				if len(labels) == 0 {
					continue
				}
				sub := "to"
				if len(g.labels(contact, user)) > 0 {
					sub = "both"
				}
				t[user][contact] = g.item(contact, g.names[m], sub, labels)
			}
		}
	}
	return t
}

func (g *groups) item(contact jid.JID, name, sub string, labels []string) *xmpp.SharedItem {
	var w xmlstream.Writer
	w.Start("", "item", "jid", contact.String(), "name", name, "subscription", sub)
	for _, l := range labels {
		w.Start("", "group").Text(l).End()
	}
	xml := strings.ReplaceAll(w.End().String(), `"`, "'")
	if g.known[xml] == nil {
		g.known[xml] = &xmpp.SharedItem{Contact: contact, Name: name, Groups: labels, Subscription: sub, XML: xml}
	}
	return g.known[xml]
}

func sorted(m map[jid.JID]*xmpp.SharedItem) []*xmpp.SharedItem {
	return slices.SortedFunc(maps.Values(m), func(a, b *xmpp.SharedItem) int {
		return strings.Compare(a.Contact.String(), b.Contact.String())
	})
}

func (g *groups) Version(user jid.JID) string {
	var all strings.Builder
	for _, it := range sorted((*g.items.Load())[user]) {
		all.WriteString(it.XML)
	}
	if all.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("%x", all.String())
}

func (g *groups) Items(user jid.JID, f func(*xmpp.SharedItem) bool) {
	for _, it := range sorted((*g.items.Load())[user]) {
		if !f(it) {
			return
		}
	}
}

func (g *groups) Item(user, contact jid.JID) *xmpp.SharedItem {
	return (*g.items.Load())[user][contact]
}

func (g *groups) Sees(viewer, owner jid.JID) bool { return len(g.labels(viewer, owner)) > 0 }

func (g *groups) Known(user jid.JID, f func(*xmpp.SharedItem) bool, viewer func(jid.JID)) {
	t := *g.items.Load()
	for _, it := range sorted(t[user]) {
		if !f(it) {
			return
		}
	}
	for _, p := range g.people {
		if t[address(p)][user] != nil && t[user][address(p)] == nil {
			viewer(address(p))
		}
	}
}

func (g *groups) Watch(f func(context.Context, xmpp.SharedChange)) { g.watch = append(g.watch, f) }

// change is the difference of two tables.
type change struct{ before, after table }

func (c change) Users(f func(jid.JID)) {
	for _, user := range slices.SortedFunc(maps.Keys(c.after), func(a, b jid.JID) int { return strings.Compare(a.String(), b.String()) }) {
		differ := false
		c.Items(user, func(jid.JID, *xmpp.SharedItem, *xmpp.SharedItem) { differ = true })
		if differ {
			f(user)
		}
	}
}

func (c change) Items(user jid.JID, f func(jid.JID, *xmpp.SharedItem, *xmpp.SharedItem)) {
	all := maps.Clone(c.before[user])
	if all == nil {
		all = map[jid.JID]*xmpp.SharedItem{}
	}
	maps.Copy(all, c.after[user])
	for _, it := range sorted(all) {
		if b, a := c.before[user][it.Contact], c.after[user][it.Contact]; a != b {
			f(it.Contact, b, a)
		}
	}
}
