package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// When the disk does not keep up, what Later holds in memory stays bounded;
// what was taken is committed in the end, and urgent changes always go.
func TestQueueIsBounded(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	f := s.files[state]
	if f.maxWait != maxQueued {
		t.Errorf("%d bytes may wait", f.maxWait)
	}
	f.maxWait = maxQueued / 16
	f.commitMu.Lock() // the disk hangs
	tab := s.Table("offline")
	took, refused := 0, 0
	var last error
	for i := range 200 {
		tab.Later(map[string]any{fmt.Sprintf("%03d", i): make([]byte, 64<<10)}, func(err error) {
			if err != nil {
				refused++
				last = err
			} else {
				took++
			}
		})
	}
	var e *Error
	if !errors.Is(last, ErrOverload) || !errors.As(last, &e) || !strings.Contains(e.Text, "disk") {
		t.Errorf("refusal: %v", last)
	}
	if b := s.Stats().QueuedBytes; b > f.maxWait || b < f.maxWait/2 {
		t.Errorf("%d bytes wait", b)
	}
	if err := tab.readBack("000"); err != nil {
		t.Error(err)
	}
	urgent := make(chan error, 1)
	go func() { urgent <- s.Table("outbox").WriteUrgent(map[string]any{"mark": 1}) }() // received below
	f.commitMu.Unlock()
	if err := <-urgent; err != nil {
		t.Errorf("urgent: %v", err)
	}
	f.drain()
	if took+refused != 200 || took < 20 || took > 40 {
		t.Errorf("%d taken, %d refused", took, refused)
	}
	if n := len(keys(t, tab, "", "", false)); n != took {
		t.Errorf("%d rows are there, %d were taken", n, took)
	}
	// Afterwards all is as before, and one large request alone is always taken.
	if err := tab.Write(map[string]any{"large": make([]byte, f.maxWait+1)}); err != nil {
		t.Error(err)
	}
}

// Many small changes count for what they really take.
func TestSmallChangesAreBounded(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	f := s.files[state]
	f.maxWait = maxQueued / 16
	f.commitMu.Lock()
	refused := 0
	for i := range 12_500 {
		s.Table("bridge").Later(map[string]any{fmt.Sprint(i): []byte{}}, func(err error) {
			if err != nil {
				refused++
			}
		})
	}
	f.commitMu.Unlock()
	if n := s.Stats().Queued; refused == 0 || n*rowCost > f.maxWait {
		t.Errorf("%d wait, %d refused", n, refused)
	}
	f.drain()
}

func (t *Table) readBack(key string) error {
	ok, err := t.Get(key, nil)
	if err == nil && !ok {
		err = fmt.Errorf("%s is not there", key)
	}
	return err
}

// Before a file is full there is a warning; when it is, a sentence, and
// deletions help.
func TestFileFillsUp(t *testing.T) {
	for _, table := range []string{"offline", "archive"} {
		s := open(t, dir(t), Options{NoSync: true, MaxSize: 32 << 20})
		f := s.Table(table).f
		warned := -1
		var err error
		n := 0
		for ; err == nil; n++ {
			err = s.Table(table).Write(map[string]any{fmt.Sprintf("%06d", n): make([]byte, 240<<10)})
			if size := f.fileSize(); err == nil && warned < 0 && size.NearlyFull() {
				warned = n
			}
		}
		var e *Error
		if !errors.Is(err, ErrFull) || !errors.As(err, &e) || !strings.Contains(e.Text, "is full") || !strings.Contains(e.Text, "32 MB") {
			t.Errorf("%s: %v", table, err)
		}
		if !errors.Is(s.Stats().Err, ErrFull) {
			t.Errorf("%s: stats say %v", table, s.Stats().Err)
		}
		if warned < 0 || warned >= n {
			t.Errorf("%s: warned at %d of %d", table, warned, n)
		}
		t.Logf("%s: warned at %d of %d", table, warned, n)
		for i := range n {
			if err := s.Table(table).Write(map[string]any{fmt.Sprintf("%06d", i): nil}); err != nil {
				t.Fatal(err)
			}
		}
		if f.fileSize().NearlyFull() || !f.fileSize().sparse() {
			t.Errorf("%s: sizes %+v", table, f.fileSize())
		}
		if _, err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Table(table).Write(map[string]any{"again": make([]byte, 240<<10)}); err != nil {
			t.Error(err)
		}
	}
}
