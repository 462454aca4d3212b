package router

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Session is a bound resource; it implements xmpp.Session. Safe for
// concurrent use, except Handle, which belongs to the stream's reader.
type Session struct {
	r      *Router
	jid    jid.JID
	stream atomic.Pointer[Stream] // replaced by Move
	lang   string                 // the first stream's, when it is not the server's default
	left   bool                   // guarded by Router.mu: out of the table

	mu       sync.Mutex // guards what follows
	priority int8
	presence *stanza.Stanza
	values   []value // few: a slice is smaller than a map and as fast
}

type value struct {
	key *xmpp.Key
	v   any
}

var (
	_ xmpp.Session       = (*Session)(nil)
	_ xmpp.Acknowledging = (*Session)(nil)
	_ xmpp.Absentee      = (*Session)(nil)
)

// JID returns the full JID.
func (s *Session) JID() jid.JID { return s.jid }

// Send queues a stanza on the stream without Deliver hooks; it never blocks.
func (s *Session) Send(ctx context.Context, st *stanza.Stanza) { s.to().Send(ctx, st) }

// to is the stream the session is bound to now.
func (s *Session) to() Stream { return *s.stream.Load() }

// Move binds the session to another stream (XEP-0198 §5); the modules are not
// told. A session that has left the table stays where it is: false.
func (s *Session) Move(to Stream) bool {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.left {
		return false
	}
	s.stream.Store(&to)
	return true
}

// Presence returns the last available presence and its priority, nil while unavailable.
func (s *Session) Presence() (st *stanza.Stanza, priority int8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.presence, s.priority
}

// SetPresence keeps the presence that was broadcast; nil makes the resource unavailable.
func (s *Session) SetPresence(st *stanza.Stanza, priority int8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st == nil {
		priority = 0
	}
	s.presence, s.priority = st, priority
}

// takes reports whether messages to the bare JID go to this resource (RFC 6121 §8.5.2.1.1).
func (s *Session) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.presence != nil && s.priority >= 0
}

// available reports that initial presence was sent and not taken back.
func (s *Session) available() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.presence != nil
}

// Value returns what was kept for the key, nil without it.
func (s *Session) Value(key *xmpp.Key) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.values {
		if s.values[i].key == key {
			return s.values[i].v
		}
	}
	return nil
}

// SetValue keeps a value for the key; nil forgets it.
func (s *Session) SetValue(key *xmpp.Key, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.values, func(x value) bool { return x.key == key })
	switch {
	case i < 0 && v != nil:
		s.values = append(s.values, value{key, v})
	case i >= 0 && v == nil:
		s.values = slices.Delete(s.values, i, i+1)
	case i >= 0:
		s.values[i].v = v
	}
}

// Close ends the stream.
func (s *Session) Close(err *stanza.StreamError) { s.to().Close(err) }

// Secure reports TLS.
func (s *Session) Secure() bool { return s.to().Secure() }

// Addr is the peer's address.
func (s *Session) Addr() string { return s.to().Addr() }

// Acks reports that the stream has XEP-0198 switched on.
func (s *Session) Acks() bool {
	a, ok := s.to().(xmpp.Acknowledging)
	return ok && a.Acks()
}

// Absent reports that the stream was lost and may be resumed.
func (s *Session) Absent() bool {
	a, ok := s.to().(xmpp.Absentee)
	return ok && a.Absent()
}

// Pace waits until the client has taken most of what is queued, where its stream can (xmpp.Paced).
func (s *Session) Pace() {
	if p, ok := s.to().(xmpp.Paced); ok {
		p.Pace()
	}
}

// Acked tells what the client has confirmed with one acknowledgement (XEP-0198
// §4), oldest first: the very stanzas that the stream was given.
func (s *Session) Acked(ctx context.Context, confirmed ...*stanza.Stanza) {
	var last [stanza.IQ + 1]int // of each kind, counted from 1
	for i, st := range confirmed {
		last[st.Kind] = i + 1
	}
	for i, st := range confirmed {
		hooks := s.r.tables.run[st.Kind][xmpp.Acked]
		if len(hooks) == 0 {
			continue
		}
		d := &xmpp.Delivery{Stanza: st, Session: s, More: i+1 < last[st.Kind]}
		for _, h := range hooks {
			h(ctx, d) //nolint:errcheck // ignored: verdicts have no meaning at Acked
		}
	}
}
