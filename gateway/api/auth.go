package api

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"doorway/gateway/token"
)

// handler answers a request of a known integration.
type handler func(w http.ResponseWriter, r *http.Request, who token.Token) *Problem

// allow lets in requests whose token has a scope (RFC 6750 §2.1).
func (s *Server) allow(scope string, next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, p := s.identify(r)
		if p == nil && !who.Allows(scope) {
			p = problem("forbidden-scope", fmt.Sprintf("The token %q lacks the scope %s.", who.Name, scope))
		}
		if p == nil {
			p = next(w, r, who)
		}
		if p != nil {
			s.refuse(w, r, p)
		}
	}
}

// identify finds the token of a request.
func (s *Server) identify(r *http.Request) (token.Token, *Problem) {
	from := remote(r)
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return token.Token{}, problem("unauthorized", "Send a token as: Authorization: Bearer TOKEN. `doorway token add NAME` makes one.")
	}
	who, ok := s.lookup(strings.TrimSpace(secret))
	if !ok {
		// Valid tokens are taken all the same: behind one address may be a proxy, and one program that keeps its old token.
		if wait := s.guesses.note(from, time.Now()); wait > 0 {
			return token.Token{}, tooMany("Too many requests with a wrong token came from this address. Wait, and use a valid one.", wait)
		}
		return token.Token{}, problem("unauthorized", "This token is not valid: it was revoked, has expired, or has a typing error.")
	}
	if r.TLS == nil && !from.IsLoopback() && !within(who.Networks, from) {
		return token.Token{}, problem("plain-http", "The token came without TLS, so it was not taken; consider it known to others and make a new one. Use https.")
	}
	if s.c.Tokens != nil {
		if wait := s.c.Tokens.Take(who.ID); wait > 0 {
			return token.Token{}, tooMany(fmt.Sprintf("The token %q may make %s requests and has made them. Wait, or have the administrator make one with another --rate.", who.Name, who.Rate), wait)
		}
	}
	return who, nil
}

func tooMany(detail string, wait time.Duration) *Problem {
	p := problem("rate-limited", detail)
	p.retry = int((wait + time.Second - 1) / time.Second)
	return p
}

func (s *Server) lookup(secret string) (token.Token, bool) {
	if s.c.Token != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(s.c.Token)) == 1 {
		return token.Token{ID: "api.token", Name: "the box's own", Scopes: []string{token.Admin}}, true
	}
	if s.c.Tokens == nil {
		return token.Token{}, false
	}
	return s.c.Tokens.Check(secret)
}

func remote(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a, _ := netip.ParseAddr(host) // ignored: the zero Addr is in no network
	return a.Unmap().WithZone("")
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

const (
	guessesFree = 20 // wrong tokens from one address in guessWindow
	guessWindow = time.Minute
	guessRoom   = 4096 // addresses that are remembered
)

// guesses counts wrong tokens by address; those of one IPv6 network of 64 bits, which is what a subscriber gets, are one.
type guesses struct {
	mu   sync.Mutex // guards seen
	seen map[netip.Addr]guess
}

type guess struct {
	since time.Time
	n     int
}

// note counts a wrong token, and returns how long no more are looked at from there; 0 while they are.
func (g *guesses) note(a netip.Addr, now time.Time) time.Duration {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	x, ok := g.seen[a]
	if now.Sub(x.since) >= guessWindow {
		x = guess{since: now}
	}
	if x.n >= guessesFree {
		return max(guessWindow-now.Sub(x.since), time.Second)
	}
	if g.seen == nil || !ok && len(g.seen) >= guessRoom {
		g.seen = map[netip.Addr]guess{}
	}
	x.n++
	g.seen[a] = x
	return 0
}
