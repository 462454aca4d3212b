package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/killtest"
)

// kill -9 at any moment: everything that was acknowledged is there, no id
// comes twice, and the files are consistent.
func TestKill(t *testing.T) {
	if d := killtest.Dir(); d != "" {
		writeUntilKilled(d)
		return
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	d := dir(t)
	acked := make(map[string]string) // table and key → value
	ids := make(map[string]bool)
	killtest.Rounds(rounds, func(round int) {
		killtest.Run(t, d, 200, 150*time.Millisecond, func(line string) {
			f := strings.Fields(line)
			switch {
			case len(f) == 4 && f[0] == "row":
				acked[f[1]+" "+f[2]] = f[3]
			case len(f) == 2 && f[0] == "id":
				if ids[f[1]] {
					t.Errorf("id %s was given twice", f[1])
				}
				ids[f[1]] = true
			}
		})
		s, err := Open(d, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		lost := 0
		for at, want := range acked {
			table, key, _ := strings.Cut(at, " ")
			var got string
			if ok, err := s.Table(table).Get(key, &got); !ok || err != nil || got < want {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("round %d: %d of %d acknowledged rows are lost", round, lost, len(acked))
		}
		if err := s.Check(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}, func() bool { return len(acked) >= 100 && len(ids) >= 100 })
	if len(acked) < 100 || len(ids) < 100 {
		t.Errorf("only %d rows and %d ids were acknowledged: the test shows nothing", len(acked), len(ids))
	}
	t.Logf("%d rows and %d ids acknowledged", len(acked), len(ids))
}

// writeUntilKilled writes rows and says which ones are acknowledged. Values
// only grow, so that a later one than the last acknowledged is right too.
func writeUntilKilled(d string) {
	s, err := Open(d, Options{})
	killtest.Die(err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(context.Background()) }) // ignored: never ends
	var mu sync.Mutex
	say := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", a...)
	}
	stamp := func() string { return fmt.Sprintf("%019d", time.Now().UnixNano()) }
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id, err := s.Table("outbox").Next()
				if err != nil {
					return
				}
				say("id %d", id)
				key, v := fmt.Sprintf("w%d-%d", w, i%200), stamp()
				if i%5 == 0 {
					err = s.Table("outbox").WriteUrgent(map[string]any{key: v})
				} else {
					err = s.Table("outbox").Write(map[string]any{key: v})
				}
				if err == nil {
					say("row outbox %s %s", key, v)
				}
			}
		})
	}
	wg.Go(func() {
		slots := make(chan struct{}, 100)
		for i := 0; ; i++ {
			slots <- struct{}{}
			key, v := fmt.Sprintf("later-%d", i), stamp()
			s.LaterAll(map[string]map[string]any{"offline": {key: v}, "roster": {key: v}}, func(err error) {
				if err == nil {
					say("row offline %s %s", key, v)
					say("row roster %s %s", key, v)
				}
				<-slots
			})
		}
	})
	wg.Go(func() {
		for i := 0; ; i++ {
			key, v := fmt.Sprintf("log-%d", i), stamp()
			if s.Table("smslog").Write(map[string]any{key: v}) == nil {
				say("row smslog %s %s", key, v)
			}
		}
	})
	wg.Wait()
}
