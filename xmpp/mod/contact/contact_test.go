package contact_test

import (
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/contact"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

type nobody struct{ xmpp.Subscriptions }

func (nobody) SeesPresence(jid.JID, jid.JID) bool { return false }

const (
	home = routertest.Domain
	info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
)

// TestAddresses are in disco#info of the server, and nowhere else.
func TestAddresses(t *testing.T) {
	var now contact.Addresses
	o := routertest.Open(t, router.Config{}, contact.New(func() contact.Addresses { return now }), disco.New(nobody{}))
	a := o.Login("alice@" + home + "/x")
	if got := a.Ask("get", home, info); strings.Contains(got, "<x") {
		t.Errorf("nobody: %s", got)
	}
	now = contact.Addresses{Abuse: []string{"mailto:abuse@office.example", "xmpp:alice@office.example"}, Status: []string{"https://status.example/?a&b"}}
	want := "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>" +
		"<field var='abuse-addresses' type='list-multi'><value>mailto:abuse@office.example</value><value>xmpp:alice@office.example</value></field>" +
		"<field var='status-addresses' type='list-multi'><value>https://status.example/?a&amp;b</value></field></x></query>"
	if got := a.Ask("get", home, info); !strings.HasSuffix(got, want) {
		t.Errorf("got %s\nwant …%s", got, want)
	}
	if got := a.Ask("get", "alice@"+home, info); strings.Contains(got, "<x") {
		t.Errorf("account: %s", got)
	}
}
