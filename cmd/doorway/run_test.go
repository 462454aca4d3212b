package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/modem"
)

// box is a running `doorway run`.
type box struct {
	*process
	dir, config string
}

// startBox writes a configuration on loopback and free ports and runs it;
// extra is appended to it.
func startBox(t testing.TB, extra string) *box {
	t.Helper()
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	b := &box{dir: filepath.Join(t.TempDir(), "data")}
	b.config = filepath.Join(t.TempDir(), "doorway.toml")
	text := fmt.Sprintf("domain = \"office.localhost\"\ndata = %q\nadmins = [\"alice@office.localhost\"]\n", b.dir) + extra
	if !strings.Contains(extra, "[xmpp]") {
		text += "\n[xmpp]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n"
	}
	if !strings.Contains(extra, "[http]") {
		text += "\n[http]\nlisten = [\"127.0.0.1:0\"]\n"
	}
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	return b
}

// start runs the configuration (again) and waits until it is ready.
func (b *box) start(t testing.TB) {
	t.Helper()
	b.process = start(t, nil, "run", "--config", b.config)
	until(t, 30*time.Second, func() (bool, string) {
		return strings.Contains(b.stderr.String(), "doorway is ready"), "doorway is not ready:\n" + b.stderr.String()
	})
}

// addr is where a kind of listener really listens, as the log says.
func (b *box) addr(t testing.TB, what string) string {
	t.Helper()
	m := regexp.MustCompile(`msg=listening comp="?` + regexp.QuoteMeta(what) + `"? addr=(\S+)`).FindStringSubmatch(b.stderr.String())
	if m == nil {
		t.Fatalf("%s does not listen:\n%s", what, b.stderr)
	}
	return m[1]
}

func (b *box) run(t testing.TB, stdin string, args ...string) (string, int) {
	t.Helper()
	return runProgram(t, stdin, append(args, "--config", b.config)...)
}

func TestUserCommands(t *testing.T) {
	b := startBox(t, "")
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		{"", []string{"user", "list"}, exitOK, "no accounts yet"},
		{"correct horse\n", []string{"user", "add", "alice", "--name", "Alice A."}, exitOK, "alice@office.localhost can log in now"},
		{"correct horse\n", []string{"user", "add", "ALICE@office.localhost"}, exitFailed, "already an account alice@office.localhost"},
		{"correct horse\n", []string{"user", "add", "a b"}, exitUsage, "is not an account name"},
		{"correct horse\n", []string{"user", "add", "x@elsewhere.example"}, exitUsage, "not in this server's domain"},
		{"", []string{"user", "add", "bob"}, exitUsage, "stdin holds no password"},
		{"x\n", []string{"user", "add", "bob"}, exitFailed, "password"},
		{"", []string{"user", "list"}, exitOK, "Alice A."},
		{"another horse\n", []string{"user", "passwd", "alice"}, exitOK, "is changed"},
		{"another horse\n", []string{"user", "passwd", "nobody"}, exitFailed, "no account nobody"},
		{"", []string{"user", "disable", "alice"}, exitOK, "alice@office.localhost is disabled"},
		{"", []string{"user", "list"}, exitOK, "disabled"},
		{"", []string{"user", "enable", "alice@office.localhost"}, exitOK, "can log in again"},
		{"", []string{"user", "disable", "nobody"}, exitFailed, "no account nobody"},
		{"", []string{"user", "enable"}, exitUsage, "missing"},
		{"", []string{"user", "remove", "alice"}, exitOK, "is removed"},
		{"", []string{"user", "remove", "alice"}, exitFailed, "no account alice"},
		{"", []string{"user", "add"}, exitUsage, "missing"},
		{"", []string{"user", "frobnicate"}, exitUsage, "user add"},
	} {
		out, code := b.run(t, c.stdin, c.args...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("doorway %s: exit %d, want %d, with %q in\n%s", strings.Join(c.args, " "), code, c.code, c.want, out)
		}
	}
	out, code := b.run(t, "", "user", "list", "--json")
	var list []control.User
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 0 {
		t.Errorf("--json: %q exit %d", out, code)
	}
}

func TestNotRunning(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"user", "list"}, {"sms", "list"}, {"modem", "status"}, {"queue", "list"}} {
		out, code := runProgram(t, "", append(args, "--dir", dir)...)
		if code != exitNotRunning || !strings.Contains(out, "doorway is not running") || !strings.Contains(out, "doorway run") {
			t.Errorf("doorway %v: exit %d: %s", args, code, out)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for file, text := range map[string]string{
		good: "domain = \"office.example\"\ndata = \"/var/lib/doorway\"\n",
		bad:  "domain = \"office.example\"\ndata = \"/var/lib/doorway\"\n[xmpp]\nlisen = []\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := runProgram(t, "", "check", "--config", good); code != exitOK || !strings.Contains(out, "is right") || !strings.Contains(out, "XEP-0199") {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, command := range []string{"check", "run"} {
		out, code := runProgram(t, "", command, "--config", bad)
		if code != exitFailed || !strings.Contains(out, bad+`:4: unknown key "xmpp.lisen"; did you mean "listen"?`) {
			t.Errorf("%s: exit %d: %s", command, code, out)
		}
	}
}

// TestPortInUse: one door is taken; the others open, and the finding names it.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	b := startBox(t, fmt.Sprintf("[xmpp]\nlisten = [%q]\nlisten_tls = [\"127.0.0.1:0\"]\n", addr))
	if log := b.stderr.String(); !strings.Contains(log, "another program already listens on "+addr) {
		t.Errorf("the log does not name the port:\n%s", log)
	}
	b.addr(t, "XMPP with direct TLS")
	page := httpGet(t, "http://"+b.addr(t, "HTTP")+"/healthz", 503)
	if !strings.Contains(page, addr) {
		t.Errorf("health does not name the port: %s", page)
	}
	out, code := runProgram(t, "", "demo", "--json", "--dir", filepath.Join(t.TempDir(), "v"), "--address", "192.0.2.1")
	if code != exitUsage || !strings.Contains(out, "loopback only") {
		t.Errorf("demo on a foreign address: exit %d: %s", code, out)
	}
}

// TestDemoNamesTakenPort holds 5222 on a loopback address of its own, since
// the demo's port cannot be chosen.
func TestDemoNamesTakenPort(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	taken, err := net.Listen("tcp", "127.77.5.22:5222")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, code := runProgram(t, "", "demo", "--dir", filepath.Join(t.TempDir(), "v"), "--address", "127.77.5.22")
	if code != exitFailed || !strings.Contains(out, "another program already listens on 127.77.5.22:5222") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestNoModem: without its modem doorway serves chat, says what is wrong in a
// sentence, and keeps texts.
func TestNoModem(t *testing.T) {
	b := startBox(t, "[[modem]]\nname = \"gsm0\"\ndevice = \"/dev/nothing-here\"\n[sms]\ncountry = \"49\"\n")
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	until(t, 20*time.Second, func() (bool, string) {
		out, _ := b.run(t, "", "modem", "status", "--json")
		var list []modem.Status
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
			t.Fatalf("%v: %s", err, out)
		}
		return list[0].State == modem.Absent && strings.Contains(list[0].Text, "/dev/nothing-here") && strings.HasSuffix(list[0].Text, "."), out
	})
	if !strings.Contains(b.stderr.String(), "/dev/nothing-here") {
		t.Errorf("the log does not name the device:\n%s", b.stderr)
	}
	out, code := b.run(t, "", "sms", "send", "015550101", "Are you there?", "--json")
	var sent control.SMSSent
	if err := json.Unmarshal([]byte(out), &sent); err != nil || code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if sent.To != "+4915550101" || sent.State != "queued" {
		t.Errorf("sent %+v", sent)
	}
	if out, code := b.run(t, "", "sms", "show", fmt.Sprint(sent.ID)); code != 0 || !strings.Contains(out, "queued") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := b.run(t, "", "sms", "send", "hello", "x"); code != exitFailed || !strings.Contains(out, "hello") {
		t.Errorf("a word as number: exit %d: %s", code, out)
	}
	if out, code := b.run(t, "", "queue", "cancel", fmt.Sprint(sent.ID)); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, _ := b.run(t, "", "queue", "list", "--state", "cancelled"); !strings.Contains(out, "+4915550101") {
		t.Errorf("the cancelled job is not listed: %s", out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"queue", "delete", "999"}, "There is no job 999. `doorway queue list`"},
		{[]string{"queue", "requeue", "999"}, "There is no job 999"},
	} {
		if out, code := b.run(t, "", c.args...); code != exitFailed || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit %d, want %q in: %s", c.args, code, c.want, out)
		}
	}
	if out, code := runProgram(t, "", "phone", "log", "+4915550101", "--dir", b.dir); code != exitFailed || !strings.Contains(out, "no emulated phones answer in "+b.dir+". Start") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := b.run(t, "", "queue", "requeue", fmt.Sprint(sent.ID)); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := b.run(t, "", "queue", "delete", fmt.Sprint(sent.ID)); code != exitFailed || !strings.Contains(out, "so this cannot be done with it. Waiting jobs can be cancelled") {
		t.Errorf("a waiting job is deleted: exit %d: %s", code, out)
	}
	if out, code := b.run(t, "", "queue", "list", "--state", "lost"); code != exitUsage || !strings.Contains(out, "no state lost") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestDemoTakesEmptyFolder that others can read, as mkdir makes it; one that
// holds something is left as it is.
func TestDemoTakesEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []os.FileMode{0o700, 0o755} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := demoFolder(dir); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != want {
			t.Errorf("%v %v, want %v", st.Mode(), err, want)
		}
		if err := os.WriteFile(filepath.Join(dir, "else"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDemoJSON holds the line against the outside contract.
func TestDemoJSON(t *testing.T) {
	d := startDemo(t)
	var m map[string]any
	if err := json.Unmarshal([]byte(d.line), &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"domain", "dir", "ca", "c2s", "c2s_tls", "http", "users", "admin", "api_token", "sms_domain", "modem", "phones"} {
		if m[key] == nil {
			t.Errorf("the line has no %s", key)
		}
	}
	if len(m) != 12 || d.Domain != "office.localhost" || d.SMSDomain != "sms.office.localhost" || len(d.Users) != 3 || len(d.Phones) < 2 {
		t.Errorf("line %s", d.line)
	}
	if _, err := os.Stat(d.CA); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/", "/healthz", "/metrics", "/ca.pem"} {
		httpGet(t, "http://"+d.HTTP+path, 200)
	}
	if out, code := d.run(t, "", "modem", "status"); code != 0 || !strings.Contains(out, "ready") {
		t.Errorf("exit %d: %s", code, out)
	}
}
