package control

import (
	"context"
	"errors"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
)

// User is an account as the commands show it.
type User struct {
	JID      string `json:"jid"`
	Name     string `json:"name,omitempty"`
	Created  string `json:"created,omitempty"` // RFC 3339
	Disabled bool   `json:"disabled,omitempty"`
	Sessions int    `json:"sessions"`
}

// UserAdd is the request of user.add and user.passwd.
type UserAdd struct {
	Local    string `json:"local"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password"`
}

// UserName is a request that names one account.
type UserName struct {
	Local string `json:"local"`
}

// Users registers the commands user.add, list, passwd, disable, enable and
// remove. sessions
// counts the resources of a localpart that are bound now.
func Users(s *Server, p *people.People, domain string, sessions func(local string) int) {
	show := func(a people.Account) User {
		if q := p.State().OfAccount(a.Local); q != nil {
			a.Name = q.Name
		}
		return User{JID: a.Local + "@" + domain, Name: a.Name, Created: a.Created.UTC().Format("2006-01-02T15:04:05Z"), Disabled: a.Disabled, Sessions: sessions(a.Local)}
	}
	// one finds an account as somebody types it.
	one := func(typed string) (u User, local string, err error) {
		if local, err = localpart(typed, domain); err != nil {
			return u, "", err
		}
		for _, a := range p.List() {
			if a.Local == local {
				return show(a), local, nil
			}
		}
		return u, "", Refuse("There is no account %s. `doorway user list` shows those that exist.", typed)
	}
	Handle(s, "user.add", func(_ context.Context, r UserAdd) (User, error) {
		local, err := localpart(r.Local, domain)
		if err != nil {
			return User{}, err
		}
		if err := p.Add(local, r.Password, r.Name); err != nil {
			if errors.Is(err, people.ErrExists) {
				return User{}, Refuse("There is already an account %s@%s. To change its password use `doorway user passwd %s`.", local, domain, local)
			}
			return User{}, err
		}
		u, _, err := one(local)
		return u, err
	})
	Handle(s, "user.passwd", func(_ context.Context, r UserAdd) (User, error) {
		u, local, err := one(r.Local)
		if err != nil {
			return User{}, err
		}
		return u, p.SetPassword(local, r.Password)
	})
	bar := func(disabled bool) func(context.Context, UserName) (User, error) {
		return func(_ context.Context, r UserName) (User, error) {
			_, local, err := one(r.Local)
			if err == nil {
				err = p.SetDisabled(local, disabled)
			}
			if err != nil {
				return User{}, err
			}
			u, _, err := one(local)
			return u, err
		}
	}
	Handle(s, "user.disable", bar(true))
	Handle(s, "user.enable", bar(false))
	Handle(s, "user.remove", func(_ context.Context, r UserName) (User, error) {
		u, local, err := one(r.Local)
		if err != nil {
			return User{}, err
		}
		return u, p.Remove(local)
	})
	Handle(s, "user.list", func(context.Context, struct{}) ([]User, error) {
		list := []User{}
		for _, a := range p.List() {
			list = append(list, show(a))
		}
		return list, nil
	})
}

// localpart accepts "alice" and "alice@domain" and returns the prepared localpart.
func localpart(typed, domain string) (string, error) {
	address := strings.TrimSpace(typed)
	if !strings.Contains(address, "@") {
		address += "@" + domain
	}
	j, err := jid.Parse(address)
	if err != nil || !j.IsBare() || j.Local() == "" {
		return "", &Error{Usage: true, Text: "\"" + typed + "\" is not an account name. Use letters, digits, dots, dashes and underscores, without spaces, e.g. alice."}
	}
	if j.Domain() != domain {
		return "", &Error{Usage: true, Text: typed + " is not in this server's domain, which is " + domain + "."}
	}
	return j.Local(), nil
}
