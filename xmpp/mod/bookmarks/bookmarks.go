// Package bookmarks keeps bookmarks of rooms as clients of three ages see them
// (XEP-0402 1.2.0): an item for each room in the node urn:xmpp:bookmarks:1, which
// is the truth; one item with all of them in the node storage:bookmarks (XEP-0048
// 1.2); and one element in private storage (XEP-0048 1.0 over XEP-0049).
//
// What a client changes in one of them is there in the others with the same
// commit. Rooms that are the same as before are neither written nor told again.
// What the old form cannot say is kept: a room's extensions stay with it, and
// what an old storage holds beside rooms (bookmarks of pages) stays there. An
// old client that removes or empties its list removes the bookmarks; one that
// deletes the old node only loses the view, which comes back with the next change.
//
// For the server's own sake Module implements xmpp.Bookmarks: what was offered
// last lies in the table "bookmarks", so that what a person has changed since is
// told apart from what the server would have them see.
//
// The package starts no goroutine and keeps nothing in memory.
package bookmarks

import (
	"context"
	"fmt"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
)

const (
	node   = "urn:xmpp:bookmarks:1" // also the namespace of its items
	legacy = "storage:bookmarks"    // likewise
	id     = "current"              // of the one item of legacy

	table       = "bookmarks"
	maxSize     = 128 << 10 // bytes of a list that is set in the old way
	maxLegacy   = 120 << 10 // bytes of the item of legacy; a longer list is in private storage only
	maxRooms    = 1000      // in a list that is set in the old way: what a node keeps
	maxConfName = 1023      // bytes
)

// Module is XEP-0402. Safe for concurrent use after Load.
type Module struct {
	service *pubsub.Service
	table   xmpp.Table
	host    xmpp.Host
}

var (
	_ xmpp.Module    = (*Module)(nil)
	_ xmpp.Bookmarks = (*Module)(nil)
)

// New makes the module.
func New(s *pubsub.Service) *Module { return &Module{service: s} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "bookmarks", Specs: []xmpp.Spec{
		{Doc: "XEP-0048", Version: "1.2", Title: "Bookmarks"},
		{Doc: "XEP-0402", Version: "1.2.0", Title: "PEP Native Bookmarks"},
	}}
}

// Load registers the features and what watches over the nodes.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table(table)
	m.service.Open(h)
	m.service.Default(node, pubsub.Private()) // XEP-0402 §3.1
	old := pubsub.Private()
	old.Max, old.Last = 1, pubsub.OnSubAndPresence
	m.service.Default(legacy, old)
	m.service.Before(node, m.changed)
	m.service.Before(legacy, m.legacyChanged)
	h.Feature(xmpp.ToBare, node+"#compat", node+"#compat-pep")
	return nil
}

func invalid(text string) error {
	e := stanza.NewError(stanza.BadRequest, text)
	e.App = "<invalid-payload xmlns='" + pubsub.SpaceErrors + "'/>"
	return e
}

// changed sees what is asked of the node: it is done, and the old view follows.
func (m *Module) changed(tx *pubsub.Tx, op *pubsub.Op) error {
	if op.Kind == pubsub.Published {
		for i := range op.Items {
			it := &op.Items[i]
			if j, err := jid.Parse(it.ID); err != nil || j.Local() == "" || j.IsFull() {
				return stanza.NewError(stanza.BadRequest, "The id of a bookmark is the address of its room.")
			}
			if _, ok := parse(it.XML); !ok {
				return invalid("A bookmark is an element conference of the namespace " + node + ".")
			}
		}
	}
	op.Done = true
	if err := tx.Do(op); err != nil {
		return err
	}
	return m.follow(tx)
}

// legacyChanged sees what is asked of the old node: the rooms follow it.
func (m *Module) legacyChanged(tx *pubsub.Tx, op *pubsub.Op) error {
	var list []entry
	var others string
	switch op.Kind {
	case pubsub.Published:
		el, err := element(op.Items[0].XML)
		if err != nil || len(op.Items) != 1 || el.Name != (stanza.Name{Space: legacy, Local: "storage"}) {
			return invalid("The old list of bookmarks is one element storage of the namespace " + legacy + ".")
		}
		list, others = parseLegacy(el)
	case pubsub.Retracted, pubsub.Purged:
	default:
		return nil
	}
	if err := replace(tx, list, true); err != nil {
		return err
	}
	if op.Kind != pubsub.Published {
		return nil
	}
	items, err := tx.Items(node)
	if err != nil {
		return err
	}
	op.Items[0].ID, op.Items[0].XML = id, storage(items, others)
	return nil
}

// others is what the old item holds beside rooms.
func (m *Module) others(tx *pubsub.Tx) (string, error) {
	it, err := tx.Item(legacy, id)
	if err != nil || it == nil {
		return "", err
	}
	el, err := element(it.XML)
	if err != nil {
		return "", nil // ignored: it is about to be written anew
	}
	_, others := parseLegacy(el)
	return others, nil
}

// collate writes the old item as the rooms are (XEP-0402 §5.2), when it differs.
// Nobody but the owner may read it.
func (m *Module) collate(tx *pubsub.Tx, others string) error {
	items, err := tx.Items(node)
	if err != nil {
		return err
	}
	now := storage(items, others)
	before, err := tx.Item(legacy, id)
	if err != nil {
		return err
	}
	switch c, there := tx.Config(legacy); {
	case before != nil && before.XML == now, before == nil && len(items) == 0 && others == "":
		return nil
	case len(now) > maxLegacy:
		if before == nil {
			return nil
		}
		return tx.Do(&pubsub.Op{Kind: pubsub.Retracted, Node: legacy, Items: []pubsub.Item{{ID: id}}})
	case there && (c.Access != pubsub.Whitelist || !c.Persist):
		c.Access, c.Persist = pubsub.Whitelist, true
		if err := tx.Do(&pubsub.Op{Kind: pubsub.Configured, Node: legacy, Conf: &c}); err != nil {
			return err
		}
	}
	return tx.Do(&pubsub.Op{Kind: pubsub.Published, Node: legacy, Items: []pubsub.Item{{ID: id, XML: now}}})
}

// replace makes the rooms what an old list says: new and changed ones are
// published, those that are missing are retracted where gone says so.
func replace(tx *pubsub.Tx, list []entry, gone bool) error {
	if len(list) > maxRooms {
		return stanza.NewError(stanza.ResourceConstraint, fmt.Sprintf("There may be %d bookmarks at most.", maxRooms))
	}
	items, err := tx.Items(node)
	if err != nil {
		return err
	}
	have := make(map[string]bookmark, len(items))
	for i := range items {
		have[items[i].ID], _ = parse(items[i].XML) // ignored: an unreadable one is written anew
	}
	listed := make(map[string]bool, len(list))
	for _, e := range list {
		if listed[e.room] {
			continue // the first one of a room counts
		}
		listed[e.room] = true
		old, there := have[e.room]
		if there && !gone {
			continue
		}
		b := e.bookmark
		b.keep(old)
		if there && b.equal(old) {
			continue
		}
		if err := tx.Do(&pubsub.Op{Kind: pubsub.Published, Node: node, Items: []pubsub.Item{{ID: e.room, XML: b.XML()}}}); err != nil {
			return err
		}
	}
	if !gone {
		return nil
	}
	for i := range items {
		if room := items[i].ID; !listed[room] {
			if err := tx.Do(&pubsub.Op{Kind: pubsub.Retracted, Node: node, Items: []pubsub.Item{{ID: room}}, Tell: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Name is the element of private storage that is kept here (mod/private).
func (*Module) Name() stanza.Name { return stanza.Name{Space: legacy, Local: "storage"} }

// Private returns an account's bookmarks as that element; "" when it never had any.
func (m *Module) Private(ctx context.Context, user jid.JID) (string, error) {
	xml := ""
	err := m.service.Change(ctx, user, func(tx *pubsub.Tx) error { // which changes nothing
		items, err := tx.Items(node)
		if err != nil {
			return err
		}
		others, err := m.others(tx)
		if _, there := tx.Config(node); there || others != "" {
			xml = storage(items, others)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read bookmarks: %w", err)
	}
	return xml, nil
}

// SetPrivate makes an account's bookmarks what the element says. With add only
// rooms that have no bookmark are taken, as when old data are moved here.
func (m *Module) SetPrivate(ctx context.Context, user jid.JID, el *stanza.Element, add bool) error {
	if len(el.XML()) > maxSize {
		return stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("Bookmarks may have at most %d KiB.", maxSize>>10))
	}
	list, others := parseLegacy(el)
	return m.service.Change(ctx, user, func(tx *pubsub.Tx) error {
		if err := replace(tx, list, !add); err != nil {
			return err
		}
		if add {
			had, err := m.others(tx)
			if err != nil {
				return err
			}
			if had != "" {
				others = had
			}
		}
		return m.collate(tx, others)
	})
}

// Purge forgets what was offered to a removed account. Its nodes are mod/pep's.
func (m *Module) Purge(account jid.JID) error {
	gone := make(map[string]any)
	from := account.Bare().String()
	err := m.table.Range(from+"\x00", from+"\x01", false, func(k string, _ []byte) bool {
		gone[k] = nil
		return true
	})
	if err == nil && len(gone) > 0 {
		err = m.table.Write(gone)
	}
	if err != nil {
		return fmt.Errorf("purge bookmarks of %s: %w", account, err)
	}
	return nil
}
