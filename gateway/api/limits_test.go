package api

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/gateway/token"
)

// A token with a rate is told when to come back, and does no harm to another; the rate is there after a restart, too.
func TestRateOfAToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := openBox(t, dir)
	_, slow, err := b.tokens.Add(token.Token{Name: "slow", Scopes: []string{token.SMSSend}, Rate: token.Rate{N: 3, Per: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	fast := b.key("fast", token.SMSSend)
	for range 2 {
		for i := range 4 {
			body := fmt.Sprintf(`{"to":["+4915550101"],"text":"%d"}`, i)
			a := b.ask("POST", "/api/v1/sms", slow, body)
			if i < 3 {
				if a.code != 202 {
					t.Fatalf("request %d: %+v", i, a)
				}
				continue
			}
			wait, err := strconv.Atoi(a.Get("Retry-After"))
			if a.code != 429 || !strings.Contains(a.body, "rate-limited") || !strings.Contains(a.body, "3/h") || err != nil || wait < 1100 || wait > 1200 {
				t.Errorf("%+v", a)
			}
			if a := b.ask("POST", "/api/v1/sms", fast, body); a.code != 202 {
				t.Errorf("another token: %+v", a)
			}
			if a := b.ask("GET", "/api/v1/status", "the box's own secret", ""); a.code != 200 {
				t.Errorf("the box's own token: %+v", a)
			}
		}
		if n := len(b.texts()); n != 4 && n != 8 {
			t.Errorf("%d texts", n)
		}
		b.stop()
		b = openBox(t, dir)
	}
	b.stop()
}

// Wrong tokens are refused faster after a while, but a valid one from the same address works: behind it may be a proxy.
func TestWrongTokens(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSRead)
	for range guessesFree {
		if a := b.ask("GET", "/api/v1/sms", "wrong", ""); a.code != 401 || a.Get("WWW-Authenticate") == "" {
			t.Fatalf("%+v", a)
		}
	}
	a := b.ask("GET", "/api/v1/sms", "wrong", "")
	if wait, err := strconv.Atoi(a.Get("Retry-After")); a.code != 429 || err != nil || wait < 1 || wait > 60 {
		t.Errorf("%+v", a)
	}
	if a := b.ask("GET", "/api/v1/sms", secret, ""); a.code != 200 {
		t.Errorf("a valid token: %+v", a)
	}
	if a := b.ask("GET", "/api/v1/sms", "", ""); a.code != 401 {
		t.Errorf("no token: %+v", a)
	}
	for from, want := range map[string]int{"192.0.2.1:1": 401, "127.0.0.1:5": 429} {
		r := httptest.NewRequest("GET", "/api/v1/sms", nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer wrong")
		w := httptest.NewRecorder()
		b.api.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: %d", from, w.Code)
		}
	}
}

// Guesses are remembered for a minute, for a bounded number of addresses, and for a whole IPv6 network of a subscriber.
func TestGuesses(t *testing.T) {
	var g guesses
	now := time.Unix(1e9, 0)
	a := netip.MustParseAddr("2001:db8::1")
	for i := range guessesFree {
		if g.note(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)), now) != 0 {
			t.Fatal("too early")
		}
	}
	if wait := g.note(a, now.Add(20*time.Second)); wait != 40*time.Second {
		t.Error(wait)
	}
	if g.note(netip.MustParseAddr("2001:db8:0:1::1"), now) != 0 {
		t.Error("another network waits, too")
	}
	if g.note(a, now.Add(guessWindow)) != 0 {
		t.Error("it waits for ever")
	}
	for i := range 3 * guessRoom {
		g.note(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if len(g.seen) > guessRoom {
			t.Fatal("memory grows")
		}
	}
}
