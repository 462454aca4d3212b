package queue

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"doorway/transports"
)

// only takes jobs of the named lanes.
func only(lanes ...string) transports.Lease {
	return transports.Lease{Accept: func(lane string, _ int) bool { return slices.Contains(lanes, lane) }}
}

// next leases what is due for l, without waiting; 0 for nothing.
func (r *rig) next(l transports.Lease) uint64 {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var id uint64
	wg.Go(func() {
		if it := r.q.lease(ctx, l); it != nil {
			id = it.id
			it.end(nil)
		}
	})
	synctest.Wait()
	cancel()
	wg.Wait()
	return id
}

// A lane that nobody serves does not stand in the way of others, also of the
// same destination, and survives a restart.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		blocked := r.put(transports.Job{Dest: "a", Lane: "gsm0", Priority: 10})
		free := r.put(transports.Job{Dest: "a", Lane: "gsm1"})
		other := r.put(transports.Job{Dest: "b"})
		for range 2 {
			if id := r.next(only("gsm1")); id != free {
				t.Errorf("gsm1 got %d, want %d", id, free)
			}
			if id := r.next(only("gsm1", "")); id != free {
				t.Errorf("gsm1 got %d, want the older %d", id, free)
			}
			if id := r.next(only("")); id != other {
				t.Errorf("the lane without a name got %d, want %d", id, other)
			}
			if id := r.next(only("gsm2")); id != 0 {
				t.Errorf("gsm2 got %d", id)
			}
			if id := r.next(transports.Lease{}); id != blocked {
				t.Errorf("got %d, want the alarm %d", id, blocked)
			}
			r.reopen()
		}
	})
}

// While a destination is busy its jobs are parked; each lane gets its own back.
func TestLanesOfABusyDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		first := r.put(transports.Job{Dest: "a"})
		it := r.q.lease(t.Context(), transports.Lease{})
		if it.id != first {
			t.Fatalf("leased %d", it.id)
		}
		slow := r.put(transports.Job{Dest: "a", Lane: "gsm0"})
		quick := r.put(transports.Job{Dest: "a", Lane: "gsm1"})
		if id := r.next(transports.Lease{}); id != 0 {
			t.Errorf("leased %d beside another job of its destination", id)
		}
		if err := it.Save(transports.Accepted, nil, ""); err != nil {
			t.Fatal(err)
		}
		it.end(nil)
		if id := r.next(only("gsm1")); id != quick {
			t.Errorf("gsm1 got %d, want %d", id, quick)
		}
		if id := r.next(only("gsm0")); id != slow {
			t.Errorf("gsm0 got %d, want %d", id, slow)
		}
	})
}

// A worker that changes its mind says so and gets what it refused before.
func TestLeaseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var mu sync.Mutex
		least := 5
		again := make(chan struct{}, 1)
		l := transports.Lease{Again: again, Accept: func(_ string, prio int) bool {
			mu.Lock()
			defer mu.Unlock()
			return prio >= least
		}}
		chat := r.put(transports.Job{Dest: "a"})
		got := make(chan uint64, 1)
		go func() { // ends by the receive below
			it := r.q.lease(t.Context(), l)
			got <- it.id
			it.end(nil)
		}()
		synctest.Wait()
		select {
		case id := <-got:
			t.Fatalf("leased %d", id)
		default:
		}
		mu.Lock()
		least = 0
		mu.Unlock()
		again <- struct{}{}
		if id := <-got; id != chat {
			t.Errorf("leased %d, want %d", id, chat)
		}
	})
}
