package store

import (
	"bytes"
	"io"
	"testing"
)

// A restored state.db is known to be a copy, over restarts, until somebody has
// come to terms with it; one that was never replaced is none.
func TestRestoredStateIsKnownToBeACopy(t *testing.T) {
	d := stopped(t)
	copied := func(want bool, settle bool) {
		t.Helper()
		s := open(t, d, Options{NoSync: true})
		if is, err := s.FromCopy(); is != want || err != nil {
			t.Errorf("from a copy: %v, want %v, %v", is, want, err)
		}
		if settle {
			if err := s.SettleCopy(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	copied(false, false)
	b := dated(t, "yesterday")
	if _, err := Install(d, func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(b)); return err }); err != nil {
		t.Fatal(err)
	}
	copied(true, false)
	copied(true, true)
	copied(false, false)
}
