package sms

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"doorway/modem/pdu"
	"doorway/transports"
)

// Priorities of jobs.
const (
	chatPriority  = 0
	alarmPriority = 10
)

// Session is the house's SMS service. Safe for concurrent use.
type Session struct {
	n     *Network
	env   transports.Env
	units []*unit

	offers offers           // events on their way to the sink
	posts  mailbox[post]    // for the keeper
	inbox  mailbox[arrival] // for the receiver

	used usage         // parts by day and hour, for the caps
	caps sync.Mutex    // makes one step of asking the caps and counting
	out  optOuts       // numbers that want no texts
	turn atomic.Uint64 // counts the texts that workers took

	refMu   sync.Mutex // guards nextRef, refs
	nextRef uint16
	refs    int // references left of the block that the table knows as used

	tellMu sync.Mutex             // guards told, and keeps what is told in order
	told   transports.StatusEvent // the last one offered

	mu     sync.Mutex // guards what follows
	ran    bool
	active map[uint64]string   // jobs that a worker holds, with their numbers
	tokens map[tokenKey]partID // attempts that ended without a clear answer, for Late
	// sending holds the keys of texts that are being stored; closed when that has ended.
	sending map[string]chan struct{}
}

type tokenKey struct {
	modem string
	token uint64
}

type partID struct {
	job  uint64
	part int
}

func newSession(n *Network, env transports.Env) (*Session, error) {
	s := &Session{n: n, env: env, active: map[uint64]string{}, tokens: map[tokenKey]partID{}, sending: map[string]chan struct{}{}}
	s.offers.init()
	s.posts.init()
	s.inbox.init()
	seen := map[string]bool{}
	for _, m := range n.cfg.Modems {
		u := newUnit(m, n.cfg.Routes[m.Status().Name])
		if seen[u.name] {
			return nil, &transports.Error{Kind: transports.Down, Text: "Two modems have the name " + u.name + ". Give each [[modem]] a name of its own."}
		}
		seen[u.name] = true
		s.units = append(s.units, u)
	}
	if err := s.used.load(env.Table, func(err error) {
		env.Log.Error("sms count not written", "comp", "sms", "err", err)
	}); err != nil {
		return nil, down("The counts of the SMS gateway cannot be read.", err)
	}
	if err := s.out.load(env.Table); err != nil {
		return nil, down("The opt-outs of the SMS gateway cannot be read.", err)
	}
	return s, nil
}

// Run works until ctx ends: it sends what is queued, receives, and matches status reports. A
// part that is on its way to the network when ctx ends is waited for, up to a minute.
func (s *Session) Run(ctx context.Context, sink transports.Sink) error {
	s.mu.Lock()
	if s.ran {
		s.mu.Unlock()
		return errors.New("sms session: Run was called before")
	}
	s.ran = true
	s.mu.Unlock()

	k := newKeeper(s)
	if err := k.load(); err != nil {
		return down("The outbox of the SMS gateway cannot be read.", err)
	}
	r := newReceiver(s)
	if err := r.load(); err != nil {
		return down("The received texts of the SMS gateway cannot be read.", err)
	}
	var wg sync.WaitGroup // this call waits for all it starts
	wg.Go(func() { k.run(ctx) })
	wg.Go(func() { r.run(ctx) })
	for _, u := range s.units {
		wg.Go(func() { s.read(ctx, u) })
		wg.Go(func() { s.release(ctx, u) })
		wg.Go(func() { s.work(ctx, u) })
	}
	if len(s.units) > 0 {
		wg.Go(func() { s.follow(ctx) })
	}
	s.tellStatus()
	s.offers.run(ctx, sink, s.env.Log)
	wg.Wait()
	return nil
}

func down(text string, err error) *transports.Error {
	return &transports.Error{Kind: transports.Down, Temporary: true, Text: text, Err: err}
}

// Send stores a text and returns its Ref when it is on disk; what becomes of it follows as
// Receipts. Urgent texts overtake others, are given up after UrgentValidity, leave at any hour, and are
// repeated once when it is unclear whether they left. m.Validity may shorten or lengthen the time. A text whose Key is known
// is not stored again, and nothing of it is looked at.
func (s *Session) Send(ctx context.Context, m transports.Message) (transports.Ref, error) {
	return s.once(ctx, m.Key, func() (transports.Ref, error) {
		num, err := s.addressee(m.To)
		if err != nil {
			return "", err
		}
		return s.put(ctx, m, num, m.Urgent)
	})
}

// addressee is the number of a recipient that may be texted.
func (s *Session) addressee(to transports.ContactID) (string, error) {
	num, err := s.n.normalise(string(to))
	if err != nil {
		return "", err
	}
	if err := s.n.allowed(num); err != nil {
		return "", err
	}
	if at, ok := s.out.has(num); ok {
		return "", &transports.Error{Kind: transports.Refused, Err: ErrOptedOut, Text: num + " wants no texts: STOP came from there on " +
			s.n.clock(at).Format("2 January 2006") + ". They can text START to change that."}
	}
	if s.n.cfg.Unwanted != nil && s.n.cfg.Unwanted(num) {
		return "", &transports.Error{Kind: transports.Refused, Err: ErrOptedOut, Text: "The person with the number " + num +
			" is to get no texts. The administrator can change that in the directory."}
	}
	return num, nil
}

// put stores a text to a number that was checked, from within once. atOnce lets it leave at any hour.
func (s *Session) put(ctx context.Context, m transports.Message, num string, atOnce bool) (transports.Ref, error) {
	body := m.Body
	if !utf8.ValidString(body) {
		body = strings.ToValidUTF8(body, "\uFFFD")
	}
	if strings.TrimSpace(body) == "" {
		return "", &transports.Error{Kind: transports.Refused, Text: "The text is empty, so nothing was sent to " + num + "."}
	}
	now := s.env.Now()
	if m.NotBefore.Sub(now) > furthest {
		return "", &transports.Error{Kind: transports.Refused, Text: "The text to " + num + " is for " + s.n.clock(m.NotBefore).Format("2 January 2006") +
			", which is too far away. Texts are kept for a year at most."}
	}
	validity, prio := s.n.validity(m.Urgent), chatPriority
	if m.Validity > 0 {
		validity = min(m.Validity, longestValidity)
	}
	if m.Urgent {
		prio = alarmPriority
	}
	lane, err := s.lane(m, num)
	if err != nil {
		return "", err
	}
	begin := s.n.opens(atOnce, later(now, m.NotBefore))
	j := &journal{To: num, Sender: m.Sender, Origin: m.Origin, Body: body, Urgent: m.Urgent, Flash: m.Flash, Via: m.Via, AtOnce: atOnce,
		Deadline: begin.Add(validity), State: transports.Queued}
	if err := s.encode(j, validity); err != nil {
		return "", err
	}
	n, local, payer := len(j.Parts), s.n.clock(now), m.Sender
	if m.Room != "" {
		payer = "" // rooms have a cap of their own, which the bridge keeps
	}
	if err := s.reserve(payer, n, m.Urgent, local); err != nil {
		return "", err
	}
	job := transports.Job{Key: m.Key, Dest: num, Priority: prio, Lane: lane, Created: now,
		Deadline: j.Deadline, State: transports.Queued, Payload: j.encode()}
	if begin.After(now) {
		job.NotBefore = begin
	}
	id, err := s.env.Outbox.Put(ctx, job)
	if err != nil {
		s.count(local, payer, -n)
		return "", &transports.Error{Kind: transports.Down, Temporary: true,
			Text: "The text could not be stored, so nothing was sent to " + num + ". Try again in a moment.", Err: err}
	}
	s.posts.put(post{kind: postQueued, job: id})
	return refOf(id), nil
}

// furthest is how far ahead a text may be sent.
const furthest = 366 * 24 * time.Hour

// longestValidity is what TP-VP can say (3GPP TS 23.040 §9.2.3.12.1).
const longestValidity = 63 * 7 * 24 * time.Hour

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// reserve counts the parts of a text that the caps have room for, and refuses others.
func (s *Session) reserve(sender string, parts int, urgent bool, now time.Time) error {
	s.caps.Lock()
	defer s.caps.Unlock()
	if err := s.capped(sender, parts, urgent, now); err != nil {
		return err
	}
	s.count(now, sender, parts)
	return nil
}

// count counts parts of a person and of the house.
func (s *Session) count(now time.Time, sender string, n int) {
	s.used.add(now, usedByAll, n)
	if sender != "" {
		s.used.add(now, usedByPerson(sender), n)
	}
}

// encode cuts the body into the journal's parts.
func (s *Session) encode(j *journal, validity time.Duration) error {
	if n, _ := pdu.Parts(j.Body); n > 1 && j.Ref == 0 {
		ref, err := s.reference()
		if err != nil {
			return down("The text could not be stored, so nothing was sent to "+j.To+". Try again in a moment.", err)
		}
		j.Ref = ref
	}
	tpdus, info, err := pdu.Encode(j.Body, pdu.Options{To: pduNumber(j.To), Ref: j.Ref, StatusReport: true,
		Validity: validity, Class: j.class(), MaxParts: s.n.cfg.MaxParts})
	var long *pdu.TooLongError
	switch {
	case errors.As(err, &long):
		return &transports.Error{Kind: transports.TooLong, Err: err,
			Text: fmt.Sprintf("The text is too long: it needs %d parts and at most %d are sent. Shorten it or send it in pieces.", long.Parts, long.Max)}
	case err != nil:
		return &transports.Error{Kind: transports.Refused, Text: "The text to " + j.To + " cannot be written as an SMS.", Err: err}
	}
	j.Alphabet = "GSM 7-bit"
	if info.Alphabet == pdu.UCS2 {
		j.Alphabet = "UCS-2"
	}
	j.Parts = make([]part, len(tpdus))
	for i, t := range tpdus {
		j.Parts[i] = part{TPDU: t, State: transports.Queued, MR: -1}
	}
	return nil
}

// refBlock is how many concatenation references one write of the counter covers.
const refBlock = 64

// refCounter is the record "ref" of the table.
type refCounter struct {
	V    int    `json:"v"`
	Next uint16 `json:"next"`
}

// reference returns the next concatenation reference. The counter starts at a random
// place and is persisted, so that a restart does not repeat those of a moment ago, which
// the phone would mix up.
func (s *Session) reference() (uint16, error) {
	s.refMu.Lock()
	defer s.refMu.Unlock()
	if s.refs == 0 {
		var c refCounter
		ok, err := s.env.Table.Get("ref", &c)
		if err != nil {
			return 0, err
		}
		if !ok {
			c.Next = uint16(rand.UintN(1 << 16))
		}
		if err := s.env.Table.Write(map[string]any{"ref": refCounter{V: 1, Next: c.Next + refBlock}}); err != nil {
			return 0, err
		}
		s.nextRef, s.refs = c.Next, refBlock
	}
	s.refs--
	s.nextRef++
	if s.nextRef == 0 { // 0 means "none yet" in the journal
		s.nextRef++
	}
	return s.nextRef, nil
}

func (s *Session) hold(id uint64, num string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[id] = num
}

// letGo ends a hold. The keeper gets the post before, so that a job is always held or known to it.
func (s *Session) letGo(id uint64) {
	s.posts.put(post{kind: postReleased, job: id})
	s.mu.Lock()
	delete(s.active, id)
	s.mu.Unlock()
	s.posts.wake()
}

func (s *Session) held(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.active[id]
	return ok
}

// busyNumbers are the recipients of the jobs that are held at this moment.
func (s *Session) busyNumbers() []pdu.Number {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []pdu.Number
	for _, num := range s.active {
		l = append(l, pduNumber(num))
	}
	return l
}

// receipt offers what became of a text to the sink.
func (s *Session) receipt(id uint64, j *journal, st transports.State) {
	r := transports.Receipt{Ref: refOf(id), To: transports.ContactID(j.To), Sender: j.Sender, Origin: j.Origin, State: st, Again: j.Again, At: s.env.Now()}
	switch st {
	case transports.Failed:
		r.Err = &transports.Error{Kind: transports.Down, Temporary: true, Text: j.reason()}
		for i := range j.Parts {
			if p := &j.Parts[i]; p.State == transports.Failed {
				r.Err.Kind, r.Err.Temporary = blame(p.Class)
				break
			}
		}
	case transports.PossiblySent:
		r.Err = &transports.Error{Kind: transports.Down, Temporary: true, Text: j.unsure()}
	case transports.Expired:
		r.Err = &transports.Error{Kind: transports.Down, Temporary: true,
			Text: "The text to " + j.To + " could not be sent in time: no modem was ready, or its turn did not come. It was given up; send it again if it still matters."}
	case transports.Cancelled:
		r.Err = &transports.Error{Kind: transports.Refused, Text: "The text to " + j.To + " was cancelled before it was sent."}
		if n := j.sent(); n > 0 {
			r.Err.Text = fmt.Sprintf("The text to %s was cancelled when %d of its %d parts had been sent.", j.To, n, len(j.Parts))
		}
		if j.Why != "" {
			r.Err.Text = j.Why
		}
	}
	var done func()
	if st != transports.Accepted { // what is only progress is not offered again after a restart
		done = func() { s.posts.put(post{kind: postTold, job: id, state: st}) }
	}
	s.offers.put(&offer{contact: j.To, event: r, done: done})
}
