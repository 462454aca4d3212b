package pep_test

import (
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/routertest"
)

// TestPublish: it comes to the account's other resources and to contacts that
// want it, and to nobody else.
func TestPublish(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	a, a2 := o.online(alice+"/1", nick), o.online(alice+"/2", nick)
	b, deaf, stranger := o.online(bob+"/1", nick), o.online(bob+"/2", "urn:other"), o.online(carol+"/1", nick)
	idle := o.Login(bob + "/idle")
	got := good(a, "set", "", item(nick, "1", "Al"))
	if want := "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + nick + "'><item id='1'/></publish></pubsub>"; got != want {
		t.Errorf("got %s", got)
	}
	for _, c := range []*routertest.Client{a, a2, b} {
		c.Want("told", "headline "+alice+" > "+c.Session.JID().String()+" items "+nick+" item=1(x:Al)")
	}
	for _, c := range []*routertest.Client{deaf, stranger, idle} {
		c.Want("not told")
	}
	// One id for each item that has none, and its result says which.
	got = good(a, "set", "", wrap("<publish node='"+nick+"'><item><x xmlns='urn:x'/></item></publish>"))
	if id := ids(got); len(id) < 20 || id == "1" {
		t.Errorf("id %q in %s", id, got)
	}
	// One item is kept; the last one.
	if got := good(a, "get", "", wrap("<items node='"+nick+"'/>")); strings.Count(got, "<item ") != 1 || strings.Contains(got, "id='1'") {
		t.Errorf("items: %s", got)
	}
}

// TestLast: who comes later gets the last items, once.
func TestLast(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	o.subs.sees[alice+" "+carol] = true // carol sees alice, not the other way round
	a := o.Login(alice+"/1", "<presence/>")
	good(a, "set", "", item(nick, "1", "Al"))
	good(a, "set", "", with("urn:never", "1", "x", "send_last_published_item=never"))
	good(a, "set", "", with("urn:sub", "1", "x", "send_last_published_item=on_sub"))
	good(a, "set", "", with("urn:closed", "1", "x", "access_model=whitelist"))
	all := []string{nick, "urn:never", "urn:sub", "urn:closed", "urn:none"}
	a2 := o.online(alice+"/2", all...)
	a2.Want("own", "headline "+alice+" > "+alice+"/2 items "+nick+" item=1(x:Al)", "headline "+alice+" > "+alice+"/2 items urn:closed item=1(x:x)")
	for _, who := range []string{bob, carol} {
		c := o.online(who+"/1", all...)
		c.Want(who, "headline "+alice+" > "+who+"/1 items "+nick+" item=1(x:Al)")
		o.can(c, all...)
		c.Want("the same capabilities again")
		o.can(c, append(all, "urn:more")...)
		c.Want("one more that has nothing")
		c.Say("<presence type='unavailable'/>")
		o.can(c, nick)
		c.Want("back again", "headline "+alice+" > "+who+"/1 items "+nick+" item=1(x:Al)")
	}
	// Capabilities that come in two steps bring each node once.
	c := o.online(bob + "/3")
	c.Want("nothing wanted")
	o.can(c, nick)
	c.Want("now", "headline "+alice+" > "+bob+"/3 items "+nick+" item=1(x:Al)")
}

// TestApproved: a contact that may see the account's presence from now on gets
// its last items, whether or not the account is online.
func TestApproved(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a := o.Login(alice + "/1")
	good(a, "set", "", item(nick, "1", "Al"))
	b := o.online(bob+"/1", nick)
	b.Want("a stranger")
	o.subs.sees[alice+" "+bob] = true
	o.Route("<presence type='subscribed' from='" + alice + "' to='" + bob + "'/>")
	b.Want("approved", "headline "+alice+" > "+bob+"/1 items "+nick+" item=1(x:Al)")
	a.Say("<presence/>")
	o.Route("<presence type='subscribed' from='" + alice + "' to='" + bob + "'/>")
	b.Want("its presence follows")
	o.Route("<presence type='probe' from='" + bob + "' to='" + alice + "'/>")
	b.Want("approved", "headline "+alice+" > "+bob+"/1 items "+nick+" item=1(x:Al)")
	o.Route("<presence type='probe' from='" + carol + "' to='" + alice + "'/>")
	b.Want("another's probe")
}

// TestBlocked contacts are told nothing, and contacts that block neither.
func TestBlocked(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	o.subs.friends(alice, carol)
	a, b, c := o.Login(alice+"/1", "<presence/>"), o.online(bob+"/1", nick), o.online(carol+"/1", nick)
	good(a, "set", "", with(nick, "1", "x", "access_model=open"))
	b.Take()
	good(b, "set", alice, wrap("<subscribe node='"+nick+"' jid='"+bob+"'/>"))
	a.Say("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='" + bob + "'/></block></iq>")
	c.Say("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='" + alice + "'/></block></iq>")
	b.Take()
	c.Take()
	good(a, "set", "", item(nick, "2", "y"))
	b.Want("blocked")
	c.Want("blocks")
	o.online(bob+"/2", nick).Want("blocked, and new")
	bad(b, "get", alice, wrap("<items node='"+nick+"'/>"), "service-unavailable")
}

// TestSubscribe: explicit subscriptions, with and without capabilities.
func TestSubscribe(t *testing.T) {
	o := start(t, pubsub.Limits{People: 2})
	a, b, c := o.Login(alice+"/1"), o.online(bob+"/1", "urn:a"), o.Login(carol+"/1", "<presence/>")
	good(a, "set", "", with("urn:a", "1", "x", "access_model=open"))
	got := good(b, "set", alice, wrap("<subscribe node='urn:a' jid='"+bob+"'/>"))
	if !strings.Contains(got, "<subscription node='urn:a' jid='"+bob+"' subscription='subscribed'/>") {
		t.Errorf("subscribed: %s", got)
	}
	b.Want("the last item", "headline "+alice+" > "+bob+"/1 items urn:a item=1(x:x)")
	good(b, "set", alice, wrap("<subscribe node='urn:a' jid='"+bob+"'/>"))
	b.Want("again")
	good(c, "set", alice, wrap("<subscribe node='urn:a' jid='"+carol+"/1'/>"))
	c.Want("the last item", "headline "+alice+" > "+carol+"/1 items urn:a item=1(x:x)")
	bad(c, "set", alice, wrap("<subscribe node='urn:a' jid='"+carol+"'/>"), "policy-violation <too-many-subscriptions>")
	o.subs.friends(alice, bob)
	good(a, "set", "", item("urn:a", "2", "y"))
	b.Want("once", "headline "+alice+" > "+bob+"/1 items urn:a item=2(x:y)")
	c.Want("subscribed", "headline "+alice+" > "+carol+"/1 items urn:a item=2(x:y)")
	for ask, want := range map[string]string{
		"<subscriptions/>":              "jid='" + bob + "'",
		"<subscriptions node='urn:a'/>": "jid='" + bob + "'",
	} {
		if got := good(b, "get", alice, wrap(ask)); strings.Count(got, "<subscription ") != 1 || !strings.Contains(got, want) {
			t.Errorf("%s: %s", ask, got)
		}
	}
	if got := good(a, "get", "", owns("<subscriptions node='urn:a'/>")); strings.Count(got, "<subscription ") != 2 {
		t.Errorf("of the owner: %s", got)
	}
	bad(b, "get", alice, owns("<subscriptions node='urn:a'/>"), "forbidden")
	good(a, "set", "", owns("<subscriptions node='urn:a'><subscription jid='"+carol+"/1' subscription='none'/></subscriptions>"))
	good(b, "set", alice, wrap("<unsubscribe node='urn:a' jid='"+bob+"'/>"))
	o.subs.sees = map[string]bool{}
	good(a, "set", "", item("urn:a", "3", "z"))
	b.Want("no longer")
	c.Want("no longer")
	// A subscription counts only while its owner may read the node.
	good(c, "set", alice, wrap("<subscribe node='urn:a' jid='"+carol+"'/>"))
	c.Take()
	good(a, "set", "", configure("urn:a", "access_model=whitelist"))
	good(a, "set", "", item("urn:a", "4", "z"))
	c.Want("closed to it")
}

// TestDisco: the account is a pubsub service with nodes.
func TestDisco(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	a, b, c := o.Login(alice+"/1"), o.Login(bob+"/1"), o.Login(carol+"/1")
	good(a, "set", "", with("urn:a", "1", "x", "title=A"))
	good(a, "set", "", with("urn:secret", "1", "x", "access_model=whitelist"))
	info, items := "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
	got := good(b, "get", alice, "<query xmlns='"+info+"'/>")
	for _, want := range []string{"<identity category='pubsub' type='pep'/>", "'http://jabber.org/protocol/pubsub#publish-options'", "'http://jabber.org/protocol/pubsub#config-node-max'", "'http://jabber.org/protocol/pubsub'"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if got := good(b, "get", alice, "<query xmlns='"+items+"'/>"); got != "<query xmlns='"+items+"'><item jid='"+alice+"' node='urn:a' name='A'/></query>" {
		t.Errorf("items: %s", got)
	}
	if got := good(a, "get", alice, "<query xmlns='"+items+"'/>"); strings.Count(got, "<item ") != 2 {
		t.Errorf("own items: %s", got)
	}
	if got := good(c, "get", alice, "<query xmlns='"+items+"'/>"); strings.Contains(got, "<item ") {
		t.Errorf("a stranger's items: %s", got)
	}
	got = good(b, "get", alice, "<query xmlns='"+info+"' node='urn:a'/>")
	if !strings.Contains(got, "<identity category='pubsub' type='leaf'/>") || !strings.Contains(got, "#meta-data") || !strings.Contains(got, "<value>A</value>") {
		t.Errorf("node: %s", got)
	}
	if got := good(b, "get", alice, "<query xmlns='"+items+"' node='urn:a'/>"); !strings.Contains(got, "<item jid='"+alice+"' name='1'/>") {
		t.Errorf("items of the node: %s", got)
	}
	for _, ns := range []string{info, items} {
		bad(b, "get", alice, "<query xmlns='"+ns+"' node='urn:secret'/>", "item-not-found")
		bad(b, "get", alice, "<query xmlns='"+ns+"' node='urn:none'/>", "item-not-found")
	}
}

// TestPublisher publishes as the account.
func TestPublisher(t *testing.T) {
	o := start(t, pubsub.Limits{ItemBytes: 100})
	a := o.online(alice+"/1", "urn:a")
	user := jid.MustParse(alice)
	if err := o.m.Publish(t.Context(), user, "urn:a", "1", "<x xmlns='urn:x'>hi</x>"); err != nil {
		t.Fatal(err)
	}
	a.Want("told", "headline "+alice+" > "+alice+"/1 items urn:a item=1(x:hi)")
	for _, payload := range []string{"", "<x", "<x xmlns='urn:x'/><x xmlns='urn:x'/>", "<x xmlns='urn:x'>" + strings.Repeat("x", 100) + "</x>"} {
		if err := o.m.Publish(t.Context(), user, "urn:a", "", payload); err == nil {
			t.Errorf("%q was published", payload)
		}
	}
	for range 2 {
		if err := o.m.Retract(t.Context(), user, "urn:a", "1"); err != nil {
			t.Fatal(err)
		}
	}
	a.Want("told once", "headline "+alice+" > "+alice+"/1 items urn:a retract=1")
}
