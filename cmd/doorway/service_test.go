package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeConfig makes a configuration with a data folder of its own.
func writeConfig(t *testing.T, listen, listenTLS string) (config, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	config = filepath.Join(t.TempDir(), "doorway.toml")
	text := fmt.Sprintf("domain = \"office.localhost\"\ndata = %q\n[xmpp]\nlisten = [%q]\nlisten_tls = [%q]\n[http]\nlisten = [\"127.0.0.1:0\"]\n", dir, listen, listenTLS)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, dir
}

// TestInheritedSocket passes a listening socket as the service manager does
// (sd_listen_fds(3)): doorway serves it in place of its listener of the same
// address, and whoever connected before doorway ran is served as well.
func TestInheritedSocket(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	early, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	config, _ := writeConfig(t, l.Addr().String(), "127.0.0.1:0")
	// Only the process that LISTEN_PID names may take the sockets.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=doorway.socket exec "$0" run --config "$1"`, program(t), config)
	cmd.ExtraFiles = []*os.File{file}
	log := &logBuffer{}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("doorway ended: %v\n%s", err, log)
		}
	}()
	if err := early.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(early, "<stream:stream to='office.localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(got.String(), "urn:ietf:params:xml:ns:xmpp-tls"); {
		n, err := early.Read(buf)
		if err != nil {
			t.Fatalf("the inherited socket is not served: %v after %q", err, got.String())
		}
		got.Write(buf[:n])
	}
	if strings.Contains(log.String(), "another program already listens") {
		t.Error("doorway tried to open the port itself")
	}
}

// TestJournal gives doorway a stderr that JOURNAL_STREAM names: each line has
// a priority (sd-daemon(3)) and leaves the time to the journal.
func TestJournal(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	logged := func(t *testing.T, journal func(dev, ino uint64) string) []string {
		t.Helper()
		config, _ := writeConfig(t, "127.0.0.1:0", taken.Addr().String())
		file, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var st syscall.Stat_t
		if err := syscall.Fstat(int(file.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program(t), "run", "--config", config)
		cmd.Stderr = file
		cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+journal(uint64(st.Dev), st.Ino))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text string
		until(t, 30*time.Second, func() (bool, string) {
			b, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
			return strings.Contains(text, "doorway is ready"), "doorway is not ready:\n" + text
		})
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		return strings.Split(strings.TrimSpace(text), "\n")
	}
	t.Run("journal", func(t *testing.T) {
		line := regexp.MustCompile(`^<[34678]>msg=`)
		lines := logged(t, func(dev, ino uint64) string { return fmt.Sprintf("%d:%d", dev, ino) })
		for _, l := range lines {
			if !line.MatchString(l) || strings.Contains(l, "time=") || strings.Contains(l, "level=") {
				t.Errorf("line %q", l)
			}
		}
		for _, want := range []string{`<6>msg="doorway is ready"`, `<3>msg="cannot listen"`} {
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
				t.Errorf("no line begins with %s:\n%s", want, strings.Join(lines, "\n"))
			}
		}
	})
	// Somebody else's journal: a program started from a service, with its
	// stderr in a file.
	t.Run("file", func(t *testing.T) {
		for _, l := range logged(t, func(dev, ino uint64) string { return fmt.Sprintf("%d:%d", dev, ino+1) }) {
			if !strings.HasPrefix(l, "time=") || !strings.Contains(l, " level=") {
				t.Errorf("line %q", l)
			}
		}
	})
}

// TestSandbox traces the server with an emulated modem, a client and a text,
// and holds every system call and address family against what
// doorway.service allows.
func TestSandbox(t *testing.T) {
	needPeer(t, "strace", "strace")
	needPeer(t, "systemd-analyze", "systemd")
	unit, err := os.ReadFile(filepath.Join("..", "..", "configs", "doorway.service"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := filtered(t, string(unit))
	dir := t.TempDir()
	device, trace := filepath.Join(dir, "modem"), filepath.Join(dir, "trace")
	start(t, nil, "emulate", "--pty-link", device, "--number", demoOwn, "--phone", demoBusy+","+demoAnswer)
	until(t, 20*time.Second, func() (bool, string) { return exists(device), "no emulated modem" })

	config, data := writeConfig(t, "127.0.0.1:0", "127.0.0.1:0")
	rewrite(t, config, func(s string) string {
		return s + fmt.Sprintf("[[modem]]\nname = \"gsm0\"\ndevice = %q\n[sms]\ncountry = \"49\"\n", device)
	})
	log := &logBuffer{}
	// -D: the program is our own child, so that it gets our signals.
	cmd := exec.Command("strace", "-D", "-f", "-q", "-s", "16", "-o", trace, program(t), "run", "--config", config)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &box{process: &process{cmd: cmd, stderr: log, done: make(chan error, 1)}, dir: data, config: config}
	go func() { b.done <- cmd.Wait() }() // owner: stop, which receives from done
	t.Cleanup(func() { b.stop(t) })
	until(t, 60*time.Second, func() (bool, string) {
		return strings.Contains(log.String(), "doorway is ready"), "doorway is not ready:\n" + log.String()
	})
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	alice := dialClient(t, b.addr(t, "XMPP"), filepath.Join(data, "ca", "ca.pem"), "office.localhost", "alice", "correct horse")
	alice.present(t)
	httpGet(t, "http://"+b.addr(t, "HTTP")+"/metrics", 200)
	if err := alice.Send("<message to='" + demoBusy + "@sms.office.localhost'><body>Hello</body></message>"); err != nil {
		t.Fatal(err)
	}
	alice.sees(t, "the phone's answer", func(xml string) bool { return strings.Contains(xml, demoAnswer) })
	for _, args := range [][]string{{"reload"}, {"doctor"}, {"backup", filepath.Join(dir, "doorway.backup")}} {
		if out, code := b.run(t, "", args...); code != exitOK && code != exitPartial {
			t.Error(out)
		}
	}
	_ = alice.Close() // ignored: the stream has done its work
	b.stop(t)

	calls, families := traced(t, trace)
	if len(calls) < 30 || !slices.Contains(families, "AF_INET") {
		t.Fatalf("the trace is not whole: calls %v, families %v", calls, families)
	}
	if os.Getuid() == 0 {
		allowed["fchownat"] = true // root gives the files it makes to the folder's owner; the service is not root
	}
	for _, c := range calls {
		if !allowed[c] {
			t.Errorf("doorway.service does not allow the system call %s", c)
		}
	}
	for _, f := range families {
		if !regexp.MustCompile(`(?m)^RestrictAddressFamilies=.*\b` + f + `\b`).Match(unit) {
			t.Errorf("doorway.service does not allow %s", f)
		}
	}
	t.Logf("peer: strace and systemd-analyze; %d system calls, %v", len(calls), families)
}

// filtered reads the SystemCallFilter lines of a unit into a set of names.
func filtered(t *testing.T, unit string) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	var change func(name string, allow bool)
	change = func(name string, allow bool) {
		if !strings.HasPrefix(name, "@") {
			set[name] = allow
			return
		}
		out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter", name).Output()
		if err != nil {
			t.Fatalf("system calls of %s: %v", name, err)
		}
		for line := range strings.Lines(string(out)) {
			if word := strings.TrimSpace(line); word != "" && word[0] != '#' && strings.HasPrefix(line, " ") {
				change(word, allow)
			}
		}
	}
	change("@default", true) // always allowed with an allow-list (systemd.exec(5))
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(unit, -1) {
		for _, name := range strings.Fields(m[2]) {
			change(name, m[1] == "")
		}
	}
	return set
}

// traced lists the system calls and address families of a strace output,
// after the first execve.
func traced(t *testing.T, file string) (calls, families []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var text string
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text = string(b); strings.Contains(text, "+++ exited with") {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the trace has no end")
		}
	}
	set := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\((AF_\w+)?`).FindAllStringSubmatch(text, -1) {
		set[m[1]] = true
		if m[1] == "socket" && m[2] != "" {
			set[m[2]] = true
		}
	}
	for name := range set {
		if strings.HasPrefix(name, "AF_") {
			families = append(families, name)
		} else {
			calls = append(calls, name)
		}
	}
	slices.Sort(calls)
	slices.Sort(families)
	return calls, families
}
