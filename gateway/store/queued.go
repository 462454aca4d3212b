package store

import "fmt"

// maxQueued is how many bytes of changes may wait for the disk in one file,
// rowCost what a change takes beside its key and value. A disk that does not
// answer must not fill the memory: what comes after is refused.
const (
	maxQueued = 32 << 20
	rowCost   = 256
)

// change is one row of a request.
type change struct {
	t      *Table
	key    string
	val    []byte
	delete bool
	seq    uint64 // not zero: raise the bucket's sequence to this, nothing else
}

// request is what one caller wants committed together.
type request struct {
	order   uint64 // position among all requests of the file
	changes []change
	bytes   int
	done    func(error) // may be nil
	urgent  bool
	probe   bool
	err     error // set when a value could not be encoded: nothing is committed
}

// pending is a row as callers see it while changes of it are queued.
type pending struct {
	val       []byte
	delete    bool
	order     uint64 // of the newest queued change
	waiting   int    // queued changes of this row
	committed uint64 // of the newest committed change, while older ones wait
}

// enqueue adds a request and reports whether a committer will come for it.
func (f *dbFile) enqueue(r *request) (running bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false, ErrClosed
	}
	// Urgent requests and reservations of ids are few and small.
	if waiting := f.bytes + f.queued*rowCost; !r.urgent && r.bytes > 0 && waiting > 0 && waiting+r.bytes+len(r.changes)*rowCost > f.maxWait {
		return false, &Error{
			Text: fmt.Sprintf("The disk does not keep up: %d changes of %s wait to be written. Try again later; if this stays, look at the disk.", f.queued, f.name),
			Err:  fmt.Errorf("queue change of %s: %d bytes wait: %w", f.name, waiting, ErrOverload),
		}
	}
	f.order++
	r.order = f.order
	if r.err != nil {
		r.changes = nil
	}
	if r.urgent {
		f.urgent = append(f.urgent, r)
	} else {
		f.queue = append(f.queue, r)
	}
	f.queued += len(r.changes)
	f.bytes += r.bytes
	for i := range r.changes {
		if c := &r.changes[i]; c.seq == 0 {
			f.showRow(r, c)
		}
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return f.running, nil
}

// showRow lets callers see a queued change. mu is held.
func (f *dbFile) showRow(r *request, c *change) {
	rows := f.rows[c.t]
	if rows == nil {
		rows = make(map[string]*pending)
		f.rows[c.t] = rows
	}
	p := rows[c.key]
	if p == nil {
		p = &pending{}
		rows[c.key] = p
	}
	p.val, p.delete, p.order = c.val, c.delete, r.order
	p.waiting++
}

// gather takes the next batch from the queue: urgent requests alone, else the
// oldest ones up to the bounds. Changes of a row that an urgent request has
// overtaken are left out.
func (f *dbFile) gather() []*request {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := &f.queue
	if len(f.urgent) > 0 {
		from = &f.urgent
	}
	n, changes, bytes := 0, 0, 0
	for n < len(*from) {
		r := (*from)[n]
		if n > 0 && (changes+len(r.changes) > maxChanges || bytes+r.bytes > maxBytes) {
			break
		}
		changes += len(r.changes)
		bytes += r.bytes
		n++
	}
	batch := (*from)[:n:n]
	if *from = (*from)[n:]; len(*from) == 0 {
		*from = nil
	}
	return batch
}

// overtaken reports that a newer change of the row is on disk already.
func (f *dbFile) overtaken(r *request, c *change) bool {
	p := f.rows[c.t][c.key]
	return p != nil && p.committed > r.order
}

// settleRow ends one queued change of a row. mu is held.
func (f *dbFile) settleRow(r *request, c *change, ok bool) {
	rows := f.rows[c.t]
	p := rows[c.key]
	p.waiting--
	if ok && r.order > p.committed {
		p.committed = r.order
	}
	switch {
	case p.waiting == 0:
		if delete(rows, c.key); len(rows) == 0 {
			delete(f.rows, c.t) // a map never shrinks by itself
		}
	case !ok && p.order == r.order:
		// An urgent change failed while older ones wait: show the newest of those.
		p.order = 0
		for _, q := range [][]*request{f.urgent, f.queue} {
			for _, o := range q {
				for _, oc := range o.changes {
					if oc.t == c.t && oc.key == c.key && o.order > p.order {
						p.val, p.delete, p.order = oc.val, oc.delete, o.order
					}
				}
			}
		}
	}
}
