package offline

import (
	"errors"
	"fmt"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const pie = "urn:xmpp:pie:0" // XEP-0227

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable (XEP-0227 §4.5): waiting messages, the oldest
// first, with the time each was stored.
func (m *Module) Export(account jid.JID, write func(string) error) error {
	rows, err := m.read(account.Bare())
	if err != nil || len(rows) == 0 {
		return err
	}
	xml := []byte("<offline-messages xmlns='" + pie + "'>")
	for _, r := range rows {
		st, err := m.load(r.key)
		if errors.Is(err, errGone) || errors.Is(err, errUnreadable) {
			continue
		}
		if err != nil {
			return err
		}
		xml = st.AppendXML(xml, "jabber:client")
	}
	return write(string(append(xml, "</offline-messages>"...)))
}

// Import implements xmpp.Portable.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	if (el.Name != stanza.Name{Space: pie, Local: "offline-messages"}) {
		return false, nil
	}
	user, bytes := i.Account.Bare(), 0
	for n := range el.Children {
		st, err := stanza.Parse(el.Children[n].XML())
		if err != nil || st.Kind != stanza.Message || st.From.IsZero() {
			return true, fmt.Errorf("waiting message %d cannot be read: it is no message of somebody", n+1)
		}
		if st.To.IsZero() {
			st = st.WithTo(user)
		}
		if st.To.Bare() != user {
			return true, fmt.Errorf("waiting message %d is for %s and not for %s", n+1, st.To, user)
		}
		v := value{V: 1, At: stampOf(st), XML: st.String()}
		bytes += len(v.XML)
		if n >= m.conf.Messages || bytes > m.conf.Bytes {
			i.Note("%d waiting messages were left out: at most %d can wait, and %d KiB.", len(el.Children)-n, m.conf.Messages, m.conf.Bytes>>10)
			break
		}
		seq, err := m.table.Next()
		if err != nil {
			return true, err
		}
		i.Put("offline", key(user, seq), v)
	}
	i.After = append(i.After, func() {
		if b := m.peek(user); b != nil {
			m.remove(b) // it knows of no messages; the next one reads them
		}
	})
	return true, nil
}

// stampOf is when a message was stored, by its latest delay stamp (XEP-0203).
func stampOf(st *stanza.Stanza) (at time.Time) {
	for _, e := range st.Elements() {
		if e.Name.Space == delaySpace && e.Name.Local == "delay" {
			if t, err := time.Parse(time.RFC3339, e.Attr("stamp")); err == nil && t.After(at) {
				at = t
			}
		}
	}
	if at.IsZero() {
		at = time.Now()
	}
	return at.UTC()
}
