package mam

import (
	"context"
	"fmt"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// maxListed is how many addresses one list may have.
const maxListed = 1000

// What is archived of those in neither list (XEP-0441 §2.1.1).
const (
	always = "always"
	never  = "never"
	roster = "roster"
)

// prefs is what an account wants archived, a row of the table "archive_prefs".
type prefs struct {
	V       int       `json:"v"` // 1
	Default string    `json:"default"`
	Always  []jid.JID `json:"always,omitempty"`
	Never   []jid.JID `json:"never,omitempty"`
}

// preferences returns what an account has chosen, nil without anything.
func (m *Module) preferences(user jid.JID) (*prefs, error) {
	m.mu.RLock()
	p, ok := m.prefs[user]
	m.mu.RUnlock()
	if ok {
		return p, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var r prefs
	found, err := m.table.Get(user.String(), &r)
	if err != nil {
		return nil, fmt.Errorf("read archive preferences: %w", err)
	}
	if found {
		p = &r
	}
	if m.host.Exists(user) {
		m.prefs[user.Clone()] = p
	}
	return p, nil
}

// wants reports that user keeps what is exchanged with other.
func (m *Module) wants(user, other jid.JID) bool {
	p, err := m.preferences(user)
	if err != nil {
		m.host.Log().Error("a message is archived although the wish of its owner is not known", "comp", "mam", "user", user.String(), "err", err)
	}
	if p == nil {
		return true
	}
	if listed, keep := p.listed(other); listed {
		return keep
	}
	switch p.Default {
	case never:
		return false
	case roster:
		return m.conf.Subscriptions != nil && m.conf.Subscriptions.Subscription(user, other.Bare()) != ""
	}
	return true
}

// listed applies the lists (XEP-0441 §2.3.1): what names a resource counts more
// than what does not, and never more than always.
func (p *prefs) listed(other jid.JID) (listed, keep bool) {
	for _, j := range []jid.JID{other, other.Bare()} {
		if slices.Contains(p.Never, j) {
			return true, false
		}
		if slices.Contains(p.Always, j) {
			return true, true
		}
	}
	return false, false
}

func (p *prefs) xml() string {
	if p == nil {
		p = &prefs{Default: always}
	}
	var w xmlstream.Writer
	w.Start(archive.Space, "prefs", "default", p.Default)
	for _, l := range []struct {
		name string
		jids []jid.JID
	}{{always, p.Always}, {never, p.Never}} {
		w.Start("", l.name)
		for _, j := range l.jids {
			w.Leaf("", "jid", j.String())
		}
		w.End()
	}
	return w.End().String()
}

func (m *Module) getPrefs(_ context.Context, iq *xmpp.IQ) (string, error) {
	p, err := m.preferences(iq.Session.JID().Bare())
	if err != nil {
		return "", err
	}
	return p.xml(), nil
}

func (m *Module) setPrefs(_ context.Context, iq *xmpp.IQ) (string, error) {
	el, _ := iq.Child(archive.Space, "prefs")
	p, err := parsePrefs(&el)
	if err != nil {
		return "", err
	}
	user := iq.Session.JID().Bare()
	err = m.table.Write(map[string]any{user.String(): p})
	m.forget(user)
	if err != nil {
		return "", fmt.Errorf("store archive preferences: %w", err)
	}
	return p.xml(), nil
}

// forget has preferences read anew, so that two changes at once end as on disk.
func (m *Module) forget(user jid.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.prefs, user)
}

func parsePrefs(el *stanza.Element) (*prefs, error) {
	p := &prefs{V: 1, Default: el.Attr("default")}
	switch p.Default {
	case always, never, roster:
	default:
		return nil, stanza.NewError(stanza.BadRequest, "The default must be always, never or roster.")
	}
	for i := range el.Children {
		c := &el.Children[i]
		var list *[]jid.JID
		switch c.Name {
		case stanza.Name{Space: archive.Space, Local: always}:
			list = &p.Always
		case stanza.Name{Space: archive.Space, Local: never}:
			list = &p.Never
		default:
			continue
		}
		for k := range c.Children {
			if c.Children[k].Name.Local != "jid" {
				continue
			}
			j, err := jid.Parse(c.Children[k].Text)
			if err != nil {
				return nil, stanza.NewError(stanza.JIDMalformed, "One of the addresses is not valid.")
			}
			if !slices.Contains(*list, j) {
				*list = append(*list, j.Clone())
			}
			if len(*list) > maxListed {
				return nil, stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A list may have at most %d addresses.", maxListed))
			}
		}
	}
	return p, nil
}

// purgePrefs forgets what a removed account chose.
func (m *Module) purgePrefs(user jid.JID) error {
	if err := m.table.Write(map[string]any{user.String(): nil}); err != nil {
		return fmt.Errorf("purge archive preferences of %s: %w", user, err)
	}
	m.forget(user)
	return nil
}
