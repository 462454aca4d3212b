package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// repeatEvery is how often one and the same error is logged.
	repeatEvery = time.Minute
	// maxRepeats bounds the errors that are remembered.
	maxRepeats = 64
)

// repeats logs an error once a minute, however often it comes, and then says
// how often it was left out: a full disk fails every message, and writing that
// down for each would not help it. Errors are the same when their message,
// component and cause are.
type repeats struct {
	slog.Handler
	comp string // of WithAttrs
	seen *seen
}

// seen is what the handlers of one log share.
type seen struct {
	mu     sync.Mutex // guards errors
	errors map[string]*repeated
}

type repeated struct {
	since time.Time // when it was logged
	more  int       // not logged since
}

func newRepeats(h slog.Handler) repeats {
	return repeats{Handler: h, seen: &seen{errors: make(map[string]*repeated)}}
}

// Handle passes a record on, or counts it.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelError {
		return h.Handler.Handle(ctx, r)
	}
	comp, cause := h.comp, ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "comp":
			comp = a.Value.String()
		case "err":
			cause = a.Value.String()
		}
		return true
	})
	log, more := h.seen.note(strings.Join([]string{comp, r.Message, cause}, "\x00"), r.Time)
	if !log {
		return nil
	}
	if more > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", more))
	}
	return h.Handler.Handle(ctx, r)
}

// note reports whether an error is logged now, and how often it was left out
// before.
func (s *seen) note(key string, now time.Time) (log bool, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.errors[key]; e != nil {
		if now.Sub(e.since) < repeatEvery {
			e.more++
			return false, 0
		}
		more = e.more
		e.since, e.more = now, 0
		return true, more
	}
	if len(s.errors) >= maxRepeats {
		for k, e := range s.errors {
			if now.Sub(e.since) >= repeatEvery && e.more == 0 {
				delete(s.errors, k)
			}
		}
	}
	if len(s.errors) >= maxRepeats { // so many at once are worth a line each
		return true, 0
	}
	s.errors[key] = &repeated{since: now}
	return true, 0
}

// WithAttrs implements slog.Handler.
func (h repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "comp" {
			h.comp = a.Value.String()
		}
	}
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup implements slog.Handler.
func (h repeats) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
