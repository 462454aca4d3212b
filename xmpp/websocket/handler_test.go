package websocket

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"doorway/xmpp/c2s"
	"doorway/xmpp/xmpptest"
)

// TestHandshake: which requests are taken up, and what the others are told
// (RFC 6455 §4.2, §10.2; RFC 7395 §3.1).
func TestHandshake(t *testing.T) {
	h := open(t, func(_ *c2s.Config, c *Config) { c.URL = &url.URL{Scheme: "https", Host: "chat.example:8443"} })
	for _, c := range []struct {
		name   string
		header map[string]string
		status string // "" is taken up
	}{
		{"as usual", nil, ""},
		{"spelt otherwise", map[string]string{"Connection": "keep-alive, uPGRADE", "Upgrade": "WebSocket", "Sec-WebSocket-Protocol": "chat, xmpp"}, ""},
		{"an extension is offered", map[string]string{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}, ""},
		{"no WebSocket", map[string]string{"Upgrade": "", "Connection": ""}, "426 "},
		{"another upgrade", map[string]string{"Upgrade": "h2c"}, "426 "},
		{"an old version", map[string]string{"Sec-WebSocket-Version": "8"}, "426 "},
		{"no key", map[string]string{"Sec-WebSocket-Key": ""}, "400 "},
		{"a short key", map[string]string{"Sec-WebSocket-Key": "c2hvcnQ="}, "400 "},
		{"no key at all", map[string]string{"Sec-WebSocket-Key": "!"}, "400 "},
		{"no subprotocol", map[string]string{"Sec-WebSocket-Protocol": ""}, "400 "},
		{"another subprotocol", map[string]string{"Sec-WebSocket-Protocol": "XMPP, mqtt"}, "400 "},

		{"the same host", map[string]string{"Origin": "http://127.0.0.1"}, ""},
		{"the same host, another port", map[string]string{"Origin": "http://127.0.0.1:9999"}, ""},
		{"the host as the client knows it", map[string]string{"Host": "Box.local:8080", "Origin": "https://box.LOCAL"}, ""},
		{"IPv6", map[string]string{"Host": "[::1]:8080", "Origin": "http://[::1]:1234"}, ""},
		{"the domain", map[string]string{"Origin": "https://" + home}, ""},
		{"below the domain", map[string]string{"Origin": "https://chat." + home + ":444"}, ""},
		{"the configured host", map[string]string{"Origin": "https://chat.example"}, ""},
		{"elsewhere", map[string]string{"Origin": "https://evil.example"}, "403 "},
		{"ends like the domain", map[string]string{"Origin": "https://evil" + home}, "403 "},
		{"begins like the domain", map[string]string{"Origin": "https://" + home + ".evil.example"}, "403 "},
		{"a sandboxed page", map[string]string{"Origin": "null"}, "403 "},
		{"a file", map[string]string{"Origin": "file://"}, "403 "},
		{"an extension's page", map[string]string{"Origin": "moz-extension://" + home}, "403 "},
		{"no origin in it", map[string]string{"Origin": "https://"}, "403 "},
		{"no URL", map[string]string{"Origin": "https://%zz"}, "403 "},

		{"a proxy with TLS", map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}, ""},
		{"a proxy that says nothing", map[string]string{"X-Forwarded-For": "192.0.2.7"}, ""},
		{"a proxy without TLS", map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}, "403 "},
		{"a proxy without TLS for this machine", map[string]string{"X-Forwarded-For": "::1", "X-Forwarded-Proto": "http"}, ""},
	} {
		s, err := xmpptest.DialSocket(h.ctx(), h.plain, Path, nil, c.header)
		var no *xmpptest.Refusal
		switch {
		case err == nil && c.status == "":
			h.say(s, opening)
			h.hear(s, "<open ")
			s.Conn().Close()
		case err == nil:
			t.Errorf("%s: taken up", c.name)
			s.Conn().Close()
		case !errors.As(err, &no) || c.status == "" || !strings.HasPrefix(no.Status, c.status):
			t.Errorf("%s: %v", c.name, err)
		case c.status == "426 " && !strings.Contains(no.Head, "\r\nSec-Websocket-Version: 13\r\n"):
			t.Errorf("%s: %s", c.name, no.Head)
		}
	}
}

// from is a request of an address, on a connection that ends at another.
func from(client, server string, tlsState *tls.ConnectionState, header map[string]string) *http.Request {
	r := httptest.NewRequest("GET", Path, nil)
	r.RemoteAddr, r.TLS = client, tlsState
	addr, err := net.ResolveTCPAddr("tcp", server)
	if err != nil {
		panic(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
}

// TestSafe: without TLS nobody comes from another machine, and only who is on
// this one is believed about whom it speaks for.
func TestSafe(t *testing.T) {
	h := New(Config{Domain: home})
	secure := &tls.ConnectionState{}
	xff := map[string]string{"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
	for _, c := range []struct {
		name, client, server string
		tls                  *tls.ConnectionState
		header               map[string]string
		safe                 bool
		addr                 string
	}{
		{"on this machine", "127.0.0.1:5", "127.0.0.1:80", nil, nil, true, "127.0.0.1"},
		{"on this machine, IPv6", "[::1]:5", "[::1]:80", nil, nil, true, "::1"},
		{"mapped", "[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:80", nil, nil, true, "127.0.0.1"},
		{"in the office", "192.168.1.5:5", "192.168.1.1:80", nil, nil, false, "192.168.1.5"},
		{"in the office with TLS", "192.168.1.5:5", "192.168.1.1:443", secure, nil, true, "192.168.1.5"},
		{"to itself by its outer address", "192.168.1.1:5", "192.168.1.1:80", nil, nil, false, "192.168.1.1"},
		{"forged in the office", "192.168.1.5:5", "192.168.1.1:443", secure, xff, true, "192.168.1.5"},
		{"a proxy", "127.0.0.1:5", "127.0.0.1:80", nil, xff, true, "192.0.2.7"},
		{"a proxy that says nonsense", "127.0.0.1:5", "127.0.0.1:80", nil, map[string]string{"X-Forwarded-For": "unknown"}, true, "127.0.0.1"},
	} {
		r := from(c.client, c.server, c.tls, c.header)
		if got := h.safe(r); got != c.safe {
			t.Errorf("%s: safe %v", c.name, got)
		}
		if got := clientOf(r); got != c.addr {
			t.Errorf("%s: taken for %s", c.name, got)
		}
	}
}

// TestNotRunning: before Run and after it there is nobody to hand a connection to.
func TestNotRunning(t *testing.T) {
	h := open(t, nil)
	h.stopSockets()
	eventually(t, "Run does not end", func() bool { return !h.handler.serving.Load() })
	var no *xmpptest.Refusal
	if _, err := xmpptest.DialSocket(h.ctx(), h.plain, Path, nil, nil); !errors.As(err, &no) || !strings.HasPrefix(no.Status, "503 ") {
		t.Errorf("%v", err)
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go h.handler.handOver(newLink(h.clients.NewCarrier(ours, "127.0.0.1", true), nil)) // owner: this test, which reads to its end
	if b, err := io.ReadAll(theirs); err != nil {
		t.Errorf("a connection that came too late: %x %v", b, err)
	}
}

// TestPipelined: what a client sends right behind its request is not lost, with
// TLS and without, on a connection that has been used before.
func TestPipelined(t *testing.T) {
	h := open(t, nil)
	request := "GET " + Path + " HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
	frame := string(xmpptest.Frame(opText, opening))
	for _, pieces := range [][]string{{request + frame}, {request, frame}, {request + frame[:5], frame[5:]}} {
		for addr, cfg := range map[string]*tls.Config{h.plain: nil, h.wss: h.tls()} {
			r, err := xmpptest.DialRaw(h.ctx(), addr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Write("GET /.well-known/host-meta HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Until(h.ctx(), "</XRD>\n"); err != nil {
				t.Fatal(err)
			}
			for _, piece := range pieces {
				if err := r.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range []string{"HTTP/1.1 101 ", "\r\n\r\n", "<open xmlns='" + nsFraming + "'", "</stream:features>"} {
				if _, err := r.Until(h.ctx(), want); err != nil {
					t.Error(err)
				}
			}
			_ = r.Close() // ignored: it is done
		}
	}
}

// TestDiscovery: host-meta in both forms tells where to connect (XEP-0156 §4).
func TestDiscovery(t *testing.T) {
	fixed := &url.URL{Scheme: "https", Host: "chat.example:8443"}
	for _, c := range []struct {
		name         string
		url          *url.URL
		host, remote string
		tls          *tls.ConnectionState
		proto        string
		want         string
	}{
		{"asked without TLS on this machine", nil, "127.0.0.1:8080", "127.0.0.1:5", nil, "", "ws://127.0.0.1:8080" + Path},
		{"asked with TLS", nil, home, "192.0.2.1:5", &tls.ConnectionState{}, "", "wss://" + home + Path},
		{"asked through a proxy", nil, home, "127.0.0.1:5", nil, "https", "wss://" + home + Path},
		{"asked from elsewhere without TLS", nil, home, "192.0.2.1:5", nil, "", ""},
		{"asked with markup", nil, "a'/><b", "127.0.0.1:5", nil, "", ""},
		{"asked with a quote", nil, `a"`, "127.0.0.1:5", nil, "", ""},
		{"configured", fixed, "127.0.0.1:8080", "127.0.0.1:5", nil, "", "wss://chat.example:8443" + Path},
	} {
		xrd, jrd := New(Config{Domain: home, URL: c.url}).Discovery()
		r := from(c.remote, strings.Replace(c.remote, ":5", ":80", 1), c.tls, map[string]string{"X-Forwarded-Proto": c.proto})
		r.Host = c.host
		type link struct {
			Rel  string `xml:"rel,attr"`
			Href string `xml:"href,attr"`
		}
		var x struct {
			XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
			Links   []link   `xml:"Link"`
		}
		var j struct{ Links []link }
		for _, form := range []struct {
			handler http.HandlerFunc
			kind    string
			read    func([]byte) error
		}{
			{xrd, "application/xrd+xml", func(b []byte) error { return xml.Unmarshal(b, &x) }},
			{jrd, "application/json", func(b []byte) error { return json.Unmarshal(b, &j) }},
		} {
			w := httptest.NewRecorder()
			form.handler(w, r)
			if err := form.read(w.Body.Bytes()); err != nil || w.Header().Get("Content-Type") != form.kind || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %v %v\n%s", c.name, err, w.Header(), w.Body)
			}
		}
		for _, links := range [][]link{x.Links, j.Links} {
			switch {
			case c.want == "" && len(links) == 0:
			case len(links) == 1 && links[0] == (link{"urn:xmpp:alt-connections:websocket", c.want}):
			default:
				t.Errorf("%s: %+v, want %s", c.name, links, c.want)
			}
		}
	}
}
