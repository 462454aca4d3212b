package pep_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/caps"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/pep"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	carol = "carol@office.example"

	nick = "http://jabber.org/protocol/nick"
)

// who says who sees whom, "owner viewer", and in which groups owner has viewer.
type who struct {
	sees   map[string]bool
	groups map[string][]string
	people []string
}

func (w *who) SeesPresence(owner, viewer jid.JID) bool {
	return owner.Bare() == viewer.Bare() || w.sees[owner.Bare().String()+" "+viewer.Bare().String()]
}

func (w *who) Groups(owner, viewer jid.JID) []string {
	return w.groups[owner.Bare().String()+" "+viewer.Bare().String()]
}

func (w *who) Subscription(user, contact jid.JID) string {
	return map[[2]bool]string{{true, true}: "both", {true, false}: "to", {false, true}: "from"}[[2]bool{
		w.SeesPresence(contact, user), w.SeesPresence(user, contact)}]
}

func (w *who) Contacts(user jid.JID, f func(jid.JID, string)) {
	for _, p := range w.people {
		j := jid.MustParse(p)
		if s := w.Subscription(user, j); s != "" && j != user {
			f(j, s)
		}
	}
}

func (*who) Add(context.Context, jid.JID, jid.JID, string, []string, string) error { return nil }
func (*who) Remove(context.Context, jid.JID, jid.JID) error                        { return nil }

func (w *who) friends(a, b string) { w.sees[a+" "+b], w.sees[b+" "+a] = true, true }

// office is a server with personal nodes.
type office struct {
	*routertest.House
	m       *pep.Module
	service *pubsub.Service
	subs    *who
}

func start(t testing.TB, l pubsub.Limits) *office { return open(t, l, router.Config{}) }

func open(t testing.TB, l pubsub.Limits, c router.Config) *office {
	t.Helper()
	o := &office{subs: &who{sees: map[string]bool{}, groups: map[string][]string{}, people: []string{alice, bob, carol}}}
	o.service = pubsub.New(pubsub.Config{Rules: o.subs, Limits: l})
	can, b := caps.New("urn:doorway", 0), blocking.New(o.subs)
	o.m = pep.New(pep.Config{Service: o.service, Subscriptions: b.Subscriptions(), Blocker: b, Caps: can})
	o.House = routertest.Open(t, c, b, routertest.Available(), disco.New(o.subs, o.m), o.m, can)
	o.Line = line
	return o
}

// line is an event as "node: items".
func line(st *stanza.Stanza) string {
	e, ok := st.Child(pubsub.SpaceEvent, "event")
	if !ok {
		return routertest.Line(st)
	}
	var out []string
	for i := range e.Children {
		c := &e.Children[i]
		text := c.Name.Local + " " + c.Attr("node")
		for k := range c.Children {
			x := &c.Children[k]
			text += " " + x.Name.Local + "=" + x.Attr("id")
			for j := range x.Children {
				text += "(" + x.Children[j].Name.Local + ":" + x.Children[j].Text + ")"
			}
		}
		out = append(out, text)
	}
	return fmt.Sprintf("%s %s > %s %s", st.Type, st.From, st.To, strings.Join(out, ";"))
}

// online logs in with a client that wants to hear of nodes. Each client has
// capabilities of its own.
func (o *office) online(full string, nodes ...string) *routertest.Client {
	o.T.Helper()
	c := o.Login(full)
	o.can(c, nodes...)
	return c
}

// can has a client say what it wants to hear of, and answer when it is asked.
func (o *office) can(c *routertest.Client, nodes ...string) {
	o.T.Helper()
	ver := fmt.Sprint(c.Session.JID(), nodes)
	c.Say("<presence><c xmlns='http://jabber.org/protocol/caps' hash='none' node='urn:test' ver='" + ver + "'/></presence>")
	asked := c.Pick(func(st *stanza.Stanza) bool { return st.Kind == stanza.IQ && st.Type == "get" })
	if len(asked) == 0 {
		return // it has said so before
	}
	features := "<feature var='urn:else'/>"
	for _, n := range nodes {
		features += "<feature var='" + n + "+notify'/>"
	}
	c.Say("<iq type='result' id='" + asked[0].ID + "' to='" + routertest.Domain + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + features + "</query></iq>")
}

// wrap and owns make requests.
func wrap(inner string) string { return "<pubsub xmlns='" + pubsub.Space + "'>" + inner + "</pubsub>" }
func owns(inner string) string {
	return "<pubsub xmlns='" + pubsub.SpaceOwner + "'>" + inner + "</pubsub>"
}

// item publishes one item.
func item(node, id, text string) string {
	return wrap("<publish node='" + node + "'><item id='" + id + "'><x xmlns='urn:x'>" + text + "</x></item></publish>")
}

// with is item with publish-options.
func with(node, id, text string, options ...string) string {
	return wrap("<publish node='" + node + "'><item id='" + id + "'><x xmlns='urn:x'>" + text + "</x></item></publish><publish-options>" +
		submit(pubsub.Space+"#publish-options", options...) + "</publish-options>")
}

// submit is a form; options are name=value.
func submit(typ string, options ...string) string {
	s := "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>" + typ + "</value></field>"
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		s += "<field var='pubsub#" + name + "'><value>" + value + "</value></field>"
	}
	return s + "</x>"
}

func configure(node string, options ...string) string {
	return owns("<configure node='" + node + "'>" + submit(pubsub.Space+"#node_config", options...) + "</configure>")
}

// good asks and expects no error.
func good(c *routertest.Client, typ, to, payload string) string {
	c.House.T.Helper()
	got := c.Ask(typ, to, payload)
	if got != "" && !strings.HasPrefix(got, "<") {
		c.House.T.Errorf("%s: %s", payload, got)
	}
	return got
}

// bad asks and expects an error: its condition, and the pubsub-specific one.
func bad(c *routertest.Client, typ, to, payload, want string) {
	c.House.T.Helper()
	got := c.Ask(typ, to, payload)
	got = strings.ReplaceAll(strings.ReplaceAll(got, " xmlns='"+pubsub.SpaceErrors+"'", ""), "/>", ">")
	if got != want {
		c.House.T.Errorf("%s\n got %s\nwant %s", payload, got, want)
	}
}

// ids returns the ids of the items in an answer, in order.
func ids(answer string) string {
	var out []string
	for _, s := range strings.Split(answer, "<item id='")[1:] {
		id, _, _ := strings.Cut(s, "'")
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func (o *office) rows(table string) int {
	return len(slices.DeleteFunc(o.Store.Rows(), func(r string) bool { return !strings.HasPrefix(r, table+" ") }))
}
