package token

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Both secrets are taken during the overlap, also over a restart, then only the new one.
func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		s, stop := openStore(t, dir)
		b, err := Open(s.Table("tokens"), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		reopen := func() {
			t.Helper()
			stop()
			s, stop = openStore(t, dir)
			if b, err = Open(s.Table("tokens"), time.Now); err != nil {
				t.Fatal(err)
			}
		}
		made, first, err := b.Add(Token{Name: "a", Rate: Rate{60, time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		taken := func(secret string, want bool) {
			t.Helper()
			if got, ok := b.Check(secret); ok != want || ok && got.ID != made.ID {
				t.Errorf("%+v %v", got, ok)
			}
		}
		for _, overlap := range []time.Duration{-1, maxOverlap + 1} {
			if _, _, err := b.Rotate("a", overlap); !errors.Is(err, ErrRefused) {
				t.Errorf("%v: %v", overlap, err)
			}
		}
		if _, _, err := b.Rotate("none", 0); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		got, second, err := b.Rotate("A", 24*time.Hour)
		if err != nil || got.ID != made.ID || got.Rate != made.Rate || second == first || !got.OldUntil.Equal(time.Now().Add(24*time.Hour)) {
			t.Fatalf("%+v %v", got, err)
		}
		taken(second, true)
		reopen()
		if l := b.List(); len(l) != 1 || l[0].OldUntil.IsZero() || !l[0].OldUsed.IsZero() {
			t.Errorf("%+v", l)
		}
		taken(first, true)
		taken(second, true)
		if l := b.List(); l[0].OldUsed.IsZero() {
			t.Errorf("nobody sees that the old secret is in use: %+v", l)
		}
		<-time.After(24*time.Hour - time.Second)
		taken(first, true)
		<-time.After(time.Second)
		taken(first, false)
		taken(second, true)
		if l := b.List(); !l[0].OldUntil.IsZero() || !l[0].OldUsed.IsZero() {
			t.Errorf("%+v", l)
		}

		_, third, err := b.Rotate(made.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, fourth, err := b.Rotate("a", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		taken(second, false) // one overlap at a time
		taken(third, true)
		taken(fourth, true)
		_, fifth, err := b.Rotate("a", 0)
		if err != nil {
			t.Fatal(err)
		}
		taken(fourth, false)
		reopen()
		defer func() { stop() }()
		taken(third, false)
		taken(fourth, false)
		taken(fifth, true)
		_, sixth, err := b.Rotate("a", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Revoke("a"); err != nil {
			t.Fatal(err)
		}
		taken(fifth, false)
		taken(sixth, false)

		_, _, err = b.Add(Token{Name: "old", Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if _, _, err := b.Rotate("old", 0); !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
	})
}

// fullTable is a disk that can be full.
type fullTable struct {
	Table
	err error
}

func (f *fullTable) Write(changes map[string]any) error {
	if f.err != nil {
		return f.err
	}
	return f.Table.Write(changes)
}

// A rotation that the disk does not take has not happened.
func TestRotateOnAFullDisk(t *testing.T) {
	s, stop := openStore(t, filepath.Join(t.TempDir(), "data"))
	defer stop()
	table := &fullTable{Table: s.Table("tokens")}
	b, err := Open(table, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, first, err := b.Add(Token{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	table.err = errors.New("disk full")
	if _, secret, err := b.Rotate("a", time.Hour); !errors.Is(err, table.err) || secret != "" {
		t.Errorf("%q %v", secret, err)
	}
	for range 2 {
		if got, ok := b.Check(first); !ok || !got.OldUntil.IsZero() {
			t.Errorf("%+v %v", got, ok)
		}
		if b, err = Open(s.Table("tokens"), time.Now); err != nil {
			t.Fatal(err)
		}
	}
}

// A rate can be used up at once, comes back evenly, and is each token's own.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := openStore(t, filepath.Join(t.TempDir(), "data"))
		defer stop()
		now := time.Now()
		b, err := Open(s.Table("tokens"), func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := b.Add(Token{Name: "a", Rate: Rate{60, time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := b.Add(Token{Name: "b", Rate: Rate{1, 24 * time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		free, _, err := b.Add(Token{Name: "c"})
		if err != nil {
			t.Fatal(err)
		}
		use := func(id string) (n int) {
			for n < 1000 && b.Take(id) == 0 {
				n++
			}
			return n
		}
		for _, x := range []struct {
			id   string
			pass time.Duration
			want int
		}{
			{a.ID, 0, 60}, {c.ID, 0, 1}, {free.ID, 0, 1000}, {"none", 0, 1000}, {a.ID, 999 * time.Millisecond, 0}, {a.ID, time.Millisecond, 1},
			{a.ID, 10 * time.Second, 10}, {a.ID, time.Hour, 60}, {c.ID, 22 * time.Hour, 0}, {c.ID, time.Hour, 1}, {a.ID, -24 * time.Hour, 60},
		} {
			now = now.Add(x.pass)
			if got := use(x.id); got != x.want {
				t.Errorf("after %v more: %d requests, want %d", x.pass, got, x.want)
			}
		}
		if wait := b.Take(a.ID); wait != time.Second {
			t.Error(wait)
		}
	})
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{"": {}, "5/s": {5, time.Second}, "60/m": {60, time.Minute}, "1/h": {1, time.Hour}, "100000/d": {100000, 24 * time.Hour}} {
		if got, err := ParseRate(in); got != want || err != nil || got.String() != in {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
	for _, in := range []string{"60", "60/", "/m", "0/m", "-1/m", "60/w", "100001/s", "60/m/m", "60 /m", "1e3/m"} {
		if got, err := ParseRate(in); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
}
