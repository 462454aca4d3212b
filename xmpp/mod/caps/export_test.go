package caps

import "doorway/xmpp/stanza"

// Ver is the sha-1 verification string of the content of a disco#info answer.
func Ver(inner string) string {
	st, err := stanza.Parse("<iq><query xmlns='" + discoInfo + "'>" + inner + "</query></iq>")
	if err != nil {
		panic(err)
	}
	q, _ := st.Child(discoInfo, "query")
	return parse(&q).ver("sha-1")
}

// Bytes is what the cache holds.
func (m *Module) Bytes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}
