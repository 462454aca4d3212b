package pubsub

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// The two elements of XEP-0227 §4.10.
const (
	spaceNodes = "http://jabber.org/protocol/pubsub"
	spaceOwner = "http://jabber.org/protocol/pubsub#owner"
)

// Export hands on an owner's nodes (xmpp.Portable): configuration, affiliations
// and subscriptions first, then the items, the oldest first.
func (s *Service) Export(of jid.JID, write func(string) error) error {
	nodes, err := s.load(of.Bare())
	if err != nil || len(nodes) == 0 {
		return err
	}
	names := slices.Sorted(maps.Keys(nodes))
	var w xmlstream.Writer
	w.Start(spaceOwner, "pubsub")
	for _, name := range names {
		nodes[name].export(&w)
	}
	if err := write(w.End().String()); err != nil {
		return err
	}
	if err := write("<pubsub xmlns='" + spaceNodes + "'>"); err != nil {
		return err
	}
	for _, name := range names {
		index, err := s.readIndex(of.Bare(), name)
		if err != nil {
			return fmt.Errorf("read items of %s: %w", name, err)
		}
		var w xmlstream.Writer
		w.Start("", "items", "node", name)
		for _, e := range index {
			it, _, err := s.readItem(of.Bare(), name, e.id)
			if err != nil {
				return fmt.Errorf("read item %s of %s: %w", e.id, name, err)
			}
			if it == nil {
				continue // it was retracted meanwhile
			}
			by := ""
			if !it.Publisher.IsZero() {
				by = it.Publisher.String()
			}
			w.Start("", "item", "id", it.ID, "publisher", by).Raw(it.XML).End()
		}
		if err := write(w.End().String()); err != nil {
			return err
		}
	}
	return write("</pubsub>")
}

func (n *node) export(w *xmlstream.Writer) {
	w.Start("", "configure", "node", n.name).Raw(n.row.Conf.form(form.Ask).XML()).End()
	if len(n.row.Affils) > 0 {
		w.Start("", "affiliations", "node", n.name)
		for _, who := range slices.Sorted(maps.Keys(n.row.Affils)) {
			w.Start("", "affiliation", "jid", who, "affiliation", n.row.Affils[who]).End()
		}
		w.End()
	}
	if len(n.row.Subs) > 0 {
		w.Start("", "subscriptions", "node", n.name)
		for _, who := range slices.Sorted(maps.Keys(n.row.Subs)) {
			w.Start("", "subscription", "jid", who, "subscription", "subscribed").End()
		}
		w.End()
	}
}

// Import stages an owner's nodes (xmpp.Portable).
func (s *Service) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	switch el.Name {
	case stanza.Name{Space: spaceOwner, Local: "pubsub"}:
		for n := range el.Children {
			if err := s.importNode(i, &el.Children[n]); err != nil {
				return true, err
			}
		}
	case stanza.Name{Space: spaceNodes, Local: "pubsub"}:
		for n := range el.Children {
			if c := &el.Children[n]; c.Name.Local == "items" {
				if err := s.importItems(i, c); err != nil {
					return true, err
				}
			}
		}
	default:
		return false, nil
	}
	owner := i.Account.Bare()
	i.After = append(i.After, func() { s.reread(owner) })
	return true, nil
}

// staged is a node in the making, with the usual configuration of that name
// when it is new.
func (s *Service) staged(i *xmpp.Import, name string) (nodeRow, error) {
	if r, ok := i.Rows[tableNodes][nodeKey(i.Account.Bare(), name)].(nodeRow); ok {
		return r, nil
	}
	if name == "" || len(name) > 1023 {
		return nodeRow{}, fmt.Errorf("a node has no name, or one of more than 1023 bytes")
	}
	if len(i.Rows[tableNodes]) >= s.limits.Nodes {
		return nodeRow{}, fmt.Errorf("there are more than %d nodes", s.limits.Nodes)
	}
	return nodeRow{V: 1, Conf: s.defaultConfig(name)}, nil
}

func (s *Service) importNode(i *xmpp.Import, el *stanza.Element) error {
	name := el.Attr("node")
	r, err := s.staged(i, name)
	if err != nil {
		return err
	}
	switch el.Name.Local {
	case "configure":
		f, err := form.Of(el)
		if err != nil {
			return fmt.Errorf("the configuration of node %q cannot be read: %w", name, err)
		}
		if f == nil {
			break
		}
		for n := range f.Fields { // XEP-0227 §4.10.1: what is not known here is passed over
			if known, good := r.Conf.apply(&f.Fields[n], &s.limits); known && !good {
				i.Note("The node %q keeps the usual %s: %q cannot be here.", name, f.Fields[n].Var, f.Fields[n].Values)
			}
		}
	case "affiliations":
		r.Affils = maps.Clone(r.Affils)
		for n := range el.Children {
			c := &el.Children[n]
			who, err := jid.Parse(c.Attr("jid"))
			if err != nil {
				return fmt.Errorf("%q, affiliated with node %q, is no address", c.Attr("jid"), name)
			}
			if aff := c.Attr("affiliation"); who.Bare() != i.Account.Bare() && slices.Contains([]string{owner, publisher, publishOnly, member, outcast}, aff) {
				if r.Affils == nil {
					r.Affils = make(map[string]string)
				}
				r.Affils[who.Bare().String()] = aff
			}
		}
	case "subscriptions":
		r.Subs = maps.Clone(r.Subs)
		for n := range el.Children {
			c := &el.Children[n]
			who, err := jid.Parse(c.Attr("jid"))
			if err != nil {
				return fmt.Errorf("%q, subscribed to node %q, is no address", c.Attr("jid"), name)
			}
			if c.Attr("subscription") == "subscribed" {
				if r.Subs == nil {
					r.Subs = make(map[string]bool)
				}
				r.Subs[who.String()] = true
			}
		}
	default:
		return nil
	}
	if len(r.Affils) > s.limits.People || len(r.Subs) > s.limits.People {
		return fmt.Errorf("more than %d people have to do with node %q", s.limits.People, name)
	}
	i.Put(tableNodes, nodeKey(i.Account.Bare(), name), r)
	return nil
}

func (s *Service) importItems(i *xmpp.Import, el *stanza.Element) error {
	name := el.Attr("node")
	r, err := s.staged(i, name)
	if err != nil {
		return err
	}
	var items []*stanza.Element
	for n := range el.Children {
		if c := &el.Children[n]; c.Name.Local == "item" {
			items = append(items, c)
		}
	}
	most := s.limits.Items
	if r.Conf.Max > 0 {
		most = min(most, r.Conf.Max)
	}
	if over := len(items) - most; over > 0 {
		i.Note("Of node %q the oldest %d items were left out: it keeps %d.", name, over, most)
		items = items[over:]
	}
	for _, c := range items {
		id := c.Attr("id")
		k := itemKey(i.Account.Bare(), name, id)
		_, twice := i.Rows[tableItems][k]
		switch {
		case id == "" || len(id) > 1023:
			return fmt.Errorf("an item of node %q has no id, or one of more than 1023 bytes", name)
		case twice:
			return fmt.Errorf("the item %q of node %q is there twice", id, name)
		case len(c.Children) > 1:
			return fmt.Errorf("the item %q of node %q holds more than one element", id, name)
		}
		row := itemRow{V: 1, Seq: r.Seq + 1, At: time.Now().UnixMicro()}
		if len(c.Children) == 1 {
			row.XML = c.Children[0].XML()
		}
		if by, err := jid.Parse(c.Attr("publisher")); err == nil && by.Bare() != i.Account.Bare() {
			row.Publisher = by.Bare().String()
		}
		if len(row.XML) > s.limits.ItemBytes {
			return fmt.Errorf("the item %q of node %q is larger than %d KiB", id, name, s.limits.ItemBytes>>10)
		}
		r.Seq, r.Last, r.Count, r.Bytes = row.Seq, id, r.Count+1, r.Bytes+int64(len(row.XML))
		i.Put(tableItems, k, json.RawMessage(row.encode()))
	}
	i.Put(tableNodes, nodeKey(i.Account.Bare(), name), r)
	var sum int64
	for _, v := range i.Rows[tableNodes] {
		if n, ok := v.(nodeRow); ok {
			sum += n.Bytes
		}
	}
	if sum > s.limits.Bytes {
		return fmt.Errorf("the nodes hold more than %d KiB", s.limits.Bytes>>10)
	}
	return nil
}

// reread has an owner's nodes be read anew by whoever uses them next.
func (s *Service) reread(of jid.JID) {
	nodes, err := s.load(of)
	if err != nil {
		s.log.Error("imported nodes cannot be read", "user", of.String(), "err", err)
		return
	}
	a, err := s.acquire(of)
	if err != nil {
		return // ignored: the next one tries again
	}
	defer s.release(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes = nodes
}
