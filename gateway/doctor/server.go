package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"doorway/gateway/health"
)

// server says whether doorway runs.
func server(_ context.Context, b *Box) []Line {
	const name = "server"
	f := b.Facts
	switch {
	case b.FactsErr != nil:
		return []Line{fail(name, "doorway runs but could not be asked: "+b.FactsErr.Error(), "Run the doctor with sudo. If that does not help, read `journalctl -u doorway`.")}
	case f == nil && !exists(filepath.Join(b.Dir, stateFile)):
		return []Line{warn(name, "doorway has never run with this data folder.", "Start it with `systemctl enable --now doorway`, or `doorway run --config FILE`.")}
	case f == nil:
		return []Line{fail(name, "doorway does not run.", "Start it with `systemctl start doorway`; `journalctl -u doorway -e` says why it ended.")}
	}
	var lines []Line
	if f.Version != b.Version {
		lines = append(lines, warn(name, fmt.Sprintf("doorway %s runs, and this program is %s.", f.Version, b.Version), "Run `systemctl restart doorway` to use the installed version."))
	}
	if f.Panics > 0 {
		lines = append(lines, warn(name, fmt.Sprintf("%d connections or tasks ended by a fault in doorway since it was started.", f.Panics), "Look for \"panic\" in `journalctl -u doorway` and report it."))
	}
	if len(lines) == 0 {
		lines = append(lines, ok(name, fmt.Sprintf("doorway %s runs as process %d for %s.", f.Version, f.PID, span(b.Now().Sub(f.Started)))))
	}
	return lines
}

// watchdog says whether somebody restarts a doorway that hangs.
func watchdog(_ context.Context, b *Box) []Line {
	switch {
	case b.Facts == nil:
		return nil
	case b.Facts.Watchdog == 0:
		return []Line{warn("watchdog", "Nobody restarts doorway should it hang.", "Run it as a service with configs/doorway.service, which has WatchdogSec.")}
	}
	return []Line{ok("watchdog", fmt.Sprintf("The service manager restarts doorway when it does not answer for %v.", b.Facts.Watchdog))}
}

// findings repeats what the server itself complains about.
func findings(_ context.Context, b *Box) []Line {
	if b.Facts == nil {
		return nil
	}
	var lines []Line
	for _, f := range b.Facts.Findings {
		level := Warn
		switch f.Severity {
		case health.Failure:
			level = Fail
		case health.Info:
			level = OK
		}
		lines = append(lines, Line{Name: "health: " + f.Name, Level: level, Text: fmt.Sprintf("%s (for %s)", f.Text, span(b.Now().Sub(f.Since)))})
	}
	if len(lines) == 0 {
		lines = append(lines, ok("health", "The running doorway complains of nothing."))
	}
	return lines
}

// span is a duration as people say it.
func span(d time.Duration) string {
	many := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d < time.Minute:
		return many(int(max(d, 0)/time.Second), "second")
	case d < 2*time.Hour:
		return many(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return many(int(d/time.Hour), "hour")
	}
	return many(int(d/(24*time.Hour)), "day")
}
