package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// accounts are passwords by localpart.
type accounts map[string]string

func (a accounts) FakeSeed() []byte { return []byte("the seed of this box") }

func (a accounts) Keys(_ context.Context, local string, h Hash) (Keys, bool) {
	p, ok := a[local]
	if !ok {
		return Keys{}, false
	}
	k, err := Derive(p, []byte("salt of " + local + "        ")[:SaltSize], DefaultIterations, h)
	if err != nil {
		panic(err)
	}
	return k, true
}

var people = accounts{"alice": "wonderland", "jürgen": "päßwort", "user": "pencil"}

func testServer() *Server {
	return NewServer(Config{Credentials: people, Domain: "office.example"})
}

var exporter = Binding{TLS: true, Exporter: []byte("exported keying material"), EndPoint: []byte("hash of certificate")}

// client is the other side of SCRAM, for tests.
type client struct {
	hash     Hash
	gs2      string // header
	cb       []byte
	user     string
	password string
	nonce    string

	bare, serverFirst, auth string
	salted                  []byte
}

func (c *client) first() []byte {
	if c.nonce == "" {
		c.nonce = "fyko+d2lbbFgONRv9qkxdawL"
	}
	c.bare = "n=" + c.user + ",r=" + c.nonce
	return []byte(c.gs2 + c.bare)
}

func (c *client) final(t *testing.T, challenge []byte) []byte {
	t.Helper()
	c.serverFirst = string(challenge)
	f := strings.Split(c.serverFirst, ",")
	if len(f) != 3 || !strings.HasPrefix(f[0], "r="+c.nonce) || len(f[0]) < len(c.nonce)+20 {
		t.Fatalf("challenge %q", challenge)
	}
	salt, err := base64.StdEncoding.DecodeString(f[1][2:])
	if err != nil {
		t.Fatal(err)
	}
	i, _ := strconv.Atoi(f[2][2:])
	c.salted, _ = pbkdf2.Key(c.hash.newHash(), c.password, salt, i, c.hash.newHash()().Size())
	key := c.hash.mac(c.salted, "Client Key")
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.gs2), c.cb...)) + "," + f[0]
	c.auth = c.bare + "," + c.serverFirst + "," + without
	sig := c.hash.mac(c.hash.sum(key), c.auth)
	for i := range sig {
		sig[i] ^= key[i]
	}
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(sig))
}

func (c *client) check(final []byte) bool {
	want := "v=" + base64.StdEncoding.EncodeToString(c.hash.mac(c.hash.mac(c.salted, "Server Key"), c.auth))
	return hmac.Equal([]byte(want), final)
}

// run makes one attempt and returns the account or the failure.
func (c *client) run(t *testing.T, s *Server, mech string, b Binding) (string, error) {
	t.Helper()
	x, err := s.Start(mech, b, "192.0.2.1")
	if err != nil {
		return "", err
	}
	out, done, err := x.Next(t.Context(), c.first())
	if err != nil || done {
		return "", err
	}
	out, done, err = x.Next(t.Context(), c.final(t, out))
	if err != nil {
		return "", err
	}
	if !done || !c.check(out) {
		t.Fatalf("success %q, done %v", out, done)
	}
	return x.Local(), nil
}

func condition(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Condition
	}
	return fmt.Sprint(err)
}

func TestScram(t *testing.T) {
	s := testServer()
	plus := func(kind string, data []byte) client { return client{gs2: "p=" + kind + ",,", cb: data} }
	for _, c := range []struct {
		mech string
		c    client
		b    Binding
		want string
	}{
		{"SCRAM-SHA-256", client{gs2: "n,,"}, exporter, ""},
		{"SCRAM-SHA-1", client{gs2: "n,,"}, exporter, ""},
		{"SCRAM-SHA-256", client{gs2: "y,,"}, Binding{TLS: true}, ""},
		{"SCRAM-SHA-256-PLUS", plus("tls-exporter", exporter.Exporter), exporter, ""},
		{"SCRAM-SHA-1-PLUS", plus("tls-server-end-point", exporter.EndPoint), exporter, ""},
		{"SCRAM-SHA-256", client{gs2: "n,a=alice@office.example,"}, exporter, ""},
		{"SCRAM-SHA-256", client{gs2: "n,a=Alice@Office.Example,", user: "ALICE"}, exporter, ""},
		{"SCRAM-SHA-256", client{gs2: "n,a=bob@office.example,"}, exporter, "invalid-authzid"},
		{"SCRAM-SHA-256", client{gs2: "n,a=alice@office.example/x,"}, exporter, "invalid-authzid"},
		{"SCRAM-SHA-256", client{gs2: "n,a=alice,"}, exporter, "invalid-authzid"},
		{"SCRAM-SHA-256", client{gs2: "y,,"}, exporter, "not-authorized"},
		{"SCRAM-SHA-256", plus("tls-exporter", exporter.Exporter), exporter, "malformed-request"},
		{"SCRAM-SHA-256-PLUS", client{gs2: "n,,"}, exporter, "malformed-request"},
		{"SCRAM-SHA-256-PLUS", client{gs2: "y,,"}, exporter, "malformed-request"},
		{"SCRAM-SHA-256-PLUS", plus("tls-unique", exporter.Exporter), exporter, "malformed-request"},
		{"SCRAM-SHA-256-PLUS", plus("tls-exporter", []byte("of another connection")), exporter, "not-authorized"},
		{"SCRAM-SHA-256-PLUS", plus("tls-exporter", nil), exporter, "not-authorized"},
		{"SCRAM-SHA-256-PLUS", plus("tls-exporter", nil), Binding{TLS: true}, "invalid-mechanism"},
		{"SCRAM-SHA-256-PLUS", plus("tls-exporter", nil), Binding{TLS: true, EndPoint: []byte("x")}, "malformed-request"},
		{"SCRAM-SHA-256", client{gs2: "n,,", password: "wrong"}, exporter, "not-authorized"},
		{"SCRAM-SHA-256", client{gs2: "n,,", user: "nobody"}, exporter, "not-authorized"},
		{"SCRAM-SHA-256", client{gs2: "n,,", user: "a b"}, exporter, "not-authorized"},
		{"SCRAM-SHA-256", client{gs2: "n,,"}, Binding{}, "encryption-required"},
		{"X-OAUTH2", client{gs2: "n,,"}, exporter, "invalid-mechanism"},
	} {
		c.c.hash = SHA256
		if strings.Contains(c.mech, "SHA-1") {
			c.c.hash = SHA1
		}
		if c.c.user == "" {
			c.c.user = "alice"
		}
		if c.c.password == "" {
			c.c.password = people["alice"]
		}
		s.throttle = throttle{}
		local, err := c.c.run(t, s, c.mech, c.b)
		if c.want == "" && (err != nil || local != "alice") {
			t.Errorf("%s %q: %q, %v", c.mech, c.c.gs2, local, err)
		} else if c.want != "" && (condition(err) != c.want || local != "") {
			t.Errorf("%s %q: %q, %v, want %s", c.mech, c.c.gs2, local, err, c.want)
		}
	}
}

// old are accounts with keys for SHA-1 only.
type old struct{ accounts }

func (o old) Keys(ctx context.Context, local string, h Hash) (Keys, bool) {
	if h != SHA1 {
		return Keys{}, false
	}
	return o.accounts.Keys(ctx, local, h)
}

// TestPlainWithOldKeys: keys that came from another server do for PLAIN too.
func TestPlainWithOldKeys(t *testing.T) {
	s := NewServer(Config{Credentials: old{people}, Domain: "office.example"})
	for password, want := range map[string]string{"wonderland": "<nil>", "guess": "not-authorized"} {
		p, err := s.Start("PLAIN", exporter, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Next(t.Context(), []byte("\x00alice\x00"+password)); condition(err) != want {
			t.Errorf("%s: %v, want %s", password, err, want)
		}
	}
	x := client{hash: SHA1, gs2: "n,,", user: "alice", password: "wonderland"}
	if _, err := x.run(t, s, "SCRAM-SHA-1", exporter); err != nil {
		t.Errorf("SCRAM-SHA-1: %v", err)
	}
}

// barred are accounts of which alice's is disabled.
type barred struct{ accounts }

func (barred) Disabled(local string) bool { return local == "alice" }

// TestDisabled: account-disabled is for who has the right password (RFC 6120 §6.5.2).
func TestDisabled(t *testing.T) {
	s := NewServer(Config{Credentials: barred{people}, Domain: "office.example"})
	for _, c := range []struct{ user, password, want string }{
		{"alice", "wonderland", "account-disabled"},
		{"alice", "guess", "not-authorized"},
		{"user", "pencil", "<nil>"},
	} {
		x := client{hash: SHA256, gs2: "n,,", user: c.user, password: c.password}
		if local, err := x.run(t, s, "SCRAM-SHA-256", exporter); condition(err) != c.want || err != nil && local != "" {
			t.Errorf("SCRAM as %s: %q, %v", c.user, local, err)
		}
		p, err := s.Start("PLAIN", exporter, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := p.Next(t.Context(), []byte("\x00"+c.user+"\x00"+c.password))
		if condition(err) != c.want || done != (c.want == "<nil>") || done != (p.Local() != "") {
			t.Errorf("PLAIN as %s: %v, %q, %v", c.user, done, p.Local(), err)
		}
	}
}

// RFC 5802 §5 and RFC 7677 §3.
func TestScramVectors(t *testing.T) {
	for _, v := range []struct {
		mech                       string
		hash                       Hash
		client, server, salt       string
		first, challenge, in, want string
	}{
		{
			"SCRAM-SHA-1", SHA1, "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			"SCRAM-SHA-256", SHA256, "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		salt, _ := base64.StdEncoding.DecodeString(v.salt)
		s := NewServer(Config{Credentials: salted{salt}, Domain: "x", Plaintext: true})
		s.nonce = func() string { return v.server }
		x, err := s.Start(v.mech, Binding{}, "")
		if err != nil {
			t.Fatal(err)
		}
		out, done, err := x.Next(t.Context(), []byte(v.first))
		if string(out) != v.challenge || done || err != nil {
			t.Fatalf("%s: %q %v %v", v.mech, out, done, err)
		}
		out, done, err = x.Next(t.Context(), []byte(v.in))
		if string(out) != v.want || !done || err != nil || x.Local() != "user" {
			t.Fatalf("%s: %q %v %v", v.mech, out, done, err)
		}
	}
}

type salted struct{ salt []byte }

func (s salted) FakeSeed() []byte { return []byte("seed") }
func (s salted) Keys(_ context.Context, _ string, h Hash) (Keys, bool) {
	k, err := Derive("pencil", s.salt, 4096, h)
	return k, err == nil
}

func TestMechanisms(t *testing.T) {
	s := testServer()
	for _, c := range []struct {
		b    Binding
		want string
	}{
		{exporter, "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		{Binding{TLS: true}, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		{Binding{Local: true}, "SCRAM-SHA-256 SCRAM-SHA-1"},
		{Binding{Exporter: []byte("x")}, ""},
	} {
		if got := strings.Join(s.Mechanisms(c.b), " "); got != c.want {
			t.Errorf("%+v: %s", c.b, got)
		}
	}
	open := NewServer(Config{Credentials: people, Domain: "x", Plaintext: true})
	if got := strings.Join(open.Mechanisms(Binding{}), " "); got != "SCRAM-SHA-256 SCRAM-SHA-1" {
		t.Errorf("plaintext: %s", got)
	}
	if _, err := open.Start("PLAIN", Binding{}, ""); condition(err) != "encryption-required" {
		t.Errorf("PLAIN without TLS: %v", err)
	}
}

func TestPlain(t *testing.T) {
	for _, c := range []struct{ in, local, want string }{
		{"\x00alice\x00wonderland", "alice", ""},
		{"alice@office.example\x00ALICE\x00wonderland", "alice", ""},
		{"\x00Jürgen\x00päßwort", "jürgen", ""},
		{"\x00ju\u0308rgen\x00pa\u0308ßwort", "jürgen", ""}, // decomposed
		{"\x00alice\x00wrong", "", "not-authorized"},
		{"\x00nobody\x00wonderland", "", "not-authorized"},
		{"\x00a b\x00wonderland", "", "not-authorized"},
		{"\x00alice\x00won\x07der", "", "not-authorized"},
		{"bob@office.example\x00alice\x00wonderland", "", "invalid-authzid"},
		{"alice\x00wonderland", "", "malformed-request"},
		{"\x00alice\x00", "", "malformed-request"},
		{"\x00\x00wonderland", "", "malformed-request"},
		{"\x00alice\x00a\x00b", "", "malformed-request"},
		{"\x00alice\x00\xff", "", "malformed-request"},
		{"\x00alice\x00" + strings.Repeat("p", 1025), "", "malformed-request"},
	} {
		s := testServer()
		x, err := s.Start("PLAIN", Binding{TLS: true}, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Next(t.Context(), []byte(c.in))
		if c.want == "" && (err != nil || !done || x.Local() != c.local) || c.want != "" && (condition(err) != c.want || x.Local() != "") {
			t.Errorf("%q: %q %v %v, want %s", c.in, x.Local(), done, err, c.want)
		}
		if _, _, err := x.Next(t.Context(), []byte(c.in)); condition(err) != "malformed-request" {
			t.Errorf("%q: the exchange went on: %v", c.in, err)
		}
	}
}

// The first message may come after an empty challenge (RFC 6120 §6.4.2).
func TestNoInitialResponse(t *testing.T) {
	x, _ := testServer().Start("PLAIN", Binding{TLS: true}, "")
	if out, done, err := x.Next(t.Context(), nil); len(out) != 0 || done || err != nil {
		t.Fatalf("%q %v %v", out, done, err)
	}
	if _, done, err := x.Next(t.Context(), []byte("\x00alice\x00wonderland")); !done || err != nil {
		t.Fatal(err)
	}
	x, _ = testServer().Start("SCRAM-SHA-1", Binding{TLS: true}, "")
	x.Next(t.Context(), nil)
	if _, _, err := x.Next(t.Context(), nil); condition(err) != "malformed-request" {
		t.Fatalf("twice nothing: %v", err)
	}
}

func TestScramMalformed(t *testing.T) {
	for _, in := range []string{
		"x", ",", "n,", "n,,", "z,,n=alice,r=abc", "n,b=c,n=alice,r=abc", "n,a=,n=alice,r=abc", "n,a=x=,n=alice,r=abc", "n,,m=x,n=alice,r=abc",
		"n,,n=,r=abc", "n,,n=alice", "n,,n=alice,r=", "n,,n=ali=ce,r=abc", "n,,r=abc,n=alice", "n,,n=alice,r=a\x01c", "n,,n=al\x00ice,r=abc",
		"n,,n=alice,r=" + strings.Repeat("r", 257), "n,,n=\xff,r=abc", "p=,,n=alice,r=abc",
	} {
		x, _ := testServer().Start("SCRAM-SHA-256", exporter, "")
		if _, done, err := x.Next(t.Context(), []byte(in)); done || condition(err) != "malformed-request" {
			t.Errorf("%q: %v %v", in, done, err)
		}
	}
	for _, in := range []string{"", "x", "c=biws,r=abc", ",p=", "c=biws,r=abc,p=!", "c=!,r=abc,p=AAAA", "r=abc,c=biws,p=AAAA"} {
		x, _ := testServer().Start("SCRAM-SHA-256", exporter, "")
		if _, _, err := x.Next(t.Context(), []byte("n,,n=alice,r=abc")); err != nil {
			t.Fatal(err)
		}
		if _, done, err := x.Next(t.Context(), []byte(in)); done || condition(err) != "malformed-request" {
			t.Errorf("final %q: %v %v", in, done, err)
		}
	}
}

// A name with a comma and an equals sign arrives whole.
func TestSaslName(t *testing.T) {
	for in, want := range map[string]string{"a=2Cb": "a,b", "a=3Db": "a=b", "=3D2C": "=2C", "plain": "plain"} {
		if got, ok := saslName(in, true); got != want || !ok {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
}

// A stranger cannot tell whether an account exists: same salt each time, same
// shape as a real one, same answer.
func TestUnknownAccountLooksReal(t *testing.T) {
	s := testServer()
	challenge := func(user, nonce string) (salt, rest string) {
		x, _ := s.Start("SCRAM-SHA-256", exporter, "")
		c := client{hash: SHA256, gs2: "n,,", user: user, nonce: nonce}
		out, _, err := x.Next(t.Context(), c.first())
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Split(string(out), ",")
		return f[1], f[2]
	}
	salt1, i1 := challenge("nobody", "one")
	salt2, i2 := challenge("nobody", "two")
	salt3, _ := challenge("NOBODY", "three")
	other, _ := challenge("somebody", "four")
	real, i := challenge("alice", "five")
	if salt1 != salt2 || salt1 != salt3 || salt1 == other || len(salt1) != len(real) || i1 != i || i2 != i {
		t.Fatalf("made-up %s %s %s %s, real %s; iterations %s %s %s", salt1, salt2, salt3, other, real, i1, i2, i)
	}
	wrong := client{hash: SHA256, gs2: "n,,", user: "alice", password: "no"}
	nobody := client{hash: SHA256, gs2: "n,,", user: "nobody", password: "no"}
	_, err1 := wrong.run(t, s, "SCRAM-SHA-256", exporter)
	_, err2 := nobody.run(t, s, "SCRAM-SHA-256", exporter)
	var f1, f2 *Failure
	if !errors.As(err1, &f1) || !errors.As(err2, &f2) || f1.Condition != f2.Condition || f1.Text != f2.Text {
		t.Fatalf("%v, %v", err1, err2)
	}
}

func TestGuessesAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testServer()
		try := func(addr, user, password string) (time.Duration, string) {
			x, _ := s.Start("PLAIN", Binding{TLS: true}, addr)
			start := time.Now()
			_, _, err := x.Next(t.Context(), []byte("\x00"+user+"\x00"+password))
			if err == nil {
				return time.Since(start), ""
			}
			return time.Since(start), condition(err)
		}
		for i, want := range []time.Duration{0, 500, 1000, 2000, 4000, 8000, 15000, 15000} {
			if got, cond := try("a", "alice", "no"); got != want*time.Millisecond || cond != "not-authorized" {
				t.Fatalf("guess %d took %v (%s), want %v ms", i, got, cond, int(want))
			}
		}
		if got, _ := try("b", "alice", "wonderland"); got != 0 {
			t.Fatalf("another address waits %v", got)
		}
		if got, _ := try("a", "user", "pencil"); got != 0 {
			t.Fatalf("another account waits %v", got)
		}
		if got, cond := try("a", "alice", "wonderland"); got != 15*time.Second || cond != "" {
			t.Fatalf("the right password: %v %s", got, cond)
		}
		if got, _ := try("a", "alice", "no"); got != 0 {
			t.Fatalf("after a success: %v", got)
		}
		for range 4 {
			try("c", "alice", "no")
		}
		time.Sleep(10 * time.Minute)
		if got, _ := try("c", "alice", "no"); got != 0 {
			t.Fatalf("after ten minutes: %v", got)
		}
	})
}

// Guesses sent side by side do not escape the delay, and the owner behind the
// same address is never kept out for long.
func TestParallelGuessesQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testServer()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex
		refusals := 0
		for range 200 {
			wg.Go(func() {
				x, _ := s.Start("SCRAM-SHA-256", exporter, "a")
				c := client{hash: SHA256, gs2: "n,,", user: "alice", password: "no"}
				out, _, _ := x.Next(ctx, c.first())
				c.nonce = strings.TrimPrefix(strings.Split(string(out), ",")[0], "r=")[:len(c.nonce)]
				_, _, err := x.Next(ctx, []byte("c=biws,"+strings.Split(string(out), ",")[0]+",p="+base64.StdEncoding.EncodeToString(make([]byte, 32))))
				if condition(err) == "not-authorized" {
					mu.Lock()
					refusals++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took < 10*time.Second || refusals > 2*maxRunning {
			t.Errorf("%d of 200 parallel guesses were looked at in %v", refusals, took)
		}
		x, _ := s.Start("PLAIN", Binding{TLS: true}, "a")
		start = time.Now()
		if _, done, err := x.Next(t.Context(), []byte("\x00alice\x00wonderland")); !done || err != nil || time.Since(start) > longestDelay {
			t.Fatalf("the owner: %v after %v", err, time.Since(start))
		}
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	s := testServer()
	s.slots <- struct{}{}
	s.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x, _ := s.Start("PLAIN", Binding{TLS: true}, "a")
	if _, _, err := x.Next(ctx, []byte("\x00alice\x00wonderland")); condition(err) != "temporary-auth-failure" || !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	var tr throttle
	now := time.Now()
	for i := range 3 * maxPairs {
		p, _ := tr.begin("a", strconv.Itoa(i), now)
		tr.end(p, wrong, now)
	}
	if len(tr.pairs) > maxPairs {
		t.Fatalf("%d pairs", len(tr.pairs))
	}
}

func TestDeriveRefuses(t *testing.T) {
	for _, p := range []string{"", "a\x00b", "a\nb", "\xff"} {
		if _, err := Derive(p, []byte("salt"), 1, SHA256); err == nil || p != "" && strings.Contains(err.Error(), p) {
			t.Errorf("%q: %v", p, err)
		}
	}
	if _, err := Derive("p", nil, 1, SHA256); err == nil {
		t.Error("no salt")
	}
	if _, err := Derive("p", []byte("s"), 1, "MD5"); err == nil {
		t.Error("unknown hash")
	}
}

func FuzzExchange(f *testing.F) {
	f.Add(uint8(0), []byte("n,,n=alice,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add(uint8(1), []byte("p=tls-exporter,a=alice@office.example,n=al=2Cice,r=abc"), []byte("c=,r=,p="))
	f.Add(uint8(4), []byte("\x00alice\x00x"), []byte(nil))
	f.Fuzz(func(t *testing.T, mech uint8, first, second []byte) {
		s := testServer()
		s.c.Credentials = cheap{}
		names := s.Mechanisms(exporter)
		x, err := s.Start(names[int(mech)%len(names)], exporter, "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range [][]byte{first, second} {
			_, done, err := x.Next(t.Context(), in)
			if done && err == nil {
				t.Fatalf("let in with %q %q", first, second)
			}
			if err != nil {
				if c := condition(err); c != "malformed-request" && c != "not-authorized" && c != "invalid-authzid" {
					t.Fatalf("%v", err)
				}
				return
			}
		}
	})
}

// cheap knows one account whose password is not a text.
type cheap struct{}

func (cheap) FakeSeed() []byte { return []byte("seed") }
func (cheap) Keys(_ context.Context, local string, h Hash) (Keys, bool) {
	return Keys{Salt: []byte("0123456789abcdef"), Iterations: 1, StoredKey: []byte("none"), ServerKey: []byte("none")}, true
}
