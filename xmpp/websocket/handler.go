package websocket

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"doorway/xmpp/c2s"
)

// Path is where clients are expected to look for us, as other servers have it.
const Path = "/xmpp-websocket"

// subprotocol is RFC 7395 §3.1's.
const subprotocol = "xmpp"

// Config is what a Handler is made of.
type Config struct {
	Clients *c2s.Server
	Domain  string // canonical
	// URL is the address of the box's HTTP as others see it; nil: what they ask for.
	URL *url.URL
}

// Handler answers at Path. Make it with New; it serves while Run runs. Safe
// for concurrent use.
type Handler struct {
	c       Config
	links   chan c2s.Link
	serving atomic.Bool
}

// New makes a Handler.
func New(c Config) *Handler { return &Handler{c: c, links: make(chan c2s.Link)} }

// Run serves the clients that have come by ServeHTTP until ctx ends, then ends
// their streams with system-shutdown and waits for them.
func (h *Handler) Run(ctx context.Context) error {
	h.serving.Store(true)
	defer h.serving.Store(false)
	h.c.Clients.ServeLinks(ctx, h.links)
	return nil
}

// refusal is an answer to a handshake that is not taken up.
type refusal struct {
	status int
	text   string
}

// ServeHTTP takes a WebSocket handshake up (RFC 6455 §4.2) and returns at once:
// the connection goes on without it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if no := h.check(r); no != nil {
		if no.status == http.StatusUpgradeRequired {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Sec-WebSocket-Version", "13")
		}
		http.Error(w, no.text, no.status)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "This connection cannot become a WebSocket.", http.StatusInternalServerError)
		return
	}
	early, err := greet(conn, buffered, r.Header.Get("Sec-WebSocket-Key"))
	if err != nil {
		_ = conn.Close() // ignored: the client went away
		return
	}
	h.handOver(newLink(h.c.Clients.NewCarrier(conn, clientOf(r), local(r)), early))
}

// handOver gives a connection to Run, or closes it where Run has ended meanwhile.
func (h *Handler) handOver(l *link) {
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for h.serving.Load() {
		select {
		case h.links <- l:
			return
		case <-look.C:
		}
	}
	_, _ = l.Write(closeFrame(nil, goingAway)) // ignored: nothing was said yet
	_ = l.Close()                              // ignored: likewise
}

// greetWait bounds how long the answer to a handshake takes.
const greetWait = 5 * time.Second

// check says why a handshake is refused, nil when it is not.
func (h *Handler) check(r *http.Request) *refusal {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case !names(r.Header, "Connection", "upgrade") || !names(r.Header, "Upgrade", "websocket") || !r.ProtoAtLeast(1, 1):
		return &refusal{http.StatusUpgradeRequired, "Chat clients connect here by WebSocket (RFC 7395)."}
	case r.Header.Get("Sec-WebSocket-Version") != "13": // RFC 6455 §4.4
		return &refusal{http.StatusUpgradeRequired, "Only version 13 of WebSocket is spoken here."}
	case err != nil || len(key) != 16:
		return &refusal{http.StatusBadRequest, "The Sec-WebSocket-Key is not 16 bytes in base64."}
	case !names(r.Header, "Sec-WebSocket-Protocol", subprotocol):
		return &refusal{http.StatusBadRequest, "The subprotocol of this address is xmpp (RFC 7395)."}
	case !h.welcome(r):
		return &refusal{http.StatusForbidden, "Pages of that origin may not connect here. Serve the page from the same host, or from the XMPP domain."}
	case !h.safe(r):
		return &refusal{http.StatusForbidden, "Passwords do not travel in the clear: connect with TLS (wss)."}
	case !h.serving.Load():
		return &refusal{http.StatusServiceUnavailable, "doorway is starting or stopping."}
	}
	return nil
}

// names reports that a header of comma-separated tokens has one of them. A
// subprotocol is compared exactly, as its own token is in lower case.
func names(h http.Header, key, token string) bool {
	for _, line := range h.Values(key) {
		for _, v := range strings.Split(line, ",") {
			v = strings.TrimSpace(v)
			if v == token || key != "Sec-WebSocket-Protocol" && strings.EqualFold(v, token) {
				return true
			}
		}
	}
	return false
}

// welcome is the policy on origins (RFC 6455 §10.2). Programs send none. A page
// in a browser has to come from the host that it connects to (any port), from
// the host of Config.URL, from the XMPP domain or from below it. Nothing here
// depends on cookies, so that a page of another origin could only guess
// passwords; from the inside of the office, though.
func (h *Handler) welcome(r *http.Request) bool {
	list := r.Header.Values("Origin")
	if len(list) == 0 {
		return true
	}
	o, err := url.Parse(list[0])
	if len(list) > 1 || err != nil || o.Scheme != "https" && o.Scheme != "http" {
		return false
	}
	from := strings.ToLower(o.Hostname())
	same := hostname(r.Host) == from || h.c.URL != nil && strings.ToLower(h.c.URL.Hostname()) == from
	return from != "" && (same || from == h.c.Domain || strings.HasSuffix(from, "."+h.c.Domain))
}

func hostname(hostport string) string {
	u := url.URL{Host: hostport}
	return strings.ToLower(u.Hostname())
}

// safe: with TLS, or without leaving this machine. A proxy that says that its
// own client has no TLS is believed.
func (h *Handler) safe(r *http.Request) bool {
	switch {
	case r.TLS != nil:
		return true
	case !local(r):
		return false
	}
	proto := r.Header.Get("X-Forwarded-Proto")
	a, err := netip.ParseAddr(clientOf(r))
	return proto == "" || proto == "https" || proto == "wss" || err == nil && a.IsLoopback()
}

// local reports that both ends of the connection are on this machine.
func local(r *http.Request) bool {
	server, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && loopback(server.String()) && loopback(r.RemoteAddr)
}

func loopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// clientOf is the client's IP address: what a proxy on this machine says, or
// who has connected.
func clientOf(r *http.Request) string {
	if local(r) {
		list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if a, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1])); err == nil {
			return a.Unmap().String()
		}
	}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().String()
	}
	return r.RemoteAddr
}

// greet answers the handshake, and returns what the client has sent behind it.
func greet(c net.Conn, b *bufio.ReadWriter, key string) (early []byte, err error) {
	if err := c.SetDeadline(time.Now().Add(greetWait)); err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §1.3
	fmt.Fprintf(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]), subprotocol)
	if err := b.Flush(); err != nil {
		return nil, err
	}
	if n := b.Reader.Buffered(); n > 0 {
		if early, err = b.Reader.Peek(n); err != nil {
			return nil, err
		}
	}
	return early, c.SetDeadline(time.Time{})
}
