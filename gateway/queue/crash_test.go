package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/killtest"
	"doorway/gateway/store"
	"doorway/transports"
)

// kill -9 at any moment while jobs are put and sent: no acknowledged job is
// lost, and none is sent twice without having been on the air in between. The
// child says "put ID" when Put has returned and "sent ID" where a modem would
// transmit, after the on-air mark.
func TestKill(t *testing.T) {
	if d := killtest.Dir(); d != "" {
		sendUntilKilled(d)
		return
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	d := filepath.Join(t.TempDir(), "data")
	put, sent := map[string]int{}, map[string]int{}
	doubts, kills := 0, 0
	killtest.Rounds(rounds, func(round int) {
		killtest.Run(t, d, 120, 150*time.Millisecond, func(line string) {
			if f := strings.Fields(line); len(f) == 2 {
				switch f[0] {
				case "put":
					put[f[1]]++
				case "sent":
					sent[f[1]]++
				case "doubt":
					doubts++
				}
			}
		})
		kills++
		s, err := store.Open(d, store.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		q, err := Open(s, Options{Network: "sms"})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		jobs, err := q.List(transports.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]transports.Job{}
		counts := map[transports.State]int{}
		for _, j := range jobs {
			known[fmt.Sprint(j.ID)] = j
			counts[j.State]++
		}
		for id := range put {
			if _, ok := known[id]; !ok {
				t.Errorf("round %d: job %s was acknowledged and is lost", round, id)
			}
		}
		for id, n := range sent {
			if j := known[id]; n > 1 {
				t.Errorf("round %d: job %s was sent %d times", round, id, n)
			} else if j.State == transports.Queued || j.State == transports.RetryWait {
				t.Errorf("round %d: job %s was sent and is %s", round, id, j.State)
			}
		}
		if got := q.Counts(); fmt.Sprint(got) != fmt.Sprint(counts) {
			t.Errorf("round %d: counts %v, jobs say %v", round, got, counts)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}, func() bool { return len(put) >= 50 && len(sent) >= 50 })
	if len(put) < 50 || len(sent) < 50 {
		t.Errorf("only %d jobs were put and %d sent: the test shows nothing", len(put), len(sent))
	}
	t.Logf("%d jobs put, %d sent, %d possibly sent, over %d kills", len(put), len(sent), doubts, kills)
}

// sendUntilKilled puts jobs and sends them.
func sendUntilKilled(d string) {
	s, err := store.Open(d, store.Options{})
	killtest.Die(err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(context.Background()) }) // ignored: never ends
	q, err := Open(s, Options{Network: "sms"})
	killtest.Die(err)
	var mu sync.Mutex
	say := func(word string, id uint64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(word, id)
	}
	slots := make(chan struct{}, 20) // more would only wait
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				slots <- struct{}{}
				id, err := q.Put(context.Background(), transports.Job{Dest: fmt.Sprint(i % 7), Payload: []byte("x")})
				killtest.Die(err)
				say("put", id)
			}
		})
		wg.Go(func() {
			killtest.Die(q.Serve(context.Background(), transports.Lease{}, func(_ context.Context, it transports.Item) error {
				defer func() { <-slots }()
				j := it.Job()
				if j.State == transports.OnAir {
					say("doubt", j.ID)
					return it.Save(transports.PossiblySent, nil, "The program ended while this was being sent.")
				}
				if err := it.Save(transports.OnAir, nil, ""); err != nil {
					return err
				}
				say("sent", j.ID)
				return it.Save(transports.Accepted, nil, "")
			}))
		})
	}
	wg.Wait()
}
