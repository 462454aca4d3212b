package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"doorway/gateway/health"
	"doorway/gateway/store"
)

// Times of the round.
const (
	lookEvery  = time.Minute     // between two looks at the clock
	settleIn   = 5 * time.Minute // after the start, before a missed backup is made up for
	retryAfter = time.Hour
	tooOld     = 48 * time.Hour
)

// Store is what the Keeper needs of *store.Store.
type Store interface {
	Copy(ctx context.Context, path string) (store.Copy, error)
	Compact(ctx context.Context) ([]store.Compaction, error)
	Sizes() []store.FileSize
	Recovered() []store.Recovery
}

// Config of a Keeper.
type Config struct {
	Store        Store
	Data         string // the data folder: the copy is made there, then packed into Dir
	Dir          string // where the nightly backups go
	Keep         int    // how many of them are kept; 0: none are made
	Hour, Minute int    // of the night, local time
	Info         Info
	Health       *health.Health
	Log          *slog.Logger
}

// Keeper makes the nightly backups, compacts the store when it starts and in
// the night to Monday, and keeps the warnings about all that.
type Keeper struct {
	c Config

	started   time.Time
	retry     time.Time // no backup before, after one that failed
	failure   error     // of the last backup
	compacted time.Time // when compaction was last thought of
}

// New makes a Keeper.
func New(c Config) *Keeper { return &Keeper{c: c} }

// Run looks at the clock each minute until ctx ends. The clock is read anew
// every time, since a box without one of its own learns the time late.
func (k *Keeper) Run(ctx context.Context) error {
	k.started = time.Now()
	k.storeFindings()
	k.compact(ctx, k.started)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		k.round(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *Keeper) round(ctx context.Context, now time.Time) {
	if k.c.Keep > 0 {
		k.backups(ctx, now)
	}
	if slot := k.slot(now); slot.Weekday() == time.Monday && k.compacted.Before(slot) && !k.compacted.After(now) {
		k.compact(ctx, now)
	}
	k.storeFindings()
}

// slot is the latest moment up to now at which a backup was due.
func (k *Keeper) slot(now time.Time) time.Time {
	y, m, d := now.Local().Date()
	s := time.Date(y, m, d, k.c.Hour, k.c.Minute, 0, 0, time.Local)
	if s.After(now) {
		s = time.Date(y, m, d-1, k.c.Hour, k.c.Minute, 0, 0, time.Local)
	}
	return s
}

// backups makes one when it is due, also one that was missed, and says how
// the backups are.
func (k *Keeper) backups(ctx context.Context, now time.Time) {
	all, err := list(k.c.Dir, now)
	last := newest(all, now)
	due := last.Before(k.slot(now)) && now.Sub(k.started) >= settleIn && !now.Before(k.retry)
	if err == nil && due {
		err = k.backup(ctx, now)
		if ctx.Err() != nil {
			return
		}
		if k.failure = err; err != nil {
			k.retry = now.Add(retryAfter)
			k.c.Log.Error("nightly backup failed", "comp", "backup", "err", err)
		} else {
			last = now
		}
	}
	if err == nil {
		err = k.failure
	}
	severity, was := health.Warning, "There is none yet."
	if !last.IsZero() {
		was = "The newest is from " + last.Local().Format("2006-01-02 15:04") + "."
	}
	old := now.Sub(last) > tooOld && (!last.IsZero() || now.Sub(k.started) > tooOld)
	if old {
		severity = health.Failure
	}
	switch {
	case err != nil:
		k.c.Health.Set("backup", severity, fmt.Sprintf("The nightly backup to %s fails: %v. %s doorway tries again every hour; look at the disk and the folder, or run `doorway backup FILE` to another place.", k.c.Dir, err, was))
	case old && now.Sub(k.started) > 2*settleIn:
		k.c.Health.Set("backup", health.Warning, fmt.Sprintf("No backup was made in %s for over two days. %s Check the box's clock, and run `doorway backup FILE`.", k.c.Dir, was))
	case !old:
		k.c.Health.Clear("backup")
	}
}

// backup makes one backup in the folder and trims the old ones.
func (k *Keeper) backup(ctx context.Context, now time.Time) error {
	if err := os.MkdirAll(k.c.Dir, 0o700); err != nil {
		return err
	}
	copied := filepath.Join(k.c.Data, "nightly"+store.CopySuffix)
	if err := os.Remove(copied); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c, err := k.c.Store.Copy(ctx, copied)
	if err != nil {
		return err
	}
	_, err = Save(ctx, filepath.Join(k.c.Dir, Name(now)), c, k.c.Info)
	if err := errors.Join(err, os.Remove(copied)); err != nil {
		return err
	}
	all, err := list(k.c.Dir, now)
	if err != nil {
		return err
	}
	k.c.Log.Info("nightly backup made", "comp", "backup", "ref", Name(now), "size", c.Size)
	if err := trim(k.c.Dir, all, k.c.Keep); err != nil {
		k.c.Log.Warn("old backups cannot be deleted", "comp", "backup", "err", err)
	}
	return nil
}

func (k *Keeper) compact(ctx context.Context, now time.Time) {
	k.compacted = now
	done, err := k.c.Store.Compact(ctx)
	for _, c := range done {
		k.c.Log.Info("database compacted", "comp", "store", "ref", c.File, "before", c.Before, "after", c.After)
	}
	if err != nil && ctx.Err() == nil {
		k.c.Log.Warn("database not compacted", "comp", "store", "err", err)
	}
}

// storeFindings says which file is nearly full and which was replaced.
func (k *Keeper) storeFindings() {
	for _, s := range k.c.Store.Sizes() {
		name := "size " + s.Name
		if !s.NearlyFull() {
			k.c.Health.Clear(name)
			continue
		}
		what := "When it is full, messages and texts are refused. `doorway queue list` shows jobs that may be deleted; offline messages go when their owners log in."
		if s.Name == "archive.db" {
			what = "When it is full, no history is kept any more. To begin a new one, stop doorway and move the file away."
		}
		k.c.Health.Set(name, health.Warning, fmt.Sprintf("%s is nearly full: it holds more than 80 %% of the %d MB it may. %s", s.Name, s.Max>>20, what))
	}
	found := map[string]bool{}
	for _, r := range k.c.Store.Recovered() {
		found[r.File] = true
		if k.c.Health.Set("recovered "+r.File, health.Warning, r.Text()) {
			k.c.Log.Warn("a damaged database was replaced", "comp", "store", "ref", r.Aside, "err", r.Text())
		}
	}
	for _, f := range []string{"state.db", "archive.db"} {
		if !found[f] {
			k.c.Health.Clear("recovered " + f)
		}
	}
}
