package pep_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/pep"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

// wanting has every client want one node, and nobody blocked.
type wanting struct{ nodes []string }

func (wanting) Has(jid.JID, string) bool                  { return true }
func (w wanting) Notify(xmpp.Session) []string            { return w.nodes }
func (wanting) Watch(func(context.Context, xmpp.Session)) {}
func (wanting) Blocked(_, _ jid.JID) bool                 { return false }

// BenchmarkPublish is a publication that is told to 100 contacts who are
// online, from the request to the streams' queues; without contacts it is what
// it costs itself. The store is in memory.
func BenchmarkPublish(b *testing.B) {
	for _, contacts := range []int{0, 100} {
		b.Run(fmt.Sprintf("contacts=%d", contacts), func(b *testing.B) {
			subs := &who{sees: map[string]bool{}, people: []string{alice}}
			people := routertest.Accounts{"alice": true}
			for i := range contacts {
				p := fmt.Sprintf("p%d@%s", i, routertest.Domain)
				people[fmt.Sprint("p", i)] = true
				subs.people = append(subs.people, p)
				subs.friends(alice, p)
			}
			s := pubsub.New(pubsub.Config{Rules: subs})
			m := pep.New(pep.Config{Service: s, Subscriptions: subs, Blocker: wanting{}, Caps: wanting{[]string{nick}}})
			h := routertest.Open(b, router.Config{Accounts: people}, routertest.Available(), m)
			for _, p := range subs.people[1:] {
				h.Bind(p+"/desk", &routertest.Stream{Quiet: true}, "<presence/>")
			}
			a := h.Bind(alice+"/desk", &routertest.Stream{Quiet: true})
			st := routertest.Parse(b, "<iq type='set' id='1'>"+item(nick, "current", "Al")+"</iq>")
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Session.Handle(context.Background(), st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLogin is what a resource gets that comes online and wants three
// nodes, of which each of 200 contacts has one item: all in memory, as in the
// morning when everybody comes.
func BenchmarkLogin(b *testing.B) {
	subs := &who{sees: map[string]bool{}, people: []string{alice}}
	people := routertest.Accounts{"alice": true}
	for i := range 200 {
		p := fmt.Sprintf("p%d@%s", i, routertest.Domain)
		people[fmt.Sprint("p", i)] = true
		subs.people = append(subs.people, p)
		subs.friends(alice, p)
	}
	nodes := []string{nick, "urn:xmpp:avatar:metadata", "urn:xmpp:omemo:2:devices"}
	var told func(context.Context, xmpp.Session)
	s := pubsub.New(pubsub.Config{Rules: subs})
	m := pep.New(pep.Config{Service: s, Subscriptions: subs, Blocker: wanting{}, Caps: watching{wanting{nodes}, &told}})
	h := routertest.Open(b, router.Config{Accounts: people}, routertest.Available(), m)
	for _, p := range subs.people[1:] {
		for _, n := range nodes {
			if err := m.Publish(context.Background(), jid.MustParse(p), n, "current", "<x xmlns='urn:x'>"+strings.Repeat("x", 100)+"</x>"); err != nil {
				b.Fatal(err)
			}
		}
	}
	a := h.Bind(alice+"/desk", &routertest.Stream{Quiet: true}, "<presence/>")
	gone := routertest.Parse(b, "<presence type='unavailable'/>")
	here := routertest.Parse(b, "<presence/>")
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Session.Handle(context.Background(), gone); err != nil {
			b.Fatal(err)
		}
		if err := a.Session.Handle(context.Background(), here); err != nil {
			b.Fatal(err)
		}
		told(context.Background(), a.Session)
	}
}

// watching hands on what Watch is given.
type watching struct {
	wanting
	told *func(context.Context, xmpp.Session)
}

func (w watching) Watch(f func(context.Context, xmpp.Session)) { *w.told = f }

// BenchmarkMemory is what 1,000 accounts take in memory that use OMEMO of both
// ages with two devices each, all of them just read; and with a cache
// that holds few of them.
func BenchmarkMemory(b *testing.B) {
	for name, cache := range map[string]int{"cache=4MiB": 0, "cache=64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			store := routertest.NewStore()
			users := make([]jid.JID, 1000)
			s := pubsub.New(pubsub.Config{Rules: &who{}})
			routertest.Open(b, router.Config{Store: store}, routertest.Module(s.Open))
			for i := range users {
				users[i] = jid.MustParse(fmt.Sprintf("p%d@%s", i, routertest.Domain))
				for _, n := range []struct{ node, id, payload string }{
					{"eu.siacs.conversations.axolotl.devicelist", "current", "<list xmlns='eu.siacs.conversations.axolotl'><device id='1'/><device id='2'/></list>"},
					{"eu.siacs.conversations.axolotl.bundles:1", "current", bundle}, {"eu.siacs.conversations.axolotl.bundles:2", "current", bundle},
					{"urn:xmpp:omemo:2:devices", "current", "<devices xmlns='urn:xmpp:omemo:2'><device id='1'/><device id='2'/></devices>"},
					{"urn:xmpp:omemo:2:bundles", "1", bundle}, {"urn:xmpp:omemo:2:bundles", "2", bundle},
				} {
					if err := s.Publish(context.Background(), users[i], n.node, n.id, n.payload); err != nil {
						b.Fatal(err)
					}
				}
			}
			heap := func() int64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			s = nil
			before := heap()
			for b.Loop() {
				s = pubsub.New(pubsub.Config{Rules: &who{}, Cache: cache})
				routertest.Open(b, router.Config{Store: store}, routertest.Module(s.Open))
				for _, u := range users {
					if err := s.LastItems(u, u, true, func(string) bool { return true }, func(*pubsub.Event) {}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(heap()-before)/float64(len(users)), "B/account")
			runtime.KeepAlive(s)
		})
	}
}

// bundle is about as large as one of OMEMO with 100 keys.
var bundle = "<bundle xmlns='urn:xmpp:omemo:2'>" + strings.Repeat("<pk id='1'>"+strings.Repeat("k", 44)+"</pk>", 100) + "</bundle>"
