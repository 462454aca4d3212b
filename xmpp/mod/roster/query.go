package roster

import "doorway/xmpp/jid"

// Query returns the roster of a local account as a client of it would get it,
// groups included: a whole <query xmlns='jabber:iq:roster'/>. For
// administrators; the account's clients do not become interested by it.
func (m *Module) Query(user jid.JID) (string, error) {
	a, err := m.acquire(user.Bare())
	if err != nil {
		return "", err
	}
	defer m.release(a)
	a.mu.Lock()
	items, ver := a.items, a.version()
	a.mu.Unlock()
	return a.listXML(items, ver), nil
}
