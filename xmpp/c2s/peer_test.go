package c2s

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

func marshal(v any) ([]byte, error)     { return json.Marshal(v) }
func unmarshal(raw []byte, v any) error { return json.Unmarshal(raw, v) }

// patience is how long a test waits for what should come at once.
const patience = 60 * time.Second

// peer is a client that says exactly what a test tells it to.
type peer struct {
	t    testing.TB
	conn net.Conn
	tls  *tls.Conn
	r    *xmlstream.Reader
	full string
	keys *sync.Map // user to *scram.Client, which keeps what PBKDF2 gave
}

func (h *house) dial() *peer { return h.dialTCP(h.plain) }

func (h *house) dialTCP(addr string) *peer {
	h.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	p := &peer{t: h.t, conn: c, keys: &h.keys}
	p.fresh()
	h.t.Cleanup(func() { p.conn.Close() })
	return p
}

func (h *house) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: h.roots, ServerName: home, NextProtos: []string{alpn}}
}

func (h *house) dialTLS(c *tls.Config) *peer {
	h.t.Helper()
	if c == nil {
		c = h.tlsConfig()
	}
	t, err := tls.Dial("tcp", h.direct, c)
	if err != nil {
		h.t.Fatal(err)
	}
	p := &peer{t: h.t, conn: t, tls: t, keys: &h.keys}
	p.fresh()
	h.t.Cleanup(func() { p.conn.Close() })
	return p
}

func (p *peer) fresh() { p.r = xmlstream.NewReader(p.conn, xmlstream.Limits{Bytes: 4 << 20}) }

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(p.conn, format); err != nil {
		p.t.Fatalf("send %.60q: %v", format, err)
	}
}

// next returns the raw text of the next element; "EOF" at the end.
func (p *peer) next() string {
	p.t.Helper()
	s, err := p.tryNext()
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return s
}

func (p *peer) tryNext() (string, error) {
	p.conn.SetReadDeadline(time.Now().Add(patience))
	t, err := p.r.Next()
	if errors.Is(err, io.EOF) {
		return "EOF", nil
	}
	if err != nil {
		return "", err
	}
	return string(t.Raw), nil
}

// expect reads one element, which has all the parts.
func (p *peer) expect(parts ...string) string {
	p.t.Helper()
	s := p.next()
	for _, part := range parts {
		if !strings.Contains(s, part) {
			p.t.Fatalf("got  %s\nwant %s in it", s, part)
		}
	}
	return s
}

// expectEnd reads a stream error with that condition ("" for none), the
// closing tag and the end of the connection.
func (p *peer) expectEnd(condition string) {
	p.t.Helper()
	if condition != "" {
		p.expect("<stream:error>", "<"+condition+" xmlns=")
	}
	p.expect("</stream:stream>")
	if s := p.next(); s != "EOF" {
		p.t.Fatalf("after the end came %s", s)
	}
}

// open opens a stream and returns the features.
func (p *peer) open() string {
	p.t.Helper()
	p.fresh()
	p.send(header)
	p.expect("<stream:stream", "from='"+home+"'", "version='1.0'", "id='")
	return p.expect("<stream:features")
}

// startTLS secures the stream after open.
func (p *peer) startTLS(c *tls.Config) {
	p.t.Helper()
	p.send("<starttls xmlns='" + nsTLS + "'/>")
	p.expect("<proceed")
	p.upgrade(c)
}

func (p *peer) upgrade(c *tls.Config) {
	p.t.Helper()
	t := tls.Client(p.conn, c)
	t.SetDeadline(time.Now().Add(patience))
	if err := t.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.tls = t, t
}

func plainAuth(user, pass string) string {
	return "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" +
		base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+pass)) + "</auth>"
}

// scram authenticates with SCRAM-SHA-256; after open.
func (p *peer) scram(user string) {
	p.t.Helper()
	known, ok := p.keys.Load(user)
	if !ok {
		c, err := scram.SHA256.NewClientUnprepped(user, password, "")
		if err != nil {
			p.t.Fatal(err)
		}
		known = c
		p.keys.Store(user, c)
	}
	conv := known.(*scram.Client).NewConversation()
	msg, _ := conv.Step("")
	enc := base64.StdEncoding.EncodeToString
	p.send("<auth xmlns='%s' mechanism='SCRAM-SHA-256'>%s</auth>", nsSASL, enc([]byte(msg)))
	msg, err := conv.Step(p.data("challenge"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.send("<response xmlns='%s'>%s</response>", nsSASL, enc([]byte(msg)))
	if _, err := conv.Step(p.data("success")); err != nil || !conv.Valid() {
		p.t.Fatalf("the server's proof: %v", err)
	}
}

func (p *peer) data(element string) string {
	p.t.Helper()
	s := p.expect("<" + element + " ")
	_, s, _ = strings.Cut(s, ">")
	s, _, _ = strings.Cut(s, "<")
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// bind binds a resource after authentication.
func (p *peer) bind(resource string) {
	p.t.Helper()
	features := p.open()
	if !strings.Contains(features, nsBind) {
		p.t.Fatalf("no bind in %s", features)
	}
	p.bindOpen(resource)
}

// bindOpen does so on a stream that is open.
func (p *peer) bindOpen(resource string) {
	p.t.Helper()
	p.send("<iq type='set' id='bind'><bind xmlns='%s'><resource>%s</resource></bind></iq>", nsBind, resource)
	s := p.expect("id='bind'", "type='result'", "<jid>")
	_, s, _ = strings.Cut(s, "<jid>")
	p.full, _, _ = strings.Cut(s, "</jid>")
}

// login takes user/resource through SCRAM and bind in the clear.
func (h *house) login(user, resource string) *peer {
	h.t.Helper()
	p := h.dial()
	p.open()
	p.scram(user)
	p.bind(resource)
	return p
}

// loginTLS does the same over direct TLS.
func (h *house) loginTLS(user, resource string) *peer {
	h.t.Helper()
	p := h.dialTLS(nil)
	p.open()
	p.scram(user)
	p.bind(resource)
	return p
}

// drain reads and counts what comes until the connection ends.
func (p *peer) drain() (n int, last string) {
	var tail bytes.Buffer
	buf := make([]byte, 32<<10)
	for {
		p.conn.SetReadDeadline(time.Now().Add(patience))
		k, err := p.conn.Read(buf)
		n += k
		tail.Write(buf[:k])
		if tail.Len() > 4096 {
			tail.Next(tail.Len() - 4096)
		}
		if err != nil {
			return n, tail.String()
		}
	}
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}

func parse(t testing.TB, s string) jid.JID {
	t.Helper()
	j, err := jid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
