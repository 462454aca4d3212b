// Package disco answers service discovery (XEP-0030 2.5) for the server's
// domain, for accounts, and for component domains that do not answer
// themselves; what it tells is what other modules registered at Host. It also
// keeps disco requests away from the resources of people who do not let the
// asker see their presence (§8).
//
// Forms (XEP-0128 1.0.1) that modules registered follow the features. Nodes
// are answered by the modules that New was given; any other is item-not-found.
package disco

import (
	"context"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// The two namespaces of XEP-0030.
const (
	infoSpace  = "http://jabber.org/protocol/disco#info"
	itemsSpace = "http://jabber.org/protocol/disco#items"
)

// prio places the guard behind blocking and before what may answer.
const prio = 100

// Module is XEP-0030.
type Module struct {
	subs  xmpp.Subscriptions
	nodes []xmpp.Nodes
	host  xmpp.Host
}

// New makes the module; subs says who may see whom, nodes are asked in order.
func New(subs xmpp.Subscriptions, nodes ...xmpp.Nodes) *Module {
	return &Module{subs: subs, nodes: nodes}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "disco", Specs: []xmpp.Spec{
		{Doc: "XEP-0030", Version: "2.5", Title: "Service Discovery"},
		{Doc: "XEP-0128", Version: "1.0.1", Title: "Service Discovery Extensions"},
	}}
}

// Load registers the answers and the guard.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	info := stanza.Name{Space: infoSpace, Local: "query"}
	items := stanza.Name{Space: itemsSpace, Local: "query"}
	h.IQ(xmpp.ToDomain, stanza.Get, info, m.domainInfo)
	h.IQ(xmpp.ToDomain, stanza.Get, items, m.domainItems)
	h.IQ(xmpp.ToBare, stanza.Get, info, m.accountInfo)
	h.IQ(xmpp.ToBare, stanza.Get, items, m.accountItems)
	h.IQHook(xmpp.Inbound, prio, m.guard)
	h.Feature(xmpp.ToDomain, infoSpace, itemsSpace)
	h.Feature(xmpp.ToBare, infoSpace, itemsSpace)
	h.Identity(xmpp.ToHost, xmpp.Identity{Category: "server", Type: "im", Name: "doorway"})
	h.Identity(xmpp.ToBare, xmpp.Identity{Category: "account", Type: "registered"})
	return nil
}

// sees reports that the asker may know about the account.
func (m *Module) sees(iq *stanza.Stanza) bool {
	owner, viewer := iq.To.Bare(), iq.From.Bare()
	return owner == viewer || m.subs.SeesPresence(owner, viewer)
}

// unavailable is what an asker hears of an account that does not exist, and
// of one he may not see (XEP-0030 §8).
func unavailable() error {
	return stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address answers this request.")
}

// node returns the node asked for, "" without one.
func node(iq *xmpp.IQ) string {
	q, _ := iq.Child(iq.Payload.Space, "query")
	return q.Attr("node")
}

// ofNode has the modules answer for a node.
func (m *Module) ofNode(ctx context.Context, iq *xmpp.IQ, node string) (string, error) {
	for _, n := range m.nodes {
		if query, ok, err := n.Node(ctx, iq, node); ok || err != nil {
			return query, err
		}
	}
	return "", stanza.NewError(stanza.ItemNotFound, "This address has no such node.")
}

func (m *Module) domainInfo(ctx context.Context, iq *xmpp.IQ) (string, error) {
	if n := node(iq); n != "" {
		return m.ofNode(ctx, iq, n)
	}
	common := m.host.Features(xmpp.ToDomain)
	if name := iq.To.Domain(); name != m.host.Domainpart() {
		for _, d := range m.host.Domains() {
			if d.Name == name {
				return info(d.Identities, d.Features, common, d.Forms), nil
			}
		}
		return "", unavailable()
	}
	return info(m.host.Identities(xmpp.ToHost), m.host.Features(xmpp.ToHost), common, m.host.Forms(xmpp.ToHost)), nil
}

func (m *Module) domainItems(ctx context.Context, iq *xmpp.IQ) (string, error) {
	if n := node(iq); n != "" {
		return m.ofNode(ctx, iq, n)
	}
	var w xmlstream.Writer
	w.Start(itemsSpace, "query")
	if iq.To.Domain() == m.host.Domainpart() {
		for _, d := range m.host.Domains() {
			name := ""
			if len(d.Identities) > 0 {
				name = d.Identities[0].Name
			}
			w.Start("", "item", "jid", d.Name, "name", name).End()
		}
	}
	return w.End().String(), nil
}

func (m *Module) accountInfo(ctx context.Context, iq *xmpp.IQ) (string, error) {
	if !iq.Exists || !m.sees(iq.Stanza) {
		return "", unavailable()
	}
	if n := node(iq); n != "" {
		return m.ofNode(ctx, iq, n)
	}
	return info(m.host.Identities(xmpp.ToBare), m.host.Features(xmpp.ToBare), nil, m.host.Forms(xmpp.ToBare)), nil
}

// accountItems lists what modules have at an account; to a stranger and for an
// unknown account that is always the empty list (XEP-0030 §8).
func (m *Module) accountItems(ctx context.Context, iq *xmpp.IQ) (string, error) {
	var w xmlstream.Writer
	w.Start(itemsSpace, "query")
	if !iq.Exists || !m.sees(iq.Stanza) {
		return w.String(), nil
	}
	if n := node(iq); n != "" {
		return m.ofNode(ctx, iq, n)
	}
	for _, n := range m.nodes {
		l, ok := n.(xmpp.Items)
		if !ok {
			continue
		}
		err := l.Items(ctx, iq, func(address jid.JID, node, name string) {
			w.Start("", "item", "jid", address.String(), "node", node, "name", name).End()
		})
		if err != nil {
			return "", err
		}
	}
	return w.String(), nil
}

// guard answers for a resource whose presence the asker may not see, as if it
// were not there (XEP-0030 §8). The server and the account itself may ask.
func (m *Module) guard(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.Type != string(stanza.Get) || st.To.Local() == "" || !st.To.IsFull() ||
		st.Payload.Space != infoSpace && st.Payload.Space != itemsSpace {
		return xmpp.Pass, nil
	}
	if st.From.String() == m.host.Domainpart() || m.sees(st) {
		return xmpp.Pass, nil
	}
	return xmpp.Done, unavailable()
}

// info writes the answer of disco#info, each feature once.
func info(ids []xmpp.Identity, features, more []string, forms []*form.Form) string {
	var w xmlstream.Writer
	w.Start(infoSpace, "query")
	for _, id := range ids {
		w.Start("", "identity", "category", id.Category, "type", id.Type, "name", id.Name).End()
	}
	for _, f := range features {
		w.Start("", "feature", "var", f).End()
	}
	for _, f := range more {
		if !slices.Contains(features, f) {
			w.Start("", "feature", "var", f).End()
		}
	}
	for _, f := range forms {
		w.Raw(f.XML())
	}
	return w.End().String()
}
