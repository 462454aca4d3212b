package modem

import (
	"context"
	"errors"
	"time"
)

// A modem that answers AT and yet does not work is helped in steps, gentle ones
// first: answers are put in step (resync), the port is opened anew (both happen
// by themselves), then the radio is switched off and on (radioTries times),
// then the modem is restarted (resetTries times), which resetsPerDay bounds.
// After all of them there is a pause, longer each time. Nothing of this happens
// while a part is on air, for the loop that climbs is the one that sends.
const (
	radioTries   = 2
	resetTries   = 2
	resetsPerDay = 6
	sendTimeouts = 2 // sends without an answer in a row
	modemFaults  = 2 // failures of the modem in a row, by its own words
	deaf         = 2 // openings of the port in a row without an answer to AT
)

// ladder is what recovery remembers between sessions. It belongs to Run.
type ladder struct {
	unanswered int       // sends without an answer in a row
	faults     int       // errors of the classes modem and vendor in a row
	silent     int       // openings of the port without an answer in a row
	searching  time.Time // since when a SIM that is ready has found no network
	due        string    // why a step is due; "" for none
	tries      int       // steps tried since it last worked
	rounds     int       // whole ladders climbed in vain
	pause      time.Time // no step before
	resets     []time.Time
}

// trouble asks for a step.
func (l *ladder) trouble(why string) {
	if l.due == "" {
		l.due = why
	}
}

// works forgets all trouble but the resets of the day.
func (l *ladder) works() { *l = ladder{resets: l.resets} }

// mayReset tells whether a restart is allowed now, and counts it.
func (l *ladder) mayReset(now time.Time) bool {
	for len(l.resets) > 0 && now.Sub(l.resets[0]) > 24*time.Hour {
		l.resets = l.resets[1:]
	}
	if len(l.resets) >= resetsPerDay {
		return false
	}
	l.resets = append(l.resets, now)
	return true
}

// tried counts a step and begins the pause after the last one.
func (l *ladder) tried(now time.Time, unit time.Duration) {
	l.due, l.unanswered, l.faults = "", 0, 0
	if !l.searching.IsZero() {
		l.searching = now // finding the network takes its time again
	}
	if l.tries++; l.tries < radioTries+resetTries {
		return
	}
	l.tries = 0
	l.pause = now.Add(unit * [...]time.Duration{1, 5, 30}[min(l.rounds, 2)])
	l.rounds++
}

// sent notes what became of a part.
func (l *ladder) sent(err *SendError) {
	switch {
	case err == nil:
		l.works()
	case errors.Is(err.Err, errTimeout) && err.AfterCtrlZ:
		if l.unanswered++; l.unanswered >= sendTimeouts {
			l.trouble("sends get no answer")
		}
	case err.Class == ClassModem, err.Class == ClassVendor:
		if l.faults++; l.faults >= modemFaults {
			l.trouble("the modem reports a failure of its own")
		}
	case err.CMS >= 0 || err.CME >= 0:
		l.unanswered, l.faults = 0, 0 // the network, or a modem that knows what it says
	}
}

// climb does the step that is due.
func (s *session) climb(ctx context.Context) error {
	l, now := &s.d.ladder, time.Now()
	why := l.due
	if l.tries < radioTries {
		l.tried(now, s.t.Recovery)
		return s.cycleRadio(ctx, why)
	}
	if !l.mayReset(now) {
		l.due = ""
		l.pause = now.Add(30 * s.t.Recovery)
		s.d.log.Error("modem is not restarted again today", "why", why)
		return nil
	}
	l.tried(now, s.t.Recovery)
	return s.resetModem(ctx, why)
}

// cycleRadio switches the radio off and on (TS 27.007 §8.2) and starts again.
func (s *session) cycleRadio(ctx context.Context, why string) error {
	s.d.log.Warn("modem recovery: radio off and on", "why", why)
	s.d.setState(Starting, textRadio)
	s.restart = true
	ok, err := s.set(ctx, "AT+CFUN=4", s.t.List)
	if err != nil {
		return err
	}
	if !ok {
		if ok, err = s.set(ctx, "AT+CFUN=0", s.t.List); err != nil || !ok {
			return err // it cannot: the next step is a restart
		}
	}
	if err := s.e.listen(ctx, s.t.Radio); err != nil {
		return err
	}
	_, err = s.set(ctx, "AT+CFUN=1", s.t.List)
	return err
}

// resetModem restarts the modem (TS 27.007 §8.2) and waits until the port
// vanishes or the modem says that it has started.
func (s *session) resetModem(ctx context.Context, why string) error {
	s.d.log.Warn("modem recovery: restart", "why", why)
	s.d.setState(Starting, textReset)
	s.restart = true
	if _, err := s.e.write("AT+CFUN=1,1\r"); err != nil {
		return err
	}
	deadline := time.Now().Add(s.t.Reset)
	s.e.busy(deadline)
	for {
		t, err := s.e.next(ctx, deadline)
		switch {
		case err == errTimeout:
			return nil
		case err != nil:
			return err
		}
		if f, ok := parseFinal(t.text); ok && !f.ok() {
			s.d.log.Warn("modem refuses to restart", "err", f.raw)
			return nil
		}
		if urcKind(t.text) == kindBoot {
			return nil
		}
	}
}

// unheard is called when the port was opened and nothing answered AT. A modem
// that has answered before is restarted blindly then; of any other device
// nobody knows what it would do with such bytes.
func (s *session) unheard(ctx context.Context) error {
	l, now := &s.d.ladder, time.Now()
	if l.silent++; l.silent < deaf || s.d.Status().IMEI == "" || now.Before(l.pause) {
		return nil
	}
	l.silent = 0
	l.tries = max(l.tries, radioTries)
	if !l.mayReset(now) {
		l.pause = now.Add(30 * s.t.Recovery)
		return nil
	}
	l.tried(now, s.t.Recovery)
	return s.resetModem(ctx, "no answer to AT")
}
