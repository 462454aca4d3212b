package sms

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"doorway/transports"
)

// mailbox is a list with one reader. It is not bounded by itself: what is put
// in is bounded by the outbox, the modem's storage and the table.
type mailbox[T any] struct {
	mu   sync.Mutex // guards list
	list []T
	kick chan struct{} // has a value when the list may not be empty
}

func (m *mailbox[T]) init() { m.kick = make(chan struct{}, 1) }

func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	m.list = append(m.list, v)
	m.mu.Unlock()
	m.wake()
}

// wake has the reader look again.
func (m *mailbox[T]) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func (m *mailbox[T]) waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.list) > 0
}

func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.list
	m.list = nil
	return l
}

// offer is an event for the sink. done is called after the sink has taken it.
type offer struct {
	contact string // order is kept within a contact; "" for the gateway's own status
	event   transports.Event
	done    func()
	fails   int
	since   time.Time // of the first time it was not taken
	after   time.Time
}

// offers gives events to the sink, one at a time, in order for each contact. What the sink does not take
// is offered again after a pause that grows to five minutes; other contacts do not wait for it.
type offers struct {
	mu   sync.Mutex // guards list
	list []*offer
	kick chan struct{}
}

func (o *offers) init() { o.kick = make(chan struct{}, 1) }

// put appends; a newer status replaces one that waits.
func (o *offers) put(f *offer) {
	o.mu.Lock()
	replaced := false
	if _, ok := f.event.(transports.StatusEvent); ok {
		for i, w := range o.list {
			if _, ok := w.event.(transports.StatusEvent); ok {
				o.list[i], replaced = f, true
			}
		}
	}
	if !replaced {
		o.list = append(o.list, f)
	}
	o.mu.Unlock()
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// next takes the first event whose contact is not waiting; without one it says how long to wait (0: until put).
func (o *offers) next(now time.Time) (*offer, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	blocked := map[string]bool{}
	var wait time.Duration
	for i, f := range o.list {
		if blocked[f.contact] {
			continue
		}
		if d := f.after.Sub(now); d > 0 {
			blocked[f.contact] = true
			if wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		o.list = append(o.list[:i:i], o.list[i+1:]...)
		return f, 0
	}
	return nil, wait
}

// stuck counts the texts that came in and were not taken for a while, and tells since when the first was not.
func (o *offers) stuck(now time.Time) (n int, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	behind := map[string]bool{} // contacts whose texts wait for their first one
	for _, f := range o.list {
		if _, ok := f.event.(transports.Incoming); !ok {
			continue
		}
		if f.fails > 0 && now.Sub(f.since) >= stuckAfter {
			behind[f.contact] = true
			if since.IsZero() || f.since.Before(since) {
				since = f.since
			}
		}
		if behind[f.contact] {
			n++
		}
	}
	return n, since
}

// stuckAfter is how long a text may find nobody before the operator is told.
const stuckAfter = 5 * time.Minute

// back puts an event that was not taken before everything else.
func (o *offers) back(f *offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := f.event.(transports.StatusEvent); ok {
		for _, w := range o.list {
			if _, ok := w.event.(transports.StatusEvent); ok {
				return // a newer one waits
			}
		}
	}
	o.list = append([]*offer{f}, o.list...)
}

func (o *offers) run(ctx context.Context, sink transports.Sink, log *slog.Logger) {
	for ctx.Err() == nil {
		f, wait := o.next(time.Now())
		if f == nil {
			rest(ctx, wait, o.kick)
			continue
		}
		err := sink(ctx, f.event)
		if err == nil {
			if f.done != nil {
				f.done()
			}
			continue
		}
		if ctx.Err() != nil {
			return // it is offered again after the restart
		}
		if f.fails++; f.fails == 1 {
			f.since = time.Now()
		}
		pause := min(time.Second<<min(f.fails-1, 10), 5*time.Minute)
		f.after = time.Now().Add(pause)
		log.Warn("sms event not taken, offered again", "net", "sms", "try", f.fails, "pause", pause, "err", err)
		o.back(f)
	}
}

// rest waits for d (0: without limit), for kick or for the end of ctx.
func rest(ctx context.Context, d time.Duration, kick <-chan struct{}) {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-kick:
	case <-timer:
	}
}
