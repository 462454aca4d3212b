package main

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/xmpptest"
)

// TestDisabledUser: an account that is switched off loses its streams and
// cannot log in, while what comes for it is kept until it is on again, over a
// restart too.
func TestDisabledUser(t *testing.T) {
	b := startBox(t, "")
	ca := b.dir + "/ca/ca.pem"
	for _, name := range []string{"alice", "bob"} {
		if out, code := b.run(t, "correct horse\n", "user", "add", name); code != exitOK {
			t.Fatal(out)
		}
	}
	dial := func(name string) (*xmpptest.Client, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return xmpptest.Dial(ctx, b.addr(t, "XMPP"), xmpptest.Options{
			Domain: "office.localhost", User: name, Password: "correct horse", TLS: xmpptest.StartTLS,
			TLSConfig: &tls.Config{RootCAs: roots(t, ca), MinVersion: tls.VersionTLS13},
		})
	}
	bob, err := dial("bob")
	if err != nil {
		t.Fatal(err)
	}
	if out, code := b.run(t, "", "user", "disable", "bob"); code != exitOK {
		t.Fatal(out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := bob.ExpectStreamError(ctx, "not-authorized"); err != nil {
		t.Errorf("the stream of a disabled account: %v", err)
	}
	alice, err := dial("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := alice.Send("<message type='chat' to='bob@office.localhost'><body>for later</body></message>"); err != nil {
		t.Fatal(err)
	}
	(&chatter{alice}).settle(t)
	refused := func() {
		t.Helper()
		if _, err := dial("bob"); err == nil || !strings.Contains(err.Error(), "account-disabled") {
			t.Errorf("login of a disabled account: %v", err)
		}
	}
	refused()
	if err := alice.Close(); err != nil {
		t.Log(err)
	}
	b.stop(t)
	b.start(t)
	refused()
	if out, code := b.run(t, "", "user", "enable", "bob"); code != exitOK {
		t.Fatal(out)
	}
	if bob, err = dial("bob"); err != nil {
		t.Fatal(err)
	}
	again := &chatter{bob}
	if err := again.Send("<presence/>"); err != nil {
		t.Fatal(err)
	}
	again.sees(t, "message kept while the account was off", func(xml string) bool { return strings.Contains(xml, "for later") })
	_ = bob.Close() // ignored: the test is over
}
