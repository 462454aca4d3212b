package websocket

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/xmpp/c2s"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/sasl"
	"doorway/xmpp/xmpptest"
)

const (
	home     = "office.example"
	password = "Treppe-17"
)

// people has accounts that share a password.
type people map[string]bool

var derived = sync.OnceValue(func() map[sasl.Hash]sasl.Keys {
	m := map[sasl.Hash]sasl.Keys{}
	for _, h := range []sasl.Hash{sasl.SHA256, sasl.SHA1} {
		k, err := sasl.Derive(password, []byte("salt of a house "), 4096, h)
		if err != nil {
			panic(err)
		}
		m[h] = k
	}
	return m
})

func (p people) Exists(local string) bool { return p[local] }
func (p people) FakeSeed() []byte         { return []byte("0123456789abcdef0123456789abcdef") }
func (p people) Keys(_ context.Context, local string, h sasl.Hash) (sasl.Keys, bool) {
	return derived()[h], p[local]
}

// house is a server that takes clients over TCP and WebSocket, with and without TLS.
type house struct {
	t                 testing.TB
	clients           *c2s.Server
	handler           *Handler
	tcp, plain, wss   string // addresses
	roots             *x509.CertPool
	stop, stopSockets context.CancelFunc
	done              *sync.WaitGroup
}

// open starts a house; f may change what it is made of.
func open(t testing.TB, f func(*c2s.Config, *Config)) *house {
	t.Helper()
	all := people{"alice": true, "bob": true}
	r := routertest.Open(t, router.Config{Domain: home, Accounts: all}, routertest.Available()).Router
	cert, roots := certificate(t)
	cc := c2s.Config{Domain: home, Router: r, RequireTLS: true, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	cc.SASL = sasl.NewServer(sasl.Config{Credentials: all, Domain: home})
	cc.Limits.Closing = 2 * time.Second
	wc := Config{Domain: home}
	if f != nil {
		f(&cc, &wc)
	}
	h := &house{t: t, roots: roots, clients: c2s.New(cc), done: &sync.WaitGroup{}}
	wc.Clients = h.clients
	h.handler = New(wc)
	ctx, stop := context.WithCancel(context.Background())
	sockets, stopSockets := context.WithCancel(context.Background())
	h.stop, h.stopSockets = stop, stopSockets
	h.done.Go(func() {
		if err := h.handler.Run(sockets); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "Run does not run", h.handler.serving.Load)
	tcp, plain, below := listen(t), listen(t), listen(t)
	h.tcp, h.plain, h.wss = tcp.Addr().String(), plain.Addr().String(), below.Addr().String()
	h.done.Go(func() {
		if err := h.clients.Serve(ctx, tcp, false); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	mux.Handle(Path, h.handler)
	xrd, jrd := h.handler.Discovery()
	mux.Handle("/.well-known/host-meta", xrd)
	mux.Handle("/.well-known/host-meta.json", jrd)
	for _, l := range []net.Listener{plain, h.clients.Secured(below, "http/1.1")} {
		srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		h.done.Go(func() { _ = srv.Serve(l) }) // ignored: it ends with Close
		context.AfterFunc(ctx, func() { srv.Close() })
	}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	h.stop()
	h.stopSockets()
	h.done.Wait()
	if n := h.clients.Connections(); n != 0 {
		h.t.Errorf("%d connections are left", n)
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: home}, DNSNames: []string{home},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

func (h *house) tls() *tls.Config { return &tls.Config{RootCAs: h.roots, ServerName: home} }

// socket opens a WebSocket, with TLS or without.
func (h *house) socket(secure bool) *xmpptest.Socket {
	h.t.Helper()
	addr, cfg := h.plain, (*tls.Config)(nil)
	if secure {
		addr, cfg = h.wss, h.tls()
	}
	s, err := xmpptest.DialSocket(h.ctx(), addr, Path, cfg, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Conn().Close() })
	return s
}

// hears reads until a text comes, which must hold want.
func (h *house) hears(s *xmpptest.Socket, want string) {
	h.t.Helper()
	for {
		op, text, err := s.Next(h.ctx())
		if err != nil {
			h.t.Fatal(err)
		}
		if op != opText {
			continue
		}
		if !strings.Contains(text, want) {
			h.t.Fatalf("heard %s, want %s", text, want)
		}
		return
	}
}

// login signs in over a WebSocket.
func (h *house) login(user, resource string, secure bool) (*xmpptest.Client, *xmpptest.Socket) {
	h.t.Helper()
	s := h.socket(secure)
	o := h.options(user, resource)
	o.Channel, _ = s.Conn().(*tls.Conn)
	c, err := xmpptest.New(h.ctx(), s.Stream(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	return c, s
}

func (h *house) options(user, resource string) xmpptest.Options {
	return xmpptest.Options{Domain: home, User: user, Password: password, Resource: resource}
}

// overTCP signs in with STARTTLS.
func (h *house) overTCP(user, resource string, o func(*xmpptest.Options)) *xmpptest.Client {
	h.t.Helper()
	opts := h.options(user, resource)
	opts.TLS, opts.TLSConfig = xmpptest.StartTLS, h.tls()
	if o != nil {
		o(&opts)
	}
	c, err := xmpptest.Dial(h.ctx(), h.tcp, opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Kill() }) // ignored: it may be gone
	return c
}

// say sends messages of a socket.
func (h *house) say(s *xmpptest.Socket, texts ...string) {
	h.t.Helper()
	for _, text := range texts {
		if err := s.Send(text); err != nil {
			h.t.Fatal(err)
		}
	}
}

// hear takes the next frame of a socket, which has to be text with all that in it.
func (h *house) hear(s *xmpptest.Socket, want ...string) string {
	h.t.Helper()
	op, text, err := s.Next(h.ctx())
	if err != nil || op != xmpptest.OpText {
		h.t.Fatalf("a frame of kind %d with %q (%v), want %q", op, text, err, want)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			h.t.Fatalf("heard %s, want %s", text, w)
		}
	}
	return text
}

// parted: the server ends the WebSocket with that code, and the connection.
func (h *house) parted(s *xmpptest.Socket, code int) {
	h.t.Helper()
	op, payload, err := s.Next(h.ctx())
	if err != nil || op != xmpptest.OpClose || payload != string([]byte{byte(code >> 8), byte(code)}) {
		h.t.Fatalf("a frame of kind %d with %q (%v), want a close frame with %d", op, payload, err, code)
	}
	if err := s.Write(xmpptest.Frame(xmpptest.OpClose, payload)); err != nil {
		h.t.Fatal(err)
	}
	if err := xmpptest.Closed(h.ctx(), s.Conn()); err != nil {
		h.t.Fatal(err)
	}
}

const opening = "<open xmlns='" + nsFraming + "' to='" + home + "' version='1.0'/>"

// chat sends a message and has it arrive.
func (h *house) chat(from, to *xmpptest.Client, body string) {
	h.t.Helper()
	if err := from.Send("<message type='chat' to='" + to.JID().String() + "'><body>" + body + "</body></message>"); err != nil {
		h.t.Fatal(err)
	}
	s, err := to.Next(h.ctx())
	if err != nil || s.Body() != body || s.From != from.JID() {
		h.t.Fatalf("got %v, %v; want %q", s, err, body)
	}
}

// eventually waits until f says so.
func eventually(t testing.TB, fault string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(fault)
		}
	}
}
