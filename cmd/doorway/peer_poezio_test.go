package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
)

// TestPoezio logs in with the terminal client, goes into a room, hears what is
// said there and answers; then it chats with one person.
func TestPoezio(t *testing.T) {
	needPeer(t, "poezio", "poezio")
	needPeer(t, "tmux", "tmux")
	d := startDemo(t)
	alice := login(t, d, "alice")
	room := "pumps@conference." + d.Domain
	if err := alice.Send("<presence to='" + room + "/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
		t.Fatal(err)
	}
	alice.sees(t, "alice's own presence", func(s string) bool { return strings.Contains(s, "code='110'") })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := alice.Set(ctx, jid.MustParse(room), "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"); err != nil {
		t.Fatal(err)
	}

	home := t.TempDir()
	file, ca := filepath.Join(home, "poezio.cfg"), filepath.Join(home, "ca.pem")
	text := fmt.Sprintf("[Poezio]\njid = bob@%s/poezio\npassword = %s\ncustom_host = %s\ncustom_port = %s\nca_cert_path = %s\n"+
		"default_nick = bo\nrooms =\nlog_dir = %s\nplugins_autoload =\nlazy_resize = false\nenable_avatars = false\n",
		d.Domain, d.password("bob"), host(d.C2S), portOf(d.C2S), ca, filepath.Join(home, "logs"))
	pem, err := os.ReadFile(d.CA)
	if err := errors.Join(err, os.WriteFile(ca, pem, 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	command := []string{"poezio", "-f", file}
	if os.Geteuid() == 0 { // which it refuses to run as
		const nobody = 65534
		for _, path := range []string{home, file, ca} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Dir(home), 0o755); err != nil { // the test's own folder
			t.Fatal(err)
		}
		command = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, command...)
	}
	x := newTerminal(t, []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CACHE_HOME=" + home, "LC_ALL=C.UTF-8", "TERM=xterm-256color"}, command...)
	// What comes in one go it takes for pasted text, with its end of line.
	say := func(line string) {
		x.t.Helper()
		x.keys("send-keys", "-l", line)
		x.see(line)
		x.keys("send-keys", "Enter")
	}
	x.see("Your JID is bob@" + d.Domain + "/poezio")
	// The contact list takes a command when its first sign came alone.
	x.keys("send-keys", "-l", "/")
	until(t, 30*time.Second, func() (bool, string) {
		s := x.screen()
		return !strings.Contains(s, "Enter commands with"), "no command can be typed:\n" + s
	})
	say("join " + room + "/bo")
	alice.sees(t, "bob in the room", func(s string) bool { return strings.Contains(s, "<presence") && strings.Contains(s, room+"/bo") })
	if err := alice.Send("<message type='groupchat' to='" + room + "'><body>Pump 3 runs dry</body></message>"); err != nil {
		t.Fatal(err)
	}
	x.see("Pump 3 runs dry")
	say("On my way to pump 3")
	alice.sees(t, "bob's answer", func(s string) bool {
		return strings.Contains(s, "type='groupchat'") && strings.Contains(s, "from='"+room+"/bo'") && strings.Contains(s, "On my way to pump 3")
	})
	say("/message alice@" + d.Domain + " Bring the key")
	alice.sees(t, "bob's word to alice", func(s string) bool {
		return strings.Contains(s, "from='bob@"+d.Domain+"/poezio") && strings.Contains(s, "Bring the key")
	})
	say("/quit")
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "poezio").Output()
	if err != nil {
		t.Log(err)
	}
	t.Logf("peer: poezio %s", out)
}
