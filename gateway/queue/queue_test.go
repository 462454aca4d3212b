package queue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/store"
	"doorway/transports"
)

// rig is a queue on a store that can be closed and opened again.
type rig struct {
	t    testing.TB
	dir  string
	s    *store.Store
	q    *Queue
	o    Options
	so   store.Options
	stop func()

	mu   sync.Mutex
	told []string // what Changed said: id and state
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "data"), so: store.Options{NoSync: true}}
	r.o = Options{Network: "sms", Changed: func(j transports.Job) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, fmt.Sprintf("%d %s", j.ID, j.State))
	}}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.s, err = store.Open(r.dir, r.so); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.s.Run(ctx) }() // waited for by stop
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
	if r.q, err = Open(r.s, r.o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if r.s == nil {
		return
	}
	r.stop()
	if err := errors.Join(r.s.Check(), r.s.Close()); err != nil {
		r.t.Error(err)
	}
	r.s = nil
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

func (r *rig) put(j transports.Job) uint64 {
	r.t.Helper()
	id, err := r.q.Put(context.Background(), j)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) get(id uint64) transports.Job {
	r.t.Helper()
	j, err := r.q.Get(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// serve runs n workers until the returned function is called.
func (r *rig) serve(n int, f func(context.Context, transports.Item) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := r.q.Serve(ctx, transports.Lease{}, f); err != nil {
				r.t.Error(err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (r *rig) counts(want map[transports.State]int) {
	r.t.Helper()
	if got := r.q.Counts(); !reflect.DeepEqual(got, want) {
		r.t.Errorf("counts %v, want %v", got, want)
	}
}

func deliver(_ context.Context, it transports.Item) error {
	return it.Save(transports.Delivered, nil, "")
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

// A job goes its whole way, each step on disk and told.
func TestWayOfAJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "+4915550101", Payload: []byte("0")})
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			if j := it.Job(); j.State != transports.Leased || j.Attempts != 1 || string(j.Payload) != "0" {
				t.Errorf("leased as %+v", j)
			}
			if j := r.get(id); j.State != transports.Leased {
				t.Errorf("shown as %s while leased", j.State)
			}
			if err := it.Save(transports.OnAir, []byte("1"), "part 1 of 1"); err != nil {
				t.Error(err)
			}
			if j := r.get(id); j.State != transports.OnAir || string(j.Payload) != "1" {
				t.Errorf("on air: %+v", j)
			}
			return it.Save(transports.Accepted, []byte("2"), "reference 7")
		})
		synctest.Wait()
		stop()
		r.reopen()
		r.counts(map[transports.State]int{transports.Accepted: 1})
		ok, err := r.q.Update(t.Context(), id, func(j *transports.Job) bool {
			if j.State != transports.Accepted || string(j.Payload) != "2" {
				t.Errorf("update sees %+v", j)
			}
			j.State, j.Payload = transports.Delivered, []byte("3")
			return true
		})
		if !ok || err != nil {
			t.Errorf("update: %v %v", ok, err)
		}
		j := r.get(id)
		var states []transports.State
		for _, s := range j.History {
			states = append(states, s.State)
		}
		want := []transports.State{transports.Queued, transports.OnAir, transports.Accepted, transports.Delivered}
		if !slices.Equal(states, want) || j.Error != "" || string(j.Payload) != "3" {
			t.Errorf("in the end %+v", j)
		}
		told := []string{"queued", "on-air", "accepted", "delivered"}
		for i := range told {
			told[i] = fmt.Sprintf("%d %s", id, told[i])
		}
		if !slices.Equal(r.told, told) {
			t.Errorf("told %v, want %v", r.told, told)
		}
		if ok, err := r.q.Update(t.Context(), id+1, func(*transports.Job) bool { return true }); ok || err != nil {
			t.Errorf("update of no job: %v %v", ok, err)
		}
		if ok, err := r.q.Update(t.Context(), id, func(*transports.Job) bool { return false }); ok || err != nil {
			t.Errorf("update without a change: %v %v", ok, err)
		}
		if _, err := r.q.Get(id + 1); !errors.Is(err, transports.ErrNoJob) {
			t.Errorf("get of no job: %v", err)
		}
	})
}

// Several workers share the work, but never one destination.
func TestDestinationIsServedByOneWorker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 60 {
			r.put(transports.Job{Dest: fmt.Sprint(i % 3)})
		}
		var mu sync.Mutex
		active := map[string]int{}
		last := map[string]uint64{}
		most := 0
		stop := r.serve(5, func(ctx context.Context, it transports.Item) error {
			j := it.Job()
			mu.Lock()
			active[j.Dest]++
			most = max(most, len(active))
			if active[j.Dest] > 1 {
				t.Errorf("%s is served twice", j.Dest)
			}
			if j.ID < last[j.Dest] {
				t.Errorf("%d came after %d", j.ID, last[j.Dest])
			}
			last[j.Dest] = j.ID
			mu.Unlock()
			time.Sleep(time.Second) // the bubble's clock
			mu.Lock()
			delete(active, j.Dest)
			mu.Unlock()
			return deliver(ctx, it)
		})
		start := time.Now()
		for r.q.Counts()[transports.Delivered] < 60 {
			time.Sleep(time.Second)
		}
		stop()
		if most != 3 {
			t.Errorf("at most %d destinations at a time, want 3", most)
		}
		if d := time.Since(start); d > 21*time.Second {
			t.Errorf("20 jobs for each destination took %v", d)
		}
	})
}

// A restart during a lease: nothing was on the air, so the job is queued. One
// that was on the air comes back in that state.
func TestRestartDuringALease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		plain := r.put(transports.Job{Dest: "a"})
		between := r.put(transports.Job{Dest: "b"})
		onAir := r.put(transports.Job{Dest: "c"})
		crash := make(chan struct{})
		stop := r.serve(3, func(_ context.Context, it transports.Item) error {
			switch it.Job().ID {
			case between:
				if err := errors.Join(it.Save(transports.OnAir, []byte("1"), ""), it.Save(transports.Leased, []byte("2"), "")); err != nil {
					t.Error(err)
				}
			case onAir:
				if err := it.Save(transports.OnAir, []byte("1"), ""); err != nil {
					t.Error(err)
				}
			}
			<-crash
			return nil
		})
		synctest.Wait()
		r.counts(map[transports.State]int{transports.Leased: 2, transports.OnAir: 1})
		if err := r.q.Cancel(plain); !errors.Is(err, transports.ErrLeased) {
			t.Errorf("cancel of a leased job: %v", err)
		}
		// The store as it is now, which is what a kill leaves.
		if q, err := Open(r.s, r.o); err != nil {
			t.Fatal(err)
		} else {
			r.q = q
		}
		r.counts(map[transports.State]int{transports.Queued: 2, transports.OnAir: 1})
		if err := r.q.Cancel(onAir); !errors.Is(err, transports.ErrLeased) {
			t.Errorf("cancel of a job that was on the air: %v", err)
		}
		seen := map[uint64]transports.Job{}
		again := r.serve(1, func(_ context.Context, it transports.Item) error {
			j := it.Job()
			seen[j.ID] = j
			if j.State == transports.OnAir {
				return it.Save(transports.PossiblySent, nil, "doorway was stopped while it was being sent")
			}
			return it.Save(transports.Delivered, nil, "")
		})
		synctest.Wait()
		again()
		if j := seen[onAir]; j.State != transports.OnAir || j.Attempts != 1 || string(j.Payload) != "1" {
			t.Errorf("on air before the restart, now %+v", j)
		}
		if j := seen[between]; j.State != transports.Leased || string(j.Payload) != "2" {
			t.Errorf("between two parts before the restart, now %+v", j)
		}
		r.counts(map[transports.State]int{transports.Delivered: 2, transports.PossiblySent: 1})
		close(crash)
		stop()
	})
}

// When ctx ends, Serve waits for the worker, and the job it had not begun is
// as it was.
func TestServeWaitsForTheWorker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "a"})
		returned := false
		stop := r.serve(1, func(ctx context.Context, it transports.Item) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second) // the bubble's clock
			returned = true
			return ctx.Err()
		})
		synctest.Wait()
		stop()
		if !returned {
			t.Error("Serve returned before the worker")
		}
		if j := r.get(id); j.State != transports.Queued || j.Attempts != 0 || j.Error != "" {
			t.Errorf("after the stop %+v", j)
		}
		r.counts(map[transports.State]int{transports.Queued: 1})
		stop = r.serve(1, deliver)
		synctest.Wait()
		stop()
		r.counts(map[transports.State]int{transports.Delivered: 1})
	})
}

// A deadline that passes before the first attempt: expired, with a worker or without.
func TestListCancelDelete(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ids []uint64
		for i := range 20 {
			ids = append(ids, r.put(transports.Job{Dest: fmt.Sprint(i % 2)}))
		}
		for _, id := range ids[:4] {
			if err := r.q.Cancel(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.q.Cancel(ids[0]); err != nil {
			t.Errorf("cancelled twice: %v", err)
		}
		if err := r.q.Delete(ids[10]); !errors.Is(err, ErrState) {
			t.Errorf("delete of a waiting job: %v", err)
		}
		if err := r.q.Requeue(ids[10]); !errors.Is(err, ErrState) {
			t.Errorf("requeue of a waiting job: %v", err)
		}
		list := func(f transports.Filter) (got []uint64) {
			jobs, err := r.q.List(f)
			if err != nil {
				t.Error(err)
			}
			for _, j := range jobs {
				got = append(got, j.ID)
			}
			return got
		}
		newest := slices.Clone(ids)
		slices.Reverse(newest)
		if got := list(transports.Filter{}); !slices.Equal(got, newest) {
			t.Errorf("all: %v", got)
		}
		if got := list(transports.Filter{Limit: 3, Before: ids[10]}); !slices.Equal(got, newest[10:13]) {
			t.Errorf("a page: %v, want %v", got, newest[10:13])
		}
		waiting := transports.Filter{States: []transports.State{transports.Queued, transports.RetryWait}, Dest: "1", Limit: 3}
		if got := list(waiting); !slices.Equal(got, []uint64{ids[19], ids[17], ids[15]}) {
			t.Errorf("waiting for 1: %v", got)
		}
		if got := list(transports.Filter{States: []transports.State{transports.Cancelled}}); !slices.Equal(got, newest[16:]) {
			t.Errorf("cancelled: %v", got)
		}
		stop := r.serve(2, deliver)
		synctest.Wait()
		stop()
		r.counts(map[transports.State]int{transports.Delivered: 16, transports.Cancelled: 4})
		if err := r.q.Cancel(ids[10]); !errors.Is(err, ErrState) {
			t.Errorf("cancel of a delivered job: %v", err)
		}
	})
}

// A status report for a job that is leased waits for the lease to end.
func TestUpdateWaitsForTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "a"})
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			time.Sleep(time.Minute) // the bubble's clock
			return it.Save(transports.Accepted, []byte("worker"), "")
		})
		synctest.Wait()
		ok, err := r.q.Update(t.Context(), id, func(j *transports.Job) bool {
			if string(j.Payload) != "worker" {
				t.Errorf("update came before the worker's: %q", j.Payload)
			}
			j.State = transports.Delivered
			return true
		})
		if !ok || err != nil || r.get(id).State != transports.Delivered {
			t.Errorf("%v %v %s", ok, err, r.get(id).State)
		}
		stop()
		busy := r.put(transports.Job{Dest: "a"})
		stop = r.serve(1, func(context.Context, transports.Item) error { time.Sleep(time.Hour); return nil })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.q.Update(ctx, busy, func(*transports.Job) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("update with a deadline: %v", err)
		}
		stop()
	})
}

func TestHistoryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "a"})
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			for i := range 200 {
				if err := it.Save(transports.OnAir, nil, fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			}
			return it.Save(transports.Delivered, nil, "")
		})
		synctest.Wait()
		stop()
		h := r.get(id).History
		if len(h) != historyLen || h[0].State != transports.Queued || h[historyLen-1].State != transports.Delivered || h[historyLen-2].Note != "199" {
			t.Errorf("history of %d steps: %v", len(h), h)
		}
	})
}

// A job is held by nobody after its worker's lease has ended.
func TestItemAfterItsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "a"})
		var it transports.Item
		stop := r.serve(1, func(ctx context.Context, i transports.Item) error {
			it = i
			return deliver(ctx, i)
		})
		synctest.Wait()
		stop()
		if err := it.Save(transports.Failed, nil, ""); !errors.Is(err, ErrState) {
			t.Errorf("save after the lease: %v", err)
		}
		if s := r.get(id).State; s != transports.Delivered {
			t.Errorf("the job is %s", s)
		}
	})
}

// A pause is no longer than it was when the clock goes back between two runs.
