package store

import "go.etcd.io/bbolt"

// blockSize is how many ids one commit reserves. A restart skips what is left
// of a block.
const blockSize = 1024

// ids are reserved numbers from next up to and including last.
type ids struct{ next, last uint64 }

func (i ids) left() uint64 { return i.last + 1 - i.next }

// Next returns an id that is unique for the table, rising, and never used
// again after a crash. Blocks of ids are reserved on disk ahead of need, so it
// waits for the disk only where the disk is slower than the caller.
func (t *Table) Next() (uint64, error) {
	for {
		t.mu.Lock()
		if t.ids.left() == 0 {
			t.ids, t.next = t.next, ids{1, 0}
		}
		if t.ids.left() > 0 {
			id := t.ids.next
			t.ids.next++
			refill := t.ids.left() < blockSize/2 && t.next.left() == 0 && !t.reserving
			var r *request
			if refill {
				r = t.reservation()
			}
			t.mu.Unlock()
			if r != nil {
				t.f.later(r)
			}
			return id, nil
		}
		// Nothing left. Any request queued now is committed after a reservation
		// that is on its way already.
		r := &request{}
		if !t.reserving {
			r = t.reservation()
		}
		t.mu.Unlock()
		if err := t.f.write(r); err != nil {
			return 0, err
		}
	}
}

// reservation makes the request for the next block. mu is held.
func (t *Table) reservation() *request {
	t.reserving = true
	block := ids{t.highest + 1, t.highest + blockSize}
	return &request{
		changes: []change{{t: t, seq: block.last}},
		done: func(err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.reserving = false
			if err == nil {
				t.next, t.highest = block, block.last
			}
		},
	}
}

// reserveAll reads where the tables of one file stand and reserves the first
// block of each in one commit. On a full disk there is none, and Next tries
// again.
func reserveAll(tables []*Table) error {
	f := tables[0].f
	err := f.view(func(tx *bbolt.Tx) error {
		for _, t := range tables {
			t.highest = tx.Bucket([]byte(t.name)).Sequence()
		}
		return nil
	})
	if err != nil {
		return err
	}
	all := &request{}
	var settle []func(error)
	for _, t := range tables {
		t.mu.Lock()
		t.ids, t.next = ids{1, 0}, ids{1, 0}
		r := t.reservation()
		t.mu.Unlock()
		all.changes = append(all.changes, r.changes...)
		settle = append(settle, r.done)
	}
	err = f.write(all)
	for _, done := range settle {
		done(err)
	}
	return nil
}
