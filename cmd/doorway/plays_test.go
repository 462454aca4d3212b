package main

import (
	"context"
	"errors"
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

	"doorway/gateway/control"
	"doorway/xmpp/xmpptest"
)

const prosody = "/usr/bin/prosody"

// plays reads the scripts under testdata/plays.
func plays(t *testing.T) []*xmpptest.Play {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "plays", "*", "*.play"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no plays: %v", err)
	}
	var all []*xmpptest.Play
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".play")
		ps, err := xmpptest.ParsePlays(name, string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ps...)
	}
	return all
}

// perform runs the plays side by side, each with people of its own; those that
// stop the server have one of their own.
func perform(t *testing.T, start func(*testing.T) *xmpptest.Stage, all []*xmpptest.Play) {
	shared := start(t)
	for i, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			stage := shared
			if p.Stops() {
				stage = start(t)
			}
			if err := p.Run(t.Context(), stage, fmt.Sprintf("p%d", i)); err != nil {
				t.Errorf("%s (%s)\n%v", p.Title, p.Section, err)
			}
		})
	}
}

// playBox starts the program as a stage.
func playBox(t *testing.T) *xmpptest.Stage {
	t.Helper()
	stage, _ := openStage(t)
	return stage
}

func openStage(t *testing.T) (*xmpptest.Stage, *box) {
	t.Helper()
	b := startBox(t, "[xmpp]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = []\nrequire_tls = false\n")
	return &xmpptest.Stage{
		Addr: b.addr(t, "XMPP"), Domain: "office.localhost",
		Account: func(ctx context.Context, user, password string) error { // as doorway user add
			var u control.User
			return control.Call(ctx, b.dir, "user.add", control.UserAdd{Local: user, Password: password}, &u)
		},
		Stop: func() error { return b.cmd.Process.Signal(syscall.SIGTERM) },
	}, b
}

// TestPlays runs every play against the program.
func TestPlays(t *testing.T) {
	perform(t, playBox, plays(t))
}

// TestPlaysFail: a play that expects what does not happen fails and names the line.
func TestPlaysFail(t *testing.T) {
	stage := playBox(t)
	stage.Patience = 3 * time.Second // signing in counts too
	for i, c := range []struct{ steps, want string }{
		{"alice/a < <message/>", ".play:6: alice/a < <message/>: context deadline exceeded"},
		{"alice/a > <message to='{alice/a}'/>", "at the end alice/a: something has come"},
		{"alice/a > <message to='{alice/a}'/>\nalice/a hears nothing", ".play:7: alice/a hears nothing : something has come"},
		{"alice/a > <message to='{alice/a}' id='1'/><message to='{alice/a}' id='2'/>\nalice/a <! <message id='2'/>", "the next one is <message id='1'"},
		{"alice/a > <message to='{alice/a}'><body>hi</body></message>\nalice/a < <message><body>ho</body></message>", "unexpected: <message"},
		{"alice/a > <message to='{alice/a}' id='1'/>\nalice/a hears no <message id='2'/>\nalice/a hears no <message id='1'/>", ".play:8: alice/a hears no <message id='1'/>: it has come"},
		{"alice/a < <nothing xmlns='urn:example:play'/>", "context deadline exceeded"},
		{"alice/a stream error conflict", "waiting for stream error conflict"},
		{"alice/a > <nonsense/>\nalice/a stream error conflict", "stream error unsupported-stanza-type, want conflict"},
		{"alice/a > <nonsense/>\nalice/a hears nothing", "unsupported-stanza-type"},
		{"alice/a > <nonsense/>", "unsupported-stanza-type"},
		{"alice/a ends", ".play:6: alice/a ends"},
		{"bob/x > <presence/>", "is not on stage"},
		{"alice/a connects", "is on stage already"},
		{"alice/a reads hello", "only a client that opens"},
		{"bob/x opens\nbob/x hears nothing", "only a client that has signed in"},
		{"bob/x opens\nbob/x reads hello", `waiting for "hello"`},
		{"bob/x mistypes temporary-auth-failure", "not-authorized"},
	} {
		p, err := xmpptest.ParsePlay("p", "# t\nsection: s\nservers: both\n\nalice/a connects\n"+c.steps+"\n")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if err := p.Run(t.Context(), stage, fmt.Sprintf("f%d", i)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s\n%v, want %s", c.steps, err, c.want)
			}
		})
	}
}

// TestPlaysProsody runs the plays on which servers agree against Debian's
// Prosody, so that they say what the standard says and not what doorway does.
func TestPlaysProsody(t *testing.T) {
	needPeer(t, prosody, "prosody")
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "prosody").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := plays(t)
	t.Logf("peer: prosody %s", version)
	var both []*xmpptest.Play
	for _, p := range all {
		if p.Both {
			both = append(both, p)
		}
	}
	if len(both) < len(all)/2 {
		t.Errorf("only %d of %d plays are for both servers", len(both), len(all))
	}
	// Its module that keeps vCards as they are does not know of avatars.
	for vcards, mine := range map[string]func(*xmpptest.Play) bool{
		"vcard":        func(p *xmpptest.Play) bool { return !strings.HasPrefix(p.Name, "avatar/") },
		"vcard_legacy": func(p *xmpptest.Play) bool { return strings.HasPrefix(p.Name, "avatar/") },
	} {
		t.Run(vcards, func(t *testing.T) {
			perform(t, func(t *testing.T) *xmpptest.Stage { return startProsody(t, vcards) },
				slices.DeleteFunc(slices.Clone(both), func(p *xmpptest.Play) bool { return !mine(p) }))
		})
	}
}

// startProsody runs Prosody on loopback with a folder of its own, and the given
// module for vCards.
func startProsody(t *testing.T, vcards string) *xmpptest.Stage {
	t.Helper()
	const domain = "office.localhost"
	dir := t.TempDir()
	data, logFile := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	accounts := filepath.Join(data, strings.ReplaceAll(domain, ".", "%2e"), "accounts")
	if err := os.MkdirAll(accounts, 0o700); err != nil {
		t.Fatal(err)
	}
	addr, _ := runProsody(t, logFile, func(port int) string {
		return fmt.Sprintf(`data_path = %q
pidfile = %q
log = { info = %q }
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = {}
modules_enabled = { "roster", "saslauth", "disco", "ping", "presence", "message", "iq", "smacks",
	"carbons", "blocklist", %q, "private", "lastactivity", "csi", "csi_simple", "pep", "bookmarks",
	"version", "time", "adhoc", "admin_adhoc" }
modules_disabled = { "s2s", "tls" }
authentication = "internal_plain"
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
VirtualHost %q
Component %q "muc"
	modules_enabled = { "muc_mam" }
`, data, filepath.Join(dir, "pid"), logFile, port, vcards, domain, "conference."+domain)
	})
	return &xmpptest.Stage{
		Addr: addr, Domain: domain, Other: true,
		Account: func(_ context.Context, user, password string) error {
			return os.WriteFile(filepath.Join(accounts, user+".dat"), fmt.Appendf(nil, "return { [\"password\"] = %q; };\n", password), 0o600)
		},
	}
}

// runProsody runs Prosody with what conf says for a free port, and stops it at
// the latest at the test's end. It says in logFile what it does.
func runProsody(t *testing.T, logFile string, conf func(port int) string) (addr string, stop func()) {
	t.Helper()
	for range 3 { // the port may be taken between the look and the start
		port := freePort(t)
		if stop := tryProsody(t, port, logFile, conf(port)); stop != nil {
			return fmt.Sprintf("127.0.0.1:%d", port), stop
		}
	}
	t.Fatal("prosody does not start")
	return "", nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// tryProsody is nil when Prosody does not get its port.
func tryProsody(t *testing.T, port int, logFile, text string) func() {
	t.Helper()
	conf := filepath.Join(filepath.Dir(logFile), "prosody.cfg.lua")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(logFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.Command(prosody, "--config", conf, "-F")
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }() // owner: stop, which waits; ignored: it is told to end
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // ignored: it may be gone
		select {
		case <-done:
		case <-time.After(60 * time.Second):
			t.Error("prosody does not end")
			_ = cmd.Process.Kill() // ignored: as above
			<-done
		}
	}
	said := func() string {
		log, _ := os.ReadFile(logFile) // ignored: it may not have come that far
		return out.String() + string(log)
	}
	t.Cleanup(func() {
		stop()
		if s := said(); t.Failed() {
			t.Logf("prosody said\n%s", s[max(0, len(s)-3000):])
		}
	})
	ready := regexp.MustCompile(`Activated service 'c2s' on .*:` + fmt.Sprint(port))
	alive := true
	until(t, 30*time.Second, func() (bool, string) {
		select {
		case <-done:
			alive = false
			return true, ""
		default:
		}
		s := said()
		alive = !strings.Contains(s, "Failed to open server port")
		return !alive || ready.MatchString(s), "prosody is not ready: " + s
	})
	if !alive {
		t.Logf("prosody has no port: %s", said())
		stop()
		return nil
	}
	return stop
}
