package private

import (
	"encoding/json"
	"fmt"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable (XEP-0227 §4.6).
func (m *Module) Export(account jid.JID, write func(string) error) error {
	var all strings.Builder
	var bad error
	err := m.table.Range(space(account), space(account)+"\xff", false, func(_ string, raw []byte) bool {
		var r record
		if bad = json.Unmarshal(raw, &r); bad == nil {
			all.WriteString(r.XML)
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("read private elements of %s: %w", account, err)
	}
	if all.Len() == 0 {
		return nil
	}
	return write("<query xmlns='" + ns + "'>" + all.String() + "</query>")
}

// Import implements xmpp.Portable.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	if (el.Name != stanza.Name{Space: ns, Local: "query"}) {
		return false, nil
	}
	for n := range el.Children {
		e := &el.Children[n]
		xml, k := e.XML(), key(i.Account, e.Name)
		switch {
		case e.Name.Space == ns || e.Name.Space == "" || e.Name.Space == "jabber:client":
			return true, fmt.Errorf("<%s/> in private storage has no namespace of its own", e.Name.Local)
		case len(xml) > maxSize || len(k) > 1<<12:
			return true, fmt.Errorf("<%s xmlns='%s'/> in private storage is larger than %d KiB", e.Name.Local, e.Name.Space, maxSize>>10)
		case len(i.Rows["private"]) >= maxCount:
			return true, fmt.Errorf("more than %d elements are in private storage", maxCount)
		}
		i.Put("private", k, record{V: 1, XML: xml})
	}
	return true, nil
}
