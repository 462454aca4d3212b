package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// prepareFolder makes the data folder with mode 0700. A folder that others
// can enter is closed to them when it is empty or ours, and refused when it
// looks like somebody else's (/tmp, a home folder).
func prepareFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &Error{Text: fmt.Sprintf("The data folder %s cannot be made: %v. Choose another with --dir or `data` in doorway.toml.", dir, cause(err)), Err: err}
	}
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if st.Mode().Perm()&0o077 == 0 {
		return nil
	}
	refuse := &Error{
		Text: fmt.Sprintf("Others can read the data folder %s, and it holds more than doorway's data. Choose an empty folder, or close it with chmod 700.", dir),
		Err:  fmt.Errorf("data folder mode %v: %w", st.Mode(), fs.ErrPermission),
	}
	if st.Mode()&os.ModeSticky != 0 {
		return refuse
	}
	if !exists(filepath.Join(dir, "state.db")) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		if len(entries) > 0 {
			return refuse
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return &Error{Text: fmt.Sprintf("Others can read the data folder %s and its mode cannot be changed: %v. Give the folder to the user that runs doorway.", dir, cause(err)), Err: err}
	}
	return nil
}

// lockCure says what to do about a folder that takes no file.
func lockCure(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "Run doorway as the user that owns it."
	}
	return "Look at the disk with `dmesg` and `df`, and start again."
}

// lockFolder takes the folder for this process. The lock file stays there and
// holds the number of the process; the kernel drops the lock with the process.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &Error{Text: fmt.Sprintf("The data folder %s cannot be used: %v. %s", dir, cause(err), lockCure(err)), Err: err}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // ignored: without a number the sentence is only shorter
		_ = f.Close()                                  // ignored: nothing was written
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		who := "another process"
		if pid, err := strconv.Atoi(strings.TrimSpace(string(holder))); err == nil {
			who = fmt.Sprintf("process %d", pid)
		}
		return nil, &Error{
			Text: fmt.Sprintf("The data folder %s is in use by %s. Stop that doorway first, or choose another folder.", dir, who),
			Err:  fmt.Errorf("lock %s: %w", path, ErrLocked),
		}
	}
	if err = likeFolder(path); err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // a full disk must not keep the box from starting
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

// openFile opens one database, makes it when it is missing and brings it to
// the current schema.
func openFile(path string, c class, o *bbolt.Options) (*bbolt.DB, error) {
	if !exists(path) {
		if err := createFile(path, c, o); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	db, err := openDB(path, o, c.alloc())
	if err != nil {
		return nil, damaged(path, err)
	}
	if err := migrate(db, path, c); err != nil {
		var e *Error
		switch {
		case errors.As(err, &e):
		case errors.Is(err, ErrDamaged):
			err = damaged(path, err)
		default:
			err = &Error{
				Text: fmt.Sprintf("%s could not be brought to this version's form: %v. Nothing was changed in it; make room on the disk and start again, or go back to the older version.", path, err),
				Err:  fmt.Errorf("migrate %s: %w", path, err),
			}
		}
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// createFile makes a database under a temporary name and moves it to its own
// when it is whole on disk: a power cut during bbolt's own creation leaves a
// file that cannot be opened.
func createFile(path string, c class, o *bbolt.Options) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openDB(tmp, o, c.alloc())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return setSchema(tx, c, schemaVersion) })
	if err == nil {
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// migrate brings an opened file to the current schema, in one transaction and
// with a copy of the old file beside it first.
func migrate(db *bbolt.DB, path string, c class) error {
	return guarded(func() error {
		var have int
		var whole bool
		err := db.View(func(tx *bbolt.Tx) (err error) {
			have, err = fileSchema(tx)
			whole = complete(tx, c)
			return err
		})
		switch {
		case err != nil:
			return err
		case have < 1:
			return fmt.Errorf("no schema version in the file: %w", ErrDamaged)
		case have > schemaVersion:
			return &Error{
				Text: fmt.Sprintf("%s was written by a newer doorway (schema %d, this one knows %d). Install the newer version again, or restore a backup made before the upgrade.", path, have, schemaVersion),
				Err:  fmt.Errorf("open %s: schema %d: %w", path, have, ErrNewer),
			}
		case have == schemaVersion && whole:
			return nil
		}
		return migrateFrom(db, path, c, have, migrations)
	})
}

// migrateFrom runs what is missing after version have, all or nothing.
func migrateFrom(db *bbolt.DB, path string, c class, have int, list []migration) error {
	if have < schemaVersion {
		if err := copyFile(db, fmt.Sprintf("%s.schema%d", path, have)); err != nil {
			return fmt.Errorf("copy before migration: %w", err)
		}
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, m := range list {
			if m.to <= have {
				continue
			}
			if err := m.apply(tx, c); err != nil {
				return fmt.Errorf("migrate to schema %d (%s): %w", m.to, m.doc, err)
			}
		}
		return setSchema(tx, c, schemaVersion)
	})
}

// copyFile writes a consistent copy of the database, whole on disk before it
// gets its name.
func copyFile(db *bbolt.DB, path string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// openDB opens a file for use, on a machine short of address space with a
// smaller map.
func openDB(path string, o *bbolt.Options, alloc int) (*bbolt.DB, error) {
	db, err := openGuarded(path, o)
	if errors.Is(err, unix.ENOMEM) && o.InitialMmapSize > 0 {
		small := *o
		small.InitialMmapSize = 0
		db, err = openGuarded(path, &small)
	}
	if err == nil {
		db.AllocSize = alloc
	}
	return db, err
}

// openGuarded is bbolt.Open, which panics on damaged pages and faults where a
// truncated file is mapped.
func openGuarded(path string, o *bbolt.Options) (db *bbolt.DB, err error) {
	err = guarded(func() (err error) {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	return db, err
}

// panicked wraps what bbolt panicked with.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprint(p.value) }
func (p *panicked) Unwrap() error { return ErrDamaged }

// guarded turns a panic of f, and a fault in a mapped page, into an error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v}
		}
	}()
	return f()
}

// damaged makes a sentence of what keeps a file from being opened.
func damaged(path string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, fs.ErrPermission) {
		return &Error{Text: fmt.Sprintf("%s cannot be opened: %v. Run doorway as the user that owns it.", path, cause(err)), Err: err}
	}
	if !isDamage(path, err) {
		return &Error{Text: fmt.Sprintf("%s cannot be opened: %v. Look at the disk and its free space, then start again.", path, cause(err)), Err: fmt.Errorf("open %s: %w", path, err)}
	}
	return &Error{
		Text: fmt.Sprintf("%s cannot be read, it is damaged (%v), and there is no good copy of it. Put a backup in its place with `doorway restore FILE`, or move the data folder away to start with an empty box.", path, cause(err)),
		Err:  fmt.Errorf("open %s: %w: %w", path, ErrDamaged, err),
	}
}

// cause is the system's word without the path, which the sentence names already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
