package pep_test

import (
	"strings"
	"testing"

	"doorway/xmpp/pubsub"
	"doorway/xmpp/routertest"
)

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
