package main

import (
	"strings"

	"doorway/gateway/bridge"
	"doorway/gateway/config"
	"doorway/gateway/health"
	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp/jid"
)

// smsConfig is the SMS network as the configuration has it.
func smsConfig(c *config.Config, modems []modem.Modem) sms.Config {
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

// smsFindings are the modems that are kept from sending, as warnings for people.
func smsFindings(n *sms.Network) []health.Finding {
	var list []health.Finding
	for _, t := range n.Troubles() {
		list = append(list, health.Finding{Name: "sms " + t.Modem, Severity: health.Warning, Text: t.Text, Since: t.Since})
	}
	return list
}
