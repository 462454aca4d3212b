package ping

import (
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
)

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
		r := host(t, New(friends{}))
		s, c := bind(t, r, x.from)
		if got := ask(t, s, c, x.to, "<ping xmlns='urn:xmpp:ping'/>"); got != x.want {
			t.Errorf("%s pings %s: %q, want %q", x.from, x.to, got, x.want)
		}
	}
	s, c := bind(t, host(t, New(nil)), "alice")
	if got := ask(t, s, c, "bob@"+home, "<ping xmlns='urn:xmpp:ping'/>"); got != nothing {
		t.Errorf("without subscriptions bob answers %q", got)
	}
}
