package main

import (
	"strings"
	"testing"
)

// TestVersionIsTheLinkers: what the Makefile says is what people read.
func TestVersionIsTheLinkers(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	if out, code := runProgram(t, "", "version"); code != exitOK || !strings.HasPrefix(out, "doorway test (") {
		t.Errorf("exit %d: %s", code, out)
	}
}
