package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scramExchange is the server side of one SCRAM exchange (RFC 5802 §5).
type scramExchange struct {
	s    *Server
	x    *Exchange
	b    Binding
	addr string
	hash Hash
	plus bool

	begun       bool
	local       string // prepared
	known       bool
	keys        Keys
	binding     []byte // what c= must hold
	clientFirst string // without the GS2 header
	serverFirst string
	nonce       string
}

func (e *scramExchange) next(ctx context.Context, in []byte) ([]byte, bool, error) {
	if !e.begun {
		e.begun = true
		out, err := e.first(ctx, string(in))
		return out, false, err
	}
	out, err := e.final(ctx, string(in))
	return out, err == nil, err
}

// first reads the client's first message and makes the challenge.
func (e *scramExchange) first(ctx context.Context, in string) ([]byte, error) {
	if !utf8.ValidString(in) {
		return nil, malformed("it is not UTF-8")
	}
	flag, rest, ok1 := strings.Cut(in, ",")
	authz, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return nil, malformed("it has no GS2 header")
	}
	if err := e.bind(flag, in[:len(in)-len(bare)]); err != nil {
		var f *Failure
		if errors.As(err, &f) {
			f.Binding = true
		}
		return nil, err
	}
	if authz != "" {
		name, ok := strings.CutPrefix(authz, "a=")
		if authz, ok = saslName(name, ok); !ok || authz == "" {
			return nil, malformed("its authorization identity is not well-formed")
		}
	}
	name, client, err := readFirst(bare)
	if err != nil {
		return nil, err
	}
	local, possible := e.s.username(name)
	if authz != "" && !e.s.sameAccount(authz, local) {
		return nil, fail("invalid-authzid", "You can only sign in as yourself.") // RFC 6120 §6.5.6
	}
	e.local = local
	if possible {
		e.keys, e.known = e.s.c.Credentials.Keys(ctx, local, e.hash)
	}
	if !e.known {
		e.keys = e.s.fake(local, e.hash)
	}
	e.clientFirst = bare
	e.nonce = client + e.s.nonce()
	e.serverFirst = "r=" + e.nonce + ",s=" + base64.StdEncoding.EncodeToString(e.keys.Salt) + ",i=" + strconv.Itoa(e.keys.Iterations)
	return []byte(e.serverFirst), nil
}

// bind checks the channel binding flag and keeps what c= must hold (RFC 5802 §6).
func (e *scramExchange) bind(flag, header string) error {
	e.binding = []byte(header)
	kind, wanted := strings.CutPrefix(flag, "p=")
	switch {
	case wanted && !e.plus:
		return malformed("it asks for channel binding without a -PLUS mechanism")
	case wanted:
		data := e.b.data(kind)
		if len(data) == 0 {
			return malformed("its kind of channel binding is not supported")
		}
		e.binding = append(e.binding, data...)
	case flag != "y" && flag != "n":
		return malformed("its channel binding flag is unknown")
	case e.plus:
		return malformed("a -PLUS mechanism without channel binding")
	case flag == "y" && e.b.available():
		// The client was shown no -PLUS although we offer it: somebody in between
		// has removed it.
		f := fail("not-authorized", "The list of sign-in mechanisms was changed on the way. Somebody may be listening.")
		f.Err = errors.New("scram downgrade: the client says that no -PLUS mechanism was offered")
		return f
	}
	return nil
}

// readFirst is client-first-message-bare (RFC 5802 §7).
func readFirst(bare string) (name, nonce string, err error) {
	if strings.HasPrefix(bare, "m=") {
		return "", "", malformed("it demands an extension that is not supported")
	}
	n, rest, ok := strings.Cut(bare, ",")
	n, hasName := strings.CutPrefix(n, "n=")
	if name, hasName = saslName(n, hasName); !ok || !hasName || name == "" {
		return "", "", malformed("it has no user name")
	}
	r, _, _ := strings.Cut(rest, ",") // what follows are optional extensions
	nonce, ok = strings.CutPrefix(r, "r=")
	if !ok || nonce == "" || len(nonce) > 256 {
		return "", "", malformed("it has no nonce")
	}
	for i := 0; i < len(nonce); i++ {
		if nonce[i] < 0x21 || nonce[i] > 0x7e {
			return "", "", malformed("its nonce is not printable")
		}
	}
	return name, nonce, nil
}

// saslName undoes the escaping of ',' and '=' (RFC 5802 §5.1).
func saslName(s string, ok bool) (string, bool) {
	if !ok || strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "=")
		b.WriteString(plain)
		switch {
		case !found:
			return b.String(), true
		case strings.HasPrefix(rest, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = rest[2:]
	}
}

// final reads the client's proof and makes the server's signature.
func (e *scramExchange) final(ctx context.Context, in string) ([]byte, error) {
	at := strings.LastIndex(in, ",p=")
	if at < 0 {
		return nil, malformed("it has no proof")
	}
	withoutProof := in[:at]
	proof, err := base64.StdEncoding.DecodeString(in[at+3:])
	if err != nil {
		return nil, malformed("its proof is not base64")
	}
	c, rest, _ := strings.Cut(withoutProof, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	c, hasBinding := strings.CutPrefix(c, "c=")
	nonce, hasNonce := strings.CutPrefix(nonce, "r=")
	binding, err := base64.StdEncoding.DecodeString(c)
	if !hasBinding || !hasNonce || err != nil {
		return nil, malformed("its binding or nonce is missing")
	}
	var out []byte
	err = e.s.attempt(ctx, e.addr, e.local, func() (bool, error) {
		message := e.clientFirst + "," + e.serverFirst + "," + withoutProof
		ok := e.verify(message, proof)
		ok = ok && e.known && nonce == e.nonce && bytes.Equal(binding, e.binding)
		out = []byte("v=" + base64.StdEncoding.EncodeToString(e.hash.mac(e.keys.ServerKey, message)))
		return ok, nil
	})
	if err != nil {
		return nil, err
	}
	e.x.local = e.local
	return out, nil
}

// verify recovers the client key from the proof (RFC 5802 §3).
func (e *scramExchange) verify(message string, proof []byte) bool {
	key := e.hash.mac(e.keys.StoredKey, message)
	same := len(key) == len(proof)
	for i := range key {
		if same {
			key[i] ^= proof[i]
		}
	}
	return hmac.Equal(e.hash.sum(key), e.keys.StoredKey) && same
}
