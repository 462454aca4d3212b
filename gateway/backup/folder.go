package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"doorway/gateway/store"
)

// Backups in the nightly folder are called doorway-20260131T023000Z.tar, in UTC.
const (
	namePrefix = "doorway-"
	nameTime   = "20060102T150405Z"
	nameSuffix = ".tar"
)

// Name is the file name of a backup made at a time.
func Name(at time.Time) string { return namePrefix + at.UTC().Format(nameTime) + nameSuffix }

// entry is one backup in the folder.
type entry struct {
	path string
	at   time.Time
}

// list returns the backups of a folder, newest first; those from the future,
// which a wrong clock made, come last.
func list(dir string, now time.Time) ([]entry, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var all []entry
	for _, n := range names {
		at, err := time.Parse(namePrefix+nameTime+nameSuffix, n.Name())
		if err == nil && n.Type().IsRegular() {
			all = append(all, entry{filepath.Join(dir, n.Name()), at})
		}
	}
	future := func(e entry) bool { return e.at.After(now.Add(24 * time.Hour)) }
	sort.Slice(all, func(i, j int) bool {
		if a, b := future(all[i]), future(all[j]); a != b {
			return b
		}
		return all[i].at.After(all[j].at)
	})
	return all, nil
}

// newest is when the newest backup was made; zero without any.
func newest(all []entry, now time.Time) time.Time {
	if len(all) == 0 || all[0].at.After(now.Add(24*time.Hour)) {
		return time.Time{}
	}
	return all[0].at
}

// trim deletes all but the newest, and what a kill left half written.
func trim(dir string, all []entry, keep int) error {
	var errs []error
	for i := keep; i < len(all); i++ {
		errs = append(errs, os.Remove(all[i].path))
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), namePrefix) && strings.HasSuffix(n.Name(), nameSuffix+".new") {
			errs = append(errs, os.Remove(filepath.Join(dir, n.Name())))
		}
	}
	return errors.Join(errs...)
}

// Fallbacks gives store.Open the backups of a folder, for a start with a
// damaged state.db.
func Fallbacks(dir string) func() []store.Fallback {
	return func() []store.Fallback {
		all, _ := list(dir, time.Now()) // ignored: without the folder there are none
		var f []store.Fallback
		for _, e := range all {
			f = append(f, store.Fallback{
				From: "the nightly backup " + e.path, At: e.at,
				Write: func(w io.Writer) error {
					_, err := fromFile(context.Background(), e.path, w)
					return err
				},
			})
		}
		return f
	}
}
