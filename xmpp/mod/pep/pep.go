// Package pep makes each account a personal publisher (XEP-0163 1.2.2, on the
// engine of xmpp/pubsub after XEP-0060 1.30): what its clients publish reaches
// its other resources and those contacts who see its presence and want to hear
// of it.
//
// Notifications are headline messages from the account's bare JID to full JIDs:
// available resources of the account and of contacts who see its presence, are
// not blocked, may read the node, and whose capabilities (XEP-0115) name it with
// +notify; and those that have subscribed to the node. A resource that comes
// online gets the last items of its own account and of the contacts whose
// presence it sees, as soon as its capabilities are known, and of a contact that
// has just approved it.
//
// A request to an account that does not exist is answered as one to an account
// without that node. It is also the home of OMEMO's nodes (XEP-0384), private
// storage (XEP-0222, XEP-0223), user nicks (XEP-0172), and vCard4 (XEP-0292
// 0.12.0), whose node is open to everybody unless its owner says otherwise.
//
// Left out: notifications to contacts of other servers, which waits for federation.
// The package starts no goroutine. A session has one slice that it shares with
// others of the same client.
package pep

import (
	"context"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Hook priorities: behind the capabilities (120) at Outbound; before the
// presence module (100) and the roster (100) at Inbound.
const (
	prioGone     = 130
	prioApproved = 90
)

// vcard4 is the node of XEP-0292 §3.1.
const vcard4 = "urn:xmpp:vcard4"

// served is the nodes of which a session has got the last items.
var served = xmpp.Key{Name: "pep"}

// Config is what the module is made of.
type Config struct {
	Service *pubsub.Service
	// Subscriptions says who sees whose presence, without contacts that are blocked.
	Subscriptions xmpp.Subscriptions
	Blocker       xmpp.Blocker
	Caps          xmpp.Caps
}

// Module is XEP-0163. Safe for concurrent use after Load.
type Module struct {
	Config
	host xmpp.Host
}

var (
	_ xmpp.Module    = (*Module)(nil)
	_ xmpp.Nodes     = (*Module)(nil)
	_ xmpp.Items     = (*Module)(nil)
	_ xmpp.Publisher = (*Module)(nil)
)

// New makes the module.
func New(c Config) *Module { return &Module{Config: c} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "pep", Specs: []xmpp.Spec{
		{Doc: "XEP-0060", Version: "1.30.0", Title: "Publish-Subscribe (the parts that accounts need)"},
		{Doc: "XEP-0163", Version: "1.2.2", Title: "Personal Eventing Protocol"},
		{Doc: "XEP-0172", Version: "1.1", Title: "User Nickname"},
		{Doc: "XEP-0222", Version: "1.0", Title: "Persistent Storage of Public Data via PubSub"},
		{Doc: "XEP-0223", Version: "1.1.1", Title: "Persistent Storage of Private Data via PubSub"},
		{Doc: "XEP-0292", Version: "0.12.0", Title: "vCard4 Over XMPP"},
		{Doc: "XEP-0384", Version: "0.9.1", Title: "OMEMO Encryption (its nodes)"},
	}}
}

// features are those of XEP-0060 §10 that there are here.
var features = []string{
	"access-open", "access-presence", "access-roster", "access-whitelist", "auto-create", "auto-subscribe",
	"config-node", "config-node-max", "create-and-configure", "create-nodes", "delete-items", "delete-nodes",
	"filtered-notifications", "item-ids", "last-published", "member-affiliation", "meta-data", "modify-affiliations",
	"manage-subscriptions", "multi-items", "outcast-affiliation", "persistent-items", "presence-notifications",
	"presence-subscribe", "publish", "publish-only-affiliation", "publish-options", "publisher-affiliation", "purge-nodes",
	"retract-items", "retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions", "rsm", "subscribe",
}

// Load registers the handlers.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	m.Service.Open(h)
	m.Service.Watch(m.tell)
	open := pubsub.Personal()
	open.Access = pubsub.Open
	m.Service.Default(vcard4, open) // XEP-0292 §3.1: by XEP-0222
	for _, space := range []string{pubsub.Space, pubsub.SpaceOwner} {
		name := stanza.Name{Space: space, Local: "pubsub"}
		h.IQ(xmpp.ToBare, stanza.Get, name, m.request)
		h.IQ(xmpp.ToBare, stanza.Set, name, m.request)
	}
	h.Feature(xmpp.ToBare, pubsub.Space)
	for _, f := range features {
		h.Feature(xmpp.ToBare, pubsub.Space+"#"+f)
	}
	h.Identity(xmpp.ToBare, xmpp.Identity{Category: "pubsub", Type: "pep"})
	h.Presence(xmpp.Outbound, prioGone, m.gone)
	h.Presence(xmpp.Inbound, prioApproved, m.approved)
	m.Caps.Watch(m.arrived)
	return nil
}

// request answers what is asked of an account.
func (m *Module) request(ctx context.Context, iq *xmpp.IQ) (string, error) {
	if !iq.Exists {
		return "", m.nobody(iq)
	}
	return m.Service.Handle(ctx, iq.To, iq)
}

// nobody is what an account without any nodes would answer a stranger.
func (m *Module) nobody(iq *xmpp.IQ) error {
	el, _ := iq.Child(iq.Payload.Space, "pubsub")
	if iq.Payload.Space == pubsub.SpaceOwner || iq.Type == string(stanza.Set) && (el.Child("", "publish") != nil || el.Child("", "create") != nil) {
		return stanza.NewError(stanza.Forbidden, "You may not do this here.")
	}
	return stanza.NewError(stanza.ItemNotFound, "There is no such node.")
}

// Publish implements xmpp.Publisher.
func (m *Module) Publish(ctx context.Context, account jid.JID, node, id, payload string) error {
	return m.Service.Publish(ctx, account, node, id, payload)
}

// Retract implements xmpp.Publisher.
func (m *Module) Retract(ctx context.Context, account jid.JID, node, id string) error {
	return m.Service.Retract(ctx, account, node, id)
}

// Purge forgets the nodes of a removed account.
func (m *Module) Purge(account jid.JID) error { return m.Service.Purge(account) }

// Node implements xmpp.Nodes for the nodes of accounts (XEP-0060 §5.3, §5.5).
func (m *Module) Node(_ context.Context, iq *xmpp.IQ, node string) (string, bool, error) {
	if iq.To.Local() == "" || !iq.To.IsBare() {
		return "", false, nil
	}
	space := iq.Payload.Space
	var w xmlstream.Writer
	w.Start(space, "query", "node", node)
	if iq.Payload.Space == "http://jabber.org/protocol/disco#items" {
		ids, ok, err := m.Service.IDs(iq.To, iq.From, node)
		for _, id := range ids {
			w.Start("", "item", "jid", iq.To.String(), "name", id).End()
		}
		return w.String(), ok, err
	}
	f, ok, err := m.Service.Describe(iq.To, iq.From, node)
	if !ok {
		return "", false, err
	}
	w.Start("", "identity", "category", "pubsub", "type", "leaf").End()
	w.Start("", "feature", "var", pubsub.Space).End()
	return w.Raw(f.XML()).String(), true, nil
}

// Items implements xmpp.Items: the nodes that the asker may read (XEP-0060 §5.2).
func (m *Module) Items(_ context.Context, iq *xmpp.IQ, f func(address jid.JID, node, name string)) error {
	return m.Service.Names(iq.To, iq.From, func(name, title string) { f(iq.To, name, title) })
}

// wants reports that a session's client is available and has asked for a node's
// notifications.
func (m *Module) wants(s xmpp.Session, node string) bool {
	if p, _ := s.Presence(); p == nil {
		return false
	}
	_, ok := slices.BinarySearch(m.Caps.Notify(s), node)
	return ok
}
