package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"unicode/utf8"
)

// plainExchange is PLAIN (RFC 4616), offered under TLS only.
type plainExchange struct {
	s    *Server
	x    *Exchange
	addr string
}

// maxPassword bounds what preparation and PBKDF2 are given.
const maxPassword = 1024

func (e *plainExchange) next(ctx context.Context, in []byte) ([]byte, bool, error) {
	parts := bytes.Split(in, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || len(parts[2]) > maxPassword || !utf8.Valid(in) {
		return nil, false, malformed("it is not authzid, user name and password")
	}
	authzid, name, password := string(parts[0]), string(parts[1]), string(parts[2])
	local, possible := e.s.username(name)
	if !e.s.sameAccount(authzid, local) {
		return nil, false, fail("invalid-authzid", "You can only sign in as yourself.")
	}
	var keys Keys
	known, hash := false, SHA256
	if possible {
		if keys, known = e.s.c.Credentials.Keys(ctx, local, SHA256); !known {
			// An account from another server may have keys for SHA-1 only.
			if keys, known = e.s.c.Credentials.Keys(ctx, local, SHA1); known {
				hash = SHA1
			}
		}
	}
	if !known {
		keys = e.s.fake(local, SHA256)
	}
	err := e.s.attempt(ctx, e.addr, local, func() (bool, error) {
		select {
		case e.s.slots <- struct{}{}:
			defer func() { <-e.s.slots }()
		case <-ctx.Done():
			return false, ctx.Err()
		}
		got, err := Derive(password, keys.Salt, keys.Iterations, hash)
		return err == nil && hmac.Equal(got.StoredKey, keys.StoredKey) && known, nil
	})
	if err != nil {
		return nil, false, err
	}
	e.x.local = local
	return nil, true, nil
}
