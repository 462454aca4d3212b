package presence_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const (
	domain = "office.example"
	alice  = "alice@office.example"
	bob    = "bob@office.example"
	carol  = "carol@office.example"
	// far is a contact on a component's domain.
	far = "far@peer.example"
)

// who says who sees whom: "owner viewer".
type who map[string]bool

func (w who) sees(viewer, owner string) bool { return w[owner+" "+viewer] }

func (w who) Subscription(user, contact jid.JID) string {
	return map[[2]bool]string{{true, true}: "both", {true, false}: "to", {false, true}: "from"}[[2]bool{
		w.sees(user.Bare().String(), contact.Bare().String()), w.sees(contact.Bare().String(), user.Bare().String())}]
}

func (w who) SeesPresence(owner, viewer jid.JID) bool {
	return owner.Bare() == viewer.Bare() || w.sees(viewer.Bare().String(), owner.Bare().String())
}

func (w who) Contacts(user jid.JID, f func(jid.JID, string)) {
	for _, c := range []string{alice, bob, carol, far} {
		if s := w.Subscription(user, jid.MustParse(c)); s != "" {
			f(jid.MustParse(c), s)
		}
	}
}

func (w who) Add(context.Context, jid.JID, jid.JID, string, []string, string) error { return nil }
func (w who) Remove(context.Context, jid.JID, jid.JID) error                        { return nil }

// friends makes both see each other.
func (w who) friends(a, b string) { w[a+" "+b], w[b+" "+a] = true, true }

type everybody struct{}

func (everybody) Exists(local string) bool { return local != "nobody" }

type noStore struct{}

func (noStore) Table(string) xmpp.Table                         { return nil }
func (noStore) LaterAll(map[string]map[string]any, func(error)) {}

// office is a server with presence.
type office struct {
	t    *testing.T
	r    *router.Router
	m    *presence.Module
	peer *box
	subs who
	// after, when not nil, is called when the presence module has seen what a client sent.
	after func(*xmpp.Delivery)
	// before, when not nil, is called when something has come in for a local account.
	before func(*xmpp.Delivery)
}

func start(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, subs: who{}, peer: &box{}}
	o.m = presence.New(o.subs)
	o.r = router.New(router.Config{Domain: domain, Accounts: everybody{}, Store: noStore{}})
	if err := o.r.Load(o.m, (*probe)(o)); err != nil {
		t.Fatal(err)
	}
	if err := o.r.Domain(xmpp.Domain{Name: "peer.example", Handler: o.peer}); err != nil {
		t.Fatal(err)
	}
	return o
}

// probe is a module behind presence, as the offline messages are.
type probe office

func (p *probe) Info() xmpp.Info { return xmpp.Info{Name: "probe"} }
func (p *probe) Load(h xmpp.Host) error {
	h.Presence(xmpp.Outbound, 200, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if p.after != nil {
			p.after(d)
		}
		return xmpp.Pass, nil
	})
	h.Presence(xmpp.Inbound, 50, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if p.before != nil {
			p.before(d)
		}
		return xmpp.Pass, nil
	})
	return nil
}

// box collects what arrives.
type box struct {
	on  func(*stanza.Stanza) // called for each, may be nil
	mu  sync.Mutex           // guards got
	got []string
}

func (b *box) put(st *stanza.Stanza) {
	b.mu.Lock()
	b.got = append(b.got, brief(st))
	b.mu.Unlock()
	if b.on != nil {
		b.on(st)
	}
}

func (b *box) recv() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

func (b *box) Handle(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	b.put(d.Stanza)
	return xmpp.Done, nil
}

// client is a connected resource.
type client struct {
	box
	t *testing.T
	s *router.Session
}

func (c *client) Hold() func(error)                         { return func(error) {} }
func (c *client) Send(_ context.Context, st *stanza.Stanza) { c.put(st) }
func (c *client) Close(*stanza.StreamError)                 {}
func (c *client) Secure() bool                              { return true }
func (c *client) Addr() string                              { return "test" }

func (o *office) login(full string) *client {
	o.t.Helper()
	j := jid.MustParse(full)
	c := &client{t: o.t}
	s, err := o.r.Bind(context.Background(), j.Bare(), j.Resource(), c)
	if err != nil {
		o.t.Fatal(err)
	}
	c.s = s
	return c
}

// online logs in and sends initial presence; what that brings is dropped, at
// all the others too.
func (o *office) online(full string, others ...*client) *client {
	o.t.Helper()
	c := o.login(full)
	c.send("<presence/>")
	c.recv()
	for _, x := range others {
		x.recv()
	}
	o.peer.recv()
	return c
}

func (c *client) send(xml ...string) {
	c.t.Helper()
	for _, x := range xml {
		st, err := stanza.Parse(x)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := c.s.Handle(context.Background(), st); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) close() { c.s.Unbind(context.Background(), nil) }

// says routes a stanza of the component.
func (o *office) says(xml string) {
	o.t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		o.t.Fatal(err)
	}
	o.r.Send(context.Background(), st, nil)
}

// brief is a stanza in a line: "type id from > to inner", with "presence" for no type.
func brief(st *stanza.Stanza) string {
	inner := st.Inner()
	if e, ok := stanza.ErrorOf(st); ok {
		inner = string(e.Condition)
	}
	typ := st.Type
	if typ == "" {
		typ = "presence"
	}
	if st.ID != "" {
		typ += " " + st.ID
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s > %s %s", typ, st.From, st.To, inner))
}

func same(t *testing.T, who string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s got\n  %s\nwant\n  %s", who, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
