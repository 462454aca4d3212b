package ping

import (
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const home = routertest.Domain

// friends has bob let alice see his presence, and nobody else anybody.
type friends struct{ xmpp.Subscriptions }

func (friends) SeesPresence(owner, viewer jid.JID) bool {
	return owner == viewer || owner.Local() == "bob" && viewer.Local() == "alice"
}

func TestPing(t *testing.T) {
	const nothing = "service-unavailable"
	for _, x := range []struct{ from, to, want string }{
		{"alice", home, ""},
		{"alice", "alice@" + home, ""},
		{"alice", "bob@" + home, ""},
		// A stranger learns nothing about who exists.
		{"carol", "bob@" + home, nothing},
		{"carol", "nobody@" + home, nothing},
		{"alice", "bob@" + home + "/gone", nothing},
	} {
		c := routertest.Open(t, router.Config{}, New(friends{})).Login(x.from + "@" + home + "/desk")
		if got := c.Ask("get", x.to, "<ping xmlns='urn:xmpp:ping'/>"); got != x.want {
			t.Errorf("%s pings %s: %q, want %q", x.from, x.to, got, x.want)
		}
		c.Want("nothing else")
	}
	c := routertest.Open(t, router.Config{}, New(nil)).Login("alice@" + home + "/desk")
	if got := c.Ask("get", "bob@"+home, "<ping xmlns='urn:xmpp:ping'/>"); got != nothing {
		t.Errorf("without subscriptions bob answers %q", got)
	}
}
