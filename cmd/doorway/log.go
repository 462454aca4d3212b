package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// newLog writes to stderr: with times for a person, or with the journal's
// priority prefixes (sd-daemon(3)) when stderr is the journal. DOORWAY_LOG
// names the level: debug, info, warn or error; without it, or when it is no
// such word, usual holds. An error that repeats is logged once a minute.
func newLog(w io.Writer, usual slog.Level) *slog.Logger {
	level := usual
	if s := os.Getenv("DOORWAY_LOG"); s != "" {
		if err := level.UnmarshalText([]byte(strings.ToUpper(s))); err != nil {
			level = usual
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	if ok, err := journal.StderrIsJournalStream(); err == nil && ok {
		return slog.New(newRepeats(newJournal(w, opts)))
	}
	return slog.New(newRepeats(slog.NewTextHandler(w, opts)))
}

// prefixer writes each record with one write, led by its priority.
type prefixer struct {
	w      io.Writer
	prefix string
}

func (p *prefixer) Write(b []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// priority is syslog's (RFC 5424 §6.2.1) for slog's levels.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// newJournal puts <N> before each line and leaves time and level to the journal.
func newJournal(w io.Writer, opts *slog.HandlerOptions) slog.Handler {
	o := *opts
	o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	handlers := levels{}
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		handlers[l] = slog.NewTextHandler(&prefixer{w, priority(l)}, &o)
	}
	return handlers
}

// levels has one text handler for each level, since a handler's writer does
// not learn the level.
type levels map[slog.Level]slog.Handler

func (h levels) pick(l slog.Level) slog.Handler {
	switch {
	case l >= slog.LevelError:
		return h[slog.LevelError]
	case l >= slog.LevelWarn:
		return h[slog.LevelWarn]
	case l >= slog.LevelInfo:
		return h[slog.LevelInfo]
	}
	return h[slog.LevelDebug]
}

func (h levels) Enabled(ctx context.Context, l slog.Level) bool { return h.pick(l).Enabled(ctx, l) }

func (h levels) Handle(ctx context.Context, r slog.Record) error {
	return h.pick(r.Level).Handle(ctx, r)
}

func (h levels) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := levels{}
	for l, x := range h {
		out[l] = x.WithAttrs(attrs)
	}
	return out
}

func (h levels) WithGroup(name string) slog.Handler {
	out := levels{}
	for l, x := range h {
		out[l] = x.WithGroup(name)
	}
	return out
}
