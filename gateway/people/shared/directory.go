package shared

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// Directory implements xmpp.Directory: everybody sees themselves and who is in a
// group visible to them, but hidden people. Phones and addresses that are in
// groups without belonging to a person are listed by their number or address.
// Safe for concurrent use.
type Directory struct {
	r      *Roster
	people *people.People
}

var _ xmpp.Directory = (*Directory)(nil)

// NewDirectory makes the directory of the people whose groups r works out.
func NewDirectory(p *people.People, r *Roster) *Directory { return &Directory{r, p} }

// listing is what the directory needs of a snapshot; it is worked out when
// somebody first asks.
type listing struct {
	once    sync.Once
	persons []*people.Person // by place in nodes; nil for who is no person
	cards   []card           // by name
}

// card is one node as it is searched.
type card struct {
	node                     int
	name, key                string // shown, and what the list is sorted by
	first, last, nick, email []string
	all                      []string // words of everything but phones and groups
	departments              []string
}

// list returns the listing of a snapshot.
func (s *snapshot) list() *listing {
	l := &s.listing
	l.once.Do(func() {
		l.persons = make([]*people.Person, len(s.nodes))
		for p := range s.state.People() {
			if i := s.find(p.Address()); i >= 0 {
				l.persons[i] = p
			}
		}
		for i := range s.nodes {
			l.cards = append(l.cards, s.card(i, l.persons[i]))
		}
		sort.Slice(l.cards, func(i, j int) bool {
			a, b := &l.cards[i], &l.cards[j]
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.node, b.node)) < 0
		})
	})
	return l
}

// display is the name under which the directory lists a node.
func (s *snapshot) display(i int, p *people.Person) string {
	n := &s.nodes[i]
	switch {
	case p != nil:
		return p.Display()
	case n.name != "":
		return n.name
	}
	if local := n.jid.Local(); strings.HasPrefix(local, "+") {
		return local
	}
	return n.jid.String()
}

func (s *snapshot) card(i int, p *people.Person) card {
	c := card{node: i, name: s.display(i, p)}
	c.key = strings.Join(words(c.name), " ")
	if p == nil {
		c.all = words(c.name)
		return c
	}
	c.first, c.last, c.nick = words(p.First), words(p.Last), words(p.Nick)
	if p.First == "" && p.Last == "" { // any word of the name may be either
		c.first = words(p.Name)
		c.last = c.first
	}
	c.email = words(p.Mail)
	c.departments = words(strings.Join(p.Departments, " "))
	for _, l := range [][]string{words(c.name), c.first, c.last, c.nick, c.email, c.departments} {
		c.all = append(c.all, l...)
	}
	return c
}

// view is the directory as one viewer sees it, at one moment.
type view struct {
	*snapshot
	*listing // nil where only one person is looked at
	me       int
	class    *class
}

// glance is a view of single people, for which nothing needs to be listed. It is
// empty (ok false) for who has no account here.
func (d *Directory) glance(viewer jid.JID) (v view, ok bool) {
	s := d.r.now.Load()
	me := s.user(viewer)
	if me < 0 {
		return v, false
	}
	return view{snapshot: s, me: me, class: s.classOf(me)}, true
}

// view is glance for all people.
func (d *Directory) view(viewer jid.JID) (v view, ok bool) {
	if v, ok = d.glance(viewer); ok {
		v.listing = v.list()
	}
	return v, ok
}

// person is who is at a node, nil for nobody that is known.
func (v view) person(i int) *people.Person {
	if v.listing != nil {
		return v.persons[i]
	}
	n := &v.nodes[i]
	p := v.state.OfAddress(n.jid)
	if n.user {
		p = v.state.OfAccount(n.jid.Local())
	} else if p == nil {
		p = v.state.OfPhone(n.jid.Local())
	}
	if p == nil || p.Address() != n.jid {
		return nil
	}
	return p
}

// labels are those of the groups through which a node is seen; ok false for one
// that is not.
func (v view) sight(i int) (labels []string, ok bool) {
	if p := v.person(i); p != nil && p.Hidden && i != v.me {
		return nil, false
	}
	if m, ok := v.item(v.class, &v.nodes[i]); ok {
		return m.item.Groups, true
	}
	return nil, i == v.me
}

// entry is a node as the viewer may see it.
func (v view) entry(i int, labels []string) xmpp.DirectoryEntry {
	n, p := &v.nodes[i], v.person(i)
	e := xmpp.DirectoryEntry{JID: n.jid, Name: v.display(i, p), Groups: labels}
	if p == nil {
		if local := n.jid.Local(); strings.HasPrefix(local, "+") {
			e.Phones = []string{local}
		}
		return e
	}
	e.First, e.Last, e.Nick, e.Email = p.First, p.Last, p.Nick, p.Mail
	if !p.PrivatePhones || i == v.me {
		e.Phones = p.Phones
	}
	if len(p.Departments) > 0 {
		e.Department = p.Departments[0]
	}
	if p.Photo != nil {
		e.PhotoSHA1 = p.Photo.SHA1
	}
	return e
}

// Search implements xmpp.Directory.
func (d *Directory) Search(viewer jid.JID, q xmpp.DirectoryQuery, max int) []xmpp.DirectoryEntry {
	v, ok := d.view(viewer)
	if !ok || q == (xmpp.DirectoryQuery{}) {
		return nil
	}
	m := v.matcher(d.r.house, q)
	var found []xmpp.DirectoryEntry
	for k := range v.cards {
		if len(found) == max {
			break
		}
		c := &v.cards[k]
		if labels, ok := v.sight(c.node); ok && m.matches(v, c, labels) {
			found = append(found, v.entry(c.node, labels))
		}
	}
	return found
}

// place is the node of an address, -1 for none: also that of the person who has
// a phone or another address there.
func (v view) place(h people.House, address jid.JID) int {
	if i := v.find(address); i >= 0 {
		return i
	}
	var p *people.Person
	if address.Domain() == h.SMSDomain {
		if p = v.state.OfPhone(address.Local()); p != nil && p.PrivatePhones {
			return -1
		}
	} else {
		p = v.state.OfAddress(address)
	}
	if p == nil {
		return -1
	}
	return v.find(p.Address())
}

// Entry implements xmpp.Directory.
func (d *Directory) Entry(viewer, address jid.JID) (xmpp.DirectoryEntry, bool) {
	v, ok := d.glance(viewer)
	if !ok {
		return xmpp.DirectoryEntry{}, false
	}
	i := v.place(d.r.house, address)
	if i < 0 {
		return xmpp.DirectoryEntry{}, false
	}
	labels, ok := v.sight(i)
	if !ok {
		return xmpp.DirectoryEntry{}, false
	}
	return v.entry(i, labels), true
}

// Groups implements xmpp.Directory.
func (d *Directory) Groups(viewer jid.JID) []xmpp.DirectoryGroup {
	v, ok := d.glance(viewer)
	if !ok {
		return nil
	}
	var list []xmpp.DirectoryGroup
	for id, g := range v.groups {
		if slices.Contains(v.class.sees, g.number) {
			list = append(list, xmpp.DirectoryGroup{ID: id, Label: g.Label})
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.ID, b.ID)) < 0
	})
	return list
}

// Members implements xmpp.Directory.
func (d *Directory) Members(viewer jid.JID, group string) ([]xmpp.DirectoryEntry, bool) {
	v, ok := d.view(viewer)
	if !ok {
		return nil, false
	}
	g := v.groups[group]
	if g == nil || !slices.Contains(v.class.sees, g.number) {
		return nil, false
	}
	var list []xmpp.DirectoryEntry
	for k := range v.cards {
		i := v.cards[k].node
		if _, in := slices.BinarySearch(g.members, int32(i)); !in {
			continue
		}
		if labels, ok := v.sight(i); ok {
			list = append(list, v.entry(i, labels))
		}
	}
	return list, true
}

// Photo implements xmpp.Directory.
func (d *Directory) Photo(viewer, address jid.JID) (mediaType string, image []byte, err error) {
	v, ok := d.glance(viewer)
	if !ok {
		return "", nil, nil
	}
	i := v.place(d.r.house, address)
	if i < 0 {
		return "", nil, nil
	}
	p := v.person(i)
	if _, ok := v.sight(i); !ok || p == nil || p.Photo == nil {
		return "", nil, nil
	}
	image, err = d.people.Photo(p.ID)
	return p.Photo.Type, image, err
}
