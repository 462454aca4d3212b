package queue

import (
	"container/heap"
	"math"

	"doorway/transports"
)

// place says where an entry is.
type place uint8

const (
	held   place = iota // leased, or being changed
	future              // not due yet
	ready               // may be leased
	parked              // due, but its destination is busy
)

// entry is what memory holds of a job that still works: about 100 bytes with
// its share of the maps.
type entry struct {
	id       uint64
	due      int64 // Unix ns
	deadline int64 // Unix ns, 0: none
	dest     uint64
	prio     int32
	pos      int32  // in the pile of its place
	lane     uint16 // number of its lane
	state    stateNo
	place    place
	tried    bool
}

// stateNo is a state in one byte.
type stateNo uint8

var stateNames = [...]transports.State{
	transports.Queued, transports.Leased, transports.OnAir, transports.RetryWait,
	transports.Accepted, transports.Delivered, transports.SentUnconfirmed, transports.PossiblySent,
	transports.Failed, transports.Cancelled, transports.Expired,
}

func numberOf(s transports.State) stateNo {
	for i, n := range stateNames {
		if n == s {
			return stateNo(i)
		}
	}
	return 0
}

func (n stateNo) String() string { return string(stateNames[n]) }

// pile is a heap of entries that know their position.
type pile struct {
	e    []*entry
	less func(a, b *entry) bool
}

func (p *pile) Len() int           { return len(p.e) }
func (p *pile) Less(i, j int) bool { return p.less(p.e[i], p.e[j]) }
func (p *pile) Swap(i, j int) {
	p.e[i], p.e[j] = p.e[j], p.e[i]
	p.e[i].pos, p.e[j].pos = int32(i), int32(j)
}
func (p *pile) Push(x any) {
	e := x.(*entry)
	e.pos = int32(len(p.e))
	p.e = append(p.e, e)
}
func (p *pile) Pop() any {
	n := len(p.e) - 1
	e := p.e[n]
	p.e[n] = nil
	p.e = p.e[:n]
	return e
}

func (p *pile) first() *entry {
	if len(p.e) == 0 {
		return nil
	}
	return p.e[0]
}

// sooner orders by due time, then id.
func sooner(a, b *entry) bool {
	if a.due != b.due {
		return a.due < b.due
	}
	return a.id < b.id
}

// before is the order of leasing: priority, then due time, then id.
func before(a, b *entry) bool {
	if a.prio != b.prio {
		return a.prio > b.prio
	}
	return sooner(a, b)
}

// index finds the next job to lease. It is guarded by Queue.mu.
//
// A job of a busy destination is parked when its turn comes. While a
// destination is idle and jobs of it are parked, at least one more of its jobs
// in the same lane lies in ready; so each lease costs O(log n), however many jobs one
// destination has. Each lane has a pile of its own, so that a lane which nobody
// serves at the moment does not stand in the way of the others.
type index struct {
	jobs   map[uint64]*entry
	future pile
	ready  []*pile         // by number of the lane
	lanes  []string        // their names
	number map[string]int  // and numbers
	parked map[lot]*pile   // by destination and lane
	busy   map[uint64]bool // destinations with a leased job
}

// lot is where jobs of a busy destination are parked.
type lot struct {
	dest uint64
	lane uint16
}

// maxLanes bounds the lanes that are told apart; what comes later is in the
// lane "".
const maxLanes = 1000

func newIndex() *index {
	x := &index{
		jobs:   make(map[uint64]*entry),
		future: pile{less: sooner},
		number: make(map[string]int),
		parked: make(map[lot]*pile),
		busy:   make(map[uint64]bool),
	}
	x.lane("")
	return x
}

// lane returns the number of a lane.
func (x *index) lane(name string) uint16 {
	n, ok := x.number[name]
	switch {
	case ok:
		return uint16(n)
	case len(x.lanes) >= maxLanes:
		return 0
	}
	n = len(x.lanes)
	x.number[name] = n
	x.lanes = append(x.lanes, name)
	x.ready = append(x.ready, &pile{less: before})
	return uint16(n)
}

// put adds a held entry to the pile it belongs to.
func (x *index) put(e *entry, now int64) {
	x.jobs[e.id] = e
	if e.due > now {
		e.place = future
		heap.Push(&x.future, e)
		return
	}
	x.makeReady(e)
}

func (x *index) makeReady(e *entry) {
	if !x.busy[e.dest] {
		e.place = ready
		heap.Push(x.ready[e.lane], e)
		return
	}
	l := lot{e.dest, e.lane}
	p := x.parked[l]
	if p == nil {
		p = &pile{less: before}
		x.parked[l] = p
	}
	e.place = parked
	heap.Push(p, e)
}

// hold takes an entry out of its pile.
func (x *index) hold(e *entry) {
	from := e.place
	e.place = held
	switch from {
	case future:
		heap.Remove(&x.future, int(e.pos))
	case ready:
		heap.Remove(x.ready[e.lane], int(e.pos))
		x.unpark(lot{e.dest, e.lane})
	case parked:
		l := lot{e.dest, e.lane}
		heap.Remove(x.parked[l], int(e.pos))
		if x.parked[l].Len() == 0 {
			delete(x.parked, l)
		}
	}
}

// unpark makes the first parked job of an idle destination and a lane ready.
func (x *index) unpark(l lot) {
	p := x.parked[l]
	if p == nil || x.busy[l.dest] {
		return
	}
	e := heap.Pop(p).(*entry)
	if p.Len() == 0 {
		delete(x.parked, l)
	}
	x.makeReady(e)
}

// take leases the next job that accept takes (nil: any): it is held and its
// destination busy until free.
func (x *index) take(now int64, accept func(lane string, priority int) bool) *entry {
	for e := x.future.first(); e != nil && e.due <= now; e = x.future.first() {
		heap.Pop(&x.future)
		x.makeReady(e)
	}
	var refused map[*pile]bool
	for {
		var best *pile
		for i, p := range x.ready {
			for e := p.first(); e != nil && x.busy[e.dest]; e = p.first() {
				heap.Pop(p)
				x.makeReady(e) // parks it
			}
			e := p.first()
			if e == nil || refused[p] || best != nil && before(best.first(), e) {
				continue
			}
			if accept != nil && !accept(x.lanes[i], int(e.prio)) {
				if refused == nil {
					refused = make(map[*pile]bool)
				}
				refused[p] = true
				continue
			}
			best = p
		}
		if best == nil {
			return nil
		}
		e := heap.Pop(best).(*entry)
		e.place = held
		x.busy[e.dest] = true
		return e
	}
}

// free ends the lease of a destination.
func (x *index) free(dest uint64) {
	delete(x.busy, dest)
	for lane := range x.lanes {
		x.unpark(lot{dest, uint16(lane)})
	}
}

// next is the time of the earliest job that is not due yet.
func (x *index) next() int64 {
	if e := x.future.first(); e != nil {
		return e.due
	}
	return math.MaxInt64
}

// remove forgets a held entry.
func (x *index) remove(e *entry) { delete(x.jobs, e.id) }
