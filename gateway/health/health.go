// Package health keeps the box's named warnings: what is wrong now, how bad
// it is, since when, and one sentence that tells a person what to do.
//
// It starts no goroutine. All methods are safe for concurrent use.
package health

import (
	"sort"
	"sync"
	"time"
)

// Severity orders warnings.
type Severity string

// Severities, mildest first.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Failure Severity = "error"
)

// Finding is one named warning.
type Finding struct {
	Name     string    `json:"name"` // stable, e.g. "modem gsm0"
	Severity Severity  `json:"severity"`
	Text     string    `json:"text"` // a full sentence with what to do next
	Since    time.Time `json:"since"`
}

// Health holds the findings. The zero value is not ready; use New.
type Health struct {
	now func() time.Time

	mu       sync.Mutex // guards the fields below
	findings map[string]Finding
	panics   int
}

// New makes an empty Health; now is time.Now outside tests.
func New(now func() time.Time) *Health {
	return &Health{now: now, findings: map[string]Finding{}}
}

// Set raises or changes a finding; since stays while the name stays raised. It
// reports whether anything a person reads changed.
func (h *Health) Set(name string, sev Severity, text string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.findings[name]
	if ok && f.Severity == sev && f.Text == text {
		return false
	}
	if !ok {
		f = Finding{Name: name, Since: h.now()}
	}
	f.Severity, f.Text = sev, text
	h.findings[name] = f
	return true
}

// Clear takes a finding back and reports whether it was raised.
func (h *Health) Clear(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.findings[name]
	delete(h.findings, name)
	return ok
}

// CountPanic records that a connection or task died of a panic.
func (h *Health) CountPanic() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.panics++
}

// Panics returns how many panics were recovered since the start.
func (h *Health) Panics() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.panics
}

// List returns the findings, worst first, then by name.
func (h *Health) List() []Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Finding, 0, len(h.findings))
	for _, f := range h.findings {
		list = append(list, f)
	}
	rank := map[Severity]int{Failure: 0, Warning: 1, Info: 2}
	sort.Slice(list, func(i, j int) bool {
		if a, b := rank[list[i].Severity], rank[list[j].Severity]; a != b {
			return a < b
		}
		return list[i].Name < list[j].Name
	})
	return list
}

// Worst returns the highest severity raised, "" when all is well.
func (h *Health) Worst() Severity {
	l := h.List()
	if len(l) == 0 {
		return ""
	}
	return l[0].Severity
}
