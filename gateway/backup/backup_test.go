package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/store"
)

// saved makes a backup of a store with one row in it.
func saved(t testing.TB, word string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Table("roster").Write(map[string]any{"word": word}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Copy(t.Context(), filepath.Join(dir, "x"+store.CopySuffix))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), word+".tar")
	m, err := Save(t.Context(), file, c, Info{Program: "doorway test", Domain: "office.example"})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if m.Files[0].SHA256 != c.SHA256 || m.Schema != c.Schema || !m.Time.Equal(c.At) || m.Domain != "office.example" {
		t.Errorf("manifest %+v of %+v", m, c)
	}
	return file
}

// wordIn reads the row of a data folder.
func wordIn(t testing.TB, dir string) string {
	t.Helper()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var got string
	_, err = s.Table("roster").Get("word", &got)
	if r := s.Recovered(); len(r) > 0 {
		t.Errorf("recovered %+v", r)
	}
	if err := errors.Join(err, s.Check(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSaveAndRestore(t *testing.T) {
	first, second := saved(t, "first"), saved(t, "second")
	for _, f := range []string{first, second} {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f, st.Mode(), err)
		}
		if p, err := Peek(f); err != nil || p.Program != "doorway test" {
			t.Errorf("peek: %+v, %v", p, err)
		}
	}
	raw, err := os.ReadFile(first)
	if err != nil || !bytes.Contains(raw, []byte(`"note": "Not in it: the box's certificate authority`)) {
		t.Errorf("a person cannot read the manifest, %v", err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	r, err := Restore(t.Context(), dir, first)
	if err != nil || r.Kept != "" || r.Program != "doorway test" {
		t.Fatalf("into nothing: %+v, %v", r, err)
	}
	if got := wordIn(t, dir); got != "first" {
		t.Errorf("restored %q", got)
	}
	r, err = Restore(t.Context(), dir, second)
	if err != nil || r.Kept == "" {
		t.Fatalf("over another: %+v, %v", r, err)
	}
	if got := wordIn(t, dir); got != "second" {
		t.Errorf("restored %q", got)
	}
	// What was kept can be put back by hand.
	if err := os.Rename(r.Kept, filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	if got := wordIn(t, dir); got != "first" {
		t.Errorf("put back %q", got)
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, second); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("while it is in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with a backup, nothing is replaced and a sentence says so.
func TestBadBackups(t *testing.T) {
	good, err := os.ReadFile(saved(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x40
		return b
	}
	newer := bytes.Replace(good, []byte(`"format": 1`), []byte(`"format": 2`), 1)
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(t.Context(), dir, saved(t, "before")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":          {nil, "no backup of doorway"},
		"text":           {[]byte(strings.Repeat("hello world ", 500)), "no backup of doorway"},
		"a letter wrong": {change(512 + 3), "damaged"},
		"a page wrong":   {change(len(good) - 9000), "checksum is wrong"},
		"cut":            {good[:len(good)-12000], "cut short"},
		"cut early":      {good[:700], "cut short"},
		"without state":  {append(bytes.Clone(good[:1536]), make([]byte, 1024)...), "damaged or cut short"},
		"newer":          {newer, "format 2"},
	} {
		file := filepath.Join(t.TempDir(), "backup.tar")
		if err := os.WriteFile(file, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Restore(t.Context(), dir, file)
		var e *store.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(e.Text, file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Restore(t.Context(), dir, filepath.Join(dir, "none.tar")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if got := wordIn(t, dir); got != "before" {
		t.Errorf("in the folder is %q", got)
	}
}

// A backup whose database is damaged though the checksum is right, as when it
// was packed by hand, is found out before anything is replaced.
func TestDamagedInside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bad.tar")
	const zeros = "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31"
	if _, err := Save(t.Context(), file, store.Copy{Path: rubbish, Size: 1 << 16, SHA256: zeros, Schema: 1, At: time.Now()}, Info{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, file); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "Use another backup") {
		t.Errorf("%v", err)
	}
}

// A backup that fails leaves the old one of the same name as it was.
func TestSaveFails(t *testing.T) {
	file := saved(t, "good")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx context.Context
		c   store.Copy
	}{
		{t.Context(), store.Copy{Path: "/nonexistent", Size: 1}},
		{t.Context(), store.Copy{Path: file, Size: int64(len(before)), SHA256: "wrong"}},
		{ctx, store.Copy{Path: file, Size: int64(len(before))}},
	} {
		if _, err := Save(c.ctx, file, c.c, Info{}); err == nil {
			t.Errorf("%+v was saved", c.c)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old backup was changed, %v", err)
	}
	if names, err := os.ReadDir(filepath.Dir(file)); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// FuzzRead: no bytes make the reader panic, hang or accept what is not there.
func FuzzRead(f *testing.F) {
	good, err := os.ReadFile(saved(f, "good"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("x"), uint32(0), false)
	f.Add([]byte("2"), uint32(540), true)
	f.Fuzz(func(t *testing.T, b []byte, at uint32, patch bool) {
		if patch {
			whole := bytes.Clone(good)
			copy(whole[int(at)%len(whole):], b)
			b = whole
		}
		var out bytes.Buffer
		m, err := read(t.Context(), bytes.NewReader(b), io.MultiWriter(&out))
		if err == nil && int64(out.Len()) != m.Files[0].Size {
			t.Errorf("%d bytes for %+v", out.Len(), m)
		}
	})
}
