package xmpptest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"doorway/xmpp/stanza"
)

// relate brings two people into a state of RFC 6121 appendix A.1, seen from the
// first one, the way clients do (§3).
func (x *performance) relate(ctx context.Context, one, state, two string) error {
	if state == "none" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	names := [2]string{one, two}
	var cs [2]*Client
	for i, n := range names {
		a, err := x.enter(ctx, n+"/relates", false)
		if err != nil {
			return err
		}
		defer delete(x.actors, n+"/relates")
		cs[i] = a.Client
		if err := a.Send("<presence/>"); err != nil {
			return err
		}
	}
	sub, pending, _ := strings.Cut(state, "+")
	for i, has := range []bool{sub == "to" || sub == "both", sub == "from" || sub == "both"} {
		if !has {
			continue
		}
		a, b := cs[i], cs[1-i]
		if err := request(ctx, a, b); err != nil {
			return err
		}
		if err := b.Send(fmt.Sprintf("<presence type='subscribed' to='%s'/>", a.JID().Bare())); err != nil {
			return err
		}
		// The presence behind the approval says that it is in force.
		if _, err := a.Expect(ctx, presenceOf("", b)); err != nil {
			return err
		}
	}
	for i, asks := range []bool{strings.Contains(pending, "out"), strings.Contains(pending, "in")} {
		if !asks {
			continue
		}
		if err := request(ctx, cs[i], cs[1-i]); err != nil {
			return err
		}
	}
	for _, c := range cs {
		if err := c.Send("</stream:stream>"); err != nil {
			return err
		}
		if err := c.ExpectEnd(ctx); err != nil {
			return err
		}
		_ = c.conn.Close() // ignored: it has ended
	}
	return nil
}

// request has a ask for b's presence, and waits until b knows.
func request(ctx context.Context, a, b *Client) error {
	if err := a.Send(fmt.Sprintf("<presence type='subscribe' to='%s'/>", b.JID().Bare())); err != nil {
		return err
	}
	_, err := b.Expect(ctx, presenceOf("subscribe", a))
	return err
}

func presenceOf(typ string, c *Client) func(*stanza.Stanza) bool {
	return func(st *stanza.Stanza) bool {
		return st.Kind == stanza.Presence && st.Type == typ && st.From.Bare() == c.JID().Bare()
	}
}
