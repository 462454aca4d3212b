package modem

import (
	"context"
	"errors"
	"time"
)

// A modem that answers AT and yet does not work is helped in steps, gentle ones
// first: answers are put in step (resync), the port is opened anew (both happen
// by themselves), then the radio is switched off and on (radioTries times),
// then the modem is restarted (resetTries times), then its power is switched
// off and on if there is a command for that (powerTries times). HardPerDay
// bounds restarts and power cycles together. After all of them there is a pause,
// longer each time. Nothing of this happens while a part is on air, for the loop
// that climbs is the one that sends.
const (
	radioTries   = 2
	resetTries   = 2
	powerTries   = 2
	sendTimeouts = 2 // sends without an answer in a row
	modemFaults  = 2 // failures of the modem in a row, by its own words
	deaf         = 2 // openings of the port in a row without an answer to AT
)

// ladder is what recovery remembers between sessions. It belongs to Run.
type ladder struct {
	power      bool      // there is a command for the power
	unanswered int       // sends without an answer in a row
	faults     int       // errors of the classes modem and vendor in a row
	silent     int       // openings of the port without an answer in a row
	searching  time.Time // since when a SIM that is ready has found no network
	missing    time.Time // since when the device that was used is gone
	due        string    // why a step is due; "" for none
	tries      int       // steps tried since it last worked
	rounds     int       // whole ladders climbed in vain
	pause      time.Time // no step before
	hard       []time.Time
	last       Recovery // for people; Step is "" while all is well
}

// trouble asks for a step.
func (l *ladder) trouble(why string) {
	if l.due == "" {
		l.due = why
	}
}

// works forgets all trouble but the hard steps of the day.
func (l *ladder) works() { *l = ladder{hard: l.hard, power: l.power} }

// today counts the hard steps of the last 24 hours.
func (l *ladder) today(now time.Time) int {
	for len(l.hard) > 0 && now.Sub(l.hard[0]) > 24*time.Hour {
		l.hard = l.hard[1:]
	}
	return len(l.hard)
}

// mayReset tells whether a hard step is allowed now, and counts it.
func (l *ladder) mayReset(now time.Time) bool {
	if l.today(now) >= HardPerDay {
		return false
	}
	l.hard = append(l.hard, now)
	return true
}

// next is the step that comes next.
func (l *ladder) next() Step {
	switch {
	case l.tries < radioTries:
		return StepRadio
	case l.tries < radioTries+resetTries || !l.power:
		return StepRestart
	}
	return StepPower
}

// tried counts a step and begins the pause after the last one.
func (l *ladder) tried(now time.Time, unit time.Duration) {
	l.due, l.unanswered, l.faults = "", 0, 0
	if !l.searching.IsZero() {
		l.searching = now // finding the network takes its time again
	}
	if !l.missing.IsZero() {
		l.missing = now
	}
	all := radioTries + resetTries
	if l.power {
		all += powerTries
	}
	if l.tries++; l.tries < all {
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

// stepped shows a step to people.
func (d *Driver) stepped(step Step, why string) {
	l, now := &d.ladder, time.Now()
	r := Recovery{Step: step, Why: why, At: now, Tries: l.last.Tries + 1, Hard: l.today(now)}
	if l.pause.After(now) {
		r.Next = l.pause
	}
	l.last = r
	d.update(func(s *Status) { s.Recovery = &r })
	d.log.Warn("modem recovery", "step", string(step), "why", why, "tries", r.Tries, "today", r.Hard)
}

// recovered ends what people see of a recovery, when the ladder has forgotten it.
func (d *Driver) recovered() {
	if d.ladder.last.Step != "" {
		return
	}
	d.update(func(s *Status) { s.Recovery = nil })
}

// climb does the step that is due.
func (s *session) climb(ctx context.Context) error {
	l, now := &s.d.ladder, time.Now()
	why, step := l.due, l.next()
	if step != StepRadio && !l.mayReset(now) {
		l.due = ""
		l.pause = now.Add(30 * s.t.Recovery)
		s.d.update(func(st *Status) {
			if st.Recovery != nil {
				r := *st.Recovery
				r.Next, r.Hard = l.pause, HardPerDay
				st.Recovery = &r
			}
		})
		s.d.log.Error("modem is not restarted again today", "why", why)
		return nil
	}
	l.tried(now, s.t.Recovery)
	s.d.stepped(step, why)
	switch step {
	case StepRadio:
		return s.cycleRadio(ctx)
	case StepRestart:
		return s.resetModem(ctx)
	}
	return errPower // the port is closed first
}

// cycleRadio switches the radio off and on (TS 27.007 §8.2) and starts again.
func (s *session) cycleRadio(ctx context.Context) error {
	limit := s.q.stretch(s.t.List)
	s.d.setState(Starting, textRadio)
	s.restart = true
	ok, err := s.set(ctx, "AT+CFUN=4", limit)
	if err != nil {
		return err
	}
	if !ok {
		if ok, err = s.set(ctx, "AT+CFUN=0", limit); err != nil || !ok {
			return err // it cannot: the next step is a restart
		}
	}
	if err := s.e.listen(ctx, s.t.Radio); err != nil {
		return err
	}
	_, err = s.set(ctx, "AT+CFUN=1", limit)
	return err
}

// resetModem restarts the modem (TS 27.007 §8.2, or by its family's own
// command) and waits until the port vanishes or the modem says that it has started.
func (s *session) resetModem(ctx context.Context) error {
	s.d.setState(Starting, textReset)
	s.restart = true
	for _, line := range []string{s.q.reset, "AT+CFUN=1,1"} {
		if line == "" {
			continue
		}
		if refused, err := s.restartBy(ctx, line); err != nil || !refused {
			return err
		}
	}
	return nil
}

func (s *session) restartBy(ctx context.Context, line string) (refused bool, err error) {
	if _, err := s.e.write(line + "\r"); err != nil {
		return false, err
	}
	deadline := time.Now().Add(s.t.Reset)
	s.e.busy(deadline)
	for {
		t, err := s.e.next(ctx, deadline)
		switch {
		case err == errTimeout:
			return false, nil
		case err != nil:
			return false, err
		}
		if f, ok := parseFinal(t.text); ok && !f.ok() {
			s.d.log.Warn("modem refuses to restart", "command", line, "err", f.raw)
			return true, nil
		}
		if urcKind(t.text) == kindBoot {
			s.booted, s.smsReady = true, false
			return false, nil
		}
	}
}

// unheard is called when the port was opened and nothing answered AT. A modem
// that has answered before, at this port, is restarted blindly then; of any
// other device nobody knows what it would do with such bytes.
func (s *session) unheard(ctx context.Context) error {
	d := s.d
	l, now := &d.ladder, time.Now()
	if d.Status().IMEI == "" || !d.answered(d.last) {
		return nil
	}
	d.stepped(StepReopen, "no answer to AT")
	if l.silent++; l.silent < deaf || now.Before(l.pause) {
		return nil
	}
	l.silent = 0
	l.tries = max(l.tries, radioTries)
	step := l.next()
	if !l.mayReset(now) {
		l.pause = now.Add(30 * s.t.Recovery)
		return nil
	}
	l.tried(now, s.t.Recovery)
	d.stepped(step, "no answer to AT")
	if step == StepPower {
		return errPower
	}
	return s.resetModem(ctx)
}
