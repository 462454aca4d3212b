package main

import (
	"doorway/gateway/bridge/pages"
)

// offerSMSCommands puts the ad-hoc commands of texts at the SMS domain.
func (s *server) offerSMSCommands() error {
	menu := pages.New(pages.Config{
		Domain: s.cfg.SMSDomain(), May: s.bridge.May, Admin: s.modules.admin.Admin,
		Text: s.bridge.Text, Number: s.sms.ContactID,
		Jobs: s.queue.List, Describe: s.sms.Describe, Counts: s.queue.Counts,
		Modems: func() []pages.Modem {
			list := make([]pages.Modem, len(s.modems))
			for i, m := range s.modems {
				list[i] = m
			}
			return list
		},
		Presence: s.bridge.Presence,
	})
	s.group.Add(task("SMS commands", menu.Run))
	for _, c := range menu.Commands() {
		if err := s.modules.commands.Command(c); err != nil {
			return err
		}
	}
	return nil
}
