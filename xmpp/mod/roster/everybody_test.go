package roster_test

import (
	"context"
	"fmt"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// everybody is a group of n people, named p00000 and on, who all see each other: one list that all share.
type everybody struct {
	items   []*xmpp.SharedItem // in order of contacts
	by      map[jid.JID]int
	version int
	watch   func(context.Context, xmpp.SharedChange)
}

var _ xmpp.SharedRoster = (*everybody)(nil)

func newEverybody(n int) (*everybody, routertest.Accounts) {
	e, accounts := &everybody{by: map[jid.JID]int{}}, routertest.Accounts{}
	for i := range n {
		local := fmt.Sprintf("p%05d", i)
		accounts[local] = true
		j := jid.MustParse(local + "@" + routertest.Domain)
		e.by[j] = i
		e.items = append(e.items, itemOf(j, fmt.Sprintf("Person Number %d", i)))
	}
	return e, accounts
}

func itemOf(j jid.JID, name string) *xmpp.SharedItem {
	return &xmpp.SharedItem{Contact: j, Name: name, Groups: []string{"Everybody"}, Subscription: "both",
		XML: "<item jid='" + j.String() + "' name='" + name + "' subscription='both'><group>Everybody</group></item>"}
}

func (e *everybody) Version(user jid.JID) string {
	if _, ok := e.by[user]; !ok {
		return ""
	}
	return fmt.Sprint(e.version)
}

func (e *everybody) Items(user jid.JID, f func(*xmpp.SharedItem) bool) {
	me, ok := e.by[user]
	for i, it := range e.items {
		if ok && i != me && !f(it) {
			return
		}
	}
}

func (e *everybody) Item(user, contact jid.JID) *xmpp.SharedItem {
	if i, ok := e.by[contact]; ok && e.Sees(user, contact) {
		return e.items[i]
	}
	return nil
}

func (e *everybody) Sees(viewer, owner jid.JID) bool {
	_, a := e.by[viewer]
	_, b := e.by[owner]
	return a && b && viewer != owner
}

func (e *everybody) Known(user jid.JID, f func(*xmpp.SharedItem) bool, _ func(jid.JID)) {
	e.Items(user, f)
}

func (e *everybody) Watch(f func(context.Context, xmpp.SharedChange)) { e.watch = f }

// rename is one edit that everybody sees but the one who is renamed.
func (e *everybody) rename(i int) {
	old := e.items[i]
	e.version++
	e.items[i] = itemOf(old.Contact, fmt.Sprintf("Renamed %d", e.version))
	e.watch(context.Background(), renamed{e, old, e.items[i]})
}

type renamed struct {
	e             *everybody
	before, after *xmpp.SharedItem
}

func (r renamed) Users(f func(jid.JID)) {
	for _, it := range r.e.items {
		if it.Contact != r.after.Contact {
			f(it.Contact)
		}
	}
}

func (r renamed) Items(user jid.JID, f func(jid.JID, *xmpp.SharedItem, *xmpp.SharedItem)) {
	if user != r.after.Contact {
		f(r.after.Contact, r.before, r.after)
	}
}

// openEverybody is a server with the first of n people online, on quiet streams.
func openEverybody(t testing.TB, n, online int) (*everybody, *routertest.House, *roster.Module) {
	e, accounts := newEverybody(n)
	r := roster.New(e)
	block := blocking.New(r)
	h := routertest.Open(t, router.Config{Accounts: accounts}, r, block, presence.New(block.Subscriptions()))
	for _, it := range e.items[:online] {
		h.Bind(it.Contact.String()+"/desk", &routertest.Stream{Quiet: true}, getXML, "<presence/>")
	}
	return e, h, r
}

// TestManyOnlineGetOneRosterAndOnePresenceEach is acceptance case 15.
func TestManyOnlineGetOneRosterAndOnePresenceEach(t *testing.T) {
	_, h, _ := openEverybody(t, 200, 50)
	reads := h.Store.Reads()
	c := h.Login("p00199@"+routertest.Domain+"/desk", getXML, "<presence/>")
	rosters, items, presences := 0, 0, 0
	for _, st := range c.Take() {
		switch {
		case st.Kind == stanza.IQ:
			rosters++
			q, _ := st.Child("jabber:iq:roster", "query")
			items += len(q.Children)
		case st.From.Bare() != c.Session.JID().Bare():
			presences++
		}
	}
	if rosters != 1 || items != 199 || presences != 50 {
		t.Errorf("%d rosters with %d items, %d presences of others; want 1, 199 and 50", rosters, items, presences)
	}
	if n := h.Store.Reads() - reads; n > 4 {
		t.Errorf("a login with 199 contacts read the disk %d times", n)
	}
}

// crowdSize is how many people the budgets are for.
const crowdSize = 2000

// BenchmarkShared has 2,000 people who all see each other and are online, on
// streams that keep nothing: roster, blocking, presence and router.
func BenchmarkShared(b *testing.B) {
	e, h, _ := openEverybody(b, crowdSize, crowdSize-1)
	me := e.items[crowdSize-1].Contact.String() + "/desk"
	login := func() *routertest.Client {
		return h.Bind(me, &routertest.Stream{Quiet: true}, getXML, "<presence/>")
	}
	// The roster, the presence of all, and one's own to all of them.
	b.Run("login", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := login()
			b.StopTimer()
			c.Leave()
			b.StartTimer()
		}
	})
	c := login()
	// One changes presence.
	b.Run("presence", func(b *testing.B) {
		st := stanza.New(stanza.Presence, "", "", jid.JID{}, jid.JID{}, "<show>away</show><priority>5</priority>")
		reads := h.Store.Reads()
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Session.Handle(context.Background(), st); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/crowdSize, "ns/recipient")
		if h.Store.Reads() != reads {
			b.Error("presence read the disk")
		}
	})
	// One is renamed: a push to each.
	b.Run("edit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.rename(7)
		}
	})
}
