package sms

import (
	"context"

	"doorway/transports"
)

// unwanted is why a text that waits is not sent any more: its number has opted out since, or the directory says so; "" for
// any other. The house's own answer to STOP leaves, and so does the rest of a text that the network has a part of.
func (s *Session) unwanted(j *journal) string {
	if j.sent() > 0 || j.AtOnce && !j.Urgent {
		return ""
	}
	if _, out := s.out.has(j.To); out {
		return j.To + " wants no texts any more (STOP), so this one was not sent."
	}
	if s.n.cfg.Unwanted != nil && s.n.cfg.Unwanted(j.To) {
		return "The person with the number " + j.To + " is to get no texts any more, so this one was not sent. The administrator can change that in the directory."
	}
	return ""
}

// takeBack cancels what waits for a number that has opted out, alarms and texts for another day too; true when nothing is
// left to be done. What a worker holds is looked at there.
func (k *keeper) takeBack(ctx context.Context, num string) bool {
	jobs, err := k.s.env.Outbox.List(transports.Filter{Dest: num, States: []transports.State{transports.Queued, transports.RetryWait}})
	if err != nil {
		k.s.env.Log.Error("sms texts of a number that has opted out cannot be listed", "comp", "sms", "net", masked(num), "err", err)
		return false
	}
	all := true
	for _, job := range jobs {
		if k.s.held(job.ID) {
			all = false
			continue
		}
		done, err := k.s.env.Outbox.Update(ctx, job.ID, func(q *transports.Job) bool {
			j, err := decodeJournal(q.Payload)
			if err != nil || q.State != transports.Queued && q.State != transports.RetryWait {
				return false
			}
			if j.Why = k.s.unwanted(j); j.Why == "" {
				return false
			}
			j.State, q.State, q.Error = transports.Cancelled, transports.Cancelled, j.Why
			q.Payload = j.encode()
			job = *q
			return true
		})
		switch {
		case err != nil:
			all = false
		case done:
			k.look(job)
		}
	}
	return all
}
