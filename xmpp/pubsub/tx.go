package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Kind is what is done to a node.
type Kind uint8

// The kinds.
const (
	Published Kind = iota + 1
	Retracted
	Purged
	Deleted
	Created
	Configured
)

// Op is what somebody asks to change of a node.
type Op struct {
	Kind  Kind
	Node  string
	Items []Item      // Published; Retracted: only their ids
	Conf  *NodeConfig // Created, Configured: the new configuration
	Tell  bool        // Retracted: those who follow the node hear of it
	// Require is the configuration that a publication requires as it is put on
	// top of another, nil for none.
	Require func(NodeConfig) (NodeConfig, error)
	// Done says that a function given to Before has done all that is to be done.
	Done bool
}

// Tx is one change of an owner's nodes, until it is on disk. It is used by one
// goroutine.
type Tx struct {
	s      *Service
	a      *account
	staged map[string]*node // nil: deleted
	rows   map[string]map[string]any
	items  map[string]*itemRow // by key; nil: removed
	events []*Event
	after  []func(context.Context)
}

// Owner is whose nodes change.
func (t *Tx) Owner() jid.JID { return t.a.owner }

// Change makes a change. f stages it; what f returns as an error is returned and
// nothing is changed. With nil everything that was staged is on disk when
// Change returns, and is told.
func (s *Service) Change(ctx context.Context, owner jid.JID, f func(*Tx) error) error {
	a, err := s.acquire(owner)
	if err != nil {
		return err
	}
	defer s.release(a)
	if err := s.change(a, f); err != nil {
		return err
	}
	a.mu.Lock()
	a.tell(ctx)
	return nil
}

func (s *Service) change(a *account, f func(*Tx) error) error {
	a.changes.Lock()
	defer a.changes.Unlock()
	t := &Tx{s: s, a: a, staged: make(map[string]*node), rows: make(map[string]map[string]any), items: make(map[string]*itemRow)}
	if err := f(t); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	for name, n := range t.staged {
		if n == nil {
			t.Put(tableNodes, nodeKey(a.owner, name), nil)
		} else {
			t.Put(tableNodes, nodeKey(a.owner, name), n.row)
		}
	}
	if len(t.rows) > 0 {
		if err := s.commit(t.rows); err != nil {
			return fmt.Errorf("store nodes of %s: %w", a.owner, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, n := range t.staged {
		if n == nil {
			delete(a.nodes, name)
		} else {
			a.nodes[name] = n
		}
	}
	for _, e := range t.events {
		for _, f := range s.watch {
			a.out = append(a.out, func(ctx context.Context) { f(ctx, e) })
		}
	}
	a.out = append(a.out, t.after...)
	return nil
}

// check holds what was staged against the limits of an owner.
func (t *Tx) check() error {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	var before, bytes int64
	count, fresh := len(t.a.nodes), 0
	for name, n := range t.a.nodes {
		before += n.row.Bytes
		if _, ok := t.staged[name]; !ok {
			bytes += n.row.Bytes
		}
	}
	for name, n := range t.staged {
		old := t.a.nodes[name]
		switch {
		case n != nil && old == nil:
			fresh++
		case n == nil && old != nil:
			fresh--
		}
		if n != nil {
			bytes += n.row.Bytes
		}
	}
	switch l := &t.s.limits; {
	case fresh > 0 && count+fresh > l.Nodes:
		return fail("", stanza.NotAllowed, "max-nodes-exceeded", fmt.Sprintf("There are %d nodes already, which is as many as there may be; delete one first.", count))
	case bytes > l.Bytes && bytes > before:
		return stanza.NewError(stanza.ResourceConstraint, fmt.Sprintf("What is kept here may have %d KiB altogether; remove something first.", l.Bytes>>10))
	}
	return nil
}

// Put adds a row of another table to the commit; nil deletes it.
func (t *Tx) Put(table, key string, v any) {
	if t.rows[table] == nil {
		t.rows[table] = make(map[string]any)
	}
	t.rows[table][key] = v
}

// After has f called when the change is on disk, behind its events and those of
// earlier changes, without a lock.
func (t *Tx) After(f func(context.Context)) { t.after = append(t.after, f) }

// node returns a node as it is staged; nil for none.
func (t *Tx) node(name string) *node {
	if n, ok := t.staged[name]; ok {
		return n
	}
	return t.a.get(name)
}

// edit returns a node to be changed, with its index when whole is asked for.
func (t *Tx) edit(name string, whole bool) (*node, error) {
	n := t.node(name)
	if n == nil {
		return nil, noNode()
	}
	if _, ok := t.staged[name]; !ok {
		t.a.mu.Lock()
		n = n.clone()
		t.a.mu.Unlock()
		t.staged[name] = n
	}
	if whole && !n.whole {
		index, err := t.s.readIndex(t.a.owner, name)
		if err != nil {
			return nil, err
		}
		n.index, n.whole = index, true
	}
	return n, nil
}

// Config returns a node's configuration; ok false for no such node.
func (t *Tx) Config(name string) (c NodeConfig, ok bool) {
	n := t.node(name)
	if n == nil {
		return t.s.defaultConfig(name), false
	}
	return n.row.Conf, true
}

// Items returns a node's items, oldest first; none for a node that is not there.
func (t *Tx) Items(name string) ([]Item, error) {
	n := t.node(name)
	if n == nil {
		return nil, nil
	}
	index := n.index
	if !n.whole {
		var err error
		if index, err = t.s.readIndex(t.a.owner, name); err != nil {
			return nil, err
		}
	}
	var items []Item
	for _, e := range index {
		it, err := t.Item(name, e.id)
		if err != nil {
			return nil, err
		}
		if it != nil {
			items = append(items, *it)
		}
	}
	return items, nil
}

// Item returns one item; nil when it is not there.
func (t *Tx) Item(name, id string) (*Item, error) {
	if t.node(name) == nil {
		return nil, nil
	}
	if r, ok := t.items[itemKey(t.a.owner, name, id)]; ok {
		if r == nil {
			return nil, nil
		}
		it := r.item(id)
		return &it, nil
	}
	it, _, err := t.s.readItem(t.a.owner, name, id)
	return it, err
}

// store stages an item's row; nil removes it.
func (t *Tx) store(name, id string, r *itemRow) {
	key := itemKey(t.a.owner, name, id)
	if t.items[key] = r; r == nil {
		t.Put(tableItems, key, nil)
	} else {
		t.Put(tableItems, key, r.encode())
	}
}

// ask stages what somebody asks for, if the function of Before agrees.
func (t *Tx) ask(op *Op) error {
	if f := t.s.before[op.Node]; f != nil {
		if err := f(t, op); err != nil || op.Done {
			return err
		}
	}
	return t.Do(op)
}

// Do stages an operation. Errors are *stanza.Error for what cannot be: a node
// that is not there or is there already, a precondition that is not met, an
// item that is not there or too large.
func (t *Tx) Do(op *Op) error {
	switch op.Kind {
	case Published:
		return t.publish(op)
	case Retracted:
		return t.retract(op)
	case Purged:
		return t.purge(op.Node, Purged)
	case Deleted:
		return t.delete(op.Node)
	case Created:
		if t.node(op.Node) != nil {
			return fail("", stanza.Conflict, "", "There is a node of this name already.")
		}
		return t.create(op.Node, *op.Conf)
	case Configured:
		return t.configure(op.Node, *op.Conf)
	}
	return errors.New("pubsub: an operation of no kind")
}

// maxName is how long the name of a node and the id of an item may be, in bytes.
const maxName = 1023

func (t *Tx) create(name string, c NodeConfig) error {
	if name == "" || len(name) > maxName {
		return stanza.NewError(stanza.BadRequest, fmt.Sprintf("The name of a node has 1 to %d bytes.", maxName))
	}
	t.staged[name] = &node{name: name, row: nodeRow{V: 1, Conf: c}, whole: true}
	return nil
}

func (t *Tx) publish(op *Op) error {
	n := t.node(op.Node)
	if n == nil { // XEP-0060 §7.1.4
		c := t.s.defaultConfig(op.Node)
		if op.Require != nil {
			var err error
			if c, err = op.Require(c); err != nil {
				return err
			}
		}
		if err := t.create(op.Node, c); err != nil {
			return err
		}
	} else if op.Require != nil { // XEP-0060 §7.1.5
		want, err := op.Require(n.row.Conf)
		if err != nil {
			return err
		}
		if field, differs := want.differs(&n.row.Conf); differs {
			return unmet(field)
		}
	}
	n, err := t.edit(op.Node, true)
	if err != nil {
		return err
	}
	if most := t.s.most(n); len(op.Items) > 1 && len(op.Items) > most {
		return fail("", stanza.NotAllowed, "max-items-exceeded", fmt.Sprintf("This node keeps %d items at most.", most))
	}
	for i := range op.Items {
		it := &op.Items[i]
		if it.At.IsZero() {
			it.At = t.s.conf.Now()
		}
		if err := t.put(n, it); err != nil {
			return err
		}
		t.event(n, &Event{Kind: Published, Items: []Item{*it}})
	}
	return nil
}

// most is how many items a node keeps.
func (s *Service) most(n *node) int {
	if n.row.Conf.Max == 0 {
		return s.limits.Items
	}
	return n.row.Conf.Max
}

// put stages an item in a node that was opened by edit.
func (t *Tx) put(n *node, it *Item) error {
	switch c := &n.row.Conf; {
	case it.ID == "" || len(it.ID) > maxName:
		return stanza.NewError(stanza.BadRequest, fmt.Sprintf("The id of an item has at most %d bytes.", maxName))
	case len(it.XML) > t.s.limits.ItemBytes: // XEP-0060 §7.1.3.4
		return fail("", stanza.NotAcceptable, "payload-too-big", fmt.Sprintf("An item may have at most %d KiB.", t.s.limits.ItemBytes>>10))
	case !c.Persist:
		return nil
	}
	n.remove(it.ID)
	n.row.Seq++
	n.index = append(n.index, entry{it.ID, n.row.Seq, len(it.XML)})
	n.row.Bytes += int64(len(it.XML))
	t.store(n.name, it.ID, &itemRow{V: 1, Seq: n.row.Seq, At: it.At.UnixMicro(), Publisher: it.Publisher.String(), XML: it.XML})
	t.evict(n)
	return nil
}

// evict lets the oldest items go where there are more than the node keeps.
func (t *Tx) evict(n *node) {
	for len(n.index) > t.s.most(n) {
		id := n.index[0].id
		n.remove(id)
		t.store(n.name, id, nil)
	}
	n.settle()
}

// remove takes an item out of the index; false when it is not there.
func (n *node) remove(id string) bool {
	i := slices.IndexFunc(n.index, func(e entry) bool { return e.id == id })
	if i < 0 {
		return false
	}
	n.row.Bytes -= int64(n.index[i].size)
	n.index = slices.Delete(n.index, i, i+1)
	return true
}

// settle makes the row say what the index says.
func (n *node) settle() {
	n.last, n.row.Last, n.row.Count = nil, "", len(n.index)
	if n.row.Count > 0 {
		n.row.Last = n.index[n.row.Count-1].id
	} else {
		n.row.Bytes = 0
	}
}

func (t *Tx) retract(op *Op) error {
	n, err := t.edit(op.Node, true)
	if err != nil {
		return err
	}
	for _, it := range op.Items {
		if !n.remove(it.ID) {
			return stanza.NewError(stanza.ItemNotFound, "There is no such item.")
		}
		t.store(n.name, it.ID, nil)
	}
	n.settle()
	if op.Tell {
		t.event(n, &Event{Kind: Retracted, Items: op.Items})
	}
	return nil
}

func (t *Tx) purge(name string, kind Kind) error {
	n, err := t.edit(name, true)
	if err != nil {
		return err
	}
	for _, e := range n.index {
		t.store(name, e.id, nil)
	}
	n.index = nil
	n.settle()
	if kind == Purged {
		t.event(n, &Event{Kind: Purged})
	}
	return nil
}

func (t *Tx) delete(name string) error {
	if err := t.purge(name, Deleted); err != nil {
		return err
	}
	t.event(t.staged[name], &Event{Kind: Deleted})
	t.staged[name] = nil
	return nil
}

func (t *Tx) configure(name string, c NodeConfig) error {
	n, err := t.edit(name, true)
	if err != nil {
		return err
	}
	n.row.Conf = c
	if !c.Persist {
		if err := t.purge(name, Configured); err != nil {
			return err
		}
	}
	t.evict(n)
	t.event(n, &Event{Kind: Configured})
	return nil
}

// event has a change told, where the node's configuration has it told at all.
func (t *Tx) event(n *node, e *Event) {
	c := &n.row.Conf
	switch e.Kind {
	case Published:
		e.quiet = c.Mute
	case Retracted:
		e.quiet = c.HideRetract || c.Mute
	case Purged:
		e.quiet = c.HideRetract || c.Mute
	case Deleted:
		e.quiet = c.HideDelete
	case Configured:
		e.quiet = !c.TellConfig
	}
	e.s, e.Owner, e.Node, e.node = t.s, t.a.owner, n.name, &node{name: n.name, row: n.row}
	t.events = append(t.events, e)
}

func (s *Service) defaultConfig(name string) NodeConfig {
	if c, ok := s.defaults[name]; ok {
		return c
	}
	return Personal()
}
