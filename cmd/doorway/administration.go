package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/admin"
	"doorway/xmpp/mod/contact"
	"doorway/xmpp/stanza"
)

// exitRestart is what run exits with when an administrator wants a restart and
// a service manager is there to begin anew (configs/doorway.service).
const exitRestart = 75

// errRestart ends run so that the program begins anew.
var errRestart = errors.New("an administrator asked for a restart")

// house is what the administrators' commands (XEP-0133) work on.
func (s *server) house() house {
	return house{
		accounts: governed{s.people},
		admins:   func() []jid.JID { return s.live.Load().AdminJIDs() },
		contacts: s.contacts,
		stop: func(restart bool) {
			s.again.Store(restart)
			if leave := s.leave.Load(); leave != nil {
				(*leave)()
			}
		},
	}
}

// contacts are those of the configuration, or else the administrators.
func (s *server) contacts() contact.Addresses {
	c := s.live.Load().Contact
	var admins []string
	for _, j := range s.modules.admin.Admins() {
		admins = append(admins, "xmpp:"+j.String())
	}
	or := func(uris []string) []string {
		if len(uris) == 0 {
			return admins
		}
		return uris
	}
	return contact.Addresses{
		Abuse: or(c.Abuse), Admin: or(c.Admin), Support: or(c.Support),
		Feedback: c.Feedback, Sales: c.Sales, Security: c.Security, Status: c.Status,
	}
}

// governed is the accounts as commands change them, with errors for whoever
// sits at the client.
type governed struct{ p *people.People }

var _ admin.Accounts = governed{}

func (g governed) List() (list []admin.Account) {
	for _, a := range g.p.List() {
		list = append(list, admin.Account{Local: a.Local, Disabled: a.Disabled})
	}
	return list
}

func (g governed) Disabled(local string) bool { return g.p.Disabled(local) }

func (g governed) Add(local, password, name string) error {
	return told(g.p.Add(local, password, name))
}

func (g governed) Remove(local string) error { return told(g.p.Remove(local)) }

func (g governed) SetPassword(local, password string) error {
	return told(g.p.SetPassword(local, password))
}

func (g governed) SetDisabled(local string, disabled bool) error {
	return told(g.p.SetDisabled(local, disabled))
}

// told makes an error of people one for a client.
func told(err error) error {
	var e *people.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, people.ErrExists):
		return stanza.NewError(stanza.Conflict, "There is already an account of that name.")
	case errors.Is(err, people.ErrUnknown):
		return stanza.NewError(stanza.ItemNotFound, "There is no account of that name.")
	case errors.As(err, &e):
		return xmpp.TryAgain(e.Text)
	}
	return err
}

// beginAgain puts a new process of the same program in the place of this one.
// It returns when that cannot be done. Under systemd it does nothing: the unit
// starts the program again after exitRestart.
func beginAgain() error {
	if os.Getenv("INVOCATION_ID") != "" {
		return nil
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	return fmt.Errorf("begin anew: %w", err)
}
