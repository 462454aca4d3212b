package people

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"doorway/xmpp/jid"
)

var update = flag.Bool("update", false, "rewrite the golden rows of today's records")

// goldenRows are all rows of the tables people and groups, by table and key.
type goldenRows map[string]map[string]json.RawMessage

// Rows that were ever written are read for ever. testdata/rows-v1.json was
// written by the first release that has people.
func TestGoldenRows(t *testing.T) {
	const file = "testdata/rows-v1.json"
	full := Person{
		ID: "fred", Name: "Fred Field", First: "Fred", Last: "Field", Nick: "ff", Phones: []string{"+4915550101", "+4915550102"}, Mail: "fred@example.org",
		Departments: []string{"Service"}, Notes: "drives\nat night", Language: "de", NoSMS: true, Legacy: []jid.JID{jid.MustParse("12345@icq.office.example")},
		Hidden: true, PrivatePhones: true,
	}
	group := Group{ID: "team", Label: "The Team", Description: "Who works", Room: RoomAutojoin, Managers: []string{"anna"},
		Members: []Member{"+4915550109", "anna", "bot@irc.office.example", "everybody", "fred", "group:inner"}, Visible: Visible{Members: true, Groups: []string{"inner"}}}
	inner := Group{ID: "inner", Label: "Inner", Visible: Visible{Everybody: true}}
	if *update {
		s, p := open(t, filepath.Join(t.TempDir(), "data"))
		if err := p.Add("anna", "correct horse", "Anna Berg"); err != nil {
			t.Fatal(err)
		}
		put(t, p, full, Person{ID: "ivo", JID: jid.MustParse("ivo@elsewhere.example")})
		if err := edit(p, func(e *Edit) error {
			for _, err := range []error{e.PutGroup(inner), e.PutGroup(group), e.SetPhoto("fred", []byte("GIF89a and so on"))} {
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		rows := goldenRows{"people": {}, "groups": {}}
		for table := range rows {
			if err := s.Table(table).Range("", "", false, func(key string, raw []byte) bool {
				if key != photoKey("fred") {
					rows[table][key] = raw
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := json.MarshalIndent(rows, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows goldenRows
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	s, p := open(t, dir)
	if err := p.Add("anna", "correct horse", ""); err != nil {
		t.Fatal(err)
	}
	for table, all := range rows {
		for key, raw := range all {
			var flat bytes.Buffer
			if err := json.Compact(&flat, raw); err != nil {
				t.Fatal(err)
			}
			if err := s.Table(table).Write(map[string]any{key: flat.Bytes()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, p = open(t, dir)
	got := *p.State().Person("fred")
	if got.Photo == nil || got.Photo.Type != "image/gif" {
		t.Errorf("photo %+v", got.Photo)
	}
	got.Photo, full.addr = nil, got.addr
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", full) {
		t.Errorf("got  %+v\nwant %+v", got, full)
	}
	if q := p.State().OfAccount("anna"); q == nil || q.Name != "Anna Berg" || p.State().CountPeople() != 3 {
		t.Errorf("%+v", q)
	}
	for _, want := range []Group{group, inner} {
		if g := p.State().Group(want.ID); g == nil || fmt.Sprintf("%+v", *g) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", g, want)
		}
	}
}
