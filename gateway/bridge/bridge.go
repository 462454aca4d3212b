// Package bridge turns a Network into an XMPP domain: contacts of the network
// are bare JIDs below the domain, the network's own presence is the domain's.
// This is the House scope, where one session serves everybody (SMS); PerUser
// networks with their registrations (XEP-0077) are not served yet.
//
// It implements the user's side of XEP-0100 for such a network (jabber:iq:gateway,
// presence and subscriptions of gateway and contacts), XEP-0106 in local parts,
// XEP-0184 receipts, XEP-0203 delay, XEP-0308 corrections, and vcard-temp
// (XEP-0054) with the contact's id. It knows nothing of the network's wire, and
// does not know whether the host is this program's router or another server
// behind a XEP-0114 connection.
//
// Addresses. A contact's canonical JID is escape(ContactID)@domain. A person may
// write to other spellings (a national number, with spaces escaped); errors, receipts and answers then come from the very
// JID the person wrote to last, so that they appear in the same window. Everybody else
// sees the canonical one. Rosters are never written.
//
// Rooms. Contacts take part in rooms of the house whose groups want that, see Rooms.
//
// Goroutines: Run owns four, one sends from a bounded mailbox, one answers subscriptions that are on
// disk, one tells of changed presence and one takes part in rooms, and waits for them; Handle works in its caller's and never waits for the disk.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Domains is what the bridge needs of its host; xmpp.Host satisfies it. When
// it also has Sessions (as xmpp.Host does), bad news for a client that has gone reaches the
// person's other clients as an ordinary message.
type Domains interface {
	Domain(d xmpp.Domain) error
	Send(ctx context.Context, s *stanza.Stanza, done func(error))
	Log() *slog.Logger
}

// Interceptor looks at a message from the network before it is dispatched; true
// means that it has taken responsibility for it. An error has the message offered again later.
type Interceptor func(ctx context.Context, m transports.Message) (taken bool, err error)

// Keyword sends messages that begin with a word, whatever its case, to some people.
type Keyword struct {
	Word string // lower case
	To   []jid.JID
	// Answer, when not nil, answers the message; it is called once each time the message is dispatched.
	Answer func(m transports.Message)
}

// Config of a Bridge.
type Config struct {
	Network transports.Network
	Domain  string // e.g. "sms.office.localhost"
	Host    Domains
	Table   transports.Table // the bridge's own ("bridge")

	// NetworkTable and Outbox go to the network.
	NetworkTable transports.Table
	Outbox       transports.Outbox

	// Interceptors are asked first, in this order; then an incoming message goes to the contact's last correspondent, else to
	// who a keyword names, else to Group, else to DefaultRecipients.
	Interceptors []Interceptor
	Keywords     []Keyword
	// Group names who answers for a contact because of the groups it is in; nil or an empty list: nobody.
	Group func(from transports.ContactID) []jid.JID
	// DefaultRecipients get messages of contacts that nobody has written to lately.
	DefaultRecipients func() []jid.JID
	// Receipts are told what became of a sent message before its sender is; an error has the receipt offered again later.
	Receipts []func(context.Context, transports.Receipt) error
	// Card returns the vCard that the house has of a contact, as the person may see it, "" for none; nil has none.
	Card func(person, contact jid.JID) string
	// Photo is the SHA-1, in lower-case hex, of the image in that vCard (XEP-0153 §3.1), "" for none; listed is false where
	// the house knows nobody whom the person may see. nil has none.
	Photo func(person, contact jid.JID) (sha1 string, listed bool)
	// Sees says whether somebody who asked for a contact's presence may still see it, when it changes; nil: yes.
	Sees func(person, contact jid.JID) bool
	// Features are those that the domain has beside the bridge's own.
	Features []string
	// Reach lets the presence of contacts follow delivery reports.
	Reach bool
	// Rooms lets contacts take part in rooms; nil: in none.
	Rooms *Rooms
	// Allow says who may use the network; nil allows everybody whose stanzas reach the domain.
	Allow func(person jid.JID) bool

	Version string           // for jabber:iq:version of contacts
	Log     *slog.Logger     // nil takes the host's
	Now     func() time.Time // nil is time.Now
}

// mailboxSize is how many texts may wait for the disk. A person types one in seconds and the disk takes
// tens in a second; what floods beyond that is told to wait.
const mailboxSize = 256

// Pauses between attempts to run a session.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
)

// Bridge is one network as one domain. Safe for concurrent use.
type Bridge struct {
	c       Config
	log     *slog.Logger
	self    jid.JID // the domain
	info    transports.Info
	mailbox chan *outgoing
	answers chan func(context.Context) // what had to wait for the disk
	news    chan struct{}              // for the announcer; capacity 1
	hall    *hall                      // nil without rooms

	mu       sync.Mutex // guards what follows
	session  transports.Session
	online   chan struct{} // closed while session is set
	status   transports.StatusEvent
	told     transports.StatusEvent      // the status that those who see the gateway know of
	watchers map[string]map[jid.JID]bool // local part ("" is the gateway) → who sees its presence
	helped   map[jid.JID]time.Time       // when somebody was last told how to use the gateway
	ended    bool
	spelt    map[transports.ContactID]map[string]bool // contacts that are seen → their local parts in watchers
	reach    map[transports.ContactID]*reachRecord    // what delivery reports say of them
}

var _ xmpp.Handler = (*Bridge)(nil)

// New registers the domain with the host and reads who has subscribed.
func New(c Config) (*Bridge, error) {
	self, err := jid.Parse(c.Domain)
	if err != nil || self != self.DomainJID() {
		return nil, fmt.Errorf("bridge: domain %q: %w", c.Domain, errors.Join(jid.ErrMalformed, err))
	}
	info := c.Network.Info()
	if info.Scope != transports.House {
		return nil, fmt.Errorf("bridge: %s has accounts of each user, which are not served yet", info.Name)
	}
	if c.Log == nil {
		c.Log = c.Host.Log()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	b := &Bridge{
		c: c, log: c.Log.With("comp", "bridge", "net", info.Type), self: self, info: info,
		mailbox: make(chan *outgoing, mailboxSize), answers: make(chan func(context.Context), mailboxSize), news: make(chan struct{}, 1), online: make(chan struct{}),
		status:   transports.StatusEvent{Text: "Starting."},
		watchers: map[string]map[jid.JID]bool{}, helped: map[jid.JID]time.Time{},
		spelt: map[transports.ContactID]map[string]bool{}, reach: map[transports.ContactID]*reachRecord{},
	}
	b.told = b.status
	if err := errors.Join(b.loadWatchers(), b.loadReach()); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Domain, err)
	}
	if c.Rooms != nil {
		if b.hall, err = newHall(b, *c.Rooms); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", c.Domain, err)
		}
	}
	err = c.Host.Domain(xmpp.Domain{
		Name:       self.String(),
		Identities: []xmpp.Identity{{Category: "gateway", Type: info.Type, Name: info.Name}},
		Features:   append([]string{nsGateway, nsVCard, nsReceipts, featureEscaping}, c.Features...),
		Handler:    b,
	})
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Domain, err)
	}
	return b, nil
}

// Run keeps a session of the network running until ctx ends. Texts that are still in the mailbox then are refused.
func (b *Bridge) Run(ctx context.Context) error {
	b.mu.Lock()
	b.ended = false
	b.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup // all are waited for below, also should serve panic
	defer func() { stop(); wg.Wait() }()
	wg.Go(func() { b.deliver(ctx) })
	wg.Go(func() { b.answer(ctx) })
	wg.Go(func() { b.announcer(ctx) })
	if b.hall != nil {
		wg.Go(func() { b.hall.run(ctx) })
	}
	b.prune()
	pause := backoffFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := b.serve(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = errors.New("session ended by itself")
		}
		var te *transports.Error
		text := "The " + b.info.Name + " gateway is not running."
		if errors.As(err, &te) {
			text = te.Text
		}
		b.log.Error("network session ended", "pause", pause, "err", errors.Join(err, cause(te)))
		b.setStatus(transports.StatusEvent{Online: false, Text: text})
		if time.Since(began) > 10*time.Minute {
			pause = backoffFirst
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, backoffMost)
	}
	wg.Wait()
	b.setStatus(transports.StatusEvent{Online: false, Text: "The gateway is stopped."})
	b.announce(context.WithoutCancel(ctx))
	return nil
}

func cause(e *transports.Error) error {
	if e == nil {
		return nil
	}
	return e.Err
}

// serve runs one session.
func (b *Bridge) serve(ctx context.Context) error {
	s, err := b.c.Network.Dial(ctx, transports.Account{}, transports.Env{
		Log: b.c.Log, Table: b.c.NetworkTable, Outbox: b.c.Outbox, Now: b.c.Now,
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.session = s
	close(b.online)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.session, b.online = nil, make(chan struct{})
	}()
	return s.Run(ctx, b.sink)
}

// current waits for a session; nil when ctx ends first.
func (b *Bridge) current(ctx context.Context) transports.Session {
	for {
		b.mu.Lock()
		s, online := b.session, b.online
		b.mu.Unlock()
		if s != nil {
			return s
		}
		select {
		case <-online:
		case <-ctx.Done():
			return nil
		}
	}
}

// Handle takes a stanza to the domain; it implements xmpp.Handler.
func (b *Bridge) Handle(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if b.hall.take(st) {
		return xmpp.Done, nil
	}
	if st.Type == stanza.TypeError || st.Kind == stanza.IQ && st.Type == string(stanza.Result) {
		return xmpp.Done, nil // nothing of ours waits for it
	}
	if b.c.Allow != nil && !b.c.Allow(st.From.Bare()) {
		if st.Kind == stanza.Presence && st.Type == "unavailable" {
			return xmpp.Done, nil
		}
		return xmpp.Done, stanza.NewError(stanza.Forbidden, "You may not use the "+b.info.Name+" gateway. Ask the administrator.")
	}
	switch st.Kind {
	case stanza.Message:
		return b.message(ctx, d)
	case stanza.Presence:
		return b.presence(ctx, st)
	}
	return b.iq(ctx, st)
}

// sink takes the session's events; it implements transports.Sink.
func (b *Bridge) sink(ctx context.Context, e transports.Event) error {
	switch e := e.(type) {
	case transports.Incoming:
		return b.incoming(ctx, e.Message)
	case transports.Receipt:
		b.report(ctx, e)
		for _, f := range b.c.Receipts {
			if err := f(ctx, e); err != nil {
				return fmt.Errorf("tell of %s: %w", e.Ref, err)
			}
		}
		return b.receipt(ctx, e)
	case transports.StatusEvent:
		b.setStatus(e)
	}
	return nil
}

// send routes a stanza and waits until what it had to store is on disk. A refusal by the receiving side is a *stanza.Error.
func (b *Bridge) send(ctx context.Context, st *stanza.Stanza) error {
	done := make(chan error, 1)
	b.c.Host.Send(ctx, st, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
