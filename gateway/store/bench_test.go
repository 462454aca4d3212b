package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// benchStore is a store with its committer, on a real disk.
func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(filepath.Join(b.TempDir(), "data"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }() // waited for below
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := s.Check(); err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

var message = []byte(strings.Repeat("<message/>", 30)) // 300 bytes

func offlineKey(owner int, id uint64) string {
	return string(binary.BigEndian.AppendUint64(fmt.Appendf(nil, "user%02d\x00", owner), id))
}

func put(b *testing.B, s *Store, owner int) {
	t := s.Table("offline")
	id, err := t.Next()
	if err == nil {
		err = t.Write(map[string]any{offlineKey(owner, id): message})
	}
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkOfflinePut is one sender who waits for each message.
func BenchmarkOfflinePut(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	for b.Loop() {
		put(b, s, 1)
	}
}

// BenchmarkOfflinePut50 is 50 senders at a time: at least 10 messages should
// share an fsync.
func BenchmarkOfflinePut50(b *testing.B) {
	s := benchStore(b)
	before := s.Stats()
	work := make(chan struct{})
	var wg sync.WaitGroup
	for owner := range 50 {
		wg.Go(func() {
			for range work {
				put(b, s, owner)
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	after := s.Stats()
	b.ReportMetric(float64(after.Changes-before.Changes)/float64(after.Commits-before.Commits), "changes/commit")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkLater is what a chat sender pays who does not wait.
func BenchmarkLater(b *testing.B) {
	s := benchStore(b)
	t := s.Table("offline")
	slots := make(chan struct{}, 1000)
	var id uint64
	b.ReportAllocs()
	for b.Loop() {
		slots <- struct{}{}
		id++
		t.Later(map[string]any{offlineKey(1, id): message}, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
		})
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
}

// BenchmarkGet reads a row that is on disk.
func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	t := s.Table("offline")
	if err := t.Write(map[string]any{"key": message}); err != nil {
		b.Fatal(err)
	}
	var v []byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.Get("key", &v); err != nil {
			b.Fatal(err)
		}
	}
}
