package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// wreck overwrites the used pages of a file from one on.
func wreck(t testing.TB, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(to-from)), from)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// wreckLeaves overwrites the entries of all leaves that hold rows.
func wreckLeaves(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 2 * 4096; at+4096 <= len(b); at += 4096 {
		if p := b[at:]; order.Uint16(p[8:]) == flagLeaf && order.Uint16(p[10:]) > 5 && order.Uint32(p[pageHead:])&leafBucket == 0 {
			wreck(t, path, int64(at)+pageHead, int64(at)+4096)
		}
	}
}

// stopped makes a folder with a row in both files.
func stopped(t testing.TB) string {
	t.Helper()
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	for _, table := range []string{"roster", "archive"} {
		for i := range 300 {
			if err := s.Table(table).Write(map[string]any{fmt.Sprintf("%03d", i): make([]byte, 100), "a": "today"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// dated makes a database whose row says what it is.
func dated(t testing.TB, word string) []byte {
	t.Helper()
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	if err := s.Table("roster").Write(map[string]any{"a": word}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(d, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fallback(from string, at time.Time, b []byte) Fallback {
	return Fallback{From: from, At: at, Write: func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}

func word(t testing.TB, s *Store) string {
	t.Helper()
	var got string
	if _, err := s.Table("roster").Get("a", &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// A damaged state.db gives way to the newest copy that is good, whatever the
// damage is, and the warning stays until the damaged file is taken away.
func TestDamagedStateFallsBack(t *testing.T) {
	now := time.Now()
	rotten := dated(t, "rotten")
	copy(rotten[2*4096:], bytes.Repeat([]byte{0xff}, 4096*6))
	o := Options{NoSync: true, Fallbacks: func() []Fallback {
		return []Fallback{
			fallback("last week's", now.Add(-7*24*time.Hour), dated(t, "last week")),
			fallback("tonight's", now.Add(-time.Hour), rotten),
			fallback("yesterday's", now.Add(-24*time.Hour), dated(t, "yesterday")),
			{From: "unreadable", At: now, Write: func(io.Writer) error { return io.ErrUnexpectedEOF }},
		}
	}}
	for name, damage := range map[string]func(path string) error{
		"pages": func(p string) error { wreck(t, p, 2*4096, 40*4096); return nil },
		"heads": func(p string) error { wreck(t, p, 0, 2*4096); return nil },
		"empty": func(p string) error { return os.Truncate(p, 0) },
		"cut":   func(p string) error { return os.Truncate(p, 5*4096) },
		"text":  func(p string) error { return os.WriteFile(p, []byte("no database"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			d := stopped(t)
			path := filepath.Join(d, "state.db")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			bad, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, d, o)
			if got := word(t, s); got != "yesterday" {
				t.Errorf("in use is %q", got)
			}
			r := s.Recovered()
			if len(r) != 1 || r[0].File != "state.db" || r[0].From != "yesterday's" || r[0].At.Sub(now.Add(-24*time.Hour)).Abs() > time.Second {
				t.Fatalf("recovered %+v", r)
			}
			if text := r[0].Text(); !strings.Contains(text, "yesterday's") || !strings.Contains(text, r[0].Aside) || !strings.Contains(text, "delete it") {
				t.Errorf("the warning says: %s", text)
			}
			if aside, err := os.ReadFile(r[0].Aside); err != nil || !bytes.Equal(aside, bad) {
				t.Errorf("the damaged file is not kept, %v", err)
			}
			if err := s.Table("roster").Write(map[string]any{"a": "after"}); err != nil {
				t.Error(err)
			}
			if is, err := s.FromCopy(); !is || err != nil {
				t.Errorf("it is not known to be a copy: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, d, o)
			if got := word(t, s); got != "after" || len(s.Recovered()) != 1 {
				t.Errorf("after the next start %q, %+v", got, s.Recovered())
			}
			if err := os.Remove(r[0].Aside); err != nil {
				t.Fatal(err)
			}
			if len(s.Recovered()) != 0 {
				t.Error("the warning stays without the file")
			}
		})
	}
}

// The last commit did not reach the disk though it said so: only that one is lost.
func TestLastCommitLost(t *testing.T) {
	d := stopped(t)
	path := filepath.Join(d, "state.db")
	s := open(t, d, Options{NoSync: true})
	if err := s.Table("roster").Write(map[string]any{"b": "before"}); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Table("roster").Write(map[string]any{"a": "lost"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The pages of the last commit are what they were before; its head is there.
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[2*4096:], old[2*4096:])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, d, Options{NoSync: true})
	var before string
	if _, err := s.Table("roster").Get("b", &before); err != nil || before != "before" || word(t, s) != "today" {
		t.Errorf("%q and %q, %v", before, word(t, s), err)
	}
	if r := s.Recovered(); len(r) != 1 || !strings.Contains(r[0].From, "last commit") {
		t.Errorf("recovered %+v", r)
	}
}

// Copies that lie in the data folder are found without anybody's help.
func TestCopiesBeside(t *testing.T) {
	for _, name := range []string{"state.db.schema0", "state.db.compact"} {
		d := stopped(t)
		path := filepath.Join(d, "state.db")
		if err := os.WriteFile(filepath.Join(d, name), dated(t, "beside"), 0o600); err != nil {
			t.Fatal(err)
		}
		wreck(t, path, 2*4096, 40*4096)
		s := open(t, d, Options{NoSync: true})
		if got := word(t, s); got != "beside" || len(s.Recovered()) != 1 {
			t.Errorf("%s: %q, %+v", name, got, s.Recovered())
		}
	}
}

// Without a good copy a damaged state.db is left as it is, and the sentence
// says what to do.
func TestNoGoodCopy(t *testing.T) {
	d := stopped(t)
	path := filepath.Join(d, "state.db")
	wreck(t, path, 2*4096, 40*4096)
	bad, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Open(d, Options{}); !errors.As(err, &e) || !errors.Is(err, ErrDamaged) || !strings.Contains(e.Text, "doorway restore") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
		t.Errorf("the file was changed, %v", err)
	}
}

// A file that cannot be read for another reason is not called damaged.
func TestOtherTroubleIsNoDamage(t *testing.T) {
	d := stopped(t)
	path := filepath.Join(d, "state.db")
	holder, err := bbolt.Open(path, 0o600, nil) // somebody looks into it with another tool
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(d, Options{Fallbacks: func() []Fallback { t.Error("a copy was wanted"); return nil }})
	if err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if got := word(t, open(t, d, Options{})); got != "today" {
		t.Errorf("%q", got)
	}
}

// A damaged archive.db is begun anew; the rest of the box does not notice.
func TestDamagedArchive(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"heads": func(p string) error { wreck(t, p, 0, 2*4096); return nil },
		"empty": func(p string) error { return os.Truncate(p, 0) },
		"text":  func(p string) error { return os.WriteFile(p, []byte("no database"), 0o600) },
		"found while in use": func(p string) error {
			wreckLeaves(t, p)
			// bbolt does not look at all pages when it opens the file.
			s, err := Open(filepath.Dir(p), Options{NoSync: true})
			if err != nil {
				return err
			}
			if len(s.Recovered()) > 0 {
				t.Error("nothing was to be seen when it was opened")
			}
			rangeErr := s.Table("archive").Range("", "", false, func(string, []byte) bool { return true })
			writeErr := s.Table("archive").Write(map[string]any{"050": "x"})
			if rangeErr == nil && writeErr == nil {
				return errors.New("the damage went unnoticed")
			}
			return s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := stopped(t)
			path := filepath.Join(d, "archive.db")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			s := open(t, d, Options{NoSync: true})
			r := s.Recovered()
			if len(r) != 1 || r[0].File != "archive.db" || r[0].From != "" || !exists(r[0].Aside) || !strings.Contains(r[0].Text(), "begun anew") {
				t.Errorf("recovered %+v", r)
			}
			if got := word(t, s); got != "today" {
				t.Errorf("state has %q", got)
			}
			if err := s.Table("archive").Write(map[string]any{"a": "x"}); err != nil {
				t.Error(err)
			}
			if n := len(keys(t, s.Table("archive"), "", "", false)); n != 1 {
				t.Errorf("%d rows", n)
			}
		})
	}
}
