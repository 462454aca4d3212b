package main

import (
	"slices"
	"strings"

	"doorway/gateway/api"
	"doorway/gateway/bridge"
	"doorway/gateway/health"
	"doorway/gateway/hook"
	"doorway/gateway/people"
	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp/jid"
)

// smsConfig is the SMS network as the configuration has it.
func (srv *server) smsConfig(modems []modem.Modem) sms.Config {
	c := srv.cfg
	s := c.SMS
	routes := map[string]sms.Route{}
	for _, m := range c.Modems {
		r := sms.Route{Prefixes: m.Prefixes, Groups: m.Groups, Operators: m.Operators, Only: m.Only, Backup: m.Backup, PerHour: m.PerHour, PerDay: m.PerDay}
		for _, a := range accounts(m.Senders) {
			r.Senders = append(r.Senders, a.String())
		}
		routes[m.Name] = r
	}
	validity, urgent, failover := s.Times()
	from, until := s.Hours()
	return sms.Config{
		Country: s.Country, Modems: modems, MaxParts: s.MaxParts, International: s.Foreign, Premium: s.Premium,
		Validity: validity, UrgentValidity: urgent, Routes: routes, Failover: failover,
		PersonPerDay: s.PersonPerDay, PerDay: s.PerDay, Hours: sms.Hours{From: from, Until: until},
		AllowTo: s.AllowTo, DenyTo: s.DenyTo, AllowFrom: s.AllowFrom, DenyFrom: s.DenyFrom,
		Groups: srv.groupsOf, Unwanted: srv.unwanted,
		Answers: sms.Answers{Stop: s.StopAnswer, Start: s.StartAnswer, Help: s.HelpAnswer},
	}
}

// accounts are the addresses of a list that the configuration has checked.
func accounts(list []string) []jid.JID {
	var out []jid.JID
	for _, r := range list {
		if j, err := jid.Parse(r); err == nil { // ignored: config.Load has checked them
			out = append(out, j.Bare())
		}
	}
	return out
}

// keywords are the rules for texts that belong to no conversation.
func (s *server) keywords() []bridge.Keyword {
	var list []bridge.Keyword
	for _, k := range s.cfg.SMS.Keywords {
		w := bridge.Keyword{Word: strings.ToLower(k.Word), To: accounts(k.To)}
		if k.Answer != "" {
			w.Answer = func(m transports.Message) { s.sms.AutoAnswer(m.From, m.Ref, k.Answer) }
		}
		list = append(list, w)
	}
	return list
}

// unwanted reports that the person who has a number wants no texts.
func (s *server) unwanted(num string) bool {
	p := s.people.State().OfPhone(num)
	return p != nil && p.NoSMS
}

// groupsOf names the groups that an account is in, also through other groups, or whose room it is.
func (s *server) groupsOf(account string) []string {
	j, err := jid.Parse(account)
	if err == nil && j.Domain() == s.cfg.MUCDomain() { // the room of a group
		if g := s.people.State().Group(j.Local()); g != nil {
			return []string{g.ID, g.Label}
		}
	}
	if err != nil || j.Domain() != s.cfg.Domain {
		return nil
	}
	p := s.people.State().OfAccount(j.Local())
	if p == nil {
		return nil
	}
	var names []string
	for _, g := range groupsWith(s.people.State(), people.Member(p.ID)) {
		names = append(names, g.ID, g.Label)
	}
	return names
}

// groupsWith lists the groups that have a member, also through other groups.
func groupsWith(st *people.State, m people.Member) []*people.Group {
	var list []*people.Group
	seen := map[string]bool{}
	for todo := []people.Member{m, people.Everybody}; len(todo) > 0; todo = todo[1:] {
		for g := range st.Groups() {
			if !seen[g.ID] && g.Has(todo[0]) {
				seen[g.ID] = true
				list = append(list, g)
				todo = append(todo, people.GroupMember(g.ID))
			}
		}
	}
	return list
}

// numbersOf are the numbers of a person, or of the members of "group:" and an id; nil for neither.
func (s *server) numbersOf(to string) []string {
	st := s.people.State()
	m := people.Member(to)
	if id, ok := m.Group(); ok {
		if st.Group(id) == nil {
			return nil
		}
	} else if p := st.Person(to); p == nil {
		if p = st.OfAccount(to); p == nil {
			return nil
		}
		m = people.Member(p.ID)
	}
	numbers, seen := []string{}, map[people.Member]bool{}
	add := func(p *people.Person) {
		if p != nil && len(p.Phones) > 0 && !p.NoSMS {
			numbers = append(numbers, p.Phones[0])
		}
	}
	for todo := []people.Member{m}; len(todo) > 0; todo = todo[1:] {
		m := todo[0]
		if seen[m] {
			continue
		}
		seen[m] = true
		if id, ok := m.Group(); ok {
			if g := st.Group(id); g != nil {
				todo = append(todo, g.Members...)
			}
		} else if num, ok := m.Phone(); ok {
			numbers = append(numbers, num)
		} else if id, ok := m.Person(); ok {
			add(st.Person(id))
		} else if m == people.Everybody {
			for p := range st.People() {
				if !p.Hidden {
					add(p)
				}
			}
		}
	}
	return numbers
}

// managersOf are who answers for a number that belongs to somebody in their groups.
func (s *server) managersOf(from transports.ContactID) []jid.JID {
	st := s.people.State()
	m := people.Member(from)
	if p := st.OfPhone(string(from)); p != nil {
		m = people.Member(p.ID)
	}
	var list []jid.JID
	for _, g := range groupsWith(st, m) {
		for _, id := range g.Managers {
			p := st.Person(id)
			if p == nil || people.Member(id) == m {
				continue
			}
			if a := p.Address(); a != (jid.JID{}) && a.Domain() != s.cfg.SMSDomain() && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// smsUsage is what the modems have sent, for the API.
func smsUsage(n *sms.Network) []api.ModemUsage {
	list := []api.ModemUsage{}
	for _, u := range n.Use() {
		list = append(list, api.ModemUsage{Modem: u.Modem, Hour: u.Hour, Day: u.Day, PerHour: u.PerHour, PerDay: u.PerDay, Resting: u.Resting, Failing: u.Distinct})
	}
	return list
}

// smsFindings are the modems that are kept from sending, and webhooks that were switched off, as warnings for people.
func smsFindings(n *sms.Network, hooks *hook.Hooks) []health.Finding {
	var list []health.Finding
	for _, h := range hooks.List() {
		if h.Off != "" {
			list = append(list, health.Finding{Name: "webhook " + h.ID, Severity: health.Warning, Text: h.Off, Since: h.Created})
		}
	}
	for _, t := range n.Troubles() {
		list = append(list, health.Finding{Name: "sms " + t.Modem, Severity: health.Warning, Text: t.Text, Since: t.Since})
	}
	return list
}
