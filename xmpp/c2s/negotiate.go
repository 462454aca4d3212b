package c2s

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"strconv"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// negotiation is what a stream needs until it is bound; it is gone after
// that.
type negotiation struct {
	*conn
	ctx      context.Context
	binding  sasl.Binding
	opened   bool // our response header has been sent on the present stream
	authed   bool
	attempts int // failed SASL attempts
	bindings int // mechanisms refused for their channel binding
}

// serve is a connection's goroutine. Negotiation leaves a deep stack behind,
// of which collections take back what reading does not need: a fresh goroutine
// for it costs more at each login than that.
func (c *conn) serve(direct bool) {
	if b := c.negotiate(direct); b != nil {
		c.read(b)
	}
}

// negotiate takes a connection from its first byte to bind, in one deadline
// for all of it (Limits.Negotiation). It returns the batch that its reader
// goes on with, nil when the connection has ended.
func (c *conn) negotiate(direct bool) *batch {
	deepen32()
	handed := false
	n := &negotiation{conn: c}
	defer func() {
		if !n.authed {
			c.srv.admitted(c.link.Addr())
		}
		if !handed {
			c.run.done(c)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
		}
	}()
	limit := time.Now().Add(c.srv.lim.Negotiation)
	c.mu.Lock()
	if c.state == opening {
		_ = c.link.SetReadDeadline(limit) // ignored: reading fails then
	}
	c.mu.Unlock()
	ctx, cancel := context.WithDeadline(c.run.ctx, limit)
	defer cancel()
	n.ctx = ctx
	var b *batch
	err := n.secure(direct)
	if err == nil {
		b, err = n.streams()
	}
	if err != nil {
		n.reject(err)
		return nil
	}
	handed = true
	return b
}

// secure does the handshake of direct TLS. A failure is answered by TLS only.
func (n *negotiation) secure(direct bool) error {
	if !direct {
		n.binding = n.link.Binding()
		return nil
	}
	return n.handshake(n.srv.direct)
}

// errHandshake marks a TLS handshake that failed: there is no stream to end.
var errHandshake = errors.New("TLS handshake")

func (n *negotiation) handshake(c *tls.Config) error {
	l, ok := n.link.(*tcpLink)
	if !ok {
		return errHandshake
	}
	if err := l.handshake(c); err != nil {
		return errors.Join(errHandshake, err)
	}
	n.binding = l.Binding()
	return nil
}

// streams negotiates stream after stream (RFC 6120 §4.3.3) until one is bound.
func (n *negotiation) streams() (*batch, error) {
	for {
		lim := n.srv.lim.PreAuth
		if n.authed {
			lim = n.srv.lim.PostAuth
		}
		n.link.Restart(lim)
		n.opened = false
		if err := n.open(); err != nil {
			return nil, err
		}
		if n.authed {
			return n.bindLoop()
		}
		if err := n.preAuth(); err != nil {
			return nil, err
		}
	}
}

// next returns the next element of the stream.
func (n *negotiation) next() (xmlstream.Token, error) {
	t, err := n.link.Next()
	if err == nil && t.Kind == xmlstream.StreamClose {
		err = errClosed
	}
	return t, err
}

// open exchanges stream headers and offers features (RFC 6120 §4.2, §4.3).
func (n *negotiation) open() error {
	t, err := n.next()
	if err != nil {
		return err
	}
	var h Header
	var to, version string
	for i := range t.Attrs {
		a := &t.Attrs[i]
		switch v := string(a.Value); {
		case a.Name.Space == nsXML && a.Name.Local == "lang" && plausibleLang(v):
			h.Lang = v
		case a.Name.Space != "":
		case a.Name.Local == "to":
			to = v
		case a.Name.Local == "version":
			version = v
		case a.Name.Local == "from":
			if j, err := jid.Parse(v); err == nil {
				h.To = j.String()
			}
		}
	}
	n.mu.Lock()
	n.lang = strings.Clone(h.Lang)
	n.mu.Unlock()
	b := n.respond(h.To)
	err = n.greet(&t, to, version)
	if err == nil {
		b = n.link.AppendXML(b, n.features())
	}
	return errors.Join(err, n.emit(b))
}

// greet checks what the client's header asks for.
func (n *negotiation) greet(t *xmlstream.Token, to, version string) error {
	switch {
	case t.Kind != xmlstream.StreamOpen || t.Name.Space != nsStream:
		return &stanza.StreamError{Condition: "invalid-namespace"} // RFC 6120 §4.8.1
	case t.Name.Local != "stream":
		return &stanza.StreamError{Condition: "bad-format"}
	case t.Prefix != "stream":
		return &stanza.StreamError{Condition: "bad-namespace-prefix"} // RFC 6120 §4.8.5
	case t.Content != nsClient:
		return &stanza.StreamError{Condition: "invalid-namespace"} // RFC 6120 §4.8.2
	case !supported(version):
		return &stanza.StreamError{Condition: "unsupported-version"} // RFC 6120 §4.7.5
	case !n.srv.domain(to):
		return &stanza.StreamError{Condition: "host-unknown"}
	}
	return nil
}

// serverLang is the language of what the server itself says.
const serverLang = "en"

// respond begins our side of the stream, once: nil when that has been done.
func (n *negotiation) respond(to string) []byte {
	if n.opened {
		return nil
	}
	n.opened = true
	return n.link.AppendOpen(nil, Header{ID: rand.Text(), From: n.srv.cfg.Domain, To: to, Lang: serverLang})
}

// write sends XML and waits until it has been sent.
func (n *negotiation) write(xml string) error { return n.emit(n.link.AppendXML(nil, xml)) }

func (n *negotiation) emit(b []byte) error {
	kept, err := n.link.Write(b)
	if err == nil && kept > 0 {
		err = n.link.Drain(n.stall())
	}
	return err
}

// plausibleLang bounds what is repeated to others (RFC 5646 §2.1).
func plausibleLang(v string) bool {
	if v == "" || len(v) > 35 {
		return false
	}
	for _, r := range v {
		if !(r == '-' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z') {
			return false
		}
	}
	return true
}

// supported: 1.0 and above, major and minor compared as numbers.
func supported(version string) bool {
	major, minor, ok := strings.Cut(version, ".")
	if !ok {
		return false
	}
	m, err1 := strconv.ParseUint(major, 10, 16)
	_, err2 := strconv.ParseUint(minor, 10, 16)
	return err1 == nil && err2 == nil && m >= 1
}

// features lists what may be negotiated now (RFC 6120 §4.3.2).
func (n *negotiation) features() string {
	var b strings.Builder
	b.Grow(768)
	b.WriteString("<stream:features>")
	offer := n.srv.tls != nil && !n.Secure() && n.canTLS()
	switch {
	case n.authed:
		b.WriteString("<bind xmlns='" + nsBind + "'/>")
		b.WriteString("<session xmlns='" + nsSession + "'><optional/></session>") // RFC 3921 §3, for old clients
		b.WriteString("<sm xmlns='" + nsSM + "'/>")
		n.modules(&b, xmpp.PostAuth)
	case offer && n.srv.cfg.RequireTLS:
		b.WriteString("<starttls xmlns='" + nsTLS + "'><required/></starttls>")
	default:
		if offer {
			b.WriteString("<starttls xmlns='" + nsTLS + "'/>")
		}
		n.mechanisms(&b)
		n.modules(&b, xmpp.PreAuth)
	}
	b.WriteString("</stream:features>")
	return b.String()
}

func (n *negotiation) canTLS() bool {
	_, ok := n.link.(*tcpLink)
	return ok
}

// mechanisms writes the SASL mechanisms (RFC 6120 §6.4.1) and the channel
// bindings that the -PLUS ones may use (XEP-0440).
func (n *negotiation) mechanisms(b *strings.Builder) {
	list := n.srv.cfg.SASL.Mechanisms(n.binding)
	if len(list) == 0 || n.srv.cfg.RequireTLS && !n.Secure() {
		return
	}
	b.WriteString("<mechanisms xmlns='" + nsSASL + "'>")
	for _, m := range list {
		b.WriteString("<mechanism>")
		b.WriteString(m)
		b.WriteString("</mechanism>")
	}
	b.WriteString("</mechanisms>")
	types := n.binding.Types()
	if len(types) == 0 {
		return
	}
	b.WriteString("<sasl-channel-binding xmlns='" + nsBinding + "'>")
	for _, kind := range types {
		b.WriteString("<channel-binding type='")
		b.WriteString(kind)
		b.WriteString("'/>")
	}
	b.WriteString("</sasl-channel-binding>")
}

func (n *negotiation) modules(b *strings.Builder, phase xmpp.Phase) {
	for _, f := range n.srv.cfg.Router.StreamFeatures() {
		if f.Phase == phase && f.Offer != nil {
			b.WriteString(f.Offer(n.conn))
		}
	}
}

// reject ends a stream that did not come to be bound.
func (n *negotiation) reject(err error) {
	e, reachable := n.verdict(err)
	if e == errSilent {
		e = &stanza.StreamError{Condition: "connection-timeout", Text: "Logging in took too long."}
	}
	if errors.Is(err, errHandshake) || !reachable {
		n.conn.log().Debug("client went away before it was bound", "err", err)
		return
	}
	n.conn.log().Debug("stream refused", "err", err)
	limit := time.Now().Add(n.srv.lim.Closing)
	n.mu.Lock()
	n.state = parted
	n.mu.Unlock()
	// RFC 6120 §4.9.1.2: the header comes first, whatever was wrong.
	b := n.respond("")
	if e != nil {
		b = n.link.AppendXML(b, e.XML())
	}
	if n.emit(n.link.AppendClose(b)) != nil {
		return
	}
	n.linger(limit, true) // nobody waits for more of a stream that came to nothing
}
