package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	answerWithin = 7 * 24 * time.Hour  // how long an answer finds the person who wrote last
	keepRefs     = 30 * 24 * time.Hour // how long a Ref is known
)

// refRecord is the record "ref/"+Ref: a message that was delivered.
type refRecord struct {
	V  int       `json:"v"`
	At time.Time `json:"at"`
}

// incoming delivers a message from the network. nil means that it is delivered or on disk.
func (b *Bridge) incoming(ctx context.Context, m transports.Message) error {
	var seen refRecord
	if ok, err := b.c.Table.Get("ref/"+string(m.Ref), &seen); err != nil || ok {
		return err
	}
	if m.Replace == "" && m.Kind == "" {
		b.heard(ctx, m.From)
	}
	for _, f := range b.c.Interceptors {
		taken, err := f(ctx, m)
		if err != nil {
			return fmt.Errorf("intercept %s: %w", m.Ref, err)
		}
		if taken {
			b.remember(m.Ref)
			return nil
		}
	}
	if err := b.dispatch(ctx, m); err != nil {
		return err
	}
	b.remember(m.Ref)
	if m.Kind != "" {
		b.hall.changed() // it may have been a wish to get no texts
	}
	return nil
}

// remember notes that a message was delivered. It is not waited for: should it be lost, the message comes twice with the
// same stanza id.
func (b *Bridge) remember(r transports.Ref) {
	b.c.Table.Later(map[string]any{"ref/" + string(r): refRecord{V: 1, At: b.c.Now()}}, func(err error) {
		if err != nil {
			b.log.Error("reference not stored", "ref", string(r), "err", err)
		}
	})
}

// dispatch finds the recipients: who wrote to the contact last, else those of a keyword, of the contact's group, or the
// default recipients (design §5).
func (b *Bridge) dispatch(ctx context.Context, m transports.Message) error {
	if !b.hall.open() {
		return errEntering
	}
	if b.hall.wish(m) {
		return nil
	}
	var last correspondent
	ok, err := b.c.Table.Get("last/"+string(m.From), &last)
	if err != nil {
		return err
	}
	if room, rest, ok := b.hall.addressed(m); ok {
		named := m
		named.Body, named.Room = rest, transports.RoomID(room.String())
		if err := b.hall.say(ctx, named, room, true); !rejected(err) {
			if err == nil {
				b.heardIn(m.From, room)
			}
			return err
		}
	}
	if ok && b.c.Now().Sub(last.At) <= answerWithin {
		if b.hall.isRoom(last.Person) {
			err = b.hall.say(ctx, m, last.Person, false)
		} else {
			err = b.pass(ctx, m, last.Addr, last.Person)
		}
		if !rejected(err) {
			return err
		}
		b.log.Info("answer not wanted by its recipient, passed on", "ref", string(m.Ref), "user", last.Person.String(), "err", err)
	}
	k := b.keyword(m)
	if k != nil && k.Answer != nil && m.Replace == "" {
		k.Answer(m)
	}
	if k == nil || len(k.To) == 0 {
		if room, ok := b.hall.home(m.From); ok {
			if err := b.hall.say(ctx, m, room, false); !rejected(err) {
				if err == nil {
					b.heardIn(m.From, room)
				}
				return err
			}
		}
	}
	from, err := b.address(m.From)
	if err != nil { // a name that is no local part
		from = b.self
		m.Body = string(m.From) + ": " + m.Body
	}
	var errs []error
	delivered := false
	for _, to := range b.recipients(m, k) {
		if b.hall.isRoom(to) {
			err = b.hall.say(ctx, m, to.Bare(), true)
		} else {
			err = b.pass(ctx, m, from, to)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", to, err))
			continue
		}
		delivered = true
	}
	switch {
	case delivered:
		if len(errs) > 0 {
			b.log.Warn("text not delivered to all default recipients", "ref", string(m.Ref), "err", errors.Join(errs...))
		}
		return nil
	case len(errs) > 0:
		return errors.Join(errs...)
	}
	return fmt.Errorf("text %s from %s has no recipient: nobody wrote to that number lately, and no default recipient is configured", m.Ref, masked(m.From))
}

// rejected says that a message is not wanted where it was sent, now or later.
func rejected(err error) bool {
	var refused *stanza.Error
	return errors.As(err, &refused) && refused.Condition != stanza.InternalServerError
}

// heardIn notes that a contact has spoken in a room whose answers it gets: they need no name of the room.
func (b *Bridge) heardIn(c transports.ContactID, room jid.JID) {
	in, _ := b.hall.homes(c)
	if addr, err := b.address(c); err == nil && slices.Contains(in, room) {
		b.setLast(c, correspondent{Person: room, Addr: addr})
	}
}

// keyword is the rule for a message's first word, nil for none.
func (b *Bridge) keyword(m transports.Message) *Keyword {
	word, _, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(m.Body, "\n", " ")), " ")
	word = strings.ToLower(strings.TrimRight(word, ".,:;!?"))
	for i := range b.c.Keywords {
		if b.c.Keywords[i].Word == word && m.Kind == "" {
			return &b.c.Keywords[i]
		}
	}
	return nil
}

// recipients of a message that belongs to no conversation; k is its keyword's rule, if there is one.
func (b *Bridge) recipients(m transports.Message, k *Keyword) []jid.JID {
	if k != nil && len(k.To) > 0 {
		return k.To
	}
	if b.c.Group != nil {
		if to := b.c.Group(m.From); len(to) > 0 {
			return to
		}
	}
	if b.c.DefaultRecipients != nil {
		return b.c.DefaultRecipients()
	}
	return nil
}

// pass sends the message to one person.
func (b *Bridge) pass(ctx context.Context, m transports.Message, from, to jid.JID) error {
	var w xmlstream.Writer
	w.Leaf("", "body", m.Body)
	if m.Delayed && !m.At.IsZero() {
		w.Leaf(nsDelay, "delay", "", "from", b.self.String(), "stamp", m.At.UTC().Format("2006-01-02T15:04:05Z")) // XEP-0203
	}
	if m.Replace != "" {
		w.Leaf(nsCorrect, "replace", "", "id", string(m.Replace)) // XEP-0308
	}
	return b.send(ctx, stanza.New(stanza.Message, "chat", string(m.Ref), from, to.Bare(), w.String()))
}

// prune forgets old references and correspondents.
func (b *Bridge) prune() {
	now := b.c.Now()
	gone := map[string]any{}
	old := func(prefix, end string, limit time.Duration) error {
		return b.c.Table.Range(prefix, end, false, func(key string, raw []byte) bool {
			var r refRecord // both records have "at"
			if json.Unmarshal(raw, &r) == nil && now.Sub(r.At) > limit {
				gone[key] = nil
			}
			return true
		})
	}
	if err := errors.Join(old("ref/", "ref0", keepRefs), old("last/", "last0", keepRefs), old("reach/", "reach0", keepReach)); err != nil {
		b.log.Error("old records not pruned", "err", err)
	}
	if len(gone) > 0 {
		b.c.Table.Later(gone, nil)
	}
}
