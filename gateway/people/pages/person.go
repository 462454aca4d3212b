package pages

import (
	"context"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/form"
)

// maxRows is how many people the list shows.
const maxRows = 1000

func (c Config) people(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	s := c.People.State()
	var rows [][]string
	for p := range s.People() {
		if len(rows) < maxRows {
			rows = append(rows, []string{p.ID, p.Name, p.Address().String(), strings.Join(p.Phones, ", "), strings.Join(p.Departments, ", ")})
		}
	}
	if len(rows) == 0 {
		return xmpp.CommandDone("There are no people yet."), nil
	}
	page := table("People", []string{"id", "name", "address", "phones", "departments"}, []string{"Id", "Name", "Reached at", "Phones", "Departments"}, rows)
	if s.CountPeople() > maxRows {
		page.Notes = []xmpp.CommandNote{{Severity: xmpp.CommandWarning, Text: "These are the first thousand. `doorway people list` on the server lists all."}}
	}
	return page, nil
}

// personFields are those of a person's page.
func personFields(p people.Person) []form.Field {
	all := []form.Field{
		form.Text("name", "Name as colleagues see it", p.Name), form.Text("first", "First name", p.First), form.Text("last", "Last name", p.Last),
		form.Text("nick", "Nickname", p.Nick), several("phones", "Phone numbers", "The first one is texted", p.Phones), form.Text("mail", "Mail address", p.Mail),
		several("departments", "Departments", "", p.Departments), form.Text("language", "Language, such as de", p.Language),
		form.Switch("sms", "Texts may be sent", !p.NoSMS), form.Switch("hidden", "Neither in the directory nor among everybody", p.Hidden),
		form.Switch("private", "The directory keeps the numbers to itself", p.PrivatePhones),
		several("notes", "Notes for administrators", "", strings.Split(p.Notes, "\n")),
	}
	if p.Notes == "" {
		all[len(all)-1].Values = nil
	}
	return all
}

func fillPerson(call *xmpp.CommandCall, p *people.Person) {
	p.Name, p.First, p.Last, p.Nick = value(call, "name"), value(call, "first"), value(call, "last"), value(call, "nick")
	p.Phones, p.Mail, p.Departments, p.Language = values(call, "phones"), value(call, "mail"), values(call, "departments"), value(call, "language")
	if f := call.Form.Field("notes"); f != nil {
		p.Notes = strings.Join(f.Values, "\n")
	}
	on := func(name string) bool { is, _ := form.Bool(value(call, name)); return is }
	p.NoSMS, p.Hidden, p.PrivatePhones = !on("sms"), on("hidden"), on("private")
}

func (c Config) addPerson(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	id := form.Text("id", "Id, which stays, such as anna.berg", "")
	id.Required = true
	all := append([]form.Field{id}, personFields(people.Person{})...)
	return ask("Add a person", "Somebody without an account is reached by the first phone number.", true, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		typed := value(call, "id")
		return c.edit(ctx, func(e *people.Edit) error {
			if q, err := e.Find(typed); err == nil {
				return &people.Error{Text: typed + " is " + q.Display() + " (" + q.ID + ") already. Choose another id, or change that person.", Err: people.ErrPerson}
			}
			p := people.Person{ID: typed}
			fillPerson(call, &p)
			return e.PutPerson(p)
		}, typed+" is there.")
	}, all...), nil
}

// choosePerson asks for a person and goes on with next.
func (c Config) choosePerson(question string, last bool, next func(ctx context.Context, call *xmpp.CommandCall, p *people.Person) (*xmpp.CommandPage, error)) xmpp.CommandFunc {
	return func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		field := form.Text("person", "Id, account, address or number", "")
		field.Required = true
		return ask("People", question, last, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			p, err := c.People.Find(value(call, "person"))
			if err != nil {
				return nil, told(err)
			}
			return next(ctx, call, p)
		}, field), nil
	}
}

func (c Config) editPerson(_ context.Context, _ *xmpp.CommandCall, p *people.Person) (*xmpp.CommandPage, error) {
	return ask("Change "+p.Display(), "The account, photo and legacy addresses stay as they are.", true, func(ctx context.Context, call *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return c.edit(ctx, func(e *people.Edit) error {
			now, err := e.Find(p.ID)
			if err != nil {
				return err
			}
			next := *now
			fillPerson(call, &next)
			return e.PutPerson(next)
		}, p.Display()+" is changed.")
	}, personFields(*p)...), nil
}

func (c Config) removePerson(ctx context.Context, _ *xmpp.CommandCall, p *people.Person) (*xmpp.CommandPage, error) {
	return c.edit(ctx, func(e *people.Edit) error { return e.RemovePerson(p.ID) }, p.Display()+" is deleted, from all groups too.")
}

func (c Config) preview(_ context.Context, _ *xmpp.CommandCall, p *people.Person) (*xmpp.CommandPage, error) {
	if p.Account == "" {
		return xmpp.CommandFailed(p.Display() + " has no account here, and so no contact list."), nil
	}
	contacts, err := c.Roster(p.Address())
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, x := range contacts {
		rows = append(rows, []string{x.JID, x.Name, x.Subscription, strings.Join(x.Groups, ", ")})
	}
	if len(rows) == 0 {
		return xmpp.CommandDone(p.Display() + " has nobody in the contact list."), nil
	}
	return table("Contact list of "+p.Display(), []string{"jid", "name", "subscription", "groups"}, []string{"Address", "Name", "Subscription", "Groups"}, rows), nil
}
