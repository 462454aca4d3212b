// Package time tells the server's clock and its zone (XEP-0202 2.0, in the
// formats of XEP-0082) at its own domain and at the component domains that do
// not answer themselves.
package time

import (
	"context"
	stdtime "time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const space = "urn:xmpp:time"

// Module is XEP-0202.
type Module struct{ now func() stdtime.Time }

// New makes the module; now is the clock in the local zone, nil means the system's.
func New(now func() stdtime.Time) *Module {
	if now == nil {
		now = stdtime.Now
	}
	return &Module{now: now}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "time", Specs: []xmpp.Spec{{Doc: "XEP-0202", Version: "2.0", Title: "Entity Time"}}}
}

// Load registers the answer.
func (m *Module) Load(h xmpp.Host) error {
	h.IQ(xmpp.ToDomain, stanza.Get, stanza.Name{Space: space, Local: "time"}, m.tell)
	h.Feature(xmpp.ToDomain, space)
	return nil
}

func (m *Module) tell(context.Context, *xmpp.IQ) (string, error) {
	t := m.now()
	var w xmlstream.Writer
	w.Start(space, "time").
		Leaf("", "tzo", t.Format("-07:00")).
		Leaf("", "utc", t.UTC().Format("2006-01-02T15:04:05Z")).
		End()
	return w.String(), nil
}
