package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build makes the program as it is shipped, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	if file := os.Getenv(apartEnv); file != "" {
		return file, nil
	}
	dir, err := os.MkdirTemp("", "doorway-test")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "doorway")
	cmd := exec.Command("make", "-s", "-C", filepath.Join("..", ".."), "build", "OUT="+file, "VERSION=test")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build doorway: %w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	if dir := os.Getenv(profiledEnv); dir != "" {
		profiled(dir)
	}
	if n := os.Getenv(floorEnv); n != "" {
		if err := floor(n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if file, err := build(); err == nil && os.Getenv(apartEnv) == "" {
		_ = os.RemoveAll(filepath.Dir(file)) // ignored: a temporary folder
	}
	os.Exit(code)
}

func program(t testing.TB) string {
	t.Helper()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// needPeer skips, or fails where CI installs everything, when a Debian
// package's program is missing.
func needPeer(t testing.TB, program, pkg string) {
	t.Helper()
	if testing.Short() {
		t.Skip("real peers run in `make test`, not with -short")
	}
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install the Debian package %s", program, pkg)
	}
	t.Skipf("%s is missing: install the Debian package %s", program, pkg)
}

// logBuffer collects what a process logs while the test reads it.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// process is a started doorway.
type process struct {
	cmd    *exec.Cmd
	stderr *logBuffer
	done   chan error
	once   sync.Once
}

// start runs the program with args; it is stopped at the end of the test, and
// what it logged is shown when the test failed.
func start(t testing.TB, stdout func(line string), args ...string) *process {
	t.Helper()
	p := &process{cmd: programCommand(t, args...), stderr: &logBuffer{}, done: make(chan error, 1)}
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // owner: stop, which receives from done
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if stdout != nil {
				stdout(lines.Text())
			}
		}
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("doorway %s logged:\n%s", strings.Join(args, " "), p.stderr)
		}
	})
	return p
}

// stop ends the process as systemd would and checks that it ends well.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.once.Do(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return // it is gone already
		}
		select {
		case err := <-p.done:
			if err != nil {
				t.Errorf("doorway ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("doorway did not stop within 30 s")
			_ = p.cmd.Process.Kill() // ignored: the test has failed already
			<-p.done
		}
	})
}

// kill ends the process without warning.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.once.Do(func() {
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		<-p.done
	})
}

// demo is a running `doorway demo --json`.
type demo struct {
	demoReady
	proc *process
	line string
}

func startDemo(t testing.TB) *demo {
	t.Helper()
	if testing.Short() {
		t.Skip("the demo runs in `make test`, not with -short")
	}
	d := &demo{}
	ready := make(chan string, 1)
	d.proc = start(t, func(line string) {
		select {
		case ready <- line:
		default:
		}
	}, "demo", "--json", "--ephemeral", "--dir", filepath.Join(t.TempDir(), "var"))
	select {
	case d.line = <-ready:
	case err := <-d.proc.done:
		d.proc.done <- err
		t.Fatalf("the demo ended: %v\n%s", err, d.proc.stderr)
	case <-time.After(60 * time.Second):
		t.Fatal("the demo was not ready within a minute")
	}
	if err := json.Unmarshal([]byte(d.line), &d.demoReady); err != nil {
		t.Fatalf("the demo's line is no JSON: %v\n%s", err, d.line)
	}
	return d
}

// run calls a subcommand against the demo and returns what it printed.
func (d *demo) run(t testing.TB, stdin string, args ...string) (string, int) {
	t.Helper()
	return runProgram(t, stdin, append(args, "--dir", d.Dir)...)
}

func runProgram(t testing.TB, stdin string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestSlixmpp plays the scenarios of testdata/slix.py.
func TestSlixmpp(t *testing.T) {
	needPeer(t, "/usr/bin/python3", "python3-slixmpp")
	if err := exec.Command("/usr/bin/python3", "-c", "import slixmpp").Run(); err != nil {
		needPeer(t, "/nonexistent/slixmpp", "python3-slixmpp")
	}
	start := func(t *testing.T) (file string) {
		var cfg map[string]any
		if err := json.Unmarshal([]byte(startDemo(t).line), &cfg); err != nil {
			t.Fatal(err)
		}
		cfg["doorway"] = program(t)
		b, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(t.TempDir(), "demo.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	shared := start(t)
	strangers := []string{"groups", "directory", "pep"} // nobody may know anybody yet
	for _, scenario := range []string{"chat", "wrong_password", "offline", "roster", "sms", "carbons", "blocking", "resume", "rooms", "room_archive", "mam", "groups", "directory", "pep", "commands", "sms_commands", "sms_copies"} {
		t.Run(scenario, func(t *testing.T) {
			file := shared
			if slices.Contains(strangers, scenario) {
				file = start(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, "/usr/bin/python3", filepath.Join("testdata", "slix.py"), scenario, file).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("ok slixmpp")) {
				t.Fatalf("%v\n%s", err, out)
			}
			_, version, _ := strings.Cut(string(out), "ok slixmpp ")
			t.Logf("peer: slixmpp %s", strings.Fields(version)[0])
		})
	}
}
