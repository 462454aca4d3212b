package bridge

import (
	"context"
	"encoding/json"
	"errors"

	"doorway/transports"
	"doorway/xmpp/jid"
)

// May says whether a person may use the network. Safe for concurrent use.
func (b *Bridge) May(person jid.JID) bool { return b.c.Allow == nil || b.c.Allow(person.Bare()) }

// Text sends a text that was not written in a chat: a command's. to is what a person typed. It
// returns when the text is on disk. The answer finds the sender as if they had written in a
// chat; that the text did not get through, or only perhaps, is told as a message from the
// contact. Errors are *transports.Error, or of the store. Safe for concurrent use.
func (b *Bridge) Text(ctx context.Context, sender jid.JID, to, body string, urgent bool) (transports.ContactID, transports.Ref, error) {
	contact, err := b.c.Network.ContactID(to)
	if err != nil {
		return "", "", err
	}
	b.mu.Lock()
	s := b.session
	b.mu.Unlock()
	if s == nil {
		return contact, "", &transports.Error{Kind: transports.Down, Temporary: true,
			Text: "The " + b.info.Name + " gateway is being restarted, so nothing was sent to " + string(contact) + ". Try again in a moment."}
	}
	addr, err := b.address(contact)
	if err != nil {
		return contact, "", &transports.Error{Kind: transports.NotFound, Text: "“" + to + "” cannot be an address.", Err: err}
	}
	person := sender.Bare().Clone()
	raw, err := json.Marshal(origin{From: sender, To: addr, At: b.c.Now().Unix()})
	if err != nil {
		return contact, "", err
	}
	ref, err := s.Send(ctx, transports.Message{Sender: person.String(), Origin: string(raw), To: contact, Body: body, Urgent: urgent})
	if err != nil {
		if why := errors.Unwrap(err); why != nil {
			b.log.Warn("text not taken", "user", person.String(), "err", why)
		}
		return contact, "", err
	}
	// Should this record be lost, the answer goes to who answers for the number.
	b.c.Table.Later(map[string]any{"last/" + string(contact): correspondent{V: 1, Person: person, Addr: addr, At: b.c.Now()}}, func(err error) {
		if err != nil {
			b.log.Error("last correspondent not stored", "ref", string(ref), "err", err)
		}
	})
	return contact, ref, nil
}

// Presence is the state of the gateway in words. Safe for concurrent use.
func (b *Bridge) Presence() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.Text
}
