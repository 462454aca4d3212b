package mam

import (
	"doorway/xmpp/archive"
	"doorway/xmpp/stanza"
)

// storable says which messages of an account are archived (XEP-0313 §6.1.1).
func storable(st *stanza.Stanza) bool {
	switch st.Type {
	case "headline", "groupchat", stanza.TypeError:
		return false
	}
	return archive.Storable(st)
}
