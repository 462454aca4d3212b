package people

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp/jid"
)

func edit(p *People, f func(e *Edit) error) error { return p.Edit(context.Background(), f) }

// put adds people by id.
func put(t *testing.T, p *People, list ...Person) {
	t.Helper()
	for _, one := range list {
		if err := edit(p, func(e *Edit) error { return e.PutPerson(one) }); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(s *State) (people, groups []string) {
	for p := range s.People() {
		people = append(people, p.ID)
	}
	for g := range s.Groups() {
		groups = append(groups, g.ID)
	}
	return people, groups
}

// Whoever has an account is a person, for as long as the account is there.
func TestAccountsArePeople(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	put(t, p, Person{ID: "bob", Name: "Bob Field", Phones: []string{"0155 50101"}}, Person{ID: "carol", JID: jid.MustParse("carol@elsewhere.example")})
	for _, a := range []string{"alice", "bob", "carol", "everybody", "+4915550109"} {
		if err := p.Add(a, "correct horse", ""); err != nil {
			t.Fatal(err)
		}
	}
	people, _ := ids(p.State())
	if want := []string{"alice", "bob", "carol", "carol-2", "user-4915550109", "user-everybody"}; !slices.Equal(people, want) {
		t.Errorf("people %q, want %q", people, want)
	}
	bob := p.State().Person("bob")
	if bob.Account != "bob" || bob.Name != "Bob Field" || bob.Address().String() != "bob@office.example" || len(bob.Phones) != 1 {
		t.Errorf("%+v", bob)
	}
	if q := p.State().OfAccount("carol"); q.ID != "carol-2" || q.Address().String() != "carol@office.example" {
		t.Errorf("%+v", q)
	}
	err := edit(p, func(e *Edit) error {
		return errors.Join(
			e.PutGroup(Group{ID: "outer", Members: []Member{GroupMember("sales"), "bob"}}),
			e.PutGroup(Group{ID: "sales", Members: []Member{"alice", "bob"}, Managers: []string{"bob"}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := edit(p, func(e *Edit) error { return e.RemovePerson("bob") }); !errors.As(err, &e) || !strings.Contains(e.Text, "doorway user remove bob") {
		t.Errorf("removed a person with an account: %v", err)
	}
	var order []string
	p.OnRemove(func(local string) { order = append(order, "gone "+local) })
	p.OnChange(func(_ context.Context, before, after *State) {
		order = append(order, fmt.Sprintf("changed %d to %d", before.CountPeople(), after.CountPeople()))
	})
	if err := p.Remove("bob"); err != nil {
		t.Fatal(err)
	}
	s := p.State()
	if s.Person("bob") != nil || s.Group("sales").Has("bob") || s.Group("outer").Has("bob") || len(s.Group("sales").Managers) != 0 {
		t.Errorf("bob is still somewhere: %+v %+v", s.Group("sales"), s.Group("outer"))
	}
	if !slices.Equal(order, []string{"gone bob", "changed 6 to 5"}) {
		t.Errorf("told %q", order)
	}
}

// A database from before there were people has a person for each account.
func TestOldAccountsBecomePeople(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, p := open(t, dir)
	if err := errors.Join(p.Add("alice", "correct horse", "Alice A."), s.Table("people").Write(map[string]any{"alice": nil})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, p = open(t, dir)
		if q := p.State().Person("alice"); q == nil || q.Name != "Alice A." || q.Account != "alice" {
			t.Fatalf("%+v", q)
		}
		if ok, err := s.Table("people").Get("alice", nil); !ok || err != nil {
			t.Errorf("on disk %v, %v", ok, err)
		}
	}
}

func TestPeopleSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, p := open(t, dir)
	want := Person{
		ID: "anna", Name: "Anna Berg", First: "Anna", Last: "Berg", Nick: "ab", Phones: []string{"+4915550101", "+447700900123"}, Mail: "anna@example.org",
		Departments: []string{"Sales", "Field"}, Notes: "two\nlines", Language: "pt-BR", NoSMS: true,
		Legacy: []jid.JID{jid.MustParse("12345@icq.office.example")}, Hidden: true,
	}
	typed := want
	typed.ID, typed.Phones, typed.Name = "Anna", []string{"0155 / 501-01", "0044 7700 900123"}, " Anna Berg "
	put(t, p, typed)
	image := []byte("\x89PNG\r\n\x1a\nand so on")
	g := Group{ID: "field", Label: "In the field", Description: "Who drives", Room: RoomAutojoin, Managers: []string{"anna"},
		Members: []Member{"+4915550109", "anna", "bot@irc.office.example", "everybody"}, Visible: Visible{Members: true, Groups: []string{"field"}}}
	if err := edit(p, func(e *Edit) error { return errors.Join(e.SetPhoto("anna", image), e.PutGroup(g)) }); err != nil {
		t.Fatal(err)
	}
	put(t, p, typed) // once more, and the photo stays
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, p = open(t, dir)
	got := p.State().Person("anna")
	if got.Photo == nil || got.Photo.Type != "image/png" || got.Photo.Size != len(image) || len(got.Photo.SHA1) != 40 {
		t.Errorf("photo %+v", got.Photo)
	}
	if b, err := p.Photo("anna"); err != nil || string(b) != string(image) {
		t.Errorf("image %q, %v", b, err)
	}
	c := *got
	c.Photo, c.addr = nil, jid.JID{}
	if fmt.Sprintf("%+v", c) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if back := p.State().Group("field"); fmt.Sprintf("%+v", *back) != fmt.Sprintf("%+v", g) {
		t.Errorf("got  %+v\nwant %+v", *back, g)
	}
	if err := edit(p, func(e *Edit) error { return e.RemovePerson("anna") }); err != nil {
		t.Fatal(err)
	}
	if b, err := p.Photo("anna"); b != nil || err != nil {
		t.Errorf("the photo stayed: %q %v", b, err)
	}
}

// Each refusal is a sentence, and nothing has changed.
func TestEditsRefused(t *testing.T) {
	s, p := open(t, filepath.Join(t.TempDir(), "data"))
	put(t, p, Person{ID: "anna", Name: "Anna Berg", Phones: []string{"+4915550101"}}, Person{ID: "ben", JID: jid.MustParse("ben@icq.office.example")})
	if err := p.Add("carol", "correct horse", ""); err != nil {
		t.Fatal(err)
	}
	err := edit(p, func(e *Edit) error {
		return errors.Join(
			e.PutGroup(Group{ID: "a", Members: []Member{"group:b"}}),
			e.PutGroup(Group{ID: "b", Members: []Member{"group:c"}}),
			e.PutGroup(Group{ID: "c", Members: []Member{"anna"}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	before := p.State()
	p.OnChange(func(context.Context, *State, *State) { t.Error("told of a change") })
	person := func(q Person) func(e *Edit) error { return func(e *Edit) error { return e.PutPerson(q) } }
	group := func(g Group) func(e *Edit) error { return func(e *Edit) error { return e.PutGroup(g) } }
	member := func(typed string) func(e *Edit) error {
		return func(e *Edit) error { _, err := e.Member(typed); return err }
	}
	for want, f := range map[string]func(e *Edit) error{
		"would make a circle of groups: a is in c is in b is in a.": group(Group{ID: "c", Members: []Member{"group:a"}}),
		"c cannot be a member of itself":                            group(Group{ID: "c", Members: []Member{"group:c"}}),
		"There is no group x that could be in c":                    group(Group{ID: "c", Members: []Member{"group:x"}}),
		"There is no group x that could see c":                      group(Group{ID: "c", Visible: Visible{Groups: []string{"x"}}}),
		"There is no person zoe who could be in c":                  group(Group{ID: "c", Members: []Member{"zoe"}}),
		"There is no person zoe who could manage c":                 group(Group{ID: "c", Managers: []string{"zoe"}}),
		"cannot be the id of a group":                               group(Group{ID: "a/b"}),
		"\"nobody\" has a meaning of its own":                       group(Group{ID: "Nobody"}),
		"is not a kind of room":                                     group(Group{ID: "c", Room: "big"}),
		"not a number in full":                                      group(Group{ID: "c", Members: []Member{"+49 155"}}),
		"is the number of Anna Berg (anna) and of zoe (zoe)":        person(Person{ID: "zoe", Phones: []string{"0155 50101"}}),
		"is there twice":                                            person(Person{ID: "zoe", Phones: []string{"0155 50102", "+4915550102"}}),
		"is a short code":                                           person(Person{ID: "zoe", Phones: []string{"5050"}}),
		"is not a phone number":                                     person(Person{ID: "zoe", Phones: []string{"call me"}}),
		"is the address of ben (ben) and of zoe (zoe)":              person(Person{ID: "zoe", Legacy: []jid.JID{jid.MustParse("ben@icq.office.example")}}),
		"is in this server's own domain":                            person(Person{ID: "zoe", JID: jid.MustParse("zoe@office.example")}),
		"is a phone: give its number":                               person(Person{ID: "zoe", JID: jid.MustParse("+4915550109@sms.office.example")}),
		"`doorway user add` makes accounts":                         person(Person{ID: "zoe", Account: "zoe"}),
		"is not a mail address":                                     person(Person{ID: "zoe", Mail: "zoe at home"}),
		"is not a language":                                         person(Person{ID: "zoe", Language: "deutsch, bitte"}),
		"A name may have at most":                                   person(Person{ID: "zoe", Name: "a\x01"}),
		"A label may have at most":                                  group(Group{ID: "c", Label: "a\ufffe"}),
		"has a ; or a |":                                            person(Person{ID: "zoe", Departments: []string{"a;b"}}),
		"cannot be the id of a person":                              person(Person{ID: "+4915550109"}),
		"There is no person nobody-here":                            func(e *Edit) error { return e.RemovePerson("nobody-here") },
		"There is no group nothing":                                 func(e *Edit) error { return e.RemoveGroup("nothing") },
		"neither a PNG, a JPEG":                                     func(e *Edit) error { return e.SetPhoto("anna", []byte("<svg/>")) },
		"There is no person zoe.":                                   member("zoe"),
		"There is no person zoe@office.example.":                    member("zoe@office.example"),
		"write group:a for everyone in it":                          member("a"),
		"is not somebody's address":                                 member("irc.office.example/x@y"),
		"is neither a national nor an international number":         member("155 501 01"),
	} {
		var e *Error
		if err := edit(p, f); !errors.As(err, &e) || !strings.Contains(e.Text, want) || e.Err == nil {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if p.State() != before {
		t.Error("something changed")
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// The same again changes nothing, and nobody is told.
func TestEditIsIdempotent(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	f := func(e *Edit) error {
		return errors.Join(
			e.PutPerson(Person{ID: "anna", Phones: []string{"0155 50101"}, Departments: []string{"A", "A"}, Legacy: []jid.JID{}}),
			e.PutGroup(Group{ID: "g", Members: []Member{"anna", "anna", "+4915550102"}}))
	}
	if err := edit(p, f); err != nil {
		t.Fatal(err)
	}
	s := p.State()
	if err := edit(p, f); err != nil || p.State() != s {
		t.Errorf("changed again, %v", err)
	}
	if before, after, err := p.Try(func(e *Edit) error { return e.RemoveGroup("g") }); err != nil || before.Group("g") == nil || after.Group("g") != nil || p.State() != s {
		t.Errorf("try: %v", err)
	}
	// Members as people type them.
	for typed, want := range map[string]Member{
		"anna": "anna", "ANNA": "anna", "0155/50101": "anna", "+4915550101@sms.office.example": "anna", "0155 50102": "+4915550102",
		"*": Everybody, "everybody": Everybody, "group:G": "group:g", "Bot@IRC.example": "bot@irc.example",
	} {
		if err := edit(p, func(e *Edit) error {
			if m, err := e.Member(typed); err != nil || m != want {
				t.Errorf("%q is %q, %v", typed, m, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
