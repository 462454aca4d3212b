// Package websocket carries XMPP over WebSocket (RFC 7395), for clients in
// browsers: an http.Handler that takes connections over from net/http and gives
// their frames to c2s, which negotiates, resumes and acknowledges as it does on
// TCP. Beside it stands the discovery of the address over HTTP (XEP-0156 1.4.0).
//
// The framing (RFC 6455, version 13) is a server's: strict, bounded by the
// limits of the stream, without extensions. Compression is left out: with
// secrets and foreign text in one stream it tells lengths to who listens, and
// it costs each client its window in memory. Left out too: BOSH (XEP-0124),
// HTTP/2 (RFC 8441), see-other-uri.
//
// Handler.Run owns all goroutines, those of c2s. A connection that waits for
// its client holds no buffer.
package websocket

import "doorway/xmpp"

// Specs is what the package implements.
func Specs() []xmpp.Spec {
	return []xmpp.Spec{
		{Doc: "RFC 7395", Title: "XMPP over WebSocket"},
		{Doc: "XEP-0156", Version: "1.4.0", Title: "Discovering Alternative XMPP Connection Methods (HTTP)"},
	}
}
