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

// TestManyItems: who asks for no pages gets all that fits, who asks for one no
// more than fits a page.
func TestManyItems(t *testing.T) {
	o := start(t, pubsub.Limits{})
	a := o.Login(alice + "/1")
	for i := range 300 {
		good(a, "set", "", with("urn:a", fmt.Sprint(i), "x", "max_items=max"))
	}
	got := good(a, "get", "", wrap("<items node='urn:a'/>"))
	if n := len(strings.Fields(ids(got))); n != 300 || strings.Contains(got, "<set") {
		t.Errorf("%d items", n)
	}
	got = good(a, "get", "", wrap("<items node='urn:a'/><set xmlns='http://jabber.org/protocol/rsm'><max>300</max></set>"))
	if n := len(strings.Fields(ids(got))); n != 250 || !strings.Contains(got, "<count>300</count>") {
		t.Errorf("%d items in a page", n)
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
