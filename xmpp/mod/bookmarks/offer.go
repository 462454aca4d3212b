package bookmarks

import (
	"context"
	"fmt"

	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
)

// offered is what the server has last offered to an account of a room.
type offered struct {
	V        int    `json:"v"`
	Name     string `json:"name"`
	Autojoin bool   `json:"autojoin"`
	Own      bool   `json:"own,omitempty"` // the account had a bookmark of its own making
}

// Neither address holds a NUL.
func key(account, room jid.JID) string { return account.String() + "\x00" + room.String() }

// Offer implements xmpp.Bookmarks.
func (m *Module) Offer(ctx context.Context, account, room jid.JID, name string, autojoin bool) error {
	account, room = account.Bare(), room.Bare()
	if !m.host.Exists(account) {
		return stanza.NewError(stanza.ItemNotFound, "There is no such account.")
	}
	if room.Local() == "" || len(name) > maxConfName {
		return stanza.NewError(stanza.BadRequest, fmt.Sprintf("A bookmark needs the address of a room, and a name of at most %d bytes.", maxConfName))
	}
	return m.service.Change(ctx, account, func(tx *pubsub.Tx) error {
		var last offered
		had, err := m.table.Get(key(account, room), &last)
		if err != nil {
			return fmt.Errorf("read offered bookmark: %w", err)
		}
		now := offered{V: 1, Name: name, Autojoin: autojoin, Own: last.Own}
		if had && now == last {
			return nil
		}
		it, err := tx.Item(node, room.String())
		if err != nil {
			return err
		}
		b, write := bookmark{name: name, autojoin: autojoin}, false
		switch {
		case it != nil && !had:
			now.Own = true
		case it == nil && !had:
			write = true
		case it != nil && !now.Own: // else it was removed, or is the person's own
			b, _ = parse(it.XML) // ignored: what cannot be read is written anew
			if b.name == last.Name {
				b.name = name
			}
			if b.autojoin == last.Autojoin {
				b.autojoin = autojoin
			}
			write = b.XML() != it.XML
		}
		tx.Put(table, key(account, room), now)
		if !write {
			return nil
		}
		if err := tx.Do(&pubsub.Op{Kind: pubsub.Published, Node: node, Items: []pubsub.Item{{ID: room.String(), XML: b.XML()}}}); err != nil {
			return err
		}
		return m.follow(tx)
	})
}

// Withdraw implements xmpp.Bookmarks.
func (m *Module) Withdraw(ctx context.Context, account, room jid.JID) error {
	account, room = account.Bare(), room.Bare()
	return m.service.Change(ctx, account, func(tx *pubsub.Tx) error {
		var last offered
		had, err := m.table.Get(key(account, room), &last)
		if err != nil {
			return fmt.Errorf("read offered bookmark: %w", err)
		}
		if !had {
			return nil
		}
		tx.Put(table, key(account, room), nil)
		it, err := tx.Item(node, room.String())
		if err != nil || it == nil || last.Own {
			return err
		}
		if err := tx.Do(&pubsub.Op{Kind: pubsub.Retracted, Node: node, Items: []pubsub.Item{{ID: room.String()}}, Tell: true}); err != nil {
			return err
		}
		return m.follow(tx)
	})
}

// follow has the old view follow a change of the rooms.
func (m *Module) follow(tx *pubsub.Tx) error {
	others, err := m.others(tx)
	if err != nil {
		return err
	}
	return m.collate(tx, others)
}
