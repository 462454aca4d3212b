package queue

import (
	"context"
	"slices"

	"doorway/transports"
)

// inDoubt is the sentence of a job that f of Doubt gave none.
const inDoubt = "It may have been sent already: an older copy of the data came into use while it waited."

// Doubt takes every job that waits or is on the air out of the workers' reach,
// because each may have been sent since the data in use was copied. f, which
// may be nil, rewrites State, Payload and Error of a job as its network sees
// it; a job that f leaves waiting becomes possibly-sent. It returns the number
// of jobs, and is called after Open, before anybody serves.
func (q *Queue) Doubt(ctx context.Context, f func(*transports.Job)) (n int, err error) {
	var ids []uint64
	q.mu.Lock()
	for id := range q.index.jobs {
		ids = append(ids, id)
	}
	q.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		done, err := q.Update(ctx, id, func(j *transports.Job) bool {
			j.Error = ""
			if f != nil {
				f(j)
			}
			if classOf(j.State) == working {
				j.State = transports.PossiblySent
			}
			if j.Error == "" {
				j.Error = inDoubt
			}
			return true
		})
		if err != nil {
			return n, err
		}
		if done {
			n++
		}
	}
	return n, nil
}
