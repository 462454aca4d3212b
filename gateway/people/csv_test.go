package people

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func importing(p *People, text string, passwords ...string) (Imported, error) {
	in := Import{Data: []byte(text), Passwords: map[string]string{}}
	for _, local := range passwords {
		in.Passwords[local] = "correct horse " + local
	}
	return p.Import(context.Background(), in)
}

func (i Imported) String() string {
	var b strings.Builder
	for _, c := range i.Changes {
		fmt.Fprintf(&b, "%d %s", c.Line, c.ID)
		if c.Added {
			b.WriteString(" added")
		}
		fmt.Fprintf(&b, ": %s\n", strings.Join(c.What, ", "))
	}
	fmt.Fprintf(&b, "same %d accounts %v groups %v", i.Same, i.Accounts, i.Groups)
	return b.String()
}

const staff = "\ufeffName;Mobile;E-Mail;Department;Groups;Account;SMS\r\n" +
	"Anna Berg;0155 50101;anna@office.example;Sales;Sales Team;anna;\r\n" +
	"Ben Ode;0155/50102, +44 7700 900123;;Sales|Field;Sales Team;;no\r\n" +
	"\"Clara \"\"Cee\"\" Dahl\";;clara@office.example;;field;;yes\r\n" +
	";;;;;;\r\n"

// The same list twice changes nothing the second time, tried or meant.
func TestImportIsIdempotent(t *testing.T) {
	s, p := open(t, filepath.Join(t.TempDir(), "data"))
	first := `2 anna added: account: anna, name: Anna Berg, phones: +4915550101, mail: anna@office.example, departments: Sales, joins Sales Team
3 ben-ode added: name: Ben Ode, phones: +4915550102 +447700900123, departments: Sales, Field, sms: no, joins Sales Team
4 clara-cee-dahl added: name: Clara "Cee" Dahl, mail: clara@office.example, joins field
same 0 accounts [anna] groups [field sales-team]`
	if got, err := p.TryImport(Import{Data: []byte(staff)}); err != nil || got.String() != first {
		t.Errorf("tried: %v\n%s", err, got)
	}
	if p.State().CountPeople() != 0 || p.Exists("anna") {
		t.Error("a trial changed something")
	}
	var ie *ImportError
	if _, err := importing(p, staff); !errors.As(err, &ie) || !strings.Contains(ie.Error(), "line 2, column 6 (account): There is no account anna yet, and no password") {
		t.Errorf("without a password: %v", err)
	}
	if got, err := importing(p, staff, "anna"); err != nil || got.String() != first {
		t.Errorf("%v\n%s", err, got)
	}
	state := p.State()
	if g := state.Group("sales-team"); g == nil || g.Label != "Sales Team" || !slices.Equal(g.Members, []Member{"anna", "ben-ode"}) || !g.Visible.Members {
		t.Errorf("%+v", g)
	}
	if got, err := importing(p, staff, "anna"); err != nil || got.String() != "same 3 accounts [] groups []" || p.State() != state {
		t.Errorf("again: %v\n%s", err, got)
	}
	if a, ok := p.Account("anna"); !ok || a.Name != "Anna Berg" {
		t.Errorf("%+v %v", a, ok)
	}
	// A column that is there is the truth; one that is not stays; nobody goes.
	got, err := importing(p, "name,phones,groups\nBen Ode,+4915550102,field\n")
	if err != nil || got.String() != "2 ben-ode: phones: +4915550102, joins field, leaves sales-team\nsame 0 accounts [] groups []" {
		t.Errorf("%v\n%s", err, got)
	}
	if q := p.State().Person("ben-ode"); len(q.Departments) != 2 || !q.NoSMS || p.State().CountPeople() != 3 {
		t.Errorf("%+v", q)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// Departments become groups when that is asked for.
func TestImportOfDepartments(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	in := Import{Data: []byte("name,department\nAnna,Sales\nBen,Sales;Field Service\n"), DepartmentGroups: true}
	for _, want := range []string{
		"2 anna added: name: Anna, departments: Sales, joins Sales\n3 ben added: name: Ben, departments: Sales, Field Service, joins Sales, joins Field Service\nsame 0 accounts [] groups [field-service sales]",
		"same 2 accounts [] groups []",
	} {
		if got, err := p.Import(context.Background(), in); err != nil || got.String() != want {
			t.Errorf("%v\n%s", err, got)
		}
	}
	in.Data = []byte("name,department\nBen,Sales\n")
	if got, err := p.Import(context.Background(), in); err != nil || got.String() != "2 ben: departments: Sales, leaves field-service\nsame 0 accounts [] groups []" {
		t.Errorf("%v\n%s", err, got)
	}
}

// Every fault is told with its line and column, all of them at once, and
// nothing is taken over.
func TestImportRefused(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	put(t, p, Person{ID: "zoe", Name: "Zoe", Phones: []string{"+4915550190"}}, Person{ID: "yan", Name: "Yan", Phones: []string{"+4915550191"}},
		Person{ID: "tim", Name: "Tim T"}, Person{ID: "tim-2", Name: "Tim T"})
	if err := p.Add("dora", "correct horse", "Dora"); err != nil {
		t.Fatal(err)
	}
	before := p.State()
	for _, c := range []struct{ text, want string }{
		{"", "The list is empty."},
		{"name\n", "Nobody is in the list"},
		{"name,shoe size\nAnna,42\n", `line 1, column 2: There is no column "shoe size".`},
		{"name,phone,mobile\nAnna,,\n", "line 1, column 3 (phones): This column is there twice."},
		{"name,phones\nAnna,0155 50101\nBen\n", "line 3, column 2: The line has 1 column and the heading 2."},
		{"name,mail\nAnna,a,b\n", "line 2, column 3: The line has 3 columns and the heading 2."},
		{"name\n\"Anna\nBen\n", "line 2: A text in quotation marks begins in this line and is not closed"},
		{"name\nAn\"na\n", "line 2: A quotation mark stands inside a text without quotes (character 3)"},
		{"name\nAnna\nB\xe4rbel\n", "line 3: This is not UTF-8 text."},
		{"name\nAn\x00na\n", "line 2: This is not UTF-8 text."},
		{"name\nAnna\nB\ufffdrbel\n", "line 3: This is not UTF-8 text."}, // what JSON makes of the former
		{"\n\nname;shoe\nAnna;1\n", `line 3, column 2: There is no column "shoe".`},
		{"name,phones\nAnna,call me\n", "line 2, column 2 (phones): “call me” is not a phone number."},
		{"name,phones\nAnna,5050\n", "line 2, column 2 (phones): \"5050\" is a short code"},
		{"name,phones\nAnna,0155 50101\nBen,0155 50101\n", "line 3, column 2 (phones): +4915550101 is the number of Anna (anna) and of Ben (ben)."},
		{"name,phones\nBen,0155 50101\nAnna,0155 50101\n", "line 3, column 2 (phones): +4915550101 is the number of"},
		{"id,phones\naaa,+4915550190\n", "line 2, column 2 (phones): +4915550190 is the number of aaa (aaa) and of Zoe (zoe)."},
		{"id,phones\nzzz,+4915550190\n", "line 2, column 2 (phones): +4915550190 is the number of Zoe (zoe) and of zzz (zzz)."},
		{"id,jid\na,x@icq.example\nb,x@icq.example\n", "line 3, column 2 (jid): x@icq.example is the address of"},
		{"id,legacy\na,x@icq.example\nb,x@icq.example\n", "line 3, column 2 (legacy): x@icq.example is the address of"},
		{"name,phones\nZoe B,+4915550190;+4915550191\n", "line 2, column 2 (phones): These are numbers of two people, Zoe (zoe) and Yan (yan)."},
		{"name,mail\nAnna,at home\n", "line 2, column 2 (mail):"},
		{"name,sms\nAnna,perhaps\n", `line 2, column 2 (sms): "perhaps" is neither yes nor no.`},
		{"name,legacy\nAnna,@@\n", "line 2, column 2 (legacy):"},
		{"name,jid\nAnna,dora@office.example\n", "line 2, column 2 (jid): dora@office.example is in this server's own domain"},
		{"name,language\nAnna,the best\n", "line 2, column 2 (language):"},
		{"id,name\n+49,Anna\n", "line 2, column 1 (id):"},
		{"id,name\na,Anna\na,Ben\n", "line 3: This is the same person (a) as in line 2."},
		{"name\nAnna\nAnna\n", "line 3, column 1 (name): Somebody of the same name is in line 2."},
		{"name\nTim T\n", "line 2, column 1 (name): There are several people called Tim T: tim, tim-2."},
		{"name,phones\nZoe,0155 50199\n", "line 2, column 1 (name): There is already somebody called Zoe (zoe) with another number"},
		{"name,mail\n,\nAnna,\n,x@y\n,\n\"\",\"\"\n", ""},
		{"departments\nSales\n", "line 2: Nobody is named here."},
		{"id,account\ndora,emil\n", "line 2, column 2 (account): Dora has the account dora, and an account cannot be renamed."},
		{"id,account\nzoe,dora\n", "line 2, column 2 (account): The account dora is that of Dora (dora)."},
		{"account,jid\nnew,a@icq.example\n", "line 2, column 1 (account): new has the address a@icq.example already."},
		{"account\na b\n", "line 2, column 1 (account):"},
		{"name,groups\nAnna,nobody\n", ""},
		{"name,mail,sms\nAnna,x,q\nBen,z z,yes\n", `line 2, column 3 (sms): "q" is neither`},
	} {
		var ie *ImportError
		_, err := p.TryImport(Import{Data: []byte(c.text)})
		if c.want == "" {
			if err != nil {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if !errors.As(err, &ie) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: want %q, got %v", c.text, c.want, err)
		}
	}
	var ie *ImportError
	if _, err := importing(p, "name,mail,sms\nAnna,x,no\nBen,z z,perhaps\n"); !errors.As(err, &ie) || len(ie.Problems) != 2 {
		t.Errorf("%v", err)
	}
	if p.State() != before {
		t.Error("something was taken over")
	}
	// Of several faults in a line the first is told, with its own column.
	_, err := importing(p, "language,mail,phones\n"+strings.Repeat("the best,nowhere,+4915550199\n", 20))
	if n := strings.Count(fmt.Sprint(err), `column 2 (mail): "nowhere" is not`); n != 20 {
		t.Errorf("%d lines of 20 have the right column: %v", n, err)
	}
	// An unknown heading is no fault of every line below it.
	if _, err := importing(p, "Vorname\nAnna\nBen\n"); !errors.As(err, &ie) || len(ie.Problems) != 1 {
		t.Errorf("%v", err)
	}
}

// A group is made of any label, once, however often a line names it.
func TestImportMakesGroups(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	put(t, p, Person{ID: "zoe", Name: "Zoe"})
	got, err := importing(p, "name,groups\nZoe,Sales;sales;everybody;***\n")
	if err != nil || len(got.Changes) != 1 || !slices.Equal(got.Groups, []string{"***", "group", "sales"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if what := strings.Join(got.Changes[0].What, "; "); what != "joins Sales; joins everybody; joins ***" {
		t.Error(what)
	}
}

// What is exported can be imported again, formulas and all.
func TestExportRoundTrip(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	if _, err := importing(p, staff, "anna"); err != nil {
		t.Fatal(err)
	}
	evil := Person{ID: "eve", Name: "=cmd|' /C calc'!A0", First: "'=x", Last: "-1+1", Nick: "@sum", Notes: "+1;\"x\"\n\n=2, and\tmore", Phones: []string{"+4915550150"},
		Departments: []string{"@all", "= b"}, Language: "de-AT", Hidden: true, PrivatePhones: true}
	put(t, p, evil, Person{ID: "tab", Name: "''-x", NoSMS: true})
	var out bytes.Buffer
	if err := p.State().ExportCSV(&out); err != nil {
		t.Fatal(err)
	}
	for _, cell := range []string{",'=cmd|' /C calc'!A0,", ",''=x,", ",'-1+1,", ",'@sum,", ",+4915550150,", "'@all;= b", "'''-x", "\"'+1;\"\"x\"\"\r\n"} {
		if !strings.Contains(out.String(), cell) {
			t.Errorf("no %s in %s", cell, out.String())
		}
	}
	state := p.State()
	if got, err := importing(p, out.String()); err != nil || got.String() != "same 5 accounts [] groups []" || p.State() != state {
		t.Errorf("again: %v\n%s", err, got)
	}
	_, fresh := open(t, filepath.Join(t.TempDir(), "data"))
	if _, err := importing(fresh, out.String(), "anna"); err != nil {
		t.Fatal(err)
	}
	for q := range state.People() {
		got, want := *fresh.State().Person(q.ID), *q
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, s := range []string{staff, "id,name\n'=x,\"a\nb\"\n", "name;phones\n'''=x;0155 50101\n", "name\n\"", "account,groups\na,b|c\n", "mail\tname\nx@y\tz\n"} {
		f.Add([]byte(s))
	}
	s, p := open(f, filepath.Join(f.TempDir(), "data"))
	_ = s
	if err := p.Add("anna", "correct horse", "Anna"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e := p.begin()
		m := newImporter(e, Import{Data: data, DepartmentGroups: true})
		if err := m.run(); err != nil {
			var ie *ImportError
			if !errors.As(err, &ie) || len(ie.Problems) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		// What was taken over can be exported, and taken over again without a change.
		after, _ := e.result()
		var out bytes.Buffer
		if err := after.ExportCSV(&out); err != nil {
			t.Fatal(err)
		}
		again := p.begin()
		again.old = after
		n := newImporter(again, Import{Data: out.Bytes()})
		if err := n.run(); err != nil {
			t.Fatalf("%v in\n%s", err, out.Bytes())
		}
		if len(n.out.Changes) > 0 {
			t.Fatalf("changes %v in\n%s", n.out.Changes, out.Bytes())
		}
	})
}
