package shared

import (
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// change implements xmpp.SharedChange. What differs is worked out once for all
// who were and are in the same classes.
type change struct {
	before, after *snapshot
	dirty         []pair // nodes that are not the same in both

	mu    sync.Mutex // guards diffs
	diffs map[[2]*class][]difference
}

// pair is somebody before and after; nil for not there.
type pair struct{ old, new *node }

func (p pair) jid() jid.JID {
	if p.new != nil {
		return p.new.jid
	}
	return p.old.jid
}

// difference is one item before and after; nil for none.
type difference struct {
	contact    jid.JID
	old, new   *xmpp.SharedItem
	before, is digest
}

var _ xmpp.SharedChange = (*change)(nil)

// newChange compares two snapshots.
func newChange(before, after *snapshot) *change {
	c := &change{before: before, after: after, diffs: make(map[[2]*class][]difference)}
	c.both(func(p pair) {
		if p.old == nil || p.new == nil || p.old.contact != p.new.contact || p.old.user != p.new.user ||
			before.classes[p.old.class] != after.classes[p.new.class] {
			c.dirty = append(c.dirty, p)
		}
	})
	return c
}

// both walks the nodes of both snapshots in order of addresses.
func (c *change) both(f func(pair)) {
	a, b := c.before.nodes, c.after.nodes
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].jid.String() < b[0].jid.String():
			f(pair{&a[0], nil})
			a = a[1:]
		case len(a) == 0 || b[0].jid.String() < a[0].jid.String():
			f(pair{nil, &b[0]})
			b = b[1:]
		default:
			f(pair{&a[0], &b[0]})
			a, b = a[1:], b[1:]
		}
	}
}

// maxCarry bounds the items that a change looks at to keep digests up to date;
// beyond it they are added up anew when somebody asks.
const maxCarry = 20000

// carrySums gives the digests that were known to the new snapshot, with what
// has changed. Called before the new snapshot is shown.
func (c *change) carrySums() {
	sums := make(map[*class]digest)
	for i, cl := range c.before.classes {
		if d := c.before.sums[i].Load(); d != nil {
			sums[cl] = *d
		}
	}
	if len(sums)*len(c.dirty) > maxCarry {
		return
	}
	for i, cl := range c.after.classes {
		d, ok := sums[cl]
		if !ok {
			continue
		}
		for _, x := range c.differences(cl, cl) {
			d = d.minus(x.before).plus(x.is)
		}
		c.after.sums[i].Store(&d)
	}
}

// differences is what differs for somebody who was of class old and is of
// class cl; nil for who had or has no roster.
func (c *change) differences(old, cl *class) []difference {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]*class{old, cl}
	list, ok := c.diffs[key]
	if ok {
		return list
	}
	one := func(p pair) {
		var d difference
		if old != nil && p.old != nil {
			if m, ok := c.before.item(old, p.old); ok {
				d.old, d.before = m.item, m.sum
			}
		}
		if cl != nil && p.new != nil {
			if m, ok := c.after.item(cl, p.new); ok {
				d.new, d.is = m.item, m.sum
			}
		}
		if d.before != d.is {
			d.contact = p.jid()
			list = append(list, d)
		}
	}
	if old == cl {
		for _, p := range c.dirty {
			one(p)
		}
	} else {
		c.both(one)
	}
	c.diffs[key] = list
	return list
}

// classes are those of somebody with a roster; nil before or after for none.
func (c *change) classes(p pair) (old, cl *class) {
	if p.old != nil && p.old.user {
		old = c.before.classes[p.old.class]
	}
	if p.new != nil && p.new.user {
		cl = c.after.classes[p.new.class]
	}
	return old, cl
}

// Users implements xmpp.SharedChange.
func (c *change) Users(f func(user jid.JID)) {
	c.both(func(p pair) {
		old, cl := c.classes(p)
		if old == nil && cl == nil {
			return
		}
		user := p.jid()
		for _, d := range c.differences(old, cl) {
			if d.contact != user {
				f(user)
				return
			}
		}
	})
}

// Items implements xmpp.SharedChange.
func (c *change) Items(user jid.JID, f func(contact jid.JID, before, after *xmpp.SharedItem)) {
	var p pair
	if i := c.before.user(user); i >= 0 {
		p.old = &c.before.nodes[i]
	}
	if i := c.after.user(user); i >= 0 {
		p.new = &c.after.nodes[i]
	}
	old, cl := c.classes(p)
	if old == nil && cl == nil {
		return
	}
	for _, d := range c.differences(old, cl) {
		if d.contact != user {
			f(d.contact, d.old, d.new)
		}
	}
}
