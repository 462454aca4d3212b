package vcard_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/vcard"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	ask   = "<vCard xmlns='vcard-temp'/>"
)

// friends all see each other.
type friends struct{ xmpp.Subscriptions }

func (friends) SeesPresence(jid.JID, jid.JID) bool { return true }

func (friends) Contacts(user jid.JID, f func(jid.JID, string)) {
	for _, c := range []string{alice, bob} {
		if c != user.Bare().String() {
			f(jid.MustParse(c), "both")
		}
	}
}

func start(t *testing.T, store *routertest.Store) (*routertest.House, *vcard.Module) {
	t.Helper()
	p := presence.New(friends{})
	m := vcard.New(p, pubsub.New(pubsub.Config{}))
	return routertest.Open(t, router.Config{Store: store}, p, m), m
}

// card is a vCard with a photo, and the photo's hash.
func card(photo string) (xml, hash string) {
	sum := sha1.Sum([]byte(photo))
	b := base64.StdEncoding.EncodeToString([]byte(photo))
	b = b[:len(b)/2] + "\n\t " + b[len(b)/2:]
	return "<vCard xmlns='vcard-temp'><FN>A &amp; B</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>" + b + "</BINVAL></PHOTO></vCard>", hex.EncodeToString(sum[:])
}

func TestVCard(t *testing.T) {
	store := routertest.NewStore()
	o, m := start(t, store)
	a, b := o.Login(alice+"/desk"), o.Login(bob+"/desk")
	xml, _ := card("picture")
	big := "<vCard xmlns='vcard-temp'><DESC>" + strings.Repeat("x", 128<<10) + "</DESC></vCard>"
	for _, c := range []struct {
		what          string
		who           *routertest.Client
		typ, to, send string
		want          string
	}{
		{"own, missing", a, "get", "", ask, "item-not-found"},
		{"another's, missing", b, "get", alice, ask, "service-unavailable"},
		{"nobody's", b, "get", "nobody@office.example", ask, "service-unavailable"},
		{"another's", b, "set", alice, xml, "forbidden"},
		{"nobody's", b, "set", "nobody@office.example", xml, "forbidden"},
		{"too big", a, "set", "", big, "not-acceptable"},
		{"set", a, "set", "", xml, ""},
		{"own", a, "get", "", ask, xml},
		{"own bare JID", a, "get", alice, ask, xml},
		{"another's", b, "get", alice, ask, xml},
		{"replace", a, "set", alice, "<vCard xmlns='vcard-temp' version='2.0'><FN>C</FN></vCard>", ""},
		{"replaced", b, "get", alice, ask, "<vCard xmlns='vcard-temp' version='2.0'><FN>C</FN></vCard>"},
	} {
		if got := c.who.Ask(c.typ, c.to, c.send); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
	store.Fail(errors.New("disk full"))
	if got := a.Ask("set", "", xml); got != "internal-server-error" {
		t.Errorf("disk full: %s", got)
	}
	store.Fail(nil)
	if got := b.Ask("get", alice, ask); !strings.Contains(got, "<FN>C</FN>") {
		t.Errorf("after a failure: %s", got)
	}
	err := m.Purge(jid.MustParse(alice))
	left := slices.DeleteFunc(store.Rows(), func(r string) bool { return !strings.HasPrefix(r, "vcard ") }) // the nodes are mod/pep's
	if err != nil || len(left) != 0 {
		t.Errorf("purge: %v, left %v", err, left)
	}
}

func update(hash string) string {
	if hash == "" {
		return "<x xmlns='vcard-temp:x:update'><photo/></x>"
	}
	return "<x xmlns='vcard-temp:x:update'><photo>" + hash + "</photo></x>"
}

// TestNewPhoto: everybody hears of a new photo at once, and of its end.
func TestNewPhoto(t *testing.T) {
	store := routertest.NewStore()
	o, _ := start(t, store)
	b := o.Login(bob+"/desk", "<presence/>")
	b.Recv()
	a := o.Login(alice+"/desk", "<presence><show>away</show><priority>5</priority></presence>")
	silent := o.Login(alice + "/silent")
	b.Want("no vCard, nothing said", "presence "+alice+"/desk > "+bob+" <show>away</show><priority>5</priority>")
	a.Recv()
	xml, hash := card("picture")
	if got := silent.Ask("set", "", xml); got != "" {
		t.Fatal(got)
	}
	b.Want("new photo", "presence "+alice+"/desk > "+bob+" <show>away</show><priority>5</priority>"+update(hash))
	a.Want("new photo", "presence "+alice+"/desk > "+alice+" <show>away</show><priority>5</priority>"+update(hash))
	if p, prio := a.Session.Presence(); prio != 5 || !strings.Contains(p.Inner(), hash) {
		t.Errorf("kept %v %d", p, prio)
	}
	silent.Want("not available")
	silent.Ask("set", "", strings.Replace(xml, "A &amp; B", "New Name", 1))
	b.Want("the same photo")
	silent.Ask("set", "", "<vCard xmlns='vcard-temp'><FN>x</FN><PHOTO><EXTVAL>https://x.example/y</EXTVAL></PHOTO></vCard>")
	b.Want("no photo any more", "presence "+alice+"/desk > "+bob+" <show>away</show><priority>5</priority>"+update(""))

	// The next login, after a restart.
	silent.Ask("set", "", xml)
	o, _ = start(t, store)
	b = o.Login(bob+"/desk", "<presence/>")
	b.Recv()
	a = o.Login(alice+"/desk", "<presence/>")
	b.Want("after a restart", "presence "+alice+"/desk > "+bob+" "+update(hash))
	a.Say("<presence to='" + bob + "/desk'><status>for you</status></presence>")
	b.Want("directed", "presence "+alice+"/desk > "+bob+"/desk <status>for you</status>"+update(hash))
	a.Say("<presence type='unavailable'/>")
	b.Want("unavailable", "unavailable "+alice+"/desk > "+bob)
}

// TestClaims: what a client says of its photo is corrected, but for that it has none.
func TestClaims(t *testing.T) {
	xml, hash := card("picture")
	for _, c := range []struct{ card, said, want string }{
		{xml, "<show>xa</show>" + update(hash), "<show>xa</show>" + update(hash)},
		{xml, update(hash) + "<show>xa</show>", update(hash) + "<show>xa</show>"},
		{xml, update("0000") + "<show>xa</show>", "<show>xa</show>" + update(hash)},
		{xml, update(hash) + update("0000"), update(hash)},
		{xml, update("0000") + update(hash), update(hash)},
		{xml, "<x xmlns='vcard-temp:x:update'/>", update(hash)},
		{xml, "<v:x xmlns:v='vcard-temp:x:update'><v:photo>0000</v:photo></v:x><show>xa</show>", "<show>xa</show>" + update(hash)},
		{xml, update(""), update("")}, // XEP-0398 §5: it has none to show
		{"", update("0000"), update("")},
		{"", "<x xmlns='vcard-temp:x:update'/>", update("")},
		{"", "<show>xa</show>", "<show>xa</show>"},
		{"<vCard xmlns='vcard-temp'/>", "", update("")},
		{"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>!</BINVAL></PHOTO></vCard>", "", update("")},
		{"<vCard xmlns='vcard-temp'><PHOTO><BINVAL/></PHOTO></vCard>", "", update("")},
	} {
		o, _ := start(t, routertest.NewStore())
		b := o.Login(bob+"/desk", "<presence/>")
		a := o.Login(alice + "/desk")
		if c.card != "" {
			a.Ask("set", "", c.card)
		}
		b.Recv()
		a.Say("<presence>" + c.said + "</presence>")
		b.Want(c.said, strings.TrimSpace("presence "+alice+"/desk > "+bob+" "+c.want))
	}
}

// TestMemory: hashes are forgotten with the last session.
func TestMemory(t *testing.T) {
	store := routertest.NewStore()
	o, _ := start(t, store)
	xml, _ := card("picture")
	_, other := card("other")
	a := o.Login(alice+"/desk", "<presence/>")
	a.Ask("set", "", xml)
	a.Leave()
	if err := store.Table("vcard").Write(map[string]any{alice + "\x00photo": map[string]any{"v": 1, "sha1": other}}); err != nil {
		t.Fatal(err)
	}
	a = o.Login(alice+"/desk", "<presence/>")
	a.Want("read again", "presence "+alice+"/desk > "+alice+" "+update(other))
}

func BenchmarkPresence(b *testing.B) {
	m := vcard.New(nil, pubsub.New(pubsub.Config{}))
	o := routertest.Open(b, router.Config{}, m)
	a := o.Login(alice + "/desk")
	st := routertest.Parse(b, "<presence><show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='y'/></presence>")
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Session.Handle(context.Background(), st); err != nil {
			b.Fatal(err)
		}
	}
}
