package router

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// kind of a message as RFC 6121 §5.2.2 sees its type.
type kind uint8

const (
	normal kind = iota
	chat
	headline
	groupchat
	failure
)

func messageType(st *stanza.Stanza) kind {
	switch st.Type {
	case "chat":
		return chat
	case "headline":
		return headline
	case "groupchat":
		return groupchat
	case stanza.TypeError:
		return failure
	}
	return normal // also what is absent or unknown
}

// answersAbsence says of a message that nobody can take whether its sender is
// told (service-unavailable) or it is ignored.
func answersAbsence(st *stanza.Stanza) bool {
	k := messageType(st)
	return k != headline && k != failure
}

// message delivers a message to a local account (RFC 6121 §8.5). The stanza
// keeps its to: a bare one stays bare (§8.5.2.1.1).
func (r *Router) message(ctx context.Context, t *transit) error {
	st := t.Stanza
	absent := func() error {
		if answersAbsence(st) {
			return errUnavailable()
		}
		return nil
	}
	if !t.Exists {
		return absent() // RFC 6121 §8.5.1
	}
	k := messageType(st)
	if st.To.IsFull() {
		if s := r.find(st.To); s != nil {
			return r.deliver(ctx, t, s) // §8.5.3.1, whatever its priority
		}
		// §8.5.3.2.1: never to other resources. One that had been accepted for a
		// stream that was lost then is not bounced any more (XEP-0198 §5).
		if k != chat && !(k == normal && t.Again) {
			return absent()
		}
	}
	if k == groupchat || k == failure {
		return absent() // §8.5.2
	}
	taken := false
	var failed error
	for _, s := range r.Sessions(st.To) {
		s := s.(*Session)
		if !s.takes() {
			continue
		}
		// What a Deliver hook does to one resource's copy is not the others'.
		t.Stanza = st
		if err := r.deliver(ctx, t, s); err != nil {
			failed = err
			continue
		}
		taken = true
	}
	switch {
	case taken:
		return nil
	case failed != nil:
		return failed
	case k == headline:
		return nil
	}
	t.Stanza, t.Session = st, nil
	if stop, err := r.run(ctx, xmpp.Offline, &t.Delivery); stop {
		return err // stored, or refused with the hook's own words
	}
	return errUnavailable()
}

// presence delivers what no hook has taken: directed presence (RFC 6121
// §8.5.2.1.2: every available resource, negative priorities too; §8.5.3.1).
// Subscriptions and probes are the business of hooks alone.
func (r *Router) presence(ctx context.Context, t *transit) error {
	st := t.Stanza
	if !t.Exists || isSubscription(st.Type) || st.Type == "probe" {
		return nil
	}
	if st.To.IsFull() {
		if s := r.find(st.To); s != nil {
			return r.deliver(ctx, t, s)
		}
		return nil // §8.5.3.2.2
	}
	for _, s := range r.Sessions(st.To) {
		s := s.(*Session)
		if !s.available() {
			continue
		}
		t.Stanza = st
		if err := r.deliver(ctx, t, s); err != nil {
			return err
		}
	}
	return nil
}

// iqToResource passes an IQ to the resource it names; a server never answers
// for a resource (RFC 6121 §8.5.3.2.3).
func (r *Router) iqToResource(ctx context.Context, t *transit) error {
	if s := r.find(t.Stanza.To); s != nil {
		return r.deliver(ctx, t, s)
	}
	if isRequest(t.Stanza) {
		return errNotAnswered()
	}
	return nil
}

// deliver takes the stanza of t to one session, through the Deliver hooks.
func (r *Router) deliver(ctx context.Context, t *transit, s *Session) error {
	st := t.Stanza
	if st.Lang == "" && s.lang != "" && t.sender != nil && st.Kind != stanza.IQ {
		// RFC 6120 §8.1.5: the sender's default is the server's, the receiver's is another.
		st = st.WithLang(r.conf.Lang)
		t.Stanza = st
	}
	if len(r.tables.run[st.Kind][xmpp.Deliver]) > 0 {
		t.Session = s
		if stop, err := r.run(ctx, xmpp.Deliver, &t.Delivery); stop {
			return err
		}
		st = t.Stanza
	}
	s.to().Send(ctx, st)
	return nil
}

// Deliver queues a stanza to one session through the Deliver hooks. What they
// refuse is dropped: nobody asked.
func (r *Router) Deliver(ctx context.Context, to xmpp.Session, st *stanza.Stanza) {
	if len(r.tables.run[st.Kind][xmpp.Deliver]) > 0 {
		d := xmpp.Delivery{Stanza: st, Session: to}
		if stop, err := r.run(ctx, xmpp.Deliver, &d); stop {
			if err != nil {
				r.log.Debug("stanza kept from a session", "comp", "router", "kind", st.Kind.String(), "err", err)
			}
			return
		}
		st = d.Stanza
	}
	to.Send(ctx, st)
}
