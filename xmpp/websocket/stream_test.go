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

// TestStream signs in over WebSocket, without TLS on this machine and with it,
// and talks to a client on TCP.
func TestStream(t *testing.T) {
	h := open(t, nil)
	bob := h.overTCP("bob", "desk", nil)
	for _, secure := range []bool{false, true} {
		alice, _ := h.login("alice", fmt.Sprintf("browser-%v", secure), secure)
		h.chat(alice, bob, "from the browser")
		h.chat(bob, alice, "to the browser")
		h.chat(alice, bob, strings.Repeat("a long one. ", 5000))
		h.chat(bob, alice, strings.Repeat("as long. ", 10000))
		if err := alice.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpening: what the first messages are, on the wire (RFC 7395 §3.4).
func TestOpening(t *testing.T) {
	h := open(t, nil)
	s := h.socket(false)
	h.say(s, opening)
	h.hear(s, "<open xmlns='"+nsFraming+"' id='", "from='"+home+"'", "version='1.0'", "xml:lang='en'/>")
	features := h.hear(s, "<stream:features xmlns:stream='"+nsStream+"'>", "<mechanism>SCRAM-SHA-256</mechanism>", "<mechanism>SCRAM-SHA-1</mechanism>")
	for _, not := range []string{"starttls", "PLAIN", "-PLUS", "channel-binding"} {
		if strings.Contains(features, not) {
			t.Errorf("without TLS the features are %s", features)
		}
	}
	h.say(s, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHg=</auth>")
	h.hear(s, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/>")
	h.say(s, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") // RFC 7395 §3.9
	h.hear(s, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	h.hear(s, "<close xmlns='"+nsFraming+"'/>")
	h.parted(s, normal)
}

// TestBindings: under our own TLS a client may bind SCRAM to the channel, and
// use PLAIN.
func TestBindings(t *testing.T) {
	h := open(t, nil)
	for _, c := range []struct {
		version   uint16
		mechanism string
		binding   string
	}{
		{tls.VersionTLS13, "SCRAM-SHA-256-PLUS", "tls-exporter"},
		{tls.VersionTLS13, "SCRAM-SHA-1-PLUS", "tls-server-end-point"},
		{tls.VersionTLS12, "SCRAM-SHA-256-PLUS", "tls-exporter"},
		{tls.VersionTLS12, "SCRAM-SHA-256-PLUS", "tls-server-end-point"},
		{tls.VersionTLS13, "PLAIN", ""},
	} {
		cfg := h.tls()
		cfg.MaxVersion = c.version
		s, err := xmpptest.DialSocket(h.ctx(), h.wss, Path, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := h.options("alice", "")
		o.Mechanism, o.Binding, o.Channel = c.mechanism, c.binding, s.Conn().(*tls.Conn)
		x, err := xmpptest.New(h.ctx(), s.Stream(), o)
		if err != nil {
			t.Errorf("%s with %s: %v", c.mechanism, c.binding, err)
			continue
		}
		_ = x.Close() // ignored: it has been seen to work
	}
}

// TestRefused: what a client may not send, and how the stream and the
// WebSocket end.
func TestRefused(t *testing.T) {
	h := open(t, nil)
	frame := func(op byte, s string) string { return string(xmpptest.Frame(op, s)) }
	for _, c := range []struct {
		name, in, condition string
		code                int
	}{
		{"a stream header", frame(opText, "<stream:stream xmlns='jabber:client' xmlns:stream='"+nsStream+"' to='"+home+"' version='1.0'/>"), "invalid-namespace", normal},
		{"open without a namespace", frame(opText, "<open to='"+home+"' version='1.0'/>"), "invalid-namespace", normal},
		{"another domain", frame(opText, "<open xmlns='"+nsFraming+"' to='elsewhere.example' version='1.0'/>"), "host-unknown", normal},
		{"no version", frame(opText, "<open xmlns='"+nsFraming+"' to='"+home+"'/>"), "unsupported-version", normal},
		{"a stanza first", frame(opText, "<presence xmlns='jabber:client'/>"), "invalid-namespace", normal},
		{"a stanza too early", frame(opText, opening) + frame(opText, "<presence xmlns='jabber:client'/>"), "not-authorized", normal},
		{"no XML", frame(opText, "hello"), "bad-format", normal},
		{"nothing", frame(opText, ""), "bad-format", normal},
		{"white space", frame(opText, " "), "bad-format", normal},
		{"white space in front", frame(opText, " "+opening), "bad-format", normal},
		{"a declaration", frame(opText, "<?xml version='1.0'?>"+opening), "restricted-xml", normal},
		{"half an element", frame(opText, "<open xmlns='"+nsFraming+"' to='"), "not-well-formed", normal},
		{"two elements", frame(opText, opening+opening), "not-well-formed", normal},
		{"a comment", frame(opText, "<!-- --> "+opening), "restricted-xml", normal},
		{"not UTF-8", frame(opText, "<open xmlns='"+nsFraming+"' to='\xff'/>"), "unsupported-encoding", normal},
		{"a prefix of before", frame(opText, opening) + frame(opText, "<stream:error/>"), "not-well-formed", normal},
		{"binary", frame(opBinary, opening), "policy-violation", badData},
		{"no mask", "\x81\x04<a/>", "bad-format", badProtocol},
		{"too large", frame(opText, strings.Repeat("<", 20_000)), "policy-violation", tooBig},
		{"too large in fragments", frame(opText|0x80, strings.Repeat("<a>", 3000)) + frame(opContinuation, strings.Repeat("<a>", 3000)), "policy-violation", tooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := *h
			h.t = t
			s := h.socket(false)
			if err := s.Write([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			h.hear(s, "<open xmlns='"+nsFraming+"'")
			text := h.hear(s)
			if strings.HasPrefix(text, "<stream:features ") {
				text = h.hear(s)
			}
			if !strings.HasPrefix(text, "<stream:error xmlns:stream='"+nsStream+"'><"+c.condition+" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>") {
				t.Fatalf("heard %s, want %s", text, c.condition)
			}
			h.hear(s, "<close xmlns='"+nsFraming+"'/>")
			h.parted(s, c.code)
		})
	}
}

// TestRefusedLater: the same on a bound stream.
func TestRefusedLater(t *testing.T) {
	h := open(t, nil)
	frame := func(op byte, s string) string { return string(xmpptest.Frame(op, s)) }
	for _, c := range []struct {
		name, in, condition string
		code                int
	}{
		{"no namespace", frame(opText, "<presence/>"), "invalid-namespace", normal},
		{"another open", frame(opText, opening), "unsupported-stanza-type", normal},
		{"two stanzas", frame(opText, "<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>"), "not-well-formed", normal},
		{"half a stanza", frame(opText, "<presence xmlns='jabber:client'>") + frame(opText, "</presence>"), "not-well-formed", normal},
		{"binary", frame(opBinary, "<presence xmlns='jabber:client'/>"), "policy-violation", badData},
		{"too large", frame(opText, "<message xmlns='jabber:client'>"+strings.Repeat("x", 256<<10)+"</message>"), "policy-violation", tooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := *h
			h.t = t
			_, s := h.login("alice", "", false)
			if err := s.Write([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			h.hear(s, "<stream:error xmlns:stream='"+nsStream+"'><"+c.condition+" ")
			h.hear(s, "<close xmlns='"+nsFraming+"'/>")
			h.parted(s, c.code)
		})
	}
}

// TestFragments: the frames of a message may be several, with a ping between
// them (RFC 6455 §5.4), which is answered before and after bind.
func TestFragments(t *testing.T) {
	h := open(t, nil)
	s := h.socket(false)
	if err := s.Write(xmpptest.Frame(opPing, "early")); err != nil {
		t.Fatal(err)
	}
	if op, payload, err := s.Next(h.ctx()); op != opPong || payload != "early" || err != nil {
		t.Fatalf("%d %q %v", op, payload, err)
	}
	for _, b := range [][]byte{xmpptest.Frame(opText|0x80, opening[:9]), xmpptest.Frame(opContinuation|0x80, ""), xmpptest.Frame(opPong, "x"), xmpptest.Frame(opContinuation, opening[9:])} {
		if err := s.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	h.hear(s, "<open ")

	alice, s := h.login("alice", "browser", false)
	stanza := "<message xmlns='jabber:client' to='" + alice.JID().String() + "'><body>in pieces</body></message>"
	for i := range stanza {
		op := byte(opContinuation | 0x80)
		switch i {
		case 0:
			op = opText | 0x80
		case len(stanza) - 1:
			op = opContinuation
		}
		if err := s.Write(append(xmpptest.Frame(opPing, fmt.Sprint(i)), xmpptest.Frame(op, stanza[i:i+1])...)); err != nil {
			t.Fatal(err)
		}
	}
	pongs := 0
	for {
		op, payload, err := s.Next(h.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if op == opPong && payload == fmt.Sprint(pongs) {
			pongs++
			continue
		}
		if op != opText || !strings.Contains(payload, "<body>in pieces</body>") {
			t.Fatalf("%d %q", op, payload)
		}
		break
	}
	if pongs == 0 {
		t.Error("pings in between are not answered")
	}
}

// TestKeepAlive: the server pings a silent client; one that answers stays, one
// that does not is put out.
func TestKeepAlive(t *testing.T) {
	h := open(t, func(c *c2s.Config, _ *Config) {
		c.Limits.Idle, c.Limits.Answer = 50*time.Millisecond, 2*time.Second
	})
	_, s := h.login("alice", "", true)
	for range 4 {
		op, payload, err := s.Next(h.ctx())
		if err != nil || op != opPing {
			t.Fatalf("%d %q %v, want a ping", op, payload, err)
		}
		if err := s.Write(xmpptest.Frame(opPong, payload)); err != nil {
			t.Fatal(err)
		}
	}
	h.hears(s, "<connection-timeout ")
}
