package queue

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"doorway/transports"
)

// longestWait bounds how long a worker sleeps, so that a clock that was set
// forward is noticed.
const longestWait = time.Minute

// tooLate is what a sender is told of an expired job.
const tooLate = "It was not sent: its time ran out before it could be sent."

// Serve leases due jobs that l takes, by priority, then due time, then id, one at a time,
// and calls f; it returns nil when ctx has ended and f has returned. Several
// workers may Serve; jobs of one Dest are never leased at the same time. A job
// whose f returns without a decision is leased again after ten seconds, with
// f's error recorded; at once when ctx has ended.
func (q *Queue) Serve(ctx context.Context, l transports.Lease, f func(context.Context, transports.Item) error) error {
	for {
		it := q.lease(ctx, l)
		if it == nil {
			return nil
		}
		q.work(ctx, it, f)
	}
}

// lease waits for the next job; nil when ctx has ended.
func (q *Queue) lease(ctx context.Context, l transports.Lease) *item {
	for ctx.Err() == nil {
		q.mu.Lock()
		now := q.look()
		e := q.index.take(unix(now), l.Accept)
		if e == nil {
			q.wait(ctx, now, l.Again)
			continue
		}
		id, was := e.id, stateNames[e.state]
		q.holds[id] = make(chan struct{})
		q.leased[id] = true
		if was != transports.OnAir {
			q.shift(id, was, transports.Leased)
		}
		late, deadline := q.late(e, now), q.deadline(id, e.deadline)
		it := &item{q: q, id: id, dest: e.dest}
		q.mu.Unlock()

		disk, err := q.read(id)
		if err != nil {
			q.log().Error("job cannot be read", "job", id, "err", err)
			it.end(err)
			continue
		}
		it.disk, it.r = disk, *disk
		if deadline != e.deadline {
			it.r.Job.Deadline = time.Unix(0, deadline).UTC()
		}
		if late {
			if err := it.Save(transports.Expired, nil, tooLate); err != nil {
				q.log().Error("expired job cannot be recorded", "job", id, "err", err)
				it.disk.Due = unix(now.Add(undecided))
			}
			it.end(nil)
			continue
		}
		if was != transports.OnAir {
			it.r.Job.State = transports.Leased
			it.r.Job.Attempts++
		}
		it.undecided = true
		return it
	}
	return nil
}

// late reports that a job's deadline passed before its first attempt. mu is held.
func (q *Queue) late(e *entry, now time.Time) bool {
	return !e.tried && e.deadline != 0 && q.deadline(e.id, e.deadline) <= unix(now) && e.state != numberOf(transports.OnAir)
}

// wait sleeps until a job may be due or again has a value. It is entered with mu held and leaves
// without.
func (q *Queue) wait(ctx context.Context, now time.Time, again <-chan struct{}) {
	wake := q.wake
	var timer <-chan time.Time
	if next := q.index.next(); next != math.MaxInt64 {
		t := time.NewTimer(min(time.Duration(next-unix(now)), longestWait))
		defer t.Stop()
		timer = t.C
	}
	q.waiting++
	q.mu.Unlock()
	select {
	case <-wake:
	case <-again:
	case <-timer:
	case <-ctx.Done():
	}
	q.mu.Lock()
	q.waiting--
	q.mu.Unlock()
}

// work gives a leased job to f and settles what f left open.
func (q *Queue) work(ctx context.Context, it *item, f func(context.Context, transports.Item) error) {
	defer it.end(nil) // also when f panics
	err := f(ctx, it)
	it.mu.Lock()
	defer it.mu.Unlock()
	if !it.undecided || ctx.Err() != nil {
		return // decided; or stopped, which is no attempt that went wrong
	}
	again := q.now().Add(undecided)
	note := "The worker gave no answer."
	if err != nil {
		note = err.Error()
	}
	s := it.r.Job.State
	if s == transports.Leased {
		s = transports.RetryWait
	}
	if err := it.save(s, nil, note, again); err != nil {
		q.log().Error("outcome of a job cannot be recorded", "job", it.id, "err", err)
		it.disk.Due = unix(again) // in memory
	}
}

// item is a lease.
type item struct {
	q    *Queue
	id   uint64
	dest uint64

	mu        sync.Mutex // guards what follows
	disk      *record    // as it is on disk, but perhaps for Due; nil when it could not be read
	r         record     // as the worker sees it
	ended     bool
	undecided bool // in a state that asks for another lease
}

var _ transports.Item = (*item)(nil)

// Job returns the job; a job that was on air when the program ended has that
// state, any other is leased.
func (it *item) Job() transports.Job {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.r.Job
}

// Save rewrites state and payload in one commit and returns after fsync; a nil
// payload keeps the one there is. on-air commits ahead of everything that is
// queued. In a dead or waiting state note becomes the job's Error, in one of
// success it takes the Error away.
func (it *item) Save(s transports.State, payload []byte, note string) error {
	it.mu.Lock()
	defer it.mu.Unlock()
	at := time.Time{}
	if s == transports.RetryWait {
		at = it.q.now().Add(undecided)
	}
	return it.save(s, payload, note, at)
}

// Retry puts the job into retry-wait until at, which NotBefore then shows.
func (it *item) Retry(at time.Time, payload []byte, reason string) error {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.save(transports.RetryWait, payload, reason, at)
}

// save commits; at, when not zero, is the next lease. mu is held.
func (it *item) save(s transports.State, payload []byte, note string, at time.Time) error {
	if it.ended {
		return ErrState
	}
	q := it.q
	r := it.r
	step(&r.Job, q.now(), s, note)
	if payload != nil {
		r.Job.Payload = payload
	}
	switch {
	case s == transports.Accepted || s == transports.Delivered || s == transports.SentUnconfirmed:
		r.Job.Error = ""
	case note != "" && (!at.IsZero() || classOf(s) != working):
		r.Job.Error = note
	}
	if !at.IsZero() {
		r.Due = unix(at)
		if s == transports.RetryWait {
			r.Job.NotBefore = at.Round(0).UTC()
		}
	}
	q.settle(it.disk, &r)
	if err := q.s.WriteAll(q.rows(it.disk, &r), s == transports.OnAir && at.IsZero()); err != nil {
		return fmt.Errorf("job %d: %w", it.id, err)
	}
	was := it.disk.Job.State
	if !r.Job.Deadline.Equal(it.disk.Job.Deadline) {
		q.mu.Lock()
		q.known(it.id)
		q.mu.Unlock()
	}
	it.r, it.disk = r, &r
	it.undecided = classOf(s) == working && at.IsZero()
	q.replaced(was, &r)
	return nil
}

// end gives the lease back; err says why the job could not be read.
func (it *item) end(err error) {
	it.mu.Lock()
	it.ended = true
	disk := it.disk
	it.mu.Unlock()
	q := it.q
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.leased, it.id)
	q.release(it.id, disk, err)
	q.index.free(it.dest)
	q.rouse()
}
