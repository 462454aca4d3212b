package version

import (
	"slices"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

func TestVersion(t *testing.T) {
	h := routertest.Open(t, router.Config{}, New("1.2 <dev>"))
	c := h.Login("alice@office.example/desk")
	want := "<query xmlns='jabber:iq:version'><name>doorway</name><version>1.2 &lt;dev&gt;</version></query>"
	if got := c.Ask("get", routertest.Domain, "<query xmlns='jabber:iq:version'/>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.Ask("get", "bob@office.example", "<query xmlns='jabber:iq:version'/>"); got != "service-unavailable" {
		t.Errorf("an account answers %s", got)
	}
	c.Want("nothing else")
	if !slices.Contains(h.Router.Features(xmpp.ToDomain), "jabber:iq:version") {
		t.Error("not advertised")
	}
}
