package backup

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/store"
)

// running opens a store in a new folder with its committer.
func running(tb testing.TB, o store.Options) (s *store.Store, dir string) {
	tb.Helper()
	dir = filepath.Join(tb.TempDir(), "data")
	s, err := store.Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }() // waited for below
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		if err := s.Check(); err != nil {
			tb.Error(err)
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s, dir
}

var message = []byte(strings.Repeat("<message/>", 30)) // 300 bytes

func offlineKey(owner int, id uint64) string {
	return string(binary.BigEndian.AppendUint64(fmt.Appendf(nil, "user%02d\x00", owner), id))
}

// fill brings state.db to about size bytes.
func fill(tb testing.TB, s *store.Store, size int) {
	tb.Helper()
	big := make([]byte, 3000)
	for i := 0; i < size/4096; {
		rows := make(map[string]any)
		for range 60 {
			rows[offlineKey(i%50, uint64(i))] = big
			i++
		}
		if err := s.Table("offline").Write(rows); err != nil {
			tb.Fatal(err)
		}
	}
}

// latencies are how long acknowledgements took.
type latencies struct {
	mu    sync.Mutex // guards what follows
	n     int
	worst time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.worst = max(l.worst, d)
}

// load stores 1,000 messages a second until end is closed, and waits for the
// last acknowledgement.
func load(tb testing.TB, s *store.Store, end <-chan struct{}) *latencies {
	l := &latencies{}
	t := s.Table("offline")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-end:
			return l
		case <-tick.C:
		}
		for range 10 {
			id, err := t.Next()
			if err != nil {
				tb.Error(err)
			}
			wg.Add(1)
			begun := time.Now()
			t.Later(map[string]any{offlineKey(60, id): message}, func(err error) {
				if err != nil {
					tb.Error(err)
				}
				l.add(time.Since(begun))
				wg.Done()
			})
		}
	}
}

// BenchmarkBackupUnderLoad: 1,000 messages a second are stored, first for
// themselves, then while a database of 50 MB is backed up: copied, verified,
// packed and read back. The budget is 50 ms between the two worst acknowledgements.
func BenchmarkBackupUnderLoad(b *testing.B) {
	s, dir := running(b, store.Options{})
	fill(b, s, 50<<20)
	during := func(work func()) *latencies {
		end, result := make(chan struct{}), make(chan *latencies)
		go func() { result <- load(b, s, end) }() // received below
		work()
		close(end)
		return <-result
	}
	var alone, beside, took time.Duration
	var added []time.Duration // round by round
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		begun := time.Now()
		var c store.Copy
		l := during(func() {
			var err error
			if c, err = s.Copy(b.Context(), filepath.Join(dir, "bench"+store.CopySuffix)); err != nil {
				b.Fatal(err)
			}
			if _, err := Save(b.Context(), filepath.Join(dir, "bench.tar"), c, Info{}); err != nil {
				b.Fatal(err)
			}
		})
		took = max(took, time.Since(begun))
		beside = max(beside, l.worst)
		n += l.n
		worst := l.worst
		if c.Size < 50<<20 {
			b.Fatalf("the copy has %d bytes only", c.Size)
		}
		if err := os.Remove(c.Path); err != nil {
			b.Fatal(err)
		}
		// As long again without a backup.
		l = during(func() { <-time.After(took) })
		alone = max(alone, l.worst)
		added = append(added, worst-l.worst)
	}
	slices.Sort(added)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(alone), "ms-worst-alone")
	b.ReportMetric(ms(beside), "ms-worst-backup")
	b.ReportMetric(ms(beside-alone), "ms-added")
	b.ReportMetric(ms(added[len(added)/2]), "ms-added-median")
	b.ReportMetric(ms(took), "ms-backup")
	b.ReportMetric(float64(n), "acks")
}
