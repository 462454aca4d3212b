package sms

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// unit is a modem with what the workers know about it.
type unit struct {
	name string
	m    modem.Modem
	busy chan struct{} // holds one value while a message goes out: all its parts follow each other

	mu      sync.Mutex // guards what follows
	ready   bool
	refused int       // subscription errors in a row
	until   time.Time // paused because of them, or of an outage
	failing []string  // recipients that the network failed for in a row
	why     string    // why it is paused, a sentence
	stop    func()    // ends the worker's Serve; nil while it does not serve
	changed chan struct{}
	resting chan struct{} // gets a value when a pause begins, so that its end is waited for
}

func newUnit(m modem.Modem) *unit {
	return &unit{name: m.Status().Name, m: m, busy: make(chan struct{}, 1), changed: make(chan struct{}, 1), resting: make(chan struct{}, 1)}
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
	u.ready = st.State == modem.Ready && !now.Before(u.until)
	if !u.ready && u.stop != nil {
		u.stop()
	}
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

func (u *unit) usable() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ready
}

// serving notes how to stop the worker; false when the modem is not ready.
func (u *unit) serving(stop func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if stop != nil && !u.ready {
		return false
	}
	u.stop = stop
	return true
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
	u.rest(now.Add(pauseTime), "The operator refuses texts from the SIM of "+u.name)
	return true
}

// rest begins a pause. The caller holds mu.
func (u *unit) rest(until time.Time, why string) {
	u.until, u.why, u.ready = until, why, false
	if u.stop != nil {
		u.stop()
	}
	select {
	case u.resting <- struct{}{}:
	default:
	}
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
	u.rest(now.Add(probeEvery), "The network has taken no text to several numbers in a row: it may be out of order, the SIM of "+u.name+
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
	u.refresh(s.env.Now())
	s.tellStatus()
	for {
		var pause <-chan time.Time
		var timer *time.Timer
		if t, _ := u.paused(s.env.Now()); !t.IsZero() {
			timer = time.NewTimer(t.Sub(s.env.Now()))
			pause = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-u.m.Changed():
			u.refresh(s.env.Now())
			s.tellStatus()
		case <-u.resting:
		case <-pause:
			u.refresh(s.env.Now())
			s.tellStatus()
		case l := <-u.m.Late():
			s.posts.put(post{kind: postLate, modem: u.name, token: l.Token, mr: l.MR})
		case st := <-u.m.Inbox():
			s.take(ctx, u, st)
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// take hands a stored TPDU to the receiver and deletes it from the modem once it is on disk.
func (s *Session) take(ctx context.Context, u *unit, st modem.Stored) {
	if st.Stat == 2 || st.Stat == 3 {
		return // a draft that somebody keeps on the SIM
	}
	a := arrival{modem: u.name, stored: st, kept: make(chan error, 1)}
	s.inbox.put(a)
	select {
	case <-ctx.Done():
		return // offered again after the restart
	case err := <-a.kept:
		if err != nil {
			s.env.Log.Error("sms not stored, it stays in the modem", "comp", "sms", "net", u.name, "err", err)
			return
		}
	}
	if st.Delete == nil {
		return
	}
	if err := st.Delete(ctx); err != nil && ctx.Err() == nil {
		s.env.Log.Warn("sms not deleted from the modem", "comp", "sms", "net", u.name, "slot", st.Index, "err", err)
	}
}

// tellStatus offers the gateway's presence.
func (s *Session) tellStatus() {
	s.offers.put(&offer{event: s.status(s.env.Now())})
}

func (s *Session) status(now time.Time) transports.StatusEvent {
	if len(s.units) == 0 {
		return transports.StatusEvent{Online: true, Show: "xa", Text: "No modem is configured, so texts wait. Add a [[modem]] to the settings."}
	}
	var good, bad []string
	for _, u := range s.units {
		st := u.m.Status()
		switch t, why := u.paused(now); {
		case !t.IsZero():
			bad = append(bad, why+"; it is tried again at "+t.Format("15:04")+".")
		case st.State == modem.Ready:
			op := st.Operator
			if op == "" {
				op = "Ready"
			}
			if st.RSSI != 0 {
				op += fmt.Sprintf(", signal %d dBm", st.RSSI)
			}
			good = append(good, op)
		case st.Text != "":
			bad = append(bad, st.Text)
		default:
			bad = append(bad, "The modem "+u.name+" is not ready ("+string(st.State)+").")
		}
	}
	if len(good) > 0 {
		return transports.StatusEvent{Online: true, Text: strings.Join(append(good, bad...), "; ")}
	}
	return transports.StatusEvent{Online: true, Show: "xa", Text: strings.Join(bad, " ") + " Queued SMS wait."}
}
