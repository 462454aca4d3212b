package pages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/gateway/store"
	"doorway/transports/number"
	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
)

var root = jid.MustParse("root@office.example")

func newHouse(t *testing.T) (*people.People, Config) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := people.Open(s, people.House{Domain: "office.example", SMSDomain: "sms.office.example", Numbers: number.National("49")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add("anna", "correct horse", "Anna"); err != nil {
		t.Fatal(err)
	}
	return p, Config{People: p, May: func(j jid.JID) bool { return j.Bare() == root }, Roster: func(jid.JID) ([]Contact, error) {
		return []Contact{{JID: "ben@office.example", Name: "Ben", Subscription: "both", Groups: []string{"A", "B"}}}, nil
	}}
}

// start runs a command to its first page.
func start(t *testing.T, c Config, node string) *xmpp.CommandPage {
	t.Helper()
	for _, cmd := range Commands(c) {
		if cmd.Node == "urn:doorway:people#"+node {
			if !cmd.May(root) || cmd.May(jid.MustParse("anna@office.example")) {
				t.Errorf("%s is for others", node)
			}
			return check(t)(cmd.Run(context.Background(), &xmpp.CommandCall{Asker: root, Form: &form.Form{}}))
		}
	}
	t.Fatalf("no command %s", node)
	return nil
}

func check(t *testing.T) func(p *xmpp.CommandPage, err error) *xmpp.CommandPage {
	return func(p *xmpp.CommandPage, err error) *xmpp.CommandPage {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if p.Form != nil && p.Form.XML() == "" {
			t.Error("an empty form")
		}
		return p
	}
}

// submit fills a page in: "name=value", fields with several as "name=a|b".
// What is not named is sent back as it was shown.
func submit(t *testing.T, p *xmpp.CommandPage, filled ...string) (*xmpp.CommandPage, error) {
	t.Helper()
	if p.Submit == nil {
		t.Fatalf("a last page: %+v", p.Notes)
	}
	f := &form.Form{Type: form.Submit}
	for _, x := range p.Form.Fields {
		f.Fields = append(f.Fields, form.Field{Var: x.Var, Values: x.Values})
	}
	for _, x := range filled {
		name, v, _ := strings.Cut(x, "=")
		f.Field(name).Values = strings.Split(v, "|")
		if v == "" {
			f.Field(name).Values = nil
		}
	}
	if err := p.Form.Check(f); err != nil {
		t.Fatal(err)
	}
	return p.Submit(context.Background(), &xmpp.CommandCall{Asker: root, Form: f})
}

// done expects a last page with a sentence.
func done(t *testing.T, want string) func(p *xmpp.CommandPage, err error) {
	return func(p *xmpp.CommandPage, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Notes) != 1 || !strings.Contains(p.Notes[0].Text, want) || p.Submit != nil {
			t.Errorf("want %q, got %+v", want, p.Notes)
		}
	}
}

// again expects the page to be shown again with a sentence.
func again(t *testing.T, want string) func(p *xmpp.CommandPage, err error) {
	return func(_ *xmpp.CommandPage, err error) {
		t.Helper()
		var a *xmpp.CommandAgain
		if !errors.As(err, &a) || !strings.Contains(a.Text, want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestGroupsByForm(t *testing.T) {
	p, c := newHouse(t)
	done(t, "no shared groups yet")(start(t, c, "groups"), nil)
	page := start(t, c, "group-add")
	again(t, "no person zoe")(submit(t, page, "id=sales", "members=zoe"))
	done(t, "is there")(submit(t, page, "id=Sales", "label=Sales", "members=anna|0155 50101|*", "room=autojoin", "texts=1", "managers=anna"))
	again(t, "already a group sales")(submit(t, page, "id=sales"))
	g := p.State().Group("sales")
	if g == nil || !slices.Equal(g.Members, []people.Member{"+4915550101", "anna", "everybody"}) || !g.Visible.Members || g.Room != people.RoomAutojoin || !g.Texts || len(g.Managers) != 1 {
		t.Fatalf("%+v", g)
	}
	// What somebody else did to the members meanwhile stays.
	page = check(t)(submit(t, start(t, c, "group-edit"), "group=sales"))
	if err := p.Edit(context.Background(), func(e *people.Edit) error {
		next := *e.Group("sales")
		next.Members = []people.Member{"anna", "bot@irc.office.example"}
		return e.PutGroup(next)
	}); err != nil {
		t.Fatal(err)
	}
	again(t, "sales cannot be a member of itself")(submit(t, page, "members=group:sales"))
	done(t, "is changed")(submit(t, page, "members=+4915550101|+4915550102", "visible=everybody", "room=none", "managers="))
	g = p.State().Group("sales")
	if !slices.Equal(g.Members, []people.Member{"+4915550102", "bot@irc.office.example"}) || !g.Visible.Everybody || g.Room != people.NoRoom || g.Texts || len(g.Managers) != 0 {
		t.Errorf("%+v", g)
	}
	if list := start(t, c, "groups"); len(list.Form.Items) != 1 {
		t.Errorf("%+v", list.Form)
	}
	page = start(t, c, "group-remove")
	done(t, "is deleted")(submit(t, page, "group=sales"))
	again(t, "no group sales")(submit(t, page, "group=sales"))
}

func TestListsByForm(t *testing.T) {
	p, c := newHouse(t)
	page := start(t, c, "people-import")
	list := "list=name;phones;groups;notes|Dora;0155 50101;Sales;\"two|lines\"|Emil;%s;;"
	again(t, "line 4, column 2 (phones): “call me” is not a phone number.")(submit(t, page, fmt.Sprintf(list, "call me")))
	again(t, "The list makes accounts: zoe.")(submit(t, page, "list=name,account|Zoe,zoe"))
	tried := check(t)(submit(t, page, fmt.Sprintf(list, "0155 50102")))
	shown := strings.Join(tried.Form.Fields[len(tried.Form.Fields)-1].Values, "\n")
	if !tried.Last || !strings.Contains(shown, "line 2: dora is added: name: Dora; phones: +4915550101; notes: two lines; joins Sales") ||
		!strings.Contains(shown, "New groups, visible to their members: sales") || p.State().CountPeople() != 1 {
		t.Errorf("%d people, shown is\n%s", p.State().CountPeople(), shown)
	}
	done(t, "2 added, 0 changed, 0 as they are.")(submit(t, tried))
	if q := p.State().Person("dora"); q == nil || q.Notes != "two\nlines" || !p.State().Group("sales").Has("dora") {
		t.Errorf("%+v", q)
	}
	// What is shown of all can be taken over again.
	all := start(t, c, "people-export").Form.Field("list").Values
	state := p.State()
	done(t, "0 added, 0 changed, 3 as they are.")(submit(t, start(t, c, "people-import"), "list="+strings.Join(all, "|")))
	if p.State() != state {
		t.Error("something was taken over")
	}
}

func TestPeopleByForm(t *testing.T) {
	p, c := newHouse(t)
	page := start(t, c, "person-add")
	again(t, "is not a phone number")(submit(t, page, "id=fred", "phones=call me"))
	again(t, "anna is Anna (anna) already")(submit(t, page, "id=anna"))
	done(t, "fred is there")(submit(t, page, "id=fred", "name=Fred", "phones=0155 50101|0155 50102", "departments=Service", "notes=two|lines"))
	page = check(t)(submit(t, start(t, c, "person-edit"), "person=0155/50101"))
	done(t, "Fred is changed")(submit(t, page, "sms=0", "hidden=1", "mail=fred@example.org"))
	q := p.State().Person("fred")
	if q.Notes != "two\nlines" || !q.NoSMS || !q.Hidden || q.PrivatePhones || q.Mail != "fred@example.org" || len(q.Phones) != 2 || len(q.Departments) != 1 {
		t.Errorf("%+v", q)
	}
	if list := start(t, c, "people"); len(list.Form.Items) != 2 {
		t.Errorf("%+v", list.Form)
	}
	page = check(t)(submit(t, start(t, c, "preview"), "person=anna"))
	if len(page.Form.Items) != 1 || page.Form.Items[0][3].Values[0] != "A, B" {
		t.Errorf("%+v", page.Form)
	}
	done(t, "Fred has no account here")(submit(t, start(t, c, "preview"), "person=fred"))
	again(t, "doorway user remove anna")(submit(t, start(t, c, "person-remove"), "person=anna"))
	done(t, "Fred is deleted")(submit(t, start(t, c, "person-remove"), "person=fred"))
	again(t, "no person fred")(submit(t, start(t, c, "person-remove"), "person=fred"))
}
