package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// boltCheck is bbolt's own check of a file, but for lost pages.
func boltCheck(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return err
	}
	err = db.View(checkPages)
	return errors.Join(err, db.Close())
}

// The inspection must never call a good file damaged: a box would fall back
// to an old copy for nothing.
func TestInspectAgreesWithBolt(t *testing.T) {
	for seed := range uint64(8) {
		if testing.Short() && seed%7 != 0 { // one with its list of free pages, one without
			continue
		}
		rnd := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType, NoFreelistSync: seed == 7})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 45 {
			err := db.Update(func(tx *bbolt.Tx) error {
				for range rnd.IntN(120) {
					b, err := tx.CreateBucketIfNotExists(fmt.Append(nil, "bucket", rnd.IntN(6)))
					if err != nil {
						return err
					}
					if rnd.IntN(10) == 0 { // a bucket in a bucket
						if b, err = b.CreateBucketIfNotExists(fmt.Append(nil, "nested", rnd.IntN(3))); err != nil {
							return err
						}
					}
					key := bytes.Repeat([]byte{byte(rnd.IntN(256))}, 1+rnd.IntN(60))
					key = fmt.Append(key, rnd.IntN(500))
					size := rnd.IntN(400)
					if rnd.IntN(30) == 0 {
						size = rnd.IntN(40000)
					}
					if rnd.IntN(3) == 0 {
						err = b.Delete(key)
					} else {
						err = b.Put(key, make([]byte, size))
					}
					if err != nil {
						return err
					}
				}
				if round == 30 {
					return tx.DeleteBucket([]byte("bucket1"))
				}
				return nil
			})
			if err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
				t.Fatal(err)
			}
			if err := inspectFile(path); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(inspectFile(path), boltCheck(path)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// whole makes the bytes of a database with a few levels of pages.
func whole(t testing.TB) []byte {
	t.Helper()
	d := dir(t)
	s := open(t, d, Options{NoSync: true})
	for i := range 400 {
		if err := s.Table("roster").Write(map[string]any{fmt.Sprintf("%04d", i): make([]byte, 50)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if err := s.Table("roster").Write(map[string]any{fmt.Sprintf("%04d", i*4): nil}); err != nil {
			t.Fatal(err)
		}
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

// A file that the inspection calls good must not bring bbolt down: every
// damaged byte is either found or harmless to bbolt's own check.
func TestInspectFindsDamage(t *testing.T) {
	good := whole(t)
	path := filepath.Join(t.TempDir(), "db")
	rnd := rand.New(rand.NewPCG(3, 4))
	missed := 0
	rounds := 600
	if testing.Short() {
		rounds = 200
	}
	for range rounds {
		b := bytes.Clone(good)
		at := rnd.IntN(len(b))
		for range 1 + rnd.IntN(16) {
			b[at] = byte(rnd.IntN(256))
			at = min(at+rnd.IntN(8), len(b)-1)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		err := inspect(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%v is not ErrDamaged", err)
		}
		if err == nil && boltCheck(path) != nil {
			missed++ // an error, but neither a panic nor a fault
		}
	}
	t.Logf("%d damages that only bbolt's own check names", missed)
	for _, n := range []int{0, 10, 79, 80, 4096, 5000, 8192, 8300, 16384, 24576} {
		if err := inspect(bytes.NewReader(good[:n]), int64(n)); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}

// FuzzInspect: no bytes make the inspection panic or loop, neither a file of
// any kind nor a good one with something written into it.
func FuzzInspect(f *testing.F) {
	good := whole(f)
	f.Add([]byte("no database at all"), uint32(0), false)
	f.Add([]byte{2, 0, 0xff, 0xff}, uint32(4*4096+8), true)
	f.Fuzz(func(t *testing.T, b []byte, at uint32, patch bool) {
		if patch {
			whole := bytes.Clone(good)
			copy(whole[int(at)%len(whole):], b)
			b = whole
		}
		if err := inspect(bytes.NewReader(b), int64(len(b))); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v is not ErrDamaged", err)
		}
	})
}
