package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"doorway/gateway/control"
	"doorway/gateway/people"
	"doorway/gateway/people/pages"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// list is a flag that can be given several times, with several in one.
type list struct {
	set    bool
	values []string
}

func (l *list) String() string { return strings.Join(l.values, ",") }

func (l *list) Set(s string) error {
	l.set = true
	for _, v := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' }) {
		if v = strings.TrimSpace(v); v != "" {
			l.values = append(l.values, v)
		}
	}
	return nil
}

// pointer is nil for a flag that was not given.
func (l *list) pointer() *[]string {
	if !l.set {
		return nil
	}
	values := append([]string{}, l.values...)
	return &values
}

// given returns the value of a flag that was given, nil for none.
func given(fs *flag.FlagSet, name string) (value *string) {
	fs.Visit(func(f *flag.Flag) {
		if f.Name == name {
			v := f.Value.String()
			value = &v
		}
	})
	return value
}

// dryFlag is --dry-run.
func dryFlag(fs *flag.FlagSet) *bool {
	return fs.Bool("dry-run", false, "only say whose contact list would change, and how")
}

// showEffect tells what a change would do. It reports whether it was a dry run.
func (a *app) showEffect(x *control.Effect) bool {
	if x == nil {
		return false
	}
	for _, l := range x.Lines {
		switch {
		case l.Before == nil:
			fmt.Fprintf(a.out, "%-28s gets   %-36s %-5s %s\n", l.User, l.Contact, l.After.Subscription, strings.Join(l.After.Groups, ", "))
		case l.After == nil:
			fmt.Fprintf(a.out, "%-28s loses  %s\n", l.User, l.Contact)
		default:
			fmt.Fprintf(a.out, "%-28s has    %-36s %-5s %s\n", l.User, l.Contact, l.After.Subscription, strings.Join(l.After.Groups, ", "))
		}
	}
	if more := x.Gained + x.Lost + x.Changed - len(x.Lines); more > 0 {
		fmt.Fprintf(a.out, "and %d more\n", more)
	}
	fmt.Fprintf(a.out, "Nothing was changed. In the contact lists of %s there would be %d gained, %d lost, %d changed.\n", peopleCount(x.People), x.Gained, x.Lost, x.Changed)
	return true
}

// groupFlags are those of group add and group edit.
func groupFlags(name string) (fs *flag.FlagSet, edit func(id string) control.GroupEdit) {
	fs = newFlags(name)
	fs.String("label", "", "what clients show; the id if nothing is given")
	fs.String("description", "", "a text for administrators and for the room")
	fs.String("visible", "", "who sees the members: everybody, members, nobody, or ids of groups, with commas")
	fs.String("room", "", "the group's chat room: none, offered or autojoin")
	fs.String("texts", "", "members who have only a phone take part in the room by SMS: yes or no")
	var managers list
	fs.Var(&managers, "manager", "who manages the room; can be given several times, empty for nobody")
	dry := dryFlag(fs)
	return fs, func(id string) control.GroupEdit {
		return control.GroupEdit{
			DryRun: *dry,
			ID:     id, Label: given(fs, "label"), Description: given(fs, "description"), VisibleTo: given(fs, "visible"),
			Room: given(fs, "room"), Texts: given(fs, "texts"), Managers: managers.pointer(),
		}
	}
}

func runGroupAdd(ctx context.Context, a *app, args []string) error {
	var t target
	fs, edit := groupFlags("group add")
	rest, err := t.parse(fs, args, 1, 1<<16)
	if err != nil {
		return err
	}
	r := edit(rest[0])
	r.Members = rest[1:]
	var g control.GroupDone
	if err := t.call(ctx, "group.add", r, &g); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(g)
	}
	if a.showEffect(g.Effect) {
		return nil
	}
	fmt.Fprintf(a.out, "The group %s (%s) has %s and is visible to %s.\n", g.ID, g.Label, count(len(g.Members), "member"), visibleWords(g.VisibleTo))
	return nil
}

func runGroupEdit(ctx context.Context, a *app, args []string) error {
	var t target
	fs, edit := groupFlags("group edit")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	r := edit(rest[0])
	if r.Label == nil && r.Description == nil && r.VisibleTo == nil && r.Room == nil && r.Texts == nil && r.Managers == nil {
		return usagef("nothing is to be changed; give --label, --description, --visible, --room, --texts or --manager")
	}
	var g control.GroupDone
	if err := t.call(ctx, "group.edit", r, &g); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(g)
	}
	if a.showEffect(g.Effect) {
		return nil
	}
	return a.showGroup(t, g.Group)
}

func runGroupShow(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("group show"), args, 1, 1)
	if err != nil {
		return err
	}
	var g control.Group
	if err := t.call(ctx, "group.show", control.GroupName{ID: rest[0]}, &g); err != nil {
		return err
	}
	return a.showGroup(t, g)
}

func (a *app) showGroup(t target, g control.Group) error {
	if t.json {
		return a.printJSON(g)
	}
	fmt.Fprintf(a.out, "%-12s %s\n%-12s %s\n", "group", g.ID, "label", g.Label)
	if g.Description != "" {
		fmt.Fprintf(a.out, "%-12s %s\n", "description", g.Description)
	}
	fmt.Fprintf(a.out, "%-12s %s\n%-12s %s\n", "visible to", visibleWords(g.VisibleTo), "room", roomWords(g))
	if len(g.Managers) > 0 {
		fmt.Fprintf(a.out, "%-12s %s\n", "managers", strings.Join(g.Managers, ", "))
	}
	for i, m := range g.Members {
		fmt.Fprintf(a.out, "%-12s %s\n", map[bool]string{true: "members"}[i == 0], m)
	}
	if len(g.Members) == 0 {
		fmt.Fprintf(a.out, "%-12s nobody yet; add them with `doorway group member add %s WHO`\n", "members", g.ID)
	}
	return nil
}

func roomWords(g control.Group) string {
	if g.Texts {
		return g.Room + ", phones take part"
	}
	return g.Room
}

func visibleWords(v string) string {
	if v == "members" {
		return "its own members"
	}
	return strings.Replace(v, "members,", "its own members,", 1)
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func runGroupList(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("group list"), args, 0, 0); err != nil {
		return err
	}
	var groups []control.Group
	if err := t.call(ctx, "group.list", nil, &groups); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(groups)
	}
	if len(groups) == 0 {
		fmt.Fprintln(a.out, "There are no groups yet. Make one with `doorway group add ID WHO …`, or one of everybody with\n`doorway group add colleagues everybody --visible everybody`.")
	}
	for _, g := range groups {
		fmt.Fprintf(a.out, "%-20s %-24s %-12s visible to %s, room %s\n", g.ID, g.Label, count(len(g.Members), "member"), visibleWords(g.VisibleTo), roomWords(g))
	}
	return nil
}

func runGroupRemove(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("group remove")
	dry := dryFlag(fs)
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	var g control.GroupDone
	if err := t.call(ctx, "group.remove", control.GroupName{ID: rest[0], DryRun: *dry}, &g); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(g)
	}
	if a.showEffect(g.Effect) {
		return nil
	}
	fmt.Fprintf(a.out, "The group %s is removed, from contact lists too; its members stay.\n", g.ID)
	return nil
}

func runGroupMemberAdd(ctx context.Context, a *app, args []string) error {
	return a.changeMembers(ctx, args, "group.member.add", "added to", "in it already")
}

func runGroupMemberRemove(ctx context.Context, a *app, args []string) error {
	return a.changeMembers(ctx, args, "group.member.remove", "removed from", "not in it")
}

func (a *app) changeMembers(ctx context.Context, args []string, command, done, same string) error {
	var t target
	fs := newFlags(strings.ReplaceAll(command, ".", " "))
	dry := dryFlag(fs)
	rest, err := t.parse(fs, args, 2, 1<<16)
	if err != nil {
		return err
	}
	var c control.GroupMembersChanged
	if err := t.call(ctx, command, control.GroupMembers{ID: rest[0], Members: rest[1:], DryRun: *dry}, &c); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(c)
	}
	if a.showEffect(c.Effect) {
		return nil
	}
	if len(c.Changed) > 0 {
		fmt.Fprintf(a.out, "%s: %s %s.\n", done, c.Group.ID, strings.Join(c.Changed, ", "))
	}
	if len(c.Same) > 0 {
		fmt.Fprintf(a.out, "%s: %s.\n", same, strings.Join(c.Same, ", "))
	}
	return nil
}

func runGroupPreview(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("group preview"), args, 1, 1)
	if err != nil {
		return err
	}
	var contacts []control.Contact
	if err := t.call(ctx, "group.preview", control.PersonName{Who: rest[0]}, &contacts); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(contacts)
	}
	if len(contacts) == 0 {
		fmt.Fprintf(a.out, "%s has nobody in the contact list.\n", rest[0])
	}
	for _, c := range contacts {
		fmt.Fprintf(a.out, "%-36s %-24s %-5s %s\n", c.JID, c.Name, c.Subscription, strings.Join(c.Groups, ", "))
	}
	return nil
}

// rosterOf is the whole roster of an account as its clients get it.
func (s *server) rosterOf(user jid.JID) ([]control.Contact, error) {
	query, err := s.modules.roster.Query(user)
	if err != nil {
		return nil, fmt.Errorf("read the roster of %s: %w", user, err)
	}
	q, ok := stanza.New(stanza.IQ, string(stanza.Result), "preview", user, user, query).Child("jabber:iq:roster", "query")
	if !ok {
		return nil, fmt.Errorf("read the roster of %s: no query", user)
	}
	contacts := make([]control.Contact, 0, len(q.Children))
	for _, it := range q.Children {
		c := control.Contact{JID: it.Attr("jid"), Name: it.Attr("name"), Subscription: it.Attr("subscription"), Groups: []string{}}
		for _, g := range it.Children {
			c.Groups = append(c.Groups, g.Text)
		}
		contacts = append(contacts, c)
	}
	return contacts, nil
}

// rosters is what the commands of groups ask of contact lists.
func (s *server) rosters() control.Rosters {
	contact := func(it *xmpp.SharedItem) *control.Contact {
		if it == nil {
			return nil
		}
		return &control.Contact{JID: it.Contact.String(), Name: it.Name, Subscription: it.Subscription, Groups: it.Groups}
	}
	return control.Rosters{Of: s.rosterOf, Compare: func(tried *people.State, f func(user, who jid.JID, before, after *control.Contact)) {
		s.shared.Compare(tried, func(user, who jid.JID, before, after *xmpp.SharedItem) {
			f(user, who, contact(before), contact(after))
		})
	}}
}

// offerPages puts people and groups among the administrators' ad-hoc commands.
func (s *server) offerPages() error {
	list := pages.Commands(pages.Config{People: s.people, May: s.modules.admin.Admin, Roster: func(user jid.JID) ([]pages.Contact, error) {
		contacts, err := s.rosterOf(user)
		list := make([]pages.Contact, len(contacts))
		for i, c := range contacts {
			list[i] = pages.Contact(c)
		}
		return list, err
	}})
	for _, c := range list {
		if err := s.modules.commands.Command(c); err != nil {
			return err
		}
	}
	return nil
}
