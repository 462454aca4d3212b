// Package sms is the short message service as a Network of House scope: one
// session serves everybody through one or several modems.
//
// Outgoing (Session.Send): the number is normalised to E.164, the text is cut
// into TPDUs, and one Outbox job holds all of them; only then the caller is
// told that the gateway has it. Workers, one for each modem, lease jobs and
// send their parts. The journal in the job's payload says for each part what
// is known about it; the mark on-air is on disk before the modem gets Ctrl-Z,
// so that after a crash nothing is sent again that may be out already: such a
// part is possibly-sent until a status report settles it.
//
// Which modem a text prefers, and when another takes it, is in Route; caps, hours, lists of numbers and opt-outs
// are looked at before a text is stored, and again where that can change.
//
// Incoming: each TPDU that a modem stored is written down, then deleted from
// the modem, then put together with its other parts, and offered to the sink
// until that takes it, unless it is a wish about texts as such (STOP, START, HELP). What cannot be decoded is kept in quarantine and never
// stands in the way of others.
//
// It implements 3GPP TS 23.040 §9.2.2 (SMS-DELIVER, SMS-STATUS-REPORT,
// SMS-SUBMIT, by modem/pdu) above a modem.Modem. It leaves out the
// replying path, USSD and the balance of prepaid cards.
//
// Goroutines: Session.Run owns three for each modem (worker, reader, and one that
// deletes what is on disk), a receiver, a keeper, which matches reports and watches deadlines, and
// one that follows the signal; the caller's goroutine gives the events to the sink.
// All have ended when Run returns. The modems' own Run is the caller's affair.
package sms

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
	"doorway/transports/number"
)

// Config of the network.
type Config struct {
	// Country is the calling code of national numbers, digits only, e.g. "49"; "" accepts
	// international numbers and short codes only.
	Country string
	// Trunk is the digit before national numbers that is not dialled from abroad; "" takes
	// the usual one of Country, "none" says there is none.
	Trunk string
	// Modems send and receive; whoever makes them runs them. None is legal: texts wait.
	Modems []modem.Modem
	// MaxParts limits the length of a text, in parts; 0 means 6.
	MaxParts int
	// International allows numbers outside Country.
	International bool
	// Premium allows numbers that begin with one of PremiumPrefixes.
	Premium bool
	// PremiumPrefixes are E.164 prefixes, e.g. "+49900"; nil takes the built-in ones of Country.
	PremiumPrefixes []string
	// Validity is how long a text may be tried and may wait for its phone; 0 means 24 h.
	Validity time.Duration
	// UrgentValidity is the same for urgent texts; 0 means 1 h.
	UrgentValidity time.Duration

	// Routes says what modems are for, by their names.
	Routes map[string]Route
	// Groups lists the groups of a person, for Route.Groups; nil knows none.
	Groups func(sender string) []string
	// Unwanted reports that a number is not to be texted, for another reason than its own STOP; nil knows none.
	Unwanted func(num string) bool
	// Failover is how long a text that is not urgent waits for its preferred modem before another takes it.
	Failover time.Duration
	// PersonPerDay and PerDay bound the parts that one person and the house send in a day; 0 is no bound. A fifth of PerDay
	// is kept for urgent texts, which PersonPerDay does not bind.
	PersonPerDay, PerDay int
	// Hours are when texts that are not urgent leave.
	Hours Hours
	// Location is where days and hours are counted; nil means time.Local.
	Location *time.Location
	// AllowTo, DenyTo, AllowFrom and DenyFrom are prefixes of numbers in E.164, short codes and names of senders. An empty
	// list of allowed ones allows all; what is denied is not allowed by anything.
	AllowTo, DenyTo, AllowFrom, DenyFrom []string
	// Answers are what the house says by itself.
	Answers Answers
}

// Network implements transports.Network. Safe for concurrent use.
type Network struct {
	cfg     Config
	current atomic.Pointer[Session]
}

var (
	_ transports.Network = (*Network)(nil)
	_ transports.Session = (*Session)(nil)
)

// New makes the network; it touches no modem.
func New(c Config) *Network {
	if c.MaxParts <= 0 {
		c.MaxParts = 6
	}
	if c.Validity <= 0 {
		c.Validity = 24 * time.Hour
	}
	if c.UrgentValidity <= 0 {
		c.UrgentValidity = time.Hour
	}
	if c.Location == nil {
		c.Location = time.Local
	}
	if c.Trunk == "" {
		c.Trunk = number.UsualTrunk(c.Country)
	}
	if c.Trunk == "none" {
		c.Trunk = ""
	}
	if c.PremiumPrefixes == nil {
		c.PremiumPrefixes = usualPremium(c.Country)
	}
	return &Network{cfg: c}
}

// Info describes the network (XEP-0100 §6.1).
func (n *Network) Info() transports.Info {
	return transports.Info{
		Type: "sms", Name: "SMS", Scope: transports.House,
		Prompt: "Phone number",
		Desc:   "Enter the mobile number you want to text, for example " + n.plan().Example() + ".",
	}
}

// Form is nil: the house's modems need no registration.
func (n *Network) Form() []transports.Field { return nil }

// Dial makes the session of the house. It reads what the table and the outbox hold
// and succeeds at once, modem or not. Only one session may run at a time.
func (n *Network) Dial(ctx context.Context, a transports.Account, env transports.Env) (transports.Session, error) {
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	s, err := newSession(n, env)
	if err != nil {
		return nil, err
	}
	n.current.Store(s)
	return s, nil
}

// Send sends through the running session, for callers other than the bridge (the command
// line, alerts). Options travel in m: Urgent, Flash, Key, Sender, Origin.
func (n *Network) Send(ctx context.Context, m transports.Message) (transports.Ref, error) {
	s := n.current.Load()
	if s == nil {
		return "", notRunning()
	}
	return s.Send(ctx, m)
}

// May is nil for a recipient that may be texted, else an *Error that says why not.
func (n *Network) May(to transports.ContactID) error {
	s := n.current.Load()
	if s == nil {
		return notRunning()
	}
	_, err := s.addressee(to)
	return err
}

// Parts is how many parts a text has.
func (*Network) Parts(body string) int {
	n, _ := pdu.Parts(body)
	return n
}

// Changed tells of a job that the outbox itself has ended, cancelled or expired, so that its sender is told at once and not
// when the waiting texts are looked through, or that a person has put back. It does not block and calls nobody; other states mean nothing to it.
func (n *Network) Changed(j transports.Job) {
	s := n.current.Load()
	back := j.State == transports.Queued && len(j.History) > 1 // a person has put it back
	if s == nil || j.State != transports.Cancelled && j.State != transports.Expired && !back {
		return
	}
	s.posts.put(post{kind: postReleased, job: j.ID})
}

// opens is when a text may leave that could leave at t.
func (n *Network) opens(urgent bool, t time.Time) time.Time {
	if urgent {
		return t
	}
	return n.cfg.Hours.Opens(n.clock(t))
}

// waits is why a text is not sent before at.
func (n *Network) waits(at time.Time) string {
	return "The text waits for the hours in which texts are sent; they begin at " + n.clock(at).Format("15:04") + "."
}

// validity is how long a text may be tried, and waits for its phone.
func (n *Network) validity(urgent bool) time.Duration {
	if urgent {
		return n.cfg.UrgentValidity
	}
	return n.cfg.Validity
}
