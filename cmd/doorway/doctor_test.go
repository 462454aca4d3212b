package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/doctor"
)

// examined is one run of the doctor.
type examined struct {
	doctor.Report
	out  string
	code int
}

func examine(t *testing.T, args ...string) examined {
	t.Helper()
	out, code := runProgram(t, "", append([]string{"doctor", "--json"}, args...)...)
	e := examined{out: out, code: code}
	line, _, _ := strings.Cut(out, "\n") // then comes the summary on stderr
	if err := json.Unmarshal([]byte(line), &e.Report); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, out)
	}
	if want := map[doctor.Level]int{doctor.OK: exitOK, doctor.Warn: exitPartial, doctor.Fail: exitFailed}[e.Result]; code != want {
		t.Errorf("exit %d, want %d for %s", code, want, e.Result)
	}
	return e
}

// line finds a line by name and checks its level.
func (e examined) line(t *testing.T, name string, level doctor.Level, words string) {
	t.Helper()
	for _, l := range e.Lines {
		if l.Name == name && l.Level == level && strings.Contains(l.Text+" "+l.Cure, words) {
			return
		}
	}
	t.Errorf("no line %s %s with %q in\n%s", level, name, words, e.out)
}

// TestDoctor looks at a demo that is well, then at one whose phone has texted
// and whose configuration was changed.
func TestDoctor(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	d := startDemo(t)
	e := examine(t, "--dir", d.Dir)
	if !e.Running || e.Count(doctor.Fail) > 0 {
		t.Errorf("a demo that is well:\n%s", e.out)
	}
	for name, words := range map[string]string{
		"config": "is right", "server": "runs as process", "watchdog": "30s", "health": "complains of nothing",
		"data folder": "closed to others", "disk": "MB are free", "store": "Both are open", "port 127.0.0.1:0": "answers",
		"certificate": "good until", "CA": "SHA-256", "name": "RFC 6761", "modem gsm0": "Ready", "queue": "0 texts wait",
	} {
		e.line(t, name, doctor.OK, words)
	}
	for _, l := range e.Lines { // the container's clock is not ours to set
		if l.Level != doctor.OK && l.Name != "clock" {
			t.Errorf("%s %s: %s", l.Level, l.Name, l.Text)
		}
	}
	text, _ := d.run(t, "", "doctor")
	if !strings.Contains(text, "ok    certificate ") {
		t.Errorf("for people:\n%s", text)
	}

	file := filepath.Join(d.Dir, "doorway.toml")
	rewrite(t, file, func(s string) string {
		return strings.Replace(strings.Replace(s, `["alice@`, `["bob@`, 1), `country = "49"`, `country = "43"`, 1)
	})
	e = examine(t, "--dir", d.Dir)
	e.line(t, "config", doctor.Warn, "doorway reload")
	e.line(t, "config", doctor.Warn, "sms.country")
	if out, code := d.run(t, "", "reload"); code != exitOK {
		t.Fatal(out)
	}
	e = examine(t, "--config", file)
	e.line(t, "config", doctor.Warn, "sms.country")
	if strings.Contains(e.out, "doorway reload") {
		t.Errorf("the reload is not noticed:\n%s", e.out)
	}

	// A file with a fault does not hide the server that runs.
	rewrite(t, file, func(s string) string { return "nonsense = 1\n" + s })
	e = examine(t, "--config", file)
	e.line(t, "config", doctor.Fail, file+":1: unknown key")
	e.line(t, "modem gsm0", doctor.OK, "Ready")
}

// TestDoctorSick: a port that another program has and a modem that is gone,
// first with the server running, then without.
func TestDoctorSick(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	b := startBox(t, fmt.Sprintf("[xmpp]\nlisten = [%q]\nlisten_tls = [\"127.0.0.1:0\"]\n[[modem]]\nname = \"gsm0\"\ndevice = \"/dev/nothing-here\"\n[sms]\ncountry = \"49\"\n", addr))
	var e examined
	until(t, 20*time.Second, func() (bool, string) {
		e = examine(t, "--config", b.config)
		return strings.Contains(e.out, "/dev/nothing-here"), e.out
	})
	e.line(t, "port "+addr, doctor.Fail, "could not open "+addr)
	e.line(t, "modem gsm0", doctor.Fail, "/dev/nothing-here")
	e.line(t, "health: listener "+addr, doctor.Fail, "another program already listens")
	e.line(t, "certificate", doctor.OK, "office.localhost")
	e.line(t, "watchdog", doctor.Warn, "WatchdogSec")

	b.stop(t)
	e = examine(t, "--config", b.config)
	if e.Running {
		t.Error("it runs?")
	}
	e.line(t, "server", doctor.Fail, "does not run")
	e.line(t, "port "+addr, doctor.Fail, "Another program listens")
	e.line(t, "modem gsm0", doctor.Fail, "is not there")
	e.line(t, "store", doctor.OK, "whole")
	e.line(t, "CA", doctor.OK, "ca.pem")

	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	examine(t, "--config", b.config).line(t, "data folder", doctor.Fail, "chmod 700")
	examine(t, "--config", filepath.Join(b.dir, "none.toml")).line(t, "config", doctor.Fail, "no configuration file")
}
