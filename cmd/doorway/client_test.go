package main

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmpptest"
)

// chatter is a logged-in client with initial presence sent.
type chatter struct{ *xmpptest.Client }

// login logs in over STARTTLS, trusting the demo's CA only.
func login(t testing.TB, d *demo, name string) *chatter {
	t.Helper()
	c := dialClient(t, d.C2S, d.CA, d.Domain, name, d.password(name))
	c.present(t)
	t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
	return c
}

func dialClient(t testing.TB, addr, ca, domain, name, password string) *chatter {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := xmpptest.Dial(ctx, addr, xmpptest.Options{
		Domain: domain, User: name, Password: password, TLS: xmpptest.StartTLS,
		TLSConfig: &tls.Config{RootCAs: roots(t, ca), MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &chatter{c}
}

// present asks for the roster and sends initial presence, and waits until the
// server has handled both.
func (c *chatter) present(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := c.Get(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'/>"); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("<presence/>"); err != nil {
		t.Fatal(err)
	}
	c.settle(t)
}

// settle waits until the server has handled what was sent.
func (c *chatter) settle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := c.Get(ctx, jid.MustParse(c.JID().Domain()), "<ping xmlns='urn:xmpp:ping'/>"); err != nil {
		t.Fatal(err)
	}
}

// sees waits for a stanza that, as text, is what is wanted.
func (c *chatter) sees(t testing.TB, what string, wanted func(xml string) bool) *stanza.Stanza {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := c.Expect(ctx, func(s *stanza.Stanza) bool { return wanted(s.String()) })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return s
}

func (c *chatter) subscribe(t testing.TB, to string) {
	t.Helper()
	if err := c.Send("<presence type='subscribe' to='" + to + "'/>"); err != nil {
		t.Fatal(err)
	}
}
