package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackupCommands: a backup of the running server, refused and done
// restores, and a start with a damaged database.
func TestBackupCommands(t *testing.T) {
	b := startBox(t, "")
	dir := t.TempDir()
	file, other := filepath.Join(dir, "doorway.tar"), filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(other, []byte("Dear Bob"), 0o600); err != nil {
		t.Fatal(err)
	}
	type step struct {
		stdin string
		args  []string
		code  int
		want  string
	}
	play := func(steps ...step) {
		t.Helper()
		for _, c := range steps {
			out, code := b.run(t, c.stdin, c.args...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("doorway %s: exit %d, want %d, with %q in\n%s", strings.Join(c.args, " "), code, c.code, c.want, out)
			}
		}
	}
	play(
		step{"correct horse\n", []string{"user", "add", "alice"}, exitOK, ""},
		step{"", []string{"sms", "send", "+4915550101", "It waits"}, exitOK, "Queued as 1"},
		step{"", []string{"backup", file}, exitOK, "verified"},
		step{"", []string{"backup", file}, exitOK, "certificate authority"}, // again, over itself
		step{"correct horse\n", []string{"user", "add", "bob"}, exitOK, ""},
		step{"", []string{"backup"}, exitUsage, "missing"},
		step{"", []string{"backup", other}, exitFailed, "is no backup of doorway"},
		step{"", []string{"backup", filepath.Join(dir, "no", "such.tar")}, exitFailed, "no such"},
		step{"", []string{"restore", file}, exitFailed, "in use by process"},
		step{"", []string{"restore", other}, exitFailed, "no backup of doorway"},
		step{"", []string{"user", "list"}, exitOK, "bob@"},
	)
	if text, err := os.ReadFile(other); err != nil || string(text) != "Dear Bob" {
		t.Errorf("the letter says %q, %v", text, err)
	}
	b.stop(t)
	play(
		step{"", []string{"backup", filepath.Join(dir, "stopped.tar")}, exitOK, "verified"},
		step{"", []string{"restore", file}, exitOK, "is kept as"},
	)
	b.start(t)
	out, _ := b.run(t, "", "user", "list")
	if !strings.Contains(out, "alice@") || strings.Contains(out, "bob@") {
		t.Errorf("after the restore there are\n%s", out)
	}
	play(
		step{"", []string{"sms", "show", "1"}, exitOK, "possibly-sent"},
		step{"", []string{"sms", "show", "1"}, exitOK, "older copy"},
		step{"", []string{"queue", "requeue", "1"}, exitOK, ""},
		step{"", []string{"queue", "list"}, exitOK, "queued"},
	)
	b.stop(t)
	b.start(t)
	play(step{"", []string{"queue", "list"}, exitOK, "queued"}) // only once
	b.stop(t)

	// The backup that was made while nothing ran knows bob; it is the newest of
	// the nightly ones, and the database is damaged.
	out, code := b.run(t, "", "restore", filepath.Join(dir, "stopped.tar"), "--json")
	var r restored
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.Kept == "" || r.Dir != b.dir || len(r.Files) != 1 {
		t.Fatalf("exit %d: %s", code, out)
	}
	nights := filepath.Join(b.dir, "backups")
	if err := os.Mkdir(nights, 0o700); err != nil {
		t.Fatal(err)
	}
	out, code = b.run(t, "", "backup", nights, "--json")
	var m backupMade
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 || filepath.Dir(m.File) != nights || m.Schema != 1 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "state.db"), []byte(strings.Repeat("a power cut ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	play(step{"", []string{"backup", file}, exitFailed, "is damaged"})
	b.start(t)
	if out, _ := b.run(t, "", "user", "list"); !strings.Contains(out, "alice@") || !strings.Contains(out, "bob@") {
		t.Errorf("after the damage there are\n%s", out)
	}
	until(t, 30*time.Second, func() (bool, string) {
		page := httpGet(t, "http://"+b.addr(t, "HTTP")+"/healthz", 200)
		return strings.Contains(page, filepath.Base(m.File)) && strings.Contains(page, "state.db.damaged-"), "health does not tell of the damage: " + page
	})
	if left, err := filepath.Glob(filepath.Join(b.dir, "*.backup-copy")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("beside the backups lies %v, %v", left, err)
	}
}
