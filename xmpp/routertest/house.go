// Package routertest is a server in memory for the tests of modules, of the
// router and of what hosts a domain: the real router with the modules under
// test, a store that can be slow, full or broken, streams that keep what they
// are given, and expectations that print what came instead.
//
//	h := routertest.Open(t, router.Config{}, ping.New(nil))
//	alice := h.Login("alice@office.example/desk", "<presence/>")
//	if got := alice.Ask("get", routertest.Domain, "<ping xmlns='urn:xmpp:ping'/>"); got != "" { … }
//	alice.Want("nothing else")
//
// There is no network, no negotiation and no XEP-0198: a test says itself what
// a client has acknowledged (router.Session.Acked) and what it has not
// (router.Session.Unbind). For those parts of the server see xmpp/xmpptest.
//
// Only tests import it. It starts no goroutine but those of House.Go.
package routertest

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

// Domain is the server's domain when the configuration names none.
const Domain = "office.example"

// Accounts are the localparts that exist. The map may be changed while nobody
// sends anything.
type Accounts map[string]bool

// Exists implements router.Accounts.
func (a Accounts) Exists(local string) bool { return a[local] }

// House is a router with modules, and what a test knows of it. Line and Settle
// are set before the first client logs in, if at all.
type House struct {
	T      testing.TB
	Router *router.Router
	// Store is where the modules keep their rows; nil when the configuration brought another store than a *Store.
	Store *Store
	// Log has what was logged at info and above, when the configuration brought no logger.
	Log *Log
	// Line describes stanzas for Recv and Want; nil means Line of this package.
	Line func(*stanza.Stanza) string
	// Settle is called before anything that has come is looked at, e.g. synctest.Wait; nil does nothing.
	Settle func()
}

// Open starts a router with the modules. What the configuration leaves out is
// Domain, the accounts alice, bob and carol, a new Store, and a logger to Log.
func Open(t testing.TB, c router.Config, modules ...xmpp.Module) *House {
	t.Helper()
	h := &House{T: t, Log: &Log{}}
	if c.Domain == "" {
		c.Domain = Domain
	}
	if c.Accounts == nil {
		c.Accounts = Accounts{"alice": true, "bob": true, "carol": true}
	}
	if c.Store == nil {
		c.Store = NewStore()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(h.Log, nil))
	}
	h.Store, _ = c.Store.(*Store)
	h.Router = router.New(c)
	if err := h.Router.Load(modules...); err != nil {
		t.Fatal(err)
	}
	return h
}

// Login binds a resource and sends what is given.
func (h *House) Login(full string, xml ...string) *Client {
	h.T.Helper()
	return h.Bind(full, &Stream{}, xml...)
}

// Bind is Login with a stream of the test's making. A full JID without a
// resource has the router make one up.
func (h *House) Bind(full string, st *Stream, xml ...string) *Client {
	h.T.Helper()
	j := jid.MustParse(full)
	st.Inbox.house, st.Inbox.who = h, full
	c := &Client{Stream: st, House: h}
	s, err := h.Router.Bind(context.Background(), j.Bare(), j.Resource(), st)
	if err != nil {
		h.T.Fatal(err)
	}
	c.Session = s
	c.Say(xml...)
	return c
}

// Route routes a stanza as it is, from whomever it names: a component, or the server.
func (h *House) Route(xml string) {
	h.T.Helper()
	h.Router.Send(context.Background(), Parse(h.T, xml), nil)
}

// Component hosts a domain that keeps what it is given.
func (h *House) Component(name string) *Peer {
	h.T.Helper()
	p := &Peer{}
	p.Inbox.house, p.Inbox.who = h, name
	if err := h.Router.Domain(xmpp.Domain{Name: name, Handler: p}); err != nil {
		h.T.Fatal(err)
	}
	return p
}

// Go runs something with a Run method until stop is called, which waits for
// its end. An error that it returns fails the test.
func (h *House) Go(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			h.T.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// settle has the test's Settle called, if there is one.
func (h *House) settle() {
	if h != nil && h.Settle != nil {
		h.Settle()
	}
}

// Parse parses a stanza; the test ends when it is none.
func Parse(t testing.TB, xml string) *stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return st
}

// Module is a module made of a function: what a test adds beside the one it is for.
type Module func(xmpp.Host)

// Info implements xmpp.Module.
func (Module) Info() xmpp.Info { return xmpp.Info{Name: "test"} }

// Load implements xmpp.Module.
func (f Module) Load(h xmpp.Host) error { f(h); return nil }

// Available is a module that stands for presence where presence itself is not
// the matter: it keeps what clients broadcast, so that they are available, and
// tells nobody.
func Available() xmpp.Module {
	return Module(func(h xmpp.Host) {
		h.Presence(xmpp.Outbound, 100, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			switch {
			case !d.Stanza.To.IsZero():
			case d.Stanza.Type == "unavailable":
				d.Sender.SetPresence(nil, 0)
			case d.Stanza.Type == "":
				p, _ := d.Stanza.Child("", "priority")
				n, _ := strconv.Atoi(p.Text) // ignored: none is 0
				d.Sender.SetPresence(d.Stanza, int8(n))
			}
			return xmpp.Pass, nil
		})
	})
}

// Log is a log in memory. Safe for concurrent use.
type Log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns everything that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
