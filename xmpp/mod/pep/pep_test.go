package pep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
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

// TestAccess: the access models, and what they answer (XEP-0060 §6.5.9).
func TestAccess(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	a, b, c := o.Login(alice+"/1"), o.Login(bob+"/1"), o.Login(carol+"/1")
	for _, m := range []string{"open", "presence", "whitelist", "roster"} {
		good(a, "set", "", with("urn:"+m, "1", "x", "access_model="+m, "roster_groups_allowed=Friends"))
	}
	get := func(node string) string { return wrap("<items node='" + node + "'/>") }
	want := func(c *routertest.Client, open, presence, whitelist, roster string) {
		t.Helper()
		for node, w := range map[string]string{"urn:open": open, "urn:presence": presence, "urn:whitelist": whitelist, "urn:roster": roster} {
			if w == "" {
				if got := good(c, "get", alice, get(node)); ids(got) != "1" {
					t.Errorf("%s: %s", node, got)
				}
			} else {
				bad(c, "get", alice, get(node), w)
				bad(c, "set", alice, wrap("<subscribe node='"+node+"' jid='"+c.Session.JID().Bare().String()+"'/>"), w)
			}
		}
	}
	presence, closed, group := "not-authorized <presence-subscription-required>", "not-allowed <closed-node>", "not-authorized <not-in-roster-group>"
	want(a, "", "", "", "")
	want(b, "", "", closed, group)
	want(c, "", presence, closed, group)
	o.subs.groups[alice+" "+bob] = []string{"Work", "Friends"}
	want(b, "", "", closed, "")
	delete(o.subs.sees, alice+" "+bob)
	want(b, "", presence, closed, "")
	for _, m := range []string{"open", "presence", "whitelist", "roster"} {
		good(a, "set", "", owns("<affiliations node='urn:"+m+"'><affiliation jid='"+bob+"/x' affiliation='outcast'/><affiliation jid='"+carol+"' affiliation='member'/></affiliations>"))
	}
	want(b, "forbidden", "forbidden", "forbidden", "forbidden")
	want(c, "", "", "", "")
	// What is not there, and who is not there, look the same to a stranger.
	for _, to := range []string{alice, "nobody@office.example"} {
		bad(c, "get", to, get("urn:none"), "item-not-found")
		bad(c, "set", to, item("urn:none", "1", "x"), "forbidden")
		bad(c, "set", to, wrap("<create node='urn:none'/>"), "forbidden")
		bad(c, "set", to, wrap("<subscribe node='urn:none' jid='"+carol+"'/>"), "item-not-found")
		bad(c, "set", to, owns("<delete node='urn:none'/>"), "forbidden")
	}
}

// TestOptions of a publication are preconditions, or the configuration of a new node.
func TestOptions(t *testing.T) {
	o := start(t, pubsub.Limits{Items: 10})
	a := o.Login(alice + "/1")
	good(a, "set", "", with("urn:a", "1", "x", "access_model=open", "max_items=max", "persist_items=true"))
	good(a, "set", "", with("urn:a", "2", "x", "access_model=open", "max_items=10", "persist_items=1"))
	unmet := "conflict <precondition-not-met>"
	for _, opt := range []string{"access_model=presence", "max_items=1", "max_items=11", "max_items=many", "persist_items=0", "unknown=1", "access_model=authorize"} {
		bad(a, "set", "", with("urn:a", "3", "x", opt), unmet)
	}
	for _, opt := range []string{"max_items=11", "max_items=0", "unknown=1", "access_model=authorize", "persist_items=maybe", "node_type=collection"} {
		bad(a, "set", "", with("urn:new", "3", "x", opt), unmet)
	}
	if got := good(a, "get", "", wrap("<items node='urn:a'/>")); ids(got) != "2 1" {
		t.Errorf("items: %s", got)
	}
	bad(a, "get", "", wrap("<items node='urn:new'/>"), "item-not-found")
	// A changed default widens nothing: an old node keeps what it has.
	good(a, "set", "", item("urn:b", "1", "x"))
	bad(a, "set", "", with("urn:b", "1", "x", "access_model=open"), unmet)
	bad(a, "set", "", wrap("<publish node='urn:b'><item id='1'><x xmlns='urn:x'/></item></publish><publish-options/>"), "bad-request <invalid-options>")
	bad(a, "set", "", wrap("<publish node='urn:b'><item id='1'><x xmlns='urn:x'/></item></publish><publish-options>"+submit("urn:form")+"</publish-options>"), "bad-request")
}

// TestMalformed requests.
func TestMalformed(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a := o.Login(alice + "/1")
	good(a, "set", "", item("urn:a", "1", "x"))
	good(a, "set", "", wrap("<create node='urn:typed'/><configure>"+submit(pubsub.Space+"#node_config", "type=urn:y", "persist_items=0")+"</configure>"))
	for payload, want := range map[string]string{
		wrap(""):                        "bad-request",
		wrap("<frobnicate/>"):           "feature-not-implemented",
		wrap("<publish/>"):              "bad-request <nodeid-required>",
		wrap("<publish node='urn:a'/>"): "bad-request <item-required>",
		wrap("<publish node='urn:a'><item/></publish>"):                                                                      "bad-request <payload-required>",
		wrap("<publish node='urn:a'><item><x xmlns='urn:x'/><x xmlns='urn:x'/></item></publish>"):                            "bad-request <invalid-payload>",
		wrap("<publish node='urn:a'><item id='1'><x xmlns='urn:x'/></item><item id='1'><x xmlns='urn:x'/></item></publish>"): "bad-request",
		wrap("<publish node='urn:a'><item id='1'><x xmlns='urn:x'/></item><item id='2'><x xmlns='urn:x'/></item></publish>"): "not-allowed <max-items-exceeded>",
		wrap("<publish node='" + strings.Repeat("n", 1024) + "'><item id='1'><x xmlns='urn:x'/></item></publish>"):           "bad-request",
		wrap("<publish node='urn:a'><item id='" + strings.Repeat("n", 1024) + "'><x xmlns='urn:x'/></item></publish>"):       "bad-request",
		wrap("<publish node='urn:typed'><item id='1'><x xmlns='urn:x'/></item></publish>"):                                   "bad-request <invalid-payload>",
		wrap("<retract/>"):                                         "bad-request <nodeid-required>",
		wrap("<retract node='urn:a'/>"):                            "bad-request <item-required>",
		wrap("<retract node='urn:a'><item/></retract>"):            "bad-request <item-required>",
		wrap("<retract node='urn:a'><item id='9'/></retract>"):     "item-not-found",
		wrap("<retract node='urn:none'><item id='9'/></retract>"):  "item-not-found",
		wrap("<retract node='urn:typed'><item id='9'/></retract>"): "feature-not-implemented <unsupported feature='persistent-items'>",
		wrap("<create/>"):                                          "not-acceptable <nodeid-required>",
		wrap("<create node='urn:a'/>"):                             "conflict",
		wrap("<create node='urn:b'/><configure>" + submit(pubsub.Space+"#node_config", "access_model=authorize") + "</configure>"): "not-acceptable",
		wrap("<subscribe node='urn:a'/>"):                                                                            "bad-request <jid-required>",
		wrap("<subscribe node='urn:a' jid='" + bob + "'/>"):                                                          "bad-request <invalid-jid>",
		wrap("<subscribe node='urn:none' jid='" + alice + "'/>"):                                                     "item-not-found",
		wrap("<subscribe node='urn:a' jid='" + alice + "'/><options/>"):                                              "feature-not-implemented <unsupported feature='subscription-options'>",
		wrap("<unsubscribe node='urn:a' jid='" + alice + "'/>"):                                                      "unexpected-request <not-subscribed>",
		wrap("<unsubscribe node='urn:none' jid='" + alice + "'/>"):                                                   "item-not-found",
		wrap("<options node='urn:a'/>"):                                                                              "feature-not-implemented <unsupported feature='subscription-options'>",
		owns("<delete/>"):                                                                                            "bad-request <nodeid-required>",
		owns("<delete node='urn:none'/>"):                                                                            "item-not-found",
		owns("<purge node='urn:none'/>"):                                                                             "item-not-found",
		owns("<purge node='urn:typed'/>"):                                                                            "feature-not-implemented <unsupported feature='persistent-items'>",
		owns("<configure node='urn:a'/>"):                                                                            "bad-request",
		configure("urn:a", "max_items=0"):                                                                            "not-acceptable",
		configure("urn:a", "access_model=authorize"):                                                                 "not-acceptable",
		configure("urn:none", "max_items=1"):                                                                         "item-not-found",
		owns("<configure node='urn:a'>" + submit("urn:form") + "</configure>"):                                       "bad-request",
		owns("<affiliations node='urn:a'/>"):                                                                         "bad-request",
		owns("<affiliations node='urn:a'><affiliation jid='@' affiliation='member'/></affiliations>"):                "bad-request <invalid-jid>",
		owns("<affiliations node='urn:a'><affiliation jid='" + bob + "' affiliation='king'/></affiliations>"):        "bad-request",
		owns("<affiliations node='urn:a'><affiliation jid='" + alice + "' affiliation='none'/></affiliations>"):      "not-acceptable",
		owns("<subscriptions node='urn:a'><subscription jid='" + bob + "' subscription='pending'/></subscriptions>"): "not-acceptable",
	} {
		bad(a, "set", "", payload, want)
	}
	for payload, want := range map[string]string{
		wrap("<items/>"): "bad-request <nodeid-required>",
		wrap("<items node='urn:a' max_items='x'/>"): "bad-request",
		wrap("<items node='urn:typed'/>"):           "feature-not-implemented <unsupported feature='persistent-items'>",
		wrap("<items node='urn:a'/><set xmlns='http://jabber.org/protocol/rsm'><after>9</after></set>"):   "item-not-found",
		wrap("<items node='urn:a'/><set xmlns='http://jabber.org/protocol/rsm'><before>9</before></set>"): "item-not-found",
		wrap("<items node='urn:a'/><set xmlns='http://jabber.org/protocol/rsm'><max>x</max></set>"):       "bad-request",
		wrap("<subscriptions node='urn:none'/>"):                                                          "item-not-found",
		wrap("<affiliations node='urn:none'/>"):                                                           "item-not-found",
		wrap("<default/>"):                                                                                "feature-not-implemented <unsupported feature='subscription-options'>",
		owns("<configure node='urn:none'/>"):                                                              "item-not-found",
		owns("<configure/>"):                                                                              "bad-request <nodeid-required>",
	} {
		bad(a, "get", "", payload, want)
	}
}

// TestItems: all, the newest, by id, and in pages.
func TestItems(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a := o.Login(alice + "/1")
	for i := range 9 {
		good(a, "set", "", with("urn:a", fmt.Sprint(i), "x", "max_items=max"))
	}
	good(a, "set", "", item("urn:a", "3", "y")) // the newest now
	set := func(inner string) string { return "<set xmlns='http://jabber.org/protocol/rsm'>" + inner + "</set>" }
	for ask, want := range map[string]string{
		"<items node='urn:a'/>":                                                  "3 8 7 6 5 4 2 1 0",
		"<items node='urn:a' max_items='2'/>":                                    "3 8",
		"<items node='urn:a'><item id='5'/><item id='x'/><item id='0'/></items>": "5 0",
		"<items node='urn:a'/>" + set("<max>2</max>"):                            "3 8",
		"<items node='urn:a'/>" + set("<max>2</max><after>8</after>"):            "7 6",
		"<items node='urn:a'/>" + set("<max>2</max><before/>"):                   "1 0",
		"<items node='urn:a'/>" + set("<max>2</max><before>4</before>"):          "6 5",
		"<items node='urn:a'/>" + set("<max>0</max>"):                            "",
	} {
		if got := good(a, "get", "", wrap(ask)); ids(got) != want {
			t.Errorf("%s: %s, want %s", ask, got, want)
		}
	}
	got := good(a, "get", "", wrap("<items node='urn:a'/>"+set("<max>2</max><after>8</after>")))
	if want := "<set xmlns='http://jabber.org/protocol/rsm'><first index='2'>7</first><last>6</last><count>9</count></set>"; !strings.Contains(got, want) {
		t.Errorf("page: %s", got)
	}
	got = good(a, "get", "", wrap("<items node='urn:a'/>"+set("<max>2</max><before/>")))
	if !strings.Contains(got, "<first index='7'>1</first>") {
		t.Errorf("last page: %s", got)
	}
}

// TestLargeNode: an answer that does not fit is a page that says so.
func TestLargeNode(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a := o.Login(alice + "/1")
	for i := range 7 {
		good(a, "set", "", with("urn:a", fmt.Sprint(i), strings.Repeat("x", 100<<10), "max_items=max"))
	}
	got := good(a, "get", "", wrap("<items node='urn:a'/>"))
	if ids(got) != "6 5 4 3 2" || !strings.Contains(got, "<last>2</last><count>7</count>") {
		t.Errorf("items %s %s", ids(got), got[len(got)-200:])
	}
	got = good(a, "get", "", wrap("<items node='urn:a'/><set xmlns='http://jabber.org/protocol/rsm'><before/></set>"))
	if ids(got) != "4 3 2 1 0" || !strings.Contains(got, "<first index='2'>4</first>") {
		t.Errorf("items %s %s", ids(got), got[len(got)-200:])
	}
}

// TestRemove: retract, purge, delete, a smaller node, and what is told of them.
func TestRemove(t *testing.T) {
	o := start(t, pubsub.Limits{})
	o.subs.friends(alice, bob)
	a, b := o.Login(alice+"/1"), o.online(bob+"/1", "urn:a")
	publish := func() {
		t.Helper()
		for i := range 3 {
			good(a, "set", "", with("urn:a", fmt.Sprint(i), "x", "max_items=max"))
		}
		b.Take()
	}
	publish()
	good(a, "set", "", wrap("<retract node='urn:a' notify='true'><item id='1'/></retract>"))
	b.Want("retracted", "headline "+alice+" > "+bob+"/1 items urn:a retract=1")
	good(a, "set", "", wrap("<retract node='urn:a' notify='0'><item id='2'/></retract>"))
	b.Want("retracted quietly")
	if got := good(a, "get", "", wrap("<items node='urn:a'/>")); ids(got) != "0" {
		t.Errorf("items: %s", got)
	}
	o.online(bob+"/2", "urn:a").Want("the last one that is left", "headline "+alice+" > "+bob+"/2 items urn:a item=0(x:x)")
	publish()
	good(a, "set", "", owns("<purge node='urn:a'/>"))
	b.Want("purged", "headline "+alice+" > "+bob+"/1 purge urn:a")
	if n := o.rows("pubsub_items"); n != 0 {
		t.Errorf("%d items are left", n)
	}
	publish()
	good(a, "set", "", configure("urn:a", "max_items=2"))
	if got := good(a, "get", "", wrap("<items node='urn:a'/>")); ids(got) != "2 1" {
		t.Errorf("items: %s", got)
	}
	good(a, "set", "", configure("urn:a", "notify_config=1"))
	if st := b.One(); st.Type != "headline" || !strings.Contains(st.Inner(), "<configuration node='urn:a'><x xmlns='jabber:x:data' type='result'>") {
		t.Errorf("configured: %s", st)
	}
	good(a, "set", "", configure("urn:a", "persist_items=0", "notify_config=0"))
	if n := o.rows("pubsub_items"); n != 0 {
		t.Errorf("%d items are left", n)
	}
	good(a, "set", "", item("urn:a", "t", "passing"))
	b.Want("not kept, and told", "headline "+alice+" > "+bob+"/1 items urn:a item=t(x:passing)")
	good(a, "set", "", owns("<delete node='urn:a'/>"))
	b.Want("deleted", "headline "+alice+" > "+bob+"/1 delete urn:a")
	if n := o.Store.Len(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	good(a, "set", "", with("urn:q", "1", "x", "deliver_notifications=0"))
	good(a, "set", "", with("urn:p", "1", "x", "deliver_payloads=0"))
	c := o.online(bob+"/3", "urn:q", "urn:p")
	c.Want("without payload", "headline "+alice+" > "+bob+"/3 items urn:p item=1")
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

// TestAffiliations: others publish, and remove what is theirs.
func TestAffiliations(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a, b, c := o.Login(alice+"/1"), o.Login(bob+"/1"), o.Login(carol+"/1")
	good(a, "set", "", with("urn:a", "1", "x", "max_items=max"))
	bad(b, "set", alice, item("urn:a", "2", "x"), "forbidden")
	good(a, "set", "", owns("<affiliations node='urn:a'><affiliation jid='"+bob+"' affiliation='publisher'/><affiliation jid='"+carol+"' affiliation='publish-only'/></affiliations>"))
	good(b, "set", alice, item("urn:a", "2", "x"))
	good(c, "set", alice, item("urn:a", "3", "x"))
	bad(c, "get", alice, wrap("<items node='urn:a'/>"), "forbidden")
	bad(b, "set", alice, item("urn:a", "1", "stolen"), "forbidden")
	if got := good(b, "get", alice, wrap("<items node='urn:a'/>")); !strings.Contains(got, "<item id='2' publisher='"+bob+"'>") || !strings.Contains(got, "<item id='1'>") {
		t.Errorf("items: %s", got)
	}
	bad(b, "set", alice, wrap("<retract node='urn:a'><item id='3'/></retract>"), "forbidden")
	good(b, "set", alice, wrap("<retract node='urn:a'><item id='2'/></retract>"))
	good(a, "set", "", wrap("<retract node='urn:a'><item id='3'/></retract>"))
	bad(b, "set", alice, item("urn:b", "2", "x"), "forbidden")
	bad(b, "set", alice, configure("urn:a", "title=x"), "forbidden")
	if got := good(a, "get", "", owns("<affiliations node='urn:a'/>")); strings.Count(got, "<affiliation ") != 3 {
		t.Errorf("of the owner: %s", got)
	}
	if got := good(b, "get", alice, wrap("<affiliations/>")); !strings.Contains(got, "<affiliation node='urn:a' affiliation='publisher'/>") {
		t.Errorf("own: %s", got)
	}
	good(a, "set", "", configure("urn:a", "publish_model=open"))
	good(a, "set", "", owns("<affiliations node='urn:a'><affiliation jid='"+bob+"' affiliation='none'/></affiliations>"))
	good(b, "set", alice, item("urn:a", "5", "x"))
	good(a, "set", "", configure("urn:a", "publish_model=subscribers", "access_model=open"))
	bad(b, "set", alice, item("urn:a", "6", "x"), "forbidden")
	good(b, "set", alice, wrap("<subscribe node='urn:a' jid='"+bob+"'/>"))
	good(b, "set", alice, item("urn:a", "6", "x"))
}

// TestConfiguration is told as it was set, and by default as XEP-0163 wants it.
func TestConfiguration(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a, b := o.Login(alice+"/1"), o.Login(bob+"/1")
	value := func(form, name string) string {
		_, s, _ := strings.Cut(form, "var='pubsub#"+name+"'")
		_, s, _ = strings.Cut(s, "<value>")
		s, _, _ = strings.Cut(s, "</value>")
		return s
	}
	def := good(a, "get", "", owns("<default/>"))
	for name, want := range map[string]string{"access_model": "presence", "max_items": "1", "persist_items": "1", "send_last_published_item": "on_sub_and_presence", "notification_type": "headline", "deliver_payloads": "1"} {
		if got := value(def, name); got != want {
			t.Errorf("default %s is %q, want %q", name, got, want)
		}
	}
	bad(b, "get", alice, owns("<default/>"), "forbidden")
	good(a, "set", "", wrap("<create node='urn:a'/><configure>"+submit(pubsub.Space+"#node_config", "title=T &amp; U", "access_model=open", "max_items=max", "unknown=1")+"</configure>"))
	good(a, "set", "", configure("urn:a", "max_items=7", "send_last_published_item=never", "notification_type=normal"))
	conf := good(a, "get", "", owns("<configure node='urn:a'/>"))
	for name, want := range map[string]string{"title": "T &amp; U", "access_model": "open", "max_items": "7", "send_last_published_item": "never", "notification_type": "normal"} {
		if got := value(conf, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	good(a, "set", "", owns("<configure node='urn:a'><x xmlns='jabber:x:data' type='cancel'/></configure>"))
	if again := good(a, "get", "", owns("<configure node='urn:a'/>")); again != conf {
		t.Errorf("a cancelled form changes: %s", again)
	}
	if got := value(good(a, "get", "", owns("<default node='urn:xmpp:vcard4'/>")), "access_model"); got != "open" {
		t.Errorf("vCard4 is %s", got)
	}
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

// TestLimits: what an account may keep.
func TestLimits(t *testing.T) {
	o := start(t, pubsub.Limits{Nodes: 2, Items: 3, ItemBytes: 100, Bytes: 250})
	a := o.Login(alice + "/1")
	bad(a, "set", "", item("urn:a", "1", strings.Repeat("x", 100)), "not-acceptable <payload-too-big>")
	good(a, "set", "", with("urn:a", "1", "x", "max_items=max"))
	good(a, "set", "", item("urn:b", "1", "x"))
	bad(a, "set", "", item("urn:c", "1", "x"), "not-allowed <max-nodes-exceeded>")
	bad(a, "set", "", wrap("<create node='urn:c'/>"), "not-allowed <max-nodes-exceeded>")
	for i := range 5 {
		good(a, "set", "", item("urn:a", fmt.Sprint(i), "x"))
	}
	if got := good(a, "get", "", wrap("<items node='urn:a'/>")); ids(got) != "4 3 2" {
		t.Errorf("items: %s", got)
	}
	big := strings.Repeat("x", 60)
	good(a, "set", "", item("urn:a", "5", big))
	good(a, "set", "", item("urn:a", "6", big))
	bad(a, "set", "", item("urn:a", "4", strings.Repeat("x", 75)), "resource-constraint")
	good(a, "set", "", item("urn:a", "5", "x"))
	good(a, "set", "", owns("<delete node='urn:b'/>"))
	good(a, "set", "", item("urn:c", "1", "x"))
}

// TestStored: what was answered is there after a restart, and nothing is
// answered before it is on disk.
func TestStored(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, pubsub.Limits{}, router.Config{Store: store})
	a := o.Login(alice + "/1")
	for i := range 3 {
		good(a, "set", "", with("urn:a", fmt.Sprint(i), "x", "max_items=max", "access_model=whitelist"))
	}
	good(a, "set", "", wrap("<retract node='urn:a'><item id='2'/></retract>"))
	good(a, "set", "", owns("<affiliations node='urn:a'><affiliation jid='"+bob+"' affiliation='member'/></affiliations>"))
	store.Fail(errors.New("disk full"))
	bad(a, "set", "", item("urn:a", "lost", "x"), "internal-server-error")
	bad(a, "set", "", owns("<delete node='urn:a'/>"), "internal-server-error")
	store.Fail(nil)
	for range 2 {
		b, c := o.Login(bob+"/1"), o.Login(carol+"/1")
		if got := good(b, "get", alice, wrap("<items node='urn:a'/>")); ids(got) != "1 0" {
			t.Errorf("items: %s", got)
		}
		bad(c, "get", alice, wrap("<items node='urn:a'/>"), "not-allowed <closed-node>")
		o = open(t, pubsub.Limits{}, router.Config{Store: store})
	}
	store.Break(errors.New("disk broken"))
	b := o.Login(bob + "/1")
	bad(b, "get", alice, wrap("<items node='urn:a'/>"), "internal-server-error")
	store.Break(nil)
	if got := good(b, "get", alice, wrap("<items node='urn:a'/>")); ids(got) != "1 0" {
		t.Errorf("items: %s", got)
	}
	a = o.Login(alice + "/1")
	good(a, "set", "", item("urn:a", "3", "x"))
	if got := good(b, "get", alice, wrap("<items node='urn:a'/>")); ids(got) != "3 1 0" {
		t.Errorf("items: %s", got)
	}
	if err := o.m.Purge(jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	if n := store.Len(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	bad(b, "get", alice, wrap("<items node='urn:a'/>"), "item-not-found")
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
