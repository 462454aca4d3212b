package sms

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doorway/modem"
	"doorway/transports"
)

const (
	inFlight    = 60 * time.Second // how long a stop waits for a part that is on its way
	waitFirst   = 10 * time.Second // pauses of what waits for the modem, doubling to waitMost
	waitMost    = 5 * time.Minute
	urgentPause = 15 * time.Minute // between two attempts at an urgent text, whose time may be an hour
	leastPause  = 5 * time.Second  // what has less time left is given up

	maxBurst = 10 // parts sent without a pause (reference §2.5)
)

// work leases jobs while the modem is ready.
func (s *Session) work(ctx context.Context, u *unit) {
	for ctx.Err() == nil {
		up, cancel := context.WithCancel(ctx)
		if !u.serving(cancel) {
			cancel()
			rest(ctx, 0, u.changed)
			continue
		}
		s.kickAll() // what others have declined in favour of this one
		lease := transports.Lease{Again: u.again, Accept: func(lane string, priority int) bool { return s.accepts(u, lane, priority) }}
		err := s.env.Outbox.Serve(up, lease, func(fctx context.Context, it transports.Item) error {
			u.taken(s.turn.Add(1))
			s.kickAll()
			defer s.tellLack(u)
			defer u.taken(0)
			return s.handle(fctx, u, it)
		})
		u.serving(nil)
		stopped := up.Err() != nil
		cancel()
		if err != nil && ctx.Err() == nil {
			s.env.Log.Error("sms outbox not served", "comp", "sms", "net", u.name, "err", err)
		}
		if !stopped {
			rest(ctx, time.Second, u.changed)
		}
	}
}

// delivery is one lease of one text.
type delivery struct {
	s    *Session
	it   transports.Item
	job  transports.Job
	j    *journal
	u    *unit
	last *modem.SendError // why the lease ends early
	save error            // the journal could not be written
}

// step is how a part's sending ended.
type step uint8

const (
	stepNext  step = iota + 1 // go on with the next part
	stepEnd                   // the message is finished or has failed
	stepRetry                 // back-off
	stepWait                  // the modem is not ready
	stepOther                 // another modem is to send it
)

// handle sends what is unsent of one job.
func (s *Session) handle(ctx context.Context, u *unit, it transports.Item) error {
	job := it.Job()
	s.hold(job.ID, job.Dest)
	defer s.letGo(job.ID)
	j, err := decodeJournal(job.Payload)
	if err != nil {
		s.env.Log.Error("sms journal unreadable", "comp", "sms", "job", job.ID, "err", err)
		return it.Save(transports.Failed, job.Payload, "The record of this text is damaged, so it was not sent.")
	}
	d := &delivery{s: s, it: it, job: job, j: j}
	now := s.env.Now()
	d.prepare(now)
	if !now.Before(j.Deadline) {
		return d.giveUp("")
	}
	if j.Why = s.unwanted(j); j.Why != "" {
		return d.it.Save(transports.Cancelled, d.stamp(transports.Cancelled), j.Why)
	}
	if at := s.n.opens(j.Urgent || j.AtOnce, now); j.sent() == 0 && at.After(now) {
		j.Deadline = j.Deadline.Add(at.Sub(now)) // the hours are not the text's fault
		return d.it.Retry(at, d.stamp(transports.RetryWait), s.n.waits(at))
	}
	if d.u = s.pick(j, u); d.u == nil {
		return d.wait("The modem that has begun to send this text is not ready.")
	}
	select {
	case d.u.busy <- struct{}{}:
		defer func() { <-d.u.busy }()
	case <-ctx.Done():
		return d.it.Retry(now, j.encode(), job.Error)
	}
	return d.send(ctx)
}

// prepare settles what an earlier life of the job left. The journal knows the state that was saved last; when the
// job is leased although that was a final one, a person has put it back into the queue.
func (d *delivery) prepare(now time.Time) {
	j := d.j
	if at := d.job.Deadline; at.After(j.Deadline) || !at.IsZero() && d.job.Created.After(now.Add(leastJump)) {
		j.Deadline = at // the clock was set meanwhile, and the outbox has moved it
	}
	byHand := d.job.Deadline.IsZero() && j.Again == 0 // the outbox takes a deadline that has passed off what a person puts back
	switch j.State {
	case transports.Failed, transports.PossiblySent, transports.Expired, transports.Cancelled, transports.SentUnconfirmed:
		byHand = true
	}
	if byHand {
		// What is not known to be out is sent again.
		if !now.Before(j.Deadline) {
			j.Deadline = now.Add(d.s.n.validity(j.Urgent))
		}
		j.Tries, j.Avoid, j.Told = 0, nil, ""
		j.Again++
		for i := range j.Parts {
			if p := &j.Parts[i]; p.State == transports.Failed || p.State == transports.PossiblySent {
				p.again(p.State == transports.PossiblySent)
			}
		}
	}
	j.recover(now)
	if j.sent() == 0 && j.overall() == transports.RetryWait && !slices.ContainsFunc(j.Parts, func(p part) bool { return p.out() }) {
		j.Modem = "" // nothing is out: any modem may take it
	}
}

// recover turns parts that were on air when the program ended into possibly-sent ones.
func (j *journal) recover(now time.Time) (changed bool) {
	for i := range j.Parts {
		if p := &j.Parts[i]; p.State == transports.OnAir {
			p.State, p.Done = transports.PossiblySent, now
			p.Class, p.Reason = string(modem.ClassAmbiguous), "the gateway was stopped while the text was on its way."
			changed = true
		}
	}
	return changed
}

// again makes a part ready to be sent once more; duplicate asks the service centre to drop a second copy
// (TP-RD, 3GPP TS 23.040 §9.2.3.25; best effort, since it compares the reference that the modem chooses).
func (p *part) again(duplicate bool) {
	p.State, p.MR, p.Seen, p.Report = transports.Queued, -1, 0, 0
	p.OnAir, p.Accepted, p.Done, p.SCTS = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if duplicate && len(p.TPDU) > 0 && !p.Plain {
		p.TPDU = slices.Clone(p.TPDU)
		p.TPDU[0] |= 0x04
	}
}

// pick chooses the modem: the one that has begun, else the worker's own, else another that may.
func (s *Session) pick(j *journal, own *unit) *unit {
	if j.Modem != "" {
		for _, u := range s.units {
			if u.name == j.Modem {
				if u.usable() || u == own {
					return u
				}
				return nil
			}
		}
		j.Modem = "" // that modem is no longer configured
	}
	if !slices.Contains(j.Avoid, own.name) {
		return own
	}
	if u := s.other(j); u != nil {
		return u
	}
	return own
}

// other is a modem that can send the text and need not be avoided.
func (s *Session) other(j *journal) *unit {
	now := s.env.Now()
	for _, backup := range []bool{false, true} {
		for _, u := range s.units {
			if u.route.Backup == backup && j.Via == "" && !u.route.Only && !slices.Contains(j.Avoid, u.name) && s.able(u, j.Urgent, now) {
				return u
			}
		}
	}
	return nil
}

// send works through the unsent parts and records how it ends.
func (d *delivery) send(ctx context.Context) error {
	j := d.j
	unsent := 0
	for i := range j.Parts {
		if j.Parts[i].unsent() {
			unsent++
		}
	}
	if unsent > 1 {
		end := d.u.m.Burst(ctx, min(unsent, maxBurst))
		defer end()
	}
	for i := range j.Parts {
		if !j.Parts[i].unsent() {
			continue
		}
		if ctx.Err() != nil {
			return d.it.Retry(d.s.env.Now(), d.stamp(transports.RetryWait), d.job.Error)
		}
		st := d.part(ctx, i)
		if d.save != nil {
			return fmt.Errorf("job %d: %w", d.job.ID, d.save) // the outbox leases it again; what was on air counts as possibly sent
		}
		d.judge(st, &j.Parts[i])
		switch st {
		case stepRetry:
			return d.retry()
		case stepWait:
			return d.wait(words(d.last, j.To))
		case stepOther:
			return d.it.Retry(d.s.env.Now(), d.stamp(transports.RetryWait), words(d.last, j.To))
		case stepEnd:
			return d.finish()
		}
	}
	return d.finish()
}

// judge tells the modem's unit how the part went. What is the text's or its recipient's own fault proves that the
// modem works; a modem that is down says so itself.
func (d *delivery) judge(st step, p *part) {
	failed := st == stepRetry || st == stepWait || p.State == transports.PossiblySent
	raw := ""
	if failed && d.last != nil {
		if d.last.Class == modem.ClassDown && !d.last.AfterCtrlZ {
			return
		}
		raw = d.last.Raw
	}
	if st == stepOther || p.State == transports.Failed && p.Class != string(modem.ClassRecipient) && p.Class != string(modem.ClassPDU) {
		return // it proves neither
	}
	now := d.s.env.Now()
	if until := d.u.went(d.job.ID, failed, raw, now); !until.IsZero() {
		d.s.env.Log.Warn("sms modem rests, texts keep failing", "comp", "sms", "net", d.u.name, "until", until, "err", d.last)
		d.s.tellStatus()
	}
}

// stamp encodes the journal with the state that goes into the job.
func (d *delivery) stamp(st transports.State) []byte {
	d.j.State = st
	return d.j.encode()
}

func (d *delivery) finish() error {
	st := d.j.overall()
	if err := d.it.Save(st, d.stamp(st), d.j.reason()); err != nil {
		return err
	}
	switch st {
	case transports.Failed:
		d.s.env.Log.Info("sms failed", "comp", "sms", "job", d.job.ID, "net", masked(d.j.To))
		fallthrough
	case transports.Accepted:
		d.s.receipt(d.job.ID, d.j, st)
	}
	return nil
}

// retry waits for the next attempt, or fails the text when its time is over by then.
func (d *delivery) retry() error {
	j := d.j
	j.Tries++
	now := d.s.env.Now()
	if j.Urgent && j.Tries >= 2 && j.sent() == 0 {
		j.Avoid = []string{d.u.name}
		if d.s.other(j) == nil {
			j.Avoid = nil
		}
	}
	pause := backoff(j.Tries)
	if j.Urgent {
		pause = min(pause, urgentPause)
	}
	if left := j.Deadline.Sub(now); pause >= left { // its time is used to the end
		pause = left * 9 / 10
	}
	at := now.Add(pause)
	why := words(d.last, j.To)
	if pause < leastPause {
		return d.giveUp(why)
	}
	return d.it.Retry(at, d.stamp(transports.RetryWait), why)
}

// wait puts the text back until the modem is ready; nothing was tried.
func (d *delivery) wait(why string) error {
	j := d.j
	pause := min(waitFirst<<min(j.Waits, 10), waitMost)
	j.Waits++
	now := d.s.env.Now()
	at := now.Add(pause)
	if !now.Before(j.Deadline) {
		return d.giveUp(why)
	}
	if at.After(j.Deadline) {
		at = j.Deadline
	}
	return d.it.Retry(at, d.stamp(transports.RetryWait), why)
}

// giveUp fails the unsent parts because the time is over.
func (d *delivery) giveUp(why string) error {
	if why == "" {
		why = d.job.Error
	}
	d.j.giveUp(why, d.s.env.Now())
	return d.finish()
}

// giveUp fails the unsent parts because the time is over; why is what stood in the way last.
func (j *journal) giveUp(why string, now time.Time) {
	text := "The text to " + j.To + " could not be sent in time and was given up."
	if why != "" {
		text += " " + why
	}
	for i := range j.Parts {
		if p := &j.Parts[i]; p.unsent() {
			p.State, p.Reason, p.Done = transports.Failed, text, now
		}
	}
}
