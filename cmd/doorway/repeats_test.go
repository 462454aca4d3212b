package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRepeatedErrors: one line a minute for one and the same error, and a count.
func TestRepeatedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		h := newRepeats(slog.NewTextHandler(&out, nil))
		log := slog.New(h)
		c2s := log.With("comp", "c2s")
		full := errors.New("the disk is full")
		said := func(want ...string) {
			t.Helper()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if out.Len() == 0 {
				lines = nil
			}
			out.Reset()
			if len(lines) != len(want) {
				t.Fatalf("%d lines, want %d: %q", len(lines), len(want), lines)
			}
			for i, l := range lines {
				if _, l, _ = strings.Cut(l, "msg="); l != want[i] {
					t.Errorf("%q, want %q", l, want[i])
				}
			}
		}
		for i := range 1000 {
			log.Error("stanza failed", "comp", "router", "user", i, "err", full)
			c2s.Error("stanza failed", "user", i, "err", full)
		}
		log.Error("stanza failed", "comp", "router", "err", errors.New("the disk is read-only"))
		log.Warn("busy")
		log.Warn("busy")
		said(`"stanza failed" comp=router user=0 err="the disk is full"`,
			`"stanza failed" comp=c2s user=0 err="the disk is full"`,
			`"stanza failed" comp=router err="the disk is read-only"`, "busy", "busy")
		time.Sleep(repeatEvery - time.Second) // the bubble's clock
		c2s.Error("stanza failed", "err", full)
		said()
		time.Sleep(time.Second)
		log.Error("stanza failed", "comp", "router", "err", full)
		log.Error("stanza failed", "comp", "router", "err", full)
		c2s.Error("stanza failed", "err", full)
		said(`"stanza failed" comp=router err="the disk is full" repeated=999`, `"stanza failed" comp=c2s err="the disk is full" repeated=1000`)

		// Its memory is bounded, and what is over is forgotten.
		for i := range 3 * maxRepeats {
			log.Error("odd", "err", fmt.Sprint(i))
		}
		if n := len(h.seen.errors); n != maxRepeats || strings.Count(out.String(), "\n") != 3*maxRepeats {
			t.Errorf("%d are remembered", n)
		}
		time.Sleep(time.Hour)
		log.Error("odd", "err", "new")
		if n := len(h.seen.errors); n > 3 {
			t.Errorf("%d are remembered after an hour", n)
		}
	})
}
