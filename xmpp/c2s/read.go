package c2s

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// read is the goroutine of a bound connection: it carries each stanza to its
// end before it takes the next (RFC 6120 §10.1).
func (c *conn) read(b *batch) {
	defer c.run.done(c)
	err := c.guarded(b)
	c.finish(b, err)
}

// guarded is loop; a panic below it is the connection's end.
func (c *conn) guarded(b *batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
			err = errFault
		}
	}()
	return c.loop(b)
}

func (c *conn) loop(b *batch) error {
	c.mu.Lock()
	c.writing = false
	c.mu.Unlock()
	c.flush()
	for {
		if !c.link.Ready() {
			b.flush()
			if err := c.link.Wait(); err != nil {
				return err
			}
		}
		if err := c.step(b); err != nil {
			return err
		}
	}
}

// step takes one element. Its frame is large and not on the stack of a
// connection that waits.
//
//go:noinline
func (c *conn) step(b *batch) error {
	t, err := c.link.Next()
	if err == errAgain {
		return nil
	}
	if err != nil {
		return err
	}
	if c.begun.Load() != 0 {
		c.begun.Store(0)
	}
	b.begin()
	if t.Kind == xmlstream.StreamClose {
		return errClosed
	}
	if err := c.handle(b, &t); err != nil {
		return err
	}
	c.mu.Lock()
	ended := c.state != bound
	c.mu.Unlock()
	if ended {
		return errEnded
	}
	return nil
}

// errEnded says that somebody has called Close.
var errEnded = errors.New("stream closed by the server")

// handle takes one element of a bound stream.
func (c *conn) handle(b *batch, t *xmlstream.Token) error {
	c.pace.element(&c.srv.lim)
	switch t.Name.Local {
	case "message", "presence", "iq":
		return c.stanza(b, t)
	}
	if t.Name.Space == nsSM {
		return c.manage(b, t)
	}
	return c.feature(b, t, xmpp.PostAuth)
}

// stanza hands a stanza to the router.
func (c *conn) stanza(ctx context.Context, t *xmlstream.Token) error {
	st, err := stanza.FromToken(t)
	var fault *stanza.Error
	if err != nil && (st == nil || !errors.As(err, &fault)) {
		return err
	}
	c.mu.Lock()
	c.current = st
	c.mu.Unlock()
	switch {
	case fault != nil && badFrom(t):
		return &stanza.StreamError{Condition: "invalid-from"} // RFC 6120 §4.9.3.9
	case fault != nil:
		c.session().Refuse(ctx, st, fault)
	case st.Kind == stanza.IQ && strings.HasPrefix(st.Payload.Space, "urn:ietf:params:xml:ns:xmpp-") && c.legacy(ctx, st):
	default:
		err = c.session().Handle(ctx, st)
		if err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.handled++
	c.current = nil
	c.mu.Unlock()
	return nil
}

func badFrom(t *xmlstream.Token) bool {
	from := string(t.Attr("from"))
	if from == "" {
		return false
	}
	_, err := jid.Parse(from)
	return err != nil
}

// feature lets a module handle an element of its stream feature.
func (c *conn) feature(ctx context.Context, t *xmlstream.Token, phase xmpp.Phase) error {
	answer, err := c.offer(ctx, t, phase)
	if err == nil && answer != "" {
		c.send(ctx, answer)
	}
	return err
}

// offer finds the module whose element it is; nobody's is unsupported.
func (c *conn) offer(ctx context.Context, t *xmlstream.Token, phase xmpp.Phase) (answer string, err error) {
	for _, f := range c.srv.cfg.Router.StreamFeatures() {
		if f.Name.Space != t.Name.Space || f.Phase != phase || f.Handle == nil {
			continue
		}
		el, err := tree(t)
		if err != nil {
			return "", &stanza.StreamError{Condition: "bad-format", Err: err}
		}
		return f.Handle(ctx, c, el)
	}
	return "", &stanza.StreamError{Condition: "unsupported-stanza-type"}
}

// tree parses a whole element.
func tree(t *xmlstream.Token) (stanza.Element, error) {
	list, err := xmlstream.ParseTree("<x>"+string(t.Inner)+"</x>", string(t.Decls), t.Name.Space)
	if err != nil || len(list) == 0 {
		return stanza.Element{}, err
	}
	el := list[0]
	el.Name = t.Name
	for _, a := range t.Attrs {
		el.Attrs = append(el.Attrs, xmlstream.TreeAttr{Name: a.Name, Value: string(a.Value)})
	}
	return el, nil
}

// streamError turns an error of reading or handling into what the client is
// told; reachable is false when there is nobody left to tell.
func streamError(err error) (e *stanza.StreamError, reachable bool) {
	var syntax *xmlstream.SyntaxError
	switch {
	case errors.As(err, &e):
		return e, true
	case errors.As(err, &syntax):
		return &stanza.StreamError{Condition: syntax.Condition, Err: syntax}, true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, false
	case isTimeout(err):
		return errSilent, true
	case isNetwork(err):
		return nil, false
	}
	return &stanza.StreamError{Condition: "internal-server-error", Err: err}, true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func isNetwork(err error) bool {
	var n interface{ Temporary() bool }
	return errors.As(err, &n) || errors.Is(err, io.ErrClosedPipe)
}

// BeforeRead implements Meter.
func (c *conn) BeforeRead(inside bool) error {
	switch begun := c.begun.Load(); {
	case inside && begun == 0:
		c.begun.Store(time.Now().UnixNano())
	case !inside && begun != 0: // it was none of the stream's
		c.begun.Store(0)
	}
	return c.pace.wait(&c.srv.lim)
}

// Reply implements Meter.
func (c *conn) Reply(frame string) {
	c.mu.Lock()
	if c.state < parted {
		c.push(context.Background(), item{raw: frame, mark: framed})
	}
	c.mu.Unlock()
}

// AfterRead implements Meter.
func (c *conn) AfterRead(n int) {
	now := time.Now().UnixNano()
	c.heard.Store(now)
	c.pace.bytes(&c.srv.lim, n, now)
}
