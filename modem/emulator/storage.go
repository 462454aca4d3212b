package emulator

import (
	"fmt"
	"slices"
)

// Memory describes one message storage.
type Memory struct {
	Name  string // "ME", "SM" or "SR"
	Size  int    // slots
	First int    // index of the first slot
}

// Slot is a stored message. Stat is 0 unread, 1 read, 2 unsent, 3 sent
// (3GPP TS 27.005 §3.1).
type Slot struct {
	Storage string
	Index   int
	Stat    int
	TPDU    []byte
}

type memory struct {
	Memory
	slots map[int]*Slot
}

func (m *memory) put(stat int, tpdu []byte) (int, bool) {
	for i := m.First; i < m.First+m.Size; i++ {
		if m.slots[i] == nil {
			m.slots[i] = &Slot{Storage: m.Name, Index: i, Stat: stat, TPDU: slices.Clone(tpdu)}
			return i, true
		}
	}
	return 0, false
}

func (m *memory) sorted() []*Slot {
	var out []*Slot
	for i := m.First; i < m.First+m.Size; i++ {
		if s := m.slots[i]; s != nil {
			out = append(out, s)
		}
	}
	return out
}

func (m *memory) valid(i int) bool { return i >= m.First && i < m.First+m.Size }

func (m *memory) counts() string { return fmt.Sprintf("%d,%d", len(m.slots), m.Size) }

// Slots returns what is stored, by memory and index.
func (e *Emulator) Slots() []Slot {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Slot
	for _, m := range e.memories {
		for _, s := range m.sorted() {
			out = append(out, *s)
		}
	}
	return out
}

// Store puts a TPDU into a memory without telling anybody, as if it had lain
// there at power-on; ok is false when the memory is full or unknown.
func (e *Emulator) Store(name string, stat int, tpdu []byte) (index int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.memory(name)
	if m == nil {
		return 0, false
	}
	return m.put(stat, tpdu)
}

func (e *Emulator) memory(name string) *memory {
	for _, m := range e.memories {
		if m.Name == name {
			return m
		}
	}
	return nil
}
