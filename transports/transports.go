// Package transports is the contract page between doorway and the other
// networks: SMS, IRC, OSCAR, MSNP, YMSG. A Network knows its own wire and
// nothing of XMPP; gateway/bridge turns it into an XMPP domain and knows
// nothing of the wire. Ids are opaque to the bridge.
//
// A Network is registered in one line of cmd/doorway/networks.go. For each
// account (or once, at House scope) the bridge runs Dial and then
// Session.Run until it ends, again with backoff while the error is temporary.
// A Session starts no goroutine that outlives Run.
package transports

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ContactID, RoomID and Ref are opaque ids of one network: a phone number in
// E.164, a channel, a message reference.
type (
	ContactID string
	RoomID    string
	Ref       string
)

// Scope says who owns a session.
type Scope uint8

// Scopes.
const (
	PerUser Scope = iota + 1 // each registered user has an account of their own
	House                    // one session serves everybody (SMS); Message.Sender says who speaks
)

// Info describes a network.
type Info struct {
	Type   string // the gateway identity's type, e.g. "sms", "irc" (XEP-0100)
	Name   string // for people, e.g. "SMS"
	Scope  Scope
	Prompt string // what jabber:iq:gateway asks for, e.g. "Phone number"
	Desc   string // the sentence above the prompt
}

// Network makes sessions.
type Network interface {
	Info() Info
	Form() []Field // registration fields (XEP-0077); nil at House scope
	// ContactID normalises what a person typed ("0155 501-01") or the unescaped
	// localpart of a JID; a *Error of kind NotFound says what is wrong with it.
	ContactID(typed string) (ContactID, error)
	// Dial logs in; success is the proof of an account. At House scope it always succeeds at once.
	Dial(ctx context.Context, a Account, env Env) (Session, error)
}

// Field is one field of a registration form.
type Field struct {
	Name, Label string
	Secret      bool
	Required    bool
	Value       string
}

// Account is what a user registered with.
type Account struct {
	User   string // owner's bare JID; "" at House scope
	Fields map[string]string
}

// Session is a logged-in connection.
type Session interface {
	// Run works until ctx ends (nil) or the connection is lost (error). Everything that
	// happens is given to sink, in order for each contact, from one goroutine at a time.
	Run(ctx context.Context, sink Sink) error
	// Send returns nil when the message is on the wire or on disk; what becomes of it
	// later is a Receipt event with the same Ref. Errors are *Error. Safe for concurrent use.
	Send(ctx context.Context, m Message) (Ref, error)
}

// Sink takes one event. nil means the receiver has taken responsibility: the
// event is delivered or on disk, and the network may forget it. Otherwise the network keeps it and
// offers it again.
type Sink func(ctx context.Context, e Event) error

// Message is one text. Outgoing: Sender, To, Body, ID. Incoming (as an
// event): From, Body, Ref, At.
type Message struct {
	Sender  string    // outgoing at House scope: the bare JID of the person who speaks, or of the room
	Origin  string    // outgoing: the sender's full JID and stanza id, opaque; returned in receipts
	From    ContactID // incoming
	To      ContactID // outgoing
	Room    RoomID    // set in a room
	Body    string
	Ref     Ref       // incoming: unique for ever; the bridge drops a Ref it has seen
	At      time.Time // incoming: when the network says it was written
	Delayed bool      // incoming: it waited on the network, so At is shown
	Urgent  bool      // outgoing: alarm before chat
	Flash   bool      // shown at once and not kept by the phone (SMS class 0); networks without it ignore it
	Kind    string    // incoming: what it is when it is no ordinary text, a word of the network such as "mms"; Body says it in words
	Replace Ref       // incoming: corrects an earlier message (XEP-0308)
	Key     string    // outgoing: idempotency key, "" for none

	NotBefore time.Time     // outgoing: not sent earlier; zero: at once
	Validity  time.Duration // outgoing: how long it may be tried from then on; 0: as the network is set up
	Via       string        // outgoing: the modem or line to use, "" for the network's choice
}

// Event is one of the types below.
type Event interface{ event() }

// State is the public state of a message (design §3), the same words everywhere.
type State string

// The public states.
const (
	Queued          State = "queued"
	Leased          State = "leased"
	OnAir           State = "on-air"
	Accepted        State = "accepted"
	Delivered       State = "delivered"
	SentUnconfirmed State = "sent-unconfirmed"
	PossiblySent    State = "possibly-sent"
	RetryWait       State = "retry-wait"
	Failed          State = "failed"
	Cancelled       State = "cancelled"
	Expired         State = "expired"
)

type (
	// Incoming is a message from the network.
	Incoming struct{ Message Message }
	// Receipt tells what became of a sent message. Err is set in Failed, Expired, PossiblySent.
	Receipt struct {
		Ref    Ref
		To     ContactID
		Sender string
		Origin string
		State  State
		Again  int // how often a person has put it back before: the same State in another life of the message
		Err    *Error
		At     time.Time
	}
	// PresenceEvent is a contact's presence. Show as in XMPP ("", away, dnd, xa), Online false for unavailable.
	PresenceEvent struct {
		Contact ContactID
		Online  bool
		Show    string
		Status  string
	}
	// TypingEvent is a contact's chat state.
	TypingEvent struct {
		Contact ContactID
		Typing  bool
	}
	// RosterEvent is the network's contact list; Complete false for a delta.
	RosterEvent struct {
		Contacts []Contact
		Removed  []ContactID
		Complete bool
	}
	// AuthEvent is an incoming request to see the user's presence.
	AuthEvent struct {
		Contact ContactID
		Name    string
		Text    string
	}
	// RoomEvent is something in a room other than a message.
	RoomEvent struct {
		Room     RoomID
		Kind     string // join, leave, nick, kick, topic, mode
		Nick     string
		NewNick  string
		Text     string
		Self     bool
		Operator bool
	}
	// StatusEvent is the gateway's own presence: connecting, online, off, with a sentence.
	StatusEvent struct {
		Online bool
		Show   string
		Text   string
	}
)

func (Incoming) event()      {}
func (Receipt) event()       {}
func (PresenceEvent) event() {}
func (TypingEvent) event()   {}
func (RosterEvent) event()   {}
func (AuthEvent) event()     {}
func (RoomEvent) event()     {}
func (StatusEvent) event()   {}

// Contact is an entry of a network's contact list.
type Contact struct {
	ID     ContactID
	Name   string
	Groups []string
}

// Optional abilities of a Session, found by type assertion.
type (
	// Presencer shows the user's presence to the network.
	Presencer interface {
		SetPresence(ctx context.Context, show, status string, online bool) error
	}
	// Rosterer edits the network's contact list.
	Rosterer interface {
		AddContact(ctx context.Context, c Contact, text string) error
		RemoveContact(ctx context.Context, id ContactID) error
		Authorise(ctx context.Context, id ContactID, yes bool) error
		Block(ctx context.Context, id ContactID, yes bool) error
	}
	// Roomer joins rooms.
	Roomer interface {
		Join(ctx context.Context, r RoomID, nick, password string) error
		Leave(ctx context.Context, r RoomID) error
		Topic(ctx context.Context, r RoomID, text string) error
		Invite(ctx context.Context, r RoomID, id ContactID) error
	}
	// Typer sends chat states.
	Typer interface {
		Typing(ctx context.Context, to ContactID, typing bool) error
	}
	// Finder searches the network's directory.
	Finder interface {
		Find(ctx context.Context, query map[string]string) ([]Contact, error)
		Profile(ctx context.Context, id ContactID) (map[string]string, error)
	}
	// Avatarer gets and sets pictures.
	Avatarer interface {
		Avatar(ctx context.Context, id ContactID) (typ string, data []byte, err error)
		SetAvatar(ctx context.Context, typ string, data []byte) error
	}
)

// Env is what a network is given.
type Env struct {
	Log    *slog.Logger
	Table  Table
	Outbox Outbox
	Now    func() time.Time
}

// Table is one bucket of the store; the same methods as xmpp.Table, whose
// comments hold here too.
type Table interface {
	Get(key string, v any) (bool, error)
	Write(changes map[string]any) error
	Later(changes map[string]any, done func(error))
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error
	Next() (uint64, error)
}

// Errors of an Outbox.
var (
	ErrLeased = errors.New("the job is being sent")
	ErrNoJob  = errors.New("there is no such job")
)

// Outbox is the durable queue (gateway/queue) of one network. Safe for concurrent use.
type Outbox interface {
	// Put stores a job and returns its id after fsync. The same non-empty Key
	// within 48 h returns the first id and stores nothing.
	Put(ctx context.Context, j Job) (uint64, error)
	// Find returns the id that Put would return for a Key that it knows; false when it would store the job.
	Find(key string) (id uint64, ok bool, err error)
	// Serve leases due jobs that l takes, by priority, then due time, then id, one at a time, and calls f; it returns
	// when ctx ends and f has returned. Several workers may Serve. Jobs of one Dest are never leased at the same time.
	// f decides by Item.Save; a job whose f returns without a final or waiting state is leased again
	// after a pause (with the error recorded).
	Serve(ctx context.Context, l Lease, f func(context.Context, Item) error) error
	// Update rewrites a job that is not leased (a status report came); false when f returns false or the job is gone.
	// For a leased job it waits for the lease to end.
	Update(ctx context.Context, id uint64, f func(*Job) bool) (bool, error)
	Cancel(id uint64) error // ErrLeased while it is being sent
	Get(id uint64) (Job, error)
	List(f Filter) ([]Job, error)
}

// Lease says which jobs a worker takes; the zero value takes all.
type Lease struct {
	// Accept answers whether the worker takes jobs of a lane at a priority now: asked with the lane's most urgent one, it must
	// not refuse a priority and accept a lower one. It is called under the outbox's lock: it may not block or call the outbox.
	Accept func(lane string, priority int) bool
	// Again gets a value when Accept may answer otherwise than before.
	Again <-chan struct{}
}

// Job is one queued message with everything that happened to its parts: the
// payload is the network's own journal, rewritten in one commit with the state.
type Job struct {
	ID        uint64    `json:"id"`
	Key       string    `json:"key,omitempty"`
	Dest      string    `json:"dest"`
	Priority  int       `json:"priority,omitempty"` // higher first: 0 chat, 10 alarm
	Lane      string    `json:"lane,omitempty"`     // for Lease.Accept; few different ones
	Created   time.Time `json:"created"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"` // passed before the first attempt: expired
	State     State     `json:"state"`
	Attempts  int       `json:"attempts,omitempty"`
	Error     string    `json:"error,omitempty"` // the last reason, for people
	History   []Step    `json:"history,omitempty"`
	Payload   []byte    `json:"payload,omitempty"`
}

// Step is one change of state.
type Step struct {
	At    time.Time `json:"at"`
	State State     `json:"state"`
	Note  string    `json:"note,omitempty"`
}

// Item is a leased job. Its methods are for the worker that holds it.
type Item interface {
	Job() Job
	// Save rewrites state and payload in one commit and returns after fsync; urgent asks the
	// committer to start at once (the on-air mark).
	Save(s State, payload []byte, note string) error
	// Retry puts the job into retry-wait until at.
	Retry(at time.Time, payload []byte, reason string) error
}

// Filter selects jobs; zero fields match all. Newest first.
type Filter struct {
	States []State
	Dest   string
	Limit  int
	Before uint64 // only ids below; for paging
}

// ErrorKind is the class of an Error.
type ErrorKind uint8

// Kinds of error.
const (
	Auth ErrorKind = iota + 1
	NotFound
	Refused
	Busy
	Down
	TooLong
)

// Error is an error of a network: Kind for the program, Text a sentence for the person
// with what to do next, Err for the log.
type Error struct {
	Kind      ErrorKind
	Temporary bool
	Text      string
	Err       error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }
