package main

import (
	"doorway/gateway/bridge"
	"doorway/transports"
	"doorway/xmpp/jid"
)

// phonesInRooms lets the phones of groups take part in the groups' rooms.
func (s *server) phonesInRooms() *bridge.Rooms {
	return &bridge.Rooms{
		Domain: s.cfg.MUCDomain(), Groups: s.shared.Rooms(), Also: s.roomsOfTexts,
		Name: s.nameOf, Account: s.accountOf, Wanted: s.sms.May, Cost: s.sms.Parts, PerDay: s.cfg.SMS.RoomPerDay,
		Answer: s.sms.AutoAnswer,
	}
}

// roomsOfTexts are the rooms among those who get texts.
func (s *server) roomsOfTexts() []jid.JID {
	all := s.recipients()
	for _, k := range s.cfg.SMS.Keywords {
		all = append(all, accounts(k.To)...)
	}
	var rooms []jid.JID
	for _, j := range all {
		if j.Domain() == s.cfg.MUCDomain() {
			rooms = append(rooms, j)
		}
	}
	return rooms
}

// nameOf is the name of the person who has a number, "" for nobody's.
func (s *server) nameOf(c transports.ContactID) string {
	if p := s.people.State().OfPhone(string(c)); p != nil {
		return p.Name
	}
	return ""
}

// accountOf is the address of the person who has a number beside it.
func (s *server) accountOf(c transports.ContactID) jid.JID {
	p := s.people.State().OfPhone(string(c))
	if p == nil || p.Address().Domain() == s.cfg.SMSDomain() {
		return jid.JID{}
	}
	return p.Address()
}
