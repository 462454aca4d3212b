package routertest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/router"
)

// Store is a store in memory that behaves as gateway/store does: changes are
// seen at once and reach the disk in order. Without Run each change is on disk
// when the call that makes it returns, and done was called in it. With Run
// that happens a little later in Run's goroutine, as with the real one. Safe
// for concurrent use.
type Store struct {
	mu      sync.Mutex // guards what follows
	wake    sync.Cond
	disk    map[string]map[string][]byte // table, key: what survives
	waiting []commit                     // seen and not on disk yet
	last    uint64                       // Next
	running bool
	held    bool
	fail    error // of commits
	broken  error // of reads
	reads   int
}

// commit is changes that reach the disk together.
type commit struct {
	rows []row
	done func(error)
}

// row is one change; raw nil deletes.
type row struct {
	table, key string
	raw        []byte
}

var _ router.Store = (*Store)(nil)

// NewStore makes an empty store.
func NewStore() *Store {
	s := &Store{disk: make(map[string]map[string][]byte)}
	s.wake.L = &s.mu
	return s
}

// Run has changes reach the disk in its goroutine until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.set(func() {}) })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
	for ctx.Err() == nil {
		if s.held || len(s.waiting) == 0 {
			s.wake.Wait()
			continue
		}
		s.flush(1)
	}
	s.running = false
	return nil
}

// flush commits the first n that wait.
func (s *Store) flush(n int) {
	list := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	s.commit(list)
}

// commit puts changes on the disk and calls their done without the lock, which
// it needs before and has after.
func (s *Store) commit(list []commit) {
	err := s.fail
	if err == nil {
		for _, c := range list {
			c.apply(s.disk)
		}
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	for _, c := range list {
		if c.done != nil {
			c.done(err)
		}
	}
}

func (c commit) apply(disk map[string]map[string][]byte) {
	for _, r := range c.rows {
		if disk[r.table] == nil {
			disk[r.table] = make(map[string][]byte)
		}
		if r.raw == nil {
			delete(disk[r.table], r.key)
		} else {
			disk[r.table][r.key] = r.raw
		}
	}
}

// add encodes changes of one table.
func (c *commit) add(table string, changes map[string]any) {
	c.rows = slices.Grow(c.rows, len(changes))
	for k, v := range changes {
		var raw []byte
		if v != nil {
			var err error
			if raw, err = json.Marshal(v); err != nil {
				panic(err) // a module's own types
			}
		}
		c.rows = append(c.rows, row{table, k, raw})
	}
}

// later has a commit reach the disk as soon as may be.
func (s *Store) later(c commit) {
	s.set(func() {
		if s.running || s.held {
			s.waiting = append(s.waiting, c)
			return
		}
		s.commit([]commit{c})
	})
}

func (s *Store) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake.Broadcast()
}

// Hold keeps changes from reaching the disk: they are seen, and wait.
func (s *Store) Hold() { s.set(func() { s.held = true }) }

// Release ends Hold: what waits reaches the disk.
func (s *Store) Release() { s.set(func() { s.held = false; s.settle() }) }

// Settle has what waits reach the disk while the store is held; what comes
// afterwards waits again. With Run it does nothing.
func (s *Store) Settle() { s.set(s.settle) }

func (s *Store) settle() {
	if !s.running {
		s.flush(len(s.waiting))
	}
}

// Fail has every commit fail from now on; nil ends that. A change whose commit
// fails is no longer seen.
func (s *Store) Fail(err error) { s.set(func() { s.fail = err }) }

// Break has every read fail from now on; nil ends that.
func (s *Store) Break(err error) { s.set(func() { s.broken = err }) }

// Crash forgets what has not reached the disk. Nobody is told.
func (s *Store) Crash() { s.set(func() { s.waiting = nil }) }

// Put writes a row to the disk as it is, readable or not.
func (s *Store) Put(table, key, raw string) {
	s.set(func() { commit{rows: []row{{table, key, []byte(raw)}}}.apply(s.disk) })
}

// Rows lists what is on disk as "table key value", sorted, with spaces for the
// zero bytes of keys.
func (s *Store) Rows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for table, rows := range s.disk {
		for k, v := range rows {
			out = append(out, table+" "+strings.ReplaceAll(k, "\x00", " ")+" "+string(v))
		}
	}
	slices.Sort(out)
	return out
}

// Len returns how many rows are on disk.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, rows := range s.disk {
		n += len(rows)
	}
	return n
}

// Reads returns how often Get and Range were called.
func (s *Store) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// LaterAll implements xmpp.Tables.
func (s *Store) LaterAll(changes map[string]map[string]any, done func(error)) {
	c := commit{done: done}
	for table, rows := range changes {
		c.add(table, rows)
	}
	s.later(c)
}

// Table implements router.Store.
func (s *Store) Table(name string) xmpp.Table { return table{s, name} }

// table is one table of a Store.
type table struct {
	s    *Store
	name string
}

func (t table) Get(key string, v any) (bool, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.reads++
	if t.s.broken != nil {
		return false, t.s.broken
	}
	raw, ok := t.s.disk[t.name][key]
	for _, c := range t.s.waiting {
		for _, r := range c.rows {
			if r.table == t.name && r.key == key {
				raw, ok = r.raw, r.raw != nil
			}
		}
	}
	if !ok || v == nil {
		return ok, nil
	}
	return true, json.Unmarshal(raw, v)
}

// Write waits for the disk: for ever when the store is held and nobody
// releases it.
func (t table) Write(changes map[string]any) error {
	done := make(chan error, 1)
	t.Later(changes, func(err error) { done <- err })
	return <-done
}

func (t table) Later(changes map[string]any, done func(error)) {
	c := commit{done: done}
	c.add(t.name, changes)
	t.s.later(c)
}

func (t table) Range(from, to string, reverse bool, f func(string, []byte) bool) error {
	t.s.mu.Lock()
	t.s.reads++
	if err := t.s.broken; err != nil {
		t.s.mu.Unlock()
		return err
	}
	seen := map[string]map[string][]byte{t.name: maps.Clone(t.s.disk[t.name])}
	for _, c := range t.s.waiting {
		c.apply(seen)
	}
	t.s.mu.Unlock()
	rows := seen[t.name]
	keys := slices.Sorted(maps.Keys(rows))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if k >= from && (to == "" || k < to) && !f(k, slices.Clone(rows[k])) {
			break
		}
	}
	return nil
}

func (t table) Next() (uint64, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.last++
	return t.s.last, nil
}
