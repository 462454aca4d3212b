package ping

import (
	"context"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const home = "office.example"

// client is a stream that keeps what it gets.
type client struct{ got []*stanza.Stanza }

func (c *client) Hold() func(error)                         { return func(error) {} }
func (c *client) Send(_ context.Context, st *stanza.Stanza) { c.got = append(c.got, st) }
func (c *client) Close(*stanza.StreamError)                 {}
func (c *client) Secure() bool                              { return true }
func (c *client) Addr() string                              { return "127.0.0.1:1" }

type accounts map[string]bool

func (a accounts) Exists(local string) bool { return a[local] }

func host(t *testing.T, m xmpp.Module) *router.Router {
	t.Helper()
	r := router.New(router.Config{Domain: home, Accounts: accounts{"alice": true, "bob": true, "carol": true}})
	if err := r.Load(m); err != nil {
		t.Fatal(err)
	}
	return r
}

func bind(t *testing.T, r *router.Router, account string) (*router.Session, *client) {
	t.Helper()
	c := &client{}
	s, err := r.Bind(context.Background(), jid.MustParse(account+"@"+home), "desk", c)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// ask sends an IQ get and returns what came back: the inner XML of a result,
// or the condition of an error.
func ask(t *testing.T, s *router.Session, c *client, to, payload string) string {
	t.Helper()
	st, err := stanza.Parse("<iq type='get' id='1' to='" + to + "'>" + payload + "</iq>")
	if err != nil {
		t.Fatal(err)
	}
	c.got = nil
	if err := s.Handle(context.Background(), st); err != nil {
		t.Fatal(err)
	}
	if len(c.got) != 1 {
		t.Fatalf("%s to %s: %d answers", payload, to, len(c.got))
	}
	if e, ok := stanza.ErrorOf(c.got[0]); ok {
		return string(e.Condition)
	}
	return c.got[0].Inner()
}
