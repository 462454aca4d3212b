// Package ping answers XMPP pings (XEP-0199 2.0.1) sent to the server, to a
// component domain that does not answer itself, and to an account by those
// who may see its presence. Pings that the server sends to idle clients are
// the stream's business (xmpp/c2s), and pings between clients pass through.
package ping

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

const space = "urn:xmpp:ping"

// Module is XEP-0199.
type Module struct{ subs xmpp.Subscriptions }

// New makes the module. subs says who may ping an account; without it (nil)
// only the account itself.
func New(subs xmpp.Subscriptions) *Module { return &Module{subs: subs} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "ping", Specs: []xmpp.Spec{{Doc: "XEP-0199", Version: "2.0.1", Title: "XMPP Ping"}}}
}

// Load registers the answers.
func (m *Module) Load(h xmpp.Host) error {
	name := stanza.Name{Space: space, Local: "ping"}
	pong := func(context.Context, *xmpp.IQ) (string, error) { return "", nil }
	h.IQ(xmpp.ToDomain, stanza.Get, name, pong)
	h.IQ(xmpp.ToSelf, stanza.Get, name, pong)
	h.IQ(xmpp.ToBare, stanza.Get, name, m.account)
	h.Feature(xmpp.ToDomain, space)
	h.Feature(xmpp.ToBare, space)
	return nil
}

// account answers for an account (XEP-0199 §4.2). A stranger hears what he
// would hear if it did not exist.
func (m *Module) account(_ context.Context, iq *xmpp.IQ) (string, error) {
	if iq.Exists && m.subs != nil && m.subs.SeesPresence(iq.To.Bare(), iq.From.Bare()) {
		return "", nil
	}
	return "", stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address answers this request.")
}
