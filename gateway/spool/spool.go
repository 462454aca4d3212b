// Package spool exchanges texts with scripts through folders, as SMS Server
// Tools 3 (smstools, smsd) does: a file in outgoing becomes a text, a text that
// comes in becomes a file in incoming.
//
// The format is that of smstools 3.1 (its manual's pages "SMS file format" and
// "How to configure"). A file goes from outgoing to checked once it has not
// changed between two looks, a second apart, and no NAME.LOCK stands beside it;
// from there to sent or failed when the queue knows what became of its texts. It
// leaves out binary messages, user data headers, macros and included files,
// voice calls, and smsd's event handlers: doorway runs no program.
//
// Nothing is lost or sent twice over a kill: before a file is moved, a row of
// the table "spool" holds its name and an idempotency key for each text; the
// texts are in the queue before the row says so; and the row names the place in
// sent or failed before anything is written there. Each step is done again after
// a restart and then changes nothing. Of incoming files and reports a row is
// written before the network is told that the text was taken, and stays for 30
// days, so that each is written once.
//
// Run owns the only goroutine; it alone touches the folders.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"doorway/gateway/health"
	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
)

// The folders, with the names that Debian's smstools gives them.
const (
	outgoing = "outgoing"
	checked  = "checked"
	sent     = "sent"
	failed   = "failed"
	incoming = "incoming"
)

const (
	lookEvery  = time.Second
	troubled   = 10 * time.Second // until the next look when something did not work: each may write to the disk
	pruneEvery = time.Hour
	patience   = time.Minute         // for files that are empty, have no text yet or cannot be read yet
	keepRows   = 30 * 24 * time.Hour // of files that were written into incoming
	keyHolds   = 47 * time.Hour      // how long a key surely finds its text in the queue
	atOnce     = 100                 // files that are taken or finished in one round
	mostFiles  = 10000               // files in checked; others wait in outgoing
	mostNames  = 20000               // names that are read of a folder
)

// Texts is what a spool needs of the SMS network (transports/sms.Network).
type Texts interface {
	Send(ctx context.Context, m transports.Message) (transports.Ref, error)
	Describe(job transports.Job) (sms.Chain, error)
	Inbox(from string, before uint64, limit int) ([]sms.Received, error)
}

// Queue is what it needs of the outbox (gateway/queue).
type Queue interface {
	Get(id uint64) (transports.Job, error)
}

// Table keeps what must survive a restart (gateway/store).
type Table interface {
	Get(key string, v any) (bool, error)
	Write(changes map[string]any) error
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error
}

// Options of a Spool.
type Options struct {
	Dir    string                // holds the folders
	Latin  bool                  // incoming files are in ISO-8859-15, or UCS-2 where that lacks a character, and not in UTF-8
	Keep   time.Duration         // how long files stay in sent and failed; 0: for ever
	SMS    Texts                 // sends, with all limits of the house
	Queue  Queue                 // knows what became of texts
	Modems func() []modem.Status // nil: none
	Table  Table
	Health *health.Health // nil: nobody is warned
	Log    *slog.Logger
	Now    func() time.Time
}

// Spool is the folders. Incoming, Receipt and Changed are safe for concurrent use.
type Spool struct {
	o      Options
	looks  map[string]look   // what the last round has seen in outgoing
	claims map[string]*claim // files in checked
	owners map[uint64]string // the claim that a text belongs to
	told   map[string]bool   // what was logged once
	moved  bool              // files were moved to checked, which may not be on disk yet
	pruned time.Time

	mu      sync.Mutex // guards what follows
	changed map[uint64]bool
	arrived bool // a row waits to be written into incoming
}

// New makes a spool; it touches nothing.
func New(o Options) *Spool {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Modems == nil {
		o.Modems = func() []modem.Status { return nil }
	}
	return &Spool{o: o, looks: map[string]look{}, claims: map[string]*claim{}, owners: map[uint64]string{}, told: map[string]bool{},
		changed: map[uint64]bool{}, moved: true, arrived: true}
}

func (s *Spool) path(folder, name string) string { return filepath.Join(s.o.Dir, folder, name) }

// Run works until ctx ends.
func (s *Spool) Run(ctx context.Context) error {
	ready := false
	for {
		err := s.prepare()
		if err == nil && !ready {
			err = s.load()
			ready = err == nil
		}
		if err == nil {
			err = s.round(ctx)
		}
		s.warn(ctx, err)
		pause := lookEvery
		if err != nil {
			pause = troubled
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// warn makes a finding of what stops the folders; each problem is logged once.
func (s *Spool) warn(ctx context.Context, err error) {
	if ctx.Err() != nil || s.o.Health == nil {
		return
	}
	if err == nil {
		if s.o.Health.Clear("drop folders") {
			s.o.Log.Info("drop folders work again", "comp", "spool")
		}
		return
	}
	text := fmt.Sprintf("The drop folders in %s do not work: %v. They must exist on one file system, with room, belong to the user that doorway runs as, and be writable for its service (ReadWritePaths); see \"Drop folders\" in the SMS documentation.", s.o.Dir, err)
	if s.o.Health.Set("drop folders", health.Warning, text) {
		s.o.Log.Warn("drop folders do not work", "comp", "spool", "err", err)
	}
}

// prepare makes folders that are missing. What is there stays as the administrator made it.
func (s *Spool) prepare() error {
	for _, name := range []string{outgoing, checked, sent, failed, incoming} {
		dir := s.path(name, "")
		st, err := os.Stat(dir)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is no folder", dir)
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := os.MkdirAll(dir, 0o770); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o770); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

// round is one look at everything.
func (s *Spool) round(ctx context.Context) error {
	err := errors.Join(s.take(), s.advance(ctx), s.finish(), s.deliver())
	if now := s.o.Now(); now.Sub(s.pruned) >= pruneEvery {
		s.pruned = now
		err = errors.Join(err, s.prune(now))
	}
	return err
}

// Changed notes that a text was decided; it is for queue.Options.Changed, and neither blocks nor calls anybody.
func (s *Spool) Changed(j transports.Job) {
	if s == nil || waits(j.State) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed[j.ID] = true
}

// waits reports that a text in this state is still to be sent.
func waits(st transports.State) bool {
	switch st {
	case transports.Queued, transports.Leased, transports.OnAir, transports.RetryWait:
		return true
	}
	return false
}

// once logs a thing that stays as it is until somebody changes it.
func (s *Spool) once(msg, name, why string) {
	if key := msg + name; !s.told[key] && len(s.told) < 1000 {
		s.told[key] = true
		s.o.Log.Warn(msg, "comp", "spool", "ref", name, "err", why)
	}
}
