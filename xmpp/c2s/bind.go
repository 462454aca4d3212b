package c2s

import (
	"context"
	"errors"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// bindLoop takes what an authenticated client sends until it has a resource
// (RFC 6120 §7). The batch is the one its reader goes on with.
func (n *negotiation) bindLoop() (*batch, error) {
	b := &batch{Context: context.WithoutCancel(n.run.ctx)}
	for {
		t, err := n.next()
		if err != nil {
			return nil, err
		}
		switch {
		case t.Name == xmlstream.Name{Space: nsClient, Local: "iq"}:
			done, err := n.bind(b, &t)
			if err != nil {
				return nil, err
			}
			if done {
				return b, nil
			}
		case t.Name.Space == nsClient:
			return nil, &stanza.StreamError{Condition: "not-authorized"} // RFC 6120 §7.1
		case t.Name.Space == nsSM && t.Name.Local == "resume":
			done := false
			if done, err = n.resume(b, &t); done {
				return b, nil
			}
		case t.Name.Space == nsSM:
			err = n.write(smFailed("unexpected-request"))
		default:
			var answer string
			if answer, err = n.offer(n.ctx, &t, xmpp.PostAuth); err == nil && answer != "" {
				err = n.write(answer)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// bind handles one IQ; done when the stream is bound.
func (n *negotiation) bind(b *batch, t *xmlstream.Token) (done bool, err error) {
	iq, err := stanza.FromToken(t)
	var fault *stanza.Error
	switch {
	case errors.As(err, &fault) && iq != nil:
		return false, n.answer(iq.ErrorReply(fault))
	case err != nil:
		return false, err
	case iq.Payload != stanza.Name{Space: nsBind, Local: "bind"} || iq.Children != 1:
		return false, &stanza.StreamError{Condition: "not-authorized"}
	case iq.Type != string(stanza.Set) || iq.ID == "":
		return false, n.answer(iq.ErrorReply(stanza.NewError(stanza.BadRequest, "")))
	}
	resource := wishedResource(iq)
	b.begin()
	s, err := n.srv.cfg.Router.Bind(b, n.account, resource, n.conn)
	for errors.As(err, &fault) && fault.Condition == stanza.ResourceConstraint && n.srv.makeRoom(b, n.account) {
		s, err = n.srv.cfg.Router.Bind(b, n.account, resource, n.conn)
	}
	b.flush()
	if errors.As(err, &fault) {
		return false, n.answer(iq.ErrorReply(fault))
	}
	if err != nil {
		return false, err
	}
	n.link.Watch(n.conn)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sess.Store(s)
	// What others have queued since Bind comes after the answer.
	answer := iq.Reply("<bind xmlns='" + nsBind + "'><jid>" + xmlstream.Escaped(s.JID().String()) + "</jid></bind>")
	q := queues.Get().(*queue)
	q.items = append(q.items, item{raw: string(n.link.AppendStanza(nil, answer)), mark: framed})
	if n.out != nil {
		q.items = append(q.items, n.out.items...)
		n.out.free()
	}
	n.out = q
	n.queued += q.items[0].size()
	if n.state == opening {
		n.state = bound
		_ = n.link.SetReadDeadline(time.Time{}) // ignored: reading fails then
	}
	return true, nil
}

// wishedResource is the resource a client asks for, "" when it leaves that to
// us. The usual spelling is read without making a tree of it.
func wishedResource(iq *stanza.Stanza) string {
	if _, rest, ok := strings.Cut(iq.Inner(), "<resource>"); ok {
		if r, _, ok := strings.Cut(rest, "</resource>"); ok && !strings.ContainsAny(r, "<&") {
			return r
		}
	}
	if el, ok := iq.Child(nsBind, "bind"); ok {
		if r := el.Child(nsBind, "resource"); r != nil {
			return r.Text
		}
	}
	return ""
}

// answer sends a stanza while negotiation alone writes.
func (n *negotiation) answer(st *stanza.Stanza) error {
	if st == nil {
		return nil
	}
	return n.emit(n.link.AppendStanza(nil, st))
}

// legacy handles what belongs to negotiation on a bound stream: the session
// request of old clients (RFC 3921 §3) and a second bind. True when it did.
func (c *conn) legacy(ctx context.Context, iq *stanza.Stanza) bool {
	own := iq.To.IsZero() || iq.To == c.session().JID().Bare() || iq.To == c.session().JID().DomainJID()
	if iq.Type != string(stanza.Set) || !own || iq.ID == "" {
		return false
	}
	switch iq.Payload {
	case stanza.Name{Space: nsSession, Local: "session"}:
		c.Send(ctx, iq.Reply(""))
	case stanza.Name{Space: nsBind, Local: "bind"}:
		c.Send(ctx, iq.ErrorReply(stanza.NewError(stanza.NotAllowed, "This stream has a resource already.")))
	default:
		return false
	}
	return true
}
