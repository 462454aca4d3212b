package main

import (
	"context"

	"doorway/gateway/bridge"
	"doorway/gateway/spool"
	"doorway/transports"
)

// constructSpool makes the drop folders, where the configuration names them.
func (s *server) constructSpool() {
	c := s.cfg.Spool
	if c.Dir == "" {
		return
	}
	s.spool = spool.New(spool.Options{
		Dir: c.Dir, Latin: !c.UTF8, Keep: c.Keep(), SMS: s.sms, Queue: s.queue, Modems: s.modemStatus,
		Table: s.store.Table("spool"), Health: s.health, Log: s.log,
	})
	s.group.Add(task("drop folders", s.spool.Run))
}

// textChanged tells of a text's new state.
func (s *server) textChanged(j transports.Job) {
	s.sms.Changed(j)
	s.spool.Changed(j)
}

// interceptors see texts that come in before people get them.
func (s *server) interceptors() []bridge.Interceptor {
	list := []bridge.Interceptor{s.hooks.Incoming}
	if s.spool != nil {
		list = append(list, s.spool.Incoming)
	}
	return list
}

// receipts are told what became of texts.
func (s *server) receipts() []func(context.Context, transports.Receipt) error {
	list := []func(context.Context, transports.Receipt) error{s.hooks.Receipt}
	if s.spool != nil {
		list = append(list, s.spool.Receipt)
	}
	return list
}
