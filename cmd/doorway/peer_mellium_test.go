package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/disco"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/roster"
	"mellium.im/xmpp/stanza"
)

// melliumClient is a session of the independent Go implementation.
type melliumClient struct {
	*xmpp.Session
	messages chan melliumMessage
}

type melliumMessage struct {
	stanza.Message
	Body string `xml:"body"`
}

func roots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatalf("%s holds no certificate", file)
	}
	return pool
}

func dialMellium(t *testing.T, d *demo, name string, direct bool, mech sasl.Mechanism) *melliumClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	me := jid.MustParse(name + "@" + d.Domain + "/mellium")
	cfg := &tls.Config{RootCAs: roots(t, d.CA), ServerName: d.Domain, MinVersion: tls.VersionTLS12}
	var conn net.Conn
	var err error
	features := []xmpp.StreamFeature{xmpp.SASL("", d.password(name), mech), xmpp.BindResource()}
	if direct {
		cfg.NextProtos = []string{"xmpp-client"}
		conn, err = (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", d.C2STLS)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", d.C2S)
		features = append([]xmpp.StreamFeature{xmpp.StartTLS(cfg)}, features...)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := xmpp.NewClientSession(ctx, me, conn, features...)
	if err != nil {
		t.Fatalf("log in as %s: %v", name, err)
	}
	c := &melliumClient{s, make(chan melliumMessage, 100)}
	served := make(chan struct{})
	go func() { // owner: the clean-up below
		defer close(served)
		_ = s.Serve(xmpp.HandlerFunc(func(rw xmlstream.TokenReadEncoder, start *xml.StartElement) error { // ignored: it ends with the connection
			if start.Name.Local != "message" {
				return nil
			}
			var m melliumMessage
			err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), rw)).Decode(&m)
			if err != nil && err != io.EOF {
				return err
			}
			if m.Body != "" {
				c.messages <- m
			}
			return nil
		}))
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
		select {
		case <-served:
		case <-time.After(60 * time.Second):
			t.Errorf("the server did not close %s's stream", name)
		}
		_ = conn.Close() // ignored: the server has closed it
	})
	return c
}

// TestMellium logs in with an independent Go client over both listeners and
// with each mechanism it knows, and chats.
func TestMellium(t *testing.T) {
	if testing.Short() {
		t.Skip("real peers run in `make test`, not with -short")
	}
	d := startDemo(t)
	for _, mech := range []sasl.Mechanism{sasl.ScramSha256Plus, sasl.ScramSha256, sasl.ScramSha1Plus, sasl.ScramSha1, sasl.Plain} {
		for _, direct := range []bool{false, true} {
			listener := "STARTTLS"
			if direct {
				listener = "direct TLS"
			}
			t.Run(mech.Name+" "+listener, func(t *testing.T) {
				alice := dialMellium(t, d, "alice", direct, mech)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := ping.Send(ctx, alice.Session, jid.MustParse(d.Domain)); err != nil {
					t.Errorf("ping: %v", err)
				}
			})
		}
	}
	t.Run("chat", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		alice, bob := dialMellium(t, d, "alice", false, sasl.ScramSha256Plus), dialMellium(t, d, "bob", true, sasl.ScramSha256Plus)
		for _, c := range []*melliumClient{alice, bob} {
			items := roster.Fetch(ctx, c.Session)
			for items.Next() {
				t.Errorf("a new account has the contact %s", items.Item().JID)
			}
			if err := items.Close(); err != nil {
				t.Errorf("roster: %v", err)
			}
			if err := c.Send(ctx, stanza.Presence{}.Wrap(nil)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := disco.GetInfo(ctx, "", jid.MustParse(d.Domain), alice.Session)
		if err != nil || len(info.Identity) == 0 || info.Identity[0].Category != "server" {
			t.Errorf("disco: %+v %v", info, err)
		}
		text := "Grüße 👋🏽 <&>"
		// bob answers only after his presence was handled: alice pings him first.
		if err := ping.Send(ctx, bob.Session, jid.MustParse(d.Domain)); err != nil {
			t.Fatal(err)
		}
		err = alice.Send(ctx, stanza.Message{To: jid.MustParse("bob@" + d.Domain), Type: stanza.ChatMessage}.Wrap(
			xmlstream.Wrap(xmlstream.Token(xml.CharData(text)), xml.StartElement{Name: xml.Name{Local: "body"}})))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-bob.messages:
			if m.Body != text || m.From.Bare().String() != "alice@"+d.Domain {
				t.Errorf("bob got %q from %s", m.Body, m.From)
			}
		case <-ctx.Done():
			t.Error("bob got nothing")
		}
	})
	t.Logf("peer: mellium.im/xmpp %s", moduleVersion(t, "mellium.im/xmpp"))
}

// moduleVersion is the version of a dependency, from go.mod.
func moduleVersion(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == path {
			return strings.TrimPrefix(f[1], "v")
		}
	}
	t.Fatalf("go.mod does not name %s", path)
	return ""
}
