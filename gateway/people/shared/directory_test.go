package shared

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// directory is an office in which anna sees ben, carla, a driver and a lone phone, and nobody sees hugo.
func directory(t *testing.T) (*office, *Directory) {
	o := newOffice(t)
	o.accounts("anna", "ben", "carla", "dora", "hugo")
	o.edit(func(e *people.Edit) error {
		for _, p := range []people.Person{
			{ID: "ben", Account: "ben", Name: "Benjamin Müller", First: "Benjamin", Last: "Müller", Nick: "Benny",
				Mail: "ben.mueller@office.example", Phones: []string{"0155 50101", "+1 202 555 0123"}, Departments: []string{"Field Service", "Night"}},
			{ID: "carla", Account: "carla", Name: "Carla STRAẞE-O'Neil", Phones: []string{"0155 50102"}, PrivatePhones: true},
			{ID: "hugo", Account: "hugo", Name: "Hugo Hidden", Hidden: true},
			{ID: "driver", Name: "Driver Seven", Phones: []string{"0155 50107"}},
			{ID: "mail", Name: "Mail Only", Mail: "m@office.example"},
		} {
			if err := e.PutPerson(p); err != nil {
				return err
			}
		}
		return e.SetPhoto("ben", []byte("\x89PNG\r\n\x1a\nface"))
	})
	o.group("sales", "Sales & Co", "members", "anna", "ben", "carla", "hugo")
	o.group("drivers", "Drivers", "group:sales", "driver", "+49 155 50199", "bot@irc.office.example")
	return o, NewDirectory(o.people, o.Roster)
}

func names(list []xmpp.DirectoryEntry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Name)
	}
	return strings.Join(out, ", ")
}

func TestSearch(t *testing.T) {
	_, d := directory(t)
	const ben, carla = "Benjamin Müller", "Carla STRAẞE-O'Neil"
	for _, c := range []struct {
		viewer string
		q      xmpp.DirectoryQuery
		want   string
	}{
		{"anna", xmpp.DirectoryQuery{Text: "ben"}, ben},
		{"anna", xmpp.DirectoryQuery{Text: "MULLER benj"}, ben},
		{"anna", xmpp.DirectoryQuery{Text: "müll"}, ben},
		{"anna", xmpp.DirectoryQuery{Text: "ller"}, ""},
		{"anna", xmpp.DirectoryQuery{Text: "strasse"}, carla},
		{"anna", xmpp.DirectoryQuery{Text: "oneil"}, ""},
		{"anna", xmpp.DirectoryQuery{Text: "neil"}, carla},
		{"anna", xmpp.DirectoryQuery{First: "benny"}, ""},
		{"anna", xmpp.DirectoryQuery{Nick: "benny", Last: "m"}, ben},
		{"anna", xmpp.DirectoryQuery{Nick: "benny", Last: "x"}, ""},
		{"anna", xmpp.DirectoryQuery{First: "carla"}, carla}, // no first name is known: any word of the name
		{"anna", xmpp.DirectoryQuery{Email: "ben.mue"}, ben},
		{"anna", xmpp.DirectoryQuery{Email: "office"}, ben},
		{"anna", xmpp.DirectoryQuery{Group: "field"}, ben},
		{"anna", xmpp.DirectoryQuery{Group: "sal"}, "Anna, " + ben + ", " + carla},
		{"anna", xmpp.DirectoryQuery{Text: "co night"}, ben},
		{"anna", xmpp.DirectoryQuery{Group: "drivers"}, "+4915550199, bot@irc.office.example, Driver Seven"},
		{"anna", xmpp.DirectoryQuery{Phone: "+49 155 50101"}, ben},
		{"anna", xmpp.DirectoryQuery{Phone: "0155/501"}, "+4915550199, " + ben + ", Driver Seven"},
		{"anna", xmpp.DirectoryQuery{Phone: "0049155501-07"}, "Driver Seven"},
		{"anna", xmpp.DirectoryQuery{Phone: "5550123"}, ben},
		{"anna", xmpp.DirectoryQuery{Phone: "123"}, ""},
		{"anna", xmpp.DirectoryQuery{Phone: "015550102"}, ""}, // carla's is private
		{"carla", xmpp.DirectoryQuery{Phone: "015550102"}, carla},
		{"anna", xmpp.DirectoryQuery{Phone: "ben"}, ""},
		{"anna", xmpp.DirectoryQuery{Text: "015550107"}, "Driver Seven"},
		{"anna", xmpp.DirectoryQuery{Text: "hugo"}, ""},
		{"hugo", xmpp.DirectoryQuery{Text: "hugo"}, "Hugo Hidden"},
		{"anna", xmpp.DirectoryQuery{Text: "mail only"}, ""}, // in no group
		{"anna", xmpp.DirectoryQuery{Text: "dora"}, ""},
		{"dora", xmpp.DirectoryQuery{Text: "d"}, "Dora"},
		{"anna", xmpp.DirectoryQuery{Text: "%"}, ""},
		{"anna", xmpp.DirectoryQuery{Text: "ben", Nick: "!"}, ""},
		{"anna", xmpp.DirectoryQuery{Text: "ben*"}, ben},
		{"anna", xmpp.DirectoryQuery{Text: "ben", Nick: "*", Phone: "*"}, ben},
		{"anna", xmpp.DirectoryQuery{Text: "*"}, "+4915550199, Anna, " + ben + ", bot@irc.office.example, " + carla + ", Driver Seven"},
		{"dora", xmpp.DirectoryQuery{Phone: "*"}, "Dora"},
		{"nobody", xmpp.DirectoryQuery{Text: "*"}, ""},
		{"anna", xmpp.DirectoryQuery{}, ""},
		{"nobody", xmpp.DirectoryQuery{Text: "ben"}, ""},
		{"driver", xmpp.DirectoryQuery{Text: "ben"}, ""},
	} {
		if got := names(d.Search(bare(c.viewer), c.q, 100)); got != c.want {
			t.Errorf("%s searches %+v: found %q, want %q", c.viewer, c.q, got, c.want)
		}
	}
	if got := d.Search(bare("anna"), xmpp.DirectoryQuery{Text: "co"}, 2); len(got) != 2 {
		t.Errorf("%d found, at most 2 were wanted", len(got))
	}
}

func TestEntries(t *testing.T) {
	o, d := directory(t)
	entry := func(viewer, address string) string {
		e, ok := d.Entry(bare(viewer), bare(address))
		if !ok {
			return ""
		}
		return fmt.Sprintf("%s %s|%s|%s|%s %s %v %v %s %.8s", e.JID, e.Name, e.First, e.Last, e.Nick, e.Email, e.Phones, e.Groups, e.Department, e.PhotoSHA1)
	}
	const ben = "ben@office.example Benjamin Müller|Benjamin|Müller|Benny ben.mueller@office.example [+4915550101 +12025550123] [Sales & Co] Field Service "
	photo := o.people.State().Person("ben").Photo.SHA1[:8]
	for _, c := range [][3]string{
		{"anna", "ben", ben + photo},
		{"anna", "+4915550101", ben + photo},
		{"ben", "ben", ben + photo},
		{"dora", "ben", ""},
		{"ben", "dora", ""},
		{"anna", "carla", "carla@office.example Carla STRAẞE-O'Neil||| [] [Sales & Co]  "},
		{"carla", "carla", "carla@office.example Carla STRAẞE-O'Neil|||  [+4915550102] [Sales & Co]  "},
		{"anna", "+4915550102", ""}, // private
		{"anna", "hugo", ""},
		{"anna", "+4915550107", "+4915550107@sms.office.example Driver Seven|||  [+4915550107] [Drivers]  "},
		{"anna", "+4915550199", "+4915550199@sms.office.example +4915550199|||  [+4915550199] [Drivers]  "},
		{"anna", "bot@irc.office.example", "bot@irc.office.example bot@irc.office.example|||  [] [Drivers]  "},
		{"anna", "other@irc.office.example", ""},
		{"dora", "dora", "dora@office.example Dora|||  [] []  "},
	} {
		got, want := strings.Join(strings.Fields(entry(c[0], c[1])), " "), strings.Join(strings.Fields(c[2]), " ")
		if got != want {
			t.Errorf("%s sees at %s\n  %s\nwant\n  %s", c[0], c[1], got, want)
		}
	}
	listed, _ := d.view(bare("anna"))
	glanced, ok := d.glance(bare("anna"))
	for i := range listed.nodes {
		if a, b := listed.person(i), glanced.person(i); !ok || a != b {
			t.Errorf("at %s is %v, and at a glance %v", listed.nodes[i].jid, a, b)
		}
	}
	typ, image, err := d.Photo(bare("anna"), bare("ben"))
	if typ != "image/png" || !bytes.HasSuffix(image, []byte("face")) || err != nil {
		t.Errorf("photo %s %q %v", typ, image, err)
	}
	for _, c := range [][2]string{{"dora", "ben"}, {"anna", "carla"}, {"anna", "nobody"}, {"nobody", "ben"}} {
		if typ, image, err := d.Photo(bare(c[0]), bare(c[1])); typ != "" || image != nil || err != nil {
			t.Errorf("%s gets the photo of %s: %s %q %v", c[0], c[1], typ, image, err)
		}
	}
}

func TestGroupsOfTheDirectory(t *testing.T) {
	o, d := directory(t)
	groups := func(viewer string) (out []string) {
		for _, g := range d.Groups(bare(viewer)) {
			out = append(out, g.ID+" "+g.Label)
		}
		return out
	}
	if got := groups("anna"); !slices.Equal(got, []string{"drivers Drivers", "sales Sales & Co"}) {
		t.Errorf("anna sees the groups %q", got)
	}
	if got := groups("dora"); got != nil {
		t.Errorf("dora sees the groups %q", got)
	}
	list, ok := d.Members(bare("anna"), "sales")
	if got := names(list); !ok || got != "Anna, Benjamin Müller, Carla STRAẞE-O'Neil" {
		t.Errorf("members %q %v", got, ok)
	}
	for _, c := range [][2]string{{"dora", "sales"}, {"anna", "none"}, {"nobody", "sales"}} {
		if list, ok := d.Members(bare(c[0]), c[1]); ok || list != nil {
			t.Errorf("%s gets the members of %s", c[0], c[1])
		}
	}
	// What is asked next is what holds then.
	o.group("sales", "Trade", "nobody", "anna", "ben")
	if got := d.Search(bare("anna"), xmpp.DirectoryQuery{Text: "ben"}, 9); got != nil {
		t.Errorf("anna still finds %q", names(got))
	}
}

// BenchmarkDirectorySearch is one search of somebody who sees 2,000 people, after a change and without one.
func BenchmarkDirectorySearch(b *testing.B) {
	_, p, r := openOffice(b, b.TempDir())
	err := p.Edit(b.Context(), func(e *people.Edit) error {
		for i := range 2000 {
			if err := e.PutPerson(people.Person{ID: fmt.Sprintf("p%d", i), Name: fmt.Sprintf("Person Müller %d", i), JID: jid.MustParse(fmt.Sprintf("p%d@far.example", i))}); err != nil {
				return err
			}
		}
		return e.PutGroup(people.Group{ID: "all", Label: "All", Members: []people.Member{people.Everybody}, Visible: people.Visible{Everybody: true}})
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Add("anna", "correct horse", "Anna"); err != nil {
		b.Fatal(err)
	}
	d := NewDirectory(p, r)
	search := func(b *testing.B) {
		if got := d.Search(bare("anna"), xmpp.DirectoryQuery{Text: "person 1999"}, 100); len(got) != 1 {
			b.Fatalf("%d found", len(got))
		}
	}
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			search(b)
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			r.now.Store(build(r.house, p.State(), nil))
			search(b)
		}
	})
}
