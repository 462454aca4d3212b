package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"doorway/gateway/config"
	"doorway/gateway/control"
	"doorway/gateway/doctor"
	"doorway/transports"
)

// facts is what the running server tells the doctor.
func (s *server) facts() (doctor.Facts, error) {
	f := doctor.Facts{
		Version: version, PID: os.Getpid(), Started: s.started, Config: s.cfg.File,
		Panics: s.health.Panics(), Findings: append(s.health.List(), smsFindings(s.sms, s.hooks)...), Fingerprint: s.certs.Fingerprint(),
		Files: s.store.Sizes(), Modems: s.modemStatus(), Queue: s.queue.Counts(),
	}
	if abs, err := filepath.Abs(f.Config); err == nil {
		f.Config = abs
	}
	for _, d := range s.doors() {
		f.Doors = append(f.Doors, doctor.Door{Kind: d.kind, Want: d.addr, Addr: s.addr(d.kind + " " + d.addr)})
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err == nil { // ignored: a limit that cannot be read was logged by the watchdog
		f.Watchdog = limit
	}
	if next, err := config.Load(s.cfg.File); err != nil {
		f.Fault = err.Error()
	} else {
		runs := s.cfg.Reload(next)
		f.Pending, f.Restart = config.Changes(s.live.Load(), runs), config.Changes(runs, next)
	}
	f.Oldest, err = s.oldest()
	return f, err
}

// oldest says since when the text that waits longest could have been sent.
func (s *server) oldest() (time.Time, error) {
	jobs, err := s.queue.List(transports.Filter{States: []transports.State{
		transports.Queued, transports.RetryWait, transports.Leased, transports.OnAir,
	}})
	if err != nil {
		return time.Time{}, err
	}
	var oldest time.Time
	for _, j := range jobs {
		since := j.Created
		if j.State == transports.Queued && j.NotBefore.After(since) {
			since = j.NotBefore // it is meant to wait
		}
		if since.Before(time.Now()) && (oldest.IsZero() || since.Before(oldest)) {
			oldest = since
		}
	}
	return oldest, nil
}

func runDoctor(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("doctor"), args, 0, 0); err != nil {
		return err
	}
	box, err := t.box(ctx)
	if err != nil {
		return err
	}
	r := doctor.Examine(ctx, box)
	if t.json {
		err = a.printJSON(r)
	} else {
		for _, l := range r.Lines {
			fmt.Fprintf(a.out, "%-5s %-20s %s\n", l.Level, l.Name, l.Text)
			if l.Cure != "" {
				fmt.Fprintf(a.out, "%26s → %s\n", "", l.Cure)
			}
		}
	}
	if err != nil {
		return err
	}
	failures, warnings := r.Count(doctor.Fail), r.Count(doctor.Warn)
	switch r.Result {
	case doctor.Fail:
		return fmt.Errorf("%s, %s", counted(failures, "failure"), counted(warnings, "warning"))
	case doctor.Warn:
		return partialError{counted(warnings, "warning")}
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// box finds the configuration, the data folder and the running server, each
// of which may be missing.
func (t *target) box(ctx context.Context) (doctor.Box, error) {
	b := doctor.Box{Version: version, Dir: t.dir}
	file := t.config
	switch {
	case t.dir != "" && t.config != "":
		return b, usagef("--dir and --config exclude each other")
	case t.dir != "":
	case file != "":
	case os.Getenv("DOORWAY_CONFIG") != "":
		file = os.Getenv("DOORWAY_CONFIG")
	case exists(filepath.Join("var", control.SocketName)) || !exists(systemConfig):
		b.Dir = "var"
	default:
		file = systemConfig
	}
	if file != "" {
		if b.Config, b.ConfigErr = config.Load(file); b.Config != nil {
			b.Dir = b.Config.Data
		} else if b.Dir = config.Folder(file); b.Dir == "" {
			b.Dir = systemData
		}
	}
	var f doctor.Facts
	err := control.Call(ctx, b.Dir, "doctor", nil, &f)
	switch {
	case err == nil:
		b.Facts = &f
	case !errors.Is(err, control.ErrNotRunning):
		b.FactsErr = err
	}
	if file == "" {
		if file = filepath.Join(b.Dir, "doorway.toml"); b.Facts != nil { // where the demo has it
			file = b.Facts.Config
		}
		if b.Facts != nil || exists(file) {
			b.Config, b.ConfigErr = config.Load(file)
		}
	}
	return b, nil
}

// systemData is where doorway.service keeps its data; it is looked at when the
// configuration does not say.
const systemData = "/var/lib/doorway"
