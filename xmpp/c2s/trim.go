package c2s

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// trimmer gives unused memory back to the system when the process has become
// quiet. The runtime does so too, but first collects garbage only when the
// heap has doubled or two minutes have passed, and keeps a reserve: after
// the morning's wave of logins a small box would carry that all day.
type trimmer struct {
	trimmed uint64 // bytes allocated at the last trim
	seen    uint64 // bytes allocated when last looked
	since   time.Time
}

const (
	trimWorth = 4 << 20 // allocated since the last trim, so that it is worth the collection
	trimQuiet = 1 << 20 // more than that between two looks is not quiet
	allocated = "/gc/heap/allocs:bytes"
)

// look is called at each sweep.
func (t *trimmer) look(now time.Time, after time.Duration) {
	sample := []metrics.Sample{{Name: allocated}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	bytes := sample[0].Value.Uint64()
	busy := t.since.IsZero() || bytes-t.seen > trimQuiet
	t.seen = bytes
	switch {
	case busy:
		t.since = now
	case now.Sub(t.since) >= after && bytes-t.trimmed > trimWorth:
		collect()
		t.trimmed = bytes
		t.since = now
	}
}

// collect gives unused memory back. A collection halves each stack of which
// little is used, such as those on which TLS was negotiated, so there are
// several while that goes on.
func collect() {
	stacks := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(stacks)
	for range 4 {
		before := stacks[0].Value
		debug.FreeOSMemory()
		metrics.Read(stacks)
		now := stacks[0].Value
		if now.Kind() != metrics.KindUint64 || now.Uint64() > before.Uint64()/8*7 {
			return
		}
	}
}
