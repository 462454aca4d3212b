// Package mam keeps what people write and get, so that any of their clients
// can catch up (XEP-0313 1.1.3), says in each message where it is kept
// (XEP-0359 0.7.0) and lets people choose what is (XEP-0441 0.2.0).
//
// Kept are messages of type chat and normal that have a body, are encrypted,
// are a receipt (XEP-0184), a chat marker (XEP-0333) or a retraction (XEP-0424
// 0.4.2, which leaves a tombstone of a recent message), or ask for it
// (<store/>, XEP-0334), unless they ask not to be (<no-store/>,
// <no-permanent-store/>). What is refused on the way, because somebody is
// blocked or nobody is there to be reached, is not kept; what the gateway of
// another network refuses later is. A message between two people here lies
// once in the archive and has one id for both.
//
// A message is archived before copies of it are made (XEP-0280) and before it
// waits for somebody who is offline, so that all of these carry its id. It is
// delivered without waiting for the disk; the sender's acknowledgement waits.
// What a dead stream gave back is there already.
//
// Left out: groupchat in personal archives. The package starts no goroutine;
// Run is the archive's upkeep.
package mam

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const (
	prioSent     = 850 // at Outbound, behind all that may refuse, before copies (900)
	prioReceived = 500 // at Inbound, behind blocking (10), before what is stored (900) and copied (950)
)

// Config names what the module asks of others; Subscriptions and Blocker may be nil.
type Config struct {
	Archive       *archive.Archive
	Subscriptions xmpp.Subscriptions // for people who keep only their contacts' messages
	Blocker       xmpp.Blocker
	// Off archives nothing and answers nothing; what was archived goes as the
	// archive's age says.
	Off bool
}

// Module is XEP-0313 for accounts. Safe for concurrent use after Load.
type Module struct {
	conf  Config
	host  xmpp.Host
	table xmpp.Table // of preferences

	mu    sync.RWMutex       // guards prefs
	prefs map[jid.JID]*prefs // of accounts that were asked for; nil: none are stored
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module.
func New(c Config) *Module { return &Module{conf: c, prefs: make(map[jid.JID]*prefs)} }

// Info describes the module.
func (m *Module) Info() xmpp.Info {
	if m.conf.Off {
		return xmpp.Info{Name: "mam"}
	}
	return xmpp.Info{Name: "mam", Specs: []xmpp.Spec{
		{Doc: "XEP-0313", Version: "1.1.3", Title: "Message Archive Management"},
		{Doc: "XEP-0359", Version: "0.7.0", Title: "Unique and Stable Stanza IDs"},
		{Doc: "XEP-0441", Version: "0.2.0", Title: "Message Archive Management Preferences"},
		{Doc: "XEP-0059", Version: "1.0", Title: "Result Set Management"},
	}}
}

// Load registers the requests and the hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table("archive_prefs")
	if err := m.conf.Archive.Open(h); err != nil {
		return err
	}
	if m.conf.Off {
		return nil
	}
	for _, r := range []struct {
		typ   stanza.IQType
		local string
		f     xmpp.IQFunc
	}{
		{stanza.Set, "query", m.query},
		{stanza.Get, "query", func(context.Context, *xmpp.IQ) (string, error) { return archive.Form(), nil }},
		{stanza.Get, "metadata", m.metadata},
		{stanza.Get, "prefs", m.getPrefs},
		{stanza.Set, "prefs", m.setPrefs},
	} {
		name := stanza.Name{Space: archive.Space, Local: r.local}
		h.IQ(xmpp.ToSelf, r.typ, name, r.f)
		h.IQ(xmpp.ToBare, r.typ, name, forbidden)
	}
	h.Feature(xmpp.ToBare, archive.Space, archive.Extended, archive.Groupchat, archive.IDSpace, archive.RetractSpace, archive.Tombstones)
	h.Message(xmpp.Outbound, prioSent, m.sent)
	h.Message(xmpp.Inbound, prioReceived, m.received)
	return nil
}

// Run lets old messages go, until ctx ends.
func (m *Module) Run(ctx context.Context) error { return m.conf.Archive.Run(ctx) }

// forbidden is XEP-0313 §8.1; whether there is such an account is not told.
func forbidden(context.Context, *xmpp.IQ) (string, error) {
	return "", stanza.NewError(stanza.Forbidden, "Only the account itself can read its archive.")
}

func (m *Module) query(ctx context.Context, iq *xmpp.IQ) (string, error) {
	return m.conf.Archive.Answer(iq.Stanza, iq.Session.JID().Bare(), nil, func(st *stanza.Stanza) {
		m.host.Deliver(ctx, iq.Session, st)
		if p, ok := iq.Session.(xmpp.Paced); ok {
			p.Pace() // many queries in a row must not overrun its queue
		}
	})
}

func (m *Module) metadata(_ context.Context, iq *xmpp.IQ) (string, error) {
	return m.conf.Archive.Metadata(iq.Session.JID().Bare(), 0)
}

// sent archives what a client sends, and for a recipient here too.
func (m *Module) sent(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	me := d.Sender.JID().Bare()
	d.Stanza = withoutIDs(d.Stanza, me)
	st := d.Stanza
	if !storable(st) {
		return xmpp.Pass, nil
	}
	if st.To.IsZero() {
		st = st.WithTo(me)
	}
	other := st.To.Bare()
	here := st.To.Domain() == m.host.Domainpart()
	if here && !m.takes(st) || !here && !m.hosted(st.To.Domain()) || !m.wants(me, st.To) {
		return xmpp.Pass, nil
	}
	owners := []archive.Owner{{JID: me, With: st.To}}
	if here && other != me && m.wants(other, st.From) {
		owners = append(owners, archive.Owner{JID: other, With: st.From})
	}
	d.Archived = m.conf.Archive.Put(st, d.Await(), owners...).String()
	m.retract(d, st, me, st.To)
	return xmpp.Pass, nil
}

// received archives what nobody here has sent, and tells the recipient the id.
func (m *Module) received(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if !d.Exists {
		return xmpp.Pass, nil
	}
	if d.Again {
		if st.Payload == (stanza.Name{Space: archive.Space, Local: "result"}) {
			return xmpp.Done, nil // for the one who asked alone, who asks again
		}
		return xmpp.Pass, nil // XEP-0198: it carries its id
	}
	user := st.To.Bare()
	st = withoutIDs(st, user)
	d.Stanza = st
	if d.Archived == "" && (!storable(st) || !m.takes(st) || d.Sender != nil && d.Sender.JID().Bare() == user) || !m.wants(user, st.From) {
		return xmpp.Pass, nil
	}
	id := d.Archived
	if id == "" {
		id = m.conf.Archive.Put(st, d.Await(), archive.Owner{JID: user, With: st.From}).String()
		m.retract(d, st, user, st.From)
	}
	d.Stanza = st.WithAppended(archive.StanzaID(user, id))
	return xmpp.Pass, nil
}

// retract leaves of a message that its author takes back what tells that it was
// there (XEP-0424 §4), in the archive of one owner and of whoever shares it. One
// that is not found is too old, or never was.
func (m *Module) retract(d *xmpp.Delivery, st *stanza.Stanza, owner, with jid.JID) {
	id, ok := archive.Retracts(st)
	if !ok {
		return
	}
	at, old, err := m.conf.Archive.Find(owner, with, st.From, id)
	if err == nil {
		keep := func(e *stanza.Element) bool {
			return e.Name == stanza.Name{Space: archive.IDSpace, Local: "origin-id"}
		}
		done := d.Await()
		if err = m.conf.Archive.Replace(owner, at, archive.Tombstone(old, keep, st.ID, time.Now(), ""), done); err != nil {
			done(nil)
		}
	}
	if err != nil && !errors.Is(err, archive.ErrNotFound) {
		m.host.Log().Error("a retracted message stays in the archive", "comp", "mam", "user", owner.String(), "err", err)
	}
}

// withoutIDs takes out ids in the name of the account itself (XEP-0359 §4).
func withoutIDs(st *stanza.Stanza, by jid.JID) *stanza.Stanza {
	if !strings.Contains(st.Inner(), archive.IDSpace) && !strings.Contains(st.Decls(), archive.IDSpace) {
		return st
	}
	return st.Without(func(e *stanza.Element) bool { return archive.IsStanzaID(e, by) })
}

// takes reports that a message to an account here is not refused: somebody
// with that name exists, has not blocked the sender, and has the resource that
// a message of type normal names (RFC 6121 §8.5.3.2.1).
func (m *Module) takes(st *stanza.Stanza) bool {
	to := st.To.Bare()
	if !m.host.Exists(to) || m.conf.Blocker != nil && to != st.From.Bare() && m.conf.Blocker.Blocked(to, st.From) {
		return false
	}
	if !st.To.IsFull() || st.Type == "chat" {
		return true
	}
	for _, s := range m.host.Sessions(to) {
		if s.JID() == st.To {
			return true
		}
	}
	return false
}

// hosted reports one of the components' domains.
func (m *Module) hosted(domain string) bool {
	for _, d := range m.host.Domains() {
		if d.Name == domain {
			return true
		}
	}
	return false
}

// Purge forgets the archive of a removed account and what it chose.
func (m *Module) Purge(account jid.JID) error {
	if err := m.conf.Archive.Purge(account); err != nil {
		return err
	}
	return m.purgePrefs(account.Bare())
}
