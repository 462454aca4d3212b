package store

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// What a full, read-only or broken disk makes of a write is told in a sentence
// with a cure; the log keeps what the system said.
func TestFullDiskIsToldInASentence(t *testing.T) {
	f := &dbFile{path: "/var/lib/doorway/state.db", name: "state.db"}
	for errno, cure := range map[error]string{
		syscall.ENOSPC: "Free space", syscall.EDQUOT: "allow more", syscall.EFBIG: "Raise the limit",
		syscall.EROFS: "read-only", syscall.EIO: "replace it",
	} {
		err := f.refusal(fmt.Errorf("commit state.db: %w", errno))
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, errno) || !strings.Contains(e.Text, cure) || !strings.Contains(e.Text, f.path) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if other := errors.New("odd"); f.refusal(other) != other {
		t.Error("an error without a cure got a sentence")
	}
}

func TestReadOnlyDiskIsNoMatterOfOwners(t *testing.T) {
	if text := lockCure(syscall.EROFS); strings.Contains(text, "owns") || !strings.Contains(text, "dmesg") {
		t.Error(text)
	}
	if text := lockCure(syscall.EACCES); !strings.Contains(text, "owns") {
		t.Error(text)
	}
}
