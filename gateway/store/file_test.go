package store

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

var update = flag.Bool("update", false, "rewrite the golden databases of the current schema")

// release is a golden database: its schema, and the tables that have come
// since. New tables need no new schema, but a golden database with them.
type release struct {
	schema  string
	without []string
}

// releases in rising order; the last one has every table of today.
var releases = []release{
	{"1", []string{"blocking", "vcard", "private", "lastactivity", "rooms", "room_users", "room_history", "archive_index", "archive_prefs", "people", "groups", "pubsub_nodes", "pubsub_items", "bookmarks", "service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.1", []string{"rooms", "room_users", "room_history", "archive_index", "archive_prefs", "people", "groups", "pubsub_nodes", "pubsub_items", "bookmarks", "service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.2", []string{"archive_index", "archive_prefs", "people", "groups", "pubsub_nodes", "pubsub_items", "bookmarks", "service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.3", []string{"people", "groups", "pubsub_nodes", "pubsub_items", "bookmarks", "service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.4", []string{"pubsub_nodes", "pubsub_items", "bookmarks", "service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.5", []string{"service", "logins", "tokens", "api_replies", "webhooks", "spool"}},
	{"1.6", []string{"tokens", "api_replies", "webhooks", "spool"}},
	{"1.7", []string{"spool"}},
	{"1.8", nil},
}

// rows are what a golden database holds: one row in each table it knows.
func (r release) rows() map[string]map[string]any {
	rows := make(map[string]map[string]any)
	for _, b := range schema {
		if !slices.Contains(r.without, b.name) {
			rows[b.name] = map[string]any{"key of " + b.name: value{1, "value of " + b.name}}
		}
	}
	return rows
}

func (r release) golden(file string) string {
	return filepath.Join("testdata", fmt.Sprintf("schema%s-%s.gz", r.schema, file))
}

// Databases of every schema ever released open for ever, with all their rows.
func TestGoldenDatabases(t *testing.T) {
	files := []string{"state.db", "archive.db"}
	if *update {
		writeGolden(t, files)
	}
	for _, version := range releases {
		d := dir(t)
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			packed, err := os.Open(version.golden(f))
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(packed)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(z)
			if err := errors.Join(err, packed.Close(), os.WriteFile(filepath.Join(d, f), raw, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, d, Options{})
		for name, rows := range version.rows() {
			for key, want := range rows {
				var got value
				if ok, err := s.Table(name).Get(key, &got); !ok || err != nil || got != want {
					t.Errorf("schema %s, %s: %v %v %+v", version.schema, name, ok, err, got)
				}
			}
		}
		for name, tab := range s.tables {
			err := tab.Write(map[string]any{"new": value{1, "new"}})
			if err != nil {
				t.Errorf("schema %s: %s takes no rows: %v", version.schema, name, err)
			}
			if slices.Contains(version.without, name) {
				continue
			}
			if id, err := tab.Next(); err != nil || id <= 1024 {
				t.Errorf("schema %s: id %d of %s was given before, %v", version.schema, id, tab.name, err)
			}
		}
	}
}

func writeGolden(t *testing.T, files []string) {
	d := dir(t)
	s := open(t, d, Options{})
	newest := releases[len(releases)-1]
	for name, rows := range newest.rows() {
		if err := s.Table(name).Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(d, f))
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, err = z.Write(raw)
		if err := errors.Join(err, z.Close(), os.WriteFile(newest.golden(f), packed.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// lockHolder is set in the child process of the test below.
const lockHolder = "STORE_TEST_HOLD"

// A second process is told which one holds the folder.
func TestSecondProcessIsRefused(t *testing.T) {
	if d := os.Getenv(lockHolder); d != "" {
		_, err := Open(d, Options{})
		fmt.Println(err)
		return
	}
	d := dir(t)
	open(t, d, Options{})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcessIsRefused$")
	cmd.Env = append(os.Environ(), lockHolder+"="+d)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("in use by process %d.", os.Getpid()); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s, want a sentence with %q", err, out, want)
	}
	if _, err := Open(d, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("in the same process: %v", err)
	}
}

func TestFolder(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{})
	for name, mode := range map[string]os.FileMode{"": 0o700, "state.db": 0o600, "archive.db": 0o600, "lock": 0o600} {
		if st, err := os.Stat(filepath.Join(d, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, st.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Our own folder is closed to others again; somebody else's is left alone.
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	s = open(t, d, Options{})
	if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := errors.Join(os.Chmod(foreign, 0o755), os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Open(foreign, Options{}); !errors.As(err, &e) || !strings.Contains(e.Text, "empty folder") {
		t.Errorf("a folder of somebody else: %v", err)
	}
	if st, err := os.Stat(foreign); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("its mode is now %v, %v", st.Mode(), err)
	}
	// A missing state.db is not replaced by an empty one.
	if err := os.Remove(filepath.Join(d, "state.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(d, Options{}); !errors.As(err, &e) || !strings.Contains(e.Text, "no state.db") {
		t.Errorf("without state.db: %v", err)
	}
}

// What a power cut during the creation leaves does not hinder the next start.
func TestCreationCutShort(t *testing.T) {
	d := dir(t)
	if err := os.Mkdir(d, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d, "state.db.new"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, d, Options{})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{})
	if err := s.files[state].db.Update(func(tx *bbolt.Tx) error { return setSchema(tx, state, schemaVersion+1) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(d, Options{})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrNewer) || !strings.Contains(e.Text, "newer doorway") {
		t.Errorf("%v", err)
	}
}

// A migration runs once, leaves a copy of the file as it was, and on an error
// leaves the file as it was.
func TestMigration(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{})
	if err := s.Table("settings").Write(map[string]any{"greeting": "old"}); err != nil {
		t.Fatal(err)
	}
	f := s.files[state]
	path := filepath.Join(d, "state.db")
	fail := true
	list := []migration{{schemaVersion, "a test", func(tx *bbolt.Tx, c class) error {
		if err := tx.Bucket([]byte("settings")).Put([]byte("greeting"), []byte(`"new"`)); err != nil {
			return err
		}
		if fail {
			return errors.New("half way")
		}
		return nil
	}}}
	// The file says that it is one schema behind.
	if err := f.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(metaBucket)).Put([]byte(keySchema), []byte("0"))
	}); err != nil {
		t.Fatal(err)
	}
	step := func() error { return migrateFrom(f.db, path, state, 0, list) }
	var got string
	if err := step(); err == nil || !strings.Contains(err.Error(), "half way") {
		t.Errorf("failing migration: %v", err)
	}
	if _, err := s.Table("settings").Get("greeting", &got); err != nil || got != "old" {
		t.Errorf("after the failure %q, %v", got, err)
	}
	fail = false
	if err := step(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Table("settings").Get("greeting", &got); err != nil || got != "new" {
		t.Errorf("migrated %q, %v", got, err)
	}
	backup, err := bbolt.Open(path+".schema0", 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := backup.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := backup.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte("settings")).Get([]byte("greeting")); string(v) != `"old"` {
			t.Errorf("the copy holds %s", v)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Damaged files are refused with a sentence; bbolt's panics and the faults of
// a truncated map do not end the process.
func TestDamagedFiles(t *testing.T) {
	made := dir(t)
	s := open(t, made, Options{})
	for i := range 200 {
		s.Table("roster").Later(map[string]any{fmt.Sprint(i): strings.Repeat("x", 500)}, nil)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(made, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func([]byte) []byte{
		"empty":        func(b []byte) []byte { return nil },
		"text":         func(b []byte) []byte { return []byte(strings.Repeat("this is no database\n", 1000)) },
		"zeros":        func(b []byte) []byte { return make([]byte, len(b)) },
		"cut to a bit": func(b []byte) []byte { return b[:3000] },
		"cut to metas": func(b []byte) []byte { return b[:2*os.Getpagesize()] },
		"cut in half":  func(b []byte) []byte { return b[:64<<10] }, // half of what is in use
		"pages lost": func(b []byte) []byte {
			for i := 2 * os.Getpagesize(); i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		},
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			d := dir(t)
			if err := os.Mkdir(d, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(d, "state.db"), f(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(d, Options{})
			if err == nil && len(s.Recovered()) > 0 {
				if err := s.Close(); err != nil { // only its last commit is lost, and a warning says so
					t.Error(err)
				}
				return
			}
			if err == nil {
				// Damage that does not show at once must be an error later.
				err = s.Table("roster").Range("", "", false, func(string, []byte) bool { return true })
				err = errors.Join(err, s.Close())
				if err == nil {
					t.Error("the damage went unnoticed")
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrDamaged) || !strings.Contains(e.Text, "backup") {
				t.Errorf("%v", err)
			}
		})
	}
}

// When a page turns out damaged while writing, all who wait get an error and
// the file takes no more changes.
func TestPanicWhileWriting(t *testing.T) {
	s := open(t, dir(t), Options{})
	start(t, s)
	tab := s.Table("roster")
	if err := tab.Write(map[string]any{"a": 1}); err != nil {
		t.Fatal(err)
	}
	broken := &Table{f: tab.f, name: "no such bucket"} // bbolt panics on a nil bucket
	if err := broken.Write(map[string]any{"a": 2}); !errors.Is(err, ErrDamaged) {
		t.Errorf("write: %v", err)
	}
	if err := tab.Write(map[string]any{"a": 3}); !errors.Is(err, ErrDamaged) {
		t.Errorf("the next write: %v", err)
	}
	var got int
	if _, err := tab.Get("a", &got); err != nil || got != 1 {
		t.Errorf("a is %d, %v", got, err)
	}
	if err := s.Table("smslog").Write(map[string]any{"a": 1}); err != nil {
		t.Errorf("the other file: %v", err)
	}
	if s.Stats().Err == nil {
		t.Error("Stats().Err is not set")
	}
}
