// Package version tells the name and version of the server (XEP-0092 1.1) at
// its own domain and at the component domains that do not answer themselves.
// The operating system is never told.
package version

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const space = "jabber:iq:version"

// Module is XEP-0092.
type Module struct{ version string }

// New makes the module; version is the program's own.
func New(version string) *Module { return &Module{version: version} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "version", Specs: []xmpp.Spec{{Doc: "XEP-0092", Version: "1.1", Title: "Software Version"}}}
}

// Load registers the answer.
func (m *Module) Load(h xmpp.Host) error {
	var w xmlstream.Writer
	w.Start(space, "query").Leaf("", "name", "doorway").Leaf("", "version", m.version).End()
	answer := w.String()
	h.IQ(xmpp.ToDomain, stanza.Get, stanza.Name{Space: space, Local: "query"},
		func(context.Context, *xmpp.IQ) (string, error) { return answer, nil })
	h.Feature(xmpp.ToDomain, space)
	return nil
}
