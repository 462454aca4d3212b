package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// packages are the Debian packages of the peers that the tests run doorway
// against, and of what they need.
var packages = []string{
	"gcc", "libc6-dev", // the race detector
	"python3", "python3-slixmpp", "profanity", "poezio", "tmux", "go-sendxmpp", "openssl", "systemd", "strace",
	"prosody",                         // plays run against it too
	"gammu", "gammu-smsd", "smstools", // they drive the emulated modem
	"chromium", // the browser around Converse.js
}

// commands are programs that need not come from Debian, and the packages that
// have them.
var commands = map[string]string{"node": "nodejs", "npm": "npm"}

// daemons are those of them that would start a server with the machine. The
// tests run these servers themselves.
var daemons = []string{"prosody", "gammu-smsd", "smstools"}

const policyFile = "/usr/sbin/policy-rc.d"

// peers installs what the tests need.
func peers(ctx context.Context) error {
	if err := debian(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		fmt.Println("peers: there is no npm; the tests skip what needs its packages")
		return nil
	}
	return npmInstall(ctx)
}

// debian installs the missing packages without letting a daemon start, now or
// with the machine.
func debian(ctx context.Context) error {
	var missing []string
	for command, p := range commands {
		if _, err := exec.LookPath(command); err != nil {
			missing = append(missing, p)
		}
	}
	for _, p := range packages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Status}", p).Output()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "ok installed") {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		fmt.Println("peers: all Debian packages are installed")
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		fmt.Printf("peers: this is no Debian; the tests skip what needs %s\n", strings.Join(missing, " "))
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("these Debian packages are missing: %s. Install them, or run make test as root", strings.Join(missing, " "))
	}
	fmt.Printf("peers: installing %s\n", strings.Join(missing, " "))
	undo, err := forbidDaemons()
	if err != nil {
		return err
	}
	defer undo()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if err := quiet(ctx, env, "apt-get", "update", "-q"); err != nil {
		return err
	}
	if err := quiet(ctx, env, "apt-get", append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)...); err != nil {
		return err
	}
	for _, d := range daemons {
		if slices.Contains(missing, d) { // one that was there before is somebody's choice
			if err := quiet(ctx, nil, "systemctl", "disable", d); err != nil {
				return err
			}
		}
	}
	return nil
}

// forbidDaemons makes package scripts start nothing: a daemon would hold the
// port that a test needs. An administrator's own policy stays.
func forbidDaemons() (undo func(), err error) {
	f, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid daemons during installation: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("forbid daemons during installation: %w", err)
	}
	return func() {
		if err := os.Remove(policyFile); err != nil {
			fmt.Fprintln(os.Stderr, "house:", err)
		}
	}, nil
}

// quiet shows a command's output only when it fails.
func quiet(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
