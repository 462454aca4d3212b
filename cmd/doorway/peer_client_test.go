package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// terminal is a program in tmux, typed at and read as a person does.
type terminal struct {
	t      *testing.T
	socket string
}

func newTerminal(t *testing.T, env []string, command ...string) *terminal {
	t.Helper()
	x := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	cmd := exec.Command("tmux", append([]string{"-S", x.socket, "-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50"}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", x.socket, "kill-server").Run() }) // ignored: the program may have ended it
	return x
}

func (x *terminal) screen() string {
	out, err := exec.Command("tmux", "-S", x.socket, "capture-pane", "-p", "-S", "-200").Output()
	if err != nil {
		return fmt.Sprintf("(no screen: %v)", err)
	}
	return string(out)
}

func (x *terminal) typeLine(line string) {
	x.t.Helper()
	x.keys("send-keys", "-l", line)
	x.keys("send-keys", "Enter")
}

// keys has tmux do something.
func (x *terminal) keys(args ...string) {
	x.t.Helper()
	if out, err := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...).CombinedOutput(); err != nil {
		x.t.Fatalf("tmux: %v\n%s", err, out)
	}
}

// see waits until the screen shows a text.
func (x *terminal) see(text string) {
	x.t.Helper()
	until(x.t, 30*time.Second, func() (bool, string) {
		s := x.screen()
		return strings.Contains(s, text), fmt.Sprintf("the screen does not show %q:\n%s", text, s)
	})
}

// until asks again and again until f says yes or the limit passes.
func until(t testing.TB, limit time.Duration, f func() (ok bool, why string)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for {
		ok, why := f()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(why)
		}
	}
}

// certFolder is a folder of CAs as OpenSSL wants it.
func certFolder(t *testing.T, ca string) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "doorway.pem"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("openssl", "rehash", dir).CombinedOutput(); err != nil {
		t.Fatalf("openssl rehash: %v\n%s", err, out)
	}
	return dir
}

func (d *demo) password(name string) string {
	for _, u := range d.Users {
		if strings.HasPrefix(u.JID, name+"@") {
			return u.Password
		}
	}
	return ""
}

// TestProfanity logs in with the terminal client, sees a presence and texts a phone.
func TestProfanity(t *testing.T) {
	needPeer(t, "profanity", "profanity")
	needPeer(t, "tmux", "tmux")
	needPeer(t, "openssl", "openssl")
	d := startDemo(t)
	home := t.TempDir()
	x := newTerminal(t, []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "LC_ALL=C.UTF-8", "TERM=xterm-256color"}, "profanity")
	x.see("Profanity")
	x.typeLine("/tls certpath set " + certFolder(t, d.CA))
	x.see("Certificate path set")
	x.typeLine(fmt.Sprintf("/connect bob@%s server %s port %s tls force", d.Domain, host(d.C2S), portOf(d.C2S)))
	x.see("Enter password")
	x.typeLine(d.password("bob"))
	x.see("logged in successfully")

	alice := login(t, d, "alice")
	alice.subscribe(t, "bob@"+d.Domain)
	x.see("alice@" + d.Domain)
	x.typeLine("/sub allow alice@" + d.Domain)
	alice.sees(t, "bob's presence", func(s string) bool {
		return strings.Contains(s, "<presence") && strings.Contains(s, "from='bob@"+d.Domain+"/")
	})

	number := d.Phones[0]
	x.typeLine(fmt.Sprintf("/msg %s@%s The lift is stuck", number, d.SMSDomain))
	until(t, 20*time.Second, func() (bool, string) {
		out, _ := d.run(t, "", "phone", "log", number)
		return strings.Contains(out, "The lift is stuck"), "the phone received only: " + out
	})
	if out, code := d.run(t, "", "phone", "send", number, "Coming at once"); code != 0 {
		t.Fatal(out)
	}
	x.see("Coming at once")
	x.typeLine("/quit")
	out, err := exec.Command("profanity", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peer: %s", strings.ToLower(strings.ReplaceAll(strings.SplitN(string(out), "\n", 2)[0], ", version", "")))
}

// TestProfanityRoom makes a room with the terminal client and talks in it with
// another one.
func TestProfanityRoom(t *testing.T) {
	needPeer(t, "profanity", "profanity")
	needPeer(t, "tmux", "tmux")
	needPeer(t, "openssl", "openssl")
	d := startDemo(t)
	people := map[string]*terminal{}
	for _, name := range []string{"alice", "bob"} {
		home := t.TempDir()
		x := newTerminal(t, []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "LC_ALL=C.UTF-8", "TERM=xterm-256color"}, "profanity")
		x.see("Profanity")
		x.typeLine("/tls certpath set " + certFolder(t, d.CA))
		x.see("Certificate path set")
		x.typeLine(fmt.Sprintf("/connect %s@%s server %s port %s tls force", name, d.Domain, host(d.C2S), portOf(d.C2S)))
		x.see("Enter password")
		x.typeLine(d.password(name))
		x.see("logged in successfully")
		people[name] = x
	}
	a, b := people["alice"], people["bob"]
	room := "pumps@conference." + d.Domain
	a.typeLine("/presence room all")
	a.typeLine("/join " + room + " nick al")
	a.see("locked")
	a.typeLine("/room accept")
	a.see("unlocked")
	b.typeLine("/join " + room + " nick bo")
	a.see("bo has joined")
	a.typeLine("Pump 3 runs dry")
	b.see("Pump 3 runs dry")
	b.typeLine("On my way")
	a.see("On my way")
	a.typeLine("/subject set Pump trouble")
	b.see("Pump trouble")
	b.typeLine("/nick robert")
	a.see("bo is now known as robert")
	a.typeLine("/kick robert enough")
	b.see("Kicked from " + room + " by al, reason: enough")
	for _, x := range people {
		x.typeLine("/quit")
	}
}

// TestGoSendxmpp sends one message with the command line tool that admins'
// scripts use, trusting the CA file and nothing else.
func TestGoSendxmpp(t *testing.T) {
	needPeer(t, "go-sendxmpp", "go-sendxmpp")
	d := startDemo(t)
	bob := login(t, d, "bob")
	send := func(env ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go-sendxmpp", "-u", "alice@"+d.Domain, "-p", d.password("alice"), "-j", d.C2S, "bob@"+d.Domain)
		cmd.Stdin = strings.NewReader("Backup finished & well\n")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := send(); err == nil || !strings.Contains(out, "unknown authority") {
		t.Errorf("without the CA file it sent: %v %s", err, out)
	}
	if out, err := send("SSL_CERT_FILE=" + d.CA); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bob.sees(t, "the message", func(s string) bool { return strings.Contains(s, "Backup finished &amp; well") })
	out, err := exec.Command("go-sendxmpp", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peer: %s", strings.TrimSpace(string(bytes.SplitN(out, []byte("\n"), 2)[0])))
}

// TestProfanityGroups has the terminal client see a shared group appear, change and vanish.
func TestProfanityGroups(t *testing.T) {
	needPeer(t, "profanity", "profanity")
	needPeer(t, "tmux", "tmux")
	needPeer(t, "openssl", "openssl")
	d := startDemo(t)
	admin := func(args ...string) {
		t.Helper()
		if out, code := d.run(t, "", args...); code != 0 {
			t.Fatal(out)
		}
	}
	home := t.TempDir()
	x := newTerminal(t, []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "LC_ALL=C.UTF-8", "TERM=xterm-256color"}, "profanity")
	x.see("Profanity")
	x.typeLine("/tls certpath set " + certFolder(t, d.CA))
	x.see("Certificate path set")
	x.typeLine(fmt.Sprintf("/connect bob@%s server %s port %s tls force", d.Domain, host(d.C2S), portOf(d.C2S)))
	x.see("Enter password")
	x.typeLine(d.password("bob"))
	x.see("logged in successfully")
	alice := login(t, d, "alice")

	x.typeLine("/roster by group")
	admin("group", "add", "crew", "alice", "bob", "--label", "Pump Crew", "--visible", "members")
	x.see("Roster item added: alice@" + d.Domain)
	x.see("is online")
	x.see("Pump Crew (")
	if err := alice.Send("<presence><show>dnd</show><status>at pump 3</status></presence>"); err != nil {
		t.Fatal(err)
	}
	x.see("at pump 3")
	admin("group", "edit", "crew", "--label", "Night Crew")
	x.see("Night Crew (")
	admin("group", "member", "remove", "crew", "alice")
	x.see("is offline")
	x.see("Roster item removed: alice@" + d.Domain)
	x.typeLine("/quit")
}
