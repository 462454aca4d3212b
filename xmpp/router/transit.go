package router

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// transit is one stanza on its way: what hooks see of it, and what its error
// reply needs. It is its own xmpp.Holder. One allocation for each stanza.
type transit struct {
	xmpp.Delivery
	r       *Router
	sender  *Session       // Delivery.Sender, nil for what did not come from a client
	first   *stanza.Stanza // as it came, from stamped: what an error answers
	wait    *waiter        // Host.Send with done; nil otherwise
	refused atomic.Bool
}

// Hold implements xmpp.Holder for Delivery.Await. A failure is answered here,
// so the stream's own hold always ends well (the refused stanza is
// handled, XEP-0198 may count it).
func (t *transit) Hold() (release func(error)) {
	end := func(error) {}
	switch {
	case t.sender != nil:
		end = t.sender.to().Hold()
	case t.wait != nil:
		t.wait.add()
		end = func(error) { t.wait.release() }
	}
	return func(err error) {
		if err != nil {
			// Not the reader's context: its batch is over by now.
			t.refuse(context.Background(), err)
		}
		end(nil)
	}
}

// refuse answers the stanza with the error, once (RFC 6120 §8.3). Errors and
// IQ results are never answered.
func (t *transit) refuse(ctx context.Context, err error) {
	if t.refused.Swap(true) {
		return
	}
	e := t.r.stanzaError(t.first, err)
	if t.wait != nil {
		t.wait.fail(e)
		if t.first.Kind != stanza.IQ {
			return // the caller of Host.Send has asked to be told instead
		}
	}
	reply := t.first.ErrorReply(e)
	if reply == nil {
		return
	}
	t.answer(ctx, reply)
}

// answer sends a reply back to where the stanza came from.
func (t *transit) answer(ctx context.Context, reply *stanza.Stanza) {
	s := t.sender
	if s == nil {
		t.r.Send(ctx, reply, nil)
		return
	}
	if reply.To != s.jid { // subscription presence goes out under the bare JID
		reply = reply.WithTo(s.jid)
	}
	if reply.From.IsZero() {
		reply = reply.WithFrom(s.jid.Bare())
	}
	t.r.Deliver(ctx, s, reply)
}

// stanzaError finds the stanza error in err; any other is logged and becomes
// internal-server-error.
func (r *Router) stanzaError(st *stanza.Stanza, err error) *stanza.Error {
	var e *stanza.Error
	if errors.As(err, &e) {
		if e.Err != nil {
			r.log.Warn("stanza refused", "comp", "router", "condition", string(e.Condition), "kind", st.Kind.String(), "err", e.Err)
		}
		return e
	}
	r.log.Error("stanza failed", "comp", "router", "kind", st.Kind.String(), "payload", st.Payload.Space, "err", err)
	return stanza.NewError(stanza.InternalServerError, "Something went wrong on the server; please try again later.")
}

// waiter counts what a Host.Send waits for and tells its caller once.
type waiter struct {
	mu   sync.Mutex // guards n and err
	n    int
	err  error
	done func(error)
}

func (w *waiter) add() {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
}

func (w *waiter) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
}

func (w *waiter) release() {
	w.mu.Lock()
	w.n--
	last, err := w.n == 0, w.err
	w.mu.Unlock()
	if last {
		w.done(err)
	}
}

// Send routes a stanza that a module or a component made: Inbound hooks,
// delivery, Offline hooks. See xmpp.Host.
func (r *Router) Send(ctx context.Context, s *stanza.Stanza, done func(error)) {
	t := &transit{r: r, first: s}
	t.Stanza, t.Delivery.Hold = s, t
	if done != nil {
		t.wait = &waiter{n: 1, done: done}
	}
	if err := r.route(ctx, t); err != nil {
		t.refuse(ctx, err)
	}
	if t.wait != nil {
		t.wait.release()
	}
}
