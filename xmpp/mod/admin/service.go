package admin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Limits.
const (
	maxAdmins    = 100
	maxBlacklist = 1000
)

// prioBlack places the blacklist before every other hook.
const prioBlack = -100

// plan is a stop that an administrator wants.
type plan struct {
	delay   time.Duration
	restart bool
	by      jid.JID
}

func count(people int) string {
	if people == 1 {
		return "one person"
	}
	return strconv.Itoa(people) + " people"
}

func listed(name, label string, list []jid.JID) form.Field {
	f := form.Field{Var: name, Kind: form.JIDMulti, Label: label}
	for _, j := range list {
		f.Values = append(f.Values, j.String())
	}
	return f
}

// chosen reads a list of addresses, each once.
func chosen(c *xmpp.CommandCall, name string, limit int) ([]jid.JID, error) {
	var list []jid.JID
	f := c.Form.Field(name)
	if f == nil {
		return nil, nil
	}
	for _, v := range f.Values {
		j, err := jid.Parse(strings.TrimSpace(v))
		if err != nil {
			return nil, stanza.NewError(stanza.JIDMalformed, fmt.Sprintf("%q is no address.", v))
		}
		if !slices.Contains(list, j) {
			list = append(list, j.Clone())
		}
	}
	if len(list) > limit {
		return nil, xmpp.TryAgain(fmt.Sprintf("The list may have at most %d addresses.", limit))
	}
	return list, nil
}

// editAdmins is XEP-0133 §4.29.
func (m *Module) editAdmins(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Editing the Admin List", "Those whom the configuration names stay administrators until it is changed.",
		m.adminsEdited, listed("adminjids", "The admin list", m.Admins())), nil
}

func (m *Module) adminsEdited(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list, err := chosen(c, "adminjids", maxAdmins)
	if err != nil {
		return nil, err
	}
	fixed := m.conf.Admins()
	for _, j := range fixed {
		if !slices.Contains(list, j) {
			return nil, xmpp.TryAgain(j.String() + " is an administrator by the configuration. Change `admins` in doorway.toml and run `doorway reload`.")
		}
	}
	var added []jid.JID
	for _, j := range list {
		if slices.Contains(fixed, j) {
			continue
		}
		if j.IsFull() {
			return nil, xmpp.TryAgain("Give the address without a resource: " + j.Bare().String() + ".")
		}
		if _, err := m.local(j.String()); err != nil {
			return nil, err
		}
		added = append(added, j)
	}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.saveList(keyAdmins, added, func(s *settings) { s.Admins = added }); err != nil {
		return nil, err
	}
	return xmpp.CommandDone("The list of administrators is changed."), nil
}

// editBlacklist is XEP-0133 §4.11: nobody here hears of these addresses, nor
// they of anybody here.
func (m *Module) editBlacklist(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Editing the Blacklist", "Nothing goes to or comes from these addresses: domains, accounts of gateways, rooms.",
		m.blacklistEdited, listed("blacklistjids", "The blacklist", m.settings().Blacklist)), nil
}

func (m *Module) blacklistEdited(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list, err := chosen(c, "blacklistjids", maxBlacklist)
	if err != nil {
		return nil, err
	}
	for _, j := range list {
		if j.Domain() == m.home.Domain() {
			return nil, xmpp.TryAgain(j.String() + " belongs to this server. Disable the account instead.")
		}
	}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.saveList(keyBlacklist, list, func(s *settings) { s.Blacklist = list }); err != nil {
		return nil, err
	}
	return xmpp.CommandDone("The blacklist is changed."), nil
}

// blocked matches as XEP-0191 §4 does: full, bare, domain with resource, domain.
func (m *Module) blocked(j jid.JID) bool {
	list := *m.black.Load()
	if len(list) == 0 || j.IsZero() || j.Domain() == m.home.Domain() {
		return false
	}
	for _, b := range list {
		if b == j || b == j.Bare() || b == j.DomainJID() ||
			b.Local() == "" && b.Domain() == j.Domain() && b.Resource() == j.Resource() {
			return true
		}
	}
	return false
}

func (m *Module) outbound(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if !m.blocked(d.Stanza.To) {
		return xmpp.Pass, nil
	}
	return xmpp.Done, stanza.NewError(stanza.NotAcceptable, "The administrators of this server have blocked this address.")
}

func (m *Module) inbound(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	switch {
	case !m.blocked(d.Stanza.From):
		return xmpp.Pass, nil
	case d.Stanza.Kind == stanza.Presence:
		return xmpp.Done, nil
	}
	return xmpp.Done, stanza.NewError(stanza.ServiceUnavailable, "Nothing at this address can be reached.")
}

// stop is XEP-0133 §4.30 (restart) and §4.31 (shut down).
func (m *Module) stop(restart bool) xmpp.CommandFunc {
	title, will := "Shutting Down the Service", "shuts down"
	if restart {
		title, will = "Restarting the Service", "restarts"
	}
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		var options []form.Option
		for _, o := range [][2]string{{"1", "at once"}, {"30", "30 seconds"}, {"60", "60 seconds"}, {"90", "90 seconds"}, {"120", "2 minutes"}, {"180", "3 minutes"}, {"240", "4 minutes"}, {"300", "5 minutes"}} {
			options = append(options, form.Option{Value: o[0], Label: o[1]})
		}
		delay := form.Choice("delay", "Time delay", "30", options...)
		delay.Required = true
		return ask(title, "A restart or shutdown that is under way is replaced by this one.",
			func(ctx context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
				seconds, err := strconv.Atoi(value(c, "delay"))
				if err != nil {
					return nil, stanza.NewError(stanza.BadRequest, "The delay is a number of seconds.")
				}
				s, err := written(c, "announcement")
				if err != nil {
					return nil, err
				}
				if s != "" {
					m.shout(ctx, s)
				}
				m.plan(plan{time.Duration(seconds) * time.Second, restart, c.Asker.Clone()})
				return xmpp.CommandDone(fmt.Sprintf("The service %s in %d seconds.", will, seconds)), nil
			}, delay, textField("announcement", "Announcement", "", false)), nil
	}
}

// plan hands a stop to Run, in the place of one that Run has not seen yet.
func (m *Module) plan(p plan) {
	for {
		select {
		case m.plans <- p:
			return
		default:
		}
		select {
		case <-m.plans:
		default:
		}
	}
}
