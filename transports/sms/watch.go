package sms

import (
	"context"
	"errors"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

// repeatMark begins the second copy of an urgent text, when it still fits.
const repeatMark = "[repeat] "

// watch does what is due: possibly-sent texts are repeated or told, reports that never came are given up.
func (k *keeper) watch(ctx context.Context, now time.Time) {
	if k.wake.IsZero() || now.Before(k.wake) {
		return // with many texts out a look at all of them is no small matter
	}
	k.settled.prune(now)
	for id, t := range k.out {
		if k.s.held(id) {
			continue
		}
		switch {
		case t.state == transports.PossiblySent && t.offered != transports.PossiblySent && !now.Before(t.unsureAt()):
			k.unsure(ctx, t, now)
		case t.overdue(now):
			k.change(ctx, id, func(_ *transports.Job, j *journal) bool {
				for i := range j.Parts {
					if p := &j.Parts[i]; p.State == transports.Accepted && i < len(t.parts) && !now.Before(t.parts[i].until) {
						p.State, p.Done = transports.SentUnconfirmed, now
					}
				}
				return true
			})
		case t.forgotten(now):
			k.drop(id)
		}
	}
	k.wake = time.Time{}
	for _, t := range k.out {
		if due := t.due(); !due.IsZero() && (k.wake.IsZero() || due.Before(k.wake)) {
			k.wake = due
		}
	}
	if !k.wake.IsZero() && !k.wake.After(now) {
		k.wake = now.Add(time.Second) // a worker holds it
	}
}

// unsureAt is when a possibly-sent text has waited long enough for its report.
func (t *tracked) unsureAt() time.Time {
	var at time.Time
	for _, p := range t.parts {
		if p.state == transports.PossiblySent && p.since.After(at) {
			at = p.since
		}
	}
	return at.Add(unsureGrace)
}

func (t *tracked) overdue(now time.Time) bool {
	for _, p := range t.parts {
		if p.state == transports.Accepted && !now.Before(p.until) {
			return true
		}
	}
	return false
}

func (t *tracked) forgotten(now time.Time) bool {
	for _, p := range t.parts {
		if !p.until.IsZero() && now.Before(p.until) {
			return false
		}
	}
	return true
}

// due is when watch has to look at t again.
func (t *tracked) due() time.Time {
	if t.state == transports.PossiblySent && t.offered != transports.PossiblySent {
		return t.unsureAt()
	}
	var first time.Time
	for _, p := range t.parts {
		if !p.until.IsZero() && (first.IsZero() || p.until.Before(first)) {
			first = p.until
		}
	}
	return first
}

// unsure repeats an urgent text once, marked; of any other the sender is told, who decides.
func (k *keeper) unsure(ctx context.Context, t *tracked, now time.Time) {
	if t.urgent && !t.resent {
		again := false
		k.change(ctx, t.id, func(job *transports.Job, j *journal) bool {
			deadline := j.Deadline.Add(t.moved)
			if again = now.Before(deadline); !again {
				return false
			}
			j.Deadline = deadline
			j.Resent = true
			for i := range j.Parts {
				if p := &j.Parts[i]; p.State == transports.PossiblySent {
					p.again(true)
				}
			}
			if len(j.Parts) == 1 {
				k.s.markRepeat(j, now)
			}
			return true
		})
		if again {
			k.s.env.Log.Warn("sms repeated, the first copy was possibly sent", "comp", "sms", "job", t.id)
			return
		}
	}
	job, err := k.s.env.Outbox.Get(t.id)
	if err != nil {
		k.drop(t.id)
		return
	}
	j, err := decodeJournal(job.Payload)
	if err != nil || job.State != transports.PossiblySent {
		k.look(job)
		return
	}
	t.offered = transports.PossiblySent
	if j.Told != transports.PossiblySent {
		k.s.receipt(t.id, j, transports.PossiblySent)
	}
}

// markRepeat writes the mark into a text of one part.
func (s *Session) markRepeat(j *journal, now time.Time) {
	tpdus, _, err := pdu.Encode(repeatMark+j.Body, pdu.Options{To: pduNumber(j.To), StatusReport: true, RejectDuplicates: true,
		Validity: j.Deadline.Sub(now), Class: j.class(), MaxParts: 1})
	if err == nil { // ignored: a text that has no room for the mark goes out without it
		j.Parts[0].TPDU = tpdus[0]
	}
}

// sweep finds jobs that expired or were cancelled while they waited, and gives up those whose time is over: one that was tried
// once is not the outbox's any more, and there may be no modem whose worker would see it.
func (k *keeper) sweep(ctx context.Context, now time.Time) {
	if len(k.waiting) == 0 || now.Sub(k.swept) < sweepEvery {
		return
	}
	k.swept = now
	n, ns := 0, now.UnixNano()
	for id, end := range k.waiting {
		if end == 0 || end > ns || k.s.held(id) {
			continue
		}
		k.giveUp(ctx, id, now)
		if n++; n == sweepMost {
			k.swept = now.Add(time.Second - sweepEvery) // the rest follows soon
			return
		}
	}
	n = 0
	for id := range k.waiting {
		if n++; n > sweepMost {
			return
		}
		job, err := k.s.env.Outbox.Get(id)
		switch {
		case errors.Is(err, transports.ErrNoJob):
			delete(k.waiting, id)
		case err == nil && !k.s.held(id):
			k.look(job)
		}
	}
}

// giveUp fails what was tried and is still unsent at the end of its time.
func (k *keeper) giveUp(ctx context.Context, id uint64, now time.Time) {
	over := false
	k.change(ctx, id, func(job *transports.Job, j *journal) bool {
		if job.State != transports.RetryWait && job.State != transports.Queued {
			return false
		}
		if n := len(job.History); job.Attempts == 0 && // the outbox's, but for what a person has put back
			(!job.Deadline.IsZero() || n == 0 || now.Sub(job.History[n-1].At) < k.s.n.validity(j.Urgent)) {
			return false
		}
		j.giveUp(job.Error, now)
		over = true
		return true
	})
	if over {
		delete(k.waiting, id)
	}
}

// next is how long the keeper may rest; 0 without limit.
func (k *keeper) next(now time.Time) time.Duration {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(k.wake)
	if len(k.waiting) > 0 {
		sooner(k.swept.Add(sweepEvery))
	}
	if len(k.reports) > 0 {
		sooner(now.Add(keepReport))
	}
	if len(k.lates) > 0 || len(k.tells) > 0 || len(k.stops) > 0 {
		sooner(now.Add(time.Second)) // what is held is released with a post; this is for the rest
	}
	if at.IsZero() {
		return 0
	}
	return max(at.Sub(now), 100*time.Millisecond)
}
