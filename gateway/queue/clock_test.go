package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorway/transports"
)

// The clock of the box is put right while texts wait: what waits keeps the
// time it had left, and nothing waits for a year.
func TestClockIsPutRight(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"back": -year, "forward": year} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var shift atomic.Int64
				r.o.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
				r.reopen()
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- r.q.Run(ctx) }() // waited for below
				now := r.o.Now()
				tried := r.put(transports.Job{Dest: "b", Deadline: now.Add(time.Hour)})
				stop := r.serve(1, func(ctx context.Context, it transports.Item) error {
					return it.Retry(r.o.Now().Add(2*time.Minute), nil, "busy")
				})
				synctest.Wait()
				stop()
				waits := r.put(transports.Job{Dest: "c", Deadline: now.Add(time.Hour)})
				gone := r.put(transports.Job{Dest: "d", Deadline: now.Add(5 * time.Minute)})
				named := r.put(transports.Job{Dest: "e", NotBefore: now.Add(10 * 24 * time.Hour), Deadline: now.Add(11 * 24 * time.Hour)})
				key := r.put(transports.Job{Dest: "f", Key: "k", Deadline: now.Add(time.Hour)})
				time.Sleep(10 * time.Second) // the bubble's clock
				shift.Store(int64(by))
				time.Sleep(3 * time.Minute)
				for _, id := range []uint64{tried, waits, gone} {
					if s := r.get(id).State; s != transports.Queued && s != transports.RetryWait {
						t.Errorf("job %d is %s", id, s)
					}
				}
				time.Sleep(3 * time.Minute)
				if s := r.get(gone).State; s != transports.Expired {
					t.Errorf("what had five minutes is %s after six", s)
				}
				if _, err := r.q.Update(ctx, waits, func(j *transports.Job) bool { j.Payload = []byte(`1`); return true }); err != nil {
					t.Error(err)
				}
				var deadline time.Time
				stop = r.serve(1, func(ctx context.Context, it transports.Item) error {
					if it.Job().ID == tried {
						deadline = it.Job().Deadline
					}
					return deliver(ctx, it)
				})
				time.Sleep(5 * time.Minute)
				stop()
				for _, id := range []uint64{tried, waits, key} {
					if s := r.get(id).State; s != transports.Delivered {
						t.Errorf("job %d is %s", id, s)
					}
				}
				if want := now.Add(time.Hour + by); !deadline.Equal(want) || !r.get(tried).Deadline.Equal(want) {
					t.Errorf("the deadline is %s, on disk %s, want %s", deadline, r.get(tried).Deadline, want)
				}
				want := transports.Queued
				if by > 0 {
					want = transports.Expired // its moment is long over
				}
				if s := r.get(named).State; s != want {
					t.Errorf("the text of next week is %s", s)
				}
				if id := r.put(transports.Job{Key: "k", Dest: "f"}); id == key {
					t.Error("a key of another year is known")
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A store whose times lie in the future, because the clock was wrong when it
// was written: what waited is sent.
func TestStoreOfTheFuture(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shift := 365 * 24 * time.Hour
		r.o.Now = func() time.Time { return time.Now().Add(shift) }
		r.reopen()
		now := r.o.Now()
		waits := r.put(transports.Job{Dest: "a", Deadline: now.Add(time.Hour)})
		late := r.put(transports.Job{Dest: "b", Deadline: now.Add(time.Minute)})
		named := r.put(transports.Job{Dest: "c", NotBefore: now.Add(time.Hour)})
		shift = 0
		r.reopen()
		time.Sleep(2 * time.Minute) // the bubble's clock
		stop := r.serve(1, deliver)
		synctest.Wait()
		stop()
		for id, want := range map[uint64]transports.State{waits: transports.Delivered, late: transports.Expired, named: transports.Queued} {
			if s := r.get(id).State; s != want {
				t.Errorf("job %d is %s, want %s", id, s, want)
			}
		}
	})
}
