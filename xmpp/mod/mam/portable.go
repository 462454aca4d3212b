package mam

import (
	"fmt"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
)

const pie = "urn:xmpp:pie:0#mam" // XEP-0227 §4.11

// What of one account's archive can come from another server.
const (
	maxImport      = 100_000
	maxImportBytes = 64 << 20
)

var _ xmpp.Portable = (*Module)(nil)

// Export implements xmpp.Portable.
func (m *Module) Export(account jid.JID, write func(string) error) error {
	if m.conf.Off {
		return nil
	}
	q := archive.Query{Page: rsm.Request{Max: 100}}
	for first := true; ; first = false {
		page, err := m.conf.Archive.Page(account.Bare(), q)
		if err != nil {
			return fmt.Errorf("read archive of %s: %w", account, err)
		}
		if len(page.Messages) == 0 {
			if first {
				return nil
			}
			return write("</archive>")
		}
		var all strings.Builder
		if first {
			all.WriteString("<archive xmlns='" + pie + "'>")
		}
		for i := range page.Messages {
			all.WriteString(page.Messages[i].Result())
			q.Page.After = page.Messages[i].ID.String()
		}
		if err := write(all.String()); err != nil {
			return err
		}
	}
}

// Import implements xmpp.Portable. An archive may come in several parts.
func (m *Module) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	if (el.Name != stanza.Name{Space: pie, Local: "archive"}) {
		return false, nil
	}
	if m.conf.Off {
		i.Note("The message archive was left out: it is off here.")
		return true, nil
	}
	me := i.Account.Bare()
	var list []archive.Past
	bytes := 0
	for n := range el.Children {
		c := &el.Children[n]
		if c.Name.Local != "result" {
			continue
		}
		p, err := pastOf(me, c)
		if err != nil {
			return true, fmt.Errorf("archived message %q cannot be read: %w", c.Attr("id"), err)
		}
		list = append(list, p)
		if bytes += p.Stanza.Size(); len(list) > maxImport || bytes > maxImportBytes {
			return true, fmt.Errorf("the message archive has more than %d messages or %d MiB in one piece", maxImport, maxImportBytes>>20)
		}
	}
	i.Before = append(i.Before, func() error {
		kept, err := m.conf.Archive.Insert(me, list)
		if left := len(list) - kept; left > 0 && err == nil {
			i.Note("%d archived messages were left out: they are older than what is kept here.", left)
		}
		return err
	})
	return true, nil
}

// pastOf reads a <result/> (XEP-0313 §4.2).
func pastOf(me jid.JID, el *stanza.Element) (p archive.Past, err error) {
	f := el.Child("urn:xmpp:forward:0", "forwarded")
	if f == nil {
		return p, fmt.Errorf("nothing is forwarded in it")
	}
	d, msg := f.Child("urn:xmpp:delay", "delay"), f.Child("jabber:client", "message")
	if d == nil || msg == nil {
		return p, fmt.Errorf("it has no message or no time")
	}
	if p.At, err = time.Parse(time.RFC3339, d.Attr("stamp")); err != nil {
		return p, fmt.Errorf("%q is no time", d.Attr("stamp"))
	}
	if p.Stanza, err = stanza.Parse(msg.XML()); err != nil {
		return p, err
	}
	p.Stanza = withoutIDs(p.Stanza, me)
	switch {
	case p.Stanza.From.IsZero() || p.Stanza.To.IsZero():
		return p, fmt.Errorf("it does not say who wrote to whom")
	case p.Stanza.From.Bare() == me:
		p.With = p.Stanza.To
	case p.Stanza.To.Bare() == me:
		p.With = p.Stanza.From
	default:
		return p, fmt.Errorf("it is neither to nor from %s", me)
	}
	return p, nil
}
