package c2s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/sasl"
)

const (
	home     = "office.example"
	password = "Treppe-17"
)

// people is who exists, all with the same password.
type people struct {
	names  []string
	sha256 sasl.Keys
	sha1   sasl.Keys
}

func newPeople(names ...string) (*people, error) {
	p := &people{names: names}
	var err error
	if p.sha256, err = sasl.Derive(password, []byte("salt of a house "), 4096, sasl.SHA256); err != nil {
		return nil, err
	}
	p.sha1, err = sasl.Derive(password, []byte("salt of a house "), 4096, sasl.SHA1)
	return p, err
}

func (p *people) Exists(local string) bool {
	return slices.Contains(p.names, local) || strings.HasPrefix(local, "user")
}

func (p *people) Keys(_ context.Context, local string, h sasl.Hash) (sasl.Keys, bool) {
	if !p.Exists(local) {
		return sasl.Keys{}, false
	}
	if h == sasl.SHA1 {
		return p.sha1, true
	}
	return p.sha256, true
}

func (p *people) FakeSeed() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// shelf is a store in memory whose Later commits when told to, or at once.
type shelf struct {
	mu    sync.Mutex // guards what follows
	held  bool
	queue []func(error)
}

func (s *shelf) Table(string) xmpp.Table { return &shelfTable{shelf: s, m: map[string][]byte{}} }

func (s *shelf) LaterAll(_ map[string]map[string]any, done func(error)) { s.later(done) }

func (s *shelf) later(done func(error)) {
	s.mu.Lock()
	if s.held {
		s.queue = append(s.queue, done)
		done = nil
	}
	s.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

// commit finishes n waiting changes, all for n < 0.
func (s *shelf) commit(n int, err error) {
	s.mu.Lock()
	if n < 0 {
		n = len(s.queue)
	}
	todo := s.queue[:n]
	s.queue = s.queue[n:]
	s.mu.Unlock()
	for _, f := range todo {
		f(err)
	}
}

type shelfTable struct {
	shelf *shelf
	mu    sync.Mutex // guards what follows
	m     map[string][]byte
	n     uint64
}

func (t *shelfTable) Get(key string, v any) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	raw, ok := t.m[key]
	if !ok {
		return false, nil
	}
	return true, unmarshal(raw, v)
}

func (t *shelfTable) Write(changes map[string]any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range changes {
		if v == nil {
			delete(t.m, k)
			continue
		}
		raw, err := marshal(v)
		if err != nil {
			return err
		}
		t.m[k] = raw
	}
	return nil
}

func (t *shelfTable) Later(changes map[string]any, done func(error)) {
	err := t.Write(changes)
	if done == nil {
		return
	}
	if err != nil {
		done(err)
		return
	}
	t.shelf.later(done)
}

func (t *shelfTable) Range(from, to string, reverse bool, f func(string, []byte) bool) error {
	t.mu.Lock()
	m := maps.Clone(t.m)
	t.mu.Unlock()
	keys := slices.Sorted(maps.Keys(m))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if k >= from && (to == "" || k < to) && !f(k, m[k]) {
			return nil
		}
	}
	return nil
}

func (t *shelfTable) Next() (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	return t.n, nil
}

// house is a server on loopback with a real router.
type house struct {
	t      testing.TB
	srv    *Server
	router *router.Router
	shelf  *shelf
	plain  string // addresses
	direct string

	mu    sync.Mutex // guards what follows
	roots *x509.CertPool
	cert  *tls.Certificate

	stop  context.CancelFunc
	ended chan struct{}
	keys  sync.Map
}

type option func(*Config)

func open(t testing.TB, modules []xmpp.Module, opts ...option) *house {
	t.Helper()
	p, err := newPeople("alice", "bob", "carol")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, shelf: &shelf{}, ended: make(chan struct{})}
	h.router = router.New(router.Config{Domain: home, Accounts: p, Store: h.shelf, Log: slog.New(slog.DiscardHandler)})
	if err := h.router.Load(modules...); err != nil {
		t.Fatal(err)
	}
	h.setCert(selfSigned(t))
	c := Config{
		Domain: home,
		Router: h.router,
		TLS:    &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return h.current(), nil }},
	}
	c.Limits.Closing = 500 * time.Millisecond
	for _, o := range opts {
		o(&c)
	}
	if c.SASL == nil {
		c.SASL = sasl.NewServer(sasl.Config{Credentials: p, Domain: home, Plaintext: !c.RequireTLS})
	}
	h.srv = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	plain, direct := h.listen(), h.listen()
	h.plain, h.direct = plain.Addr().String(), direct.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.srv.Serve(ctx, plain, false); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := h.srv.Serve(ctx, direct, true); err != nil {
			t.Error(err)
		}
	})
	go func() { wg.Wait(); close(h.ended) }()
	t.Cleanup(h.close)
	return h
}

// setCert changes the certificate; the server has handed out a pointer to the old one.
func (h *house) setCert(cert tls.Certificate, roots *x509.CertPool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cert, h.roots = &cert, roots
}

func (h *house) current() *tls.Certificate {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cert
}

func (h *house) listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// conns are the connections that there are.
func (h *house) conns() map[*conn]struct{} {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	return maps.Clone(h.srv.conns)
}

func (h *house) close() {
	h.stop()
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.t.Error("Serve has not returned")
	}
	if n := h.srv.Connections(); n != 0 {
		h.t.Errorf("%d connections left", n)
	}
}

func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	cert, err := makeCert()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return cert, pool
}

func makeCert() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: home}, DNSNames: []string{home},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func loopback(c *Config)   { c.RequireTLS = false }
func requireTLS(c *Config) { c.RequireTLS = true }

func limits(f func(*Limits)) option { return func(c *Config) { f(&c.Limits) } }

var header = fmt.Sprintf("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' to='%s' version='1.0'>", nsStream, home)
