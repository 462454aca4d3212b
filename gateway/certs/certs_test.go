package certs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// box is what a test opens certificates with.
func box() Options {
	return Options{
		Domain:   "office.localhost",
		Names:    []string{"irc.office.localhost"},
		Hostname: "Box.example",
		Addresses: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("fe80::1%eth0")}
		},
	}
}

func open(t *testing.T, dir string, o Options) *Certs {
	t.Helper()
	c, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func leaf(t *testing.T, c *Certs) *x509.Certificate {
	t.Helper()
	cert, err := c.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

// pool trusts a PEM file.
func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(raw) {
		t.Fatalf("no certificate in %s", path)
	}
	return p
}

// What the CA issues is accepted for all names and addresses of the box.
func TestChainVerifies(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, box())
	l := leaf(t, c)
	roots := pool(t, c.CAFile())
	for _, name := range []string{
		"office.localhost", "conference.office.localhost", "upload.office.localhost", "sms.office.localhost",
		"irc.office.localhost", "box.local", "127.0.0.1", "::1", "192.168.1.7", "fe80::1",
	} {
		if _, err := l.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"office.example", "203.0.113.9", "localhost"} {
		if _, err := l.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if life := l.NotAfter.Sub(l.NotBefore); life > 398*24*time.Hour || life < 300*24*time.Hour {
		t.Errorf("the leaf lives %v", life)
	}
	for name, mode := range map[string]os.FileMode{"ca": 0o700, "ca/ca.key": 0o600, "ca/leaf.key": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %v", name, st.Mode(), err, mode)
		}
	}
	block, _ := pem.Decode(must(os.ReadFile(c.CAFile())))
	if sum := sha256.Sum256(block.Bytes); c.Fingerprint() != hex.EncodeToString(sum[:]) {
		t.Errorf("fingerprint %s", c.Fingerprint())
	}
	if err := c.Problem(); err != nil {
		t.Error(err)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// A stolen key of the CA cannot make certificates for other sites.
func TestNameConstraintsHold(t *testing.T) {
	c := open(t, t.TempDir(), box())
	roots := pool(t, c.CAFile())
	for _, name := range []string{"bank.example", "203.0.113.9"} {
		var names []string
		var ips []net.IP
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, name)
		}
		if names == nil {
			names = []string{"office.localhost"}
		}
		cert, err := c.makeLeaf(names, ips, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err == nil {
			t.Errorf("a leaf for %s is accepted", name)
		}
	}
}

// The command openssl accepts the chain, name constraints included.
func TestOpenSSLVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl")
	}
	dir := t.TempDir()
	c := open(t, dir, box())
	leafPath := filepath.Join(dir, "ca", "leaf.pem")
	for _, args := range [][]string{
		{"-verify_hostname", "office.localhost"},
		{"-verify_hostname", "sms.office.localhost"},
		{"-verify_hostname", "box.local"},
		{"-verify_ip", "127.0.0.1"},
		{"-verify_ip", "::1"},
	} {
		args = append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", c.CAFile()}, append(args, leafPath)...)
		if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v\n%s", args, err, out)
		}
	}
}

// missing skips a test whose Debian peer is not there, and fails it in CI.
func missing(t *testing.T, pkg string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("the Debian package %s is missing", pkg)
	}
	t.Skipf("the Debian package %s is missing", pkg)
}

const pythonClient = `
import socket, ssl, sys
ca, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ctx = ssl.create_default_context(cafile=ca)
ctx.verify_flags |= getattr(ssl, "VERIFY_X509_STRICT", 0)
with socket.create_connection(("127.0.0.1", port)) as s:
    with ctx.wrap_socket(s, server_hostname=name) as t:
        t.sendall(b"hello\n")
        print(t.recv(100).decode().strip(), t.version())
`

// Python's ssl, which slixmpp uses, trusts the box with the CA file alone.
func TestPythonConnects(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3")
	}
	c := open(t, t.TempDir(), box())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { // ends when the listener closes; waited for below
		defer close(served)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				_, _ = io.WriteString(conn, line) // ignored: the client tells
			}
			_ = conn.Close() // ignored: the client tells
		}
	}()
	defer func() { _ = ln.Close(); <-served }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, name := range []string{"office.localhost", "127.0.0.1"} {
		out, err := exec.CommandContext(t.Context(), python, "-c", pythonClient, c.CAFile(), port, name).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "hello TLSv1.3") {
			t.Errorf("as %s: %v\n%s", name, err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", pythonClient, c.CAFile(), port, "office.example").CombinedOutput(); err == nil {
		t.Errorf("accepted as office.example: %s", out)
	}
}

// A restart shows the same certificate, so that clients that pin it stay content.
func TestRestartKeepsTheCertificate(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, box())
	b := open(t, dir, box())
	if !leaf(t, a).Equal(leaf(t, b)) || a.Fingerprint() != b.Fingerprint() {
		t.Error("the certificate changed")
	}
	o := box()
	o.Addresses = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.1.2.3")} }
	c := open(t, dir, o)
	if leaf(t, c).Equal(leaf(t, a)) || leaf(t, c).VerifyHostname("10.1.2.3") != nil || c.Fingerprint() != a.Fingerprint() {
		t.Error("a new address did not give a new leaf of the same CA")
	}
}

// The leaf is renewed at two thirds of its life, without a restart.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := box()
		o.Built = time.Now().Add(-time.Hour)
		var days atomic.Int64
		o.Now = func() time.Time { return time.Now().AddDate(0, 0, int(days.Load())) }
		c := open(t, dir, o)
		first := leaf(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }() // waited for below
		days.Store(264)
		time.Sleep(2 * time.Minute) // the bubble's clock
		if !leaf(t, c).Equal(first) {
			t.Error("renewed before two thirds of its life")
		}
		days.Store(266)
		time.Sleep(2 * time.Minute)
		second := leaf(t, c)
		if second.Equal(first) || second.NotAfter.Before(o.Now().AddDate(0, 0, 390)) {
			t.Errorf("not renewed: until %v", second.NotAfter)
		}
		if err := second.CheckSignatureFrom(c.ca.cert); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// With a clock before the build nothing is minted; when it is set, all goes on.
func TestWrongClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := box()
		var right atomic.Bool
		o.Built = time.Now()
		o.Now = func() time.Time {
			if right.Load() {
				return time.Now()
			}
			return time.Unix(0, 0)
		}
		c := open(t, dir, o)
		if _, err := c.TLSConfig().GetCertificate(nil); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("a certificate with a wrong clock: %v", err)
		}
		if err := c.Problem(); !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "1970-01-01") {
			t.Errorf("problem: %v", err)
		}
		if exists, _ := filepath.Glob(filepath.Join(dir, "ca", "*")); len(exists) != 0 {
			t.Errorf("files %v", exists)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }() // waited for below
		time.Sleep(time.Minute)             // the bubble's clock
		right.Store(true)
		time.Sleep(15 * time.Second)
		if _, err := c.Certificate(); err != nil || c.Problem() != nil || c.Fingerprint() == "" {
			t.Errorf("after the clock was set: %v, %v", err, c.Problem())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Configured files are used instead, and read again when they change.
func TestConfiguredFiles(t *testing.T) {
	dir := t.TempDir()
	o := box()
	made := open(t, filepath.Join(dir, "one"), o)
	o.Certificate, o.Key = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	install := func(from string) {
		for ext, to := range map[string]string{"pem": o.Certificate, "key": o.Key} {
			if err := os.WriteFile(to, must(os.ReadFile(filepath.Join(dir, from, "ca", "leaf."+ext))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	install("one")
	c := open(t, filepath.Join(dir, "data"), o)
	if !leaf(t, c).Equal(leaf(t, made)) || c.CAFile() != "" || c.Fingerprint() != "" {
		t.Error("the configured certificate is not used")
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "ca")); err == nil {
		t.Error("a CA was made")
	}
	other := open(t, filepath.Join(dir, "two"), box())
	install("two")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(o.Certificate, later, later); err != nil {
		t.Fatal(err)
	}
	c.look()
	if !leaf(t, c).Equal(leaf(t, other)) {
		t.Error("the changed file was not read")
	}
	if err := os.WriteFile(o.Certificate, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.look()
	if !leaf(t, c).Equal(leaf(t, other)) || c.Problem() == nil {
		t.Errorf("a broken file: problem %v", c.Problem())
	}
	install("one")
	c.look()
	if !leaf(t, c).Equal(leaf(t, made)) || c.Problem() != nil {
		t.Errorf("mended: problem %v", c.Problem())
	}
}

// What is wrong is said in a sentence with what to do.
func TestSentences(t *testing.T) {
	dir := t.TempDir()
	check := func(name string, err error, want string) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Text, want) {
			t.Errorf("%s: %v, want a sentence with %q", name, err, want)
		}
	}
	o := box()
	o.Certificate = filepath.Join(dir, "missing.pem")
	_, err := Open(dir, o)
	check("half a pair", err, "Only one")
	o.Key = filepath.Join(dir, "missing.key")
	_, err = Open(dir, o)
	check("missing files", err, "missing.pem cannot be read")

	open(t, dir, box())
	o = box()
	o.Domain = "other.example"
	_, err = Open(dir, o)
	check("another domain", err, "other.example")
	if err := os.Remove(filepath.Join(dir, "ca", "ca.key")); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, box())
	check("lost key", err, "ca.key")
	if err := os.WriteFile(filepath.Join(dir, "ca", "ca.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, box())
	check("damaged key", err, "cannot be used")
}

// A creation of the CA that was cut short is begun again.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, box())
	for _, name := range []string{"ca.pem", "leaf.pem", "leaf.key"} {
		if err := os.Remove(filepath.Join(dir, "ca", name)); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, dir, box())
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("same CA")
	}
	if _, err := leaf(t, b).Verify(x509.VerifyOptions{DNSName: "office.localhost", Roots: pool(t, b.CAFile())}); err != nil {
		t.Error(err)
	}
}
