package c2s

import (
	"crypto/tls"
	"net"
	"time"

	"doorway/xmpp/sasl"
)

// Carrier is a client's connection below the frames: the bytes under the Link
// of another package, which has taken it over from net/http. Its methods are
// those of Link, with the same rules; Read waits for the client unless Pending
// says otherwise. Writing never blocks, whatever the connection is, and an idle
// one holds no buffer where it came through Secured or without TLS.
type Carrier struct {
	l     tcpLink
	local bool
}

// NewCarrier takes over a connection whose client has the IP address addr.
// local says that a connection without TLS does not leave this machine, which
// makes it as good as one with TLS, but for channel binding and PLAIN.
func (s *Server) NewCarrier(c net.Conn, addr string, local bool) *Carrier {
	k := &Carrier{local: local}
	k.l.addr = addr
	secured, ok := c.(*tls.Conn)
	var below *sock
	if ok {
		below, _ = secured.NetConn().(*sock)
	}
	if below != nil {
		k.l.sock, k.l.tls = below, secured
		k.l.more = true // crypto/tls may hold the rest of a record
		below.hold(false)
	} else {
		k.l.sock = newSock(c) // TLS of somebody else leaves all writing to Drain
	}
	k.l.secure.Store(ok || local)
	k.l.tune(s.lim.Stall + s.lim.Answer)
	return k
}

// Read waits for input and returns some of it.
func (k *Carrier) Read(p []byte) (int, error) { return k.l.Read(p) }

// Pending reports that Read need not wait for the client.
func (k *Carrier) Pending() bool { return k.l.more || k.l.sock.in != nil }

// Wait implements Link.
func (k *Carrier) Wait() error { return k.l.Wait() }

// SetReadDeadline implements Link.
func (k *Carrier) SetReadDeadline(t time.Time) error { return k.l.SetReadDeadline(t) }

// Write implements Link.
func (k *Carrier) Write(p []byte) (kept int, err error) { return k.l.Write(p) }

// Drain implements Link.
func (k *Carrier) Drain(stall time.Duration) error { return k.l.Drain(stall) }

// Shut implements Link.
func (k *Carrier) Shut(limit time.Time) error { return k.l.Shut(limit) }

// Close implements Link.
func (k *Carrier) Close() error { return k.l.Close() }

// Secure implements Link.
func (k *Carrier) Secure() bool { return k.l.Secure() }

// Addr implements Link.
func (k *Carrier) Addr() string { return k.l.addr }

// Binding implements Link.
func (k *Carrier) Binding() sasl.Binding {
	if t, ok := k.l.sock.Conn.(*tls.Conn); ok {
		return binding(t, nil)
	}
	b := k.l.Binding()
	b.Local = k.local
	return b
}

// ErrAgain is what Next of a watched Link may return where it would wait
// between two frames; Wait comes next then.
var ErrAgain = errAgain

// Secured puts TLS with our certificate on a listener, for HTTP: connections
// that go on as a Carrier are then as cheap, and have the same channel
// bindings, as those that Serve accepts. It needs Config.TLS.
func (s *Server) Secured(l net.Listener, protos ...string) net.Listener {
	return &secured{l, s.end.watch(s.cfg.TLS, protos)}
}

type secured struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener.
func (l *secured) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := newSock(c)
	s.records = true
	s.hold(true)
	return tls.Server(s, l.config), nil
}
