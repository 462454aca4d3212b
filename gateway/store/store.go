// Package store keeps doorway's data in two bbolt files; it is the only
// importer of bbolt. state.db holds what must survive, archive.db what may be
// trimmed or dropped. schema.go lists the tables.
//
// Writing costs a transaction, not a byte, so all changes go through a group
// committer: Run commits whatever is queued as one transaction, at once for
// state and after a short linger for the archive. Write waits for the disk,
// Later does not; Get and Range see what is still queued. A change is
// acknowledged only after the transaction is synced, so that kill -9 and a
// power cut lose nothing that was acknowledged.
//
// While Run does not run (before the program has started it and after it has
// ended), Write commits in the caller's goroutine, and Later waits for the
// next Write, Run or Close.
//
// Upkeep goes on beside the commits: Copy writes a verified copy of state.db
// for a backup, Compact writes a sparse file anew. A damaged state.db is
// replaced at the start by the newest good copy, a damaged archive.db by an
// empty one; Recovered tells of it. Backup files, their schedule and the
// warnings are gateway/backup's.
//
// Goroutines: Run starts one committer for each file and waits for both.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

// Sizes. bbolt's own growth of 16 MiB is too coarse for a card; 512 MiB for
// each file leaves room in the address space of 32-bit ARM.
const (
	defaultMaxSize = 512 << 20
	stateAlloc     = 1 << 20
	archiveAlloc   = 4 << 20
)

// Errors, to be used with errors.Is.
var (
	ErrLocked  = errors.New("data folder in use")
	ErrNewer   = errors.New("schema newer than this program")
	ErrDamaged = errors.New("database damaged")
	ErrClosed  = errors.New("store closed")
	// ErrFull: the file has reached MaxSize; only deletions are taken.
	ErrFull = errors.New("database full")
	// ErrOverload: too much waits for the disk already (64 MiB in both files).
	ErrOverload = errors.New("too many changes wait for the disk")
)

// Error is an error with a sentence for the person who runs the box. Err
// wraps one of the errors above, or what the system said.
type Error struct {
	Text string // a sentence, with what to do next
	Err  error  // for the log
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Options of a store.
type Options struct {
	NoSync  bool // tests only
	MaxSize int  // bytes of each file, 0: 512 MiB
	// Fallbacks lists further copies of state.db, such as nightly backups, when
	// the file is damaged; may be nil.
	Fallbacks func() []Fallback
}

// names of the files, by class.
var names = [2]string{state: "state.db", archive: "archive.db"}

// Store is the pair of files state.db and archive.db in one folder, locked by
// one process. Safe for concurrent use.
type Store struct {
	lock   *os.File
	files  [2]*dbFile // by class
	tables map[string]*Table

	recovered []Recovery
}

// Open locks the folder, opens or creates the files, and runs the
// migrations. The folder is made with mode 0700. Errors meant for a person
// are *Error: another process holds the folder (ErrLocked), a newer program
// wrote it (ErrNewer), a file is damaged (ErrDamaged).
func Open(dir string, o Options) (*Store, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxSize
	}
	if err := prepareFolder(dir); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, tables: make(map[string]*Table, len(schema))}
	if err := s.open(dir, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(dir string, o Options) error {
	// state.db is made first, so an archive on its own means that the precious
	// file went missing; starting afresh would hide that.
	if !exists(filepath.Join(dir, names[state])) && exists(filepath.Join(dir, names[archive])) {
		return &Error{
			Text: fmt.Sprintf("In %s there is an archive.db but no state.db. Put state.db back with `doorway restore FILE` from a backup, or move archive.db away to start with an empty box.", dir),
			Err:  fmt.Errorf("open %s: %w", filepath.Join(dir, names[state]), os.ErrNotExist),
		}
	}
	for c, name := range names {
		path := filepath.Join(dir, name)
		err := s.openClass(path, class(c), o)
		if err != nil && isDamage(path, err) {
			if err := rescue(path, class(c), o, damaged(path, err)); err != nil {
				return err
			}
			err = s.openClass(path, class(c), o)
		}
		if err != nil {
			return err
		}
		if r, ok := readRecovery(s.files[c].db); ok {
			s.recovered = append(s.recovered, r)
		}
	}
	tidy(dir)
	return nil
}

// openClass opens one file with its tables. state.db is inspected first, so
// that damage shows while a copy can still take its place; archive.db only
// when damage was met in it, since it may be large.
func (s *Store) openClass(path string, c class, o Options) error {
	if exists(path) && (c == state || exists(path+suffixSuspect)) {
		if err := inspectFile(path); err != nil {
			return damaged(path, err)
		}
	}
	opt := o.bolt()
	db, err := openFile(path, c, opt)
	if err != nil {
		return err
	}
	f := newFile(path, db, opt)
	if c == archive {
		f.linger = archiveLinger
	}
	s.files[c] = f
	var tables []*Table
	for _, b := range schema {
		if b.class == c {
			t := &Table{f: f, name: b.name, ordered: b.ordered}
			s.tables[b.name] = t
			tables = append(tables, t)
		}
	}
	if err := reserveAll(tables); err != nil {
		return damaged(path, err)
	}
	if f.broken != nil {
		return f.broken
	}
	return nil
}

// bolt returns the options of bbolt.
func (o Options) bolt() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		MaxSize:         o.MaxSize,
		InitialMmapSize: mapSize(o.MaxSize),
		NoSync:          o.NoSync,
	}
}

// mapSize is how much address space is mapped for a file. A writer that has to
// map more waits for every reader, a backup among them, so it is all at once
// where address space costs nothing.
func mapSize(maxSize int) int {
	if strconv.IntSize == 32 {
		return min(maxSize, maxMapped32)
	}
	return maxSize
}

// Run is the group committer; every Write and Later waits for it. It returns
// nil when ctx has ended and everything queued is on disk. It may run again.
func (s *Store) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.files[archive].run(ctx) }() // waited for below
	err := s.files[state].run(ctx)
	return errors.Join(err, <-ended)
}

// Close commits what is still queued and closes the files; Run has ended.
func (s *Store) Close() error {
	var errs []error
	for _, f := range s.files {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // releases the lock; the file stays
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Table returns a bucket of the schema; an unknown name panics.
func (s *Store) Table(name string) *Table {
	t, ok := s.tables[name]
	if !ok {
		panic("store: no table " + name + " in the schema")
	}
	return t
}

// LaterAll commits changes (table, key, value) to several tables of one file
// together; otherwise it is Table.Later. Tables of different files are an
// error, given to done.
func (s *Store) LaterAll(changes map[string]map[string]any, done func(error)) {
	f, r := s.request(changes)
	r.done = done
	f.later(r)
}

// WriteAll commits changes (table, key, value) to several tables of one file
// together and returns after fsync; urgent as in Table.WriteUrgent.
func (s *Store) WriteAll(changes map[string]map[string]any, urgent bool) error {
	f, r := s.request(changes)
	r.urgent = urgent
	return f.write(r)
}

func (s *Store) request(changes map[string]map[string]any) (*dbFile, *request) {
	f, r := s.files[state], &request{}
	first := true
	for name, rows := range changes {
		t := s.Table(name)
		if !first && t.f != f {
			r.err = fmt.Errorf("commit %s together with another file: %w", name, errors.ErrUnsupported)
			break
		}
		f, first = t.f, false
		r.add(t, rows)
	}
	return f, r
}

// Check runs bbolt's consistency check on both files.
func (s *Store) Check() error {
	for _, f := range s.files {
		if err := f.check(); err != nil {
			return fmt.Errorf("check %s: %w", f.name, err)
		}
	}
	return nil
}

// Probe makes both committers answer: without an fsync, but with a real
// commit when the last one is five minutes old. It fails when that commit
// failed, or when ctx ends first, as it does while Run does not run.
func (s *Store) Probe(ctx context.Context) error {
	for _, f := range s.files {
		if err := f.probe(ctx); err != nil {
			return fmt.Errorf("probe %s: %w", f.name, err)
		}
	}
	return nil
}

// Stats counts what the committer did, in both files.
type Stats struct {
	Commits, Changes uint64
	LastCommit       time.Time
	Queued           int   // changes that wait for a commit
	QueuedBytes      int   // their keys and values
	Err              error // the last commit's failure, nil when well
}

// Stats returns a snapshot.
func (s *Store) Stats() Stats {
	var sum Stats
	for _, f := range s.files {
		f.mu.Lock()
		sum.Commits += f.stats.Commits
		sum.Changes += f.stats.Changes
		sum.Queued += f.queued
		sum.QueuedBytes += f.bytes
		if f.stats.LastCommit.After(sum.LastCommit) {
			sum.LastCommit = f.stats.LastCommit
		}
		if sum.Err == nil && f.stats.Err != nil {
			sum.Err = f.stats.Err
		}
		f.mu.Unlock()
	}
	return sum
}
