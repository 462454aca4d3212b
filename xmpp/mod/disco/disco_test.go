package disco

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// friends has bob let alice see his presence, and nobody else anybody.
type friends struct{ xmpp.Subscriptions }

func (friends) SeesPresence(owner, viewer jid.JID) bool {
	return owner == viewer || owner.Local() == "bob" && viewer.Local() == "alice"
}

const (
	askInfo   = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
	askItems  = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
	infoNode  = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"
	itemsNode = "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>"
	refused   = "service-unavailable"
	notFound  = "item-not-found"
)

// gateway passes everything on.
type gateway struct{}

func (gateway) Handle(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) { return xmpp.Pass, nil }

func others(t *testing.T) extra {
	return func(h xmpp.Host) {
		h.Feature(xmpp.ToHost, "only:host")
		h.Feature(xmpp.ToDomain, "all:domains")
		h.Feature(xmpp.ToBare, "all:accounts")
		if err := h.Domain(xmpp.Domain{Name: "sms." + home, Handler: gateway{}, Features: []string{"jabber:iq:gateway", infoSpace},
			Identities: []xmpp.Identity{{Category: "gateway", Type: "sms", Name: "SMS & more"}}}); err != nil {
			t.Fatal(err)
		}
	}
}

const both = "<feature var='" + infoSpace + "'/><feature var='" + itemsSpace + "'/>"

func TestAnswers(t *testing.T) {
	account := "<query xmlns='" + infoSpace + "'><identity category='account' type='registered'/><feature var='all:accounts'/>" + both + "</query>"
	for _, x := range []struct{ from, to, payload, want string }{
		{"alice", home, askInfo, "<query xmlns='" + infoSpace + "'><identity category='server' type='im' name='doorway'/>" +
			"<feature var='only:host'/><feature var='all:domains'/>" + both + "</query>"},
		{"alice", home, askItems, "<query xmlns='" + itemsSpace + "'><item jid='sms.office.example' name='SMS &amp; more'/></query>"},
		{"alice", home, infoNode, notFound},
		{"alice", home, itemsNode, notFound},
		{"alice", "sms." + home, askInfo, "<query xmlns='" + infoSpace + "'><identity category='gateway' type='sms' name='SMS &amp; more'/>" +
			"<feature var='jabber:iq:gateway'/><feature var='" + infoSpace + "'/><feature var='all:domains'/><feature var='" + itemsSpace + "'/></query>"},
		{"alice", "sms." + home, askItems, "<query xmlns='" + itemsSpace + "'/>"},
		{"alice", "sms." + home, infoNode, notFound},
		// XEP-0030 §8: permission, and accounts that do not exist.
		{"alice", "bob@" + home, askInfo, account},
		{"alice", "bob@" + home, askItems, "<query xmlns='" + itemsSpace + "'/>"},
		{"alice", "bob@" + home, infoNode, notFound},
		{"alice", "bob@" + home, itemsNode, notFound},
		{"alice", "alice@" + home, askInfo, account},
		{"alice", "alice@" + home, askItems, "<query xmlns='" + itemsSpace + "'/>"},
		{"carol", "bob@" + home, askInfo, refused},
		{"carol", "bob@" + home, infoNode, refused},
		{"carol", "nobody@" + home, askInfo, refused},
		{"carol", "nobody@" + home, infoNode, refused},
		{"carol", "bob@" + home, askItems, "<query xmlns='" + itemsSpace + "'/>"},
		{"carol", "bob@" + home, itemsNode, "<query xmlns='" + itemsSpace + "'/>"},
		{"carol", "nobody@" + home, askItems, "<query xmlns='" + itemsSpace + "'/>"},
		{"carol", "nobody@" + home, itemsNode, "<query xmlns='" + itemsSpace + "'/>"},
		{"carol", "bob@" + home + "/gone", askInfo, refused},
	} {
		s, c := bind(t, host(t, New(friends{}), others(t)), x.from)
		if got := ask(t, s, c, x.to, x.payload); got != x.want {
			t.Errorf("%s asks %s %s:\ngot  %s\nwant %s", x.from, x.to, x.payload, got, x.want)
		}
	}
}

func TestWithoutToIsTheOwnAccount(t *testing.T) {
	s, c := bind(t, host(t, New(friends{})), "carol")
	st, err := stanza.Parse("<iq type='get' id='1'>" + askInfo + "</iq>")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Handle(context.Background(), st); err != nil {
		t.Fatal(err)
	}
	if len(c.got) != 1 || !strings.Contains(c.got[0].Inner(), "type='registered'") {
		t.Errorf("got %v", c.got)
	}
}

// TestResourcesAreGuarded: a disco request reaches a resource only from those
// who may see its presence; the answer is that of an absent resource.
func TestResourcesAreGuarded(t *testing.T) {
	r := host(t, New(friends{}))
	_, bob := bind(t, r, "bob")
	alice, ac := bind(t, r, "alice")
	carol, cc := bind(t, r, "carol")
	for _, q := range []string{askInfo, askItems, infoNode} {
		if got := ask(t, carol, cc, "bob@"+home+"/desk", q); got != refused {
			t.Errorf("carol hears %s", got)
		}
		if got := ask(t, carol, cc, "bob@"+home+"/gone", q); got != refused {
			t.Errorf("carol hears %s", got)
		}
	}
	if len(bob.got) > 0 {
		t.Fatalf("bob got %v", bob.got)
	}
	send := func(xml string) {
		t.Helper()
		st, err := stanza.Parse(xml)
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Handle(context.Background(), st); err != nil {
			t.Fatal(err)
		}
	}
	send("<iq type='get' id='1' to='bob@office.example/desk'>" + askInfo + "</iq>")
	send("<iq type='result' id='2' to='bob@office.example/desk'>" + askInfo + "</iq>")
	if len(bob.got) != 2 || len(ac.got) != 0 {
		t.Errorf("bob got %v, alice %v", bob.got, ac.got)
	}
	// Other requests are not the guard's business, and the server may ask.
	st, err := stanza.Parse("<iq type='get' id='3' from='office.example' to='bob@office.example/desk'>" + askInfo + "</iq>")
	if err != nil {
		t.Fatal(err)
	}
	r.Send(context.Background(), st, nil)
	if len(bob.got) != 3 {
		t.Error("the server's request was kept from bob")
	}
}
