package roster

import "doorway/xmpp/jid"

// Groups returns the names of the groups in which user's roster shows contact,
// the user's own and shared ones; none for nobody's roster. The slice is shared
// and must not be changed.
func (m *Module) Groups(user, contact jid.JID) []string {
	user, contact = user.Bare(), contact.Bare()
	a := m.view(user)
	if a == nil {
		return nil
	}
	it, s := find(a.snapshot(), contact), m.shared.Item(user, contact)
	if sum := a.sum(it, s); sum != nil {
		return sum.groups
	}
	if s != nil {
		return s.Groups
	}
	return nil
}
