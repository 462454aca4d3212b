package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"doorway/transports"
)

// errKeep lets an edit end without a change.
var errKeep = errors.New("nothing to change")

func decode(raw []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// load builds the index. A job that was leased is queued again; its lease was
// in memory only.
func (q *Queue) load() error {
	now := unix(q.now())
	var bad error
	err := q.due.Range(q.prefix(), q.o.Network+"\x01", false, func(key string, raw []byte) bool {
		c, at, id, ok := q.parseDueKey(key)
		var d due
		err := json.Unmarshal(raw, &d)
		if !ok || err != nil {
			bad = fmt.Errorf("row %q of the index: %w", key, errors.Join(errors.New("damaged"), err))
			return false
		}
		if d.State == transports.Leased {
			d.State = transports.Queued
		}
		q.count("", d.State)
		if c != working {
			return true
		}
		if d.Set > now && (d.State == transports.RetryWait || at <= d.Set) { // the clock went back meanwhile
			at -= d.Set - now // keep the length of the pause, and of the validity
			if d.Deadline != 0 {
				d.Deadline = max(d.Deadline-(d.Set-now), 1)
			}
		}
		q.index.put(&entry{
			id: id, due: at, deadline: d.Deadline, dest: hashDest(d.Dest),
			prio: int32(d.Priority), state: numberOf(d.State), tried: d.Tried, lane: q.index.lane(d.Lane),
		}, now)
		return true
	})
	return errors.Join(err, bad)
}

// enter puts a job that works into the index, from where workers take it. e is
// held or new. mu is held.
func (q *Queue) enter(e *entry, r *record) {
	j := &r.Job
	e.due, e.deadline, e.dest, e.prio = r.Due, unix(j.Deadline), hashDest(j.Dest), int32(j.Priority)
	if now := unix(q.now()); e.due > now && j.State == transports.Queued && j.NotBefore.IsZero() {
		e.due = now // it was due at once, by a clock that has gone back since
	}
	e.tried, e.lane = j.Attempts > 0, q.index.lane(j.Lane)
	q.index.put(e, unix(q.now()))
	q.rouse()
	if !e.tried && e.deadline != 0 && e.deadline < q.expires {
		select {
		case q.kick <- struct{}{}:
		default:
		}
	}
}

// rouse has the waiting workers look again. mu is held.
func (q *Queue) rouse() {
	if q.waiting > 0 {
		close(q.wake)
		q.wake = make(chan struct{})
	}
}

// acquire holds a job against everybody else. With wait it waits for the
// other holder, else that is transports.ErrLeased.
func (q *Queue) acquire(ctx context.Context, id uint64, wait bool) error {
	for {
		q.mu.Lock()
		busy := q.holds[id]
		if busy == nil {
			q.holds[id] = make(chan struct{})
			if e := q.index.jobs[id]; e != nil {
				q.index.hold(e)
			}
			q.mu.Unlock()
			return nil
		}
		leased := q.leased[id]
		q.mu.Unlock()
		if leased && !wait {
			return fmt.Errorf("job %d: %w", id, transports.ErrLeased)
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// letGo ends a hold. r is the job as it is on disk now, nil when there is none
// or when it could not be read (err).
func (q *Queue) letGo(id uint64, r *record, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(id, r, err)
}

// release is letGo with mu held.
func (q *Queue) release(id uint64, r *record, err error) {
	e := q.index.jobs[id]
	switch {
	case r != nil && classOf(r.Job.State) == working:
		s := r.Job.State
		if s == transports.Leased { // the lease is over
			s = transports.Queued
		}
		if e == nil {
			e = &entry{id: id, state: numberOf(s)}
		} else {
			q.shift(id, "", s)
		}
		q.enter(e, r)
	case e == nil:
	case r == nil && err != nil && !errors.Is(err, transports.ErrNoJob):
		// The disk may answer the next time.
		if e.state == numberOf(transports.Leased) {
			q.shift(id, "", transports.Queued)
		}
		e.due = unix(q.now().Add(longestWait))
		q.index.put(e, unix(q.now()))
	case r == nil:
		q.count(stateNames[e.state], "")
		q.index.remove(e)
	default:
		q.index.remove(e)
	}
	close(q.holds[id])
	delete(q.holds, id)
}

// edit changes a job that is not leased in one commit. f may return errKeep.
func (q *Queue) edit(ctx context.Context, id uint64, wait bool, f func(*record) error) error {
	if err := q.acquire(ctx, id, wait); err != nil {
		return err
	}
	old, err := q.read(id)
	if err != nil {
		q.letGo(id, nil, err)
		return err
	}
	r := *old
	if err := f(&r); err != nil {
		q.letGo(id, old, nil)
		if errors.Is(err, errKeep) {
			return nil
		}
		return fmt.Errorf("job %d: %w", id, err)
	}
	if r.Job.State == transports.Leased { // leases are Serve's
		r.Job.State = transports.Queued
	}
	q.settle(old, &r)
	if err := q.s.WriteAll(q.rows(old, &r), false); err != nil {
		q.letGo(id, old, nil)
		return fmt.Errorf("job %d: %w", id, err)
	}
	q.replaced(old.Job.State, &r)
	q.letGo(id, &r, nil)
	return nil
}

// settle sets the time in the index that goes with the new state.
func (q *Queue) settle(old, r *record) {
	from, to := classOf(old.Job.State), classOf(r.Job.State)
	switch {
	case to == kept && from != kept:
		r.Due = unix(q.now().Add(q.o.Keep))
	case to == dead && from != dead:
		r.Due = unix(q.now())
	}
}

// replaced counts and tells of a committed change. from is the state the job
// had on disk. The job is held.
func (q *Queue) replaced(from transports.State, r *record) {
	q.mu.Lock()
	q.shift(r.Job.ID, from, r.Job.State)
	q.mu.Unlock()
	if from != r.Job.State && q.o.Changed != nil {
		q.o.Changed(r.Job)
	}
}

// Update rewrites a job that is not leased; false when f returns false or the
// job is gone. For a leased job it waits for the lease to end. f may change
// State, Payload, Error and History; a new state that f did not add to the
// history is added to it.
func (q *Queue) Update(ctx context.Context, id uint64, f func(*transports.Job) bool) (bool, error) {
	done := false
	err := q.edit(ctx, id, true, func(r *record) error {
		was, steps := r.Job.State, len(r.Job.History)
		if !f(&r.Job) {
			return errKeep
		}
		r.Job.ID = id
		if s := r.Job.State; s != was && len(r.Job.History) == steps {
			r.Job.State = was
			step(&r.Job, q.now(), s, r.Job.Error)
		}
		if n := len(r.Job.History); n > historyLen {
			r.Job.History = append(r.Job.History[:1:1], r.Job.History[n-historyLen+1:]...)
		}
		if classOf(was) != working && classOf(r.Job.State) == working {
			r.Due = max(unix(q.now()), unix(r.Job.NotBefore))
		}
		done = true
		return nil
	})
	if errors.Is(err, transports.ErrNoJob) {
		return false, nil
	}
	return done && err == nil, err
}

// Cancel stops a job that waits: cancelled. transports.ErrLeased while it is
// being sent or was on the air when the program ended; ErrState when it is
// finished.
func (q *Queue) Cancel(id uint64) error {
	return q.edit(context.Background(), id, false, func(r *record) error {
		switch r.Job.State {
		case transports.Cancelled:
			return errKeep
		case transports.OnAir:
			return transports.ErrLeased
		}
		if classOf(r.Job.State) != working {
			return fmt.Errorf("cancel: it is %s: %w", r.Job.State, ErrState)
		}
		step(&r.Job, q.now(), transports.Cancelled, "")
		return nil
	})
}

// Requeue puts a failed, possibly-sent, expired or cancelled job back to
// queued, due at once and with all its attempts. A deadline that has passed is
// taken off; the worker sets its own.
func (q *Queue) Requeue(id uint64) error {
	return q.edit(context.Background(), id, false, func(r *record) error {
		switch r.Job.State {
		case transports.Failed, transports.PossiblySent, transports.Expired, transports.Cancelled:
		default:
			return fmt.Errorf("requeue: it is %s: %w", r.Job.State, ErrState)
		}
		now := q.now()
		r.Job.Attempts, r.Job.NotBefore, r.Job.Error = 0, time.Time{}, "" // the history keeps the reason
		if !r.Job.Deadline.IsZero() && !now.Before(r.Job.Deadline) {
			r.Job.Deadline = time.Time{}
		}
		r.Due = unix(now)
		step(&r.Job, now, transports.Queued, "put back by hand")
		return nil
	})
}

// Delete removes a job in a final state; ErrState for one that waits, is being
// sent, or is accepted and waits for its report.
func (q *Queue) Delete(id uint64) error {
	if err := q.acquire(context.Background(), id, false); err != nil {
		return err
	}
	r, err := q.read(id)
	if err != nil {
		q.letGo(id, nil, err)
		return err
	}
	if classOf(r.Job.State) == working || r.Job.State == transports.Accepted {
		q.letGo(id, r, nil)
		return fmt.Errorf("job %d: delete: it is %s: %w", id, r.Job.State, ErrState)
	}
	err = q.s.WriteAll(q.without(r), false)
	if err != nil {
		q.letGo(id, r, nil)
		return fmt.Errorf("job %d: delete: %w", id, err)
	}
	q.mu.Lock()
	q.count(r.Job.State, "")
	q.release(id, nil, nil)
	q.mu.Unlock()
	return nil
}

// without returns the changes that delete a job.
func (q *Queue) without(r *record) map[string]map[string]any {
	return map[string]map[string]any{
		"outbox":     {q.jobKey(r.Job.ID): nil},
		"outbox_due": {q.dueKey(classOf(r.Job.State), r.Due, r.Job.ID): nil},
	}
}
