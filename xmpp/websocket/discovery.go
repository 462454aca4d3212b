package websocket

import (
	"net/http"
	"strings"

	"doorway/xmpp/xmlstream"
)

// rel marks a link to a WebSocket address (XEP-0156 §3).
const rel = "urn:xmpp:alt-connections:websocket"

// Discovery returns the handlers of /.well-known/host-meta (RFC 6415, XRD) and
// /.well-known/host-meta.json (JRD), which tell clients where Path is
// (XEP-0156 §4). Any page may read them.
func (h *Handler) Discovery() (xrd, jrd http.HandlerFunc) {
	xrd = func(w http.ResponseWriter, r *http.Request) {
		answer := "<?xml version='1.0' encoding='UTF-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>"
		if at := h.address(r); at != "" {
			answer += "<Link rel='" + rel + "' href='" + xmlstream.Escaped(at) + "'/>"
		}
		tell(w, "application/xrd+xml", answer+"</XRD>\n")
	}
	jrd = func(w http.ResponseWriter, r *http.Request) {
		links := ""
		if at := h.address(r); at != "" { // an address has nothing that JSON escapes
			links = `{"rel":"` + rel + `","href":"` + at + `"}`
		}
		tell(w, "application/json", `{"links":[`+links+"]}\n")
	}
	return xrd, jrd
}

func tell(w http.ResponseWriter, kind, answer string) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // XEP-0156 §4
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write([]byte(answer)) // ignored: the client went away
}

// address is where Path is: at Config.URL, or at the host that was asked. ""
// where it would be refused.
func (h *Handler) address(r *http.Request) string {
	switch {
	case h.c.URL != nil:
		return "wss://" + h.c.URL.Host + Path
	case !h.safe(r) || strings.ContainsFunc(r.Host, odd):
		return ""
	case r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https":
		return "wss://" + r.Host + Path
	}
	return "ws://" + r.Host + Path
}

// odd tells what is no part of a host and a port.
func odd(c rune) bool {
	return !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune(".-:[]_", c))
}
