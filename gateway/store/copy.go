package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Copy is a copy of state.db, made at a moment between two commits.
type Copy struct {
	Path   string    `json:"path"`
	At     time.Time `json:"at"`
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"` // hexadecimal
	Schema int       `json:"schema"`
}

// Copy writes a copy of state.db to a file that must not exist, while changes
// go on, and verifies it: every page is inspected, and bbolt opens it read-only
// and checks it. It is on disk when Copy returns. One copy or compaction runs
// at a time.
func (s *Store) Copy(ctx context.Context, path string) (Copy, error) {
	f := s.files[state]
	f.upkeep.Lock() // no compaction: the database stays the same one meanwhile
	defer f.upkeep.Unlock()
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return Copy{}, ErrClosed
	}
	// Twice: it is packed next, mostly on the same disk.
	if err := roomFor(filepath.Dir(path), 2*f.fileSize().Used); err != nil {
		return Copy{}, fmt.Errorf("copy %s: %w", f.name, err)
	}
	return copyOf(ctx, f.db, path)
}

// CopyStopped is Copy for a data folder that no doorway runs in; it takes the
// folder's lock meanwhile (ErrLocked) and changes nothing in the folder.
func CopyStopped(ctx context.Context, dir, path string) (c Copy, err error) {
	from := filepath.Join(dir, names[state])
	if !exists(from) {
		return Copy{}, &Error{Text: fmt.Sprintf("There is no state.db in %s. Name the data folder with --dir, or the configuration with --config.", dir), Err: fmt.Errorf("open %s: %w", from, os.ErrNotExist)}
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return Copy{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := inspectFile(from); err != nil {
		return Copy{}, damaged(from, err)
	}
	db, err := openGuarded(from, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return Copy{}, damaged(from, err)
	}
	c, err = copyOf(ctx, db, path)
	return c, errors.Join(err, db.Close())
}

// copyOf writes and verifies; on error nothing is left behind.
func copyOf(ctx context.Context, db *bbolt.DB, path string) (Copy, error) {
	c, err := writeCopy(ctx, db, path)
	if err == nil {
		c.Schema, err = Verify(path)
	}
	if err != nil {
		_ = os.Remove(path) // ignored: the first error is the one to tell
		return Copy{}, fmt.Errorf("copy state.db: %w", err)
	}
	return c, nil
}

func writeCopy(ctx context.Context, db *bbolt.DB, path string) (c Copy, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return c, err
	}
	w := &pacedWriter{ctx: ctx, f: f, sum: sha256.New()}
	c = Copy{Path: path}
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			c.At = time.Now().UTC().Truncate(time.Second)
			c.Size, err = tx.WriteTo(w)
			return err
		})
	})
	if ctx.Err() != nil {
		err = ctx.Err() // bbolt does not wrap what the writer said
	}
	if err == nil {
		err = f.Sync()
	}
	c.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return c, errors.Join(err, f.Close())
}

// paceEvery is how much of a large file is written before it is pushed to the
// disk. More would pile up in the page cache and let the next commit's fsync
// wait for all of it (ext4 writes such data out before it commits).
const paceEvery = 1 << 20

// Paced returns a writer to a large new file beside a running store: it pushes
// what it writes to the disk a little at a time, and ends with ctx. The caller
// syncs and closes the file.
func Paced(ctx context.Context, f *os.File) io.Writer {
	return &pacedWriter{ctx: ctx, f: f}
}

// CopySuffix ends the names of copies in the data folder that are packed into
// a backup next; the next start removes those that a kill left.
const CopySuffix = ".backup-copy"

// pacedWriter writes a large file beside a running committer.
type pacedWriter struct {
	ctx     context.Context
	f       *os.File
	sum     hash.Hash // may be nil
	at      int64     // written
	settled int64     // of those, pushed to the disk
}

func (w *pacedWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.f.Write(b)
	if w.sum != nil {
		_, _ = w.sum.Write(b[:n]) // ignored: a hash takes everything
	}
	w.at += int64(n)
	if err == nil && w.at-w.settled >= paceEvery {
		err = pushOut(w.f, w.settled, w.at-w.settled)
		w.settled = w.at
	}
	return n, err
}

// pushOut writes a part of a file to the disk and waits for it, without the
// file system's own commit (sync_file_range(2)), where that can be had.
func pushOut(f *os.File, from, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), from, n, all)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.EINVAL) {
		return f.Sync()
	}
	return err
}

// Verify checks a database file that nobody writes to and returns its schema:
// the inspection of all pages, then bbolt's own check on a read-only opening.
// Damage is ErrDamaged; a schema that this program does not know is ErrNewer.
func Verify(path string) (version int, err error) {
	// First, so that nothing that bbolt follows can fault: its check runs in a
	// goroutine of its own, where a fault would end the process.
	if err := inspectFile(path); err != nil {
		return 0, fmt.Errorf("verify %s: %w", path, err)
	}
	db, err := openGuarded(path, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second, NoStatistics: true})
	if err != nil {
		return 0, fmt.Errorf("verify %s: %w", path, err)
	}
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			if err := checkPages(tx); err != nil {
				return err
			}
			version, err = fileSchema(tx)
			return err
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return 0, fmt.Errorf("verify %s: %w: %w", path, ErrDamaged, err)
	}
	switch {
	case version < 1:
		return 0, fmt.Errorf("verify %s: no schema version in the file: %w", path, ErrDamaged)
	case version > schemaVersion:
		return version, &Error{
			Text: fmt.Sprintf("%s was written by a newer doorway (schema %d, this one knows %d). Install that version first.", filepath.Base(path), version, schemaVersion),
			Err:  fmt.Errorf("verify %s: schema %d: %w", path, version, ErrNewer),
		}
	}
	return version, nil
}

// checkPages is bbolt's check but for pages that are neither in use nor free:
// bbolt can lose some, which costs space until the next compaction and no data.
func checkPages(tx *bbolt.Tx) error {
	var errs []error
	for err := range tx.Check() {
		if !strings.HasSuffix(err.Error(), "unreachable unfreed") {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Install puts a database that write gives into the place of the state.db of a
// folder in which no doorway runs: it takes the folder's lock (ErrLocked),
// verifies the new file, moves its ids on so that none comes twice, and keeps
// the old one beside it. A kill at any moment leaves either the old or the new
// file in place, whole. kept is the path of the old file, "" when there was none.
func Install(dir string, write func(w io.Writer) error) (kept string, err error) {
	if err := prepareFolder(dir); err != nil {
		return "", err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	path := filepath.Join(dir, names[state])
	tmp := path + suffixRestore
	if err := makeCandidate(tmp, write); err != nil {
		return "", err
	}
	return replaceFile(path, tmp, asideName(path, "replaced", time.Now()))
}
