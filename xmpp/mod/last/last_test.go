package last_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/last"
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

// fail has every write fail with err, none with nil.
func fail(m *memory, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func rows(m *memory) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

func TestLastActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		m := last.New(friends{}, time.Now)
		o := open(t, store, extra(available), m)
		a, b, c := o.login(alice+"/desk"), o.login(bob+"/desk"), o.login(carol+"/desk")
		check := func(what string, x *client, to, want string) {
			t.Helper()
			if got := x.ask("get", to, query); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		wait := func(d time.Duration) { <-time.After(d) }
		wait(90 * time.Second)
		check("uptime", c, home, seconds("90"))
		check("never online", b, alice, "item-not-found")
		check("not allowed", c, alice, "forbidden")
		check("no such user", c, "nobody@office.example", "forbidden")
		check("own account", c, "", "item-not-found")
		a.send("<presence/>")
		check("online", b, alice, seconds("0"))
		phone := o.login(alice+"/phone", "<presence/>")
		a.send("<presence type='unavailable'><status>gone &amp; away</status></presence>")
		check("one left", b, alice, seconds("0"))
		wait(10 * time.Second)
		phone.send("<presence type='unavailable'><status>all gone &amp; away</status></presence>")
		wait(20 * time.Second)
		check("said so", b, alice, "<query xmlns='jabber:iq:last' seconds='20'>all gone &amp; away</query>")
		phone.s.Unbind(t.Context(), nil)
		check("the end of the stream is no news", b, alice, "<query xmlns='jabber:iq:last' seconds='20'>all gone &amp; away</query>")
		a.send("<presence/>")
		check("back", b, alice, seconds("0"))
		a.s.Unbind(t.Context(), nil)
		wait(7 * time.Second)
		check("lost", b, alice, seconds("7"))
		if rows(store) != 0 {
			t.Error("written for an event")
		}

		// Written now and then, and at the stop.
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		fail(store, errors.New("disk full"))
		wait(6 * time.Minute)
		synctest.Wait()
		check("kept", b, alice, seconds("367"))
		fail(store, nil)
		wait(6 * time.Minute)
		synctest.Wait()
		if rows(store) != 1 {
			t.Errorf("%d rows", rows(store))
		}
		check("from disk", b, alice, seconds("727"))
		b.s.Unbind(t.Context(), nil)
		stop()
		if err := <-done; err != nil || rows(store) != 2 {
			t.Errorf("at the stop: %v, %d rows", err, rows(store))
		}
		if err := m.Purge(jid.MustParse(alice)); err != nil || rows(store) != 1 {
			t.Errorf("purge: %v, %d rows", err, rows(store))
		}
	})
}

// TestResources: XEP-0012 §4.
func TestResources(t *testing.T) {
	o := open(t, nil, extra(available), last.New(friends{}, time.Now))
	a, b, c := o.login(alice+"/desk", "<presence/>"), o.login(bob+"/desk"), o.login(carol+"/desk")
	if got := c.ask("get", alice+"/desk", query); got != "forbidden" {
		t.Errorf("carol: %s", got)
	}
	b.send("<iq type='get' id='1' to='" + alice + "/desk'>" + query + "</iq>")
	a.want("bob may ask", "get 1 "+bob+"/desk > "+alice+"/desk "+query)
	a.send("<iq type='result' id='1' to='" + bob + "/desk'>" + seconds("5") + "</iq>")
	b.want("answer", "result 1 "+alice+"/desk > "+bob+"/desk "+seconds("5"))
}
