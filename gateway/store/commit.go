package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Bounds of one commit. A single larger request is still committed whole.
const (
	maxChanges = 200
	maxBytes   = 256 << 10
)

// reserve is how far a commit that only deletes may go beyond MaxSize: bbolt
// needs new pages even for that, and a full file must not stay full for ever.
const reserve = 4 << 20

// aliveEvery is the longest time between two commits that a probe accepts.
const aliveEvery = 5 * time.Minute

// dbFile is one database with its queue of changes.
type dbFile struct {
	name    string
	path    string
	opts    *bbolt.Options
	alloc   int
	max     int           // Options.MaxSize
	linger  time.Duration // how long the first change of a batch waits for company
	wake    chan struct{} // holds one token when there is something to look at
	clock   func() time.Time
	tryEach time.Duration // aliveEvery

	// Locks are taken in this order; mu is the last.
	upkeep   sync.Mutex   // held by a copy or a compaction
	commitMu sync.Mutex   // held by whoever commits; guards what follows
	broken   error        // bbolt panicked while writing
	trail    *trail       // not nil while a compaction follows
	swap     sync.RWMutex // held by reads; a compaction changes db under both
	db       *bbolt.DB

	mu      sync.Mutex // guards what follows
	running bool
	closed  bool
	order   uint64
	urgent  []*request
	queue   []*request
	queued  int // changes in urgent and queue
	bytes   int
	maxWait int // maxQueued
	rows    map[*Table]map[string]*pending
	stats   Stats
}

func newFile(path string, db *bbolt.DB, opts *bbolt.Options) *dbFile {
	return &dbFile{
		name: filepath.Base(path), path: path, db: db, opts: opts, max: opts.MaxSize, alloc: db.AllocSize,
		maxWait: maxQueued,
		wake:    make(chan struct{}, 1),
		clock:   time.Now,
		tryEach: aliveEvery,
		rows:    make(map[*Table]map[string]*pending),
		stats:   Stats{LastCommit: time.Now()},
	}
}

// later queues a request.
func (f *dbFile) later(r *request) {
	if _, err := f.enqueue(r); err != nil && r.done != nil {
		r.done(err)
	}
}

// write queues a request and waits until it is on disk. Without a running
// committer the caller commits.
func (f *dbFile) write(r *request) error {
	result := make(chan error, 1)
	before := r.done
	r.done = func(err error) {
		if before != nil {
			before(err)
		}
		result <- err
	}
	running, err := f.enqueue(r)
	if err != nil {
		r.done(err)
		return err
	}
	if !running {
		f.drain()
	}
	return <-result
}

// run commits until ctx has ended and the queue is empty.
func (f *dbFile) run(ctx context.Context) error {
	f.mu.Lock()
	if f.running || f.closed {
		f.mu.Unlock()
		return fmt.Errorf("run committer of %s: already running or closed", f.name)
	}
	f.running = true
	f.mu.Unlock()
	for {
		f.mu.Lock()
		idle := len(f.urgent)+len(f.queue) == 0
		if idle && ctx.Err() != nil {
			f.running = false
			f.mu.Unlock()
			return nil
		}
		f.mu.Unlock()
		if idle {
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
			continue
		}
		if f.linger == 0 {
			f.drain()
			continue
		}
		// What came during a commit waits for company as what came before it
		// did, or a fast disk would commit each change alone.
		f.collect(ctx)
		f.commitNext()
	}
}

// collect lets changes gather for the linger of the file's class.
func (f *dbFile) collect(ctx context.Context) {
	t := time.NewTimer(f.linger)
	defer t.Stop()
	for {
		f.mu.Lock()
		enough := len(f.urgent) > 0 || f.queued >= maxChanges || f.bytes >= maxBytes
		f.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-f.wake:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// commitNext commits one batch.
func (f *dbFile) commitNext() {
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	if batch := f.gather(); len(batch) > 0 {
		f.commit(batch)
	}
}

// drain commits until nothing is queued.
func (f *dbFile) drain() {
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	for {
		batch := f.gather()
		if len(batch) == 0 {
			return
		}
		f.commit(batch)
	}
}

// commit writes a batch as one transaction and tells everyone who waits.
// commitMu is held.
func (f *dbFile) commit(batch []*request) {
	var writers []*request
	probed := false
	for _, r := range batch {
		switch {
		case r.probe:
			probed = true
		case r.err == nil && len(r.changes) > 0:
			writers = append(writers, r)
		}
	}
	var alive []byte
	if probed && len(writers) == 0 {
		f.mu.Lock()
		if now := f.clock(); now.Sub(f.stats.LastCommit) >= f.tryEach {
			alive, _ = json.Marshal(now.UTC()) // ignored: a time can be encoded
		}
		f.mu.Unlock()
	}
	if len(writers) == 0 && alive == nil {
		f.settle(batch, func(r *request) error { return r.err })
		return
	}
	err := f.transact(writers, alive, f.max)
	wrote := err == nil
	failed := func(r *request) error {
		if r.err != nil {
			return r.err
		}
		return err
	}
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		// Deletions make room, so they alone may use the reserve.
		var small []*request
		for _, r := range writers {
			if deletesOnly(r) {
				small = append(small, r)
			}
		}
		if len(small) > 0 && f.transact(small, nil, f.max+reserve) == nil {
			wrote = true
			failed = func(r *request) error {
				if r.err == nil && deletesOnly(r) {
					return nil
				}
				return errors.Join(r.err, err)
			}
		}
	}
	f.mu.Lock()
	if wrote {
		f.stats.Commits++
		f.stats.LastCommit = f.clock()
	}
	f.stats.Err = err
	f.mu.Unlock()
	f.settle(batch, failed)
}

func deletesOnly(r *request) bool {
	for _, c := range r.changes {
		if !c.delete {
			return false
		}
	}
	return len(r.changes) > 0
}

// transact runs one bbolt transaction. A panic of bbolt means damaged pages:
// the file takes no more writes until the next start.
func (f *dbFile) transact(requests []*request, alive []byte, maxSize int) error {
	if f.broken != nil {
		return f.broken
	}
	f.db.MaxSize = maxSize // read by the writer only, and that is us
	var applied []change
	err := guarded(func() error {
		return f.db.Update(func(tx *bbolt.Tx) (err error) {
			applied, err = f.apply(tx, requests, alive)
			return err
		})
	})
	var p *panicked
	if errors.As(err, &p) {
		f.suspect()
		f.broken = &Error{
			Text: fmt.Sprintf("%s is damaged (%v) and takes no more changes. Restart doorway: it looks for a good copy when it starts.", f.name, p),
			Err:  fmt.Errorf("commit %s: %w", f.name, p),
		}
		return f.broken
	}
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return f.full(err)
	}
	if err != nil {
		return f.refusal(fmt.Errorf("commit %s: %w", f.name, err))
	}
	if f.trail != nil {
		f.trail.add(applied)
	}
	return nil
}

// refusal gives what the system said of a write a sentence, where a person can
// do something about it.
func (f *dbFile) refusal(err error) error {
	cure := ""
	for is, text := range map[error]string{
		syscall.ENOSPC: "the disk is full. Free space on it",
		syscall.EDQUOT: "the disk space allotted to doorway is used up. Free some of it, or allow more",
		syscall.EFBIG:  "a file may not become so large. Raise the limit that doorway runs under",
		syscall.EROFS:  "the disk is read-only. Make it writable, and look at `dmesg` for why it became so",
		syscall.EIO:    "the disk has a fault. Look at `dmesg`, and replace it",
	} {
		if errors.Is(err, is) {
			cure = text
		}
	}
	if cure == "" {
		return err
	}
	return &Error{Text: fmt.Sprintf("Nothing can be written to %s: %s; until then messages and texts are refused.", f.path, cure), Err: err}
}

// full is the refusal of a file that has reached its limit.
func (f *dbFile) full(err error) error {
	what := "Take away messages and jobs that nobody needs: `doorway queue list` shows the jobs, and offline messages go when their owners log in."
	if f.linger > 0 {
		what = "To begin a new one, stop doorway and move the file away."
	}
	return &Error{
		Text: fmt.Sprintf("%s is full: it has reached its limit of %d MB and takes nothing new. %s", f.name, f.max>>20, what),
		Err:  fmt.Errorf("commit %s: %w: %w", f.name, ErrFull, err),
	}
}

// apply makes the changes and, for a compaction that follows, lists them.
func (f *dbFile) apply(tx *bbolt.Tx, requests []*request, alive []byte) (applied []change, err error) {
	if alive != nil {
		if err := tx.Bucket([]byte(metaBucket)).Put([]byte(keyAlive), alive); err != nil {
			return nil, err
		}
	}
	buckets := make(map[*Table]*bbolt.Bucket)
	for _, r := range requests {
		for i := range r.changes {
			c := &r.changes[i]
			b := buckets[c.t]
			if b == nil {
				b = tx.Bucket([]byte(c.t.name))
				if c.t.ordered {
					b.FillPercent = 0.9
				}
				buckets[c.t] = b
			}
			f.mu.Lock()
			skip := f.overtaken(r, c)
			f.mu.Unlock()
			if skip {
				continue
			}
			if err := c.put(b); err != nil {
				return nil, fmt.Errorf("%s: %w", c.t.name, err)
			}
			if f.trail != nil {
				applied = append(applied, *c)
			}
		}
	}
	return applied, nil
}

// put makes the change in its bucket.
func (c *change) put(b *bbolt.Bucket) error {
	switch {
	case c.seq != 0:
		if b.Sequence() < c.seq {
			return b.SetSequence(c.seq)
		}
		return nil
	case c.delete:
		return b.Delete([]byte(c.key))
	}
	return b.Put([]byte(c.key), c.val)
}

// settle takes a batch out of what callers see as queued and tells them.
func (f *dbFile) settle(batch []*request, outcome func(*request) error) {
	f.mu.Lock()
	for _, r := range batch {
		ok := outcome(r) == nil
		f.queued -= len(r.changes)
		f.bytes -= r.bytes
		for i := range r.changes {
			if c := &r.changes[i]; c.seq == 0 {
				f.settleRow(r, c, ok)
			}
		}
		if ok {
			f.stats.Changes += uint64(len(r.changes))
		}
	}
	f.mu.Unlock()
	for _, r := range batch {
		if r.done != nil {
			r.done(outcome(r))
		}
	}
}

// probe asks the committer for an answer.
func (f *dbFile) probe(ctx context.Context) error {
	result := make(chan error, 1)
	if _, err := f.enqueue(&request{probe: true, urgent: true, done: func(err error) { result <- err }}); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return fmt.Errorf("the committer does not run: %w", ctx.Err())
	}
	return fmt.Errorf("the committer is stuck: %w", ctx.Err())
}

// check runs bbolt's consistency check.
func (f *dbFile) check() error {
	f.commitMu.Lock() // the check must not meet a writer
	defer f.commitMu.Unlock()
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return f.view(checkPages)
}

// view runs a read transaction. It must be short: growth beyond the mapped
// size waits for it, and so does a compaction.
func (f *dbFile) view(fn func(tx *bbolt.Tx) error) error {
	f.swap.RLock()
	defer f.swap.RUnlock()
	return guarded(func() error { return f.db.View(fn) })
}

// close commits what is queued and closes the file.
func (f *dbFile) close() error {
	f.drain()
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	f.drain() // what came between the two
	f.upkeep.Lock()
	defer f.upkeep.Unlock()
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	if f.broken != nil {
		return nil // bbolt may still hold its own lock; the process ends anyway
	}
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.name, err)
	}
	return nil
}
