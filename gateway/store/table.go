package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Table is one bucket; it satisfies xmpp.Table and transports.Table. Safe for
// concurrent use. Keys sort bytewise and are 1 to 32768 bytes long.
type Table struct {
	f       *dbFile
	name    string
	ordered bool

	mu        sync.Mutex // guards what follows
	ids       ids
	next      ids  // the block after ids, when it is on disk already
	reserving bool // a reservation is on its way
	highest   uint64
}

// Get reads the value of a key into v and reports whether it exists; it sees
// queued changes. v is a *[]byte or *json.RawMessage for the stored bytes,
// else what JSON is decoded into; nil asks for existence only.
func (t *Table) Get(key string, v any) (bool, error) {
	t.f.mu.Lock()
	if p := t.f.rows[t][key]; p != nil {
		raw, gone := p.val, p.delete
		t.f.mu.Unlock()
		if gone {
			return false, nil
		}
		return true, t.decode(key, bytes.Clone(raw), v)
	}
	t.f.mu.Unlock()
	var raw []byte
	found := false
	err := t.f.view(func(tx *bbolt.Tx) error {
		k, val := tx.Bucket([]byte(t.name)).Cursor().Seek([]byte(key))
		if found = k != nil && string(k) == key; found {
			raw = append([]byte{}, val...)
		}
		return nil
	})
	if err != nil {
		return false, t.readError(err)
	}
	if !found {
		return false, nil
	}
	return true, t.decode(key, raw, v)
}

func (t *Table) readError(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	if errors.Is(err, ErrDamaged) {
		t.f.suspect()
	}
	return fmt.Errorf("read %s: %w", t.name, err)
}

func (t *Table) decode(key string, raw []byte, v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case *[]byte:
		*v = raw
		return nil
	case *json.RawMessage:
		*v = raw
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("read %s %q: %w", t.name, key, err)
	}
	return nil
}

// Write commits changes (key, value; nil deletes) as a whole and returns after
// fsync. []byte and json.RawMessage are stored as they are, all else as JSON.
// An empty []byte is an empty value, not a deletion.
func (t *Table) Write(changes map[string]any) error {
	r := &request{}
	r.add(t, changes)
	return t.f.write(r)
}

// WriteUrgent is Write that commits before what is queued behind it is
// gathered (the on-air mark of an SMS). It may overtake a change that Later
// queued; of changes to one key the newest stays.
func (t *Table) WriteUrgent(changes map[string]any) error {
	r := &request{urgent: true}
	r.add(t, changes)
	return t.f.write(r)
}

// Later queues changes in order and returns at once. done, when not nil, is
// called after fsync, or with the error of the commit; it runs on the
// committer's goroutine, so it must not block and must not call Write. After
// Close it is called at once, with ErrClosed.
func (t *Table) Later(changes map[string]any, done func(error)) {
	r := &request{done: done}
	r.add(t, changes)
	t.f.later(r)
}

// add encodes changes into the request.
func (r *request) add(t *Table, changes map[string]any) {
	for key, v := range changes {
		c := change{t: t, key: key}
		switch v := v.(type) {
		case nil:
			c.delete = true
		case []byte:
			c.val = append([]byte{}, v...)
		case json.RawMessage:
			c.val = append([]byte{}, v...)
		default:
			raw, err := json.Marshal(v)
			if err != nil {
				r.err = fmt.Errorf("write %s %q: %w", t.name, key, err)
				return
			}
			c.val = raw
		}
		if key == "" || len(key) > bbolt.MaxKeySize {
			r.err = fmt.Errorf("write %s: key of %d bytes", t.name, len(key))
			return
		}
		r.bytes += len(key) + len(c.val)
		r.changes = append(r.changes, c)
	}
}

// Bounds of what Range copies out at a time.
const (
	pageRows  = 256
	pageBytes = 64 << 10
)

// row is one entry as Range hands it out.
type row struct {
	key string
	val []byte
}

// Range calls f for each key with from <= key < to ("" is open), in rising
// order or reversed, until f returns false. It sees queued changes. No lock
// and no transaction is held during f, which may write to the table: entries
// are copied out a page at a time, each page consistent in itself. raw is f's
// to keep.
func (t *Table) Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error {
	for limit := 32; ; limit = pageRows {
		rows, more, err := t.page(from, to, reverse, limit)
		if err != nil {
			return t.readError(err)
		}
		for _, r := range rows {
			if !f(r.key, r.val) {
				return nil
			}
		}
		if !more {
			return nil
		}
		if last := rows[len(rows)-1].key; reverse {
			to = last
		} else {
			from = last + "\x00"
		}
	}
}

// page copies out the next rows: those on disk with the queued changes laid
// over them.
func (t *Table) page(from, to string, reverse bool, limit int) (rows []row, more bool, err error) {
	if to != "" && from >= to {
		return nil, false, nil
	}
	t.f.swap.RLock()
	defer t.f.swap.RUnlock()
	err = guarded(func() error {
		// The transaction begins under mu: a change leaves f.rows only after it
		// is in the file, so none can be missed between the two.
		t.f.mu.Lock()
		queued := t.queuedRows(from, to, reverse)
		tx, err := t.f.db.Begin(false)
		t.f.mu.Unlock()
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // ignored: a read transaction only
		rows, more = merge(newWalk(tx.Bucket([]byte(t.name)), from, to, reverse), queued, reverse, limit)
		return nil
	})
	return rows, more, err
}

// queuedRow is a row with a queued change.
type queuedRow struct {
	row
	gone bool
}

// queuedRows returns the queued changes in the range, in the order of the
// walk. mu of the file is held.
func (t *Table) queuedRows(from, to string, reverse bool) []queuedRow {
	var q []queuedRow
	for k, p := range t.f.rows[t] {
		if k >= from && (to == "" || k < to) {
			q = append(q, queuedRow{row{k, p.val}, p.delete})
		}
	}
	sort.Slice(q, func(i, j int) bool { return (q[i].key < q[j].key) != reverse })
	return q
}

// walk goes through the keys of a bucket in a range.
type walk struct {
	c        *bbolt.Cursor
	from, to string
	reverse  bool
	k, v     []byte
}

func newWalk(b *bbolt.Bucket, from, to string, reverse bool) *walk {
	w := &walk{c: b.Cursor(), from: from, to: to, reverse: reverse}
	switch {
	case !reverse && from == "":
		w.k, w.v = w.c.First()
	case !reverse:
		w.k, w.v = w.c.Seek([]byte(from))
	case to == "":
		w.k, w.v = w.c.Last()
	default:
		if k, _ := w.c.Seek([]byte(to)); k == nil {
			w.k, w.v = w.c.Last()
		} else {
			w.k, w.v = w.c.Prev()
		}
	}
	w.bound()
	return w
}

func (w *walk) step() {
	if w.reverse {
		w.k, w.v = w.c.Prev()
	} else {
		w.k, w.v = w.c.Next()
	}
	w.bound()
}

// bound ends the walk outside of its range.
func (w *walk) bound() {
	if w.k == nil {
		return
	}
	if w.reverse && string(w.k) < w.from || !w.reverse && w.to != "" && string(w.k) >= w.to {
		w.k, w.v = nil, nil
	}
}

// merge takes rows from the walk and from the queued changes, which win, until
// a bound of the page is reached.
func merge(w *walk, queued []queuedRow, reverse bool, limit int) (rows []row, more bool) {
	size := 0
	for w.k != nil || len(queued) > 0 {
		if len(rows) >= limit || size >= pageBytes {
			return rows, true
		}
		var r row
		cmp := 1 // of the queued key with the one on disk, along the walk
		if len(queued) > 0 {
			switch {
			case w.k == nil:
				cmp = -1
			case queued[0].key == string(w.k):
				cmp = 0
			case (queued[0].key < string(w.k)) != reverse:
				cmp = -1
			}
		}
		if cmp <= 0 {
			q := queued[0]
			queued = queued[1:]
			if cmp == 0 {
				w.step()
			}
			if q.gone {
				continue
			}
			r = row{q.key, bytes.Clone(q.val)}
		} else {
			r = row{string(w.k), append([]byte{}, w.v...)}
			w.step()
		}
		rows = append(rows, r)
		size += len(r.key) + len(r.val)
	}
	return rows, false
}
