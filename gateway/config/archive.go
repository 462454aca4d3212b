package config

import "time"

// Bounds of the message archive. It shares a file of at most 512 MiB with the
// rooms' history and the SMS log, and in the file it is up to half as large
// again as what is counted here.
const (
	mostArchiveDays      = 36500
	mostArchiveMegabytes = 320
)

// Archive is the section [archive].
type Archive struct {
	Days      int `toml:"days"`      // older messages go; 0: none are kept
	Megabytes int `toml:"megabytes"` // of all people and rooms; the oldest go first
}

// On reports that messages are archived.
func (a Archive) On() bool { return a.Days > 0 }

// Age is how old an archived message becomes.
func (a Archive) Age() time.Duration { return time.Duration(a.Days) * 24 * time.Hour }

// Bytes is what the archive may take.
func (a Archive) Bytes() int64 { return int64(a.Megabytes) << 20 }

func (v *validator) archive() {
	a := v.c.Archive
	if a.Days < 0 || a.Days > mostArchiveDays {
		v.fault("archive.days", "days %d is out of range: write for how many days messages are kept, 365 is usual, 0 for no archive", a.Days)
	}
	if a.Days == 0 {
		v.warn("archive.days", "days = 0: no messages are archived; people's clients do not see what their other clients wrote and got")
	}
	if a.Megabytes < 1 || a.Megabytes > mostArchiveMegabytes {
		v.fault("archive.megabytes", "megabytes %d is out of range: write how much the archive may take, from 1 to %d; 256 is usual", a.Megabytes, mostArchiveMegabytes)
	}
}
