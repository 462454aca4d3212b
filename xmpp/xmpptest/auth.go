package xmpptest

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const saslSpace = "urn:ietf:params:xml:ns:xmpp-sasl"

// AuthError is the server's refusal of a sign-in (RFC 6120 §6.5).
type AuthError struct {
	Condition string
	Text      string
}

func (e *AuthError) Error() string { return "sasl: " + e.Condition + ": " + e.Text }

// Salted remembers salted passwords, so that many clients of a benchmark do not
// each spend a PBKDF2. The zero value is ready; safe for concurrent use.
type Salted struct {
	mu   sync.Mutex // guards keys
	keys map[string][]byte
}

func (s *Salted) derive(h func() hash.Hash, password string, salt []byte, iterations int) ([]byte, error) {
	size := h().Size()
	if s == nil {
		return pbkdf2.Key(h, password, salt, iterations, size)
	}
	id := fmt.Sprintf("%d %d %x %s", size, iterations, salt, password)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.keys[id]; ok {
		return k, nil
	}
	k, err := pbkdf2.Key(h, password, salt, iterations, size)
	if err == nil {
		if s.keys == nil {
			s.keys = make(map[string][]byte)
		}
		s.keys[id] = k
	}
	return k, err
}

// Mechanisms lists what the server offered.
func (c *Client) Mechanisms() []string {
	var names []string
	if f := c.Feature(saslSpace, "mechanisms"); f != nil {
		for i := range f.Children {
			names = append(names, f.Children[i].Text)
		}
	}
	return names
}

func (c *Client) authenticate(ctx context.Context) error {
	known := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}
	offered, mech := c.Mechanisms(), c.o.Mechanism
	if mech == "" {
		i := slices.IndexFunc(offered, func(m string) bool { return slices.Contains(known, m) })
		if i < 0 {
			return fmt.Errorf("the server offers the mechanisms %q", offered)
		}
		mech = offered[i]
	}
	if mech == "PLAIN" {
		_, err := c.auth(ctx, "auth", mech, []byte("\x00"+c.o.User+"\x00"+c.o.Password))
		return err
	}
	return c.scram(ctx, mech)
}

// auth sends a SASL element and returns the data of the answer; done with success.
func (c *Client) auth(ctx context.Context, local, mech string, data []byte) (answer []byte, err error) {
	var w xmlstream.Writer
	w.Leaf(saslSpace, local, base64.StdEncoding.EncodeToString(data), "mechanism", mech)
	if err := c.Send(w.String()); err != nil {
		return nil, err
	}
	el, err := c.element(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case el.Name.Space == saslSpace && (el.Name.Local == "challenge" || el.Name.Local == "success"):
		return base64.StdEncoding.DecodeString(el.Text)
	case el.Name.Space == saslSpace && el.Name.Local == "failure":
		return nil, failure(&el)
	}
	return nil, fmt.Errorf("sasl: the server answered with {%s}%s", el.Name.Space, el.Name.Local)
}

func failure(el *stanza.Element) error {
	e := &AuthError{}
	for i := range el.Children {
		if c := &el.Children[i]; c.Name.Local == "text" {
			e.Text = c.Text
		} else {
			e.Condition = c.Name.Local
		}
	}
	return e
}

// scram is RFC 5802 §5 from the client's side.
func (c *Client) scram(ctx context.Context, mech string) error {
	h := sha256.New
	if strings.HasPrefix(mech, "SCRAM-SHA-1") {
		h = func() hash.Hash { return sha1.New() }
	}
	gs2, binding := "n,,", []byte(nil)
	if strings.HasSuffix(mech, "-PLUS") {
		kind := c.o.Binding
		if kind == "" {
			kind = "tls-exporter"
		}
		var err error
		if binding, err = c.channel(kind); err != nil {
			return err
		}
		gs2 = "p=" + kind + ",,"
	}
	random := make([]byte, 18)
	rand.Read(random) // never fails
	nonce := base64.StdEncoding.EncodeToString(random)
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.o.User)
	bare := "n=" + name + ",r=" + nonce
	challenge, err := c.auth(ctx, "auth", mech, []byte(gs2+bare))
	if err != nil {
		return err
	}
	salt, iterations, full, err := readChallenge(string(challenge), nonce)
	if err != nil {
		return err
	}
	salted, err := c.o.Salted.derive(h, c.o.Password, salt, iterations)
	if err != nil {
		return err
	}
	mac := func(key []byte, data string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(data))
		return m.Sum(nil)
	}
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(gs2), binding...)) + ",r=" + full
	message := bare + "," + string(challenge) + "," + without
	key := mac(salted, "Client Key")
	d := h()
	d.Write(key)
	proof := mac(d.Sum(nil), message)
	for i := range proof {
		proof[i] ^= key[i]
	}
	final, err := c.auth(ctx, "response", "", []byte(without+",p="+base64.StdEncoding.EncodeToString(proof)))
	if err != nil {
		return err
	}
	if want := mac(mac(salted, "Server Key"), message); string(final) != "v="+base64.StdEncoding.EncodeToString(want) {
		return errors.New("scram: the server does not know the password")
	}
	return nil
}

func readChallenge(s, nonce string) (salt []byte, iterations int, full string, err error) {
	f := strings.Split(s, ",")
	if len(f) < 3 || !strings.HasPrefix(f[0], "r="+nonce) || !strings.HasPrefix(f[1], "s=") || !strings.HasPrefix(f[2], "i=") {
		return nil, 0, "", fmt.Errorf("scram: the challenge is %q", s)
	}
	if salt, err = base64.StdEncoding.DecodeString(f[1][2:]); err == nil {
		iterations, err = strconv.Atoi(f[2][2:])
	}
	return salt, iterations, f[0][2:], err
}

// channel is the data of a channel binding (RFC 9266, RFC 5929 §4).
func (c *Client) channel(kind string) ([]byte, error) {
	conn, ok := c.conn.(*tls.Conn)
	if c.o.Channel != nil {
		conn, ok = c.o.Channel, true
	}
	if !ok {
		return nil, errors.New("channel binding without TLS")
	}
	st := conn.ConnectionState()
	if kind == "tls-exporter" {
		return st.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32) // RFC 9266 §2
	}
	if kind != "tls-server-end-point" {
		return nil, fmt.Errorf("unknown channel binding %q", kind)
	}
	cert := st.PeerCertificates[0]
	var h hash.Hash
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = sha512.New384()
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write(cert.Raw)
	return h.Sum(nil), nil
}
