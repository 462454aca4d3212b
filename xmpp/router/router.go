// Package router holds the session table and the domain routes, and delivers
// stanzas after RFC 6121 §8. It implements xmpp.Host.
//
// What it obeys: RFC 6120 §8 (addressing, IQ semantics, errors), §10 (server
// rules, order), RFC 6121 §8 (local delivery, every cell of §8.5). What it
// leaves to modules: rosters, subscriptions and presence broadcast (hooks at
// Outbound and Inbound), offline storage (hooks at Offline), all IQ payloads.
// Federation is not here: a domain that is not hosted is answered with
// remote-server-not-found.
//
// The package starts no goroutine. A stanza is carried to its end in the
// goroutine of the stream's reader, so what one client sends to one recipient
// stays in order (RFC 6120 §10.1). Its mutexes are leaves: none is held while
// a hook, a handler or a stream is called. Hook and handler tables are frozen
// by Load and read without a lock afterwards.
package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// DefaultMaxSessions is how many streams an account may have bound, detached
// ones included, when Config does not say.
const DefaultMaxSessions = 16

// Config is what a Router is made of.
type Config struct {
	Domain      string // canonical
	Accounts    Accounts
	Store       Store
	MaxSessions int    // for each account, 0 means DefaultMaxSessions
	Lang        string // xml:lang of what has none, "" means "en"
	Log         *slog.Logger
	Now         func() time.Time // for delay stamps; nil means time.Now
}

// Accounts says which localparts exist. Safe for concurrent use, answers from memory.
type Accounts interface{ Exists(local string) bool }

// Store lends tables to modules (an adapter in wire.go over gateway/store).
type Store interface {
	Table(name string) xmpp.Table
	xmpp.Tables
}

// Stream is a client's connection as the router sees it (xmpp/c2s). Safe for concurrent use.
//
// Optional abilities, by type assertion: Acks() bool (xmpp.Acknowledging: XEP-0198 is on), Absent() bool
// (xmpp.Absentee: its link was lost, and it may be resumed) and Lang() string (the
// xml:lang of the client's stream header, RFC 6120 §4.7.4).
type Stream interface {
	// Hold's release is always called with nil: the router has sent the error reply by then.
	xmpp.Holder
	// Send queues; it never blocks. On overflow the stream closes itself and returns what it did not deliver by
	// Session.Unbind. A stanza that comes after the stream has closed is given back by one more Unbind, not dropped.
	Send(ctx context.Context, s *stanza.Stanza)
	Close(err *stanza.StreamError)
	Secure() bool
	Addr() string
}

// Router implements xmpp.Host. Safe for concurrent use once Load has
// returned; before that it belongs to one goroutine.
type Router struct {
	conf   Config
	domain jid.JID
	log    *slog.Logger

	tables  tables
	frozen  bool
	modules []xmpp.Module
	hosted  atomic.Pointer[hosted] // replaced as a whole by Domain

	mu sync.RWMutex // guards sessions, busy and Session.left
	// sessions maps a bare JID to its bound resources. The slices are never
	// changed, only replaced, so that readers walk them without the lock.
	sessions map[jid.JID][]xmpp.Session
	// busy counts the full JIDs whose session events are being told right
	// now; Bind waits on idle until its own is not among them.
	busy map[jid.JID]int
	idle sync.Cond
}

var _ xmpp.Host = (*Router)(nil)

// New makes a Router without modules. The domain must be canonical; New panics otherwise.
func New(c Config) *Router {
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.Lang == "" {
		c.Lang = "en"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &Router{
		conf:     c,
		domain:   jid.MustParse(c.Domain),
		log:      c.Log,
		sessions: make(map[jid.JID][]xmpp.Session),
		busy:     make(map[jid.JID]int),
	}
	r.idle.L = &r.mu
	r.tables.iq = make(map[iqKey]xmpp.IQFunc)
	r.tables.spaces = make(map[spaceKey]struct{})
	r.hosted.Store(&hosted{byName: make(map[string]xmpp.Handler)})
	return r
}

// Load loads the modules in order and freezes the hook tables; sessions may
// bind afterwards. It is called once.
func (r *Router) Load(modules ...xmpp.Module) error {
	for _, m := range modules {
		if err := m.Load(r); err != nil {
			return fmt.Errorf("load module %s: %w", m.Info().Name, err)
		}
		r.modules = append(r.modules, m)
	}
	r.tables.freeze()
	r.frozen = true
	return nil
}

// Modules returns what was loaded.
func (r *Router) Modules() []xmpp.Module { return slices.Clone(r.modules) }

// Count returns how many resources are bound, for health pages.
func (r *Router) Count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for _, l := range r.sessions {
		n += len(l)
	}
	return n
}
