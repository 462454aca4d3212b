package xmpptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// peer is a server just large enough for one client: it negotiates, echoes
// messages, answers IQ gets and refuses sets but bind.
type peer struct {
	t    *testing.T
	l    net.Listener
	cfg  *tls.Config
	cert []byte
	sasl *sasl.Server
	mode TLSMode
	done chan struct{}
}

type accounts struct{}

func (accounts) FakeSeed() []byte { return []byte("seed") }
func (accounts) Keys(_ context.Context, local string, h sasl.Hash) (sasl.Keys, bool) {
	k, err := sasl.Derive("secret", []byte("0123456789abcdef"), 4096, h)
	return k, err == nil && local == "alice"
}

func newPeer(t *testing.T, mode TLSMode) *peer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"office.localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{
		t: t, l: l, mode: mode, cert: der, done: make(chan struct{}),
		cfg:  &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		sasl: sasl.NewServer(sasl.Config{Credentials: accounts{}, Domain: "office.localhost", Plaintext: true}),
	}
	go p.serve() // ends with the listener; Cleanup waits
	t.Cleanup(func() {
		l.Close()
		<-p.done
	})
	return p
}

func (p *peer) options(mech string) Options {
	roots := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(p.cert)
	roots.AddCert(cert)
	return Options{Domain: "office.localhost", User: "alice", Password: "secret", Resource: "r", TLS: p.mode, TLSConfig: &tls.Config{RootCAs: roots}, Mechanism: mech}
}

func (p *peer) serve() {
	defer close(p.done)
	for {
		conn, err := p.l.Accept()
		if err != nil {
			return
		}
		func() {
			defer conn.Close()
			if err := p.session(conn); err != nil && !strings.Contains(err.Error(), "EOF") && !errors.Is(err, net.ErrClosed) {
				p.t.Logf("peer: %v", err)
			}
		}()
	}
}

func (p *peer) session(conn net.Conn) error {
	secure := false
	if p.mode == Direct {
		conn = tls.Server(conn, p.cfg)
		secure = true
	}
	r := xmlstream.NewReader(conn, xmlstream.Limits{})
	var x *sasl.Exchange
	in := false
	for {
		t, err := r.Next()
		if err != nil {
			var se *xmlstream.SyntaxError
			if errors.As(err, &se) {
				fmt.Fprint(conn, (&stanza.StreamError{Condition: se.Condition}).XML(), "</stream:stream>")
			}
			return err
		}
		if t.Kind == xmlstream.StreamClose {
			fmt.Fprint(conn, "</stream:stream>")
			return nil
		}
		switch t.Name.Local {
		case "stream":
			features := "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
			if !in {
				features = "<mechanisms xmlns='" + saslSpace + "'>"
				for _, m := range p.sasl.Mechanisms(p.binding(conn)) {
					features += "<mechanism>" + m + "</mechanism>"
				}
				features += "</mechanisms>"
				if p.mode == StartTLS && !secure {
					features = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
				}
			}
			fmt.Fprint(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='"+streamSpace+"' id='1' from='office.localhost' version='1.0'><stream:features>"+features+"</stream:features>")
		case "starttls":
			fmt.Fprint(conn, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			conn, secure = tls.Server(conn, p.cfg), true
			r.Restart(conn, xmlstream.Limits{})
		case "auth", "response":
			if t.Name.Local == "auth" {
				if x, err = p.sasl.Start(string(t.Attr("mechanism")), p.binding(conn), "addr"); err != nil {
					return err
				}
			}
			data, _ := base64.StdEncoding.DecodeString(string(t.Inner))
			out, done, err := x.Next(context.Background(), data)
			var f *sasl.Failure
			switch {
			case errors.As(err, &f):
				fmt.Fprintf(conn, "<failure xmlns='%s'><%s/><text>%s</text></failure>", saslSpace, f.Condition, f.Text)
			case done:
				in = true
				fmt.Fprintf(conn, "<success xmlns='%s'>%s</success>", saslSpace, base64.StdEncoding.EncodeToString(out))
				r.Restart(conn, xmlstream.Limits{})
			default:
				fmt.Fprintf(conn, "<challenge xmlns='%s'>%s</challenge>", saslSpace, base64.StdEncoding.EncodeToString(out))
			}
		case "r":
			fmt.Fprint(conn, "<a xmlns='urn:xmpp:sm:3' h='7'/>")
		default:
			s, err := stanza.FromToken(&t)
			if err != nil {
				return err
			}
			switch {
			case s.HasChild("urn:ietf:params:xml:ns:xmpp-bind", "bind"):
				s = s.Reply("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@office.localhost/r</jid></bind>")
			case s.Kind == stanza.IQ && s.Type == "set":
				s = s.ErrorReply(stanza.NewError(stanza.NotAllowed, "Not here."))
			case s.Kind == stanza.IQ:
				s = s.Reply("")
			}
			conn.Write(s.AppendXML(nil, ""))
		}
	}
}

func (p *peer) binding(conn net.Conn) sasl.Binding {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return sasl.Binding{}
	}
	st := t.ConnectionState()
	km, _ := st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	sum := sha256.Sum256(p.cert)
	return sasl.Binding{TLS: true, Exporter: km, EndPoint: sum[:]}
}

func TestSignIn(t *testing.T) {
	for _, c := range []struct {
		mode    TLSMode
		mech    string
		binding string
	}{
		{None, "SCRAM-SHA-256", ""}, {None, "", ""}, {StartTLS, "", ""}, {StartTLS, "PLAIN", ""}, {Direct, "SCRAM-SHA-1", ""},
		{Direct, "SCRAM-SHA-256-PLUS", ""}, {StartTLS, "SCRAM-SHA-1-PLUS", "tls-server-end-point"},
	} {
		p := newPeer(t, c.mode)
		o := p.options(c.mech)
		o.Binding, o.Salted = c.binding, &Salted{}
		for range 2 {
			client, err := Dial(t.Context(), p.l.Addr().String(), o)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			if client.JID() != jid.MustParse("alice@office.localhost/r") {
				t.Fatalf("%v: bound %s", c, client.JID())
			}
			client.Close()
		}
		o.Password = "wrong"
		_, err := Dial(t.Context(), p.l.Addr().String(), o)
		var ae *AuthError
		if !errors.As(err, &ae) || ae.Condition != "not-authorized" || ae.Text == "" {
			t.Fatalf("%v, wrong password: %v", c, err)
		}
	}
}

func TestExpect(t *testing.T) {
	p := newPeer(t, None)
	c, err := Dial(t.Context(), p.l.Addr().String(), p.options(""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, id := range []string{"1", "2", "3"} {
		if err := c.Send("<message id='" + id + "'><body>hi</body></message>"); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := c.Expect(ctx, func(s *stanza.Stanza) bool { return s.ID == "2" }); err != nil || s.Body() != "hi" {
		t.Fatal(s, err)
	}
	if s, err := c.Next(ctx); err != nil || s.ID != "1" {
		t.Fatal(s, err)
	}
	if err := c.Send("<r xmlns='urn:xmpp:sm:3'/>"); err != nil {
		t.Fatal(err)
	}
	if el, err := c.Element(ctx); err != nil || el.Name.Local != "a" || el.Attr("h") != "7" || c.Pending() != 1 {
		t.Fatal(el, err, c.Pending())
	}
	rest, err := c.Settle(ctx)
	if err != nil || len(rest) != 1 || rest[0].ID != "3" {
		t.Fatal(rest, err)
	}
	var e *stanza.Error
	if _, err := c.Set(ctx, jid.JID{}, "<x xmlns='urn:x'/>"); !errors.As(err, &e) || e.Condition != stanza.NotAllowed || e.Text != "Not here." {
		t.Fatal(err)
	}
	c.Send("<message id='4'/>")
	for passed := false; !passed; { // the message may take longer
		short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err := c.Expect(short, func(s *stanza.Stanza) bool { return false })
		stop()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Fatalf("nothing comes: %v", err)
		}
		passed = strings.Contains(err.Error(), "id='4'")
	}
	canceled, stop := context.WithCancel(ctx)
	stop()
	if _, err := c.Expect(canceled, func(s *stanza.Stanza) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Fatalf("canceled: %v", err)
	}
	c.Send("<message><!-- --></message>")
	if err := c.ExpectStreamError(ctx, "restricted-xml"); err != nil {
		t.Fatal(err)
	}
}

func TestRaw(t *testing.T) {
	p := newPeer(t, None)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, c := range []struct{ in, condition string }{
		{"<message>&foo;</message>", "restricted-xml"}, {"<a></b>", "not-well-formed"},
	} {
		r, err := DialRaw(ctx, p.l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Write(Header("office.localhost"))
		if s, err := r.Until(ctx, "</stream:features>"); err != nil || !strings.Contains(s, "SCRAM") {
			t.Fatal(s, err)
		}
		r.Write(c.in)
		if err := r.ExpectStreamError(ctx, c.condition); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	r, err := DialRaw(ctx, p.l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if err := r.ExpectStreamError(short, "conflict"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a server that says nothing: %v", err)
	}
}
