package pep

import (
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable (XEP-0227 §4.10).
func (m *Module) Export(account jid.JID, write func(string) error) error {
	return m.Service.Export(account, write)
}

// Import implements xmpp.Portable.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	return m.Service.Import(i, el)
}
