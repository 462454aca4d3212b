// Package pages lets administrators see and change people and shared groups
// from their chat client, by ad-hoc commands (XEP-0050 1.3.0): the same as
// `doorway group` and `doorway people` do.
//
// What a page shows may have been changed by somebody else before it is sent
// back: lists of members are taken as what was added and taken away, all other
// fields as they are sent. Nothing is changed before the last page.
//
// Left out: lists that make accounts, photos, and legacy addresses, which are for
// the command line.
//
// The package starts no goroutine.
package pages

import (
	"context"
	"errors"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
)

// Config is what the commands work on.
type Config struct {
	People *people.People
	// May says who is an administrator.
	May func(asker jid.JID) bool
	// Roster is the whole contact list of an account as its clients get it.
	Roster func(user jid.JID) ([]Contact, error)
}

// Contact is somebody in a contact list.
type Contact struct {
	JID, Name, Subscription string
	Groups                  []string
}

// prefix is what the nodes begin with, and the FORM_TYPE of all forms.
const prefix = "urn:doorway:people"

// maxOptions is how many groups or people a list to choose from has; whoever
// has more types the id.
const maxOptions = 500

// Commands lists them, in the order of a menu.
func Commands(c Config) []xmpp.Command {
	list := []xmpp.Command{
		{Node: "groups", Name: "Shared groups", Run: c.groups},
		{Node: "group-add", Name: "Add a shared group", Run: c.addGroup},
		{Node: "group-edit", Name: "Change a shared group", Run: c.chooseGroup(c.editGroup, false)},
		{Node: "group-remove", Name: "Delete a shared group", Run: c.chooseGroup(c.removeGroup, true)},
		{Node: "preview", Name: "See somebody's contact list", Run: c.choosePerson("Whose contact list?", true, c.preview)},
		{Node: "people", Name: "People", Run: c.people},
		{Node: "person-add", Name: "Add a person without an account", Run: c.addPerson},
		{Node: "person-edit", Name: "Change a person", Run: c.choosePerson("Whom?", false, c.editPerson)},
		{Node: "person-remove", Name: "Delete a person without an account", Run: c.choosePerson("Whom? Who has an account is deleted with it.", true, c.removePerson)},
		{Node: "people-import", Name: "Take over a list of people", Run: c.importList},
		{Node: "people-export", Name: "All people as a list", Run: c.exportList},
	}
	for i := range list {
		list[i].Node = prefix + "#" + list[i].Node
		list[i].May = c.May
	}
	return list
}

// ask makes a page to be filled in.
func ask(title, instructions string, last bool, submit xmpp.CommandFunc, fields ...form.Field) *xmpp.CommandPage {
	f := form.New(form.Ask, prefix, fields...)
	f.Title, f.Instructions = title, []string{instructions}
	return &xmpp.CommandPage{Form: f, Submit: submit, Last: last}
}

// table makes a last page of rows.
func table(title string, names, labels []string, rows [][]string) *xmpp.CommandPage {
	f := form.New(form.Result, prefix)
	f.Title = title
	for i, n := range names {
		f.Reported = append(f.Reported, form.Field{Var: n, Kind: form.TextSingle, Label: labels[i]})
	}
	for _, r := range rows {
		item := make([]form.Field, len(names))
		for i, n := range names {
			item[i] = form.Field{Var: n, Values: []string{r[i]}}
		}
		f.Items = append(f.Items, item)
	}
	return &xmpp.CommandPage{Form: f}
}

func value(call *xmpp.CommandCall, name string) string {
	v, _ := call.Form.Value(name)
	return strings.TrimSpace(v)
}

// values are the lines of a field that are not empty.
func values(call *xmpp.CommandCall, name string) (list []string) {
	if f := call.Form.Field(name); f != nil {
		for _, v := range f.Values {
			if v = strings.TrimSpace(v); v != "" {
				list = append(list, v)
			}
		}
	}
	return list
}

func several(name, label, desc string, list []string) form.Field {
	return form.Field{Var: name, Kind: form.TextMulti, Label: label, Desc: desc, Values: list}
}

// told lets somebody try again whose fault it is.
func told(err error) error {
	var e *people.Error
	if errors.As(err, &e) {
		return xmpp.TryAgain(e.Text)
	}
	return err
}

// edit changes people and groups, and says so.
func (c Config) edit(ctx context.Context, f func(e *people.Edit) error, done string) (*xmpp.CommandPage, error) {
	if err := c.People.Edit(ctx, f); err != nil {
		return nil, told(err)
	}
	return xmpp.CommandDone(done), nil
}
