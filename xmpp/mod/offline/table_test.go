package offline

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"doorway/xmpp"
)

// memory is a table that keeps its rows in memory. While hold is set the
// outcomes of Later wait for settle.
type memory struct {
	mu      sync.Mutex // guards what follows
	rows    map[string][]byte
	seq     uint64
	hold    bool
	pending []func()
	fail    error // of the next commits; the change is then not made
	broken  error // of reads
}

func newMemory() *memory { return &memory{rows: map[string][]byte{}} }

func (m *memory) Table(string) xmpp.Table { return m }

func (m *memory) LaterAll(map[string]map[string]any, func(error)) { panic("not used here") }

func (m *memory) Get(key string, v any) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, ok := m.rows[key]
	if !ok || m.broken != nil {
		return false, m.broken
	}
	return true, json.Unmarshal(raw, v)
}

func (m *memory) Write(changes map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.apply(changes)
}

func (m *memory) apply(changes map[string]any) error {
	if m.fail != nil {
		return m.fail
	}
	for k, v := range changes {
		if v == nil {
			delete(m.rows, k)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		m.rows[k] = raw
	}
	return nil
}

func (m *memory) Later(changes map[string]any, done func(error)) {
	m.mu.Lock()
	err := m.apply(changes)
	held := m.hold
	if held && done != nil {
		m.pending = append(m.pending, func() { done(err) })
	}
	m.mu.Unlock()
	if !held && done != nil {
		done(err)
	}
}

func (m *memory) settle() {
	m.mu.Lock()
	list := m.pending
	m.pending = nil
	m.mu.Unlock()
	for _, f := range list {
		f()
	}
}

func (m *memory) Range(from, to string, reverse bool, f func(string, []byte) bool) error {
	m.mu.Lock()
	if m.broken != nil {
		defer m.mu.Unlock()
		return m.broken
	}
	type row struct {
		k string
		v []byte
	}
	var list []row
	for k, v := range m.rows {
		if k >= from && (to == "" || k < to) {
			list = append(list, row{k, slices.Clone(v)})
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b row) int { return strings.Compare(a.k, b.k) })
	if reverse {
		slices.Reverse(list)
	}
	for _, r := range list {
		if !f(r.k, r.v) {
			break
		}
	}
	return nil
}

func (m *memory) Next() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	return m.seq, nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

func (m *memory) set(f func(m *memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}
