package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"doorway/xmpp/jid"
)

// What new passwords are stored with. Made-up salts look the same.
const (
	DefaultIterations = 4096 // RFC 7677 §4 asks for no less
	SaltSize          = 16
)

// Keys are what is stored of a password for one SCRAM hash (RFC 5802 §3).
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// newHash returns nil for an unknown name.
func (h Hash) newHash() func() hash.Hash {
	switch h {
	case SHA256:
		return sha256.New
	case SHA1:
		return sha1.New
	}
	return nil
}

func (h Hash) mac(key []byte, parts ...string) []byte {
	m := hmac.New(h.newHash(), key)
	for _, p := range parts {
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

func (h Hash) sum(b []byte) []byte {
	d := h.newHash()()
	d.Write(b)
	return d.Sum(nil)
}

// Derive computes the keys of a password (prepared by OpaqueString, RFC 8265 §4.2).
// An empty password, or one with characters that profile forbids, is an error.
func Derive(password string, salt []byte, iterations int, h Hash) (Keys, error) {
	if h.newHash() == nil {
		return Keys{}, fmt.Errorf("derive keys: unknown hash %q", string(h))
	}
	if len(salt) == 0 || iterations < 1 {
		return Keys{}, errors.New("derive keys: no salt or no iterations")
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil || !utf8.ValidString(password) {
		return Keys{}, errors.New("derive keys: the password is empty or has control characters") // never the password itself
	}
	salted, err := pbkdf2.Key(h.newHash(), prepared, salt, iterations, h.newHash()().Size())
	if err != nil {
		return Keys{}, fmt.Errorf("derive keys: %w", err)
	}
	return Keys{
		Salt: salt, Iterations: iterations,
		StoredKey: h.sum(h.mac(salted, "Client Key")),
		ServerKey: h.mac(salted, "Server Key"),
	}, nil
}

// fake makes up keys for a name that has none: always the same ones, and none
// that a password would give.
func (s *Server) fake(local string, h Hash) Keys {
	seed := s.c.Credentials.FakeSeed()
	return Keys{
		Salt:       SHA256.mac(seed, "salt ", string(h), " ", local)[:SaltSize],
		Iterations: s.c.Iterations,
		StoredKey:  h.mac(seed, "stored ", local),
		ServerKey:  h.mac(seed, "server ", local),
	}
}

// username prepares what the client called itself. ok false: it can be no
// account, and the exchange goes on with made-up keys.
func (s *Server) username(name string) (local string, ok bool) {
	j, err := jid.New(name, "localhost", "")
	if err != nil || j.Local() == "" {
		return name, false
	}
	return j.Clone().Local(), true
}

// sameAccount checks an authorization identity: none, or the bare JID of the
// account itself (RFC 6120 §6.3.8).
func (s *Server) sameAccount(authzid, local string) bool {
	if authzid == "" {
		return true
	}
	j, err := jid.Parse(authzid)
	if err != nil || !j.IsBare() {
		return false
	}
	own, err := jid.New(local, s.c.Domain, "")
	return err == nil && j == own
}

// newNonce is 144 random bits.
func newNonce() string {
	b := make([]byte, 18)
	rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
