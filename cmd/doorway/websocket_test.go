package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	netsocket "golang.org/x/net/websocket"
	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/disco"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/stanza"
	"mellium.im/xmpp/websocket"

	"doorway/xmpp/xmpptest"
)

// TestPlaysWebSocket runs every play with clients on WebSocket; those that open
// a stream by hand do so on TCP, beside them.
func TestPlaysWebSocket(t *testing.T) {
	perform(t, func(t *testing.T) *xmpptest.Stage {
		stage, box := openStage(t)
		stage.Dial = func(ctx context.Context) (net.Conn, error) {
			s, err := xmpptest.DialSocket(ctx, box.addr(t, "HTTP"), "/xmpp-websocket", nil, nil)
			if err != nil {
				return nil, err
			}
			return s.Stream(), nil
		}
		return stage
	}, slices.DeleteFunc(plays(t), func(p *xmpptest.Play) bool {
		return p.Name == "stream/invalid-xml" // a message that is no element is bad-format here
	}))
}

// TestMelliumWebSocket: an independent client, with the WebSocket library of
// golang.org/x/net under it.
func TestMelliumWebSocket(t *testing.T) {
	box := startBox(t, "[http]\nlisten = []\nlisten_tls = [\"127.0.0.1:0\"]\n")
	for _, name := range []string{"alice", "bob"} {
		if out, code := box.run(t, "correct horse\n", "user", "add", name); code != exitOK {
			t.Fatal(out)
		}
	}
	const domain = "office.localhost"
	ca := filepath.Join(box.dir, "ca", "ca.pem")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots(t, ca), ServerName: domain, MinVersion: tls.VersionTLS13}}
	conn, err := dialer.DialContext(ctx, "tcp", box.addr(t, "HTTPS"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	me := jid.MustParse("alice@" + domain + "/mellium")
	cfg, err := netsocket.NewConfig("wss://"+domain+"/xmpp-websocket", "https://"+domain)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Protocol = []string{websocket.WSProtocol}
	socket, err := netsocket.NewClient(cfg, conn)
	if err != nil {
		t.Fatal(err)
	}
	// Its own NewClient looks for "wss" in the origin, and takes TLS for none.
	s, err := xmpp.NewSession(ctx, me.Domain(), me, socket, xmpp.Secure, websocket.Negotiator(func(*xmpp.Session, *xmpp.StreamConfig) xmpp.StreamConfig {
		return xmpp.StreamConfig{Features: []xmpp.StreamFeature{xmpp.SASL("", "correct horse", sasl.ScramSha256), xmpp.BindResource()}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	heard, served := make(chan string, 10), make(chan struct{})
	go func() { // owner: this test, which waits for served
		defer close(served)
		_ = s.Serve(xmpp.HandlerFunc(func(rw xmlstream.TokenReadEncoder, start *xml.StartElement) error { // ignored: it ends with the connection
			var m melliumMessage
			if start.Name.Local != "message" {
				return nil
			}
			err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), rw)).Decode(&m)
			if err == nil || err == io.EOF {
				heard <- m.Body
			}
			return nil
		}))
	}()
	if err := s.Send(ctx, stanza.Presence{}.Wrap(nil)); err != nil {
		t.Fatal(err)
	}
	if err := ping.Send(ctx, s, jid.MustParse(domain)); err != nil {
		t.Errorf("ping: %v", err)
	}
	info, err := disco.GetInfo(ctx, "", jid.MustParse(domain), s)
	if err != nil || len(info.Identity) == 0 || info.Identity[0].Category != "server" {
		t.Errorf("disco: %+v %v", info, err)
	}
	bob := dialClient(t, box.addr(t, "XMPP"), ca, domain, "bob", "correct horse")
	if err := bob.Send("<message type='chat' to='" + me.String() + "'><body>" + strings.Repeat("Grüße ", 20_000) + "</body></message>"); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-heard:
		if body != strings.Repeat("Grüße ", 20_000) {
			t.Errorf("heard %d bytes", len(body))
		}
	case <-ctx.Done():
		t.Error("nothing was heard")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	select {
	case <-served:
	case <-ctx.Done():
		t.Error("the server does not close the stream")
	}
	t.Logf("peer: mellium.im/xmpp %s over websocket", moduleVersion(t, "mellium.im/xmpp"))
}

// TestHostMeta asks the program as a client would that knows only the domain.
func TestHostMeta(t *testing.T) {
	b := startBox(t, "[http]\nlisten = [\"127.0.0.1:0\"]\nurl = \"https://chat.office.example\"\n")
	for _, path := range []string{"/.well-known/host-meta", "/.well-known/host-meta.json"} {
		r, err := http.Get("http://" + b.addr(t, "HTTP") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close() // ignored: it has been read
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(body), "wss://chat.office.example/xmpp-websocket") ||
			r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v %s %v\n%s", path, err, r.Status, r.Header, body)
		}
	}
}
