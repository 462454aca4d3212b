package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/killtest"
)

// hollow fills a table and empties most of it again.
func hollow(t testing.TB, s *Store, table string) {
	t.Helper()
	tab := s.Table(table)
	for i := 0; i < 3000; {
		rows := make(map[string]any)
		for range 100 {
			rows[fmt.Sprintf("hollow-%06d", i)] = make([]byte, 3000)
			i++
		}
		if err := tab.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 3000; {
		rows := make(map[string]any)
		for range 500 {
			if i%10 != 0 {
				rows[fmt.Sprintf("hollow-%06d", i)] = nil
			}
			i++
		}
		if err := tab.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
}

// A sparse file shrinks; nothing is lost of what was there before, of what
// came meanwhile, and of the ids.
func TestCompact(t *testing.T) {
	for _, table := range []string{"offline", "archive"} {
		t.Run(table, func(t *testing.T) {
			d := dir(t)
			s := open(t, d, Options{NoSync: true})
			stop := start(t, s)
			hollow(t, s, table)
			tab := s.Table(table)
			before, err := tab.Next()
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[string]string)
			var mu sync.Mutex // guards want
			end := make(chan struct{})
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(w), 1))
					for i := 0; ; i++ {
						select {
						case <-end:
							return
						default:
						}
						key, v := fmt.Sprintf("w%d-%d", w, rnd.IntN(200)), any(fmt.Sprint(i))
						if rnd.IntN(4) == 0 {
							v = nil
						}
						var err error
						if rnd.IntN(3) == 0 {
							err = tab.WriteUrgent(map[string]any{key: v})
						} else {
							err = tab.Write(map[string]any{key: v})
						}
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if v == nil {
							delete(want, key)
						} else {
							want[key] = v.(string)
						}
						mu.Unlock()
						var got string
						ok, err := tab.Get(key, &got)
						if err != nil || ok != (v != nil) || ok && got != v {
							t.Errorf("%s reads %q %v %v, want %v", key, got, ok, err, v)
							return
						}
					}
				})
			}
			done, err := s.Compact(t.Context())
			close(end)
			wg.Wait()
			if err != nil || len(done) != 1 || done[0].After*2 > done[0].Before {
				t.Errorf("compaction %+v, %v", done, err)
			}
			check := func(s *Store) {
				t.Helper()
				hollow := 0
				got := make(map[string]string)
				if err := s.Table(table).Range("", "", false, func(k string, raw []byte) bool {
					if strings.HasPrefix(k, "hollow-") {
						hollow++
					} else {
						got[k] = strings.Trim(string(raw), `"`)
					}
					return true
				}); err != nil {
					t.Fatal(err)
				}
				if hollow != 300 || len(got) != len(want) {
					t.Errorf("%d old rows and %d new ones, want 300 and %d", hollow, len(got), len(want))
				}
				for k, v := range want {
					if got[k] != v {
						t.Errorf("%s is %q, want %q", k, got[k], v)
					}
				}
			}
			check(s)
			if again, err := s.Compact(t.Context()); err != nil || len(again) != 0 {
				t.Errorf("a dense file was compacted: %+v, %v", again, err)
			}
			stop()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, d, Options{NoSync: true})
			check(s)
			if id, err := s.Table(table).Next(); err != nil || id <= before {
				t.Errorf("id %d after %d, %v", id, before, err)
			}
			for _, f := range []string{"state.db", "archive.db"} {
				if left := beside(filepath.Join(d, f), f+".", ""); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			}
		})
	}
}

// Too many changes meanwhile: the compaction is given up and nothing is lost.
func TestCompactGivesUp(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	hollow(t, s, "offline")
	f := s.files[state]
	if err := f.follow(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := s.Table("roster").Write(map[string]any{fmt.Sprint(i): make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.takeTrail(); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v", err)
	}
	f.unfollow()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.compact(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := f.compact(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(keys(t, s.Table("roster"), "", "", false)); n != 20 {
		t.Errorf("%d rows", n)
	}
}

// kill -9 during compactions that follow one another without a pause.
func TestKillCompaction(t *testing.T) {
	if d := killtest.Dir(); d != "" {
		compactUntilKilled(d)
		return
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	hollow(t, s, "offline")
	hollow(t, s, "archive")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acked := make(map[string]string)
	compactions := 0
	killtest.Rounds(rounds, func(round int) {
		killtest.Run(t, d, 60, 500*time.Millisecond, func(line string) {
			f := strings.Fields(line)
			switch {
			case len(f) == 3:
				acked[f[0]+" "+f[1]] = f[2]
			case len(f) == 1:
				compactions++
			}
		})
		s, err := Open(d, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if r := s.Recovered(); len(r) > 0 {
			t.Errorf("round %d: %+v", round, r)
		}
		lost := 0
		for at, want := range acked {
			table, key, _ := strings.Cut(at, " ")
			var got string
			if ok, err := s.Table(table).Get(key, &got); !ok || err != nil || got < want {
				lost++
			}
		}
		if n := len(keys(t, s.Table("offline"), "hollow-", "hollow.", false)); lost > 0 || n != 300 {
			t.Errorf("round %d: %d of %d acknowledged rows are lost, %d of 300 old ones are there", round, lost, len(acked), n)
		}
		if err := errors.Join(s.Check(), s.Close()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}, func() bool { return len(acked) >= 20 && compactions > 0 })
	if len(acked) < 20 || compactions == 0 {
		t.Errorf("only %d rows and %d compactions: the test shows nothing", len(acked), compactions)
	}
	t.Logf("%d rows acknowledged and %d compactions over %d kills", len(acked), compactions, rounds)
}

func compactUntilKilled(d string) {
	s, err := Open(d, Options{})
	killtest.Die(err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(context.Background()) }) // ignored: never ends
	for _, table := range []string{"offline", "archive"} {
		for w := range 2 {
			wg.Go(func() {
				for i := 0; ; i++ {
					key, v := fmt.Sprintf("w%d-%d", w, i%50), fmt.Sprintf("%019d", time.Now().UnixNano())
					killtest.Die(s.Table(table).Write(map[string]any{key: v}))
					fmt.Println(table, key, v)
				}
			})
		}
	}
	for {
		for _, f := range s.files {
			_, err := f.compact(context.Background())
			killtest.Die(err)
			fmt.Println("compacted")
		}
	}
}
