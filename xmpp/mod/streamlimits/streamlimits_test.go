package streamlimits_test

import (
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/mod/streamlimits"
	"doorway/xmpp/router"
)

type nobody struct{}

func (nobody) Exists(string) bool { return false }

func TestOffer(t *testing.T) {
	for _, c := range []struct {
		idle time.Duration
		more string
	}{{5 * time.Minute, "<idle-seconds>300</idle-seconds>"}, {0, ""}} {
		r := router.New(router.Config{Domain: "office.example", Accounts: nobody{}})
		if err := r.Load(streamlimits.New(streamlimits.Limits{PreAuth: 10240, PostAuth: 262144, Idle: c.idle})); err != nil {
			t.Fatal(err)
		}
		want := map[xmpp.Phase]string{
			xmpp.PreAuth:  "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes>" + c.more + "</limits>",
			xmpp.PostAuth: "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>" + c.more + "</limits>",
		}
		for _, f := range r.StreamFeatures() {
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
