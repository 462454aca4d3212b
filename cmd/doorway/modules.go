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
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/caps"
	"doorway/xmpp/mod/carbons"
	adhoc "doorway/xmpp/mod/command"
	"doorway/xmpp/mod/csi"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/last"
	"doorway/xmpp/mod/mam"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/mod/ping"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/private"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/mod/streamlimits"
	entitytime "doorway/xmpp/mod/time"
	"doorway/xmpp/mod/vcard"
	softwareversion "doorway/xmpp/mod/version"
)

// modules are the parts of the XMPP server, one line for each, in the order
// in which they load.
type modules struct {
	roster   *roster.Module
	blocking *blocking.Module
	presence *presence.Module
	offline  *offline.Module
	csi      *csi.Module
	commands *adhoc.Module
	list     []xmpp.Module
}

// clientLimits is what client streams are held to, and told.
func clientLimits() c2s.Limits { return c2s.Limits{} }

// groups is what the shared groups answer to modules; the zero value where
// modules are only looked at.
type groups struct {
	roster xmpp.SharedRoster
}

func newModules(cfg *config.Config, g groups) modules {
	var m modules
	limits := clientLimits().Effective()
	m.roster = roster.New(g.roster)
	m.blocking = blocking.New(m.roster)
	m.presence = presence.New(m.blocking.Subscriptions())
	m.offline = offline.New(offline.Config{})
	m.csi = csi.New()
	m.commands = adhoc.New()
	kept := archive.New(archive.Config{Age: max(cfg.Archive.Age(), 1), Bytes: cfg.Archive.Bytes()})
	m.list = []xmpp.Module{
		m.roster,
		m.blocking,
		m.presence,
		m.offline,
		carbons.New(),
		disco.New(m.roster, m.commands),
		ping.New(m.roster),
		softwareversion.New(version),
		entitytime.New(time.Now),
		last.New(m.roster, time.Now),
		vcard.New(m.presence),
		private.New(),
		m.csi,
		m.commands,
		mam.New(mam.Config{Archive: kept, Subscriptions: m.roster, Blocker: m.blocking, Off: !cfg.Archive.On()}),
		muc.New(muc.Config{Domain: cfg.MUCDomain(), Archive: kept, ArchiveOff: !cfg.Archive.On()}),
		caps.New("urn:doorway", 0),
		streamlimits.New(streamlimits.Limits{PreAuth: limits.PreAuth.Bytes, PostAuth: limits.PostAuth.Bytes, Idle: limits.Idle}),
	}
	return m
}

// purge takes away what the modules keep of an account that was removed.
func (m modules) purge(account jid.JID) error {
	errs := []error{m.roster.Purge(context.Background(), account)}
	for _, x := range m.list {
		if p, ok := x.(interface{ Purge(jid.JID) error }); ok {
			errs = append(errs, p.Purge(account))
		}
	}
	return errors.Join(errs...)
}
