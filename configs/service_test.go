package configs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/gateway/config"
)

// tool finds a program of Debian's package systemd.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install the Debian package systemd", name)
	}
	t.Skipf("%s is missing: install the Debian package systemd", name)
	return ""
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestExposure is the promise of how much the service cannot do.
func TestExposure(t *testing.T) {
	file, err := filepath.Abs("doorway.service")
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, tool(t, "systemd-analyze"), "security", "--no-pager", "--offline=true", file)
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure in\n%s", out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	if err != nil || level > 2.0 {
		t.Errorf("the exposure is %s, more than 2.0\n%s", m[1], out)
	}
	t.Logf("exposure %s", m[1])
}

// install makes the root of a small system with the units in place.
func install(t *testing.T) string {
	t.Helper()
	const system = "/usr/lib/systemd/system"
	if _, err := os.Stat(system); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd's own units are missing: install the Debian package systemd")
		}
		t.Skip("systemd's own units are missing: install the Debian package systemd")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/systemd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFolder(filepath.Join(root, system), system); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"doorway.service": "etc/systemd/system/doorway.service",
		"doorway.socket":  "etc/systemd/system/doorway.socket",
		"doorway.toml":    "etc/doorway/doorway.toml",
	} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, to), b, 0o644)
	}
	write(t, filepath.Join(root, "usr/local/bin/doorway"), []byte("#!/bin/sh\n"), 0o755)
	return root
}

// copyFolder leaves out symbolic links, which os.CopyFS of older systems refuses.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o644)
	})
}

func write(t *testing.T, path string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
}

// TestUnitsVerify: systemd reads both units without a remark.
func TestUnitsVerify(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	root := install(t)
	out := run(t, analyze, "--root="+root, "verify", "doorway.service", "doorway.socket")
	if strings.TrimSpace(out) != "" {
		t.Errorf("remarks:\n%s", out)
	}
	// The check itself must see a fault.
	b, err := os.ReadFile("doorway.service")
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(b), "WatchdogSec=30", "WatchdogSec=often", 1)
	write(t, filepath.Join(root, "etc/systemd/system/doorway.service"), []byte(bad), 0o644)
	faulty, err := exec.Command(analyze, "--root="+root, "verify", "doorway.service").CombinedOutput()
	if !strings.Contains(string(faulty), "often") {
		t.Errorf("a wrong unit passes: %v %s", err, faulty)
	}
}

// TestStopLimit: systemd waits for as long as an ordered stop may take.
func TestStopLimit(t *testing.T) {
	b, err := os.ReadFile("doorway.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("no TimeoutStopSec")
	}
	s, err := strconv.Atoi(string(m[1]))
	if limit := time.Duration(s) * time.Second; err != nil || limit < 90*time.Second || limit <= new(config.Config).StopLimit() {
		t.Errorf("TimeoutStopSec is %v", limit)
	}
}

// TestSysusersAndTmpfiles applies both files to an empty root.
func TestSysusersAndTmpfiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make users and give files away, even in a folder")
	}
	sysusers, tmpfiles := tool(t, "systemd-sysusers"), tool(t, "systemd-tmpfiles")
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/doorway/doorway.toml"), nil, 0o644)
	write(t, filepath.Join(root, "etc/doorway/sim.pin"), nil, 0o644)
	run(t, sysusers, "--root="+root, abs(t, "sysusers.conf"))
	run(t, tmpfiles, "--root="+root, "--create", abs(t, "tmpfiles.conf"))
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !regexp.MustCompile(`(?m)^doorway:.*:/var/lib/doorway:/usr/sbin/nologin$`).Match(passwd) {
		t.Errorf("no user doorway: %v\n%s", err, passwd)
	}
	group, err := os.ReadFile(filepath.Join(root, "etc/group"))
	if err != nil || !regexp.MustCompile(`(?m)^dialout:x:\d+:doorway$`).Match(group) {
		t.Errorf("doorway is not in dialout: %v\n%s", err, group)
	}
	for path, want := range map[string]string{
		"etc/doorway/doorway.toml": "-rw-r-----", "etc/doorway/sim.pin": "-rw-------", "var/lib/doorway": "drwx------",
	} {
		st, err := os.Stat(filepath.Join(root, path))
		if err != nil || st.Mode().String() != want {
			t.Errorf("%s: %v, want %s, %v", path, st, want, err)
		}
	}
}

func abs(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
