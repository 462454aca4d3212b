// Package sasl is the server side of SASL for XMPP (RFC 6120 §6, RFC 5802,
// RFC 7677, RFC 5929, RFC 9266).
package sasl

import "context"

// Keys are what is stored of a password for one SCRAM hash (RFC 5802 §3).
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Hash names a SCRAM hash.
type Hash string

// The two hashes offered.
const (
	SHA256 Hash = "SHA-256"
	SHA1   Hash = "SHA-1"
)

// Credentials looks up the keys of an account by its canonical localpart (gateway/people).
// ok false: no such account or disabled; the mechanism then goes on with a stable fake salt.
type Credentials interface {
	Keys(ctx context.Context, local string, h Hash) (k Keys, ok bool)
	// FakeSeed is the box's secret for fake salts.
	FakeSeed() []byte
}

// Derive computes the keys of a password (prepared by OpaqueString, RFC 8265 §4.2).
func Derive(password string, salt []byte, iterations int, h Hash) (Keys, error) { panic("skeleton") }

// Binding is what the TLS connection offers for channel binding; zero without TLS.
type Binding struct {
	TLS      bool
	Exporter []byte // tls-exporter (RFC 9266), nil when not available
	EndPoint []byte // tls-server-end-point (RFC 5929 §4)
}

// Server authenticates; one for the process. It throttles guesses by address and by account.
type Server struct{}

// Config makes a Server.
type Config struct {
	Credentials Credentials
	Domain      string
	// Plaintext offers mechanisms without TLS (SCRAM only); for test listeners on loopback.
	Plaintext bool
}

// NewServer makes a Server.
func NewServer(c Config) *Server { panic("skeleton") }

// Mechanisms returns the names to advertise, strongest first, for a connection with that binding.
func (s *Server) Mechanisms(b Binding) []string { panic("skeleton") }

// Exchange is one attempt.
type Exchange struct{}

// Start begins a mechanism; an unknown one is a *Failure. addr is the peer's IP for throttling.
func (s *Server) Start(mechanism string, b Binding, addr string) (*Exchange, error) {
	panic("skeleton")
}

// Next takes the client's bytes (decoded from base64) and returns the challenge or, when done, the data
// of success. It may wait (throttle, PBKDF2 slots) until ctx ends. Errors are *Failure.
func (x *Exchange) Next(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	panic("skeleton")
}

// Local is the authenticated localpart after done.
func (x *Exchange) Local() string { panic("skeleton") }

// Failure is a SASL error condition (RFC 6120 §6.5).
type Failure struct {
	Condition string
	Text      string
	Err       error // for the log
}

func (f *Failure) Error() string { return f.Condition }
func (f *Failure) Unwrap() error { return f.Err }
