package streamlimits_test

import (
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/mod/streamlimits"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

func TestOffer(t *testing.T) {
	for _, c := range []struct {
		idle time.Duration
		more string
	}{{5 * time.Minute, "<idle-seconds>300</idle-seconds>"}, {0, ""}} {
		h := routertest.Open(t, router.Config{}, streamlimits.New(streamlimits.Limits{PreAuth: 10240, PostAuth: 262144, Idle: c.idle}))
		want := map[xmpp.Phase]string{
			xmpp.PreAuth:  "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes>" + c.more + "</limits>",
			xmpp.PostAuth: "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>" + c.more + "</limits>",
		}
		for _, f := range h.Router.StreamFeatures() {
			if got := f.Offer(nil); got != want[f.Phase] {
				t.Errorf("phase %d: %s, want %s", f.Phase, got, want[f.Phase])
			}
			delete(want, f.Phase)
		}
		if len(want) > 0 {
			t.Errorf("not offered: %v", want)
		}
	}
}
