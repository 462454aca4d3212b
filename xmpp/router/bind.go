package router

import (
	"context"
	"crypto/rand"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Bind adds a resource (RFC 6120 §7). resource "" makes an unguessable one. An older session with
// the same full JID is closed with conflict and is gone from the table, its unavailable presence
// sent, before Bind returns. Errors are *stanza.Error: bad-request, resource-constraint.
func (r *Router) Bind(ctx context.Context, account jid.JID, resource string, st Stream) (*Session, error) {
	if resource == "" {
		resource = rand.Text() // RFC 6120 §7.6: made by the server
	}
	full, err := account.Bare().WithResource(resource)
	if err != nil || full.Resource() == "" {
		return nil, stanza.NewError(stanza.BadRequest, "This resource name cannot be used; choose a shorter one with ordinary characters.")
	}
	s := &Session{r: r, jid: full.Clone()}
	s.stream.Store(&st)
	if l, ok := st.(interface{ Lang() string }); ok && l.Lang() != r.conf.Lang {
		s.lang = l.Lang()
	}
	bare := s.jid.Bare()

	r.mu.Lock()
	for {
		if r.busy[s.jid] > 0 {
			r.idle.Wait() // another session of that name is coming or going
			continue
		}
		old := slices.IndexFunc(r.sessions[bare], func(o xmpp.Session) bool { return o.JID() == s.jid })
		if old < 0 {
			break
		}
		o := r.sessions[bare][old].(*Session)
		r.mu.Unlock()
		// The newcomer wins (RFC 6120 §7.7.2.2): a phone is back before its loss was noticed.
		conflict := &stanza.StreamError{Condition: "conflict", Text: "This resource has logged in from another place."}
		o.to().Close(conflict)
		o.leave(ctx)
		o.to().Close(conflict) // it may have moved to another stream meanwhile; from here on it cannot
		r.mu.Lock()
	}
	if len(r.sessions[bare]) >= r.conf.MaxSessions {
		r.mu.Unlock()
		return nil, stanza.NewError(stanza.ResourceConstraint, "This account is logged in too many times; log out somewhere else and try again.")
	}
	l := r.sessions[bare]
	r.sessions[bare] = append(l[:len(l):len(l)], s)
	r.begin(s.jid)
	r.mu.Unlock()
	defer r.end(s.jid)
	for _, f := range r.tables.events {
		f(ctx, xmpp.SessionEvent{Session: s, Kind: xmpp.SessionBound})
	}
	return s, nil
}

// begin and end bracket the telling of session events. begin needs the lock.
func (r *Router) begin(full jid.JID) { r.busy[full]++ }

func (r *Router) end(full jid.JID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[full]--; r.busy[full] == 0 {
		delete(r.busy, full)
	}
	r.idle.Broadcast()
}

// leave takes the session out of the table and tells the modules, once.
func (s *Session) leave(ctx context.Context) {
	r, bare := s.r, s.jid.Bare()
	r.mu.Lock()
	if s.left {
		// Not waited for: the other one may be waiting for us, when two
		// overflowing streams tell each other's end. Bind waits instead.
		r.mu.Unlock()
		return
	}
	s.left = true
	l := slices.DeleteFunc(slices.Clone(r.sessions[bare]), func(o xmpp.Session) bool { return o == xmpp.Session(s) })
	if len(l) == 0 {
		delete(r.sessions, bare)
	} else {
		r.sessions[bare] = l
	}
	r.begin(s.jid)
	r.mu.Unlock()
	defer r.end(s.jid)
	for _, f := range r.tables.events {
		f(ctx, xmpp.SessionEvent{Session: s, Kind: xmpp.SessionClosed})
	}
}

// Resumed tells the modules that the session goes on in a new stream (XEP-0198
// §5). A session that has left the table is not resumed: false.
func (s *Session) Resumed(ctx context.Context) bool {
	r := s.r
	r.mu.Lock()
	if s.left {
		r.mu.Unlock()
		return false
	}
	r.begin(s.jid)
	r.mu.Unlock()
	defer r.end(s.jid)
	for _, f := range r.tables.events {
		f(ctx, xmpp.SessionEvent{Session: s, Kind: xmpp.SessionResumed})
	}
	return true
}

// Unbind removes the session, tells the modules, and gives what was queued or sent but not confirmed
// back to RFC 6121 §8.5 with a delay stamp: messages go to other resources or the Offline hooks, IQ requests
// are answered with service-unavailable, the rest is dropped. Calling it again is harmless and gives back what is passed then.
func (s *Session) Unbind(ctx context.Context, unacked []*stanza.Stanza) {
	s.leave(ctx)
	for _, st := range unacked {
		s.r.giveBack(ctx, st)
	}
}

// giveBack routes again what a dead stream did not deliver (XEP-0198 §5).
func (r *Router) giveBack(ctx context.Context, st *stanza.Stanza) {
	t := &transit{r: r, first: st}
	t.Stanza, t.Again, t.Delivery.Hold = st, true, t
	var err error
	switch st.Kind {
	case stanza.Message:
		if k := messageType(st); k != chat && k != normal {
			return
		}
		t.Stanza = r.delayed(st, r.conf.Now())
		err = r.route(ctx, t)
	case stanza.IQ:
		if isRequest(st) {
			err = errUnavailable()
		}
	}
	if err != nil && !st.From.IsZero() {
		t.refuse(ctx, err)
	}
}
