package sms

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"doorway/modem"
)

// unit is a modem with what the workers know about it.
type unit struct {
	name  string
	m     modem.Modem
	route Route
	busy  chan struct{} // holds one value while a message goes out: all its parts follow each other

	mu       sync.Mutex // guards what follows
	ready    bool
	since    time.Time // of not being ready; zero while it is
	refused  int       // subscription errors in a row
	until    time.Time // paused because of them, of an outage, or of failures
	failing  []string  // recipients that the network failed for in a row
	stumbles []uint64  // texts that could not be sent in a row, for whatever reason but themselves
	rests    int       // pauses because of them, without a success in between
	success  time.Time // the last text that was accepted
	why      string    // why it is paused, a sentence without its stop
	stop     func()    // ends the worker's Serve; nil while it does not serve
	lacking  string    // the sentence about a used up cap that was told last
	shown    int       // the signal that the gateway's presence names, in dBm
	waiting  bool      // the worker serves and has no text
	turn     uint64    // rises with each text that a worker takes
	changed  chan struct{}
	kept     chan arrival  // what the receiver writes down; the modem may forget it then
	again    chan struct{} // has the worker ask anew what it accepts
	resting  chan struct{} // gets a value when a pause begins, so that its end is waited for
}

func newUnit(m modem.Modem, r Route) *unit {
	return &unit{name: m.Status().Name, m: m, route: r, busy: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		kept: make(chan arrival, keptAtOnce), again: make(chan struct{}, 1), resting: make(chan struct{}, 1)}
}

// pauseAfter subscription errors in a row a modem is paused for pauseTime (reference §1.2).
const (
	pauseAfter = 3
	pauseTime  = 15 * time.Minute
)

// refresh reads the modem's state; a modem that is not ready stops leasing.
func (u *unit) refresh(now time.Time) {
	st := u.m.Status()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ready = st.State == modem.Ready && !now.Before(u.until) && u.home(st)
	u.mark(now)
	if !u.ready && u.stop != nil {
		u.stop()
	}
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

// mark notes since when the modem cannot send. The caller holds mu.
func (u *unit) mark(now time.Time) {
	switch {
	case u.ready:
		u.since = time.Time{}
	case u.since.IsZero():
		u.since = now
	}
}

// home reports that the modem's network is one it may send through.
func (u *unit) home(st modem.Status) bool {
	return len(u.route.Operators) == 0 || slices.ContainsFunc(u.route.Operators, func(o string) bool { return strings.EqualFold(o, st.Operator) })
}

func (u *unit) usable() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ready
}

// unable is since when the modem cannot send, zero while it can.
func (u *unit) unable() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.since
}

// serving notes how to stop the worker; false when the modem is not ready.
func (u *unit) serving(stop func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if stop != nil && !u.ready {
		return false
	}
	u.stop, u.waiting = stop, stop != nil
	return true
}

// taken notes that the worker has a text, or has finished with it.
func (u *unit) taken(turn uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if turn > 0 {
		u.turn = turn
	}
	u.waiting = turn == 0 && u.stop != nil
}

// before reports that u waits for a text and has rested longer than o.
func (u *unit) before(o *unit) bool {
	o.mu.Lock()
	turn := o.turn
	o.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.waiting && u.turn < turn
}

// kick has the worker ask anew what it accepts.
func (u *unit) kick() {
	select {
	case u.again <- struct{}{}:
	default:
	}
}

// answered counts the operator's refusals; true when the modem is paused now.
func (u *unit) answered(refused bool, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !refused {
		u.refused = 0
		return false
	}
	if u.refused++; u.refused < pauseAfter {
		return false
	}
	u.refused = 0
	u.rest(now, pauseTime, "The operator refuses texts from the SIM of "+u.name+": ask it why")
	return true
}

// rest begins a pause. The caller holds mu.
func (u *unit) rest(now time.Time, pause time.Duration, why string) {
	u.until, u.why, u.ready = now.Add(pause), why, false
	u.mark(now)
	if u.stop != nil {
		u.stop()
	}
	select {
	case u.resting <- struct{}{}:
	default:
	}
}

// stumbleAfter texts in a row that could not be sent the modem rests, longer each time until one is accepted.
const stumbleAfter = 3

var stumbleRests = [...]time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

// went notes how a text went that the modem had; the time is the end of a rest that begins now, zero without one.
// failed false is a success, or a failure that is the text's own.
func (u *unit) went(job uint64, failed bool, raw string, now time.Time) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !failed {
		u.stumbles, u.rests, u.success = nil, 0, now
		return time.Time{}
	}
	if !slices.Contains(u.stumbles, job) && len(u.stumbles) < stumbleAfter {
		u.stumbles = append(u.stumbles, job)
	}
	if len(u.stumbles) < stumbleAfter || now.Before(u.until) {
		return time.Time{}
	}
	why := "The modem " + u.name + " could not send several texts in a row"
	if raw = strings.TrimSpace(raw); raw != "" {
		why += " (the last time it said: " + raw + ")"
	}
	u.rest(now, stumbleRests[min(u.rests, len(stumbleRests)-1)], why+". Look at `doorway modem status`; it rests")
	u.rests++
	return u.until
}

// outageAfter different recipients in a row the fault is not theirs: then one
// text in probeEvery is tried and the others keep their attempts (reference §1.2).
const (
	outageAfter = 3
	probeEvery  = 5 * time.Minute
)

// outage notes what the network did with a text; the time is the end of a pause
// that begins now, zero without one. err is nil for a text that was accepted.
func (u *unit) outage(num string, err *modem.SendError, now time.Time) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil, err.Class == modem.ClassRecipient: // it works: it knows of this number
		u.failing = nil
		return time.Time{}
	case err.CMS != 38 && err.CMS != 41 && err.CMS != 42:
		return time.Time{}
	case !slices.Contains(u.failing, num) && len(u.failing) < outageAfter:
		u.failing = append(u.failing, num)
	}
	if len(u.failing) < outageAfter {
		return time.Time{}
	}
	u.rest(now, probeEvery, "The network has taken no text to several numbers in a row: it may be out of order, the SIM of "+u.name+
		" without credit, or the number of its SMS centre wrong")
	return u.until
}

// paused returns the end of a pause and its reason, zero without one.
func (u *unit) paused(now time.Time) (until time.Time, why string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Before(u.until) {
		return u.until, u.why
	}
	return time.Time{}, ""
}

// read carries what the modem reports: stored texts, late answers, changes of its state.
func (s *Session) read(ctx context.Context, u *unit) {
	look := func() {
		u.refresh(s.env.Now())
		s.kickAll()
		s.tellStatus()
	}
	look()
	calls := callsOf(u.m)
	for {
		var moment <-chan time.Time
		var timer *time.Timer
		if t := s.moment(u, s.env.Now()); !t.IsZero() {
			timer = time.NewTimer(t.Sub(s.env.Now()))
			moment = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-u.m.Changed():
			look()
		case <-u.resting:
			s.kickAll() // others may take over
		case <-moment:
			look()
		case l := <-u.m.Late():
			s.posts.put(post{kind: postLate, modem: u.name, token: l.Token, mr: l.MR})
		case st := <-u.m.Inbox():
			s.take(ctx, u, st)
		case c := <-calls:
			s.missed(ctx, u, c)
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// keptAtOnce is how many TPDUs of one modem may be on their way to the disk.
const keptAtOnce = 32

// take hands a stored TPDU to the receiver; release deletes it from the modem once it is on disk.
func (s *Session) take(ctx context.Context, u *unit, st modem.Stored) {
	if st.Stat == 2 || st.Stat == 3 {
		return // a draft that somebody keeps on the SIM
	}
	a := arrival{modem: u.name, stored: st, kept: make(chan error, 1)}
	s.inbox.put(a)
	select {
	case u.kept <- a:
	case <-ctx.Done():
	}
}

// release deletes from the modem what is on disk, in the order in which it came. What is not when ctx ends is offered
// again after the restart.
func (s *Session) release(ctx context.Context, u *unit) {
	for {
		var a arrival
		var err error
		select {
		case a = <-u.kept:
		case <-ctx.Done():
			return
		}
		select {
		case err = <-a.kept:
		case <-ctx.Done():
			return
		}
		if err != nil {
			s.env.Log.Error("sms not stored, it stays in the modem", "comp", "sms", "net", u.name, "err", err)
			continue
		}
		if a.stored.Delete == nil {
			continue
		}
		if err := a.stored.Delete(ctx); err != nil && ctx.Err() == nil {
			s.env.Log.Warn("sms not deleted from the modem", "comp", "sms", "net", u.name, "slot", a.stored.Index, "err", err)
		}
	}
}

// tellLack tells the gateway's presence when a cap is used up, or is not any more.
func (s *Session) tellLack(u *unit) {
	if u.route.PerHour == 0 && u.route.PerDay == 0 {
		return
	}
	why := s.lack(u, s.env.Now())
	u.mu.Lock()
	news := why != u.lacking
	u.lacking = why
	u.mu.Unlock()
	if news {
		s.tellStatus()
	}
}
