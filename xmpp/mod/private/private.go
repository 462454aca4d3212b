// Package private keeps small pieces of XML for a user's clients (XEP-0049
// 1.2): one element for each name and namespace, as it was written.
//
// A request holds exactly one element, with a namespace of its own. What was
// never stored is answered with the empty element itself. Only the account
// itself can ask. An element lies in the table "private" before its request is
// answered; one that New was told of lies where that keeps it (bookmarks, which
// are kept in step with XEP-0402).
//
// The package starts no goroutine and keeps nothing in memory.
package private

import (
	"context"
	"fmt"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const ns = "jabber:iq:private"

// Limits.
const (
	maxSize  = 128 << 10 // bytes of one element
	maxCount = 100       // elements of one account
)

// record is an element on disk.
type record struct {
	V   int    `json:"v"`
	XML string `json:"xml"`
}

// Kept is an element that lies elsewhere. Safe for concurrent use.
type Kept interface {
	Name() stanza.Name
	// Private returns it as XML, "" when it was never stored.
	Private(ctx context.Context, user jid.JID) (string, error)
	// SetPrivate stores it and returns when it is on disk. With add nothing that
	// is there is changed.
	SetPrivate(ctx context.Context, user jid.JID, el *stanza.Element, add bool) error
}

// Module is XEP-0049. Safe for concurrent use after Load.
type Module struct {
	table xmpp.Table
	kept  map[stanza.Name]Kept
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module; what kept names lies there.
func New(kept ...Kept) *Module {
	m := &Module{kept: make(map[stanza.Name]Kept)}
	for _, k := range kept {
		m.kept[k.Name()] = k
	}
	return m
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "private", Specs: []xmpp.Spec{{Doc: "XEP-0049", Version: "1.2", Title: "Private XML Storage"}}}
}

// Load registers the handlers.
func (m *Module) Load(h xmpp.Host) error {
	m.table = h.Table("private")
	query := stanza.Name{Space: ns, Local: "query"}
	h.IQ(xmpp.ToSelf, stanza.Get, query, m.get)
	h.IQ(xmpp.ToSelf, stanza.Set, query, m.set)
	h.IQ(xmpp.ToBare, stanza.Get, query, forbidden)
	h.IQ(xmpp.ToBare, stanza.Set, query, forbidden)
	h.Feature(xmpp.ToHost, ns)
	h.Feature(xmpp.ToBare, ns)
	return nil
}

func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "Only the account itself can read and change what is stored here.")
}

// element returns the one element of a request.
func element(iq *xmpp.IQ) (*stanza.Element, error) {
	query, _ := iq.Child(ns, "query")
	if len(query.Children) != 1 {
		return nil, stanza.NewError(stanza.BadRequest, "A request for private storage holds exactly one element.")
	}
	e := &query.Children[0]
	switch e.Name.Space {
	case "", ns, "jabber:client", "jabber:server", "jabber:component:accept":
		return nil, stanza.NewError(stanza.BadRequest, "What is stored needs a namespace of its own.")
	}
	return e, nil
}

// space is what the keys of an account begin with. XML holds no NUL.
func space(user jid.JID) string { return user.Bare().String() + "\x00" }

func key(user jid.JID, n stanza.Name) string { return space(user) + n.Space + "\x00" + n.Local }

func (m *Module) get(ctx context.Context, iq *xmpp.IQ) (string, error) {
	e, err := element(iq)
	if err != nil {
		return "", err
	}
	var r record
	if k := m.kept[e.Name]; k != nil {
		user := iq.Session.JID().Bare()
		if err = m.move(ctx, user, k); err == nil {
			r.XML, err = k.Private(ctx, user)
		}
	} else {
		_, err = m.table.Get(key(iq.Session.JID(), e.Name), &r)
	}
	if err != nil {
		return "", fmt.Errorf("read private element: %w", err)
	}
	if r.XML == "" {
		r.XML = e.XML()
	}
	return "<query xmlns='" + ns + "'>" + r.XML + "</query>", nil
}

// move takes what was stored here before k kept it there.
func (m *Module) move(ctx context.Context, user jid.JID, k Kept) error {
	var r record
	ok, err := m.table.Get(key(user, k.Name()), &r)
	if err != nil || !ok {
		return err
	}
	els, err := xmlstream.ParseTree(r.XML, "", "jabber:client")
	if err == nil && len(els) == 1 {
		if err := k.SetPrivate(ctx, user, &els[0], true); err != nil {
			return err
		}
	}
	return m.table.Write(map[string]any{key(user, k.Name()): nil})
}

func (m *Module) set(ctx context.Context, iq *xmpp.IQ) (string, error) {
	e, err := element(iq)
	if err != nil {
		return "", err
	}
	if k := m.kept[e.Name]; k != nil {
		user := iq.Session.JID().Bare()
		if err := m.move(ctx, user, k); err != nil {
			return "", err
		}
		return "", k.SetPrivate(ctx, user, e, false)
	}
	user, xml := iq.Session.JID(), e.XML()
	k := key(user, e.Name)
	if len(xml) > maxSize || len(k) > 1<<12 {
		return "", stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("What is stored here may have at most %d KiB.", maxSize>>10))
	}
	n := 0
	err = m.table.Range(space(user), space(user)+"\xff", false, func(other string, _ []byte) bool {
		if other != k {
			n++
		}
		return n < maxCount
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("count private elements: %w", err)
	case n >= maxCount:
		return "", stanza.NewError(stanza.ResourceConstraint, "Too many things are stored for this account; no more can be added.")
	}
	if err := m.table.Write(map[string]any{k: record{V: 1, XML: xml}}); err != nil {
		return "", fmt.Errorf("store private element: %w", err)
	}
	return "", nil
}

// Purge forgets what a removed account has stored.
func (m *Module) Purge(account jid.JID) error {
	gone := make(map[string]any)
	err := m.table.Range(space(account), space(account)+"\xff", false, func(k string, _ []byte) bool {
		gone[k] = nil
		return true
	})
	if err == nil && len(gone) > 0 {
		err = m.table.Write(gone)
	}
	if err != nil {
		return fmt.Errorf("purge private elements of %s: %w", account, err)
	}
	return nil
}
