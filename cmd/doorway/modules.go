package main

import (
	"time"

	"doorway/xmpp"
	"doorway/xmpp/mod/carbons"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/mod/ping"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	entitytime "doorway/xmpp/mod/time"
	softwareversion "doorway/xmpp/mod/version"
)

// modules are the parts of the XMPP server, one line for each, in the order
// in which they load.
type modules struct {
	roster   *roster.Module
	presence *presence.Module
	offline  *offline.Module
	list     []xmpp.Module
}

func newModules() modules {
	var m modules
	m.roster = roster.New(nil)
	m.presence = presence.New(m.roster)
	m.offline = offline.New(offline.Config{})
	m.list = []xmpp.Module{
		m.roster,
		m.presence,
		m.offline,
		carbons.New(),
		disco.New(m.roster),
		ping.New(m.roster),
		softwareversion.New(version),
		entitytime.New(time.Now),
	}
	return m
}
