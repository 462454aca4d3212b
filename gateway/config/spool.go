package config

import (
	"path/filepath"
	"time"
)

// Spool is the section [spool]: drop folders as smstools has them.
type Spool struct {
	Dir  string `toml:"dir"`           // holds outgoing, incoming and the others; empty: there are none
	UTF8 bool   `toml:"incoming_utf8"` // texts that come in are written in UTF-8, else in ISO-8859-15 or UCS-2
	Days int    `toml:"keep_days"`     // how long files stay in sent and failed; 0: for ever
}

// Keep is how long files stay in sent and failed; 0: for ever.
func (s Spool) Keep() time.Duration { return time.Duration(s.Days) * 24 * time.Hour }

func (v *validator) spool() {
	s := &v.c.Spool
	if s.Days < 0 || s.Days > 36500 {
		v.fault("spool.keep_days", "keep_days %d is out of range: write for how many days files stay in sent and failed, 30 is usual, 0 for ever", s.Days)
	}
	if s.Dir == "" {
		return
	}
	s.Dir = v.c.rel(s.Dir)
	if filepath.Clean(s.Dir) == filepath.Clean(v.c.Data) {
		v.fault("spool.dir", `dir is the data folder itself, which nobody else may enter: name another one, such as dir = "/var/spool/sms"`)
	}
}
