package presence_test

import (
	"context"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	carol = "carol@office.example"
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

// office is a server with presence.
type office struct {
	*routertest.House
	m    *presence.Module
	peer *routertest.Peer
	subs who
	// after, when not nil, is called when the presence module has seen what a client sent.
	after func(*xmpp.Delivery)
	// before, when not nil, is called when something has come in for a local account.
	before func(*xmpp.Delivery)
}

func start(t *testing.T) *office {
	t.Helper()
	o := &office{subs: who{}}
	o.m = presence.New(o.subs)
	o.House = routertest.Open(t, router.Config{}, o.m, routertest.Module(o.probe))
	o.peer = o.Component("peer.example")
	return o
}

// probe is a module behind presence, as the offline messages are.
func (o *office) probe(h xmpp.Host) {
	h.Presence(xmpp.Outbound, 200, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if o.after != nil {
			o.after(d)
		}
		return xmpp.Pass, nil
	})
	h.Presence(xmpp.Inbound, 50, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if o.before != nil {
			o.before(d)
		}
		return xmpp.Pass, nil
	})
}

// online logs in and sends initial presence; what that brings is dropped, at
// all the others too.
func (o *office) online(full string, others ...*routertest.Client) *routertest.Client {
	o.T.Helper()
	c := o.Login(full, "<presence/>")
	for _, x := range append(others, c) {
		x.Take()
	}
	o.peer.Take()
	return c
}
