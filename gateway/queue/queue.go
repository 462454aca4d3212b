// Package queue is the durable outbox (transports.Outbox) on gateway/store.
package queue

import (
	"log/slog"
	"time"

	"doorway/gateway/store"
	"doorway/transports"
)

// Queue implements transports.Outbox for one network.
type Queue struct{ transports.Outbox }

// Options of a Queue.
type Options struct {
	Network string // prefix of the keys
	Now     func() time.Time
	Log     *slog.Logger
	// Changed, when not nil, is called after each change of a job's state was committed.
	Changed func(transports.Job)
}

// Open reads the index of the network's jobs from the tables "outbox" and "outbox_due".
func Open(s *store.Store, o Options) (*Queue, error) { panic("skeleton") }

// Counts returns the number of jobs by state.
func (q *Queue) Counts() map[transports.State]int { panic("skeleton") }

// Requeue puts a failed, possibly-sent, expired or cancelled job back to queued.
func (q *Queue) Requeue(id uint64) error { panic("skeleton") }

// Delete removes a job in a final state.
func (q *Queue) Delete(id uint64) error { panic("skeleton") }
