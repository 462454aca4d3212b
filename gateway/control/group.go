package control

import (
	"context"
	"slices"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
)

// Group is a shared group as the commands show it.
type Group struct {
	ID          string   `json:"id"`
	Label       string   `json:"label"`
	Description string   `json:"description,omitempty"`
	Members     []string `json:"members"`         // everybody, group:ID, ids of people, numbers, addresses
	VisibleTo   string   `json:"visible_to"`      // everybody, nobody, or members and ids of groups with commas
	Room        string   `json:"room"`            // none, offered, autojoin
	Texts       bool     `json:"texts,omitempty"` // members whose address is a phone take part in the room by SMS
	Managers    []string `json:"managers"`
}

// GroupEdit is the request of group.add and group.edit: what is nil stays as
// it is, or as a new group has it.
type GroupEdit struct {
	ID          string    `json:"id"`
	Label       *string   `json:"label,omitempty"`
	Description *string   `json:"description,omitempty"`
	VisibleTo   *string   `json:"visible_to,omitempty"`
	Room        *string   `json:"room,omitempty"`
	Texts       *string   `json:"texts,omitempty"` // yes, no
	Managers    *[]string `json:"managers,omitempty"`
	Members     []string  `json:"members,omitempty"` // of a new group
	DryRun      bool      `json:"dry_run,omitempty"`
}

// GroupName is a request that names one group. DryRun is for group.remove.
type GroupName struct {
	ID     string `json:"id"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// GroupDone is a group that was made, changed or removed, or would be.
type GroupDone struct {
	Group
	Effect *Effect `json:"effect,omitempty"` // of a dry run: nothing was changed
}

// Effect is what a change would make of contact lists.
type Effect struct {
	People  int          `json:"people"` // whose contact list would change
	Gained  int          `json:"gained"` // contacts, in all lists together
	Lost    int          `json:"lost"`
	Changed int          `json:"changed"` // shown in other groups, or in another direction
	Lines   []EffectLine `json:"lines"`   // the first of them
}

// EffectLine is one contact in one list.
type EffectLine struct {
	User    string   `json:"user"`
	Contact string   `json:"contact"`
	Before  *Contact `json:"before,omitempty"`
	After   *Contact `json:"after,omitempty"`
}

// maxEffect is how many lines are told.
const maxEffect = 100

// GroupMembers is the request of group.member.add and group.member.remove.
type GroupMembers struct {
	ID      string   `json:"id"`
	Members []string `json:"members"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// GroupMembersChanged is their answer.
type GroupMembersChanged struct {
	Group   Group    `json:"group"`
	Changed []string `json:"changed"` // who came or went
	Same    []string `json:"same"`    // who was there already, or was not there
	Effect  *Effect  `json:"effect,omitempty"`
}

// Contact is somebody in a roster.
type Contact struct {
	JID          string   `json:"jid"`
	Name         string   `json:"name,omitempty"`
	Subscription string   `json:"subscription"`
	Groups       []string `json:"groups"`
}

// Rosters is what groups make of contact lists.
type Rosters struct {
	// Of is the whole contact list of an account as its clients get it.
	Of func(user jid.JID) ([]Contact, error)
	// Compare calls f for each contact that would differ in a list if people and
	// groups were as tried; before is nil for a new one, after for one that goes.
	Compare func(tried *people.State, f func(user, contact jid.JID, before, after *Contact))
}

// editor changes groups, or finds out what a change would do.
type editor struct {
	p *people.People
	r Rosters
}

// run makes a change; dry, it returns the effect that it would have.
func (ed editor) run(ctx context.Context, dry bool, f func(e *people.Edit) error) (*Effect, error) {
	if !dry {
		return nil, ed.p.Edit(ctx, f)
	}
	_, tried, err := ed.p.Try(f)
	if err != nil {
		return nil, err
	}
	x := &Effect{Lines: []EffectLine{}}
	var last jid.JID
	ed.r.Compare(tried, func(user, contact jid.JID, before, after *Contact) {
		if user != last {
			x.People++
			last = user
		}
		switch {
		case before == nil:
			x.Gained++
		case after == nil:
			x.Lost++
		default:
			x.Changed++
		}
		if len(x.Lines) < maxEffect {
			x.Lines = append(x.Lines, EffectLine{User: user.String(), Contact: contact.String(), Before: before, After: after})
		}
	})
	return x, nil
}

// Groups registers the commands group.list, show, add, edit, remove,
// member.add, member.remove and preview.
func Groups(s *Server, p *people.People, r Rosters) {
	ed := editor{p, r}
	Handle(s, "group.list", func(context.Context, struct{}) ([]Group, error) {
		list := []Group{}
		for g := range p.State().Groups() {
			list = append(list, viewGroup(g))
		}
		return list, nil
	})
	Handle(s, "group.show", func(_ context.Context, r GroupName) (Group, error) {
		g := p.State().Group(groupID(r.ID))
		if g == nil {
			return Group{}, people.NoGroup(r.ID)
		}
		return viewGroup(g), nil
	})
	Handle(s, "group.add", func(ctx context.Context, r GroupEdit) (GroupDone, error) { return ed.add(ctx, r) })
	Handle(s, "group.edit", func(ctx context.Context, r GroupEdit) (GroupDone, error) {
		return ed.put(ctx, r, func(e *people.Edit) (people.Group, error) {
			g := e.Group(groupID(r.ID))
			if g == nil {
				return people.Group{}, people.NoGroup(r.ID)
			}
			return *g, nil
		})
	})
	Handle(s, "group.remove", func(ctx context.Context, r GroupName) (gone GroupDone, err error) {
		gone.Effect, err = ed.run(ctx, r.DryRun, func(e *people.Edit) error {
			id := groupID(r.ID)
			if g := e.Group(id); g != nil {
				gone.Group = viewGroup(g)
			}
			return e.RemoveGroup(id)
		})
		return gone, err
	})
	Handle(s, "group.member.add", func(ctx context.Context, r GroupMembers) (GroupMembersChanged, error) {
		return ed.members(ctx, r, true)
	})
	Handle(s, "group.member.remove", func(ctx context.Context, r GroupMembers) (GroupMembersChanged, error) {
		return ed.members(ctx, r, false)
	})
	Handle(s, "group.preview", func(_ context.Context, r PersonName) ([]Contact, error) {
		q, err := p.Find(r.Who)
		if err != nil {
			return nil, err
		}
		if q.Account == "" {
			return nil, Refuse("%s has no account here, and so no contact list.", q.Display())
		}
		return ed.r.Of(q.Address())
	})
}

// groupID is an id as somebody typed it, in canonical form where it has one.
func groupID(typed string) string {
	typed = strings.TrimPrefix(strings.TrimSpace(typed), "group:")
	if id, err := people.Prepare(typed); err == nil {
		return id
	}
	return typed
}

func viewGroup(g *people.Group) Group {
	v := Group{ID: g.ID, Label: g.Label, Description: g.Description, Members: []string{}, VisibleTo: g.Visible.String(), Room: string(g.Room), Texts: g.Texts, Managers: append([]string{}, g.Managers...)}
	for _, m := range g.Members {
		v.Members = append(v.Members, string(m))
	}
	if g.Room == people.NoRoom {
		v.Room = noRoom
	}
	return v
}

// noRoom is the word for people.NoRoom.
const noRoom = "none"

func (ed editor) add(ctx context.Context, r GroupEdit) (GroupDone, error) {
	return ed.put(ctx, r, func(e *people.Edit) (people.Group, error) {
		if g := e.Group(groupID(r.ID)); g != nil {
			return *g, Refuse("There is already a group %s. To change it use `doorway group edit %s`.", r.ID, r.ID)
		}
		g := people.Group{ID: groupID(r.ID), Visible: people.Visible{Members: true}}
		for _, typed := range r.Members {
			m, err := e.Member(typed)
			if err != nil {
				return g, err
			}
			g.Members = append(g.Members, m)
		}
		return g, nil
	})
}

// put changes the group that find finds, or makes that one.
func (ed editor) put(ctx context.Context, r GroupEdit, find func(*people.Edit) (people.Group, error)) (v GroupDone, err error) {
	v.Effect, err = ed.run(ctx, r.DryRun, func(e *people.Edit) error {
		g, err := find(e)
		if err != nil {
			return err
		}
		if r.Label != nil {
			g.Label = *r.Label
		}
		if r.Description != nil {
			g.Description = *r.Description
		}
		if r.VisibleTo != nil {
			if g.Visible, err = e.ParseVisible(*r.VisibleTo); err != nil {
				return err
			}
		}
		if r.Room != nil {
			if g.Room = people.RoomMode(*r.Room); *r.Room == noRoom {
				g.Room, g.Texts = people.NoRoom, false
			}
		}
		if r.Texts != nil {
			if g.Texts = *r.Texts == "yes"; !g.Texts && *r.Texts != "no" {
				return Refuse("%q does not say whether phones take part in the room. Write yes or no.", *r.Texts)
			}
		}
		if r.Managers != nil {
			g.Managers = nil
			for _, typed := range *r.Managers {
				q, err := e.Find(typed)
				if err != nil {
					return err
				}
				g.Managers = append(g.Managers, q.ID)
			}
		}
		if err := e.PutGroup(g); err != nil {
			return err
		}
		v.Group = viewGroup(e.Group(g.ID))
		return nil
	})
	return v, err
}

// members adds or removes, all of them or none.
func (ed editor) members(ctx context.Context, r GroupMembers, add bool) (out GroupMembersChanged, err error) {
	effect, err := ed.run(ctx, r.DryRun, func(e *people.Edit) error {
		old := e.Group(groupID(r.ID))
		if old == nil {
			return people.NoGroup(r.ID)
		}
		g := *old
		g.Members = slices.Clone(old.Members)
		out = GroupMembersChanged{Changed: []string{}, Same: []string{}}
		for _, typed := range r.Members {
			m := people.Member(typed)
			if add || !old.Has(m) { // one that is known as it was typed needs no look
				var err error
				if m, err = e.Member(typed); err != nil {
					return err
				}
			}
			switch is := slices.Contains(g.Members, m); {
			case is == add:
				out.Same = append(out.Same, string(m))
				continue
			case add:
				g.Members = append(g.Members, m)
			default:
				g.Members = slices.DeleteFunc(g.Members, func(x people.Member) bool { return x == m })
			}
			out.Changed = append(out.Changed, string(m))
		}
		if err := e.PutGroup(g); err != nil {
			return err
		}
		out.Group = viewGroup(e.Group(g.ID))
		return nil
	})
	out.Effect = effect
	return out, err
}
