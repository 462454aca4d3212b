// Package router holds the session table and the domain routes, and delivers
// stanzas after RFC 6121 §8. It implements xmpp.Host.
package router

import (
	"context"
	"log/slog"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Config is what a Router is made of.
type Config struct {
	Domain      string // canonical
	Accounts    Accounts
	Store       Store
	MaxSessions int // for each account, 0 means 16
	Log         *slog.Logger
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
// Optional abilities, by type assertion: Acks() bool (xmpp.Acknowledging: XEP-0198 is on) and Lang() string (the
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

// Router implements xmpp.Host.
type Router struct{}

// New makes a Router without modules.
func New(c Config) *Router { panic("skeleton") }

// Load loads the modules in order and freezes the hook tables; sessions may bind afterwards.
func (r *Router) Load(modules ...xmpp.Module) error { panic("skeleton") }

// Modules returns what was loaded.
func (r *Router) Modules() []xmpp.Module { panic("skeleton") }

// Session is a bound resource; it implements xmpp.Session.
type Session struct{}

// Bind adds a resource (RFC 6120 §7). resource "" makes an unguessable one. An older session with
// the same full JID is closed with conflict and is gone from the table, its unavailable presence
// sent, before Bind returns. Errors are *stanza.Error: bad-request, resource-constraint.
func (r *Router) Bind(ctx context.Context, account jid.JID, resource string, st Stream) (*Session, error) {
	panic("skeleton")
}

// JID returns the full JID.
func (s *Session) JID() jid.JID { panic("skeleton") }

// Handle carries one stanza of the client to its end, in the caller's goroutine. It stamps from,
// answers errors itself, and returns a *stanza.StreamError when the stream must end (invalid-from).
// A panic in a hook is recovered by c2s, not here.
func (s *Session) Handle(ctx context.Context, st *stanza.Stanza) error { panic("skeleton") }

// Refuse answers a stanza whose header stanza.FromToken found faulty (jid-malformed in to, RFC 6120 §8.3.3.8); what may
// not be answered is dropped. A faulty from is c2s's own invalid-from.
func (s *Session) Refuse(ctx context.Context, st *stanza.Stanza, e *stanza.Error) { panic("skeleton") }

// Acked tells that the client has confirmed a stanza (XEP-0198 §4).
func (s *Session) Acked(ctx context.Context, st *stanza.Stanza) { panic("skeleton") }

// Unbind removes the session, tells the modules, and gives what was queued or sent but not confirmed
// back to RFC 6121 §8.5 with a delay stamp: messages go to other resources or the Offline hooks, IQ requests
// are answered with service-unavailable, the rest is dropped. Calling it again is harmless and gives back what is passed then.
func (s *Session) Unbind(ctx context.Context, unacked []*stanza.Stanza) { panic("skeleton") }
