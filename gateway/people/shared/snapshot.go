package shared

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// snapshot is one state of people and groups, as rosters are made of it. It is
// never changed, but for what is worked out when it is first asked for.
type snapshot struct {
	state   *people.State
	nodes   []node            // by address, rising
	classes []*class          // by node.class
	sums    []known           // by node.class: what one of the class sees, itself included
	labels  map[uint32]string // of groups by number
	numbers map[label]uint32  // of groups
	byKey   map[string]*class
	last    *atomic.Uint32 // number given, by all snapshots that come from one another: they share items
	groups  map[string]*resolved
	listing listing         // for the directory
	near    [2]atomic.Int32 // places found last, where find looks first
	turn    atomic.Uint32   // of near
}

// label is what gives a group its number: a new label is a new number, so that
// a number always means the same in items.
type label struct{ id, text string }

// node is somebody in a snapshot.
type node struct {
	*contact
	class int32
	user  bool // has an account here, and with it a roster
}

// resolved is a group with everyone in it, through other groups too.
type resolved struct {
	*people.Group
	members []int32 // places in nodes, rising
	number  uint32
}

// build makes the snapshot of a state; before, when not nil, lends what is the
// same in both.
func build(h people.House, st *people.State, before *snapshot) *snapshot {
	if before == nil {
		before = &snapshot{last: new(atomic.Uint32)}
	}
	s := &snapshot{state: st, labels: map[uint32]string{}, numbers: map[label]uint32{}, last: before.last,
		byKey: map[string]*class{}, groups: map[string]*resolved{}}
	s.gather(h, before)
	b := builder{house: h, s: s, place: make(map[jid.JID]int32, len(s.nodes))}
	for i := range s.nodes {
		b.place[s.nodes[i].jid] = int32(i)
	}
	for p := range st.People() {
		if j := p.Address(); !j.IsZero() {
			b.all = append(b.all, b.place[j])
			if !p.Hidden {
				b.everybody = append(b.everybody, b.place[j])
			}
		}
	}
	slices.Sort(b.all)
	slices.Sort(b.everybody)
	for g := range st.Groups() {
		b.number(g, before)
		b.resolve(g.ID)
	}
	b.classify(before)
	return s
}

// gather makes the nodes: all people, and the phones and addresses that are
// members by themselves.
func (s *snapshot) gather(h people.House, before *snapshot) {
	type named struct {
		name string
		user bool
	}
	names := make(map[jid.JID]named, s.state.CountPeople())
	for p := range s.state.People() {
		if j := p.Address(); !j.IsZero() {
			names[j] = named{p.Name, p.Account != ""}
		}
	}
	for g := range s.state.Groups() {
		for _, m := range g.Members {
			if j, name := lone(h, s.state, m); !j.IsZero() {
				if _, ok := names[j]; !ok {
					names[j] = named{name, false}
				}
			}
		}
	}
	s.nodes = make([]node, 0, len(names))
	for _, o := range before.nodes { // most are as they were
		n, ok := names[o.jid]
		if !ok {
			continue
		}
		if o.name != n.name {
			o.contact = &contact{jid: o.jid, name: n.name}
		}
		s.nodes = append(s.nodes, node{contact: o.contact, user: n.user})
		delete(names, o.jid)
	}
	if len(names) == 0 {
		return
	}
	for j, n := range names {
		s.nodes = append(s.nodes, node{contact: &contact{jid: j, name: n.name}, user: n.user})
	}
	sort.Slice(s.nodes, func(i, j int) bool { return s.nodes[i].jid.String() < s.nodes[j].jid.String() })
}

// lone is the address and name of a member that is no person by id: a phone or
// an address. Zero for others, and for phones that may not be texted.
func lone(h people.House, st *people.State, m people.Member) (jid.JID, string) {
	if num, ok := m.Phone(); ok {
		p := st.OfPhone(num)
		switch {
		case p == nil:
			return h.Phone(num), ""
		case p.NoSMS:
			return jid.JID{}, ""
		}
		return h.Phone(num), p.Name
	}
	if m.IsJID() {
		j, err := jid.Parse(string(m))
		if err != nil {
			return jid.JID{}, ""
		}
		if p := st.OfAddress(j); p != nil {
			return j, p.Name
		}
		return j, ""
	}
	return jid.JID{}, ""
}

// builder is what building needs and a snapshot does not keep.
type builder struct {
	house     people.House
	s         *snapshot
	place     map[jid.JID]int32
	all       []int32 // all people with an address
	everybody []int32 // those of them who are not hidden
}

// number gives a group the number it had, if its label is the same.
func (b *builder) number(g *people.Group, before *snapshot) {
	l := label{g.ID, g.Label}
	n, ok := before.numbers[l]
	if !ok {
		n = b.s.last.Add(1)
	}
	b.s.numbers[l], b.s.labels[n] = n, g.Label
	if r := b.s.groups[g.ID]; r != nil {
		r.number = n // it was a member of an earlier one
		return
	}
	b.s.groups[g.ID] = &resolved{Group: g, number: n}
}

// resolve works out who is in a group. There are no circles.
func (b *builder) resolve(id string) []int32 {
	r := b.s.groups[id]
	if r == nil {
		g := b.s.state.Group(id)
		if g == nil {
			return nil
		}
		r = &resolved{Group: g}
		b.s.groups[id] = r
	}
	if r.members != nil {
		return r.members
	}
	r.members = []int32{} // a circle, which Edit refuses, ends here
	list := make([]int32, 0, len(r.Members))
	for _, m := range r.Members {
		if m == people.Everybody {
			list = append(list, b.everybody...)
		} else if inner, ok := m.Group(); ok {
			list = append(list, b.resolve(inner)...)
		} else if pid, ok := m.Person(); ok {
			if p := b.s.state.Person(pid); p != nil && !p.Address().IsZero() {
				list = append(list, b.place[p.Address()])
			}
		} else if j, _ := lone(b.house, b.s.state, m); !j.IsZero() {
			list = append(list, b.place[j])
		}
	}
	slices.Sort(list)
	r.members = slices.Compact(list)
	return r.members
}

// viewers is who sees the members of a group, perhaps more than once.
func (b *builder) viewers(r *resolved) []int32 {
	if r.Visible.Everybody {
		return b.all
	}
	var list []int32
	if r.Visible.Members {
		list = append(list, r.members...)
	}
	for _, id := range r.Visible.Groups {
		list = append(list, b.resolve(id)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// classify gives every node its class.
func (b *builder) classify(before *snapshot) {
	s := b.s
	order := make([]*resolved, 0, len(s.groups))
	for _, r := range s.groups {
		order = append(order, r)
	}
	slices.SortFunc(order, func(a, b *resolved) int { return cmp.Compare(a.number, b.number) })
	members, viewers := make([][]int32, len(order)), make([][]int32, len(order))
	for i, r := range order {
		members[i], viewers[i] = r.members, b.viewers(r)
	}
	in, sees := numbersOf(order, members, len(s.nodes)), numbersOf(order, viewers, len(s.nodes))
	place := make(map[*class]int32)
	var buf []byte
	for i := range s.nodes {
		buf = classKey(buf, sees[i], in[i])
		c := s.byKey[string(buf)]
		if c == nil {
			if c = before.byKey[string(buf)]; c == nil {
				c = &class{sees: slices.Clone(sees[i]), in: slices.Clone(in[i]), key: string(buf)}
			}
			s.byKey[c.key] = c
			place[c] = int32(len(s.classes))
			s.classes = append(s.classes, c)
		}
		s.nodes[i].class = place[c]
	}
	s.sums = make([]known, len(s.classes))
}

// numbersOf turns lists of nodes, one for each group, into lists of the groups'
// numbers, one for each of n nodes.
func numbersOf(groups []*resolved, lists [][]int32, n int) [][]uint32 {
	counts, total := make([]int32, n), 0
	for _, l := range lists {
		total += len(l)
		for _, i := range l {
			counts[i]++
		}
	}
	all, of := make([]uint32, total), make([][]uint32, n)
	for i, c := range counts {
		of[i], all = all[:0:c], all[c:]
	}
	for k, l := range lists {
		for _, i := range l {
			of[i] = append(of[i], groups[k].number)
		}
	}
	return of
}

// find returns the place of an address, -1 for nobody. It is mostly asked for
// one after the other, or for the same one again.
func (s *snapshot) find(j jid.JID) int {
	for k := range s.near {
		last := s.near[k].Load()
		for i := last; i <= last+1 && int(i) < len(s.nodes); i++ {
			if s.nodes[i].jid != j {
				continue
			}
			if i != last {
				s.near[k].Store(i)
			}
			return int(i)
		}
	}
	key := j.String()
	i, ok := slices.BinarySearchFunc(s.nodes, key, func(n node, key string) int { return strings.Compare(n.jid.String(), key) })
	if !ok {
		return -1
	}
	s.near[s.turn.Add(1)%2].Store(int32(i))
	return i
}

// user is find for accounts only.
func (s *snapshot) user(j jid.JID) int {
	if i := s.find(j); i >= 0 && s.nodes[i].user {
		return i
	}
	return -1
}

func (s *snapshot) classOf(i int) *class { return s.classes[s.nodes[i].class] }

// item is how one of class c sees a node; nothing made for not at all.
func (s *snapshot) item(c *class, n *node) (made, bool) {
	var space [64]byte
	key := c.look(space[:0], s.classes[n.class])
	if len(key) == 0 {
		return made{}, false
	}
	return n.seen(key, s.labels), true
}

// seen is render for a key in a buffer.
func (c *contact) seen(key []byte, labels map[uint32]string) made {
	if list := c.made.Load(); list != nil {
		for i := range *list {
			if m := &(*list)[i]; m.key == string(key) {
				return *m
			}
		}
	}
	return c.render(string(key), labels)
}

// row is how one class sees each of the classes; key "" for not at all.
type row []string

var rows = sync.Pool{New: func() any { return new(row) }}

// walk calls f for every item that class c sees but for the node at self (-1
// for none), in order, until it returns false.
func (s *snapshot) walk(c *class, self int, f func(n *node, m made) bool) {
	r := rows.Get().(*row)
	defer rows.Put(r)
	*r = (*r)[:0]
	var space [64]byte
	for _, o := range s.classes {
		*r = append(*r, string(c.look(space[:0], o)))
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		key := (*r)[n.class]
		if key == "" || i == self {
			continue
		}
		if !f(n, n.render(key, s.labels)) {
			return
		}
	}
}

// sum is the digest of what class c sees, itself included.
func (s *snapshot) sum(at int32) digest {
	if d := s.sums[at].Load(); d != nil {
		return *d
	}
	var d digest
	s.walk(s.classes[at], -1, func(_ *node, m made) bool {
		d = d.plus(m.sum)
		return true
	})
	s.sums[at].Store(&d)
	return d
}

// version is the digest of what the user at i sees.
func (s *snapshot) version(i int) digest {
	d := s.sum(s.nodes[i].class)
	if m, ok := s.item(s.classOf(i), &s.nodes[i]); ok { // nobody is in their own
		d = d.minus(m.sum)
	}
	return d
}

// sharedItem is item for the user at i, nil for none.
func (s *snapshot) sharedItem(i int, contact jid.JID) *xmpp.SharedItem {
	k := s.find(contact)
	if i < 0 || k < 0 || i == k {
		return nil
	}
	m, _ := s.item(s.classOf(i), &s.nodes[k])
	return m.item
}
