// Package xmpp is the contract page of the XMPP server: what a module (one
// XEP or one part of RFC 6121) is given, and what modules ask of each other.
//
// A module lives in a folder under xmpp/mod, is constructed in one line of
// cmd/doorway/modules.go with the interfaces it needs from other modules, and
// in Load says what it answers and where it listens. xmpp/router implements
// Host; xmpp/c2s feeds it. All tables made in Load are frozen before the
// first listener opens, so nothing here needs a lock at run time.
//
// How a stanza travels (design §5). The client's reader goroutine carries it
// to the end: Outbound hooks, route by domain, Inbound hooks of a local
// recipient, delivery after RFC 6121 §8.5, Deliver hooks for each receiving
// session, that session's queue. Nothing on the way waits for the disk: what
// must be stored is queued with Table.Later, and Delivery.Await makes the
// sender's XEP-0198 acknowledgement wait for it. The router builds the one
// error reply when a hook or handler returns an error; nobody else does.
package xmpp

import (
	"context"
	"errors"
	"log/slog"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Module is one XEP or one part of the core. Load is called once, in the
// order of modules.go, before any session exists. A module that works in the
// background also has Run(context.Context) error, which supervise calls.
type Module interface {
	Info() Info
	Load(Host) error
}

// Info describes a module; it feeds `doorway check` and the README's table.
type Info struct {
	Name  string // the folder's name
	Specs []Spec
}

// Spec names a specification a module implements.
type Spec struct{ Doc, Version, Title string } // "XEP-0199", "2.0.1", "XMPP Ping"; or "RFC 6121 §2", "", "Roster"

// Target says at which address an IQ handler, a feature or an identity lives.
type Target uint8

// Targets. A request to a hosted component domain tries that domain's
// Handler first and then the ToDomain handlers.
const (
	ToHost   Target = iota + 1 // the server's own domain
	ToDomain                   // any hosted domain: the server's and the components' (ping, disco, version)
	ToBare                     // a local account's bare JID, asked by anybody; also one that does not exist (IQ.Exists)
	ToSelf                     // a session asking its own account: no to, or its own bare JID. Tried before ToBare.
)

// IQ is a get or set on its way to a handler. Session is the asker's when it
// is local, else nil. Exists says whether a ToBare account exists.
type IQ struct {
	*stanza.Stanza
	Session Session
	Exists  bool
}

// IQFunc answers one request: the inner XML of the result ("" for an empty
// one), or an error (a *stanza.Error, or any other, which becomes
// internal-server-error and is logged). ErrLater means the handler answers by
// Host.Send itself. An IQ set returns only after its change is on disk.
type IQFunc func(ctx context.Context, iq *IQ) (result string, err error)

// ErrLater says that the answer will be sent later.
var ErrLater = errors.New("answered later")

// Point is where a hook stands on a stanza's way.
type Point uint8

// Points. Hooks of one point run in rising order of prio; equal prio in order of Load.
const (
	Outbound Point = iota + 1 // from a local session, before routing; From is stamped, To may still be zero
	Inbound                   // to a local account (bare or full), before RFC 6121 §8.5
	Offline                   // a message for an account that no session takes (RFC 6121 §8.5.2.2)
	Deliver                   // once for each receiving session, before its queue
	Acked                     // XEP-0198: the receiving client confirmed it; verdicts are ignored
)

// Verdict is what a hook decides.
type Verdict uint8

// Verdicts. An error returned with any verdict stops the stanza and is answered by the router.
const (
	Pass Verdict = iota // go on
	Done                // stop here: the hook has taken, stored or dropped the stanza
)

// Hook looks at a stanza on its way and may replace d.Stanza. d belongs to the
// router again when the hook returns.
type Hook func(ctx context.Context, d *Delivery) (Verdict, error)

// Delivery is a stanza at a hook point.
type Delivery struct {
	Stanza  *stanza.Stanza
	Sender  Session // the local session it came from, nil for others
	Session Session // at Deliver and Acked: the receiving one
	Exists  bool    // at Inbound: the local account exists
	Again   bool    // given back by a stream that ended, with a delay stamp: Inbound hooks have seen it before
	More    bool    // at Acked: others of the same kind follow that the same acknowledgement covers
	// Archived is the id under which the archives of sender and recipient keep
	// the message (XEP-0359), "" for none. The archive (mod/mam) sets it at
	// Outbound, before copies are made for the sender's other resources.
	Archived string
	// Hold, when not nil, is the sender's stream; use Await.
	Hold Holder
}

// Holder delays acknowledgements of what a stream has sent so far.
type Holder interface{ Hold() (release func(error)) }

// Await makes the sender's acknowledgement of this stanza wait until done is
// called, exactly once, from any goroutine. A non-nil error has the stanza
// refused with internal-server-error. Never nil.
func (d *Delivery) Await() (done func(error)) {
	if d.Hold == nil {
		return func(error) {}
	}
	return d.Hold.Hold()
}

// Session is a bound resource. Safe for concurrent use.
type Session interface {
	JID() jid.JID // full
	// Send queues a stanza; it never blocks. ctx carries the batch of the
	// reader that is running, if any, so that it flushes the queue itself.
	// It does not run Deliver hooks: Host.Send and pushes by modules do.
	Send(ctx context.Context, s *stanza.Stanza)
	// Presence is the last available presence that was broadcast, with its
	// priority; nil while unavailable.
	Presence() (s *stanza.Stanza, priority int8)
	SetPresence(s *stanza.Stanza, priority int8)
	// Value and SetValue hold one value for each key, for modules.
	Value(key *Key) any
	SetValue(key *Key, v any)
	// Close ends the stream with a stream error (nil: an ordinary close).
	Close(err *stanza.StreamError)
	// Secure reports TLS, or a WebSocket that does not leave this machine; Addr is
	// the peer's address for logs and limits.
	Secure() bool
	Addr() string
}

// Acknowledging is an optional ability of a Session, for a type assertion:
// XEP-0198 is on, so that Acked hooks will tell what has arrived.
type Acknowledging interface{ Acks() bool }

// Absentee is an optional ability of a Session, for a type assertion: its
// client's link was lost, and what is queued waits in memory for the client to
// resume the stream (XEP-0198 §5).
type Absentee interface{ Absent() bool }

// Paced is an optional ability of a Session, for a type assertion: Pace has
// what is queued written out and, where that is much, waits until the client
// has taken it or the stream is ending. It is for who sends one client very much at
// once, called in the turn of that client and without a lock.
type Paced interface{ Pace() }

// Key identifies a value in a Session: a package-level variable of its owner.
type Key struct{ Name string }

// SessionEvent tells that a session came or went.
type SessionEvent struct {
	Session Session
	Kind    SessionEventKind
	// Unavailable, at SessionClosed: the client's own last unavailable presence was already broadcast.
}

// SessionEventKind is the kind of a SessionEvent.
type SessionEventKind uint8

// Session events. SessionClosed comes once, after the session left the table.
// SessionResumed says that the same session goes on in a new stream (XEP-0198
// §5): what the client told the server beside stanzas is forgotten.
const (
	SessionBound SessionEventKind = iota + 1
	SessionClosed
	SessionResumed
)

// Handler answers for a hosted component domain: an in-process gateway or a
// XEP-0114 connection. Pass on an IQ to the bare domain lets the ToDomain
// handlers try; Pass on anything else is service-unavailable for IQ and message.
type Handler interface {
	Handle(ctx context.Context, d *Delivery) (Verdict, error)
}

// Domain is a hosted component domain.
type Domain struct {
	Name       string
	Identities []Identity
	Features   []string
	Forms      []*form.Form // of disco#info (XEP-0128)
	Handler    Handler
}

// Identity is a service discovery identity (XEP-0030 §3.1).
type Identity struct{ Category, Type, Name string }

// Host is what a module sees of the server.
type Host interface {
	IQ(target Target, typ stanza.IQType, name stanza.Name, h IQFunc) // exact match of the payload's name; twice panics
	Message(p Point, prio int, h Hook)
	Presence(p Point, prio int, h Hook)
	IQHook(p Point, prio int, h Hook) // not at Offline; at Inbound also what goes to the server's own domain, before any IQFunc
	Session(f func(context.Context, SessionEvent))
	StreamFeature(StreamFeature)
	Feature(t Target, ns ...string) // ToHost, ToDomain or ToBare
	Identity(t Target, id Identity) // ToHost or ToBare
	// Form adds a form to disco#info (XEP-0128; ToHost or ToBare). f answers
	// from memory at each request; nil leaves it out.
	Form(t Target, f func() *form.Form)
	Domain(d Domain) error

	// Send routes a stanza as if it had come in: Inbound hooks, delivery,
	// Offline hooks; From must be set and is trusted. done, when not nil, is
	// called once when everything it had to store is on disk (at once when
	// nothing), with the error when it was refused. A refused message or
	// presence is answered with an error stanza to From only when done is nil;
	// a refused IQ request always is.
	Send(ctx context.Context, s *stanza.Stanza, done func(error))
	// Deliver queues s to one session through the Deliver hooks.
	Deliver(ctx context.Context, to Session, s *stanza.Stanza)

	Sessions(account jid.JID) []Session // all bound resources of a bare JID; none: nil
	Exists(account jid.JID) bool        // a local account
	Domainpart() string
	Domains() []Domain // hosted component domains, in order of registration
	Features(t Target) []string
	Identities(t Target) []Identity
	Forms(t Target) []*form.Form
	StreamFeatures() []StreamFeature
	Table(name string) Table
	Tables() Tables
	Log() *slog.Logger
}

// StreamFeature is a feature a module adds to <stream:features/>.
type StreamFeature struct {
	Name  stanza.Name
	Phase Phase
	// Offer returns the XML to advertise, "" to leave it out on this stream.
	Offer func(Stream) string
	// Handle takes a top-level element of that name's namespace; nil when the
	// feature only advertises. The string is written to the stream.
	Handle func(ctx context.Context, st Stream, el stanza.Element) (answer string, err error)
	// Inline features may also be negotiated inside SASL2 and Bind2.
	Inline bool
}

// Phase is when a stream feature is offered.
type Phase uint8

// Phases: before authentication, after it and before bind.
const (
	PreAuth Phase = iota + 1
	PostAuth
)

// Stream is what a stream feature sees of the connection.
type Stream interface {
	Secure() bool
	Addr() string
	Account() jid.JID // bare JID after authentication, else zero
	Session() Session // nil before bind
}

// Table is one bucket of the store (gateway/store satisfies it). Values are
// encoded as JSON. Keys sort bytewise. Safe for concurrent use; Get and Range
// see queued changes.
type Table interface {
	Get(key string, v any) (bool, error)
	Write(changes map[string]any) error                                                    // atomic; nil deletes; returns after fsync
	Later(changes map[string]any, done func(error))                                        // queued in order; done (may be nil) after fsync
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error // from <= key < to, "" open; no transaction held during f
	Next() (uint64, error)                                                                 // unique, rising, never a commit for each call
}

// Tables commits changes to several tables of one file together: table name,
// key, value. done as in Table.Later.
type Tables interface {
	LaterAll(changes map[string]map[string]any, done func(error))
}

// Subscriptions is what the roster tells other modules (mod/roster). Safe for concurrent use.
type Subscriptions interface {
	// Subscription returns user's item for contact: none, to, from, both ("" without an item).
	Subscription(user, contact jid.JID) string
	// SeesPresence reports that viewer may see the presence of the local account owner:
	// itself, an item from or both, or a shared roster.
	SeesPresence(owner, viewer jid.JID) bool
	// Contacts calls f for each contact of user with subscription to, from or both.
	Contacts(user jid.JID, f func(contact jid.JID, subscription string))
	// Add puts a contact into a local user's roster with a subscription, as a
	// gateway may for its own contacts, and pushes it. Existing names and groups stay.
	Add(ctx context.Context, user, contact jid.JID, name string, groups []string, subscription string) error
	// Remove takes it out and pushes that.
	Remove(ctx context.Context, user, contact jid.JID) error
}

// Losses is an optional ability of Subscriptions, for a type assertion. Losses
// rises whenever somebody has lost the sight of somebody's presence: after
// SeesPresence says so, and before the loss is told. So who sends presence and finds
// it risen afterwards has to look again.
type Losses interface{ Losses() uint64 }

// Caps is what entity capabilities (XEP-0115) tell others.
type Caps interface {
	// Has reports that the full JID's client advertised the feature.
	Has(full jid.JID, feature string) bool
	// Notify returns the names of nodes of which the session's client wants
	// notifications (XEP-0163 §4.3.2: its features that end in +notify), sorted.
	// The slice is shared and must not be changed.
	Notify(s Session) []string
	// Watch has f called each time a local session's features have become
	// known, or others; called while modules load.
	Watch(f func(ctx context.Context, s Session))
}

// Presences is what the presence module does for others.
type Presences interface {
	// Refresh broadcasts the session's present presence as f changes it;
	// nothing while it is unavailable. f keeps show and priority.
	Refresh(ctx context.Context, s Session, f func(*stanza.Stanza) *stanza.Stanza)
}

// Blocker is what blocking (XEP-0191) tells others.
type Blocker interface {
	Blocked(user, other jid.JID) bool
}
