package c2s

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent is how much a large heap grows between collections: thousands
	// of idle sessions leave less unused between them than with the usual 100.
	gcPercent = 50
	// gcRoom is how much a small one grows. A wave of logins would else collect
	// at every 2 MiB, each time with the stacks of all who are in already. With
	// more room, what stays is strewn among more garbage and holds more pages.
	gcRoom = 4 << 20
	// gcLowest is the heap below which the runtime does not collect, for each
	// 100 percent.
	gcLowest = 4 << 20
)

// PaceCollector has the process collect garbage when its heap has grown by
// half, but not before it has grown by 4 MiB; the memory and CPU figures of
// docs/performance.md were measured with that. What a wave leaves behind is
// given back when the server has become quiet. It is called once.
func PaceCollector() { new(pacer).pace() }

// pacer sets the collector's percentage after each collection.
type pacer struct{ percent int }

func (p *pacer) pace() {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(s)
	var grows uint64 // what the percentage is of
	for _, v := range s {
		if v.Value.Kind() == metrics.KindUint64 {
			grows += v.Value.Uint64()
		}
	}
	p.set(percentFor(grows))
	runtime.AddCleanup(new(cycle), (*pacer).pace, p) // the next collection finds it unreachable
}

// cycle holds a pointer: small objects without one share their memory.
type cycle struct{ _ *cycle }

// percentFor is the percentage for so many bytes of live heap, stacks and globals.
func percentFor(grows uint64) int {
	return max(gcPercent, int(gcRoom*100/max(grows, gcLowest)))
}

// set stops the world for a moment, so a small difference is left alone.
func (p *pacer) set(percent int) {
	if d := percent - p.percent; d > p.percent/8 || -d > p.percent/8 {
		debug.SetGCPercent(percent)
		p.percent = percent
	}
}
