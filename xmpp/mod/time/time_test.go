package time

import (
	"slices"
	"testing"
	stdtime "time"

	"doorway/xmpp"
)

func TestTime(t *testing.T) {
	for _, x := range []struct {
		offset int
		tzo    string
	}{{3600, "+01:00"}, {-12600, "-03:30"}, {0, "+00:00"}} {
		zone := stdtime.FixedZone("", x.offset)
		now := func() stdtime.Time { return stdtime.Date(2026, 3, 1, 12, 30, 15, 5e8, stdtime.UTC).In(zone) }
		r := host(t, New(now))
		s, c := bind(t, r, "alice")
		want := "<time xmlns='urn:xmpp:time'><tzo>" + x.tzo + "</tzo><utc>2026-03-01T12:30:15Z</utc></time>"
		if got := ask(t, s, c, home, "<time xmlns='urn:xmpp:time'/>"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if !slices.Contains(r.Features(xmpp.ToDomain), "urn:xmpp:time") {
			t.Error("not advertised")
		}
	}
}
