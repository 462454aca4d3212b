// Package sasl is the server side of SASL for XMPP: RFC 6120 §6, SCRAM (RFC
// 5802, RFC 7677) with SHA-256 and SHA-1, channel binding by tls-exporter (RFC
// 9266) and tls-server-end-point (RFC 5929 §4), and PLAIN (RFC 4616) under
// TLS.
//
// An unknown account and a wrong password look the same: the same messages, the
// same condition, the same work, a salt that is stable for each name. That an
// account is disabled only its own password tells. Guesses are slowed down for each pair of address and account,
// and nobody is ever locked out.
//
// Usernames are prepared as localparts (RFC 7622 §3.3), passwords with
// OpaqueString (RFC 8265 §4.2). Nothing here reads or writes the network; no
// goroutine is started.
//
// Left out: EXTERNAL, ANONYMOUS, tls-unique, and authorization as somebody
// else: an authzid may only name the same account.
package sasl

import (
	"context"
	"time"
)

// Hash names a SCRAM hash.
type Hash string

// The two hashes offered.
const (
	SHA256 Hash = "SHA-256"
	SHA1   Hash = "SHA-1"
)

// Credentials looks up the keys of an account by its canonical localpart (gateway/people).
// ok false: no such account; the mechanism then goes on with a stable fake salt.
type Credentials interface {
	Keys(ctx context.Context, local string, h Hash) (k Keys, ok bool)
	// FakeSeed is the box's secret for fake salts.
	FakeSeed() []byte
}

// Barrier is an optional ability of Credentials, for a type assertion: accounts
// that may not log in now. Only who has the right password learns of it.
type Barrier interface{ Disabled(local string) bool }

// Binding is how a connection is secured, and what TLS offers for channel binding; zero without TLS.
type Binding struct {
	TLS      bool
	Local    bool   // no TLS, but the connection does not leave this machine: no PLAIN
	Exporter []byte // tls-exporter (RFC 9266), nil when not available
	EndPoint []byte // tls-server-end-point (RFC 5929 §4)
	// Export, when not nil, makes the Exporter data when a client asks for it:
	// most do not, and deriving it costs as much as the rest of an exchange.
	Export func() []byte
}

// Names of channel binding types.
const (
	tlsExporter = "tls-exporter"
	tlsEndPoint = "tls-server-end-point"
)

// data returns the binding of a type, nil when it cannot be had.
func (b Binding) data(kind string) []byte {
	switch {
	case !b.TLS:
		return nil
	case kind == tlsExporter && b.Export != nil:
		return b.Export()
	case kind == tlsExporter:
		return b.Exporter
	case kind == tlsEndPoint:
		return b.EndPoint
	}
	return nil
}

// offers reports whether a type can be had, without making its data.
func (b Binding) offers(kind string) bool {
	if b.TLS && kind == tlsExporter && b.Export != nil {
		return true
	}
	return len(b.data(kind)) > 0
}

func (b Binding) available() bool {
	return b.offers(tlsExporter) || b.offers(tlsEndPoint)
}

// Types lists the channel binding types on offer (XEP-0440).
func (b Binding) Types() []string {
	var types []string
	for _, kind := range []string{tlsExporter, tlsEndPoint} {
		if b.offers(kind) {
			types = append(types, kind)
		}
	}
	return types
}

// Config makes a Server.
type Config struct {
	Credentials Credentials
	Domain      string
	// Plaintext offers mechanisms without TLS (SCRAM only); for test listeners on loopback.
	Plaintext bool
	// Iterations is what real accounts have, so that made-up ones have it too; 0 means DefaultIterations.
	Iterations int
}

// Server authenticates; one for the process. It throttles guesses by address
// and account. Safe for concurrent use.
type Server struct {
	c        Config
	throttle throttle
	slots    chan struct{} // one for each PBKDF2 that may run at once
	nonce    func() string
	now      func() time.Time
}

// derivations is how many PBKDF2 may run at once (design: a box has few cores,
// and logins must not starve the chat).
const derivations = 2

// NewServer makes a Server.
func NewServer(c Config) *Server {
	if c.Iterations <= 0 {
		c.Iterations = DefaultIterations
	}
	return &Server{c: c, slots: make(chan struct{}, derivations), nonce: newNonce, now: time.Now}
}

// The mechanisms, strongest first (RFC 6120 §13.8, RFC 7677).
const (
	scram256Plus = "SCRAM-SHA-256-PLUS"
	scram1Plus   = "SCRAM-SHA-1-PLUS"
	scram256     = "SCRAM-SHA-256"
	scram1       = "SCRAM-SHA-1"
	plain        = "PLAIN"
)

// Mechanisms returns the names to advertise, strongest first, for a connection with that binding.
func (s *Server) Mechanisms(b Binding) []string {
	var names []string
	if b.available() {
		names = append(names, scram256Plus, scram1Plus)
	}
	if b.TLS || b.Local || s.c.Plaintext {
		names = append(names, scram256, scram1)
	}
	if b.TLS {
		names = append(names, plain)
	}
	return names
}

// mechanism is the state machine of one attempt.
type mechanism interface {
	next(ctx context.Context, in []byte) (out []byte, done bool, err error)
}

// Exchange is one attempt. It belongs to one goroutine.
type Exchange struct {
	s     *Server
	m     mechanism
	asked bool // the empty challenge was sent
	over  bool
	local string
}

// Start begins a mechanism; an unknown one is a *Failure. addr is the peer's IP for throttling.
func (s *Server) Start(mechanism string, b Binding, addr string) (*Exchange, error) {
	offered := false
	for _, name := range s.Mechanisms(b) {
		offered = offered || name == mechanism
	}
	if !offered {
		switch mechanism {
		case plain, scram256, scram1, scram256Plus, scram1Plus:
			if !b.TLS {
				return nil, fail("encryption-required", "This sign-in needs TLS. Turn encryption on.") // RFC 6120 §6.5.4
			}
		}
		return nil, fail("invalid-mechanism", "This sign-in mechanism is not offered here.")
	}
	x := &Exchange{s: s}
	if mechanism == plain {
		x.m = &plainExchange{s: s, addr: addr, x: x}
		return x, nil
	}
	m := &scramExchange{s: s, b: b, addr: addr, x: x, hash: SHA256}
	if mechanism == scram1 || mechanism == scram1Plus {
		m.hash = SHA1
	}
	m.plus = mechanism == scram256Plus || mechanism == scram1Plus
	x.m = m
	return x, nil
}

// Next takes the client's bytes (decoded from base64) and returns the challenge or, when done, the data
// of success. It may wait (throttle, PBKDF2 slots) until ctx ends. Errors are *Failure, and end the
// exchange. Without an initial response the first call has none and asks for it
// with an empty challenge (RFC 6120 §6.4.2).
func (x *Exchange) Next(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	if x.over {
		return nil, false, fail("malformed-request", "The sign-in was over already.")
	}
	if len(in) == 0 && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	x.asked = true
	out, done, err = x.m.next(ctx, in)
	if b, ok := x.s.c.Credentials.(Barrier); ok && done && err == nil && b.Disabled(x.local) {
		out, done, err = nil, false, fail("account-disabled", "This account is switched off. Ask your administrator.") // RFC 6120 §6.5.2
	}
	x.over = done || err != nil
	if err != nil {
		x.local = ""
	}
	return out, done, err
}

// Local is the authenticated localpart after done, "" before.
func (x *Exchange) Local() string { return x.local }

// Failure is a SASL error condition (RFC 6120 §6.5).
type Failure struct {
	Condition string
	Text      string
	Err       error // for the log
	// Binding says that client and server could not agree on channel binding:
	// nothing was guessed, and another mechanism may do.
	Binding bool
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Condition + ": " + f.Err.Error()
	}
	return f.Condition
}

// Unwrap returns the cause that is logged.
func (f *Failure) Unwrap() error { return f.Err }

func fail(condition, text string) *Failure { return &Failure{Condition: condition, Text: text} }

func malformed(what string) *Failure {
	return fail("malformed-request", "The client's sign-in message cannot be read: "+what+".")
}

// refused is the one answer to a wrong password and to an unknown account.
func refused() *Failure {
	return fail("not-authorized", "The user name or the password is wrong.")
}

func interrupted(err error) *Failure {
	return &Failure{Condition: "temporary-auth-failure", Text: "The sign-in took too long. Try again.", Err: err}
}
