package sms

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"doorway/transports"
)

// memTable and memOutbox keep in memory what gateway/store and gateway/queue keep on disk. copy is the
// state a crash would leave.
type memTable struct {
	mu   sync.Mutex // guards m, n
	m    map[string][]byte
	n    uint64
	fail error // what Write answers, nil for success
}

func newMemTable() *memTable { return &memTable{m: map[string][]byte{}} }

func (t *memTable) copy() *memTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &memTable{m: maps.Clone(t.m), n: t.n}
}

func (t *memTable) Get(key string, v any) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.m[key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(b, v)
}

func (t *memTable) Write(changes map[string]any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		return t.fail
	}
	for k, v := range changes {
		if v == nil {
			delete(t.m, k)
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		t.m[k] = b
	}
	return nil
}

func (t *memTable) Later(changes map[string]any, done func(error)) {
	err := t.Write(changes)
	if done != nil {
		done(err)
	}
}

func (t *memTable) Range(from, to string, reverse bool, f func(string, []byte) bool) error {
	t.mu.Lock()
	var keys []string
	for k := range t.m {
		if k >= from && (to == "" || k < to) {
			keys = append(keys, k)
		}
	}
	m := maps.Clone(t.m)
	t.mu.Unlock()
	sort.Strings(keys)
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if !f(k, m[k]) {
			return nil
		}
	}
	return nil
}

func (t *memTable) Next() (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	return t.n, nil
}

// keys counts the records below a prefix.
func (t *memTable) keys(prefix string) int {
	n := 0
	t.Range(prefix, prefix+"\xff", false, func(string, []byte) bool { n++; return true })
	return n
}

type memOutbox struct {
	mu     sync.Mutex // guards jobs, leased, next, wake
	jobs   map[uint64]transports.Job
	leased map[uint64]bool
	next   uint64
	wake   chan struct{} // closed at each change
	commit func()        // called around each commit of a worker, not held; nil for nothing
}

func newMemOutbox() *memOutbox {
	return &memOutbox{jobs: map[uint64]transports.Job{}, leased: map[uint64]bool{}, wake: make(chan struct{})}
}

func (o *memOutbox) copy() *memOutbox {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := newMemOutbox()
	c.jobs, c.next = maps.Clone(o.jobs), o.next
	return c
}

func (o *memOutbox) changed() {
	close(o.wake)
	o.wake = make(chan struct{})
}

func (o *memOutbox) set(j transports.Job, st transports.State, note string) {
	if j.State != st || note != "" {
		j.History = append(slices.Clone(j.History), transports.Step{At: time.Now(), State: st, Note: note})
	}
	j.State = st
	o.jobs[j.ID] = j
	o.changed()
}

func (o *memOutbox) Put(ctx context.Context, j transports.Job) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, old := range o.jobs {
		if j.Key != "" && old.Key == j.Key {
			return old.ID, nil
		}
	}
	o.next++
	j.ID = o.next
	o.set(j, transports.Queued, "")
	return j.ID, nil
}

func (o *memOutbox) Find(key string) (uint64, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, old := range o.jobs {
		if key != "" && old.Key == key {
			return old.ID, true, nil
		}
	}
	return 0, false, nil
}

// due picks a job to lease; without one, how long to wait.
func (o *memOutbox) due(now time.Time, l transports.Lease) (id uint64, wait time.Duration) {
	wait = time.Hour
	busy := map[string]bool{}
	for id := range o.leased {
		busy[o.jobs[id].Dest] = true
	}
	var best transports.Job
	for _, j := range o.jobs {
		switch j.State {
		case transports.Queued, transports.RetryWait, transports.OnAir, transports.Leased:
		default:
			continue
		}
		if o.leased[j.ID] || busy[j.Dest] {
			continue
		}
		if j.Attempts == 0 && !j.Deadline.IsZero() {
			if !now.Before(j.Deadline) {
				o.set(j, transports.Expired, "")
				continue
			}
			wait = min(wait, j.Deadline.Sub(now))
		}
		if l.Accept != nil && !l.Accept(j.Lane, j.Priority) {
			continue
		}
		if d := j.NotBefore.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if best.ID == 0 || j.Priority > best.Priority || j.Priority == best.Priority && j.ID < best.ID {
			best = j
		}
	}
	return best.ID, wait
}

func (o *memOutbox) Serve(ctx context.Context, l transports.Lease, f func(context.Context, transports.Item) error) error {
	for ctx.Err() == nil {
		o.mu.Lock()
		id, wait := o.due(time.Now(), l)
		wake := o.wake
		if id == 0 {
			o.mu.Unlock()
			restOr(ctx, wait, wake, l.Again)
			continue
		}
		j := o.jobs[id]
		j.Attempts++
		o.leased[id] = true
		o.set(j, transports.Leased, "")
		o.mu.Unlock()
		err := f(ctx, &memItem{o, id})
		o.mu.Lock()
		delete(o.leased, id)
		if j := o.jobs[id]; err != nil {
			j.NotBefore, j.Error = time.Now().Add(10*time.Second), err.Error()
			o.set(j, transports.RetryWait, "")
		}
		o.changed()
		o.mu.Unlock()
	}
	return nil
}

// restOr is rest with a second kick.
func restOr(ctx context.Context, d time.Duration, a, b <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-a:
	case <-b:
	case <-t.C:
	}
}

func (o *memOutbox) Update(ctx context.Context, id uint64, f func(*transports.Job) bool) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.leased[id] {
		wake := o.wake
		o.mu.Unlock()
		rest(ctx, 0, wake)
		o.mu.Lock()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	j, ok := o.jobs[id]
	if !ok {
		return false, transports.ErrNoJob
	}
	was := j.State
	if !f(&j) {
		return false, nil
	}
	st := j.State
	j.State = was
	o.set(j, st, "")
	return true, nil
}

func (o *memOutbox) Cancel(id uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	j, ok := o.jobs[id]
	switch {
	case !ok:
		return transports.ErrNoJob
	case o.leased[id]:
		return transports.ErrLeased
	}
	o.set(j, transports.Cancelled, "")
	return nil
}

func (o *memOutbox) Get(id uint64) (transports.Job, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j, ok := o.jobs[id]
	if !ok {
		return j, transports.ErrNoJob
	}
	return j, nil
}

func (o *memOutbox) List(f transports.Filter) ([]transports.Job, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []transports.Job
	for _, j := range o.jobs {
		if (len(f.States) == 0 || slices.Contains(f.States, j.State)) && (f.Dest == "" || f.Dest == j.Dest) && (f.Before == 0 || j.ID < f.Before) {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b transports.Job) int { return int(b.ID) - int(a.ID) })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out, nil
}

// requeue is what a person does with queue.Requeue.
func (o *memOutbox) requeue(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.jobs[id]
	j.NotBefore = time.Time{}
	o.set(j, transports.Queued, "")
}

type memItem struct {
	o  *memOutbox
	id uint64
}

func (i *memItem) Job() transports.Job {
	j, _ := i.o.Get(i.id)
	return j
}

func (i *memItem) Save(s transports.State, payload []byte, note string) error {
	if i.o.commit != nil {
		i.o.commit()
		defer i.o.commit()
	}
	i.o.mu.Lock()
	defer i.o.mu.Unlock()
	j := i.o.jobs[i.id]
	j.Payload = payload
	if note != "" {
		j.Error = note
	}
	i.o.set(j, s, note)
	return nil
}

func (i *memItem) Retry(at time.Time, payload []byte, reason string) error {
	i.o.mu.Lock()
	defer i.o.mu.Unlock()
	j := i.o.jobs[i.id]
	j.Payload, j.NotBefore, j.Error = payload, at, reason
	i.o.set(j, transports.RetryWait, reason)
	return nil
}
