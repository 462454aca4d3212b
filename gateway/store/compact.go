package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Bounds of compaction.
const (
	compactFrom  = 4 << 20  // bytes in use and free; below, nothing is to be won
	compactStep  = 1 << 20  // bytes in one transaction of the new file
	maxTrail     = 16 << 20 // bytes of changes that are remembered meanwhile
	catchUps     = 10       // rounds of catching up before the committer has to wait
	smallTrail   = 100      // changes that it may wait for
	spareOnDisk  = 16 << 20 // left free for the committer
	maxMapped32  = 128 << 20
	fullFraction = 0.8
)

// ErrBusy says that a compaction was given up because too many changes came
// meanwhile; the file is as it was.
var ErrBusy = errors.New("too many changes during the compaction")

// Compaction says what was won.
type Compaction struct {
	File          string
	Before, After int64 // bytes on disk
}

// FileSize says how full a file is.
type FileSize struct {
	Name string
	Used int64 // bytes of pages in use
	Free int64 // bytes of pages that new changes will use before the file grows
	Max  int64 // Used cannot get above this
}

// NearlyFull reports that over 80 % may be used.
func (s FileSize) NearlyFull() bool { return float64(s.Used) >= fullFraction*float64(s.Max) }

// sparse reports that over half of the file is free and that it matters.
func (s FileSize) sparse() bool { return s.Used+s.Free >= compactFrom && s.Free > s.Used }

// Sizes returns how full both files are.
func (s *Store) Sizes() []FileSize {
	list := make([]FileSize, 0, len(s.files))
	for _, f := range s.files {
		list = append(list, f.fileSize())
	}
	return list
}

func (f *dbFile) fileSize() FileSize {
	s := FileSize{Name: f.name, Max: int64(f.max)}
	_ = f.view(func(tx *bbolt.Tx) error { // ignored: a closed file has no size
		db := tx.DB()
		stats := db.Stats()
		s.Free = int64(stats.FreePageN+stats.PendingPageN) * int64(db.Info().PageSize)
		s.Used = tx.Size() - s.Free
		return nil
	})
	return s
}

// Compact writes each file of which over half is free anew, without its free
// pages. Changes go on meanwhile and reads do not notice. On error, or when
// ctx ends, the file stays as it was; ErrBusy says to try at a quieter time.
func (s *Store) Compact(ctx context.Context) ([]Compaction, error) {
	var done []Compaction
	var errs []error
	for _, f := range s.files {
		if !f.fileSize().sparse() {
			continue
		}
		c, err := f.compact(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("compact %s: %w", f.name, err))
			continue
		}
		done = append(done, c)
	}
	return done, errors.Join(errs...)
}

// trail is what was committed while a compaction runs.
type trail struct {
	changes []change
	bytes   int
}

func (t *trail) add(changes []change) {
	for _, c := range changes {
		t.bytes += len(c.key) + len(c.val) + rowCost
	}
	if t.bytes <= maxTrail {
		t.changes = append(t.changes, changes...)
	}
}

func (f *dbFile) compact(ctx context.Context) (c Compaction, err error) {
	f.upkeep.Lock()
	defer f.upkeep.Unlock()
	size := f.fileSize()
	if err := roomFor(filepath.Dir(f.path), size.Used); err != nil {
		return c, err
	}
	c = Compaction{File: f.name, Before: diskSize(f.path)}
	shrunk := f.path + suffixShrink
	if err := removeIfThere(shrunk, f.path+suffixCompact); err != nil {
		return c, err
	}
	// The new file becomes the one in use without being opened again.
	dst, err := openDB(shrunk, f.opts, f.alloc)
	if err != nil {
		return c, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dst.Close(), removeIfThere(shrunk, f.path+suffixCompact))
		}
	}()
	if err := f.follow(); err != nil {
		return c, err
	}
	defer f.unfollow()
	if err := guarded(func() error { return copyBuckets(ctx, dst, f.db) }); err != nil {
		return c, err
	}
	if err := inspectFile(shrunk); err != nil {
		return c, err
	}
	for range catchUps {
		f.commitMu.Lock()
		t, err := f.takeTrail()
		f.commitMu.Unlock()
		if err == nil {
			err = replay(dst, t)
		}
		if err != nil {
			return c, err
		}
		if len(t.changes) <= smallTrail {
			break
		}
	}
	if err := f.swapIn(dst, shrunk); err != nil {
		return c, err
	}
	c.After = diskSize(f.path)
	return c, nil
}

// follow begins to remember what is committed. Until takeTrail is called, the
// changes may also be in what is copied: applying them again changes nothing.
func (f *dbFile) follow() error {
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	f.trail = &trail{}
	return nil
}

func (f *dbFile) unfollow() {
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	f.trail = nil
}

// takeTrail hands out what was committed since the last call. commitMu is held.
func (f *dbFile) takeTrail() (*trail, error) {
	t := f.trail
	if t.bytes > maxTrail {
		return nil, ErrBusy
	}
	if f.broken != nil {
		return nil, f.broken
	}
	f.trail = &trail{}
	return t, nil
}

// swapIn puts the new file in the place of the old one between two commits.
func (f *dbFile) swapIn(dst *bbolt.DB, shrunk string) error {
	f.commitMu.Lock()
	defer f.commitMu.Unlock()
	t, err := f.takeTrail()
	if err == nil {
		err = replay(dst, t)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err != nil {
		return err
	}
	// From the first rename on, the file is complete: should a power cut spoil
	// the old one now, the next start finds it under that name.
	if err := os.Rename(shrunk, f.path+suffixCompact); err != nil {
		return err
	}
	if err := os.Rename(f.path+suffixCompact, f.path); err != nil {
		return err
	}
	f.swap.Lock()
	old := f.db
	f.db = dst
	f.swap.Unlock()
	// The new file is in use whatever happens now.
	if err := errors.Join(syncFolder(filepath.Dir(f.path)), old.Close()); err != nil {
		f.mu.Lock()
		f.stats.Err = fmt.Errorf("compact %s: %w", f.name, err)
		f.mu.Unlock()
	}
	return nil
}

// replay applies changes that are committed in the old file already.
func replay(dst *bbolt.DB, t *trail) error {
	if len(t.changes) == 0 {
		return nil
	}
	return dst.Update(func(tx *bbolt.Tx) error {
		for i := range t.changes {
			if err := t.changes[i].put(tx.Bucket([]byte(t.changes[i].t.name))); err != nil {
				return err
			}
		}
		return nil
	})
}

// copier writes buckets into a new file, a step at a time.
type copier struct {
	ctx  context.Context
	dst  *bbolt.DB
	tx   *bbolt.Tx
	size int
	step int // counts transactions
}

// copyBuckets copies all that src holds in one read transaction.
func copyBuckets(ctx context.Context, dst, src *bbolt.DB) error {
	c := &copier{ctx: ctx, dst: dst}
	var err error
	if c.tx, err = dst.Begin(true); err != nil {
		return err
	}
	defer func() { _ = c.tx.Rollback() }() // ignored: after the last commit there is nothing to take back
	return src.View(func(tx *bbolt.Tx) error {
		if err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return c.bucket([][]byte{name}, b) }); err != nil {
			return err
		}
		// In here, for until then the new pages refer to the old file's memory,
		// which the committer may write over after the read transaction.
		return c.tx.Commit()
	})
}

// open finds a bucket of the new file by its path, making it when missing.
func (c *copier) open(path [][]byte) (*bbolt.Bucket, error) {
	b, err := c.tx.CreateBucketIfNotExists(path[0])
	for _, name := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists(name)
	}
	if err != nil {
		return nil, err
	}
	b.FillPercent = 0.9 // keys come in order
	return b, nil
}

func (c *copier) bucket(path [][]byte, src *bbolt.Bucket) error {
	b, err := c.open(path)
	if err != nil {
		return err
	}
	if err := b.SetSequence(src.Sequence()); err != nil {
		return err
	}
	step := c.step
	return src.ForEach(func(k, v []byte) error {
		if v == nil {
			return c.bucket(append(path[:len(path):len(path)], k), src.Bucket(k))
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.size >= compactStep {
			if err := c.next(); err != nil {
				return err
			}
		}
		if step != c.step {
			if b, err = c.open(path); err != nil {
				return err
			}
			step = c.step
		}
		c.size += len(k) + len(v)
		return b.Put(k, v)
	})
}

// next commits and begins the next transaction.
func (c *copier) next() (err error) {
	if err := c.tx.Commit(); err != nil {
		return err
	}
	c.size = 0
	c.step++
	tx, err := c.dst.Begin(true)
	if err == nil {
		c.tx = tx
	}
	return err
}

// roomFor reports whether a file of so many bytes may be made in a folder and
// leave the committer enough.
func roomFor(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < size+spareOnDisk {
		return fmt.Errorf("%d MB are needed in %s and %d MB are free: %w", (size+spareOnDisk)>>20, dir, free>>20, unix.ENOSPC)
	}
	return nil
}

func diskSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func removeIfThere(paths ...string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
