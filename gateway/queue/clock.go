package queue

import (
	"time"

	"doorway/transports"
)

// leastJump is how far the clock must be put forward or back at once to be
// said to have jumped. A box without a clock of its own wakes with the time it
// was switched off at, until it hears of the right one.
const leastJump = time.Minute

// maxJumps bounds the jumps that are remembered.
const maxJumps = 32

// jump is one setting of the clock while the queue was open. Whatever waited
// then keeps the time it had left, but for what waits for a moment of its own.
// Jumps are in memory only.
type jump struct {
	by     int64           // ns
	before int64           // Unix ns, by the clock as it was
	last   uint64          // the newest job there was
	except map[uint64]bool // jobs that the jump does not move, or whose record knows of it
}

// watch is the clock as it was looked at last.
type watch struct {
	wall int64     // Unix ns
	mono time.Time // with a monotonic reading, which nobody sets
}

// look returns the time, and moves what waits when the clock has jumped since
// the last look. mu is held.
func (q *Queue) look() time.Time {
	now, mono := q.now(), time.Now()
	was := q.clock
	q.clock = watch{wall: now.UnixNano(), mono: mono}
	if was.mono.IsZero() {
		return now
	}
	before := was.wall + int64(mono.Sub(was.mono))
	if by := q.clock.wall - before; time.Duration(by).Abs() >= leastJump {
		q.jumped(jump{by: by, before: before, except: make(map[uint64]bool)})
		q.log().Warn("the clock was set, waiting jobs keep their time", "by", time.Duration(by).Round(time.Second))
	}
	return now
}

// jumped moves the times in the index. mu is held.
func (q *Queue) jumped(j jump) {
	var sooner []*entry
	for id, e := range q.index.jobs {
		j.last = max(j.last, id)
		switch {
		case e.place != future:
		case e.state == numberOf(transports.Queued):
			j.except[id] = true // somebody has named its moment
		case j.by < 0:
			sooner = append(sooner, e)
		}
	}
	for _, e := range sooner {
		q.index.hold(e)
		e.due += j.by
		q.index.put(e, j.before+j.by)
	}
	q.jumps = append(q.jumps, j)
	if len(q.jumps) > maxJumps {
		q.jumps = q.jumps[1:]
	}
}

// deadline is when a job is given up, which was at on disk. mu is held.
func (q *Queue) deadline(id uint64, at int64) int64 {
	if at == 0 {
		return 0
	}
	for i := range q.jumps {
		if j := &q.jumps[i]; id <= j.last && at > j.before && !j.except[id] {
			at = max(at+j.by, 1)
		}
	}
	return at
}

// known notes that a job's record has its deadline as deadline gives it, or
// another one. mu is held.
func (q *Queue) known(id uint64) {
	for i := range q.jumps {
		if j := &q.jumps[i]; id <= j.last {
			j.except[id] = true
		}
	}
}
