// Package store keeps doorway's data in bbolt files; it is the only importer of bbolt.
package store

import (
	"context"
	"time"
)

// Options of a store.
type Options struct {
	NoSync  bool // tests only
	MaxSize int  // bytes of each file, 0: 512 MiB
}

// Store is the pair of files state.db and archive.db in one folder, locked by one process.
type Store struct{}

// Open locks the folder, opens or creates the files, and runs the migrations.
func Open(dir string, o Options) (*Store, error) { panic("skeleton") }

// Run is the group committer; every Write and Later waits for it. It ends when ctx ends, after everything queued is on disk.
func (s *Store) Run(ctx context.Context) error { panic("skeleton") }

// Close closes the files; Run has ended.
func (s *Store) Close() error { panic("skeleton") }

// Table returns a bucket of the schema; an unknown name panics.
func (s *Store) Table(name string) *Table { panic("skeleton") }

// LaterAll commits changes to several tables of one file together.
func (s *Store) LaterAll(changes map[string]map[string]any, done func(error)) { panic("skeleton") }

// Check runs bbolt's consistency check on both files.
func (s *Store) Check() error { panic("skeleton") }

// Probe makes the committer answer: without an fsync, but with a real commit at least every five minutes.
func (s *Store) Probe(ctx context.Context) error { panic("skeleton") }

// Stats counts what the committer did.
type Stats struct {
	Commits, Changes uint64
	LastCommit       time.Time
	Err              error // the last commit's failure, nil when well
}

// Stats returns a snapshot.
func (s *Store) Stats() Stats { panic("skeleton") }

// Table is one bucket; it satisfies xmpp.Table and transports.Table.
type Table struct{}

func (t *Table) Get(key string, v any) (bool, error)            { panic("skeleton") }
func (t *Table) Write(changes map[string]any) error             { panic("skeleton") }
func (t *Table) Later(changes map[string]any, done func(error)) { panic("skeleton") }
func (t *Table) Range(from, to string, reverse bool, f func(key string, raw []byte) bool) error {
	panic("skeleton")
}
func (t *Table) Next() (uint64, error) { panic("skeleton") }

// WriteUrgent is Write that commits before what is queued behind it is gathered (the on-air mark of an SMS).
func (t *Table) WriteUrgent(changes map[string]any) error { panic("skeleton") }
