package control

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
)

// Person is a person as the commands show it.
type Person struct {
	ID            string        `json:"id"`
	Address       string        `json:"address,omitempty"` // where messages reach the person
	Account       string        `json:"account,omitempty"`
	JID           string        `json:"jid,omitempty"` // address elsewhere
	Name          string        `json:"name,omitempty"`
	First         string        `json:"first,omitempty"`
	Last          string        `json:"last,omitempty"`
	Nick          string        `json:"nick,omitempty"`
	Phones        []string      `json:"phones"`
	Mail          string        `json:"mail,omitempty"`
	Departments   []string      `json:"departments"`
	Notes         string        `json:"notes,omitempty"`
	Language      string        `json:"language,omitempty"`
	SMS           bool          `json:"sms"`
	Legacy        []string      `json:"legacy"`
	Hidden        bool          `json:"hidden"`
	PrivatePhones bool          `json:"private_phones"`
	Photo         *people.Photo `json:"photo,omitempty"`
	Groups        []string      `json:"groups"` // by name; those through others and everybody's are not among them
}

// PersonEdit is the request of people.add and people.edit: what is nil stays
// as it is.
type PersonEdit struct {
	Who           string    `json:"who"` // the id of a new person; id, account, address or number of another
	JID           *string   `json:"jid,omitempty"`
	Name          *string   `json:"name,omitempty"`
	First         *string   `json:"first,omitempty"`
	Last          *string   `json:"last,omitempty"`
	Nick          *string   `json:"nick,omitempty"`
	Phones        *[]string `json:"phones,omitempty"`
	Mail          *string   `json:"mail,omitempty"`
	Departments   *[]string `json:"departments,omitempty"`
	Notes         *string   `json:"notes,omitempty"`
	Language      *string   `json:"language,omitempty"`
	SMS           *bool     `json:"sms,omitempty"`
	Legacy        *[]string `json:"legacy,omitempty"`
	Hidden        *bool     `json:"hidden,omitempty"`
	PrivatePhones *bool     `json:"private_phones,omitempty"`
	Photo         *[]byte   `json:"photo,omitempty"` // an empty one takes it away
}

// PersonName is a request that names one person.
type PersonName struct {
	Who string `json:"who"`
}

// PeopleFilter is the request of people.list.
type PeopleFilter struct {
	Text       string `json:"text,omitempty"` // in the id, the name, the address, a number or the mail address
	Group      string `json:"group,omitempty"`
	Department string `json:"department,omitempty"`
}

// PeopleImport is the request of people.import.
type PeopleImport struct {
	CSV              string            `json:"csv"`
	Passwords        map[string]string `json:"passwords,omitempty"`
	DepartmentGroups bool              `json:"department_groups,omitempty"`
	DryRun           bool              `json:"dry_run,omitempty"`
}

// PeopleImported is its answer. With problems nothing was changed.
type PeopleImported struct {
	people.Imported
	DryRun   bool             `json:"dry_run"`
	Problems []people.Problem `json:"problems"`
}

// PeopleCSV is the answer of people.export.
type PeopleCSV struct {
	CSV   string `json:"csv"`
	Count int    `json:"count"`
}

// People registers the commands people.list, show, add, edit, remove, import
// and export.
func People(s *Server, p *people.People) {
	Handle(s, "people.list", func(_ context.Context, r PeopleFilter) ([]Person, error) { return listPeople(p, r) })
	Handle(s, "people.show", func(_ context.Context, r PersonName) (Person, error) {
		q, err := p.Find(r.Who)
		if err != nil {
			return Person{}, err
		}
		return viewPerson(p.State(), q), nil
	})
	Handle(s, "people.add", func(ctx context.Context, r PersonEdit) (Person, error) {
		if q, err := p.Find(r.Who); err == nil {
			return Person{}, Refuse("%s is %s (%s) already. To change something use `doorway people edit %s`.", r.Who, q.Display(), q.ID, q.ID)
		}
		return putPerson(ctx, p, r, func(*people.Edit) (people.Person, error) { return people.Person{ID: r.Who}, nil })
	})
	Handle(s, "people.edit", func(ctx context.Context, r PersonEdit) (Person, error) {
		return putPerson(ctx, p, r, func(e *people.Edit) (people.Person, error) {
			q, err := e.Find(r.Who)
			if err != nil {
				return people.Person{}, err
			}
			return *q, nil
		})
	})
	Handle(s, "people.remove", func(ctx context.Context, r PersonName) (gone Person, err error) {
		err = p.Edit(ctx, func(e *people.Edit) error {
			q, err := e.Find(r.Who)
			if err != nil {
				return err
			}
			gone = viewPerson(e.State(), q)
			return e.RemovePerson(q.ID)
		})
		return gone, err
	})
	Handle(s, "people.import", func(ctx context.Context, r PeopleImport) (PeopleImported, error) { return importPeople(ctx, p, r) })
	Handle(s, "people.export", func(context.Context, struct{}) (PeopleCSV, error) {
		var b bytes.Buffer
		state := p.State()
		err := state.ExportCSV(&b)
		return PeopleCSV{CSV: b.String(), Count: state.CountPeople()}, err
	})
}

func importPeople(ctx context.Context, p *people.People, r PeopleImport) (PeopleImported, error) {
	in := people.Import{Data: []byte(r.CSV), Passwords: r.Passwords, DepartmentGroups: r.DepartmentGroups}
	out := PeopleImported{DryRun: r.DryRun, Problems: []people.Problem{}}
	var err error
	if r.DryRun {
		out.Imported, err = p.TryImport(in)
	} else {
		out.Imported, err = p.Import(ctx, in)
	}
	var faults *people.ImportError
	if errors.As(err, &faults) {
		out.Problems, err = faults.Problems, nil
		out.Imported = people.Imported{Changes: []people.ImportChange{}, Accounts: []string{}, Groups: []string{}}
	}
	return out, err
}

func listPeople(p *people.People, r PeopleFilter) ([]Person, error) {
	s := p.State()
	if r.Group = groupID(r.Group); r.Group != "" && s.Group(r.Group) == nil {
		return nil, people.NoGroup(r.Group)
	}
	list := []Person{}
	for q := range s.People() {
		v := viewPerson(s, q)
		text := strings.ToLower(strings.Join(append([]string{v.ID, v.Name, v.Address, v.Mail}, v.Phones...), "\n"))
		if r.Group != "" && !slices.Contains(v.Groups, r.Group) || !strings.Contains(text, strings.ToLower(r.Text)) ||
			r.Department != "" && !slices.ContainsFunc(v.Departments, func(d string) bool { return strings.EqualFold(d, r.Department) }) {
			continue
		}
		list = append(list, v)
	}
	return list, nil
}

func viewPerson(s *people.State, q *people.Person) Person {
	v := Person{
		ID: q.ID, Address: q.Address().String(), Account: q.Account, JID: q.JID.String(), Name: q.Name, First: q.First, Last: q.Last, Nick: q.Nick,
		Phones: append([]string{}, q.Phones...), Mail: q.Mail, Departments: append([]string{}, q.Departments...), Notes: q.Notes, Language: q.Language,
		SMS: !q.NoSMS, Legacy: []string{}, Hidden: q.Hidden, PrivatePhones: q.PrivatePhones, Photo: q.Photo, Groups: []string{},
	}
	for _, j := range q.Legacy {
		v.Legacy = append(v.Legacy, j.String())
	}
	for g := range s.Groups() {
		if g.Has(people.Member(q.ID)) {
			v.Groups = append(v.Groups, g.ID)
		}
	}
	return v
}

// putPerson changes the person that find finds, or makes that one.
func putPerson(ctx context.Context, p *people.People, r PersonEdit, find func(*people.Edit) (people.Person, error)) (v Person, err error) {
	err = p.Edit(ctx, func(e *people.Edit) error {
		q, err := find(e)
		if err != nil {
			return err
		}
		if err := r.over(&q); err != nil {
			return err
		}
		if err := e.PutPerson(q); err != nil {
			return err
		}
		s := e.State()
		now, err := s.Find(p.House(), q.ID)
		if err != nil {
			return err
		}
		if r.Photo != nil {
			if err := e.SetPhoto(now.ID, *r.Photo); err != nil {
				return err
			}
			now = e.Person(now.ID)
		}
		v = viewPerson(s, now)
		return nil
	})
	return v, err
}

// over writes what is not nil over a person.
func (r PersonEdit) over(q *people.Person) error {
	for from, to := range map[*string]*string{r.Name: &q.Name, r.First: &q.First, r.Last: &q.Last, r.Nick: &q.Nick, r.Mail: &q.Mail, r.Notes: &q.Notes, r.Language: &q.Language} {
		if from != nil {
			*to = *from
		}
	}
	for from, to := range map[*bool]*bool{r.Hidden: &q.Hidden, r.PrivatePhones: &q.PrivatePhones} {
		if from != nil {
			*to = *from
		}
	}
	if r.SMS != nil {
		q.NoSMS = !*r.SMS
	}
	if r.Phones != nil {
		q.Phones = *r.Phones
	}
	if r.Departments != nil {
		q.Departments = *r.Departments
	}
	var err error
	if r.JID != nil {
		if q.JID, err = address(*r.JID); err != nil {
			return err
		}
	}
	if r.Legacy != nil {
		q.Legacy = nil
		for _, typed := range *r.Legacy {
			j, err := address(typed)
			if err != nil {
				return err
			}
			q.Legacy = append(q.Legacy, j)
		}
	}
	return nil
}

// address reads an address; "" is none.
func address(typed string) (jid.JID, error) {
	if typed == "" {
		return jid.JID{}, nil
	}
	j, err := jid.Parse(typed)
	if err != nil {
		return j, &Error{Usage: true, Text: "\"" + typed + "\" is not an address. Write one such as anna@elsewhere.example."}
	}
	return j, nil
}
