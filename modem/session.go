package modem

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// session is one opening of the port. It belongs to the goroutine of Run.
type session struct {
	d *Driver
	e *engine
	t Timeouts

	q quirks // of the modem's family

	booted   bool   // it has restarted, and has not said yet that SMS works
	noSIM    bool   // a SIM was missing since the start
	simKnown bool   // IMSI and ICCID were read
	setUp    bool   // SMS settings were made
	smsReady bool   // the modem said so
	waits    int    // checks since the SIM is ready and SMS is not
	plmn     string // number of the network, read where the policy of roaming needs it
	noSMSC   bool   // CSCA is empty
	cmms     bool   // +CMMS is known
	ack      bool   // CSMS=1: pushed TPDUs want +CNMA
	noList   bool   // +CMGL does not work here

	cnmi    []string // the setting of +CNMI that was accepted; nil for none
	offered []string // memories that +CPMS knows

	mem  string          // memory chosen for new messages
	mem1 string          // memory that +CMGR, +CMGL and +CMGD use now
	mems []string        // memories to drain: the chosen one and those announced
	once []string        // memory to drain once
	gen  map[slot]uint64 // changes of a slot since the start
	want []reading       // slots announced and not yet read

	listen    bool // a send got no answer: listen, then resynchronise
	unstep    bool // answers may not match commands any more
	restart   bool // settings are lost or in doubt: start again
	drainDue  bool
	checkDue  bool
	nextPoll  time.Time
	nextLook  time.Time // when not ready
	nextCheck time.Time // no check that a line asks for before
	polls     int
	starts    int
	started   time.Time
	idleSince time.Time // since when the modem says that it looks for no network
	busySince time.Time // since when the SIM is busy

	weakAt     time.Time // of the last word about a weak supply
	ring       *ring     // a call that rings
	clockSet   bool      // the network sets the modem's clock
	clockDue   bool      // it is to be read
	ussdForm   int       // that worked last
	burst      int       // parts still to come
	burstID    uint64
	burstUntil time.Time
}

func newSession(d *Driver, p io.ReadWriteCloser) *session {
	return &session{d: d, t: d.cfg.Timeouts, gen: map[slot]uint64{},
		e: newEngine(p, d.log, d.cfg.Timeouts, d.setBusy, d.foundLate)}
}

// run starts the modem and serves it until the port is lost or ctx ends.
func (s *session) run(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		if errors.Is(err, errSilent) || errors.Is(err, errNoSync) {
			s.d.unanswered(s.d.last)
			if lerr := s.unheard(ctx); lerr != nil {
				return lerr
			}
		}
		return err
	}
	s.d.ladder.silent = 0
	if s.d.ladder.tries == 0 { // putting answers in step, or opening the port anew, was enough
		s.d.ladder.last = Recovery{}
		s.d.recovered()
	}
	for {
		more, err := s.chores(ctx)
		if err != nil {
			return err
		}
		if err := s.idle(ctx, more); err != nil {
			return err
		}
	}
}

// ask runs a command; after a timeout it resynchronises and asks once more. A
// modem that answers AT and not this command has refused it. Errors end the session.
func (s *session) ask(ctx context.Context, c command) (result, error) {
	if c.limit == 0 {
		c.limit = s.t.Command
	}
	for range 2 {
		r, err := s.e.do(ctx, c)
		if s.e.echoed {
			s.e.echoed = false
			s.restart = true
		}
		if err != errTimeout {
			return r, err
		}
		s.d.stepped(StepResync, c.name()+" got no answer")
		if err := s.e.resync(ctx); err != nil {
			return r, err
		}
	}
	return result{final: final{kind: finalOther, code: -1, raw: "no answer"}}, nil
}

// set runs a command without information and tells whether it was accepted.
func (s *session) set(ctx context.Context, line string, limit time.Duration) (bool, error) {
	r, err := s.ask(ctx, command{line: line, limit: limit})
	return err == nil && r.final.ok(), err
}

// chores does the next thing that is due while no part is awaited, in this
// order: unsolicited lines, a new start, announced slots, checks, polls. It does
// one thing only, so that sends have their turn; more tells that there is more.
func (s *session) chores(ctx context.Context) (more bool, err error) {
	if s.listen {
		if err := s.resume(ctx); err != nil {
			return false, err
		}
	}
	if s.inBurst() {
		return false, nil
	}
	s.e.fileAll()
	for _, u := range s.takeURCs() {
		s.handle(u)
	}
	if s.e.lost {
		s.e.lost, s.drainDue = false, true
	}
	now := time.Now()
	switch {
	case s.unstep:
		s.unstep = false
		return true, s.e.resync(ctx)
	case s.ring != nil && s.callDue(now):
		return true, s.callStep(ctx, now)
	case s.d.talk != nil && s.d.talk.due(now):
		return true, s.endTalk(ctx)
	case s.restart:
		return true, s.start(ctx)
	case s.d.ladder.due != "" && !now.Before(s.d.ladder.pause):
		return true, s.climb(ctx)
	case len(s.want) > 0 && s.setUp:
		return true, s.readNext(ctx)
	case s.checkDue && !now.Before(s.nextCheck), !s.isReady() && !now.Before(s.nextLook):
		return true, s.advance(ctx)
	case s.drainDue && s.setUp:
		return true, s.drain(ctx)
	case s.isReady() && !now.Before(s.nextPoll):
		return true, s.poll(ctx)
	case s.isReady() && s.clockDue:
		return true, s.readClock(ctx)
	case s.isReady() && s.d.creditDue(now):
		return true, s.askCredit(ctx)
	}
	return false, nil
}

func (s *session) takeURCs() []urc {
	u := s.e.urcs
	s.e.urcs = nil
	return u
}

// handle notes what an unsolicited line asks for; nothing is sent here.
func (s *session) handle(u urc) {
	switch urcKind(u.text) {
	case kindMessage:
		mem, index, ok := parseIndication(u.text)
		if !ok {
			s.drainDue = true
			return
		}
		s.announced(mem, index, strings.HasPrefix(strings.ToUpper(u.text), "+CDSI"))
	case kindPushed:
		s.d.offerPushed(s, u)
	case kindNetwork:
		// A change of cell is no change for us.
		if r, ok := parseCREG(u.text); !ok || !s.isReady() || !r.usable() {
			s.checkDue = true
		}
	case kindSIM:
		s.checkDue = true
		if parseCPIN(u.text) != "READY" {
			s.simKnown = false
		}
	case kindSMSReady:
		s.smsReady, s.booted, s.checkDue = true, false, !s.setUp
	case kindBoot:
		s.hasBooted()
	case kindRing, kindCaller, kindCallEnd:
		s.rang(u.text)
	case kindUSSD:
		s.d.heardTalk(u.text)
	case kindTime:
		s.clockSet, s.clockDue = true, true
	case kindPower:
		s.d.note(notePower, textPower)
		s.weakAt = time.Now()
		s.d.log.Warn("modem says that its supply is too weak", "line", u.text)
	case kindFull:
		s.drainDue = true
	}
}

// idle waits for the next thing to do, not at all when a chore is due, and
// does at most one job.
func (s *session) idle(ctx context.Context, due bool) error {
	wait := time.Until(s.nextPoll)
	out, head := s.d.head()
	jobs := s.d.jobs
	switch {
	case due:
		wait = 0
	case s.inBurst():
		wait = time.Until(s.burstUntil)
	case !s.isReady():
		wait = time.Until(s.nextLook)
	case s.checkDue:
		wait = min(wait, time.Until(s.nextCheck))
	}
	if !s.inBurst() { // which comes first
		if s.ring != nil {
			wait = min(wait, time.Until(s.ring.over))
		}
		if s.d.talk != nil {
			wait = min(wait, time.Until(s.d.talk.until))
		}
	}
	if s.restart {
		jobs = nil // settings come first
	}
	s.e.timer.Reset(max(wait, 0))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case b, ok := <-s.e.in:
		if err := s.e.take(b, ok); err != nil {
			return err
		}
		s.e.fileAll()
	case j := <-jobs:
		err := j.run(ctx, s)
		j.done <- nil
		return err
	case out <- head.stored:
		s.d.taken()
	case <-s.d.wake:
	case p := <-s.d.probes:
		close(p)
	case <-s.e.timer.C:
		if s.burst > 0 && !s.inBurst() {
			s.burst = 0
		}
	}
	return nil
}

// hasBooted notes that the modem has restarted.
func (s *session) hasBooted() { s.restart, s.booted, s.smsReady = true, true, false }

func (s *session) isReady() bool { return s.setUp && s.d.Status().State == Ready }

// poll is the look at a quiet modem: does it answer, is it still registered,
// and at every second look, what lies in its storage that nobody announced.
func (s *session) poll(ctx context.Context) error {
	s.nextPoll = time.Now().Add(s.t.Poll / 2)
	if s.polls++; s.polls%2 == 0 {
		s.drainDue = true
	}
	s.clockDue = s.clockDue || s.polls%20 == 0
	if time.Since(s.weakAt) > 6*s.t.Patience {
		s.d.note(notePower, "") // another supply, or a better day
	}
	if l := &s.d.ladder; l.last.Step != "" && time.Since(l.last.At) > s.t.Patience {
		l.last = Recovery{} // it has answered ever since; the rungs are not forgotten
		s.d.recovered()
	}
	return s.advance(ctx)
}
