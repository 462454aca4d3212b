package pages

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

// maxListed is how many members a form shows. More cannot come back (package form).
const maxListed = 3000

func (c Config) groups(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	var rows [][]string
	for g := range c.People.State().Groups() {
		rows = append(rows, []string{g.ID, g.Label, strconv.Itoa(len(g.Members)), g.Visible.String(), roomWord(g.Room)})
	}
	if len(rows) == 0 {
		return xmpp.CommandDone("There are no shared groups yet."), nil
	}
	return table("Shared groups", []string{"id", "label", "members", "visible", "room"}, []string{"Id", "Label", "Members", "Visible to", "Room"}, rows), nil
}

func roomWord(m people.RoomMode) string {
	if m == people.NoRoom {
		return "none"
	}
	return string(m)
}

// fields are those of a group's page.
func fields(g people.Group) []form.Field {
	list := make([]string, len(g.Members))
	for i, m := range g.Members {
		list[i] = string(m)
	}
	return []form.Field{
		form.Text("label", "Label that clients show", g.Label),
		form.Text("description", "Description", g.Description),
		form.Text("visible", "Visible to: everybody, members, nobody, or ids of groups with commas", g.Visible.String()),
		form.Choice("room", "Chat room", roomWord(g.Room), form.Option{Label: "None", Value: "none"},
			form.Option{Label: "Members may enter it", Value: "offered"}, form.Option{Label: "Clients enter it by themselves", Value: "autojoin"}),
		form.Switch("texts", "Members who have only a phone take part in the room by SMS", g.Texts),
		several("managers", "Managers of the room", "Ids or accounts of people, one in each line", g.Managers),
		several("members", "Members", "Ids or accounts of people, numbers, addresses, group:ID or everybody, one in each line", list),
	}
}

// fill writes a submitted page over a group. shown is what the page had.
func fill(e *people.Edit, call *xmpp.CommandCall, g *people.Group, shown []people.Member) (err error) {
	g.Label, g.Description = value(call, "label"), value(call, "description")
	if g.Visible, err = e.ParseVisible(value(call, "visible")); err != nil {
		return err
	}
	if g.Room = people.RoomMode(value(call, "room")); g.Room == "none" {
		g.Room = people.NoRoom
	}
	g.Texts, _ = form.Bool(value(call, "texts")) // ignored: the form was checked, and what is left out is no
	g.Texts = g.Texts && g.Room != people.NoRoom
	g.Managers = nil
	for _, typed := range values(call, "managers") {
		p, err := e.Find(typed)
		if err != nil {
			return err
		}
		g.Managers = append(g.Managers, p.ID)
	}
	var wanted []people.Member
	for _, typed := range values(call, "members") {
		m := people.Member(typed)
		if !slices.Contains(shown, m) {
			if m, err = e.Member(typed); err != nil {
				return err
			}
		}
		wanted = append(wanted, m)
	}
	members := slices.DeleteFunc(slices.Clone(g.Members), func(m people.Member) bool { // somebody else's additions stay
		return slices.Contains(shown, m) && !slices.Contains(wanted, m)
	})
	for _, m := range wanted {
		if !slices.Contains(shown, m) {
			members = append(members, m)
		}
	}
	g.Members = members
	return nil
}

func (c Config) addGroup(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	id := form.Text("id", "Id, which stays, such as sales", "")
	id.Required = true
	all := append([]form.Field{id}, fields(people.Group{Visible: people.Visible{Members: true}})...)
	return ask("Add a shared group", "Its members get each other into their contact lists at once.", true, c.groupAdded, all...), nil
}

func (c Config) groupAdded(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	id := value(call, "id")
	return c.edit(ctx, func(e *people.Edit) error {
		g := people.Group{ID: id}
		if canonical, err := people.Prepare(id); err == nil && e.Group(canonical) != nil {
			return &people.Error{Text: fmt.Sprintf("There is already a group %s. Choose another id.", id), Err: people.ErrGroup}
		}
		if err := fill(e, call, &g, nil); err != nil {
			return err
		}
		return e.PutGroup(g)
	}, "The group "+id+" is there.")
}

// chooseGroup asks for a group and goes on with next.
func (c Config) chooseGroup(next func(ctx context.Context, call *xmpp.CommandCall, g *people.Group) (*xmpp.CommandPage, error), last bool) xmpp.CommandFunc {
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		var options []form.Option
		for g := range c.People.State().Groups() {
			options = append(options, form.Option{Label: g.Label + " (" + g.ID + ")", Value: g.ID})
		}
		if len(options) == 0 {
			return xmpp.CommandFailed("There are no shared groups yet."), nil
		}
		field := form.Text("group", "Id of the group", "")
		if len(options) <= maxOptions {
			field = form.Field{Var: "group", Kind: form.ListSingle, Label: "Group", Options: options}
		}
		field.Required = true
		return ask("Shared groups", "Which group?", last, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			g := c.People.State().Group(value(call, "group"))
			if g == nil {
				return nil, told(people.NoGroup(value(call, "group")))
			}
			return next(ctx, call, g)
		}, field), nil
	}
}

func (c Config) editGroup(_ context.Context, _ *xmpp.CommandCall, g *people.Group) (*xmpp.CommandPage, error) {
	if len(g.Members) > maxListed {
		return xmpp.CommandFailed(fmt.Sprintf("%s has %d members by name, too many for a form. Use `doorway group edit` and `doorway group member add` on the server.", g.ID, len(g.Members))), nil
	}
	return ask("Change "+g.ID, "What you change reaches everybody's contact list at once.", true, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return c.edit(ctx, func(e *people.Edit) error {
			now := e.Group(g.ID)
			if now == nil {
				return people.NoGroup(g.ID)
			}
			next := *now
			if err := fill(e, call, &next, g.Members); err != nil {
				return err
			}
			return e.PutGroup(next)
		}, "The group "+g.ID+" is changed.")
	}, fields(*g)...), nil
}

func (c Config) removeGroup(ctx context.Context, _ *xmpp.CommandCall, g *people.Group) (*xmpp.CommandPage, error) {
	return c.edit(ctx, func(e *people.Edit) error { return e.RemoveGroup(g.ID) }, "The group "+g.ID+" is deleted, from contact lists too; its members stay.")
}
