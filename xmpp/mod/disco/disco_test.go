package disco

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const home = routertest.Domain

func open(t *testing.T, more ...xmpp.Module) *routertest.House {
	t.Helper()
	return routertest.Open(t, router.Config{}, append(more, New(friends{}))...)
}

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

func others(t *testing.T) routertest.Module {
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
		c := open(t, others(t)).Login(x.from + "@" + home + "/desk")
		if got := c.Ask("get", x.to, x.payload); got != x.want {
			t.Errorf("%s asks %s %s:\ngot  %s\nwant %s", x.from, x.to, x.payload, got, x.want)
		}
		c.Want("nothing else")
	}
}

func TestWithoutToIsTheOwnAccount(t *testing.T) {
	c := open(t).Login("carol@office.example/desk")
	if got := c.Ask("get", "", askInfo); !strings.Contains(got, "type='registered'") {
		t.Errorf("got %s", got)
	}
	c.Want("nothing else")
}

// TestResourcesAreGuarded: a disco request reaches a resource only from those
// who may see its presence; the answer is that of an absent resource.
func TestResourcesAreGuarded(t *testing.T) {
	h := open(t)
	alice, bob, carol := h.Login("alice@office.example/desk"), h.Login("bob@office.example/desk"), h.Login("carol@office.example/desk")
	for _, q := range []string{askInfo, askItems, infoNode} {
		if got := carol.Ask("get", "bob@"+home+"/desk", q); got != refused {
			t.Errorf("carol hears %s", got)
		}
		if got := carol.Ask("get", "bob@"+home+"/gone", q); got != refused {
			t.Errorf("carol hears %s", got)
		}
	}
	bob.Want("of carol's")
	carol.Want("nothing else")
	alice.Say("<iq type='get' id='1' to='bob@office.example/desk'>"+askInfo+"</iq>", "<iq type='result' id='2' to='bob@office.example/desk'>"+askInfo+"</iq>")
	bob.Want("of alice's", "get 1 alice@office.example/desk > bob@office.example/desk "+askInfo,
		"result 2 alice@office.example/desk > bob@office.example/desk "+askInfo)
	alice.Want("no answer of the server's")
	// Other requests are not the guard's business, and the server may ask.
	h.Route("<iq type='get' id='3' from='office.example' to='bob@office.example/desk'>" + askInfo + "</iq>")
	bob.Want("of the server's", "get 3 office.example > bob@office.example/desk "+askInfo)
}
