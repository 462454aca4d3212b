package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// under makes reads of conn end with ctx. The caller defers the result, which
// waits for a function that has already begun, since it would end the next
// read, and leaves no deadline behind.
func under(ctx context.Context, conn net.Conn) (stop func()) {
	deadline, _ := ctx.Deadline()
	conn.SetReadDeadline(deadline) // ignored: the read will say so
	done := make(chan struct{})
	after := context.AfterFunc(ctx, func() {
		defer close(done)
		conn.SetReadDeadline(time.Unix(1, 0))
	})
	return func() {
		if !after() {
			<-done
		}
		conn.SetReadDeadline(time.Time{})
	}
}

// cause replaces a deadline error by what ended ctx.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return context.DeadlineExceeded
	}
	return err
}

// token reads one token; a stream error is returned as *stanza.StreamError,
// the end of the stream as io.EOF.
func (c *Client) token(ctx context.Context) (xmlstream.Token, error) {
	stop := under(ctx, c.conn)
	defer stop()
	t, err := c.r.Next()
	if err != nil {
		return t, cause(ctx, err)
	}
	if se, ok := stanza.StreamErrorOf(&t); ok {
		return t, se
	}
	if t.Kind == xmlstream.StreamClose {
		return t, io.EOF
	}
	return t, nil
}

// element reads a top-level element that must not be a stanza.
func (c *Client) element(ctx context.Context) (stanza.Element, error) {
	t, err := c.token(ctx)
	if err != nil {
		return stanza.Element{}, err
	}
	return tree(&t)
}

// tree is the token as a parsed element.
func tree(t *xmlstream.Token) (stanza.Element, error) {
	space := t.Content
	if t.Prefix == "" {
		space = t.Name.Space
	}
	children, err := xmlstream.ParseTree(string(t.Inner), string(t.Decls), space)
	if err != nil {
		return stanza.Element{}, err
	}
	el := stanza.Element{Name: t.Name, Children: children}
	for _, a := range t.Attrs {
		el.Attrs = append(el.Attrs, xmlstream.TreeAttr{Name: a.Name, Value: string(a.Value)})
	}
	if t.Children == 0 {
		text, err := xmlstream.ParseTree("<x>"+string(t.Inner)+"</x>", "", "")
		if err != nil {
			return el, err
		}
		el.Text = text[0].Text
	}
	return el, nil
}

// read takes one more thing from the stream into pending or others.
func (c *Client) read(ctx context.Context) error {
	t, err := c.token(ctx)
	if err != nil {
		return err
	}
	s, err := stanza.FromToken(&t)
	var se *stanza.StreamError
	if errors.As(err, &se) {
		el, err := tree(&t)
		c.others = append(c.others, el)
		return err
	}
	if err != nil {
		return fmt.Errorf("the server sent %s: %w", t.Raw, err)
	}
	c.pending = append(c.pending, s)
	return nil
}

// Next returns the next stanza, in the order of arrival, that no Expect has
// taken.
func (c *Client) Next(ctx context.Context) (*stanza.Stanza, error) {
	return c.Expect(ctx, func(*stanza.Stanza) bool { return true })
}

// Expect returns the first stanza that match takes, among those that arrived
// already and those to come; others stay for later calls. When ctx ends, its error
// tells what had arrived.
func (c *Client) Expect(ctx context.Context, match func(*stanza.Stanza) bool) (*stanza.Stanza, error) {
	for seen := 0; ; {
		for ; seen < len(c.pending); seen++ {
			if s := c.pending[seen]; match(s) {
				c.pending = append(c.pending[:seen], c.pending[seen+1:]...)
				return s, nil
			}
		}
		if err := c.read(ctx); err != nil {
			return nil, c.explain(err)
		}
	}
}

// explain adds what lies unexpected to an error.
func (c *Client) explain(err error) error {
	for i, s := range c.pending {
		if i == 5 {
			return fmt.Errorf("%w (and %d more)", err, len(c.pending)-i)
		}
		err = fmt.Errorf("%w; unexpected: %.300s", err, s)
	}
	return err
}

// Element returns the next top-level element that is not a stanza, such as an
// acknowledgement (XEP-0198).
func (c *Client) Element(ctx context.Context) (stanza.Element, error) {
	for len(c.others) == 0 {
		if err := c.read(ctx); err != nil {
			return stanza.Element{}, c.explain(err)
		}
	}
	el := c.others[0]
	c.others = c.others[1:]
	return el, nil
}

// ExpectStreamError reads until the server ends the stream with that
// condition, and checks that it closes stream and connection after it.
func (c *Client) ExpectStreamError(ctx context.Context, condition string) error {
	for {
		err := c.read(ctx)
		var se *stanza.StreamError
		switch {
		case errors.As(err, &se):
			if se.Condition != condition {
				return fmt.Errorf("stream error %s, want %s", se.Condition, condition)
			}
			return c.ExpectEnd(ctx)
		case err != nil:
			return fmt.Errorf("waiting for stream error %s: %w", condition, err)
		}
	}
}

// ExpectEnd reads until the server has closed the stream and the connection.
func (c *Client) ExpectEnd(ctx context.Context) error {
	for {
		switch err := c.read(ctx); {
		case err == io.EOF:
			return Closed(ctx, c.conn)
		case err != nil:
			return fmt.Errorf("waiting for the end of the stream: %w", err)
		}
	}
}

// Closed reads until the peer has closed the connection; anything but white
// space before is an error.
func Closed(ctx context.Context, conn net.Conn) error {
	stop := under(ctx, conn)
	defer stop()
	b := make([]byte, 256)
	for {
		n, err := conn.Read(b)
		for _, ch := range b[:n] {
			if ch != ' ' && ch != '\n' && ch != '\t' && ch != '\r' {
				return fmt.Errorf("after the end of the stream: %q", b[:n])
			}
		}
		if err != nil {
			if err = cause(ctx, err); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return fmt.Errorf("the connection stays open: %w", err)
			}
			return nil
		}
	}
}

// Get sends an IQ get and returns its result; an error answer is a *stanza.Error.
func (c *Client) Get(ctx context.Context, to jid.JID, inner string) (*stanza.Stanza, error) {
	return c.iq(ctx, stanza.Get, to, inner)
}

// Set sends an IQ set and returns its result; an error answer is a *stanza.Error.
func (c *Client) Set(ctx context.Context, to jid.JID, inner string) (*stanza.Stanza, error) {
	return c.iq(ctx, stanza.Set, to, inner)
}

func (c *Client) iq(ctx context.Context, typ stanza.IQType, to jid.JID, inner string) (*stanza.Stanza, error) {
	c.nextID++
	id := "t" + strconv.Itoa(c.nextID)
	if err := c.Send(stanza.New(stanza.IQ, string(typ), id, jid.JID{}, to, inner).String()); err != nil {
		return nil, err
	}
	reply, err := c.Expect(ctx, func(s *stanza.Stanza) bool {
		return s.Kind == stanza.IQ && s.ID == id && (s.Type == string(stanza.Result) || s.Type == stanza.TypeError)
	})
	if err != nil {
		return nil, err
	}
	if e, failed := stanza.ErrorOf(reply); failed {
		return reply, e
	}
	return reply, nil
}

// Settle asks the server something (XEP-0199) and waits for the answer, so
// that all it had sent to this client before is here, and returns what has
// come and was not expected. It is how a test sees that nothing arrived.
func (c *Client) Settle(ctx context.Context) ([]*stanza.Stanza, error) {
	server, err := jid.New("", c.o.Domain, "")
	if err != nil {
		return nil, err
	}
	var refused *stanza.Error
	if _, err := c.Get(ctx, server, "<ping xmlns='urn:xmpp:ping'/>"); err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	all := c.pending
	c.pending = nil
	return all, nil
}

// Pending is the number of stanzas that arrived and were not expected yet.
func (c *Client) Pending() int { return len(c.pending) }
