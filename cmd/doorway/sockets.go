package main

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"doorway/xmpp/websocket"
)

// openSockets makes the door for chat clients in browsers. It runs before the
// listeners, so that it ends its streams when no request comes any more.
func (s *server) openSockets() {
	c := websocket.Config{Clients: s.clients, Domain: s.cfg.Domain}
	if s.cfg.HTTP.URL != "" {
		c.URL, _ = url.Parse(s.cfg.HTTP.URL) // ignored: the configuration has been checked
	}
	s.sockets = websocket.New(c)
	s.group.Add(task("WebSocket", s.sockets.Run))
}

// socketPages are the addresses that browsers need.
func (s *server) socketPages() map[string]http.Handler {
	xrd, jrd := s.sockets.Discovery()
	return map[string]http.Handler{
		websocket.Path:                s.sockets,
		"/.well-known/host-meta":      xrd,
		"/.well-known/host-meta.json": jrd,
	}
}

// serveHTTPS is the HTTP server under TLS.
func (s *server) serveHTTPS(ctx context.Context, l net.Listener) error {
	return s.web.Serve(ctx, s.clients.Secured(l, "http/1.1"))
}
