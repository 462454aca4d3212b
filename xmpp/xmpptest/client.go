// Package xmpptest is a small XMPP client for tests and benchmarks of other
// packages: it opens a stream, negotiates STARTTLS or direct TLS, signs in with
// SCRAM or PLAIN, binds (RFC 6120 §4–7, XEP-0368), and then sends and expects
// stanzas. Raw is a bare connection, for input that no client would send. Play
// is a script that several clients perform.
//
// It is a second, independent implementation of the client's side only as far
// as SASL and negotiation go: cutting and parsing are the server's own
// packages, which have tests against encoding/xml.
//
// A client starts no goroutine: reading happens in the caller's, so that a
// process can hold thousands. Left out: resumption, SASL2, any repair of what
// the server does wrong, which is an error instead.
package xmpptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// TLSMode is how a connection becomes secure.
type TLSMode uint8

// The modes.
const (
	None     TLSMode = iota // plain text, for test listeners
	StartTLS                // RFC 6120 §5
	Direct                  // XEP-0368
)

// Options say who signs in and how.
type Options struct {
	Domain, User, Password string
	Resource               string // "" lets the server choose
	TLS                    TLSMode
	TLSConfig              *tls.Config // nil trusts the system's roots; ServerName defaults to Domain
	Mechanism              string      // "" takes the first one offered that is known
	Binding                string      // "tls-exporter" (default) or "tls-server-end-point", for -PLUS
	Salted                 *Salted     // shared by clients of one account, saves their PBKDF2
	NoBind                 bool        // stop after authentication
	Channel                *tls.Conn   // what -PLUS binds to, where the connection itself is not TLS
}

// Client is a bound session. Send may be called from several goroutines;
// everything else belongs to one.
type Client struct {
	conn   net.Conn
	r      *xmlstream.Reader
	o      Options
	jid    jid.JID
	nextID int

	// Header and Features are what the server said last.
	Header   []xmlstream.TreeAttr
	Features []stanza.Element

	pending []*stanza.Stanza // read, but not yet expected
	others  []stanza.Element // the same of top-level elements that are no stanzas

	mu sync.Mutex // guards writing
}

const streamSpace = "http://etherx.jabber.org/streams"

// limits are what the client takes from the server.
var limits = xmlstream.Limits{Bytes: 4 << 20, Depth: 128, Attrs: 64}

// Dial connects to addr (host:port) and signs in.
func Dial(ctx context.Context, addr string, o Options) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c, err := New(ctx, conn, o)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("sign in as %s@%s: %w", o.User, o.Domain, err)
	}
	return c, nil
}

// New signs in on a connection.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	c := &Client{conn: conn, o: o}
	if o.TLS == Direct {
		if err := c.secure(ctx, []string{"xmpp-client"}); err != nil {
			return nil, err
		}
	}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	if o.TLS == StartTLS {
		if err := c.startTLS(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.authenticate(ctx); err != nil {
		return nil, err
	}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	if o.NoBind {
		return c, nil
	}
	return c, c.bind(ctx)
}

// JID is the full address the server bound.
func (c *Client) JID() jid.JID { return c.jid }

// Conn is the connection, TLS included.
func (c *Client) Conn() net.Conn { return c.conn }

// secure does a TLS handshake.
func (c *Client) secure(ctx context.Context, protos []string) error {
	conn, err := handshake(ctx, c.conn, c.o.TLSConfig, c.o.Domain, protos)
	if err != nil {
		return err
	}
	c.conn = conn
	return nil
}

func handshake(ctx context.Context, conn net.Conn, base *tls.Config, domain string, protos []string) (*tls.Conn, error) {
	cfg := &tls.Config{}
	if base != nil {
		cfg = base.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = domain
	}
	if cfg.NextProtos == nil {
		cfg.NextProtos = protos
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return t, nil
}

// open sends a stream header and reads the server's, and its features.
func (c *Client) open(ctx context.Context) error {
	if c.r == nil {
		c.r = xmlstream.NewReader(c.conn, limits)
	} else {
		c.r.Restart(c.conn, limits)
	}
	if err := c.Send(Header(c.o.Domain)); err != nil {
		return err
	}
	t, err := c.token(ctx)
	if err != nil {
		return err
	}
	if t.Kind != xmlstream.StreamOpen || t.Name != (xmlstream.Name{Space: streamSpace, Local: "stream"}) || t.Content != "jabber:client" {
		return fmt.Errorf("the server's header is %s", t.Raw)
	}
	c.Header = c.Header[:0]
	for _, a := range t.Attrs {
		c.Header = append(c.Header, xmlstream.TreeAttr{Name: a.Name, Value: string(a.Value)})
	}
	el, err := c.element(ctx)
	if err != nil {
		return err
	}
	if el.Name != (xmlstream.Name{Space: streamSpace, Local: "features"}) {
		return fmt.Errorf("expected stream features, got {%s}%s", el.Name.Space, el.Name.Local)
	}
	c.Features = el.Children
	return nil
}

// Header is a client's stream header (RFC 6120 §4.2).
func Header(domain string) string {
	return "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='" + streamSpace +
		"' to='" + xmlstream.Escaped(domain) + "' version='1.0' xml:lang='en'>"
}

// Feature returns a stream feature, nil when it was not offered.
func (c *Client) Feature(space, local string) *stanza.Element {
	for i := range c.Features {
		if f := &c.Features[i]; f.Name.Space == space && f.Name.Local == local {
			return f
		}
	}
	return nil
}

func (c *Client) startTLS(ctx context.Context) error {
	const ns = "urn:ietf:params:xml:ns:xmpp-tls"
	if c.Feature(ns, "starttls") == nil {
		return errors.New("the server offers no STARTTLS")
	}
	if err := c.Send("<starttls xmlns='" + ns + "'/>"); err != nil {
		return err
	}
	el, err := c.element(ctx)
	if err != nil {
		return err
	}
	if el.Name != (xmlstream.Name{Space: ns, Local: "proceed"}) {
		return fmt.Errorf("starttls was answered with {%s}%s", el.Name.Space, el.Name.Local)
	}
	if err := c.secure(ctx, nil); err != nil {
		return err
	}
	return c.open(ctx)
}

func (c *Client) bind(ctx context.Context) error {
	const ns = "urn:ietf:params:xml:ns:xmpp-bind"
	var w xmlstream.Writer
	w.Start(ns, "bind")
	if c.o.Resource != "" {
		w.Leaf("", "resource", c.o.Resource)
	}
	reply, err := c.Set(ctx, jid.JID{}, w.End().String())
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	b, _ := reply.Child(ns, "bind")
	c.jid, err = jid.Parse(b.ChildText("", "jid"))
	if err != nil || !c.jid.IsFull() {
		return fmt.Errorf("bind: the answer is %s", reply)
	}
	c.jid = c.jid.Clone()
	return nil
}

// Send writes XML, or anything else, as it is.
func (c *Client) Send(xml string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, xml)
	return err
}

// writeTimeout is how long a server may refuse to read.
const writeTimeout = 30 * time.Second

// Close ends the stream politely and closes the connection.
func (c *Client) Close() error {
	err := c.Send("</stream:stream>")
	return errors.Join(err, c.conn.Close())
}

// Kill closes the connection without a word, as a lost network would.
func (c *Client) Kill() error {
	if t, ok := c.conn.(*tls.Conn); ok {
		return t.NetConn().Close()
	}
	return c.conn.Close()
}
