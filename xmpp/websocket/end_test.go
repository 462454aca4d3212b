package websocket

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/c2s"
	"doorway/xmpp/xmpptest"
)

const closing = "<close xmlns='" + nsFraming + "'/>"

// TestClose: the closing handshakes, of the stream and of the WebSocket (RFC
// 7395 §3.6, RFC 6455 §7), with TLS and without.
func TestClose(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			h := open(t, nil)
			t.Run("by the client", func(t *testing.T) {
				h := *h
				h.t = t
				_, s := h.login("alice", "", secure)
				h.say(s, "<presence xmlns='jabber:client' to='nobody@"+home+"' type='probe'/>", closing)
				for h.hear(s) != closing {
				}
				h.parted(s, normal)
			})
			t.Run("before authentication", func(t *testing.T) {
				h := *h
				h.t = t
				s := h.socket(secure)
				h.say(s, opening)
				h.hear(s, "<open ")
				h.hear(s, "<stream:features ")
				h.say(s, closing)
				h.hear(s, closing)
				h.parted(s, normal)
			})
			t.Run("of the WebSocket alone", func(t *testing.T) {
				h := *h
				h.t = t
				_, s := h.login("alice", "", secure)
				if err := s.Write(xmpptest.Frame(opClose, "\x03\xe9going away")); err != nil {
					t.Fatal(err)
				}
				op, payload, err := s.Next(h.ctx())
				if err != nil || op != opClose || payload != "\x03\xe8" {
					t.Fatalf("%d %q %v, want a close frame", op, payload, err)
				}
				if err := xmpptest.Closed(h.ctx(), s.Conn()); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("by the server", func(t *testing.T) {
				h := *h
				h.t = t
				_, s := h.login("alice", "", secure)
				early := h.socket(secure)
				eventually(t, "the second is not served", func() bool { return h.clients.Connections() == 2 })
				h.stopSockets()
				h.hear(s, "<stream:error xmlns:stream='"+nsStream+"'><system-shutdown ")
				h.hear(s, closing)
				h.parted(s, normal)
				h.hear(early, "<open ")
				h.hear(early, "<system-shutdown ")
				h.hear(early, closing)
				h.parted(early, normal)
			})
		})
	}
}

// enable has a stream acknowledged, and returns its id.
func (h *house) enable(c *xmpptest.Client) string {
	h.t.Helper()
	if err := c.Send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"); err != nil {
		h.t.Fatal(err)
	}
	el, err := c.Element(h.ctx())
	if err != nil || el.Name.Local != "enabled" || el.Attr("id") == "" {
		h.t.Fatalf("%+v %v", el, err)
	}
	return el.Attr("id")
}

// resume goes on with a stream on an authenticated client.
func (h *house) resume(c *xmpptest.Client, id string, n int) {
	h.t.Helper()
	if err := c.Send(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", id, n)); err != nil {
		h.t.Fatal(err)
	}
	el, err := c.Element(h.ctx())
	if err != nil || el.Name.Local != "resumed" {
		h.t.Fatalf("%+v %v", el, err)
	}
}

// TestResume: a stream goes on (XEP-0198 §5) on another WebSocket, from a
// WebSocket on TCP and from TCP on a WebSocket, however the first was lost.
func TestResume(t *testing.T) {
	lost := map[string]func(c *xmpptest.Client, s *xmpptest.Socket) error{
		"cut":                       func(c *xmpptest.Client, s *xmpptest.Socket) error { return c.Kill() },
		"closed but not its stream": func(_ *xmpptest.Client, s *xmpptest.Socket) error { return s.Write(xmpptest.Frame(opClose, "")) },
		"not lost":                  func(*xmpptest.Client, *xmpptest.Socket) error { return nil },
	}
	for how, lose := range lost {
		for _, way := range []string{"ws to ws", "wss to wss", "ws to tcp", "tcp to ws"} {
			if how[0] == 'c' && how[1] == 'l' && strings.HasPrefix(way, "tcp") {
				continue
			}
			t.Run(way+", "+how, func(t *testing.T) {
				h := open(t, nil)
				from, to, _ := strings.Cut(way, " to ")
				bob := h.overTCP("bob", "desk", nil)
				var alice *xmpptest.Client
				var s *xmpptest.Socket
				if from == "tcp" {
					alice = h.overTCP("alice", "phone", nil)
				} else {
					alice, s = h.login("alice", "phone", from == "wss")
				}
				full := alice.JID()
				id := h.enable(alice)
				h.chat(bob, alice, "one")
				if err := lose(alice, s); err != nil {
					t.Fatal(err)
				}
				for _, body := range []string{"two", "three <&>"} {
					escaped := strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(body)
					if err := bob.Send("<message type='chat' to='" + full.String() + "'><body>" + escaped + "</body></message>"); err != nil {
						t.Fatal(err)
					}
				}
				var again *xmpptest.Client
				if to == "tcp" {
					again = h.overTCP("alice", "", func(o *xmpptest.Options) { o.NoBind = true })
				} else {
					next := h.socket(to == "wss")
					o := h.options("alice", "")
					o.NoBind = true
					o.Channel, _ = next.Conn().(*tls.Conn)
					var err error
					if again, err = xmpptest.New(h.ctx(), next.Stream(), o); err != nil {
						t.Fatal(err)
					}
				}
				h.resume(again, id, 1)
				for _, body := range []string{"two", "three <&>"} {
					got, err := again.Next(h.ctx())
					if err != nil || got.Body() != body {
						t.Fatalf("got %v, %v; want %s", got, err, body)
					}
				}
				if err := again.Send("<message type='chat' to='" + bob.JID().String() + "'><body>back</body></message>"); err != nil {
					t.Fatal(err)
				}
				got, err := bob.Next(h.ctx())
				if err != nil || got.Body() != "back" || got.From != full {
					t.Fatalf("got %v, %v", got, err)
				}
			})
		}
	}
}

// TestSilentResumable: a browser that is gone without a word is noticed by its
// silence, and its stream waits for it.
func TestSilentResumable(t *testing.T) {
	h := open(t, func(c *c2s.Config, _ *Config) {
		c.Limits.Idle, c.Limits.Answer = 100*time.Millisecond, time.Second
	})
	alice, s := h.login("alice", "phone", false)
	id := h.enable(alice)
	for {
		op, text, err := s.Next(h.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if op == opClose {
			break
		}
		if op == opText && strings.Contains(text, "<stream:error ") && !strings.Contains(text, "<connection-timeout ") {
			t.Fatalf("heard %s", text)
		}
	}
	o := h.options("alice", "")
	o.NoBind = true
	again, err := xmpptest.New(h.ctx(), h.socket(false).Stream(), o)
	if err != nil {
		t.Fatal(err)
	}
	h.resume(again, id, 0)
}

// TestSlow: an element that does not end ends the stream; a ping that came in
// halves is none.
func TestSlow(t *testing.T) {
	h := open(t, func(c *c2s.Config, _ *Config) {
		c.Limits.Element, c.Limits.Idle = 200*time.Millisecond, time.Second
	})
	_, s := h.login("alice", "", true)
	ping := xmpptest.Frame(opPing, "halves")
	for _, half := range [][]byte{ping[:4], ping[4:]} {
		if err := s.Write(half); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []byte{opPong, opPing} {
		if op, payload, err := s.Next(h.ctx()); op != want || err != nil {
			t.Fatalf("%d %q %v, want a frame of kind %d", op, payload, err, want)
		}
	}
	if err := s.Write(xmpptest.Frame(opText|0x80, "<message xmlns='jabber:client'>")); err != nil {
		t.Fatal(err)
	}
	h.hear(s, "<stream:error ", "<connection-timeout ")
	h.hear(s, closing)
	h.parted(s, normal)
}

// TestFlood: a client that pings and does not read is put out, as one is that
// sends too much of anything.
func TestFlood(t *testing.T) {
	h := open(t, func(c *c2s.Config, _ *Config) { c.Limits.Burst, c.Limits.ByteRate = 10*time.Millisecond, 64<<10 })
	_, s := h.login("alice", "", false)
	gone := make(chan struct{})
	go func() { // owner: this test, which waits for gone
		defer close(gone)
		ping := xmpptest.Frame(opPing, strings.Repeat("x", 125))
		for s.Write(ping) == nil {
		}
	}()
	h.hears(s, "<policy-violation ")
	s.Conn().Close()
	<-gone
}
