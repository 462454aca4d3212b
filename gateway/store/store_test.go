package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// open opens a store without its committer; at the end it is checked and closed.
func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("check: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// start runs the committer until the test ends or stop is called.
func start(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // waited for by stop
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func dir(t testing.TB) string { return filepath.Join(t.TempDir(), "data") }

type value struct {
	V    int    `json:"v"`
	Text string `json:"text"`
}

func keys(t *testing.T, tab *Table, from, to string, reverse bool) []string {
	t.Helper()
	var got []string
	if err := tab.Range(from, to, reverse, func(k string, _ []byte) bool {
		got = append(got, k)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWriteSurvivesReopen(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{})
	stop := start(t, s)
	if err := s.Table("roster").Write(map[string]any{"a": value{1, "one"}, "b": []byte("plain"), "c": json.RawMessage(`{"raw": 1}`), "d": []byte{}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Table("roster").Write(map[string]any{"b2": 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Table("roster").Write(map[string]any{"b2": nil, "missing": nil}); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tab := open(t, d, Options{}).Table("roster")
	var v value
	if ok, err := tab.Get("a", &v); !ok || err != nil || v != (value{1, "one"}) {
		t.Errorf("a: %v %v %+v", ok, err, v)
	}
	var b []byte
	if ok, err := tab.Get("b", &b); !ok || err != nil || string(b) != "plain" {
		t.Errorf("b: %v %v %q", ok, err, b)
	}
	var raw json.RawMessage
	if ok, err := tab.Get("c", &raw); !ok || err != nil || string(raw) != `{"raw": 1}` {
		t.Errorf("c: %v %v %s", ok, err, raw)
	}
	if ok, err := tab.Get("d", &b); !ok || err != nil || len(b) != 0 {
		t.Errorf("an empty value: %v %v %q", ok, err, b)
	}
	if ok, err := tab.Get("b2", nil); ok || err != nil {
		t.Errorf("deleted key: %v %v", ok, err)
	}
	if _, err := tab.Get("b", &v); err == nil {
		t.Error("bytes that are not JSON were decoded")
	}
	if got := keys(t, tab, "", "", false); !reflect.DeepEqual(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("keys %v", got)
	}
}

// Queued changes are seen before they are on disk, by Get and by Range.
func TestQueuedChangesAreSeen(t *testing.T) {
	s := open(t, dir(t), Options{})
	tab := s.Table("offline")
	disk := map[string]any{}
	for i := range 10 {
		disk[fmt.Sprintf("k%d", i)] = []byte("disk")
	}
	if err := tab.Write(disk); err != nil {
		t.Fatal(err)
	}
	called := 0
	tab.Later(map[string]any{"k3": nil, "k5": []byte("queued"), "k55": []byte("new"), "z": []byte("new")}, func(err error) {
		if err != nil {
			t.Errorf("done: %v", err)
		}
		called++
	})
	tab.Later(map[string]any{"z": nil}, nil)
	var b []byte
	if ok, _ := tab.Get("k3", nil); ok {
		t.Error("k3 is still there")
	}
	if ok, _ := tab.Get("k5", &b); !ok || string(b) != "queued" {
		t.Errorf("k5 = %q", b)
	}
	want := []string{"k2", "k4", "k5", "k55", "k6"}
	if got := keys(t, tab, "k2", "k7", false); !reflect.DeepEqual(got, want) {
		t.Errorf("forward %v, want %v", got, want)
	}
	if got := keys(t, tab, "k2", "k7", true); !reflect.DeepEqual(got, []string{"k6", "k55", "k5", "k4", "k2"}) {
		t.Errorf("backward %v", got)
	}
	if got := keys(t, tab, "", "", true); len(got) != 10 || got[0] != "k9" {
		t.Errorf("all backward %v", got)
	}
	if got := keys(t, tab, "k7", "k2", false); got != nil {
		t.Errorf("an empty range gave %v", got)
	}
	if called != 0 {
		t.Error("done was called before the commit")
	}
	if n := s.Stats().Queued; n != 5 {
		t.Errorf("%d changes queued, want 5", n)
	}
	stop := start(t, s)
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if called != 1 || s.Stats().Queued != 0 {
		t.Errorf("done called %d times, %d queued", called, s.Stats().Queued)
	}
	if got := keys(t, tab, "k2", "k7", false); !reflect.DeepEqual(got, want) {
		t.Errorf("after the commit %v, want %v", got, want)
	}
}

// Range hands out far more than one page, in both directions, while f writes.
func TestRangePages(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	start(t, s)
	tab := s.Table("offline")
	const n = 2000
	for i := range n {
		tab.Later(map[string]any{fmt.Sprintf("k%05d", i): []byte(strings.Repeat("x", i%300))}, nil)
	}
	for _, reverse := range []bool{false, true} {
		seen := 0
		err := tab.Range("", "", reverse, func(k string, raw []byte) bool {
			i := seen
			if reverse {
				i = n - 1 - seen
			}
			if k != fmt.Sprintf("k%05d", i) || len(raw) != i%300 {
				t.Fatalf("row %d (reverse %v) is %s with %d bytes", seen, reverse, k, len(raw))
			}
			seen++
			if seen%500 == 0 {
				if err := tab.Write(map[string]any{k: raw}); err != nil {
					t.Fatal(err)
				}
			}
			return true
		})
		if err != nil || seen != n {
			t.Errorf("reverse %v: %d rows, %v", reverse, seen, err)
		}
	}
}

// What is queued when the committer is told to stop is on disk when it ends.
func TestRunCommitsEverythingBeforeItEnds(t *testing.T) {
	s := open(t, dir(t), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	done := 0
	for i := range 1000 {
		s.Table("offline").Later(map[string]any{fmt.Sprint(i): i}, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			}
		})
		s.Table("smslog").Later(map[string]any{fmt.Sprint(i): i}, nil)
	}
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if done != 1000 || st.Queued != 0 {
		t.Errorf("%d of 1000 done, %d queued", done, st.Queued)
	}
	if st.Commits > 20 {
		t.Errorf("%d commits for 2000 changes", st.Commits)
	}
}

// The on-air mark does not wait behind what is queued, and an older queued
// change of the same row does not undo it.
func TestUrgentCommitsFirst(t *testing.T) {
	s := open(t, dir(t), Options{})
	tab := s.Table("outbox")
	var order []string
	tab.Later(map[string]any{"job": "queued", "other": 1}, func(error) { order = append(order, "later") })
	r := &request{urgent: true, done: func(error) { order = append(order, "urgent") }}
	r.add(tab, map[string]any{"job": "on-air"})
	tab.f.later(r)
	var got string
	if _, err := tab.Get("job", &got); err != nil || got != "on-air" {
		t.Fatalf("queued job reads %q, %v", got, err)
	}
	start(t, s)
	if err := tab.Write(map[string]any{"third": 1}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(order, []string{"urgent", "later"}) {
		t.Errorf("committed in the order %v", order)
	}
	if _, err := tab.Get("job", &got); err != nil || got != "on-air" {
		t.Errorf("job is %q after both commits, %v", got, err)
	}
	if ok, _ := tab.Get("other", nil); !ok {
		t.Error("the rest of the overtaken request is missing")
	}
	if err := tab.WriteUrgent(map[string]any{"job": "accepted"}); err != nil {
		t.Fatal(err)
	}
	if n := len(tab.f.rows); n != 0 {
		t.Errorf("%d tables with queued rows are left", n)
	}
}

// A commit that fails is told to all who wait, is not seen afterwards, and
// the next one works.
func TestFailedCommit(t *testing.T) {
	s := open(t, dir(t), Options{MaxSize: 256 << 10, NoSync: true})
	tab := s.Table("offline")
	if err := tab.Write(map[string]any{"a": "old"}); err != nil {
		t.Fatal(err)
	}
	stop := start(t, s)
	big := make([]byte, 1<<20)
	if err := tab.Write(map[string]any{"a": "new", "big": big}); err == nil {
		t.Fatal("a megabyte fitted into 256 KiB")
	}
	if s.Stats().Err == nil {
		t.Error("Stats().Err is not set")
	}
	var got string
	if _, err := tab.Get("a", &got); err != nil || got != "old" {
		t.Errorf("a is %q after the failed commit, %v", got, err)
	}
	if ok, _ := tab.Get("big", nil); ok {
		t.Error("the failed value is seen")
	}
	if err := tab.Write(map[string]any{"a": "newer"}); err != nil {
		t.Errorf("the next commit: %v", err)
	}
	if err := s.Stats().Err; err != nil {
		t.Errorf("Stats().Err is still %v", err)
	}
	// An urgent change that fails uncovers the older one that waits.
	stop()
	tab.Later(map[string]any{"a": "waits"}, nil)
	r := &request{urgent: true}
	r.add(tab, map[string]any{"a": "fails", "big": big})
	tab.f.later(r)
	tab.f.commitMu.Lock()
	tab.f.commit(tab.f.gather())
	tab.f.commitMu.Unlock()
	if _, err := tab.Get("a", &got); err != nil || got != "waits" {
		t.Errorf("a is %q, want the change that waits; %v", got, err)
	}
}

// A full file still lets deletions through, and has room afterwards.
func TestFullFileCanBeEmptied(t *testing.T) {
	s := open(t, dir(t), Options{MaxSize: 1 << 20, NoSync: true})
	tab := s.Table("offline")
	var err error
	n := 0
	for ; err == nil && n < 10000; n++ {
		err = tab.Write(map[string]any{fmt.Sprintf("%05d", n): make([]byte, 900)})
	}
	if err == nil {
		t.Fatal("the file never got full")
	}
	for i := range n - 1 {
		if err := tab.Write(map[string]any{fmt.Sprintf("%05d", i): nil}); err != nil {
			t.Fatalf("delete %d of %d from a full file: %v", i, n, err)
		}
	}
	if err := tab.Write(map[string]any{"again": make([]byte, 900)}); err != nil {
		t.Errorf("write after emptying: %v", err)
	}
}

func TestBadRequestsAreRefusedAlone(t *testing.T) {
	s := open(t, dir(t), Options{})
	start(t, s)
	tab := s.Table("settings")
	for name, rows := range map[string]map[string]any{
		"empty key": {"": 1},
		"long key":  {strings.Repeat("k", 40000): 1},
		"no JSON":   {"f": func() {}},
	} {
		if err := tab.Write(rows); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	two := make(chan error, 1)
	s.LaterAll(map[string]map[string]any{"settings": {"a": 1}, "smslog": {"a": 1}}, func(err error) { two <- err })
	if err := <-two; err == nil {
		t.Error("one commit over two files was accepted")
	}
	if ok, _ := tab.Get("a", nil); ok {
		t.Error("half of it was stored")
	}
	if err := s.WriteAll(map[string]map[string]any{"settings": {"a": 1}, "roster": {"b": 2}}, true); err != nil {
		t.Error(err)
	}
	if s.Stats().Err != nil {
		t.Errorf("a bad request counts as a failed commit: %v", s.Stats().Err)
	}
}

func TestIDsAreUniqueAcrossRestarts(t *testing.T) {
	d := dir(t)
	var last uint64
	for range 3 {
		s := open(t, d, Options{})
		stop := start(t, s)
		tab := s.Table("outbox")
		before := s.Stats().Commits
		for range 3000 {
			id, err := tab.Next()
			if err != nil || id <= last {
				t.Fatalf("id %d after %d, %v", id, last, err)
			}
			last = id
		}
		if c := s.Stats().Commits - before; c > 5 {
			t.Errorf("%d commits for 3000 ids", c)
		}
		stop()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, d, Options{})
	start(t, s)
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				id, err := s.Table("smslog").Next()
				mu.Lock()
				if err != nil || seen[id] {
					t.Errorf("id %d again, %v", id, err)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// The archive lingers, so that changes that come one after the other share a commit.
func TestArchiveLingers(t *testing.T) {
	d := dir(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, d, Options{NoSync: true})
		start(t, s)
		synctest.Wait()
		tab := s.Table("archive")
		began, commits := time.Now(), s.Stats().Commits
		done := make(chan time.Duration, 10)
		for i := range 10 {
			tab.Later(map[string]any{fmt.Sprint(i): i}, func(error) { done <- time.Since(began) })
			time.Sleep(5 * time.Millisecond) // the bubble's clock
		}
		for range 10 {
			if d := <-done; d < 50*time.Millisecond || d > 250*time.Millisecond {
				t.Errorf("committed after %v", d)
			}
		}
		if c := s.Stats().Commits - commits; c != 1 {
			t.Errorf("%d commits", c)
		}
	})
}

// A probe is answered without a commit, but not for ever.
func TestProbe(t *testing.T) {
	d := dir(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, d, Options{NoSync: true})
		late, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Probe(late); err == nil {
			t.Error("a probe was answered though nothing commits")
		}
		start(t, s)
		before := s.Stats().Commits
		if err := s.Probe(t.Context()); err != nil || s.Stats().Commits != before {
			t.Errorf("first probe: %v, %d commits", err, s.Stats().Commits-before)
		}
		time.Sleep(6 * time.Minute) // the bubble's clock
		if err := s.Probe(t.Context()); err != nil || s.Stats().Commits != before+2 {
			t.Errorf("after six minutes: %v, %d commits, want one for each file", err, s.Stats().Commits-before)
		}
		if err := s.Probe(t.Context()); err != nil || s.Stats().Commits != before+2 {
			t.Errorf("the probe after that: %v, %d commits", err, s.Stats().Commits-before)
		}
	})
}

func TestClosedStore(t *testing.T) {
	s := open(t, dir(t), Options{})
	tab := s.Table("settings")
	called := false
	tab.Later(map[string]any{"last": 1}, func(err error) { called = err == nil })
	if err := s.Close(); err != nil || !called {
		t.Errorf("close: %v, queued change committed: %v", err, called)
	}
	if err := tab.Write(map[string]any{"a": 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if _, err := tab.Get("a", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
}

// What comes while the archive commits waits for company too: senders who each
// wait for the last of theirs never get a commit of their own.
func TestArchiveLingersUnderLoad(t *testing.T) {
	d := dir(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, d, Options{NoSync: true})
		start(t, s)
		synctest.Wait()
		tab, commits := s.Table("archive"), s.Stats().Commits
		const senders, each = 50, 20
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for n := range each {
					if err := tab.Write(map[string]any{fmt.Sprint(i, " ", n): n, fmt.Sprint(i, "+", n): n}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if c := s.Stats().Commits - commits; c > senders*each/20 {
			t.Errorf("%d commits for %d", c, senders*each)
		}
	})
}
