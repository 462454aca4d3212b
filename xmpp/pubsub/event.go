package pubsub

import (
	"context"
	"crypto/rand"
	"fmt"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Event is a change of a node that is on disk.
type Event struct {
	Owner jid.JID
	Node  string
	Kind  Kind
	Items []Item  // Published: one; Retracted: only their ids
	Only  jid.JID // when not zero, this is for that address alone, which has just subscribed

	s     *Service
	node  *node // as it was then
	quiet bool
	text  string
}

// Quiet reports that the node's configuration has nobody told of this.
func (e *Event) Quiet() bool { return e.quiet }

// Readable reports that an address may read the node now.
func (e *Event) Readable(who jid.JID) bool { return e.s.mayRead(e.Owner, e.node, who) == nil }

// Subscribers calls f for each address that is subscribed to the node (XEP-0060
// §6.1) and may read it.
func (e *Event) Subscribers(f func(jid.JID)) {
	for k := range e.node.row.Subs {
		if j, err := jid.Parse(k); err == nil && e.Readable(j) {
			f(j)
		}
	}
}

// MessageType is the type of the messages that tell of the node.
func (e *Event) MessageType() string {
	if e.node.row.Conf.Normal {
		return "normal"
	}
	return "headline"
}

// XML is the notification (XEP-0060 §7.1.2.1, §7.2.2.1, §8.4.2, §8.5.2, §8.2.5.4).
// Not safe for concurrent use.
func (e *Event) XML() string {
	if e.text != "" {
		return e.text
	}
	var w xmlstream.Writer
	w.Start(SpaceEvent, "event")
	switch e.Kind {
	case Published, Retracted:
		w.Start("", "items", "node", e.Node)
		for i := range e.Items {
			if e.Kind == Retracted {
				w.Start("", "retract", "id", e.Items[i].ID).End()
			} else {
				e.Items[i].write(&w, !e.node.row.Conf.Bare)
			}
		}
	case Purged:
		w.Start("", "purge", "node", e.Node)
	case Deleted:
		w.Start("", "delete", "node", e.Node)
	case Configured, Created:
		w.Start("", "configuration", "node", e.Node)
		if !e.node.row.Conf.Bare {
			w.Raw(e.node.row.Conf.form(form.Result).XML())
		}
	}
	e.text = w.String()
	return e.text
}

// write writes an item.
func (it *Item) write(w *xmlstream.Writer, payload bool) {
	w.Start("", "item", "id", it.ID, "publisher", it.Publisher.String())
	if payload {
		w.Raw(it.XML)
	}
	w.End()
}

// LastItems calls f with the last item of each of an owner's nodes that viewer
// may read and want accepts, as an event: what is sent to somebody who comes
// (XEP-0163 §4.3.4). presence tells whether that is for having come online;
// else it is for a new subscription.
func (s *Service) LastItems(of, viewer jid.JID, presence bool, want func(node string) bool, f func(*Event)) error {
	a, err := s.acquire(of)
	if err != nil {
		return err
	}
	defer s.release(a)
	for _, n := range a.list() {
		c := &n.row.Conf
		if n.row.Last == "" || c.Last == Never || presence && c.Last != OnSubAndPresence || c.Mute ||
			!want(n.name) || s.mayRead(a.owner, n, viewer) != nil {
			continue
		}
		it, err := s.lastOf(a, n)
		if err != nil {
			return fmt.Errorf("read last item of %s: %w", n.name, err)
		}
		if it != nil {
			f(&Event{Owner: a.owner, Node: n.name, Kind: Published, Items: []Item{*it}, s: s, node: n})
		}
	}
	return nil
}

// Subscribed reports that the node has subscribers.
func (e *Event) Subscribed() bool { return len(e.node.row.Subs) > 0 }

// Publish publishes an item in the name of the owner; id "" makes one up. What
// is given to Before sees it as what a client asks for.
func (s *Service) Publish(ctx context.Context, of jid.JID, name, id, payload string) error {
	el, err := xmlstream.ParseTree(payload, "", "jabber:client")
	if err != nil || len(el) != 1 {
		return fail("", stanza.BadRequest, "invalid-payload", "An item holds one element.")
	}
	if id == "" {
		id = rand.Text()
	}
	return s.Change(ctx, of, func(t *Tx) error {
		return t.ask(&Op{Kind: Published, Node: name, Items: []Item{{ID: id, XML: el[0].XML()}}})
	})
}

// Retract removes an item in the name of the owner; one that is not there is no
// error.
func (s *Service) Retract(ctx context.Context, of jid.JID, name, id string) error {
	return s.Change(ctx, of, func(t *Tx) error {
		it, err := t.Item(name, id)
		if err != nil || it == nil {
			return err
		}
		return t.ask(&Op{Kind: Retracted, Node: name, Items: []Item{{ID: id}}, Tell: true})
	})
}
