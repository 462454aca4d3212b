package queue

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"

	"doorway/transports"
)

const (
	tidyEvery  = time.Hour
	tidyBatch  = 100         // jobs in one commit
	scanAtMost = time.Second // between two looks for deadlines
)

// Run expires jobs whose deadline passes while no worker can take them, trims
// finished jobs after 30 days and forgets old keys. It returns nil when ctx
// has ended.
func (q *Queue) Run(ctx context.Context) error {
	tidied := time.Time{}
	for ctx.Err() == nil {
		now := q.now()
		if now.Sub(tidied) >= tidyEvery || now.Before(tidied) {
			q.trim(ctx)
			q.forgetKeys(ctx)
			tidied = now
		}
		next := q.expire(ctx)
		wait := tidyEvery
		if next != math.MaxInt64 {
			wait = min(longestWait, max(time.Duration(next-unix(q.now())), scanAtMost))
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-q.kick:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// expire ends the jobs that nobody may send any more and returns the next deadline.
func (q *Queue) expire(ctx context.Context) (next int64) {
	for {
		var ids []uint64
		next = math.MaxInt64
		q.mu.Lock()
		now := q.look()
		for id, e := range q.index.jobs {
			switch {
			case e.place == held || e.tried || e.deadline == 0:
			case q.late(e, now):
				if len(ids) < tidyBatch {
					ids = append(ids, id)
				}
			default:
				next = min(next, q.deadline(id, e.deadline))
			}
		}
		q.expires = next
		q.mu.Unlock()
		if len(ids) == 0 || ctx.Err() != nil {
			return next
		}
		if !q.expireAll(ctx, ids) {
			return unix(now.Add(longestWait)) // the disk does not take it: not at once again
		}
	}
}

// over reports that a job's deadline has passed.
func (q *Queue) over(id uint64, r *record, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.deadline(id, unix(r.Job.Deadline)) <= unix(now)
}

// expireAll records a batch in as few commits as possible.
func (q *Queue) expireAll(ctx context.Context, ids []uint64) (ok bool) {
	type result struct {
		old, r *record
		err    error
	}
	results := make(chan result, len(ids))
	n := 0
	for _, id := range ids {
		if err := q.acquire(ctx, id, false); err != nil {
			continue // a worker was faster, and looks at the deadline itself
		}
		old, err := q.read(id)
		now := q.now()
		if err != nil || classOf(old.Job.State) != working || old.Job.Attempts > 0 || old.Job.State == transports.OnAir || !q.over(id, old, now) {
			q.letGo(id, old, err)
			continue
		}
		r := *old
		step(&r.Job, now, transports.Expired, tooLate)
		r.Job.Error = tooLate
		q.settle(old, &r)
		n++
		q.s.LaterAll(q.rows(old, &r), func(err error) { results <- result{old, &r, err} })
	}
	ok = true
	for range n {
		res := <-results
		if res.err != nil {
			ok = false
			q.log().Error("expired job cannot be recorded", "job", res.r.Job.ID, "err", res.err)
			q.letGo(res.r.Job.ID, res.old, nil)
			continue
		}
		q.replaced(res.old.Job.State, res.r)
		q.letGo(res.r.Job.ID, res.r, nil)
	}
	return ok
}

// trim deletes finished jobs whose time is over, and dead letters if Options say so.
func (q *Queue) trim(ctx context.Context) {
	q.trimClass(ctx, kept, q.now())
	if q.o.KeepDead > 0 {
		q.trimClass(ctx, dead, q.now().Add(-q.o.KeepDead))
	}
}

// trimClass deletes the jobs of a class whose time in the index is before end, a small batch at a time.
func (q *Queue) trimClass(ctx context.Context, c class, end time.Time) {
	from, to := q.prefix()+string(rune(c)), q.dueKey(c, unix(end), 0)
	for ctx.Err() == nil {
		var ids []uint64
		var last string
		err := q.due.Range(from, to, false, func(key string, _ []byte) bool {
			if _, _, id, ok := q.parseDueKey(key); ok {
				ids = append(ids, id)
			}
			last = key
			return len(ids) < tidyBatch
		})
		if err == nil && len(ids) > 0 {
			err = q.trimBatch(ctx, ids, c, end)
		}
		if err != nil {
			q.log().Error("old jobs cannot be deleted", "err", err)
			return
		}
		if len(ids) < tidyBatch {
			return
		}
		from = last + "\x00"
	}
}

func (q *Queue) trimBatch(ctx context.Context, ids []uint64, c class, end time.Time) error {
	all := map[string]map[string]any{"outbox": {}, "outbox_due": {}}
	var gone []*record
	for _, id := range ids {
		if err := q.acquire(ctx, id, false); err != nil {
			continue
		}
		r, err := q.read(id)
		if err != nil || classOf(r.Job.State) != c || r.Due > unix(end) {
			q.letGo(id, r, err)
			continue
		}
		for table, rows := range q.without(r) {
			for key := range rows {
				all[table][key] = nil
			}
		}
		gone = append(gone, r)
	}
	err := q.s.WriteAll(all, false)
	for _, r := range gone {
		if err != nil {
			q.letGo(r.Job.ID, r, nil)
			continue
		}
		q.mu.Lock()
		q.count(r.Job.State, "")
		q.release(r.Job.ID, nil, nil)
		q.mu.Unlock()
	}
	return err
}

// forgetKeys deletes the idempotency keys that are over 48 hours old.
func (q *Queue) forgetKeys(ctx context.Context) {
	from, to := q.prefix(), q.o.Network+"\x01"
	for ctx.Err() == nil {
		old := map[string]any{}
		var claimed []string
		last := ""
		now := q.now()
		err := q.keys.Range(from, to, false, func(key string, raw []byte) bool {
			last = key
			var row keyRow
			if json.Unmarshal(raw, &row) == nil && now.Sub(time.Unix(0, row.At)).Abs() < keyAge {
				return true
			}
			if name := key[len(q.prefix()):]; q.tryClaim(name) {
				claimed = append(claimed, name)
				// Somebody may have put it again since the page was copied.
				var again keyRow
				if ok, err := q.keys.Get(key, &again); ok && (err != nil || again == row) {
					old[key] = nil
				}
			}
			return len(claimed) < tidyBatch
		})
		if len(old) > 0 {
			err = errors.Join(err, q.keys.Write(old))
		}
		for _, name := range claimed {
			q.releaseKey(name)
		}
		if err != nil {
			q.log().Error("old keys cannot be deleted", "err", err)
			return
		}
		if len(claimed) < tidyBatch {
			return
		}
		from = last + "\x00"
	}
}

func (q *Queue) tryClaim(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.puts[key] != nil {
		return false
	}
	q.puts[key] = make(chan struct{})
	return true
}
