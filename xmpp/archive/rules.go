package archive

import (
	"strings"

	"doorway/xmpp/stanza"
)

const (
	hints    = "urn:xmpp:hints"         // XEP-0334
	receipts = "urn:xmpp:receipts"      // XEP-0184
	markers  = "urn:xmpp:chat-markers:" // XEP-0333
	eme      = "urn:xmpp:eme:0"         // XEP-0380
	openpgp  = "urn:xmpp:openpgp:0"     // XEP-0373
	omemo    = "urn:xmpp:omemo:"        // XEP-0384
	axolotl  = "eu.siacs.conversations.axolotl"
)

// Storable applies XEP-0313 §6.1.1 and the hints of XEP-0334 to what a message
// holds; which types are archived is the caller's to say.
func Storable(st *stanza.Stanza) bool {
	if st.Children == 0 {
		return false
	}
	store := false
	els := st.Elements()
	for i := range els {
		switch n := els[i].Name; n.Space {
		case "jabber:client":
			store = store || n.Local == "body"
		case hints:
			switch n.Local {
			case "no-store", "no-permanent-store":
				return false
			case "store":
				store = true
			}
		case receipts:
			store = store || n.Local == "received"
		case eme, openpgp:
			store = true
		case RetractSpace: // XEP-0424 §5: it must be archived
			store = store || n.Local == "retract"
		default:
			// A key exchange without a payload is of use to one device, now.
			store = store || strings.HasPrefix(n.Space, markers) && n.Local != "markable" ||
				n.Local == "encrypted" && (n.Space == axolotl || strings.HasPrefix(n.Space, omemo)) && els[i].Child("", "payload") != nil
		}
	}
	return store
}
