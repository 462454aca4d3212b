package queue

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"doorway/gateway/store"
	"doorway/transports"
)

// waiting is the number of jobs that wait in the benchmarks.
const waiting = 100_000

// full is a queue with many waiting jobs, half of them for one destination.
func full(b *testing.B) *rig {
	b.Helper()
	r := newRig(b)
	slots := make(chan struct{}, 64)
	fail := make(chan error, 1)
	for i := range waiting {
		slots <- struct{}{}
		go func() { // waited for below
			defer func() { <-slots }()
			if _, err := r.q.Put(context.Background(), job(i)); err != nil {
				select {
				case fail <- err:
				default:
				}
			}
		}()
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	select {
	case err := <-fail:
		b.Fatal(err)
	default:
	}
	return r
}

var payload = []byte(strings.Repeat("p", 300))

func job(i int) transports.Job {
	dest := "+4915550100"
	if i%2 == 0 {
		dest = fmt.Sprintf("+49155%07d", i)
	}
	return transports.Job{Dest: dest, Payload: payload, Deadline: time.Now().Add(24 * time.Hour)}
}

// BenchmarkWaiting puts, leases and opens with 100,000 jobs waiting: at most
// 2 ms to put and to lease, and a bounded index.
func BenchmarkWaiting(b *testing.B) {
	r := full(b)
	r.o.Changed, r.so = nil, store.Options{} // from here on with fsync
	r.reopen()
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.put(job(i))
		}
	})
	b.Run("lease", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			it := r.q.lease(b.Context(), transports.Lease{})
			it.end(nil)
		}
	})
	b.Run("lease-and-deliver", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			it := r.q.lease(b.Context(), transports.Lease{})
			if err := it.Save(transports.Delivered, nil, ""); err != nil {
				b.Fatal(err)
			}
			it.end(nil)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		var m0, m1 runtime.MemStats
		for b.Loop() {
			r.q = nil
			runtime.GC()
			runtime.ReadMemStats(&m0)
			q, err := Open(r.s, r.o)
			if err != nil {
				b.Fatal(err)
			}
			r.q = q
			runtime.GC()
			runtime.ReadMemStats(&m1)
		}
		b.ReportMetric(float64(m1.HeapAlloc-m0.HeapAlloc)/float64(len(r.q.index.jobs)), "heap-B/job")
	})
}
