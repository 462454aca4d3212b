package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/xmpptest"
)

// TestTransferProsody moves an account to Debian's Prosody, which keeps its
// accounts as such files, where its owner logs in and adds a contact; and
// back into another doorway from the file that Prosody wrote.
func TestTransferProsody(t *testing.T) {
	needPeer(t, prosody, "prosody")
	from := startBox(t, "")
	if out, code := from.run(t, "correct horse\n", "user", "add", "alice"); code != exitOK {
		t.Fatal(out)
	}
	alice := from.dial(t, "alice")
	alice.set(t, "<query xmlns='jabber:iq:roster'><item jid='carol@elsewhere.example' name='Carol &amp; Co'><group>Friends</group></item></query>")
	alice.set(t, "<query xmlns='jabber:iq:private'><pref xmlns='urn:pref' a='b'>kept</pref></query>")
	alice.set(t, "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
	dir := t.TempDir()
	file := filepath.Join(dir, "alice@office.localhost.xml")
	if out, code := from.run(t, "", "user", "export", "alice", "--file", file); code != exitOK {
		t.Fatal(out)
	}

	addr, stop := prosodyOnFiles(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	there, err := xmpptest.Dial(ctx, addr, xmpptest.Options{Domain: "office.localhost", User: "alice", Password: "correct horse", Mechanism: "SCRAM-SHA-256"})
	if err != nil {
		t.Fatalf("login at the other server: %v", err)
	}
	for payload, want := range map[string]string{
		"<query xmlns='jabber:iq:roster'/>":                                 "Carol &amp; Co",
		"<query xmlns='jabber:iq:private'><pref xmlns='urn:pref'/></query>": ">kept<",
		"<vCard xmlns='vcard-temp'/>":                                       "<FN>Alice</FN>",
	} {
		got, err := there.Get(ctx, jid.JID{}, payload)
		if err != nil || !strings.Contains(got.String(), want) {
			t.Errorf("%s at the other server: %v, %v", payload, got, err)
		}
	}
	if _, err := there.Set(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'><item jid='dave@elsewhere.example' name='Dave'/></query>"); err != nil {
		t.Fatal(err)
	}
	if err := there.Close(); err != nil {
		t.Log(err)
	}
	stop()

	to := startBox(t, "")
	out, code := to.run(t, "", "user", "import", file)
	if code != exitOK {
		t.Fatalf("exit %d: %s\n%s", code, out, readFile(t, file))
	}
	back := to.dial(t, "alice")
	got, err := back.Get(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'/>")
	if err != nil || !strings.Contains(got.Inner(), "Carol &amp; Co") || !strings.Contains(got.Inner(), "name='Dave'") {
		t.Errorf("roster from the other server: %v, %v", got, err)
	}
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "prosody").Output()
	if err != nil {
		t.Log(err)
	}
	t.Logf("peer: prosody %s", version)
}

// prosodyOnFiles runs Prosody on accounts in files of XEP-0227 in a folder.
func prosodyOnFiles(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	return runProsody(t, filepath.Join(dir, "log"), func(port int) string {
		return fmt.Sprintf(`data_path = %q
pidfile = %q
log = { debug = %q }
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = {}
modules_enabled = { "roster", "saslauth", "disco", "ping", "presence", "message", "iq", "private", "vcard" }
modules_disabled = { "s2s", "tls" }
storage = "xep0227"
authentication = "internal_hashed"
password_hash = "SHA-256"
c2s_require_encryption = false
VirtualHost "office.localhost"
`, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "log"), port)
	})
}
