package time

import (
	"slices"
	"testing"
	stdtime "time"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

func TestTime(t *testing.T) {
	for _, x := range []struct {
		offset int
		tzo    string
	}{{3600, "+01:00"}, {-12600, "-03:30"}, {0, "+00:00"}} {
		zone := stdtime.FixedZone("", x.offset)
		now := func() stdtime.Time { return stdtime.Date(2026, 3, 1, 12, 30, 15, 5e8, stdtime.UTC).In(zone) }
		h := routertest.Open(t, router.Config{}, New(now))
		c := h.Login("alice@office.example/desk")
		want := "<time xmlns='urn:xmpp:time'><tzo>" + x.tzo + "</tzo><utc>2026-03-01T12:30:15Z</utc></time>"
		if got := c.Ask("get", routertest.Domain, "<time xmlns='urn:xmpp:time'/>"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		c.Want("nothing else")
		if !slices.Contains(h.Router.Features(xmpp.ToDomain), "urn:xmpp:time") {
			t.Error("not advertised")
		}
	}
}
