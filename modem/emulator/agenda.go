package emulator

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// agenda runs functions at their time, in one goroutine, in order.
type agenda struct {
	mu   sync.Mutex // guards what follows
	due  entries
	seq  uint64
	wake chan struct{}
}

type entry struct {
	at  time.Time
	seq uint64
	f   func()
}

type entries []entry

func (h entries) Len() int { return len(h) }
func (h entries) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h entries) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *entries) Push(x any)   { *h = append(*h, x.(entry)) }
func (h *entries) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newAgenda() *agenda { return &agenda{wake: make(chan struct{}, 1)} }

// after plans f; it never blocks. f runs in run's goroutine and takes its own locks.
func (a *agenda) after(d time.Duration, f func()) {
	a.mu.Lock()
	a.seq++
	heap.Push(&a.due, entry{time.Now().Add(d), a.seq, f})
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *agenda) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		a.mu.Lock()
		var f func()
		if len(a.due) > 0 {
			if wait = time.Until(a.due[0].at); wait <= 0 {
				f = heap.Pop(&a.due).(entry).f
			}
		}
		a.mu.Unlock()
		if f != nil {
			if ctx.Err() != nil {
				return
			}
			f()
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
	}
}
