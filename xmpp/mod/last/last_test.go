package last_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/last"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	carol = "carol@office.example"
	query = "<query xmlns='jabber:iq:last'/>"
)

// friends has bob see alice and nobody else anybody.
type friends struct{ xmpp.Subscriptions }

func (friends) SeesPresence(owner, viewer jid.JID) bool {
	return owner.Local() == "alice" && viewer.Local() == "bob"
}

func seconds(n string) string { return "<query xmlns='jabber:iq:last' seconds='" + n + "'/>" }

func TestLastActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		m := last.New(friends{}, time.Now)
		o := routertest.Open(t, router.Config{Store: store}, routertest.Available(), m)
		a, b, c := o.Login(alice+"/desk"), o.Login(bob+"/desk"), o.Login(carol+"/desk")
		check := func(what string, x *routertest.Client, to, want string) {
			t.Helper()
			if got := x.Ask("get", to, query); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		wait := func(d time.Duration) { <-time.After(d) }
		wait(90 * time.Second)
		check("uptime", c, routertest.Domain, seconds("90"))
		check("never online", b, alice, "item-not-found")
		check("not allowed", c, alice, "forbidden")
		check("no such user", c, "nobody@office.example", "forbidden")
		check("own account", c, "", "item-not-found")
		a.Say("<presence/>")
		check("online", b, alice, seconds("0"))
		phone := o.Login(alice+"/phone", "<presence/>")
		a.Say("<presence type='unavailable'><status>gone &amp; away</status></presence>")
		check("one left", b, alice, seconds("0"))
		wait(10 * time.Second)
		phone.Say("<presence type='unavailable'><status>all gone &amp; away</status></presence>")
		wait(20 * time.Second)
		check("said so", b, alice, "<query xmlns='jabber:iq:last' seconds='20'>all gone &amp; away</query>")
		phone.Leave()
		check("the end of the stream is no news", b, alice, "<query xmlns='jabber:iq:last' seconds='20'>all gone &amp; away</query>")
		a.Say("<presence/>")
		check("back", b, alice, seconds("0"))
		a.Leave()
		wait(7 * time.Second)
		check("lost", b, alice, seconds("7"))
		if store.Len() != 0 {
			t.Error("written for an event")
		}

		// Written now and then, and at the stop.
		stop := o.Go(m.Run)
		store.Fail(errors.New("disk full"))
		wait(6 * time.Minute)
		synctest.Wait()
		check("kept", b, alice, seconds("367"))
		store.Fail(nil)
		wait(6 * time.Minute)
		synctest.Wait()
		if store.Len() != 1 {
			t.Errorf("%d rows", store.Len())
		}
		check("from disk", b, alice, seconds("727"))
		b.Leave()
		stop()
		if store.Len() != 2 {
			t.Errorf("at the stop: %d rows", store.Len())
		}
		if err := m.Purge(jid.MustParse(alice)); err != nil || store.Len() != 1 {
			t.Errorf("purge: %v, %d rows", err, store.Len())
		}
	})
}

// TestResources: XEP-0012 §4.
func TestResources(t *testing.T) {
	o := routertest.Open(t, router.Config{}, routertest.Available(), last.New(friends{}, time.Now))
	a, b, c := o.Login(alice+"/desk", "<presence/>"), o.Login(bob+"/desk"), o.Login(carol+"/desk")
	if got := c.Ask("get", alice+"/desk", query); got != "forbidden" {
		t.Errorf("carol: %s", got)
	}
	b.Say("<iq type='get' id='1' to='" + alice + "/desk'>" + query + "</iq>")
	a.Want("bob may ask", "get 1 "+bob+"/desk > "+alice+"/desk "+query)
	a.Say("<iq type='result' id='1' to='" + bob + "/desk'>" + seconds("5") + "</iq>")
	b.Want("answer", "result 1 "+alice+"/desk > "+bob+"/desk "+seconds("5"))
}
