package roster_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
)

// TestCrowd has four people with two resources each do at random everything
// that changes subscriptions, at the same time. Nothing hangs, memory and disk
// agree, and from whatever came of it people can become friends.
func TestCrowd(t *testing.T) {
	for seed := range uint64(20) {
		play(t, func(t *testing.T, o *office) {
			o.accounts["dave"] = true
			people := []string{alice, bob, "carol@office.example", "dave@office.example"}
			var clients sync.WaitGroup
			for i, p := range people {
				for _, resource := range []string{"desk", "phone"} {
					c := o.online(p + "/" + resource)
					random := rand.New(rand.NewPCG(seed, uint64(i)))
					clients.Go(func() {
						for range 60 {
							to := people[random.IntN(len(people))]
							switch n := random.IntN(10); n {
							case 0:
								c.Say("<presence type='unavailable'/>", "<presence/>")
							case 1:
								c.Say(setXML("r", "<item jid='"+to+"' subscription='remove'/>"))
							case 2, 3:
								c.Say(sub([]string{"unsubscribe", "unsubscribed"}[n-2], to))
							case 4, 5, 6:
								c.Say(sub("subscribe", to))
							default:
								c.Say(sub("subscribed", to))
							}
						}
					})
				}
			}
			clients.Wait()
			o.peer.Recv()
			pairs := func(f func(a, b string)) {
				for _, a := range people {
					for _, b := range people {
						if a != b {
							f(a, b)
						}
					}
				}
			}
			live := map[string]string{}
			pairs(func(a, b string) { live[a+b] = o.roster.Subscription(jid.MustParse(a), jid.MustParse(b)) })
			o.crash()
			pairs(func(a, b string) {
				if got := o.roster.Subscription(jid.MustParse(a), jid.MustParse(b)); got != live[a+b] {
					t.Errorf("seed %d: %s had %q for %s, and has %q after the restart", seed, a, live[a+b], b, got)
				}
			})
			// Stanzas that cross may leave two sides at odds, as they carry no
			// mark of what they answer. Asking again mends that.
			online := map[string]*routertest.Client{}
			for _, p := range people {
				online[p] = o.online(p + "/desk")
			}
			pairs(func(a, b string) {
				online[a].Say(sub("subscribe", b))
				online[a].Recv()
				online[b].Say(sub("subscribed", a))
				online[b].Recv()
			})
			pairs(func(a, b string) {
				if got := o.roster.Subscription(jid.MustParse(a), jid.MustParse(b)); got != "both" {
					t.Errorf("seed %d: %s has %q for %s in the end", seed, a, got, b)
				}
			})
		})
	}
}
