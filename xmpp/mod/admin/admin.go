// Package admin is service administration by ad-hoc commands (XEP-0133 1.3.1):
// accounts and their sessions, counts and lists, announcements, the message of
// the day, the welcome of new people, the list of administrators, blocked
// addresses, restart and shutdown. Only administrators see and run them: those
// whom the configuration names, and those whom they name by edit-admin.
//
// What is set here lies in the table "service"; what was shown to whom, and who
// logged in when, in the table "logins". That somebody was greeted is queued for
// the disk before the greeting is sent; times of login are written every few
// minutes and when the server stops.
//
// Left out: get-user-password, which XEP-0133 has retracted: only SCRAM keys are
// kept, so that nobody can read a password. Whitelists, which would lock an
// office out of its own server. Blacklists for one direction only. Rates of
// stanzas and logins in user-stats, since nobody counts them.
//
// Run is the package's only goroutine; it writes times of login, and stops the
// service when the delay of a restart or shutdown is over.
package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// prefix is what the nodes begin with; formType is the FORM_TYPE of all forms.
const (
	prefix   = "http://jabber.org/protocol/admin#"
	formType = "http://jabber.org/protocol/admin"
)

// Account is a local account.
type Account struct {
	Local    string
	Disabled bool
}

// Accounts are the accounts as commands change them. Errors that are meant for
// the administrator are *stanza.Error or *xmpp.CommandAgain. Changes are on disk
// when a method returns. Safe for concurrent use.
type Accounts interface {
	List() []Account // in order of localpart
	Disabled(local string) bool
	Add(local, password, name string) error
	Remove(local string) error
	SetPassword(local, password string) error
	SetDisabled(local string, disabled bool) error
}

// Roster tells what an account's own roster holds (mod/roster).
type Roster interface {
	// Query is the whole <query xmlns='jabber:iq:roster'/> with its items.
	Query(user jid.JID) (query string, err error)
}

// Config is what the module is made of.
type Config struct {
	Commands xmpp.Commands
	Accounts Accounts
	Roster   Roster
	// Admins are those whom the configuration names now, canonical bare JIDs.
	Admins func() []jid.JID
	// Inactive reports a session whose client said that nobody looks (XEP-0352).
	Inactive func(xmpp.Session) bool
	// Stop has the service stop in order, and begin again with restart. It returns at once.
	Stop func(restart bool)
	Now  func() time.Time // nil means time.Now
}

// Module is XEP-0133. Safe for concurrent use after Load.
type Module struct {
	conf   Config
	host   xmpp.Host
	home   jid.JID
	table  xmpp.Table // "service"
	logins xmpp.Table
	plans  chan plan // capacity 1: the newest plan to stop

	change sync.Mutex // held by one change of the settings at a time, across its commit

	black atomic.Pointer[[]jid.JID] // settings.Blacklist: every stanza asks

	mu    sync.Mutex // guards what follows
	set   settings   // its lists are never changed in place
	dirty map[jid.JID]login
	noted uint64 // rises with each change of dirty that is not written
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module.
func New(c Config) *Module {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Module{conf: c, plans: make(chan plan, 1), dirty: make(map[jid.JID]login)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "admin", Specs: []xmpp.Spec{{Doc: "XEP-0133", Version: "1.3.1", Title: "Service Administration"}}}
}

// Load reads the settings and registers commands and hooks.
func (m *Module) Load(h xmpp.Host) error {
	home, err := jid.Parse(h.Domainpart())
	if err != nil {
		return err
	}
	m.host, m.home, m.table, m.logins = h, home, h.Table("service"), h.Table("logins")
	if err := m.read(); err != nil {
		return err
	}
	h.Session(m.session)
	h.Presence(xmpp.Outbound, prioGreet, m.present)
	for _, hook := range []func(xmpp.Point, int, xmpp.Hook){h.Message, h.Presence, h.IQHook} {
		hook(xmpp.Outbound, prioBlack, m.outbound)
		hook(xmpp.Inbound, prioBlack, m.inbound)
	}
	for _, c := range m.commands() {
		c.Node, c.May = prefix+c.Node, m.Admin
		if err := m.conf.Commands.Command(c); err != nil {
			return err
		}
	}
	return nil
}

// commands lists all, with the short names of their nodes (XEP-0133 §4).
func (m *Module) commands() []xmpp.Command {
	list := []xmpp.Command{
		{Node: "add-user", Name: "Add User", Run: m.addUser},
		{Node: "delete-user", Name: "Delete User", Run: m.deleteUser},
		{Node: "disable-user", Name: "Disable User", Run: m.disableUser(true)},
		{Node: "reenable-user", Name: "Re-Enable User", Run: m.disableUser(false)},
		{Node: "end-user-session", Name: "End User Session", Run: m.endSession},
		{Node: "change-user-password", Name: "Change User Password", Run: m.changePassword},
		{Node: "get-user-roster", Name: "Get User Roster", Run: m.userRoster},
		{Node: "get-user-lastlogin", Name: "Get User Last Login Time", Run: m.lastLogin},
		{Node: "user-stats", Name: "Get User Statistics", Run: m.userStats},
		{Node: "edit-blacklist", Name: "Edit Blacklist", Run: m.editBlacklist},
	}
	for _, g := range m.gatherings() {
		list = append(list, xmpp.Command{Node: g.count, Name: "Get Number of " + g.title + " Users", Run: m.number(g)})
	}
	for _, g := range m.gatherings() {
		list = append(list, xmpp.Command{Node: g.list, Name: "Get List of " + g.title + " Users", Run: m.listing(g)})
	}
	return append(list,
		xmpp.Command{Node: "announce", Name: "Send Announcement to Online Users", Run: m.announce},
		xmpp.Command{Node: "set-motd", Name: "Set Message of the Day", Run: m.setMOTD(false)},
		xmpp.Command{Node: "edit-motd", Name: "Edit Message of the Day", Run: m.setMOTD(true)},
		xmpp.Command{Node: "delete-motd", Name: "Delete Message of the Day", Run: m.deleteMOTD},
		xmpp.Command{Node: "set-welcome", Name: "Set Welcome Message", Run: m.setWelcome},
		xmpp.Command{Node: "delete-welcome", Name: "Delete Welcome Message", Run: m.deleteWelcome},
		xmpp.Command{Node: "edit-admin", Name: "Edit Admin List", Run: m.editAdmins},
		xmpp.Command{Node: "restart", Name: "Restart Service", Run: m.stop(true)},
		xmpp.Command{Node: "shutdown", Name: "Shut Down Service", Run: m.stop(false)},
	)
}

// Admin reports an administrator by any of their addresses: for others who
// register commands for administrators, too.
func (m *Module) Admin(j jid.JID) bool {
	bare := j.Bare()
	if slices.Contains(m.conf.Admins(), bare) {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.set.Admins, bare)
}

// Admins lists all administrators, those of the configuration first.
func (m *Module) Admins() []jid.JID {
	list := slices.Clone(m.conf.Admins())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.set.Admins {
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list
}

// Run writes times of login and carries out plans to stop.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	due := time.NewTimer(time.Hour)
	due.Stop()
	var next plan
	for {
		select {
		case <-ctx.Done():
			m.write()
			return nil
		case <-tick.C:
			m.write()
		case next = <-m.plans:
			due.Reset(next.delay)
		case <-due.C:
			m.host.Log().Info("an administrator stops the service", "comp", "admin", "user", next.by.String(), "restart", next.restart)
			m.conf.Stop(next.restart)
		}
	}
}

// local takes a bare address of an account that exists.
func (m *Module) local(typed string) (jid.JID, error) {
	j, err := jid.Parse(typed)
	switch {
	case err != nil:
		return j, stanza.NewError(stanza.JIDMalformed, fmt.Sprintf("%q is no address.", typed))
	case j.Domain() != m.home.Domain() || j.Local() == "":
		return j, stanza.NewError(stanza.ItemNotFound, fmt.Sprintf("%s is no account of this server, whose accounts end in @%s.", j, m.home))
	case !m.host.Exists(j):
		return j, stanza.NewError(stanza.ItemNotFound, fmt.Sprintf("There is no account %s.", j.Bare()))
	}
	return j.Clone(), nil
}

// again makes a sentence of what came of several accounts.
func again(done string, failed error) *xmpp.CommandPage {
	p := xmpp.CommandDone(done)
	if failed != nil {
		p.Notes = append(p.Notes, xmpp.CommandNote{Severity: xmpp.CommandFailure, Text: sentence(failed)})
	}
	return p
}

// sentence is what an administrator is told of an error.
func sentence(err error) string {
	var e *stanza.Error
	var a *xmpp.CommandAgain
	switch {
	case errors.As(err, &e):
		return e.Text
	case errors.As(err, &a):
		return a.Text
	}
	return "Something went wrong on the server; its log has the details."
}
