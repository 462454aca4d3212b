package people

import (
	"fmt"
	"slices"
	"strings"

	"doorway/xmpp/jid"
)

// Limits of groups.
const (
	MaxGroups  = 1000  // in the house
	MaxMembers = 20000 // of one group, by name
	maxText    = 1000  // characters of a description
)

// Words that are no ids.
const (
	wordEverybody = "everybody"
	wordMembers   = "members"
	wordNobody    = "nobody"
)

// listSeparators part the names in a list.
const listSeparators = ";|"

// Member is who is in a group, in canonical form: "everybody"; the id of a
// person; "group:" and the id of a group; an E.164 number with its plus; or a
// bare JID, of a bot or of somebody at a transport.
type Member string

// Everybody is everyone who can be reached and is not hidden.
const Everybody Member = wordEverybody

const groupPrefix = "group:"

// Group returns the id of the group that m is; ok false for others.
func (m Member) Group() (id string, ok bool) { return strings.CutPrefix(string(m), groupPrefix) }

// Phone returns the number that m is.
func (m Member) Phone() (num string, ok bool) { return string(m), strings.HasPrefix(string(m), "+") }

// IsJID reports that m is an address.
func (m Member) IsJID() bool { return strings.Contains(string(m), "@") }

// Person returns the id of the person that m is.
func (m Member) Person() (id string, ok bool) {
	_, group := m.Group()
	_, phone := m.Phone()
	return string(m), m != Everybody && !group && !phone && !m.IsJID()
}

// GroupMember is a group as a member of another.
func GroupMember(id string) Member { return Member(groupPrefix + id) }

// RoomMode says what room a group has.
type RoomMode string

// The rooms of groups.
const (
	NoRoom       RoomMode = ""         // none
	RoomOffered  RoomMode = "offered"  // members may enter it
	RoomAutojoin RoomMode = "autojoin" // members' clients enter it by themselves
)

// Visible says who sees the members of a group: nobody, if nothing is set.
type Visible struct {
	Everybody bool     `json:"everybody,omitempty"` // all people of the house
	Members   bool     `json:"members,omitempty"`   // the members themselves
	Groups    []string `json:"groups,omitempty"`    // members of these groups, by id, sorted
}

// String is what ParseVisible of an Edit takes.
func (v Visible) String() string {
	words := slices.Clone(v.Groups)
	if v.Members {
		words = append([]string{wordMembers}, words...)
	}
	switch {
	case v.Everybody:
		return wordEverybody
	case len(words) == 0:
		return wordNobody
	}
	return strings.Join(words, ",")
}

// Group is a shared group. A Group that the package gave out is never changed;
// its slices are not to be written to.
type Group struct {
	ID          string   `json:"id"`    // stable; a localpart, and that of its room
	Label       string   `json:"label"` // what clients show
	Description string   `json:"description,omitempty"`
	Members     []Member `json:"members,omitempty"` // sorted
	Visible     Visible  `json:"visible"`
	Room        RoomMode `json:"room,omitempty"`
	Texts       bool     `json:"texts,omitempty"`    // members whose address is a phone take part in the room by SMS
	Managers    []string `json:"managers,omitempty"` // ids of people who manage its room, sorted
}

// groupRecord is a group as the table "groups" holds it, under its id.
type groupRecord struct {
	V int `json:"v"`
	Group
}

// Has reports that m is a member by name.
func (g *Group) Has(m Member) bool {
	_, ok := slices.BinarySearch(g.Members, m)
	return ok
}

// clean prepares a group; that its members exist is checked with the rest.
func (g Group) clean() (*Group, error) {
	var err error
	if g.ID, err = prepareID("group", g.ID); err != nil {
		return nil, err
	}
	if g.Label, err = line("label", g.Label, maxName); err != nil {
		return nil, err
	}
	if g.Label == "" {
		g.Label = g.ID
	}
	if g.Description, err = line("description", g.Description, maxText); err != nil {
		return nil, err
	}
	switch g.Room {
	case NoRoom, RoomOffered, RoomAutojoin:
	default:
		return nil, wrongGroup("%q is not a kind of room. Write none, offered or autojoin.", g.Room)
	}
	if g.Texts && g.Room == NoRoom {
		return nil, wrongGroup("The group %s has no room in which phones could take part. Give it one, offered or autojoin.", g.ID)
	}
	g.Members = sorted(g.Members)
	g.Managers = sorted(g.Managers)
	g.Visible.Groups = sorted(g.Visible.Groups)
	if g.Visible.Everybody {
		g.Visible.Members, g.Visible.Groups = false, nil
	}
	if len(g.Members) > MaxMembers {
		return nil, wrongGroup("%s would have %d members by name; a group may have %d. Make groups of it and put them into this one.", g.ID, len(g.Members), MaxMembers)
	}
	return &g, nil
}

// sorted is a copy in order, each once; nil for nothing.
func sorted[T ~string](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// wrongGroup is an *Error about a group.
func wrongGroup(format string, a ...any) error {
	return &Error{Text: fmt.Sprintf(format, a...), Err: ErrGroup}
}

// without is a copy of list that lacks one.
func without[T comparable](list []T, gone T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == gone })
}

// memberOf makes what somebody typed a member: everybody, group:ID, a person's
// id, an account, a number in any form, or an address. It does not say whether
// there is such a person or group.
func (h House) memberOf(s *State, typed string) (Member, error) {
	typed = strings.TrimSpace(typed)
	if typed == wordEverybody || typed == "*" {
		return Everybody, nil
	}
	if id, ok := strings.CutPrefix(typed, groupPrefix); ok {
		id, err := prepareID("group", id)
		return GroupMember(id), err
	}
	if p, ok := s.find(h, typed); ok {
		// A phone beside the address is a member by itself.
		num, _ := h.Numbers.Parse(strings.TrimSuffix(typed, "@"+h.SMSDomain)) // ignored: then it is none
		if slices.Contains(p.Phones, num) && p.addr != h.Phone(num) {
			return Member(num), nil
		}
		return Member(p.ID), nil
	}
	if strings.Contains(typed, "@") {
		return h.addressMember(s, typed)
	}
	if typed == "" || strings.IndexFunc(typed, func(r rune) bool { return r > ' ' && !strings.ContainsRune("+0123456789-./()", r) }) < 0 {
		num, err := h.number(typed)
		return Member(num), err
	}
	if _, err := Prepare(typed); err != nil {
		return "", wrongGroup("%q is nobody who could be a member. Write the id of a person, a phone number, an address, group:ID or everybody.", typed)
	}
	return "", h.unknown(s, typed)
}

// addressMember is the member at an address that is nobody's yet.
func (h House) addressMember(s *State, typed string) (Member, error) {
	j, err := jid.Parse(typed)
	if err != nil || !j.IsBare() || j.Local() == "" {
		return "", wrongGroup("%q is not somebody's address. Write one such as anna@%s.", typed, h.Domain)
	}
	switch j.Domain() {
	case h.Domain:
		return "", h.unknown(s, typed)
	case h.SMSDomain:
		num, err := h.number(j.Local())
		return Member(num), err
	}
	return Member(j.String()), nil
}

// unknown says that a member is not known, and what is.
func (h House) unknown(s *State, typed string) error {
	if _, ok := s.groups[typed]; ok {
		return wrongGroup("There is no person %s, but a group: write group:%s for everyone in it.", typed, typed)
	}
	return wrongGroup("There is no person %s. `doorway people list` shows those that exist, and `doorway people add` makes one.", typed)
}

// ParseVisible makes what somebody typed a Visible: everybody, members, nobody,
// or the ids of groups, in a list of several with commas.
func (e *Edit) ParseVisible(typed string) (Visible, error) {
	var v Visible
	words := strings.FieldsFunc(typed, func(r rune) bool { return r == ',' || r == ' ' || strings.ContainsRune(listSeparators, r) })
	for _, w := range words {
		switch w {
		case wordEverybody, "*":
			v.Everybody = true
		case wordMembers:
			v.Members = true
		case wordNobody:
			if len(words) > 1 {
				return v, wrongGroup("A group cannot be visible to nobody and to %s. Leave out one of them.", without(words, wordNobody)[0])
			}
		default:
			id, err := prepareID("group", strings.TrimPrefix(w, groupPrefix))
			if err != nil {
				return v, err
			}
			v.Groups = append(v.Groups, id)
		}
	}
	if len(words) == 0 {
		return v, wrongGroup("Say to whom the group is visible: everybody, members, nobody, or the ids of groups.")
	}
	v.Groups = sorted(v.Groups)
	return v, nil
}
