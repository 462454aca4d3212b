package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// spoolFolders are the folders in which smstools' users look.
type spoolFolders string

// files reads a folder, by name.
func (d spoolFolders) files(t *testing.T, folder string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(string(d), folder))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(string(d), folder, e.Name()))
		if err == nil && !strings.HasPrefix(e.Name(), ".") { // else it moved on meanwhile
			m[e.Name()] = string(b)
		}
	}
	return m
}

// finds waits for a file in a folder that holds some lines.
func (d spoolFolders) finds(t *testing.T, folder string, parts ...string) (name, text string) {
	t.Helper()
	until(t, time.Minute, func() (bool, string) {
		all := d.files(t, folder)
	next:
		for n, f := range all {
			for _, p := range parts {
				if !strings.Contains(f, p) {
					continue next
				}
			}
			name, text = n, f
			return true, ""
		}
		return false, fmt.Sprintf("no file in %s has %q: %q", folder, parts, all)
	})
	return name, text
}

// sendsms runs the script of Debian's smstools, which knows one folder only.
func (d spoolFolders) sendsms(t *testing.T, args ...string) {
	t.Helper()
	src, err := os.ReadFile("/usr/share/doc/smstools/examples/scripts/sendsms")
	if err != nil {
		t.Skip("the script sendsms is missing: install the Debian package smstools with its documentation")
	}
	src = []byte(strings.ReplaceAll(string(src), "/var/spool/sms/", string(d)+"/"))
	cmd := exec.Command("/bin/bash", append([]string{"-c", string(src), "sendsms"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestDropFolders lets scripts text through the folders of smstools: what they wrote for smsd works with doorway, over a kill.
func TestDropFolders(t *testing.T) {
	needPeer(t, "smsd", "smstools")
	dir := spoolFolders(t.TempDir())
	m := newTwoModems(t, fmt.Sprintf("[spool]\ndir = %q\n", string(dir)), demoQuiet, demoBusy)
	dir.sendsms(t, strings.TrimPrefix(demoQuiet, "+"), "The pump has stopped.")
	_, text := dir.finds(t, "sent", "The pump has stopped.")
	for _, want := range []string{"To: 4915550101\n", `\nModem: gsm[01]\n`, `\nIMSI: 26201`, `\nSent: \d\d-\d\d-\d\d \d\d:\d\d:\d\d\n`, `\nMessage_id: \d+\n`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	// The texts of the manual, as scripts write them: in one go, or line by line.
	script := func(text string) {
		t.Helper()
		cmd := exec.Command("/bin/sh", "-c", text)
		cmd.Dir = string(dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	script(`f=$(mktemp outgoing/alarm.XXXXXX); { echo "To: 4915550101"; echo "Priority: High"; echo "Report: yes"; echo; echo "Battery low"; } >$f; chmod 666 $f`)
	_, report := dir.finds(t, "incoming", "SMS STATUS REPORT\n", "Status: 0,Ok,")
	_, text = dir.finds(t, "sent", "Battery low")
	id := regexp.MustCompile(`\nMessage_id: \d+\n`).FindString(text)
	if id == "" || !strings.Contains(report, id) || !strings.HasPrefix(report, "From: 4915550101\n") {
		t.Errorf("the report %q does not name the text %q", report, text)
	}
	script(`printf 'To: nobody\nReport: yes\n\nx' >outgoing/nobody`)
	if _, text := dir.finds(t, "failed", "\nx"); !strings.Contains(text, "\nFail_reason: ") || !strings.Contains(text, "\nFailed: ") {
		t.Error(text)
	}
	m.process.kill(t)
	dir.sendsms(t, strings.TrimPrefix(demoQuiet, "+"), strings.TrimPrefix(demoBusy, "+"), "Привет, мир")
	m.start(t)
	until(t, time.Minute, func() (bool, string) {
		all := dir.files(t, "sent")
		return len(all) == 4 && len(dir.files(t, "outgoing")) == 0 && len(dir.files(t, "checked")) == 0, fmt.Sprintf("%q", all)
	})
	aired := map[string]int{}
	for _, e := range m.emus {
		for _, s := range e.Submits() {
			aired[s.Text] += s.Count
		}
	}
	if aired["The pump has stopped."] != 1 || aired["Battery low"] != 1 || aired["Привет, мир"] != 2 {
		t.Errorf("on the air: %v", aired)
	}
	// What comes in.
	if err := m.emus[1].Deliver(demoBusy, "Grüße vom Dach"); err != nil {
		t.Fatal(err)
	}
	name, text := dir.finds(t, "incoming", "Grüße vom Dach")
	for _, want := range []string{`^From: 4915550102\nSent: .*\nReceived: .*\nSubject: gsm1\nModem: gsm1\nIMSI: \d+\n`, `\nAlphabet: UTF-8\nLength: 14\n\nGrüße vom Dach$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if !strings.HasPrefix(name, "gsm1.") {
		t.Errorf("the file is called %s", name)
	}
}
