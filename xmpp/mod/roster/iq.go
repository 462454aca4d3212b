package roster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// forbidden answers whoever asks for, or tries to change, somebody else's
// roster: alike whether that account exists or not (RFC 6121 §2.3.3).
func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "Only the owner of an account may use its roster.")
}

// get returns the roster (RFC 6121 §2.2) or, when the client has the current
// version, an empty result (§2.6.3). The resource is interested from then on.
// The result takes its place in the account's queue: behind pushes of what it
// contains, before pushes of what it does not, and after the disk has what it
// tells.
func (m *Module) get(ctx context.Context, iq *xmpp.IQ) (string, error) {
	var ver string
	if strings.Contains(iq.Inner(), "ver") { // most clients send none: spare them the parsing
		if q, ok := iq.Child(ns, "query"); ok {
			ver = q.Attr("ver")
		}
	}
	a, err := m.acquire(iq.Session.JID().Bare())
	if err != nil {
		return "", err
	}
	defer m.release(a)
	a.mu.Lock()
	items, now := a.items, a.version()
	s, req := iq.Session, iq.Stanza
	m.tell(a, func(ctx context.Context) {
		s.SetValue(&interested, true)
		m.host.Deliver(ctx, s, a.result(req, items, ver, now))
	})
	a.mu.Unlock()
	m.drain(ctx, a)
	return "", xmpp.ErrLater
}

// result answers a get by a client that has version had: with nothing when that
// is the one it would be given.
func (a *account) result(req *stanza.Stanza, items []*item, had, ver string) *stanza.Stanza {
	if had == ver {
		return req.Reply("").WithFrom(a.owner)
	}
	return stanza.NewChild(stanza.IQ, string(stanza.Result), req.ID, a.owner, req.From, queryName, a.listXML(items, ver))
}

// lists lends the buffers in which rosters are put together.
var lists = sync.Pool{New: func() any { return new([]byte) }}

// listXML is a whole roster. Contacts that merely asked for a subscription are
// not in it (RFC 6121 §3.1.3).
func (a *account) listXML(items []*item, ver string) string {
	buf := lists.Get().(*[]byte)
	b := append((*buf)[:0], "<query xmlns='jabber:iq:roster' ver='"...)
	b = xmlstream.AppendEscaped(b, ver)
	b = append(b, "'>"...)
	a.each(items, func(it *item, s *xmpp.SharedItem) bool {
		b = a.appendShown(b, it, s)
		return true
	})
	b = append(b, "</query>"...)
	xml := string(b)
	if *buf = b; cap(b) <= 1<<20 {
		lists.Put(buf)
	}
	return xml
}

// edit is what a client asks for in a roster set.
type edit struct {
	contact jid.JID
	remove  bool
	name    string
	groups  []string
}

// parseEdit checks a roster set (RFC 6121 §2.3.3, §2.5).
func parseEdit(owner jid.JID, s *stanza.Stanza) (edit, error) {
	var e edit
	q, ok := s.Child(ns, "query")
	if !ok {
		return e, stanza.NewError(stanza.BadRequest, "The request has no roster query.")
	}
	var el *stanza.Element
	for i := range q.Children {
		if c := &q.Children[i]; c.Name.Space == ns && c.Name.Local == "item" {
			if el != nil {
				return e, stanza.NewError(stanza.BadRequest, "Change one contact at a time.")
			}
			el = c
		}
	}
	if el == nil {
		return e, stanza.NewError(stanza.BadRequest, "The request names no contact.")
	}
	addr := el.Attr("jid")
	if addr == "" {
		return e, stanza.NewError(stanza.BadRequest, "The contact has no address.")
	}
	contact, err := jid.Parse(addr)
	if err != nil {
		return e, stanza.NewError(stanza.JIDMalformed, "The contact's address is not valid.")
	}
	if contact.Bare() == owner {
		return e, stanza.NewError(stanza.NotAllowed, "Your own address cannot be one of your contacts.")
	}
	e.contact = contact.Clone()
	// Other values, ask and approved are the server's (§2.1.2).
	if e.remove = el.Attr("subscription") == "remove"; e.remove {
		return e, nil
	}
	e.name = el.Attr("name")
	for i := range el.Children {
		if c := &el.Children[i]; c.Name.Space == ns && c.Name.Local == "group" {
			e.groups = append(e.groups, c.Text)
		}
	}
	return e, checkLabels(e.name, e.groups, maxGroups+maxShared)
}

// maxShared is how many shared groups of a contact a client may send back with the
// user's own.
const maxShared = 1000

// checkLabels checks an item's name and groups (RFC 6121 §2.3.3).
func checkLabels(name string, groups []string, most int) error {
	if len(name) > maxName {
		return stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("The contact's name is longer than %d bytes.", maxName))
	}
	if len(groups) > most {
		return tooManyGroups()
	}
	for i, g := range groups {
		switch {
		case g == "":
			return stanza.NewError(stanza.NotAcceptable, "A group needs a name.")
		case len(g) > maxName:
			return stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A group's name is longer than %d bytes.", maxName))
		case slices.Contains(groups[:i], g):
			return stanza.NewError(stanza.BadRequest, "The contact is put into the same group twice.")
		}
	}
	return nil
}

func tooManyGroups() error {
	return stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A contact can be in %d groups of your own at most.", maxGroups))
}

// full is the error for one contact too many.
func full() error {
	return stanza.NewError(stanza.ResourceConstraint,
		fmt.Sprintf("A roster holds %d contacts of your own at most. Remove one first.", maxItems))
}

// set adds, changes or removes an item (RFC 6121 §2.3–2.5). It returns when the
// change is on disk.
func (m *Module) set(ctx context.Context, iq *xmpp.IQ) (string, error) {
	owner := iq.Session.JID().Bare()
	ed, err := parseEdit(owner, iq.Stanza)
	if err != nil {
		return "", err
	}
	a, err := m.acquire(owner)
	if err != nil {
		return "", err
	}
	defer m.release(a)
	a.mu.Lock()
	old := find(a.items, ed.contact)
	var e *entry
	if ed.remove {
		e, err = m.take(a, old, ed.contact)
	} else {
		e, err = m.put(a, old, ed)
	}
	a.mu.Unlock()
	if err != nil {
		return "", err
	}
	return "", m.settle(ctx, a, e)
}

// take queues the removal that a client asks for: of the user's own part of a
// contact. What groups show stays. Needs a.mu.
func (m *Module) take(a *account, old *item, contact jid.JID) (*entry, error) {
	shared := a.sees(contact)
	if old != nil && (old.listed || shared && old.overlay) {
		return m.remove(a, old, true), nil
	}
	if shared {
		return nil, errShared()
	}
	// RFC 6121 §2.5.3 prints the type modify.
	return nil, &stanza.Error{Type: stanza.Modify, Condition: stanza.ItemNotFound,
		Text: "This contact is not in your roster."}
}

// put queues the addition or change that a client asks for. Needs a.mu.
func (m *Module) put(a *account, old *item, ed edit) (*entry, error) {
	s := a.shared.Item(a.owner, ed.contact)
	if err := a.shareable(old, s, ed.groups); err != nil {
		return nil, err
	}
	var next item
	if s != nil {
		next = edited(old, s, ed)
		if next.overlay && (old == nil || !old.overlay) && a.overlays >= maxOverlays {
			return nil, stanza.NewError(stanza.ResourceConstraint, fmt.Sprintf("You have given names or groups to %d contacts, "+
				"which is all that is kept. Remove the name you gave to another one first.", maxOverlays))
		}
	} else {
		if (old == nil || !old.listed) && a.listed >= maxItems {
			return nil, full()
		}
		if next.contact = ed.contact; old != nil {
			next = *old
		}
		next.listed, next.overlay, next.name, next.groups = true, false, ed.name, ed.groups
	}
	if len(next.groups) > maxGroups {
		return nil, tooManyGroups()
	}
	var push string
	e := newEntry(func(ctx context.Context) { m.push(ctx, a.owner, push) })
	e.waited = true
	m.commit(a, ed.contact, old, &next, e)
	// A push follows also when nothing has changed (§2.3.2).
	push = a.pushXML(ed.contact, a.shown(&next, s))
	return e, nil
}

// settle waits until an entry with waited is on disk, without a lock, and sees
// to it that it runs.
func (m *Module) settle(ctx context.Context, a *account, e *entry) error {
	<-e.committed
	m.drain(ctx, a)
	return e.err
}

// remove takes an item out together with a request that waits. With undo the
// contact is told what its state demands (RFC 6121 §2.5.2): unavailable and
// unsubscribed when it sees the user or asked to, unsubscribe when the user
// sees it or asked to. Needs a.mu.
func (m *Module) remove(a *account, old *item, undo bool) *entry {
	var push string
	e := newEntry(func(ctx context.Context) {
		m.push(ctx, a.owner, push)
		if undo {
			m.undo(ctx, a.owner, old)
		}
	})
	e.waited = true
	m.commit(a, old.contact, old, nil, e)
	push = a.pushOf(old.contact, old, nil)
	return e
}

// undo sends what ends the subscriptions between owner and an item's contact,
// but for what a group grants: then only a local contact's roster hears of it.
func (m *Module) undo(ctx context.Context, owner jid.JID, it *item) {
	sees, seen := m.shared.Item(owner, it.contact) != nil, m.shared.Sees(it.contact, owner)
	local := it.contact.Domain() == m.host.Domainpart()
	if it.state.hasFrom() && !seen {
		m.hide(ctx, owner, it.contact)
	}
	if (it.state.hasTo() || it.state.out()) && (!sees || local) {
		m.host.Send(ctx, subscription(unsubscribe, "", owner, it.contact), nil)
	}
	if (it.state.hasFrom() || it.state.in()) && (!seen || local) {
		m.host.Send(ctx, subscription(unsubscribed, "", owner, it.contact), nil)
	}
}
