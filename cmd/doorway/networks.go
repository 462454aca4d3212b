package main

import (
	"context"
	"time"

	"doorway/gateway/bridge"
	"doorway/gateway/config"
	"doorway/gateway/queue"
	"doorway/gateway/supervise"
	"doorway/modem"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// constructSMS makes the modems, the queue, the network and its bridge.
func (s *server) constructSMS() error {
	var drivers []modem.Modem
	claims := &modem.Claims{}
	for _, m := range s.cfg.Modems {
		claims.Reserve(m.Name, m.Device)
		d := modem.New(s.modemConfig(m, claims))
		s.modems = append(s.modems, d)
		drivers = append(drivers, d)
		s.group.Add(task("modem "+m.Name, d.Run))
	}
	var err error
	if s.queue, err = queue.Open(s.store, queue.Options{Network: "sms", Log: s.log, Changed: s.textChanged}); err != nil {
		return err
	}
	s.group.Add(task("queue", s.queue.Run))
	s.sms = sms.New(s.smsConfig(drivers))
	s.constructSpool()
	if err := s.settleCopy(); err != nil {
		return err
	}
	if _, err := smsRecipients(s.cfg); err != nil {
		return err
	}
	s.bridge, err = bridge.New(bridge.Config{
		Network: s.sms, Domain: s.cfg.SMSDomain(), Host: s.router,
		Table: s.store.Table("bridge"), NetworkTable: s.store.Table("sms"), Outbox: s.queue,
		Interceptors: s.interceptors(), Keywords: s.keywords(), Group: s.managersOf, DefaultRecipients: s.recipients,
		Receipts: s.receipts(), Rooms: s.phonesInRooms(),
		Card: s.card, Photo: s.photo, Sees: s.seesPhone, Features: []string{xmpp.CommandSpace}, Reach: s.cfg.SMS.NumberPresence, Version: version, Log: s.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	// A PDU in flight may take a minute to end well (design §4).
	s.group.Add(supervise.Task{Name: "SMS", Run: s.bridge.Run, Stop: 65 * time.Second})
	return nil
}

// settleCopy keeps texts that waited in a restored copy of the data from being
// sent by themselves: they may have been sent since it was made.
func (s *server) settleCopy() error {
	is, err := s.store.FromCopy()
	if err != nil || !is {
		return err
	}
	n, err := s.queue.Doubt(context.Background(), s.sms.Doubt)
	if err != nil {
		return err
	}
	if n > 0 {
		s.log.Warn("texts that waited in the restored data are possibly sent and stay where they are", "comp", "queue", "jobs", n)
	}
	return s.store.SettleCopy()
}

// smsRecipients get texts from numbers that nobody is in conversation with.
func smsRecipients(c *config.Config) ([]jid.JID, error) {
	if len(c.SMS.Recipients) == 0 {
		return c.AdminJIDs(), nil
	}
	var list []jid.JID
	for _, r := range c.SMS.Recipients {
		j, err := jid.Parse(r)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}
