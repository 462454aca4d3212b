package people

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"doorway/xmpp/jid"
)

// State is all people and groups at one moment. It is never changed. Safe for
// concurrent use.
type State struct {
	people map[string]*Person
	groups map[string]*Group
	sorted []*Group // by id
	index  *index
}

func sortGroups(groups map[string]*Group) []*Group {
	return slices.SortedFunc(maps.Values(groups), func(a, b *Group) int { return cmp.Compare(a.ID, b.ID) })
}

// index finds people by where they can be reached; it is shared by all states
// with the same people.
type index struct {
	account map[string]*Person
	phone   map[string]*Person
	address map[jid.JID]*Person // addresses elsewhere, legacy ones too
	byID    []*Person
}

// People returns all people in order of their ids.
func (s *State) People() iter.Seq[*Person] { return slices.Values(s.index.byID) }

// CountPeople returns how many there are.
func (s *State) CountPeople() int { return len(s.people) }

// Groups returns all groups in order of their ids.
func (s *State) Groups() iter.Seq[*Group] { return slices.Values(s.sorted) }

// Person returns a person by id, nil for none.
func (s *State) Person(id string) *Person { return s.people[id] }

// Group returns a group by id, nil for none.
func (s *State) Group(id string) *Group { return s.groups[id] }

// OfAccount returns the person who has an account, by its localpart.
func (s *State) OfAccount(local string) *Person { return s.index.account[local] }

// OfPhone returns the person who has an E.164 number, nil for none.
func (s *State) OfPhone(num string) *Person { return s.index.phone[num] }

// OfAddress returns the person who has an address elsewhere, nil for none.
func (s *State) OfAddress(bare jid.JID) *Person { return s.index.address[bare] }

// find finds a person as somebody typed it: by id, account, address or number.
func (s *State) find(h House, typed string) (*Person, bool) {
	typed = strings.TrimSpace(typed)
	if strings.Contains(typed, "@") {
		j, err := jid.Parse(typed)
		if err != nil {
			return nil, false
		}
		switch j = j.Bare(); j.Domain() {
		case h.Domain:
			p := s.index.account[j.Local()]
			return p, p != nil
		case h.SMSDomain:
			p := s.index.phone[j.Local()]
			return p, p != nil
		}
		p := s.index.address[j]
		return p, p != nil
	}
	if id, err := Prepare(typed); err == nil {
		if p := s.people[id]; p != nil {
			return p, true
		}
		if p := s.index.account[id]; p != nil {
			return p, true
		}
	}
	if num, err := h.Numbers.Parse(typed); err == nil {
		p := s.index.phone[num]
		return p, p != nil
	}
	return nil, false
}

// fault is what is wrong with a state, and with whom.
type fault struct {
	person, group string // id
	other         string // id of another person whom it concerns
	column        string // of a list of people, where the fault is
	text          string
}

func (f fault) error() error {
	err := ErrGroup
	if f.group == "" {
		err = ErrPerson
	}
	return &Error{Text: f.text, Err: err}
}

// sortPeople is people by id; before, which may be nil, are those of an earlier
// state, whose order is taken over when nobody is new.
func sortPeople(people map[string]*Person, before *index) []*Person {
	if before != nil {
		list := make([]*Person, 0, len(people))
		for _, p := range before.byID {
			if p = people[p.ID]; p != nil {
				list = append(list, p)
			}
		}
		if len(list) == len(people) {
			return list
		}
	}
	return slices.SortedFunc(maps.Values(people), func(a, b *Person) int { return cmp.Compare(a.ID, b.ID) })
}

// newIndex indexes people and finds what two of them have both.
func newIndex(people map[string]*Person, before *index) (*index, []fault) {
	x := &index{account: make(map[string]*Person, len(people)), phone: make(map[string]*Person, len(people)), address: make(map[jid.JID]*Person)}
	x.byID = sortPeople(people, before)
	var faults []fault
	for _, p := range x.byID {
		if p.Account != "" {
			if q := x.account[p.Account]; q != nil {
				faults = append(faults, fault{person: p.ID, other: q.ID, column: colAccount, text: fmt.Sprintf("The account %s is already that of %s (%s).", p.Account, q.Display(), q.ID)})
			}
			x.account[p.Account] = p
		}
		for _, num := range p.Phones {
			if q := x.phone[num]; q != nil {
				faults = append(faults, fault{person: p.ID, other: q.ID, column: colPhones, text: fmt.Sprintf("%s is the number of %s (%s) and of %s (%s). A number belongs to one person: take it from one of them.", num, q.Display(), q.ID, p.Display(), p.ID)})
			}
			x.phone[num] = p
		}
		for i := -1; i < len(p.Legacy); i++ {
			j := p.JID
			if i >= 0 {
				j = p.Legacy[i]
			}
			if j.IsZero() {
				continue
			}
			if q := x.address[j]; q != nil && q != p {
				column := colLegacy
				if j == p.JID {
					column = colJID
				}
				faults = append(faults, fault{person: p.ID, other: q.ID, column: column, text: fmt.Sprintf("%s is the address of %s (%s) and of %s (%s). An address belongs to one person: take it from one of them.", j, q.Display(), q.ID, p.Display(), p.ID)})
			}
			x.address[j] = p
		}
	}
	if len(people) > MaxPeople {
		faults = append(faults, fault{text: fmt.Sprintf("There would be %d people; this version keeps up to %d.", len(people), MaxPeople)})
	}
	return x, faults
}

// checkGroups finds members and groups that do not exist, and cycles.
func (s *State) checkGroups() []fault {
	var faults []fault
	for g := range s.Groups() {
		bad := func(format string, a ...any) {
			faults = append(faults, fault{group: g.ID, text: fmt.Sprintf(format, a...)})
		}
		for _, m := range g.Members {
			if id, ok := m.Group(); ok && s.groups[id] == nil {
				bad("There is no group %s that could be in %s. `doorway group list` shows the groups.", id, g.ID)
			}
			if id, ok := m.Person(); ok && s.people[id] == nil {
				bad("There is no person %s who could be in %s. `doorway people list` shows those that exist.", id, g.ID)
			}
		}
		for _, id := range g.Managers {
			if s.people[id] == nil {
				bad("There is no person %s who could manage %s. `doorway people list` shows those that exist.", id, g.ID)
			}
		}
		for _, id := range g.Visible.Groups {
			if s.groups[id] == nil {
				bad("There is no group %s that could see %s. `doorway group list` shows the groups.", id, g.ID)
			}
		}
	}
	if len(s.groups) > MaxGroups {
		faults = append(faults, fault{text: fmt.Sprintf("There would be %d groups; this version keeps up to %d.", len(s.groups), MaxGroups)})
	}
	if path := s.cycle(); path != nil {
		text := fmt.Sprintf("The group %s cannot be a member of itself.", path[0])
		if len(path) > 2 {
			text = fmt.Sprintf("That would make a circle of groups: %s. Take one of them out of the next first.", strings.Join(path, " is in "))
		}
		faults = append(faults, fault{group: path[0], text: text})
	}
	return faults
}

// cycle returns a circle of groups, each a member of the next, the first again
// at the end; nil for none.
func (s *State) cycle() []string {
	const open, done = 1, 2
	seen := make(map[string]int, len(s.groups))
	var path []string
	var walk func(id string) bool
	walk = func(id string) bool {
		switch seen[id] {
		case done:
			return false
		case open:
			path = append(path[slices.Index(path, id):], id)
			return true
		}
		g := s.groups[id]
		if g == nil {
			return false
		}
		seen[id] = open
		path = append(path, id)
		for _, m := range g.Members {
			if inner, ok := m.Group(); ok && walk(inner) {
				return true
			}
		}
		path = path[:len(path)-1]
		seen[id] = done
		return false
	}
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		if walk(id) {
			slices.Reverse(path)
			return path
		}
	}
	return nil
}

// Below are the rows of the tables.

const recordVersion = 1

// RoomsKey is where the table "people" holds which bookmarks of rooms an
// account was given (shared.Bookmarker); it goes with the account.
func RoomsKey(local string) string { return local + "\x00rooms" }

// photoKey is where the image of a person lies in the table "people".
func photoKey(id string) string { return id + "\x00photo" }

// load reads all people and groups, and makes a person for each account that
// has none; added are those.
func (p *People) load() (s *State, added map[string]any, err error) {
	s = &State{people: make(map[string]*Person), groups: make(map[string]*Group)}
	var bad error
	err = p.store.Table("people").Range("", "", false, func(key string, raw []byte) bool {
		if strings.Contains(key, "\x00") {
			return true // a photo, or bookmarks
		}
		r := personRecord{}
		if bad = decode("person", key, raw, &r, &r.V); bad != nil {
			return false
		}
		r.ID = key
		r.addr = p.house.address(&r.Person)
		s.people[key] = &r.Person
		return true
	})
	if err != nil || bad != nil {
		return nil, nil, fmt.Errorf("open people: %w", cmp.Or(err, bad))
	}
	err = p.store.Table("groups").Range("", "", false, func(key string, raw []byte) bool {
		r := groupRecord{}
		if bad = decode("group", key, raw, &r, &r.V); bad != nil {
			return false
		}
		r.ID = key
		s.groups[key] = &r.Group
		return true
	})
	if err != nil || bad != nil {
		return nil, nil, fmt.Errorf("open groups: %w", cmp.Or(err, bad))
	}
	s.sorted = sortGroups(s.groups)
	s.index, _ = newIndex(s.people, nil) // ignored: faults are refused before they are written
	added = make(map[string]any)
	for _, a := range p.List() {
		if s.index.account[a.Local] == nil {
			n := p.house.personOf(s.people, a)
			s.people[n.ID] = n
			added[n.ID] = personRecord{recordVersion, *n}
		}
	}
	if len(added) > 0 {
		s.index, _ = newIndex(s.people, nil) // ignored: as above
	}
	return s, added, nil
}

func decode(what, key string, raw []byte, v any, version *int) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s %q: %w", what, key, err)
	}
	if *version != recordVersion {
		return fmt.Errorf("%s %q has version %d", what, key, *version)
	}
	return nil
}

// personOf is the person of a new account: the one of that id who has neither
// an account nor an address elsewhere, else a new one.
func (h House) personOf(people map[string]*Person, a Account) *Person {
	id := a.Local
	if len(id) > maxID || badID(id) || id == wordEverybody || id == wordMembers || id == wordNobody {
		id = idFrom("user-" + id)
	}
	p := Person{Name: a.Name}
	if old := people[id]; old != nil && old.Account == "" && old.JID.IsZero() {
		p = *old
		if a.Name != "" {
			p.Name = a.Name
		}
	}
	if p.ID == "" {
		p.ID = freeID(id, func(id string) bool { return people[id] != nil })
	}
	p.Account = a.Local
	p.addr = h.address(&p)
	return &p
}

// freeID puts a number behind an id that is taken.
func freeID(id string, taken func(string) bool) string {
	next := id
	for n := 2; taken(next); n++ {
		next = id
		for len(next) > maxID-6 {
			_, size := utf8.DecodeLastRuneInString(next)
			next = next[:len(next)-size]
		}
		next = fmt.Sprintf("%s-%d", next, n)
	}
	return next
}
