package router

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// Handle carries one stanza of the client to its end, in the caller's goroutine. It stamps from,
// answers errors itself, and returns a *stanza.StreamError when the stream must end (invalid-from).
// A panic in a hook is recovered by c2s, not here.
func (s *Session) Handle(ctx context.Context, st *stanza.Stanza) error {
	r := s.r
	st, bad := s.stamp(st)
	if bad != nil {
		return bad
	}
	if st.Lang == "" && s.lang != "" {
		st = st.WithLang(s.lang) // RFC 6120 §8.1.5
	}
	t := &transit{r: r, sender: s, first: st}
	t.Sender, t.Delivery.Hold = s, t
	if err := wellFormed(st); err != nil {
		t.refuse(ctx, err)
		return nil
	}
	if st.Kind != stanza.IQ {
		st = r.withoutClaims(st)
	}
	t.Stanza = st
	done, err := r.run(ctx, xmpp.Outbound, &t.Delivery)
	if err == nil && !done {
		err = r.route(ctx, t)
	}
	if err != nil {
		t.refuse(ctx, err)
	}
	return nil
}

// Refuse answers a stanza whose header stanza.FromToken found faulty (jid-malformed in to, RFC 6120 §8.3.3.8); what may
// not be answered is dropped. A faulty from is c2s's own invalid-from.
func (s *Session) Refuse(ctx context.Context, st *stanza.Stanza, e *stanza.Error) {
	// The faulty address cannot be repeated in from: the server speaks for itself.
	t := &transit{r: s.r, sender: s, first: st.WithFrom(s.jid).WithTo(s.r.domain)}
	t.refuse(ctx, e)
}

// stamp checks and sets from (RFC 6120 §8.1.2.1): the full JID, but the bare
// JID on the four subscription presences (RFC 6121 §3).
func (s *Session) stamp(st *stanza.Stanza) (*stanza.Stanza, error) {
	if !st.From.IsZero() && st.From != s.jid && st.From != s.jid.Bare() {
		return st, &stanza.StreamError{Condition: "invalid-from", Text: "A stanza carried somebody else's address as its sender."}
	}
	from := s.jid
	if st.Kind == stanza.Presence && isSubscription(st.Type) {
		from = s.jid.Bare()
	}
	if st.From != from {
		st = st.WithFrom(from)
	}
	return st, nil
}

func isSubscription(typ string) bool {
	switch typ {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		return true
	}
	return false
}

// isRequest reports an IQ that must be answered.
func isRequest(st *stanza.Stanza) bool {
	return st.Kind == stanza.IQ && (st.Type == string(stanza.Get) || st.Type == string(stanza.Set))
}

// wellFormed checks what RFC 6120 §8.2.3 asks of an IQ and RFC 6121 §4.7.1 of
// the type of a presence. A message of unknown type is a normal one (RFC 6121 §5.2.2).
func wellFormed(st *stanza.Stanza) error {
	switch st.Kind {
	case stanza.IQ:
		switch {
		case st.ID == "":
			return stanza.NewError(stanza.BadRequest, "A request needs an id.")
		case isRequest(st) && st.Children != 1:
			return stanza.NewError(stanza.BadRequest, "A request must hold exactly one element.")
		case isRequest(st), st.Type == string(stanza.Result), st.Type == stanza.TypeError:
			return nil
		}
		return stanza.NewError(stanza.BadRequest, "The type of a request must be get or set.")
	case stanza.Presence:
		switch st.Type {
		case "", "unavailable", "probe", stanza.TypeError:
			return nil
		}
		if !isSubscription(st.Type) {
			return stanza.NewError(stanza.BadRequest, "This type of presence does not exist.")
		}
	}
	return nil
}
