package main

import (
	"context"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
)

// card is what the directory has of a phone that a person sees, as a vCard.
func (s *server) card(person, contact jid.JID) string {
	return s.modules.vcard.Card(person, contact)
}

// photo names the image in that vCard.
func (s *server) photo(person, contact jid.JID) (sha1 string, listed bool) {
	return s.modules.vcard.Photo(person, contact)
}

// seesPhone reports that somebody here has a phone in the contact list, and not only had.
func (s *server) seesPhone(person, phone jid.JID) bool {
	sub := s.modules.roster.Subscription(person, phone)
	return sub == "to" || sub == "both" || person.Domain() != s.cfg.Domain
}

// followPhotos has a new photo of the directory be the avatar of its person at once.
func (s *server) followPhotos() {
	s.people.OnChange(func(ctx context.Context, before, after *people.State) {
		for p := range after.People() {
			old := before.Person(p.ID)
			switch {
			case old == nil || old == p || samePhoto(old.Photo, p.Photo) || p.Address() != old.Address():
			case p.Account != "":
				s.modules.vcard.Changed(ctx, p.Address())
			case p.Address().Domain() == s.cfg.SMSDomain():
				s.bridge.Refresh(ctx, p.Address())
			}
		}
	})
}

func samePhoto(a, b *people.Photo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SHA1 == b.SHA1
}
