package version

import (
	"slices"
	"testing"

	"doorway/xmpp"
)

func TestVersion(t *testing.T) {
	r := host(t, New("1.2 <dev>"))
	s, c := bind(t, r, "alice")
	want := "<query xmlns='jabber:iq:version'><name>doorway</name><version>1.2 &lt;dev&gt;</version></query>"
	if got := ask(t, s, c, home, "<query xmlns='jabber:iq:version'/>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := ask(t, s, c, "bob@"+home, "<query xmlns='jabber:iq:version'/>"); got != "service-unavailable" {
		t.Errorf("an account answers %s", got)
	}
	if !slices.Contains(r.Features(xmpp.ToDomain), "jabber:iq:version") {
		t.Error("not advertised")
	}
}
