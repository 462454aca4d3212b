package config

import (
	"path/filepath"
	"strings"
	"time"
)

// mostBackups bounds keep: a year of nights.
const mostBackups = 366

func (v *validator) backup() {
	b := &v.c.Backup
	if b.Dir == "" && v.c.Data != "" {
		b.Dir = filepath.Join(v.c.Data, "backups")
	} else {
		b.Dir = v.c.rel(b.Dir)
	}
	if b.Dir != "" && filepath.Clean(b.Dir) == filepath.Clean(v.c.Data) {
		v.fault("backup.dir", `dir is the data folder itself: leave it empty for the folder backups in it, or name one on another disk`)
	}
	if b.Keep < 0 || b.Keep > mostBackups {
		v.fault("backup.keep", "keep %d is out of range: write how many nightly backups to keep, 7 is usual, 0 for none", b.Keep)
	}
	if b.Keep == 0 {
		v.warn("backup.keep", "keep = 0: no nightly backups are made; damage to the data cannot be undone")
	}
	at, err := time.Parse("15:04", strings.TrimSpace(b.At))
	if err != nil {
		v.fault("backup.at", `at %q is not a time: write hours and minutes from 00:00 to 23:59, e.g. at = "03:30"`, b.At)
		return
	}
	b.hour, b.minute = at.Hour(), at.Minute()
}
