// Package blocking keeps each account's list of blocked addresses and keeps
// their traffic away (XEP-0191 1.3).
//
// What comes from a blocked address: requests and messages are answered as if
// nobody were there, everything else is dropped, presence of all kinds
// included. What a client sends to one is refused with not-acceptable. The user's
// presence is not shared with a blocked contact; Subscriptions gives the presence
// module the contacts without those that are blocked.
//
// An address matches an item that is its full JID, its bare JID, its domain, or a
// domain above that (XEP-0191 §3). The account itself and the server cannot be
// blocked; an item with a resource concerns what comes from exactly that resource
// or is addressed to it.
//
// All lists are held in memory, where there are any, and lie in the table
// "blocking", a row for each account. A request is answered, and its push sent,
// when the list is on disk. Left out: reports of spam in a block request
// (XEP-0377), which are ignored.
//
// The package starts no goroutine.
package blocking

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	ns       = "urn:xmpp:blocking"
	nsErrors = "urn:xmpp:blocking:errors"

	prio     = 10   // before everything else that looks at what comes and goes
	maxItems = 1000 // in one list
)

// asked marks a session that has asked for the list and gets pushes.
var asked = xmpp.Key{Name: "blocking"}

// list is the blocked addresses of one account; never changed once stored.
type list map[string]struct{}

// record is a list on disk.
type record struct {
	V    int      `json:"v"`
	JIDs []string `json:"jids"`
}

// Module is XEP-0191. Safe for concurrent use after Load.
type Module struct {
	subs   xmpp.Subscriptions
	host   xmpp.Host
	table  xmpp.Table
	pushes atomic.Uint64
	any    atomic.Bool // some list is not empty

	mu    sync.RWMutex // guards lists; held while changes are queued, so that disk and memory have one order
	lists map[jid.JID]list
}

var (
	_ xmpp.Module  = (*Module)(nil)
	_ xmpp.Blocker = (*Module)(nil)
)

// New makes the module; subs says who is told of the user's presence.
func New(subs xmpp.Subscriptions) *Module {
	return &Module{subs: subs, lists: make(map[jid.JID]list)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "blocking", Specs: []xmpp.Spec{{Doc: "XEP-0191", Version: "1.3", Title: "Blocking Command"}}}
}

// Load reads the lists and registers handlers and hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table("blocking")
	if err := m.read(); err != nil {
		return err
	}
	h.IQ(xmpp.ToSelf, stanza.Get, stanza.Name{Space: ns, Local: "blocklist"}, m.get)
	h.IQ(xmpp.ToSelf, stanza.Set, stanza.Name{Space: ns, Local: "block"}, m.block)
	h.IQ(xmpp.ToSelf, stanza.Set, stanza.Name{Space: ns, Local: "unblock"}, m.unblock)
	h.IQ(xmpp.ToBare, stanza.Get, stanza.Name{Space: ns, Local: "blocklist"}, forbidden)
	h.IQ(xmpp.ToBare, stanza.Set, stanza.Name{Space: ns, Local: "block"}, forbidden)
	h.IQ(xmpp.ToBare, stanza.Set, stanza.Name{Space: ns, Local: "unblock"}, forbidden)
	h.Feature(xmpp.ToHost, ns)
	h.Feature(xmpp.ToBare, ns)
	for _, register := range []func(xmpp.Point, int, xmpp.Hook){h.Message, h.Presence, h.IQHook} {
		register(xmpp.Outbound, prio, m.sent)
		register(xmpp.Inbound, prio, m.received)
	}
	return nil
}

func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "You can read and change the list of your own account only.")
}

// read loads all lists. One that cannot be read is logged and left out: it must
// not keep the server from starting.
func (m *Module) read() error {
	err := m.table.Range("", "", false, func(key string, raw []byte) bool {
		var r record
		user, err := jid.Parse(key)
		if err == nil {
			err = json.Unmarshal(raw, &r)
		}
		if err != nil {
			m.host.Log().Error("list of blocked addresses unreadable", "comp", "blocking", "user", key, "err", err)
			return true
		}
		m.put(user, listOf(r.JIDs))
		return true
	})
	if err != nil {
		return fmt.Errorf("read lists of blocked addresses: %w", err)
	}
	return nil
}

func listOf(items []string) list {
	l := make(list, len(items))
	for _, i := range items {
		l[i] = struct{}{}
	}
	return l
}

// put replaces a list. Needs mu, but in Load.
func (m *Module) put(user jid.JID, l list) {
	if len(l) == 0 {
		delete(m.lists, user)
	} else {
		m.lists[user.Clone()] = l
	}
	m.any.Store(len(m.lists) > 0)
}

// of returns an account's list, nil when it is empty.
func (m *Module) of(user jid.JID) list {
	if !m.any.Load() {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.lists[user]
}

// Blocked implements xmpp.Blocker.
func (m *Module) Blocked(user, other jid.JID) bool {
	user = user.Bare()
	l := m.of(user)
	return l != nil && other.Bare() != user && other.String() != m.host.Domainpart() && l.match(other)
}

// match is XEP-0191 §3.
func (l list) match(j jid.JID) bool {
	if l.has(j.String()) || l.has(j.Bare().String()) {
		return true
	}
	for d, more := j.Domain(), true; more; _, d, more = strings.Cut(d, ".") {
		if l.has(d) {
			return true
		}
	}
	return false
}

func (l list) has(s string) bool {
	_, ok := l[s]
	return ok
}

// Subscriptions is what the presence module gets to see: subscriptions without
// contacts that the user has blocked.
func (m *Module) Subscriptions() xmpp.Subscriptions { return visible{m.subs, m} }

type visible struct {
	xmpp.Subscriptions
	m *Module
}

// Losses implements xmpp.Losses where the subscriptions do. Blocks are no losses:
// received keeps presence from those whom a user has blocked.
func (v visible) Losses() uint64 {
	if l, ok := v.Subscriptions.(xmpp.Losses); ok {
		return l.Losses()
	}
	return 0
}

// Contacts leaves out what is blocked.
func (v visible) Contacts(user jid.JID, f func(contact jid.JID, subscription string)) {
	l := v.m.of(user.Bare())
	if l == nil {
		v.Subscriptions.Contacts(user, f)
		return
	}
	v.Subscriptions.Contacts(user, func(contact jid.JID, subscription string) {
		if !v.m.Blocked(user, contact) {
			f(contact, subscription)
		}
	})
}

// Purge forgets the list of a removed account.
func (m *Module) Purge(account jid.JID) error {
	_, _, err := m.change(account.Bare(), func(list) list { return nil })
	return err
}

// change replaces an account's list and waits until that is on disk.
func (m *Module) change(user jid.JID, f func(list) list) (old, now list, err error) {
	done := make(chan error, 1)
	m.mu.Lock()
	old = m.lists[user]
	now = f(old)
	if maps.Equal(old, now) {
		m.mu.Unlock()
		return old, now, nil
	}
	m.put(user, now)
	var row any
	if len(now) > 0 {
		row = record{V: 1, JIDs: now.sorted()}
	}
	m.table.Later(map[string]any{user.String(): row}, func(err error) { done <- err })
	m.mu.Unlock()
	if err := <-done; err != nil {
		m.restore(user)
		return old, now, fmt.Errorf("store list of blocked addresses: %w", err)
	}
	return old, now, nil
}

// restore makes memory say what the disk says after a commit has failed.
func (m *Module) restore(user jid.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r record
	if _, err := m.table.Get(user.String(), &r); err != nil {
		m.host.Log().Error("list of blocked addresses unreadable", "comp", "blocking", "user", user.String(), "err", err)
		return // what was asked for holds until the next start
	}
	m.put(user, listOf(r.JIDs))
}

func (l list) sorted() []string { return slices.Sorted(maps.Keys(l)) }

// push tells the resources that have asked for the list (XEP-0191 §4.2).
func (m *Module) push(ctx context.Context, user jid.JID, payload string) {
	for _, s := range m.host.Sessions(user) {
		if s.Value(&asked) == nil {
			continue
		}
		id := "block" + strconv.FormatUint(m.pushes.Add(1), 36)
		m.host.Deliver(ctx, s, stanza.New(stanza.IQ, string(stanza.Set), id, user, s.JID(), payload))
	}
}

// itemsXML writes a request or an answer with items.
func itemsXML(local string, items []string) string {
	var w xmlstream.Writer
	w.Start(ns, local)
	for _, i := range items {
		w.Start("", "item", "jid", i).End()
	}
	return w.String()
}
