package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"doorway/transports"
)

func TestOrderOfLeases(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		now := time.Now()
		chat1 := r.put(transports.Job{Dest: "a"})
		chat2 := r.put(transports.Job{Dest: "b"})
		soon := r.put(transports.Job{Dest: "c", NotBefore: now.Add(time.Minute)})
		alarm := r.put(transports.Job{Dest: "d", Priority: 10})
		late := r.put(transports.Job{Dest: "e", Priority: 10, NotBefore: now.Add(time.Hour)})
		var got []uint64
		at := map[uint64]time.Duration{}
		stop := r.serve(1, func(ctx context.Context, it transports.Item) error {
			got = append(got, it.Job().ID)
			at[it.Job().ID] = time.Since(now)
			return deliver(ctx, it)
		})
		time.Sleep(2 * time.Hour) // the bubble's clock
		stop()
		if want := []uint64{alarm, chat1, chat2, soon, late}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		if at[soon] != time.Minute || at[late] != time.Hour {
			t.Errorf("woke after %v and %v, want 1m and 1h", at[soon], at[late])
		}
		r.counts(map[transports.State]int{transports.Delivered: 5})
	})
}

func TestRetryWakesExactly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		start := time.Now()
		var at []time.Duration
		id := r.put(transports.Job{Dest: "a"})
		stop := r.serve(2, func(_ context.Context, it transports.Item) error {
			at = append(at, time.Since(start))
			if n := it.Job().Attempts; n != len(at) {
				t.Errorf("attempt %d says %d", len(at), n)
			}
			if len(at) < 3 {
				return it.Retry(time.Now().Add(time.Duration(len(at))*10*time.Second), nil, "no network")
			}
			return it.Save(transports.Failed, nil, "The number does not exist.")
		})
		time.Sleep(15 * time.Second) // the bubble's clock
		if j := r.get(id); j.State != transports.RetryWait || j.Error != "no network" || !j.NotBefore.Equal(start.Add(30*time.Second)) {
			t.Errorf("between two attempts %+v", j)
		}
		time.Sleep(time.Minute)
		stop()
		if want := []time.Duration{0, 10 * time.Second, 30 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		if j := r.get(id); j.State != transports.Failed || j.Error != "The number does not exist." {
			t.Errorf("in the end %+v", j)
		}
	})
}

func TestUndecidedJobIsLeasedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.put(transports.Job{Dest: "a"})
		n := 0
		start := time.Now()
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			n++
			switch n {
			case 1:
				return errors.New("the port is gone")
			case 2:
				_ = it.Save(transports.OnAir, nil, "") // ignored: read back below
				return errors.New("the port is gone again")
			}
			if it.Job().State != transports.OnAir {
				t.Errorf("third lease in %s", it.Job().State)
			}
			return it.Save(transports.Delivered, nil, "")
		})
		time.Sleep(time.Second) // the bubble's clock
		if j := r.get(id); j.State != transports.RetryWait || j.Error != "the port is gone" {
			t.Errorf("after no decision %+v", j)
		}
		time.Sleep(11 * time.Second)
		if j := r.get(id); j.State != transports.OnAir || j.Error != "the port is gone again" {
			t.Errorf("after no decision on air %+v", j)
		}
		for r.q.Counts()[transports.Delivered] == 0 {
			time.Sleep(time.Second)
		}
		stop()
		if d := time.Since(start); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestKeyDedupes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.q.Run(ctx) }() // waited for below
		ids := make(chan uint64, 20)
		for range 20 {
			go func() { ids <- r.put(transports.Job{Key: "k", Dest: "a"}) }() // waited for by the channel
		}
		first := <-ids
		find := func(key string, want uint64) {
			t.Helper()
			if id, ok, err := r.q.Find(key); err != nil || ok != (want != 0) || id != want {
				t.Errorf("key %q: %d %v %v, want %d", key, id, ok, err, want)
			}
		}
		find("k", first)
		find("", 0)
		find("other", 0)
		for range 19 {
			if id := <-ids; id != first {
				t.Errorf("ids %d and %d for one key", first, id)
			}
		}
		other := r.put(transports.Job{Key: "other", Dest: "a"})
		if other == first {
			t.Error("another key gave the same id")
		}
		r.counts(map[transports.State]int{transports.Queued: 2})
		if err := errors.Join(r.q.Cancel(first), r.q.Delete(first)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(47 * time.Hour) // the bubble's clock
		find("k", first)
		if id := r.put(transports.Job{Key: "k", Dest: "a"}); id != first {
			t.Error("the key was forgotten before 48 hours")
		}
		time.Sleep(2 * time.Hour)
		find("k", 0)
		if id := r.put(transports.Job{Key: "k", Dest: "a"}); id == first {
			t.Error("the key was kept over 48 hours")
		}
		n := 0
		if err := r.s.Table("outbox_keys").Range("", "", false, func(string, []byte) bool { n++; return true }); err != nil || n != 1 {
			t.Errorf("%d keys are left, want the new one; %v", n, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.q.Run(ctx) }() // waited for below
		now := time.Now()
		var ids []uint64
		for i := range 250 {
			ids = append(ids, r.put(transports.Job{Dest: fmt.Sprint(i), Deadline: now.Add(time.Hour)}))
		}
		kept := r.put(transports.Job{Dest: "x"})
		time.Sleep(time.Hour + 2*time.Second) // the bubble's clock
		r.counts(map[transports.State]int{transports.Expired: 250, transports.Queued: 1})
		j := r.get(ids[0])
		if last := j.History[len(j.History)-1]; last.State != transports.Expired || last.Note == "" || j.Error == "" {
			t.Errorf("expired job %+v", j)
		}
		if !slices.Contains(r.told, fmt.Sprintf("%d expired", ids[249])) {
			t.Error("nobody was told")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// Without Run a worker finds it.
		late := r.put(transports.Job{Dest: "y", Deadline: time.Now().Add(time.Second)})
		time.Sleep(2 * time.Second)
		var served []uint64
		stop := r.serve(1, func(ctx context.Context, it transports.Item) error {
			served = append(served, it.Job().ID)
			return deliver(ctx, it)
		})
		synctest.Wait()
		stop()
		if !slices.Equal(served, []uint64{kept}) || r.get(late).State != transports.Expired {
			t.Errorf("served %v, the late one is %s", served, r.get(late).State)
		}
		// A person may put it back.
		if err := r.q.Requeue(late); err != nil {
			t.Error(err)
		}
		stop = r.serve(1, deliver)
		synctest.Wait()
		stop()
		if s := r.get(late).State; s != transports.Delivered {
			t.Errorf("put back, it is %s", s)
		}
	})
}

func TestFinishedJobsAreTrimmedAndDeadLettersStay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		final := []transports.State{transports.Delivered, transports.Failed, transports.PossiblySent, transports.SentUnconfirmed}
		for i := range 600 {
			r.put(transports.Job{Dest: fmt.Sprint(i)})
		}
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			return it.Save(final[it.Job().ID%4], nil, "reason")
		})
		synctest.Wait()
		stop()
		r.reopen()
		want := map[transports.State]int{transports.Delivered: 150, transports.SentUnconfirmed: 150, transports.Failed: 150, transports.PossiblySent: 150}
		r.counts(want)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.q.Run(ctx) }() // waited for below
		time.Sleep(29 * 24 * time.Hour)       // the bubble's clock
		r.counts(want)
		time.Sleep(2 * 24 * time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.counts(map[transports.State]int{transports.Failed: 150, transports.PossiblySent: 150})
		dead, err := r.q.List(transports.Filter{States: []transports.State{transports.Failed}, Limit: 2})
		if err != nil || len(dead) != 2 || dead[0].Error != "reason" {
			t.Fatalf("dead letters %+v, %v", dead, err)
		}
		if err := r.q.Delete(dead[0].ID); err != nil {
			t.Error(err)
		}
		if err := r.q.Delete(dead[0].ID); !errors.Is(err, transports.ErrNoJob) {
			t.Errorf("deleted twice: %v", err)
		}
		r.reopen()
		r.counts(map[transports.State]int{transports.Failed: 149, transports.PossiblySent: 150})
		all, err := r.q.List(transports.Filter{})
		if err != nil || len(all) != 299 {
			t.Errorf("%d jobs listed, %v", len(all), err)
		}
	})
}

func TestClockGoesBackBetweenTwoRuns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shift := 24 * time.Hour
		r.o.Now = func() time.Time { return time.Now().Add(shift) }
		r.reopen()
		r.put(transports.Job{Dest: "a"})
		stop := r.serve(1, func(_ context.Context, it transports.Item) error {
			return it.Retry(r.o.Now().Add(time.Minute), nil, "busy")
		})
		synctest.Wait()
		stop()
		shift = 0
		r.reopen()
		start := time.Now()
		served := make(chan time.Duration, 1)
		stop = r.serve(1, func(ctx context.Context, it transports.Item) error {
			served <- time.Since(start)
			return deliver(ctx, it)
		})
		if d := <-served; d > time.Minute {
			t.Errorf("tried again after %v, want a minute", d)
		}
		stop()
	})
}
