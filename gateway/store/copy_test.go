package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// rowsOf reads a table of a file that is not in use.
func rowsOf(t testing.TB, path, table string) map[string]string {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(table)).ForEach(func(k, v []byte) error {
			rows[string(k)] = string(v)
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return rows
}

// A copy made while rows come in holds all that was acknowledged before it
// began, and of pairs that were committed together both or none.
func TestCopy(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	start(t, s)
	hollow(t, s, "offline") // so that there is something to copy
	end := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex // guards acked
	acked := 0
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			pair := map[string]map[string]any{"roster": {fmt.Sprint(i): i}, "requests": {fmt.Sprint(i): i}}
			if err := s.WriteAll(pair, false); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acked = i + 1
			mu.Unlock()
		}
	})
	for range 5 {
		mu.Lock()
		least := acked
		mu.Unlock()
		path := filepath.Join(t.TempDir(), "copy.db")
		c, err := s.Copy(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(raw)
		if c.Path != path || c.Size != int64(len(raw)) || c.SHA256 != hex.EncodeToString(sum[:]) || c.Schema != schemaVersion || c.At.IsZero() {
			t.Errorf("copy %+v of %d bytes", c, len(raw))
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
		roster, requests := rowsOf(t, path, "roster"), rowsOf(t, path, "requests")
		if len(roster) < least || len(roster) != len(requests) {
			t.Errorf("%d and %d rows, want at least %d", len(roster), len(requests), least)
		}
		if _, err := s.Copy(t.Context(), path); !errors.Is(err, os.ErrExist) {
			t.Errorf("over an existing file: %v", err)
		}
	}
	close(end)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "copy.db")
	if _, err := s.Copy(ctx, path); !errors.Is(err, context.Canceled) || exists(path) {
		t.Errorf("cancelled: %v, left behind: %v", err, exists(path))
	}
}

func TestCopyStopped(t *testing.T) {
	d := dir(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	var e *Error
	if _, err := CopyStopped(t.Context(), d, path); !errors.As(err, &e) || !strings.Contains(e.Text, "no state.db") || exists(d) {
		t.Errorf("no folder: %v", err)
	}
	s := open(t, d, Options{NoSync: true})
	if err := s.Table("roster").Write(map[string]any{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := CopyStopped(t.Context(), d, path); !errors.Is(err, ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(d, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CopyStopped(t.Context(), d, path); err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(t, path, "roster"); rows["a"] != "1" {
		t.Errorf("rows %v", rows)
	}
	if after, err := os.ReadFile(filepath.Join(d, "state.db")); err != nil || string(after) != string(before) {
		t.Errorf("state.db was changed, %v", err)
	}
}

// Install keeps what was there, and replaces nothing by a bad file.
func TestInstall(t *testing.T) {
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	if err := s.Table("roster").Write(map[string]any{"a": "old"}); err != nil {
		t.Fatal(err)
	}
	first, err := s.Table("outbox").Next()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if _, err := s.Copy(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := s.Table("roster").Write(map[string]any{"a": "new"}); err != nil {
		t.Fatal(err)
	}
	good := func(w io.Writer) error { return pour(path, w) }
	if _, err := Install(d, good); !errors.Is(err, ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	var last uint64
	for range 3 * blockSize {
		if last, err = s.Table("outbox").Next(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer) error{
		"an error": func(w io.Writer) error { _, _ = w.Write(make([]byte, 99)); return io.ErrUnexpectedEOF },
		"rubbish":  func(w io.Writer) error { _, err := w.Write(make([]byte, 1<<16)); return err },
		"nothing":  func(w io.Writer) error { return nil },
	} {
		if _, err := Install(d, write); err == nil {
			t.Errorf("%s was installed", name)
		}
	}
	if rows := rowsOf(t, filepath.Join(d, "state.db"), "roster"); rows["a"] != `"new"` {
		t.Errorf("rows %v", rows)
	}
	kept, err := Install(d, good)
	if err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(t, kept, "roster"); rows["a"] != `"new"` {
		t.Errorf("kept rows %v", rows)
	}
	s = open(t, d, Options{NoSync: true})
	var got string
	if _, err := s.Table("roster").Get("a", &got); err != nil || got != "old" {
		t.Errorf("a is %q, %v", got, err)
	}
	if id, err := s.Table("outbox").Next(); err != nil || id <= last || id <= first {
		t.Errorf("id %d after %d, %v", id, last, err)
	}
}
