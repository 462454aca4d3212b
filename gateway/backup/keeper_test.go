package backup

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/health"
	"doorway/gateway/store"
)

// house is a keeper at work.
type house struct {
	*Keeper
	t      *testing.T
	health *health.Health
	log    bytes.Buffer
}

// keep runs a keeper over a store until the test ends; in a synctest bubble.
func keep(t *testing.T, s Store, c Config) *house {
	t.Helper()
	h := &house{t: t, health: health.New(time.Now)}
	c.Store, c.Health, c.Log = s, h.health, slog.New(slog.NewTextHandler(&h.log, nil))
	h.Keeper = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }() // waited for below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (h *house) finding(name string) string {
	for _, f := range h.health.List() {
		if f.Name == name {
			return string(f.Severity) + ": " + f.Text
		}
	}
	return ""
}

// names lists what lies in the nightly folder.
func (h *house) names() []string {
	h.t.Helper()
	entries, err := os.ReadDir(h.c.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// stillStore is a store without its committer: writes commit in the caller.
func stillStore(t *testing.T) (*store.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// A missed backup is made up for after the start; then there is one every
// night, and the old ones go.
func TestNightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, data := stillStore(t)
		dir := filepath.Join(data, "backups")
		h := keep(t, s, Config{Data: data, Dir: dir, Keep: 3, Hour: 3, Minute: 30})
		wait(4 * time.Minute)
		if n := h.names(); len(n) != 0 {
			t.Errorf("at once there is %v", n)
		}
		wait(2 * time.Minute)
		first := h.names()
		if len(first) != 1 {
			t.Fatalf("after six minutes there is %v", first)
		}
		for night := range 10 {
			// From 3:29 to 3:31 of the next night.
			now := time.Now()
			next := time.Date(now.Year(), now.Month(), now.Day(), 3, 29, 30, 0, time.Local)
			if !next.After(now) {
				next = next.AddDate(0, 0, 1)
			}
			wait(next.Sub(now))
			before := h.names()
			wait(2 * time.Minute)
			after := h.names()
			if want := min(night+2, 3); len(after) != want {
				t.Errorf("night %d: %v, want %d", night, after, want)
			}
			if before[len(before)-1] == after[len(after)-1] {
				t.Errorf("night %d: no new backup in %v", night, after)
			}
		}
		for _, n := range h.names() {
			if _, err := Check(t.Context(), filepath.Join(dir, n)); err != nil {
				t.Error(err)
			}
			if n == first[0] {
				t.Error("the oldest is still there")
			}
		}
		if f := h.health.List(); len(f) != 0 {
			t.Errorf("findings %v", f)
		}
	})
}

// keep = 0 makes none.
func TestNoNightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, data := stillStore(t)
		h := keep(t, s, Config{Data: data, Dir: filepath.Join(data, "backups"), Hour: 3})
		wait(72 * time.Hour)
		if len(h.names()) != 0 || len(h.health.List()) != 0 {
			t.Errorf("%v, %v", h.names(), h.health.List())
		}
	})
}

// A backup that fails is tried again every hour and is a warning until one is
// made, a worse one when the newest is older than two days.
func TestFailingBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, data := stillStore(t)
		dir := filepath.Join(data, "backups")
		h := keep(t, s, Config{Data: data, Dir: dir, Keep: 3, Hour: 3, Minute: 30})
		wait(6 * time.Minute)
		if len(h.names()) != 1 {
			t.Fatal(h.names())
		}
		aside := dir + "-aside"
		if err := errors.Join(os.Rename(dir, aside), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err) // the stick was pulled out
		}
		wait(24 * time.Hour)
		f := h.finding("backup")
		if !strings.HasPrefix(f, "warning: ") || !strings.Contains(f, dir) || !strings.Contains(f, "every hour") {
			t.Errorf("after a day: %q", f)
		}
		wait(48 * time.Hour)
		if f := h.finding("backup"); !strings.HasPrefix(f, "error: ") {
			t.Errorf("after three days: %q", f)
		}
		if err := errors.Join(os.Remove(dir), os.Rename(aside, dir)); err != nil {
			t.Fatal(err)
		}
		wait(61 * time.Minute)
		if f := h.finding("backup"); f != "" || len(h.names()) != 2 {
			t.Errorf("afterwards: %q, %v", f, h.names())
		}
		if left, err := filepath.Glob(filepath.Join(data, "*"+store.CopySuffix)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// A backup that a wrong clock dated into the future neither counts as the
// newest nor outlives the others.
func TestClockWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, data := stillStore(t)
		dir := filepath.Join(data, "backups")
		wrong := Name(time.Now().AddDate(40, 0, 0))
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, wrong), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		h := keep(t, s, Config{Data: data, Dir: dir, Keep: 2, Hour: 3, Minute: 30})
		wait(30 * time.Hour)
		if n := h.names(); len(n) != 2 || n[0] == wrong || n[1] == wrong {
			t.Errorf("%v", n)
		}
	})
}

// told is a store that says what the test wants.
type told struct {
	mu        sync.Mutex // guards what follows
	sizes     []store.FileSize
	recovered []store.Recovery
	compacted []time.Time
}

func (s *told) Copy(context.Context, string) (store.Copy, error) { return store.Copy{}, os.ErrInvalid }
func (s *told) Sizes() []store.FileSize {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sizes)
}
func (s *told) Recovered() []store.Recovery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recovered
}
func (s *told) Compact(context.Context) ([]store.Compaction, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted = append(s.compacted, time.Now())
	return nil, nil
}

// What the store says of itself becomes warnings, and goes with its cause.
func TestStoreFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{
			sizes:     []store.FileSize{{Name: "state.db", Used: 410 << 20, Max: 512 << 20}, {Name: "archive.db", Used: 1 << 20, Max: 512 << 20}},
			recovered: []store.Recovery{{File: "state.db", From: "the nightly backup /b.tar", Aside: "/data/state.db.damaged-1", When: time.Now(), At: time.Now()}},
		}
		h := keep(t, s, Config{})
		synctest.Wait()
		if f := h.finding("size state.db"); !strings.Contains(f, "nearly full") || !strings.Contains(f, "512 MB") || h.finding("size archive.db") != "" {
			t.Errorf("sizes: %v", h.health.List())
		}
		if f := h.finding("recovered state.db"); !strings.Contains(f, "/b.tar") || !strings.Contains(f, "/data/state.db.damaged-1") {
			t.Errorf("recovered: %q", f)
		}
		s.mu.Lock()
		s.sizes[0].Used, s.recovered = 1<<20, nil
		s.mu.Unlock()
		wait(2 * time.Minute)
		if l := h.health.List(); len(l) != 0 {
			t.Errorf("afterwards: %v", l)
		}
	})
}

// Compaction is thought of at the start and in the night to Monday.
func TestCompactionWeekly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{}
		keep(t, s, Config{Hour: 3, Minute: 30})
		wait(21 * 24 * time.Hour)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.compacted) != 4 {
			t.Fatalf("%v", s.compacted)
		}
		for _, at := range s.compacted[1:] {
			if at = at.Local(); at.Weekday() != time.Monday || at.Hour() != 3 || at.Minute() != 30 {
				t.Errorf("at %v", at)
			}
		}
	})
}

// A start with a damaged state.db finds the nightly backups.
func TestFallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		nights := filepath.Join(t.TempDir(), "nights")
		if err := os.Mkdir(nights, 0o700); err != nil {
			t.Fatal(err)
		}
		for i, word := range []string{"oldest", "older", "newest"} {
			at := time.Now().Add(time.Duration(i-10) * time.Hour)
			if err := os.Rename(saved(t, word), filepath.Join(nights, Name(at))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(nights, Name(time.Now())), []byte("cut"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), dir, saved(t, "today")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "state.db"), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(dir, store.Options{NoSync: true, Fallbacks: Fallbacks(nights)})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if _, err := s.Table("roster").Get("word", &got); err != nil || got != "newest" {
			t.Errorf("in use is %q, %v", got, err)
		}
		if r := s.Recovered(); len(r) != 1 || !strings.Contains(r[0].From, nights) {
			t.Errorf("recovered %+v", r)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
