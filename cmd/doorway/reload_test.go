package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"doorway/gateway/certs"
)

// issue makes a certificate for the domain in a folder of its own and returns
// the files of the CA, the certificate and the key.
func issue(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	c, err := certs.Open(dir, certs.Options{Domain: "office.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return c.CAFile(), filepath.Join(dir, "ca", "leaf.pem"), filepath.Join(dir, "ca", "leaf.key")
}

func rewrite(t *testing.T, file string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(change(string(b))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// trusts says whether the server's certificate is good for somebody who
// trusts this CA only.
func trusts(t *testing.T, addr, ca string) error {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr,
		&tls.Config{ServerName: "office.localhost", RootCAs: roots(t, ca), NextProtos: []string{"xmpp-client"}})
	if err != nil {
		return err
	}
	return c.Close()
}

// TestReloadCertificate: new files, then other files; whoever is logged in
// stays, whoever comes next sees the new certificate.
func TestReloadCertificate(t *testing.T) {
	ca1, cert1, key1 := issue(t)
	ca2, cert2, key2 := issue(t)
	ca3, cert3, key3 := issue(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	install := func(c, k string) {
		for from, to := range map[string]string{c: cert, k: key} {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	install(cert1, key1)
	b := startBox(t, fmt.Sprintf("[xmpp]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\ncertificate = %q\nkey = %q\n", cert, key))
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	alice := dialClient(t, b.addr(t, "XMPP"), ca1, "office.localhost", "alice", "correct horse")
	defer alice.Close()
	secure := b.addr(t, "XMPP with direct TLS")
	if err := trusts(t, secure, ca1); err != nil {
		t.Fatal(err)
	}

	install(cert2, key2)
	if out, code := b.run(t, "", "reload"); code != exitOK || !strings.Contains(out, "the certificate was read again") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := trusts(t, secure, ca2); err != nil {
		t.Errorf("the new certificate is not served: %v", err)
	}
	alice.settle(t)

	rewrite(t, b.config, func(s string) string {
		return strings.NewReplacer(cert, cert3, key, key3).Replace(s)
	})
	if out, code := b.run(t, "", "reload"); code != exitOK || !strings.Contains(out, "Now in use: xmpp.certificate, xmpp.key.") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := trusts(t, secure, ca3); err != nil {
		t.Errorf("the other certificate is not served: %v", err)
	}

	rewrite(t, b.config, func(s string) string { return strings.Replace(s, key3, key1, 1) })
	out, code := b.run(t, "", "reload")
	if code != exitFailed || !strings.Contains(out, "nothing was changed") || !regexp.MustCompile(regexp.QuoteMeta(b.config)+`:\d+: The certificate`).MatchString(out) {
		t.Errorf("a key that does not belong: exit %d: %s", code, out)
	}
	if err := trusts(t, secure, ca3); err != nil {
		t.Errorf("a refused file changed the certificate: %v", err)
	}
	alice.settle(t)
}

// TestReloadFaultyFile: exit 1, file and line, everything as before.
func TestReloadFaultyFile(t *testing.T) {
	b := startBox(t, "")
	rewrite(t, b.config, func(s string) string { return s + "listem = 1\n" })
	for _, args := range [][]string{{"--config", b.config}, {"--dir", b.dir}} {
		out, code := runProgram(t, "", append([]string{"reload"}, args...)...)
		if code != exitFailed || !strings.Contains(out, "nothing was changed") || !regexp.MustCompile(regexp.QuoteMeta(b.config)+`:\d+: unknown key "http.listem"`).MatchString(out) {
			t.Errorf("doorway reload %s: exit %d: %s", args[0], code, out)
		}
	}
	if out, code := runProgram(t, "", "user", "list", "--dir", b.dir); code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := runProgram(t, "", "reload", "--dir", t.TempDir()); code != exitNotRunning {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestReloadAdmins: a text that nobody is meant by goes to the administrators
// of the newest configuration; what cannot be applied is named.
func TestReloadAdmins(t *testing.T) {
	d := startDemo(t)
	alice, bob := login(t, d, "alice"), login(t, d, "bob")
	say := func(text string) {
		t.Helper()
		if out, code := d.run(t, "", "phone", "send", demoQuiet, text); code != 0 {
			t.Fatal(out)
		}
	}
	says := func(text string) func(string) bool {
		return func(xml string) bool { return strings.Contains(xml, "<body>"+text+"</body>") }
	}
	say("to alice")
	alice.sees(t, "alice is the administrator", says("to alice"))
	rewrite(t, filepath.Join(d.Dir, "doorway.toml"), func(s string) string {
		s = strings.Replace(s, `admins = ["alice@`, `admins = ["bob@`, 1)
		return strings.Replace(s, `country = "49"`, `country = "43"`, 1) + "[[modem]]\nname = \"gsm1\"\ndevice = \"/dev/none\"\n"
	})
	out, code := d.run(t, "", "reload", "--json")
	var r reloaded
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	if strings.Join(r.Applied, " ") != "admins" || strings.Join(r.Restart, " ") != "[[modem]] sms.country" ||
		r.Text != "Now in use: admins. These need a restart of doorway: [[modem]], sms.country." {
		t.Errorf("answer %+v", r)
	}
	say("to bob")
	bob.sees(t, "bob is the administrator now", says("to bob"))
}

// TestHangup plays the service manager: SIGHUP, RELOADING with the monotonic
// time, READY; also when the file is faulty.
func TestHangup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	b := startBox(t, "")
	read := func(want string) {
		t.Helper()
		pattern := regexp.MustCompile(want)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("the service manager was not told %s: %v", want, err)
			}
			if pattern.Match(buf[:n]) {
				return
			}
			if !strings.HasPrefix(string(buf[:n]), "STATUS=") {
				t.Fatalf("the service manager was told %q, not %s", buf[:n], want)
			}
		}
	}
	read(`^READY=1$`)
	for _, c := range []struct{ add, log string }{
		{"", "configuration read again"},
		{"nonsense = 1\n", "configuration not read again, nothing was changed"},
	} {
		rewrite(t, b.config, func(s string) string { return s + c.add })
		if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		read(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+\n?$`)
		read(`^READY=1$`)
		until(t, 30*time.Second, func() (bool, string) {
			return strings.Contains(b.stderr.String(), c.log), "the log does not say " + c.log
		})
	}
	b.stop(t)
	read(`^STOPPING=1$`)
}
