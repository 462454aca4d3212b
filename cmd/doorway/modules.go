package main

import (
	"context"
	"errors"
	"time"

	"doorway/gateway/config"
	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/c2s"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/admin"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/bookmarks"
	"doorway/xmpp/mod/caps"
	"doorway/xmpp/mod/carbons"
	adhoc "doorway/xmpp/mod/command"
	"doorway/xmpp/mod/contact"
	"doorway/xmpp/mod/csi"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/last"
	"doorway/xmpp/mod/mam"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/mod/pep"
	"doorway/xmpp/mod/ping"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/private"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/mod/search"
	"doorway/xmpp/mod/streamlimits"
	entitytime "doorway/xmpp/mod/time"
	"doorway/xmpp/mod/vcard"
	softwareversion "doorway/xmpp/mod/version"
	"doorway/xmpp/pubsub"
)

// modules are the parts of the XMPP server, one line for each, in the order
// in which they load.
type modules struct {
	roster    *roster.Module
	blocking  *blocking.Module
	presence  *presence.Module
	offline   *offline.Module
	csi       *csi.Module
	commands  *adhoc.Module
	admin     *admin.Module
	pep       *pep.Module
	bookmarks *bookmarks.Module
	vcard     *vcard.Module
	list      []xmpp.Module
}

// clientLimits is what client streams are held to, and told.
func clientLimits() c2s.Limits { return c2s.Limits{} }

// groups is what the shared groups answer to modules; the zero value where
// modules are only looked at.
type groups struct {
	roster    xmpp.SharedRoster
	directory xmpp.Directory
	rooms     xmpp.GroupRooms
}

// house is what administrators govern; the zero value where modules are only
// looked at.
type house struct {
	accounts admin.Accounts
	admins   func() []jid.JID
	stop     func(restart bool)
	contacts func() contact.Addresses
}

func newModules(cfg *config.Config, g groups, h house) modules {
	var m modules
	limits := clientLimits().Effective()
	m.roster = roster.New(g.roster).Gather(c2s.Gather)
	m.blocking = blocking.New(m.roster)
	m.presence = presence.New(m.blocking.Subscriptions())
	m.offline = offline.New(offline.Config{})
	m.csi = csi.New()
	m.commands = adhoc.New()
	m.admin = admin.New(admin.Config{Commands: m.commands, Accounts: h.accounts, Roster: m.roster, Admins: h.admins, Inactive: m.csi.Inactive, Stop: h.stop})
	kept := archive.New(archive.Config{Age: max(cfg.Archive.Age(), 1), Bytes: cfg.Archive.Bytes()})
	can := caps.New("urn:doorway", 0)
	nodes := pubsub.New(pubsub.Config{Rules: m.roster})
	m.pep = pep.New(pep.Config{Service: nodes, Subscriptions: m.blocking.Subscriptions(), Blocker: m.blocking, Caps: can})
	m.bookmarks = bookmarks.New(nodes)
	m.vcard = vcard.New(m.presence, nodes).Consult(g.directory)
	m.list = []xmpp.Module{
		m.roster,
		m.blocking,
		m.presence,
		m.offline,
		carbons.New(),
		disco.New(m.roster, m.commands, m.pep),
		ping.New(m.roster),
		softwareversion.New(version),
		entitytime.New(time.Now),
		last.New(m.roster, time.Now),
		m.vcard,
		private.New(m.bookmarks),
		m.csi,
		m.commands,
		m.admin,
		contact.New(h.contacts),
		mam.New(mam.Config{Archive: kept, Subscriptions: m.roster, Blocker: m.blocking, Off: !cfg.Archive.On()}),
		muc.New(muc.Config{Domain: cfg.MUCDomain(), Archive: kept, ArchiveOff: !cfg.Archive.On(), Groups: g.rooms, Admin: m.admin.Admin}),
		search.New(search.Config{Domain: cfg.DirectoryDomain(), Directory: g.directory}),
		m.pep,
		m.bookmarks,
		can,
		streamlimits.New(streamlimits.Limits{PreAuth: limits.PreAuth.Bytes, PostAuth: limits.PostAuth.Bytes, Idle: limits.Idle}),
	}
	return m
}

// purge takes away what the modules keep of an account that was removed.
func (m modules) purge(account jid.JID) error {
	return errors.Join(m.roster.Purge(context.Background(), account), m.clear(account))
}

// clear is purge without a word to others: for an account that never was.
func (m modules) clear(account jid.JID) error {
	var errs []error
	for _, x := range m.list {
		if p, ok := x.(interface{ Purge(jid.JID) error }); ok {
			errs = append(errs, p.Purge(account))
		}
	}
	return errors.Join(errs...)
}
