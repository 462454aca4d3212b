package router

import (
	"context"
	"errors"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// run calls the hooks of a point in order until one stops the stanza.
func (r *Router) run(ctx context.Context, p xmpp.Point, d *xmpp.Delivery) (stop bool, err error) {
	for _, h := range r.tables.run[d.Stanza.Kind][p] {
		v, err := h(ctx, d)
		if err != nil {
			return true, err
		}
		if v == xmpp.Done {
			return true, nil
		}
	}
	return false, nil
}

// route sends a stanza on by the domain of to (RFC 6120 §10.5). An error is
// answered by the caller.
func (r *Router) route(ctx context.Context, t *transit) error {
	st := t.Stanza
	if st.To.IsZero() {
		switch {
		case t.sender == nil:
			return stanza.NewError(stanza.BadRequest, "A stanza needs an address to go to.")
		case st.Kind == stanza.Presence:
			return nil // RFC 6120 §10.3.2: broadcast, which the presence module has done
		}
		// RFC 6120 §10.3.1, §10.3.3: for the sender's own account.
		st = st.WithTo(t.sender.jid.Bare())
		t.Stanza = st
	}
	domain := st.To.Domain()
	if domain == r.conf.Domain {
		return r.local(ctx, t)
	}
	if h, ok := r.hosted.Load().byName[domain]; ok {
		return r.component(ctx, t, h)
	}
	if st.Type == stanza.TypeError {
		return nil
	}
	// RFC 6120 §10.4: without federation every other domain is out of reach.
	return stanza.NewError(stanza.RemoteServerNotFound, "The server "+domain+" cannot be reached from here.")
}

// local takes what is addressed to the server's domain or one of its accounts.
func (r *Router) local(ctx context.Context, t *transit) error {
	st := t.Stanza
	account := st.To.Local() != ""
	t.Exists = account && r.conf.Accounts.Exists(st.To.Local())
	if account || st.Kind == stanza.IQ {
		if stop, err := r.run(ctx, xmpp.Inbound, &t.Delivery); stop {
			return err
		}
		st = t.Stanza
	}
	switch {
	case account && st.Kind == stanza.Message:
		return r.message(ctx, t)
	case account && st.Kind == stanza.Presence:
		return r.presence(ctx, t)
	case account && st.To.IsFull():
		return r.iqToResource(ctx, t)
	case st.Kind == stanza.IQ && st.To.IsFull(): // domain/resource: nobody is there
		if isRequest(st) {
			return errNotAnswered()
		}
		return nil
	case st.Kind == stanza.IQ && account:
		if t.sender != nil && t.sender.jid.Bare() == st.To {
			return r.request(ctx, t, xmpp.ToSelf, xmpp.ToBare)
		}
		return r.request(ctx, t, xmpp.ToBare, xmpp.ToBare)
	case st.Kind == stanza.IQ:
		return r.request(ctx, t, xmpp.ToHost, xmpp.ToDomain)
	case st.Kind == stanza.Message && answersAbsence(st):
		return errUnavailable() // nobody reads what is sent to the server itself
	}
	return nil
}

// component gives a stanza to the handler of a hosted domain.
func (r *Router) component(ctx context.Context, t *transit, h xmpp.Handler) error {
	v, err := h.Handle(ctx, &t.Delivery)
	if err != nil || v == xmpp.Done {
		return err
	}
	st := t.Stanza
	switch {
	case isRequest(st) && st.To == st.To.DomainJID():
		return r.request(ctx, t, xmpp.ToDomain, xmpp.ToDomain)
	case isRequest(st):
		return errNotAnswered()
	case st.Kind == stanza.Message:
		return errUnavailable()
	}
	return nil
}

// request answers an IQ get or set by the exact handler of the first target,
// then the second (RFC 6120 §8.2.3). Results and errors nobody asked for are
// dropped.
func (r *Router) request(ctx context.Context, t *transit, first, second xmpp.Target) error {
	st := t.Stanza
	if !isRequest(st) {
		return nil
	}
	k := iqKey{first, stanza.IQType(st.Type), st.Payload}
	h, ok := r.tables.iq[k]
	if !ok {
		k.target = second
		h, ok = r.tables.iq[k]
	}
	if !ok {
		_, known := r.tables.spaces[spaceKey{first, st.Payload.Space}]
		if !known {
			_, known = r.tables.spaces[spaceKey{second, st.Payload.Space}]
		}
		if known {
			return stanza.NewError(stanza.FeatureNotImplemented, "The server knows this feature, but not this request.")
		}
		return errNotAnswered()
	}
	result, err := h(ctx, &xmpp.IQ{Stanza: st, Session: t.Sender, Exists: t.Exists})
	switch {
	case errors.Is(err, xmpp.ErrLater):
		return nil
	case err != nil:
		return err
	}
	t.answer(ctx, st.Reply(result))
	return nil
}

// errNotAnswered is for requests that nothing answers. The words are the same
// whether or not an account exists.
func errNotAnswered() *stanza.Error {
	return stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address answers this request.")
}

// errUnavailable is for messages that nobody can take.
func errUnavailable() *stanza.Error {
	return stanza.NewError(stanza.ServiceUnavailable, "The message could not be delivered: nobody can be reached at this address now.")
}
