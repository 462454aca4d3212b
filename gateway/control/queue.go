package control

import (
	"context"
	"errors"
	"slices"

	"doorway/gateway/queue"
	"doorway/transports"
)

// QueueList is the request of queue.list.
type QueueList struct {
	State  string `json:"state,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	Before uint64 `json:"before,omitempty"`
}

// QueueAnswer is the answer of queue.list: the jobs without their payloads,
// newest first, and how many there are in each state.
type QueueAnswer struct {
	Jobs   []transports.Job         `json:"jobs"`
	Counts map[transports.State]int `json:"counts"`
}

// JobID is a request that names one job.
type JobID struct {
	ID uint64 `json:"id"`
}

// states are the public words (design §3), for checking what a person typed.
var states = []transports.State{
	transports.Queued, transports.Leased, transports.OnAir, transports.Accepted, transports.Delivered,
	transports.SentUnconfirmed, transports.PossiblySent, transports.RetryWait, transports.Failed,
	transports.Cancelled, transports.Expired,
}

// stateFilter checks a state word; "" selects all.
func stateFilter(word string) ([]transports.State, error) {
	if word == "" {
		return nil, nil
	}
	if !slices.Contains(states, transports.State(word)) {
		return nil, &Error{Usage: true, Text: "There is no state " + word + ". The states are queued, leased, on-air, accepted, delivered, sent-unconfirmed, possibly-sent, retry-wait, failed, cancelled and expired."}
	}
	return []transports.State{transports.State(word)}, nil
}

// pageSize is how many rows a list has when nothing else is asked for.
const pageSize = 50

func limit(n int) int {
	if n <= 0 {
		return pageSize
	}
	return min(n, 1000)
}

// Queue registers the commands queue.list, show, cancel, requeue and delete.
func Queue(s *Server, q *queue.Queue) {
	Handle(s, "queue.list", func(_ context.Context, r QueueList) (QueueAnswer, error) {
		f, err := stateFilter(r.State)
		if err != nil {
			return QueueAnswer{}, err
		}
		jobs, err := q.List(transports.Filter{States: f, Limit: limit(r.Limit), Before: r.Before})
		if err != nil {
			return QueueAnswer{}, err
		}
		for i := range jobs {
			jobs[i].Payload = nil
		}
		if jobs == nil {
			jobs = []transports.Job{}
		}
		return QueueAnswer{Jobs: jobs, Counts: q.Counts()}, nil
	})
	Handle(s, "queue.show", func(_ context.Context, r JobID) (transports.Job, error) {
		j, err := q.Get(r.ID)
		if err != nil {
			return j, sentence(q, r.ID, err)
		}
		j.Payload = nil
		return j, nil
	})
	change := func(name string, f func(id uint64) error) {
		Handle(s, name, func(_ context.Context, r JobID) (transports.Job, error) {
			if err := f(r.ID); err != nil {
				return transports.Job{}, sentence(q, r.ID, err)
			}
			j, err := q.Get(r.ID)
			if err != nil {
				j = transports.Job{ID: r.ID} // it is gone, as wished
			}
			j.Payload = nil
			return j, nil
		})
	}
	change("queue.cancel", func(id uint64) error {
		err := q.Cancel(id)
		if errors.Is(err, transports.ErrLeased) {
			return Refuse("Job %d is being sent at this moment and cannot be taken back. Look at it again in a minute with `doorway sms show %d`.", id, id)
		}
		return err
	})
	change("queue.requeue", q.Requeue)
	change("queue.delete", q.Delete)
}

// sentence says in words why a job cannot be changed.
func sentence(q *queue.Queue, id uint64, err error) error {
	switch {
	case errors.Is(err, transports.ErrNoJob):
		return Refuse("There is no job %d. `doorway queue list` shows the jobs.", id)
	case errors.Is(err, queue.ErrState):
		if j, err := q.Get(id); err == nil {
			return Refuse("Job %d is %s, so this cannot be done with it. Waiting jobs can be cancelled, those that ended badly requeued, and those that ended deleted.", id, j.State)
		}
	}
	return err
}
