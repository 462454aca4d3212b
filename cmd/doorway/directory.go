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

// followPhotos has a new photo of the directory be the avatar of its person at once.
func (s *server) followPhotos() {
	s.people.OnChange(func(ctx context.Context, before, after *people.State) {
		for p := range after.People() {
			if p.Account == "" {
				continue
			}
			if old := before.OfAccount(p.Account); old != nil && old != p && !samePhoto(old.Photo, p.Photo) {
				s.modules.vcard.Changed(ctx, p.Address())
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
