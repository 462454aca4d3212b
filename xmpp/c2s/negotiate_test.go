package c2s

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestStreamErrors opens streams wrongly; the answer is always our own header,
// then the error, then the end (RFC 6120 §4.9.1).
func TestStreamErrors(t *testing.T) {
	h := open(t, nil, requireTLS)
	good := header
	for _, c := range []struct{ name, in, want string }{
		{"another host", strings.Replace(good, home, "other.example", 1), "host-unknown"},
		{"a person as host", strings.Replace(good, home, "alice@"+home, 1), "host-unknown"},
		{"no host", strings.Replace(good, "to='"+home+"'", "", 1), "host-unknown"},
		{"stream namespace", strings.Replace(good, nsStream, "http://etherx.jabber.org/brook", 1), "invalid-namespace"},
		{"content namespace", strings.Replace(good, "jabber:client", "jabber:server", 1), "invalid-namespace"},
		{"no content namespace", strings.Replace(good, "xmlns='jabber:client'", "", 1), "invalid-namespace"},
		{"prefix", strings.NewReplacer("stream:stream", "s:stream", "xmlns:stream", "xmlns:s").Replace(good), "bad-namespace-prefix"},
		{"root element", strings.Replace(good, "stream:stream", "stream:river", 1), "bad-format"},
		{"no version", strings.Replace(good, " version='1.0'>", ">", 1), "unsupported-version"},
		{"old version", strings.Replace(good, "'1.0'>", "'0.9'>", 1), "unsupported-version"},
		{"odd version", strings.Replace(good, "'1.0'>", "'one'>", 1), "unsupported-version"},
		{"encoding", strings.Replace(good, "<?xml version='1.0'?>", "<?xml version='1.0' encoding='iso-8859-1'?>", 1), "unsupported-encoding"},
		{"not XML", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"},
		{"broken XML", strings.Replace(good, "xmlns=", "xmlns", 1), "not-well-formed"},
		{"document type", "<?xml version='1.0'?><!DOCTYPE stream [<!ENTITY a 'b'>]>" + good, "restricted-xml"},
		{"comment", good + "<!-- hello -->", "restricted-xml"},
		{"instruction", good + "<?php ?>", "restricted-xml"},
		{"entity", good + "<a>&lol;</a>", "restricted-xml"},
		{"half a character", good + "<a>\xc3</a>", "unsupported-encoding"},
		{"unknown element", good + "<hello xmlns='urn:example:hello'/>", "policy-violation"},
		{"stanza before login", good + "<message to='bob@" + home + "'/>", "not-authorized"},
		{"acks before login", good + "<enable xmlns='" + nsSM + "'/>", "not-authorized"},
		{"too large", good + "<a>" + strings.Repeat("x", 11<<10) + "</a>", "policy-violation"},
		{"endless start tag", good + "<" + strings.Repeat("x", 11<<10), "policy-violation"},
		{"too deep", good + strings.Repeat("<a>", 10_000), "policy-violation"},
		{"many attributes", good + "<a" + attributes(1000) + "/>", "policy-violation"},
		{"plain close", good + "</stream:stream>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			p := h.dial()
			_, _ = io.WriteString(p.conn, c.in) // ignored: the server may be done before all is sent
			p.expect("<stream:stream", "from='"+home+"'", "id='")
			s := p.next()
			if strings.HasPrefix(s, "<stream:features") {
				s = p.next()
			}
			if c.want != "" {
				if !strings.Contains(s, "<"+c.want+" xmlns=") {
					t.Fatalf("got %s, want %s", s, c.want)
				}
				s = p.next()
			}
			if s != "</stream:stream>" {
				t.Fatalf("no closing tag but %s", s)
			}
			if s := p.next(); s != "EOF" {
				t.Fatalf("no end but %s", s)
			}
		})
	}
	h.t = t
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d='1'", i)
	}
	return b.String()
}

func TestStreamIDsAreNew(t *testing.T) {
	h := open(t, nil, loopback)
	seen := map[string]bool{}
	for range 5 {
		p := h.dial()
		p.send(header)
		_, s, _ := strings.Cut(p.next(), "id='")
		id, _, _ := strings.Cut(s, "'")
		if len(id) < 16 || seen[id] {
			t.Fatalf("stream id %q", id)
		}
		seen[id] = true
		p.conn.Close()
	}
}

func TestHeaderAnswersTheClientsName(t *testing.T) {
	h := open(t, nil, loopback)
	p := h.dial()
	p.send(strings.Replace(header, "to=", "from='alice@"+home+"' to=", 1))
	p.expect("<stream:stream", "to='alice@"+home+"'")
}

func TestStartTLSIsTheOnlyFeature(t *testing.T) {
	h := open(t, nil, requireTLS)
	p := h.dial()
	if f := p.open(); f != "<stream:features><starttls xmlns='"+nsTLS+"'><required/></starttls></stream:features>" {
		t.Errorf("features before TLS: %s", f)
	}
	p.send(plainAuth("alice", password))
	p.expect("<failure", "<encryption-required/>")
	p.startTLS(h.tlsConfig())
	f := p.open()
	if strings.Contains(f, "starttls") || !strings.Contains(f, "SCRAM-SHA-256-PLUS") {
		t.Errorf("features after TLS: %s", f)
	}
	p.send("<starttls xmlns='" + nsTLS + "'/>")
	p.expect("<failure xmlns='" + nsTLS + "'/>")
	p.expectEnd("")
}

// TestPipelinedStartTLS injects a login ahead of the handshake, as in
// CVE-2011-0411: it must be gone, not be taken for the client's.
func TestPipelinedStartTLS(t *testing.T) {
	h := open(t, nil, requireTLS)
	p := h.dial()
	p.open()
	p.send("<starttls xmlns='" + nsTLS + "'/>" + header + plainAuth("bob", password))
	p.expect("<proceed")
	p.upgrade(h.tlsConfig())
	p.open() // nothing of it was answered
	p.scram("alice")
	p.bind("desk")
	if p.full != "alice@"+home+"/desk" {
		t.Errorf("bound as %s", p.full)
	}
}

// TestLateInjection sends the same after the server has gone over to TLS.
func TestLateInjection(t *testing.T) {
	h := open(t, nil, requireTLS)
	p := h.dial()
	p.open()
	p.send("<starttls xmlns='" + nsTLS + "'/>")
	p.expect("<proceed")
	p.send(header)
	if n, s := p.drain(); strings.Contains(s, "stream") {
		t.Errorf("%d bytes in answer to plaintext after proceed: %q", n, s)
	}
}

func TestTLSVersionsAndALPN(t *testing.T) {
	h := open(t, nil, requireTLS)
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
		proto  string
	}{
		{"1.3 with ALPN", func(c *tls.Config) {}, true, alpn},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, true, ""},
		{"1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true, alpn},
		{"1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false, ""},
		{"other protocol", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false, ""},
	} {
		conf := h.tlsConfig()
		c.change(conf)
		conn, err := tls.Dial("tcp", h.direct, conf)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != c.proto {
			t.Errorf("%s: protocol %q", c.name, got)
		}
		conn.Close()
	}
}

func TestCertificateIsReloaded(t *testing.T) {
	h := open(t, nil, requireTLS)
	h.dialTLS(nil).open()
	cert, roots := selfSigned(t)
	h.setCert(cert, roots)
	h.dialTLS(nil).open() // would fail with the old certificate
}

func TestNegotiationHasOneDeadline(t *testing.T) {
	h := open(t, nil, requireTLS, limits(func(l *Limits) { l.Negotiation, l.Closing = time.Second, 200*time.Millisecond }))
	p := h.dial()
	p.open()
	p.expectEnd("connection-timeout")

	// One byte at a time does not extend it.
	began := time.Now()
	p = h.dial()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(header) {
		<-tick.C
		if _, err := io.WriteString(p.conn, header[i:i+1]); err != nil {
			break
		}
		if time.Since(began) > patience {
			t.Fatal("a trickling client is not cut")
		}
	}
	if d := time.Since(began); d < time.Second {
		t.Errorf("cut after %v", d)
	}

	// Nor does a TLS handshake that never ends.
	d := h.dialTCP(h.direct)
	d.send("\x16\x03\x01")
	if n, s := d.drain(); n != 0 {
		t.Errorf("answer to a stuck handshake: %q", s)
	}
}

func TestUnauthenticatedConnectionsAreLimited(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) { l.PerAddress = 2 }))
	a, b := h.dial(), h.dial()
	a.open()
	b.open()
	if n, _ := h.dial().drain(); n != 0 {
		t.Error("a third connection was served")
	}
	a.scram("alice")
	h.dial().open() // the place of one that has logged in is free again
	b.conn.Close()
	eventually(t, "the place of one that has gone is not free", func() bool {
		h.srv.mu.Lock()
		defer h.srv.mu.Unlock()
		return h.srv.pending == 1
	})
}

func TestLimitKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "@": "@",
	} {
		if got := limitKey(in); got != want {
			t.Errorf("limitKey(%q) = %q, want %q", in, got, want)
		}
	}
}
