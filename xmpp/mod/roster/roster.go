// Package roster keeps rosters and presence subscriptions: RFC 6121 §2 (with
// roster versioning, §2.6), §3 (with pre-approval, §3.4) and the state tables
// of appendix A. Presence itself (§4) is xmpp/mod/presence.
//
// An account's items and the subscription requests that wait for its answer
// lie in the tables "roster" and "requests", one record for each contact. They
// are loaded when first needed and dropped from memory when nobody of the
// account is online and many accounts are loaded.
//
// A change is queued for the disk under the account's lock, and everything
// that tells of it (the pushes, the stanza's way to the contact, the answers
// in the user's name) follows after the commit and without the lock, in the
// order of the commits. An IQ set waits for its commit; so does a subscription
// stanza of a client, which must not be overtaken by what the client sends
// next (RFC 6120 §10.1). What comes in from contacts waits for nothing.
//
// Choices where the standard leaves room: a pre-approval stays on record until
// the user sends unsubscribed or removes the item; a request that waits for its
// answer abroad is sent again when the user's first resource comes online; a
// removed item's pending requests are taken back and refused with it; an
// account's own address cannot be put into its roster.
//
// Beside a user's own items stand those that groups give (xmpp.SharedRoster).
// They are never stored here: what is kept is the user's own part, laid over
// them, its name, groups and subscriptions. A name or group given to a contact
// that only groups show is an overlay, which is in no roster by itself but waits
// for the contact to come back. What groups grant cannot be ended by
// subscription stanzas, which then concern the user's own part alone: they go on to
// a local contact, whose roster keeps step without a word to its clients.
//
// Left out: interim pushes of roster versioning (an outdated client gets the
// whole roster, as §2.6.3 allows).
//
// Goroutines: what follows a commit that nobody waits for runs in a goroutine
// that ends when the account's queue is empty; Run waits for those.
package roster

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Limits.
const (
	maxItems       = 1500    // of the user's own in one roster
	maxOverlays    = 4000    // names and groups given to contacts that groups show
	maxRequests    = 200     // waiting for one account's answer; more are ignored (RFC 6121 §3.1.3)
	maxRequestSize = 8 << 10 // bytes; of a larger request only the header is kept
	maxName        = 1023    // bytes of a name or a group's name
	maxGroups      = 32      // of one item
	idleAccounts   = 256     // loaded accounts from which on idle ones are dropped
)

// The tables.
const (
	tableRoster   = "roster"
	tableRequests = "requests"
)

const ns = "jabber:iq:roster"

// Hook priorities. Presence is broadcast at 100; RFC 6121 §4.2 has requests
// follow it, and offline messages (200) follow those.
const (
	prioSubscriptions = 100
	prioGreet         = 150
)

// What a session carries for this module.
var (
	interested = xmpp.Key{Name: "roster interested"} // it asked for the roster and gets pushes (RFC 6121 §2.2)
	greeted    = xmpp.Key{Name: "roster greeted"}    // it got the waiting requests since it became available
	resent     = xmpp.Key{Name: "roster resent"}     // the user's own requests went out again for it
)

// Module is the roster of every local account. It implements xmpp.Module and
// xmpp.Subscriptions. Safe for concurrent use after Load.
type Module struct {
	shared   xmpp.SharedRoster
	host     xmpp.Host
	log      *slog.Logger
	roster   xmpp.Table
	requests xmpp.Table
	pushes   atomic.Uint64 // ids of pushes
	losses   atomic.Uint64
	bg       counter
	backlog  backlog
	gather   func(context.Context) (context.Context, func())

	mu       sync.Mutex // guards accounts and sweepAt; taken after account.mu, never before
	accounts map[jid.JID]*account
	sweepAt  int
}

var (
	_ xmpp.Module        = (*Module)(nil)
	_ xmpp.Subscriptions = (*Module)(nil)
	_ xmpp.Losses        = (*Module)(nil)
)

// New makes the module. shared is nil where there are no groups.
func New(shared xmpp.SharedRoster) *Module {
	if shared == nil {
		shared = nobody{}
	}
	return &Module{shared: shared, gather: scatter, backlog: backlog{slots: make(chan struct{}, atWork)}, accounts: make(map[jid.JID]*account), sweepAt: idleAccounts}
}

// Gather has what a change of groups pushes to many clients written out
// together: what is sent under the context that f makes, when its function is
// called. Before Load only.
func (m *Module) Gather(f func(context.Context) (context.Context, func())) *Module {
	m.gather = f
	return m
}

func scatter(ctx context.Context) (context.Context, func()) { return ctx, func() {} }

// Info describes the module.
func (m *Module) Info() xmpp.Info {
	return xmpp.Info{Name: "roster", Specs: []xmpp.Spec{
		{Doc: "RFC 6121 §2", Title: "Roster"},
		{Doc: "RFC 6121 §3", Title: "Presence subscriptions"},
		{Doc: "XEP-0237", Version: "1.3", Title: "Roster Versioning"},
	}}
}

// Load registers the handlers.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.log = h, h.Log()
	m.roster, m.requests = h.Table(tableRoster), h.Table(tableRequests)
	query := stanza.Name{Space: ns, Local: "query"}
	m.shared.Watch(m.changed)
	h.IQ(xmpp.ToSelf, stanza.Get, query, m.get)
	h.IQ(xmpp.ToSelf, stanza.Set, query, m.set)
	h.IQ(xmpp.ToBare, stanza.Get, query, forbidden)
	h.IQ(xmpp.ToBare, stanza.Set, query, forbidden)
	h.Presence(xmpp.Outbound, prioSubscriptions, m.sent)
	h.Presence(xmpp.Outbound, prioGreet, m.greet)
	h.Presence(xmpp.Inbound, prioSubscriptions, m.received)
	// RFC 6121 §2.6.1, §3.4: both only inform.
	h.StreamFeature(xmpp.StreamFeature{Name: stanza.Name{Space: "urn:xmpp:features:rosterver", Local: "ver"},
		Phase: xmpp.PostAuth, Offer: offer("<ver xmlns='urn:xmpp:features:rosterver'/>")})
	h.StreamFeature(xmpp.StreamFeature{Name: stanza.Name{Space: "urn:xmpp:features:pre-approval", Local: "sub"},
		Phase: xmpp.PostAuth, Offer: offer("<sub xmlns='urn:xmpp:features:pre-approval'/>")})
	return nil
}

func offer(xml string) func(xmpp.Stream) string { return func(xmpp.Stream) string { return xml } }

// push sends one item to every interested resource (RFC 6121 §2.1.6). What the
// clients answer is dropped by the router, errors too.
func (m *Module) push(ctx context.Context, owner jid.JID, query string) {
	if query == "" {
		return
	}
	m.spread(ctx, owner, pushed(query), true)
}

// queryName is what results and pushes hold.
var queryName = stanza.Name{Space: ns, Local: "query"}

// pushed is a push that has no addresses yet.
func pushed(query string) *stanza.Stanza {
	return stanza.NewChild(stanza.IQ, string(stanza.Set), "", jid.JID{}, jid.JID{}, queryName, query)
}

// spread sends a push to every interested resource. own says that nobody else has
// the stanza, so that it need not be copied for a single one.
func (m *Module) spread(ctx context.Context, owner jid.JID, push *stanza.Stanza, own bool) {
	list := m.host.Sessions(owner)
	for _, s := range list {
		switch {
		case s.Value(&interested) == nil:
		case own && len(list) == 1:
			push.ID, push.From, push.To = m.pushID(), owner, s.JID()
			m.host.Deliver(ctx, s, push)
		default:
			m.host.Deliver(ctx, s, push.WithAddress(m.pushID(), owner, s.JID()))
		}
	}
}

func (m *Module) pushID() string {
	var space [32]byte
	return string(strconv.AppendUint(append(space[:0], "push"...), m.pushes.Add(1), 36))
}

// pushOf is the push that tells of a change of the user's own part, "" when
// clients see none. Either item may be nil. Needs a.mu, after the change.
func (a *account) pushOf(contact jid.JID, old, next *item) string {
	s := a.shared.Item(a.owner, contact)
	was, is := a.shown(old, s), a.shown(next, s)
	if was == is {
		return ""
	}
	return a.pushXML(contact, is)
}

// pushXML is the push of a contact that looks like that, "" for one that is
// gone. Needs a.mu.
func (a *account) pushXML(contact jid.JID, item string) string {
	return pushXML(a.version(), contact, item)
}

// pushXML is the push of a contact, with the version that clients have after it.
func pushXML(version string, contact jid.JID, item string) string {
	if item == "" {
		item = removedXML(contact)
	}
	return queryXML(version, item)
}
