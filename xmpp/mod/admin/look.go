package admin

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// userRoster is XEP-0133 §4.8.
func (m *Module) userRoster(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Getting a User's Roster", "Fill out this form to get a user's roster.", m.rosterGot,
		several("The Jabber ID(s) for which to retrieve the roster")), nil
}

// rosterGot answers with one form for each account. The roster itself stands
// in it as XEP-0133 §4.8 has it, and as lines for clients that show only fields.
func (m *Module) rosterGot(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list, err := m.bares(c)
	if err != nil {
		return nil, err
	}
	var payload strings.Builder
	for _, j := range list {
		query, err := m.conf.Roster.Query(j)
		if err != nil {
			return nil, err
		}
		tree, err := xmlstream.ParseTree(query, "", "jabber:client")
		if err != nil || len(tree) != 1 {
			return nil, fmt.Errorf("roster of %s: %w", j, err)
		}
		x := form.New(form.Result, formType, form.Field{Var: "accountjids", Kind: form.JIDMulti, Values: []string{j.String()}},
			form.Field{Var: "roster", Kind: form.TextMulti, Label: "Contacts", Values: lines(&tree[0])}).XML()
		payload.WriteString(strings.TrimSuffix(x, "</x>") + query + "</x>")
	}
	return &xmpp.CommandPage{Payload: payload.String()}, nil
}

// lines describes roster items to people.
func lines(query *stanza.Element) []string {
	var all []string
	for i := range query.Children {
		item := &query.Children[i]
		line := item.Attr("jid")
		if name := item.Attr("name"); name != "" {
			line = name + " <" + line + ">"
		}
		line += ", " + item.Attr("subscription")
		for n := range item.Children {
			if g := &item.Children[n]; g.Name.Local == "group" {
				line += ", " + g.Text
			}
		}
		all = append(all, line)
	}
	return all
}

// lastLogin is XEP-0133 §4.9.
func (m *Module) lastLogin(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Getting a User's Last Login Time", "Fill out this form to get a user's last login time.", m.lastLoginGot,
		several("The Jabber ID(s) for which to retrieve the last login time")), nil
}

func (m *Module) lastLoginGot(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	list, err := m.bares(c)
	if err != nil {
		return nil, err
	}
	account := form.Field{Var: "accountjids", Kind: form.JIDMulti, Label: "Account"}
	when := form.Field{Var: "lastlogin", Kind: form.TextSingle, Label: "Last login"}
	for _, j := range list {
		account.Values = append(account.Values, j.String())
		text, err := m.loggedIn(j)
		if err != nil {
			return nil, err
		}
		when.Values = append(when.Values, text)
	}
	if len(list) == 1 {
		return &xmpp.CommandPage{Form: form.New(form.Result, formType, account, when)}, nil
	}
	when.Kind = form.TextMulti
	return &xmpp.CommandPage{Form: form.New(form.Result, formType, account, when)}, nil
}

// loggedIn is the time of the last login (XEP-0082), or that there was none.
func (m *Module) loggedIn(j jid.JID) (string, error) {
	l, known, err := m.login(j)
	switch {
	case err != nil:
		return "", err
	case !known || l.At.IsZero():
		return "never", nil
	}
	return l.At.UTC().Format("2006-01-02T15:04:05Z"), nil
}

// userStats is XEP-0133 §4.10.
func (m *Module) userStats(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	return ask("Get User Statistics", "Fill out this form to gather user statistics.", m.statsGot, one("The Jabber ID for statistics")), nil
}

func (m *Module) statsGot(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	j, err := m.local(strings.TrimSpace(value(c, "accountjid")))
	if err != nil {
		return nil, err
	}
	query, err := m.conf.Roster.Query(j.Bare())
	if err != nil {
		return nil, err
	}
	tree, err := xmlstream.ParseTree(query, "", "jabber:client")
	if err != nil || len(tree) != 1 {
		return nil, fmt.Errorf("roster of %s: %w", j, err)
	}
	when, err := m.loggedIn(j.Bare())
	if err != nil {
		return nil, err
	}
	addresses := form.Field{Var: "ipaddresses", Kind: form.TextMulti, Label: "IP addresses"}
	resources := form.Field{Var: "onlineresources", Kind: form.TextMulti, Label: "Resources"}
	for _, s := range m.host.Sessions(j.Bare()) {
		resources.Values = append(resources.Values, s.JID().Resource())
		a := s.Addr()
		if host, _, err := net.SplitHostPort(a); err == nil {
			a = host
		}
		if !slices.Contains(addresses.Values, a) {
			addresses.Values = append(addresses.Values, a)
		}
	}
	return &xmpp.CommandPage{Form: form.New(form.Result, formType, addresses,
		form.Text("rostersize", "Contacts", strconv.Itoa(len(tree[0].Children))), resources, form.Text("lastlogin", "Last login", when))}, nil
}

// gathering is a set of accounts that can be counted and listed (XEP-0133 §4.13 to §4.22).
type gathering struct {
	title             string
	count, list       string // nodes
	countVar, listVar string
	has               func(Account) bool
}

func (m *Module) gatherings() []gathering {
	return []gathering{
		{"Registered", "get-registered-users-num", "get-registered-users-list", "registeredusersnum", "registereduserjids", func(Account) bool { return true }},
		{"Disabled", "get-disabled-users-num", "get-disabled-users-list", "disabledusersnum", "disableduserjids", func(a Account) bool { return a.Disabled }},
		{"Online", "get-online-users-num", "get-online-users-list", "onlineusersnum", "onlineuserjids", func(a Account) bool { return m.online(a.Local) }},
		{"Active", "get-active-users-num", "get-active-users", "activeusersnum", "activeuserjids", func(a Account) bool { return m.active(a.Local) }},
		{"Idle", "get-idle-users-num", "get-idle-users", "idleusersnum", "idleuserjids", func(a Account) bool { return m.online(a.Local) && !m.active(a.Local) }},
	}
}

// gather lists the accounts of a set.
func (m *Module) gather(g gathering) (list []string) {
	for _, a := range m.conf.Accounts.List() {
		if g.has(a) {
			if j, err := jid.New(a.Local, m.home.Domain(), ""); err == nil {
				list = append(list, j.String())
			}
		}
	}
	return list
}

func (m *Module) number(g gathering) xmpp.CommandFunc {
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		n := strconv.Itoa(len(m.gather(g)))
		return &xmpp.CommandPage{Form: form.New(form.Result, formType, form.Text(g.countVar, "The number of "+strings.ToLower(g.title)+" users", n))}, nil
	}
}

// none asks for all of a list.
const none = "none"

func (m *Module) listing(g gathering) xmpp.CommandFunc {
	what := strings.ToLower(g.title)
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		var options []form.Option
		for _, n := range []string{"25", "50", "75", "100", "150", "200"} {
			options = append(options, form.Option{Label: n, Value: n})
		}
		options = append(options, form.Option{Label: "None", Value: none})
		return ask("Requesting List of "+g.title+" Users", "Fill out this form to request the "+what+" users of this service.",
			func(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
				list := m.gather(g)
				p := &xmpp.CommandPage{}
				if n, err := strconv.Atoi(value(c, "max_items")); err == nil && n < len(list) {
					p.Notes = []xmpp.CommandNote{{Severity: xmpp.CommandInfo, Text: fmt.Sprintf("These are the first %d of %d.", n, len(list))}}
					list = list[:n]
				}
				p.Form = form.New(form.Result, formType, form.Field{Var: g.listVar, Kind: form.JIDMulti, Label: "The list of " + what + " users", Values: list})
				return p, nil
			}, form.Choice("max_items", "Maximum number of items to show", none, options...)), nil
	}
}

// available calls f for the sessions of an account that have sent presence.
func (m *Module) available(local string, f func(s xmpp.Session, p *stanza.Stanza)) {
	j, err := jid.New(local, m.home.Domain(), "")
	if err != nil {
		return // ignored: such an account has no address, and no session
	}
	for _, s := range m.host.Sessions(j) {
		if p, _ := s.Presence(); p != nil {
			f(s, p)
		}
	}
}

func (m *Module) online(local string) (yes bool) {
	m.available(local, func(xmpp.Session, *stanza.Stanza) { yes = true })
	return yes
}

// active: somebody looks. Not away, not a phone in a pocket (XEP-0352), not a
// stream that was lost (XEP-0198).
func (m *Module) active(local string) (yes bool) {
	m.available(local, func(s xmpp.Session, p *stanza.Stanza) {
		show, _ := p.Child("", "show")
		a, ok := s.(xmpp.Absentee)
		away := show.Text == "away" || show.Text == "xa" || ok && a.Absent() || m.conf.Inactive != nil && m.conf.Inactive(s)
		yes = yes || !away
	})
	return yes
}
