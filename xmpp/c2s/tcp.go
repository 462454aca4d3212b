package c2s

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Names of the stream layer.
const (
	nsStream  = "http://etherx.jabber.org/streams"
	nsClient  = "jabber:client"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBinding = "urn:xmpp:sasl-cb:0"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsSession = "urn:ietf:params:xml:ns:xmpp-session"
	nsSM      = "urn:xmpp:sm:3"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
)

// tcpLink is a stream over TCP (RFC 6120 §3), with TLS or without.
type tcpLink struct {
	sock   *sock
	tls    *tls.Conn // nil before TLS; set by the goroutine that negotiates
	secure atomic.Bool
	reader *xmlstream.Reader
	more   bool // there may be input above the socket
	meter  Meter
	addr   string
}

var _ Link = (*tcpLink)(nil)

func newTCPLink(c net.Conn, addr string, lim xmlstream.Limits) *tcpLink {
	l := &tcpLink{sock: newSock(c), addr: addr}
	l.reader = xmlstream.NewReader(l, lim)
	l.reader.Lean()
	return l
}

func hostOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// tune replaces TCP's keep-alive, which wakes phones every 15 seconds, by a
// limit on unanswered data: the sweep asks for a sign of life instead.
func (l *tcpLink) tune(silent time.Duration) {
	c, ok := l.sock.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = c.SetKeepAlive(false) // ignored: costs some wake-ups only
	_ = l.sock.raw.Control(func(fd uintptr) {
		// ignored: without it a lost peer is noticed later
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silent.Milliseconds()))
	})
}

// handshake secures the connection. What the peer sent ahead of it in the
// clear and was read already is never seen again (RFC 6120 §5.4.3.3): the
// caller restarts the stream, and nothing but TLS records is read from here
// on. The read deadline bounds it.
func (l *tcpLink) handshake(c *tls.Config) error {
	l.sock.records = true
	l.sock.hold(true)
	defer l.sock.hold(false)
	t := tls.Server(l.sock, c)
	if err := t.Handshake(); err != nil {
		return err
	}
	l.tls = t
	l.secure.Store(true)
	return nil
}

// Wait implements Link.
func (l *tcpLink) Wait() error {
	if l.more || l.sock.in != nil {
		return nil
	}
	if l.meter != nil {
		if err := l.meter.BeforeRead(l.reader.Inside()); err != nil {
			return err
		}
	}
	return l.sock.fill()
}

// errAgain has Next return where it would wait between two elements of a
// bound stream, as after white space: waiting is done on less stack.
var errAgain = errors.New("wait first")

// Read is the input of the XML reader.
func (l *tcpLink) Read(p []byte) (n int, err error) {
	if l.meter != nil && !l.more && l.sock.in == nil && !l.reader.Inside() {
		return 0, errAgain
	}
	if err := l.Wait(); err != nil {
		return 0, err
	}
	if l.tls != nil {
		n, err = l.tls.Read(p)
		l.more = n == len(p) // crypto/tls may hold the rest of a record
	} else {
		n, err = l.sock.Read(p)
	}
	if n > 0 && l.meter != nil {
		l.meter.AfterRead(n)
	}
	return n, err
}

func (l *tcpLink) Next() (xmlstream.Token, error)    { return l.reader.Next() }
func (l *tcpLink) Ready() bool                       { return l.reader.Ready() }
func (l *tcpLink) Restart(lim xmlstream.Limits)      { l.reader.Restart(l, lim) }
func (l *tcpLink) Watch(m Meter)                     { l.meter = m }
func (l *tcpLink) SetReadDeadline(t time.Time) error { return l.sock.Conn.SetReadDeadline(t) }
func (l *tcpLink) Secure() bool                      { return l.secure.Load() }
func (l *tcpLink) Addr() string                      { return l.addr }
func (l *tcpLink) Echoes() bool                      { return false }

func (l *tcpLink) Binding() sasl.Binding {
	if l.tls == nil {
		return sasl.Binding{}
	}
	return binding(l.tls, l.sock.endPoint)
}

// AppendOpen writes the response header (RFC 6120 §4.7).
func (l *tcpLink) AppendOpen(dst []byte, h Header) []byte {
	dst = append(dst, "<?xml version='1.0'?><stream:stream xmlns='"+nsClient+"' xmlns:stream='"+nsStream+"' id='"...)
	dst = append(dst, h.ID...)
	dst = append(dst, "' from='"...)
	dst = xmlstream.AppendEscaped(dst, h.From)
	if h.To != "" {
		dst = append(dst, "' to='"...)
		dst = xmlstream.AppendEscaped(dst, h.To)
	}
	dst = append(dst, "' version='1.0' xml:lang='"...)
	dst = append(dst, h.Lang...)
	return append(dst, "'>"...)
}

func (l *tcpLink) AppendStanza(dst []byte, s *stanza.Stanza) []byte { return s.AppendXML(dst, "") }
func (l *tcpLink) AppendXML(dst []byte, xml string) []byte          { return append(dst, xml...) }
func (l *tcpLink) AppendClose(dst []byte) []byte                    { return append(dst, "</stream:stream>"...) }

func (l *tcpLink) Write(p []byte) (kept int, err error) {
	if l.tls == nil {
		_, err = l.sock.Write(p)
		return l.sock.pending(), err
	}
	if len(p) <= oneRecord {
		if _, err := l.tls.Write(p); err != nil {
			return 0, err
		}
		return l.sock.pending(), nil
	}
	return l.sock.corked(func() error {
		_, err := l.tls.Write(p)
		return err
	})
}

// oneRecord is so little that crypto/tls makes one record of it, and one write.
const oneRecord = 1024

func (l *tcpLink) Drain(stall time.Duration) error { return l.sock.drain(stall) }

// Shut implements Link.
func (l *tcpLink) Shut(limit time.Time) error {
	if l.tls != nil {
		if err := l.tls.CloseWrite(); err != nil {
			return err
		}
	}
	if err := l.sock.drain(max(time.Until(limit), time.Millisecond)); err != nil {
		return err
	}
	if err := l.sock.CloseWrite(); err != nil {
		return err
	}
	if err := l.SetReadDeadline(limit); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, l.sock.Conn, lingerBytes)
	return err
}

// lingerBytes is how much a client may send after the end, so that it gets to
// read why.
const lingerBytes = 1 << 20

func (l *tcpLink) Close() error { return l.sock.Conn.Close() }
