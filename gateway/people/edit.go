package people

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"doorway/gateway/store"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
)

// Edit is one change of people and groups in the making: all of it or none
// will be on disk. Only inside the function given to People.Edit or Try.
type Edit struct {
	p        *People
	old      *State
	people   map[string]*Person // as they will be; nil while they are the old ones
	groups   map[string]*Group
	touched  map[string]bool    // ids of changed people
	edited   map[string]bool    // ids of changed groups
	accounts map[string]*record // changed accounts; nil: removed
	photos   map[string][]byte  // new images by person; nil: removed
	sofar    *State             // State, until the next change
}

// Edit changes people and groups. When f has returned nil and the result holds
// together (no number twice, no unknown member, no circle of groups), all of it
// is committed as one transaction; then State answers by it, and then those who
// watch are told. Otherwise nothing has changed, and the error is f's or an
// *Error. One Edit at a time: f must not wait for another.
func (p *People) Edit(ctx context.Context, f func(e *Edit) error) error {
	p.change.Lock()
	defer p.change.Unlock()
	return p.edit(ctx, f)
}

// edit is Edit with change held.
func (p *People) edit(ctx context.Context, f func(e *Edit) error) error {
	e := p.begin()
	if err := f(e); err != nil {
		return err
	}
	next, faults := e.result()
	if len(faults) > 0 {
		return faults[0].error()
	}
	changes := e.changes(next)
	if len(changes) == 0 {
		return nil
	}
	if err := p.store.WriteAll(changes, false); err != nil {
		return fmt.Errorf("save people and groups: %w", err)
	}
	p.publish(context.WithoutCancel(ctx), e, next) // what is on disk is told, whoever has gone away
	return nil
}

// Try is Edit that changes nothing: it returns what would be.
func (p *People) Try(f func(e *Edit) error) (before, after *State, err error) {
	p.change.Lock()
	defer p.change.Unlock()
	e := p.begin()
	if err := f(e); err != nil {
		return nil, nil, err
	}
	next, faults := e.result()
	if len(faults) > 0 {
		return nil, nil, faults[0].error()
	}
	return e.old, next, nil
}

func (p *People) begin() *Edit {
	return &Edit{p: p, old: p.State(), touched: map[string]bool{}, edited: map[string]bool{},
		accounts: map[string]*record{}, photos: map[string][]byte{}}
}

// publish shows a change that is on disk and tells of it. change is held.
func (p *People) publish(ctx context.Context, e *Edit, next *State) {
	p.mu.Lock()
	var gone []string
	for local, r := range e.accounts {
		if r == nil {
			delete(p.accounts, local)
			gone = append(gone, local)
		} else {
			p.accounts[local] = r
		}
	}
	removed, changed := p.watchers, p.observers
	p.mu.Unlock()
	before := p.state.Swap(next)
	slices.Sort(gone)
	for _, local := range gone {
		for _, f := range removed {
			f(local)
		}
	}
	for _, f := range changed {
		f(ctx, before, next)
	}
}

// State returns the people and groups as they are.
func (p *People) State() *State { return p.state.Load() }

// House returns what addresses are made with.
func (p *People) House() House { return p.house }

// Find finds a person as somebody typed it: by id, account, address or number.
func (p *People) Find(typed string) (*Person, error) { return p.State().Find(p.house, typed) }

// Find finds a person as somebody typed it: by id, account, address or number.
func (s *State) Find(h House, typed string) (*Person, error) {
	if q, ok := s.find(h, typed); ok {
		return q, nil
	}
	return nil, &Error{Text: fmt.Sprintf("There is no person %s. `doorway people list` shows those that exist.", typed), Err: ErrNoPerson}
}

// OnChange registers f, called after each Edit that changed people or groups,
// from its goroutine, one at a time and in order; f must not edit itself.
// Before the first Edit only.
func (p *People) OnChange(f func(ctx context.Context, before, after *State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.observers = append(p.observers, f)
}

// Photo reads the image of a person, nil for none.
func (p *People) Photo(id string) ([]byte, error) {
	var raw []byte
	if _, err := p.store.Table("people").Get(photoKey(id), &raw); err != nil {
		return nil, fmt.Errorf("photo of %s: %w", id, err)
	}
	return raw, nil
}

// State is the state as the edit has made it so far. Numbers that two people
// have are not found out yet.
func (e *Edit) State() *State {
	if e.sofar == nil {
		e.sofar, _ = e.result() // ignored: Edit looks at faults at the end
	}
	return e.sofar
}

// Person returns a person by id, nil for none.
func (e *Edit) Person(id string) *Person {
	if e.people != nil {
		return e.people[id]
	}
	return e.old.people[id]
}

// Group returns a group by id, nil for none.
func (e *Edit) Group(id string) *Group {
	if e.groups != nil {
		return e.groups[id]
	}
	return e.old.groups[id]
}

func (e *Edit) setPerson(id string, p *Person) {
	if e.people == nil {
		e.people = maps.Clone(e.old.people)
	}
	e.touched[id], e.sofar = true, nil
	if p == nil {
		delete(e.people, id)
	} else {
		e.people[id] = p
	}
}

func (e *Edit) setGroup(id string, g *Group) {
	if e.groups == nil {
		e.groups = maps.Clone(e.old.groups)
	}
	e.edited[id], e.sofar = true, nil
	if g == nil {
		delete(e.groups, id)
	} else {
		e.groups[id] = g
	}
}

// PutPerson adds a person, or replaces the one of that id. The account of a
// person comes and goes with the account itself, the photo with SetPhoto.
func (e *Edit) PutPerson(p Person) error {
	c, err := e.p.house.clean(p)
	if err != nil {
		return err
	}
	old := e.Person(c.ID)
	if old == nil && c.Account != "" || old != nil && c.Account != old.Account {
		return wrong("The account of a person cannot be set here: `doorway user add` makes accounts, and `doorway user remove` takes them away.")
	}
	c.Photo = nil
	if old != nil {
		c.Photo = old.Photo
	}
	e.setPerson(c.ID, c)
	return nil
}

// RemovePerson takes away a person without an account, also from the groups.
func (e *Edit) RemovePerson(id string) error {
	old := e.Person(id)
	if old == nil {
		return &Error{Text: fmt.Sprintf("There is no person %s. `doorway people list` shows those that exist.", id), Err: ErrNoPerson}
	}
	if old.Account != "" {
		return wrong("%s has the account %s. Remove it with `doorway user remove %s`; the person goes with it.", old.Display(), old.Account, old.Account)
	}
	e.dropPerson(old)
	return nil
}

func (e *Edit) dropPerson(old *Person) {
	e.setPerson(old.ID, nil)
	if old.Photo != nil {
		e.photos[old.ID] = nil
	}
	for id, g := range e.allGroups() {
		if g.Has(Member(old.ID)) || slices.Contains(g.Managers, old.ID) {
			c := *g
			c.Members, c.Managers = without(g.Members, Member(old.ID)), without(g.Managers, old.ID)
			e.setGroup(id, &c)
		}
	}
}

// allGroups is a copy, to be changed while it is walked.
func (e *Edit) allGroups() map[string]*Group {
	if e.groups != nil {
		return maps.Clone(e.groups)
	}
	return e.old.groups
}

// PutGroup adds a group, or replaces the one of that id.
func (e *Edit) PutGroup(g Group) error {
	c, err := g.clean()
	if err != nil {
		return err
	}
	for _, m := range c.Members {
		if _, ok := m.Phone(); ok {
			if num, err := e.p.house.number(string(m)); err != nil || num != string(m) {
				return wrongGroup("%q is not a number in full, such as +4915550101.", m)
			}
		} else if m.IsJID() {
			if j, err := jid.Parse(string(m)); err != nil || j.String() != string(m) || !j.IsBare() || j.Local() == "" {
				return wrongGroup("%q is not somebody's address. Write one such as anna@%s.", m, e.p.house.Domain)
			}
		}
	}
	e.setGroup(c.ID, c)
	return nil
}

// RemoveGroup takes a group away, also from the groups it is in and from those
// it could see. Its members stay whoever they are.
func (e *Edit) RemoveGroup(id string) error {
	if e.Group(id) == nil {
		return NoGroup(id)
	}
	e.setGroup(id, nil)
	for other, g := range e.allGroups() {
		if g.Has(GroupMember(id)) || slices.Contains(g.Visible.Groups, id) {
			c := *g
			c.Members, c.Visible.Groups = without(g.Members, GroupMember(id)), without(g.Visible.Groups, id)
			e.setGroup(other, &c)
		}
	}
	return nil
}

// NoGroup is the error for a group that does not exist.
func NoGroup(id string) error {
	return &Error{Text: fmt.Sprintf("There is no group %s. `doorway group list` shows those that exist.", id), Err: ErrNoGroup}
}

// Find finds a person as somebody typed it, those that the edit makes too.
func (e *Edit) Find(typed string) (*Person, error) { return e.State().Find(e.p.house, typed) }

// Member makes what somebody typed a member: everybody, group:ID, a person's
// id, account, number or address, or an address of somebody else.
func (e *Edit) Member(typed string) (Member, error) {
	return e.p.house.memberOf(e.State(), typed)
}

// addAccount makes an account with its person. local is canonical.
func (e *Edit) addAccount(local, name string, k map[sasl.Hash]keys) error {
	if _, removed := e.accounts[local]; e.p.Exists(local) && !removed || e.accounts[local] != nil {
		return fmt.Errorf("add %s: %w", local, ErrExists)
	}
	a := Account{Local: local, Name: name, Created: time.Now().UTC().Truncate(time.Second)}
	e.accounts[local] = &record{V: recordVersion, Account: a, Keys: k}
	all := e.people
	if all == nil {
		all = e.old.people
	}
	p := e.p.house.personOf(all, a)
	e.setPerson(p.ID, p)
	return nil
}

// removeAccount takes an account away, and its person with it.
func (e *Edit) removeAccount(local string) error {
	if !e.p.Exists(local) {
		return fmt.Errorf("remove %s: %w", local, ErrUnknown)
	}
	e.accounts[local] = nil
	if p := e.old.index.account[local]; p != nil {
		e.dropPerson(p)
	}
	return nil
}

// result is the state as it will be, and what is wrong with it.
func (e *Edit) result() (*State, []fault) {
	next := &State{people: e.old.people, groups: e.old.groups, sorted: e.old.sorted, index: e.old.index}
	var faults []fault
	if e.people != nil {
		next.people = e.people
		next.index, faults = newIndex(e.people, next.index)
	}
	if e.groups != nil {
		next.groups, next.sorted = e.groups, sortGroups(e.groups)
		faults = append(faults, next.checkGroups()...)
	}
	return next, faults
}

// changes is what the tables get; nothing for what is as it was.
func (e *Edit) changes(next *State) map[string]map[string]any {
	people, groups, accounts := map[string]any{}, map[string]any{}, map[string]any{}
	for id := range e.touched {
		if p, was := next.people[id], e.old.people[id]; p != nil && was != nil && reflect.DeepEqual(*p, *was) {
			continue
		} else if p != nil {
			people[id] = personRecord{recordVersion, *p}
		} else if was != nil {
			people[id] = nil
		}
	}
	for id, image := range e.photos {
		people[photoKey(id)] = nil
		if image != nil {
			people[photoKey(id)] = image
		}
	}
	for id := range e.edited {
		if g, was := next.groups[id], e.old.groups[id]; g != nil && was != nil && reflect.DeepEqual(*g, *was) {
			continue
		} else if g != nil {
			groups[id] = groupRecord{recordVersion, *g}
		} else if was != nil {
			groups[id] = nil
		}
	}
	for local, r := range e.accounts {
		if accounts[local] = nil; r != nil {
			accounts[local] = r
		} else {
			people[RoomsKey(local)] = nil
		}
	}
	all := map[string]map[string]any{}
	for table, rows := range map[string]map[string]any{"people": people, "groups": groups, "accounts": accounts} {
		if len(rows) > 0 {
			all[table] = rows
		}
	}
	return all
}

// openState reads people and groups and writes the people of accounts that
// had none.
func (p *People) openState(s *store.Store) error {
	state, added, err := p.load()
	if err != nil {
		return err
	}
	if len(added) > 0 {
		if err := s.Table("people").Write(added); err != nil {
			return fmt.Errorf("open people: %w", err)
		}
	}
	p.state.Store(state)
	return nil
}

// Errors of people and groups, to be used with errors.Is; each comes inside an
// *Error.
var (
	ErrPerson   = errors.New("person not allowed")
	ErrGroup    = errors.New("group not allowed")
	ErrNoPerson = errors.New("there is no such person")
	ErrNoGroup  = errors.New("there is no such group")
)
