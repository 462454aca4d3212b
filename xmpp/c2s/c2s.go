// Package c2s is the client side of the XMPP server: it listens, secures and
// negotiates streams (RFC 6120 §4–7, RFC 7590, XEP-0368), binds them to the
// router, acknowledges stanzas and resumes streams (XEP-0198 1.6.3) and carries
// stanzas both ways.
//
// Goroutines. Serve owns all of them and waits for them. A connection starts
// in a goroutine that does the TLS handshake, SASL and bind and then ends; a
// fresh one with a small stack reads from there on and carries each stanza to
// its end (design §4). Nobody writes permanently: what a reader has queued on
// other connections it writes out itself before it would block, one write for
// each, and a writer is started only where a socket would block or where
// somebody outside a reader sends; it ends when the queue is drained. No
// write in a reader ever waits for a peer: the bytes that a socket does not
// take at once are kept, bounded, for a writer.
//
// Memory. An idle connection holds no buffer of fixed size, no timer and no
// negotiation state; one sweep for the whole server looks after all timeouts.
// A session that waits for its client to resume it has neither a goroutine nor
// a timer nor a link, only what is queued for it. Garbage of a wave of logins is returned to the system once the process has
// become quiet (Limits.Trim).
//
// The package reads frames, not sockets: Link is the seam at which RFC 7395
// (WebSocket) connects. Left out so far: SASL2, Bind2.
package c2s

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/sasl"
)

// Config is what a Server is made of. Domain, Router and SASL are required.
type Config struct {
	Domain string // canonical
	Router *router.Router
	SASL   *sasl.Server
	// TLS is used for STARTTLS and direct TLS; nil offers neither. Its
	// GetCertificate or GetConfigForClient is asked at each handshake, so that
	// a reloaded certificate is used for new connections at once. Versions
	// below 1.2 are refused whatever it says.
	TLS *tls.Config
	// RequireTLS makes STARTTLS mandatory; false is for test listeners on loopback.
	RequireTLS bool
	// Idlers, when not nil, tells whose streams may be resumed for longer.
	Idlers Idlers
	Limits Limits
	Log    *slog.Logger // nil discards
	// Panicked, when not nil, is told of each recovered panic, for health.
	Panicked func(what any)
}

// Idlers is what client state indication (XEP-0352) tells: whether the
// session's client has said that nobody looks at it.
type Idlers interface{ Inactive(s xmpp.Session) bool }

// Server accepts clients. Make it with New. Safe for concurrent use.
type Server struct {
	cfg    Config
	lim    Limits
	log    *slog.Logger
	tls    *tls.Config // nil without TLS
	direct *tls.Config // the same with ALPN
	end    endpoints

	panics atomic.Uint64

	mu      sync.Mutex // guards what follows
	conns   map[*conn]struct{}
	waiting map[string]int // connections that are not authenticated, by address
	pending int            // their sum
	serving int            // calls of Serve and ServeLinks
	stop    context.CancelFunc
	swept   chan struct{} // closed when the sweep has ended
	absent  absentees

	kick chan struct{} // one place: a session without a connection has been closed
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{cfg: c, lim: c.Limits.withDefaults(), log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("comp", "c2s")
	if c.TLS != nil {
		s.tls = s.end.watch(c.TLS, nil)
		s.direct = s.end.watch(c.TLS, []string{alpn})
	}
	s.conns = make(map[*conn]struct{})
	s.waiting = make(map[string]int)
	s.absent = absentees{streams: make(map[secret]*conn), away: make(map[*conn]struct{})}
	s.kick = make(chan struct{}, 1)
	return s
}

// Panics is the number of panics recovered since the start; each ended one
// connection.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// Connections is the number of connections, those that negotiate included.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// domain reports whether an address a client opened its stream to is ours.
func (s *Server) domain(to string) bool {
	if to == s.cfg.Domain {
		return true
	}
	j, err := jid.Parse(to)
	return err == nil && j.String() == s.cfg.Domain
}
