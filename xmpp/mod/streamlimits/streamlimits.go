// Package streamlimits tells clients what a stream bears, so that they need not
// find out by losing it (XEP-0478 0.1): the largest element the server accepts,
// and after how much silence it looks whether the client is still there.
//
// The values are those the listener enforces, before and after authentication;
// the package enforces nothing itself and starts no goroutine.
package streamlimits

import (
	"strconv"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const ns = "urn:xmpp:stream-limits:0"

// Limits is what a stream is held to.
type Limits struct {
	PreAuth  int           // bytes of one element before authentication
	PostAuth int           // and after it
	Idle     time.Duration // silence before a sign of life is asked for; 0 tells nothing of it
}

// Module is XEP-0478.
type Module struct{ limits Limits }

var _ xmpp.Module = (*Module)(nil)

// New makes the module; l is what the listeners enforce.
func New(l Limits) *Module { return &Module{l} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "streamlimits", Specs: []xmpp.Spec{{Doc: "XEP-0478", Version: "0.1.0", Title: "Stream Limits Advertisement"}}}
}

// Load registers the stream feature.
func (m *Module) Load(h xmpp.Host) error {
	for phase, bytes := range map[xmpp.Phase]int{xmpp.PreAuth: m.limits.PreAuth, xmpp.PostAuth: m.limits.PostAuth} {
		xml := m.xml(bytes)
		h.StreamFeature(xmpp.StreamFeature{
			Name: stanza.Name{Space: ns, Local: "limits"}, Phase: phase,
			Offer: func(xmpp.Stream) string { return xml },
		})
	}
	return nil
}

func (m *Module) xml(bytes int) string {
	var w xmlstream.Writer
	w.Start(ns, "limits").Leaf("", "max-bytes", strconv.Itoa(bytes))
	if s := int64(m.limits.Idle / time.Second); s > 0 {
		w.Leaf("", "idle-seconds", strconv.FormatInt(s, 10))
	}
	return w.End().String()
}
