package sms

import (
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// TestGatewayPresenceFollowsTheSignal: small changes are not told, bigger ones within a minute.
func TestGatewayPresenceFollowsTheSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		pass(3 * followEvery) // what was told while it started is put right
		for _, c := range []struct {
			dbm  int
			want string
		}{
			{-71, "Testnet, signal -71 dBm"},
			{-75, "Testnet, signal -71 dBm"},
			{-77, "Testnet, signal -77 dBm"},
			{-72, "Testnet, signal -77 dBm"},
			{0, "Testnet"},
			{-72, "Testnet, signal -72 dBm"},
		} {
			p.mu.Lock()
			p.st.RSSI = c.dbm
			p.mu.Unlock()
			before := statuses(h)
			pass(3 * followEvery)
			if st := h.status(); st.Text != c.want || st.Show != "" {
				t.Fatalf("at %d dBm: %+v", c.dbm, st)
			}
			if n := statuses(h) - before; n > 1 {
				t.Fatalf("at %d dBm %d statuses were told", c.dbm, n)
			}
		}
	})
}

// statuses counts what was told of the gateway.
func statuses(h *house) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if _, ok := e.(transports.StatusEvent); ok {
			n++
		}
	}
	return n
}

// TestGatewayPresenceSaysWhy: a modem that may not send rests, one that cannot is away.
func TestGatewayPresenceSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{}, map[string]Route{"gsm0": {Operators: []string{"Testnet"}, PerHour: 1}}, p)
		defer h.stop()
		h.send("the only one", urgent)
		pass(time.Second)
		if st := h.status(); st.Show != "dnd" || st.Text != "The modem gsm0 has sent its 1 texts of this hour (per_hour). Queued SMS wait." {
			t.Fatalf("%+v", st)
		}
		pass(time.Hour)
		if st := h.status(); st.Show != "" {
			t.Fatalf("%+v", st)
		}
		p.mu.Lock()
		p.st.Operator = "Elsewhere"
		p.mu.Unlock()
		p.set(modem.Ready, "")
		pass(time.Second)
		if st := h.status(); st.Show != "xa" || st.Text != "The modem gsm0 is in the network of Elsewhere, and may not send there (operators in its settings). Queued SMS wait." {
			t.Fatalf("%+v", st)
		}
	})
}
