package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/gateway/store"
	"doorway/transports/number"
	"doorway/xmpp/jid"
)

// office is a server with the commands of people and groups.
func office(t *testing.T) *Server {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := people.Open(st, people.House{Domain: "office.example", SMSDomain: "sms.office.example", Numbers: number.National("49")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add("anna", "correct horse", "Anna Berg"); err != nil {
		t.Fatal(err)
	}
	s := New(slog.New(slog.DiscardHandler))
	Users(s, p, "office.example", func(string) int { return 0 })
	People(s, p)
	Groups(s, p, Rosters{
		Of: func(user jid.JID) ([]Contact, error) { return []Contact{{JID: "of " + user.String()}}, nil },
		Compare: func(tried *people.State, f func(user, contact jid.JID, before, after *Contact)) {
			for g := range tried.Groups() {
				f(jid.MustParse("anna@office.example"), jid.MustParse(g.ID+"@office.example"), nil, &Contact{JID: g.ID})
			}
		},
	})
	return s
}

// The commands of people and groups, in order: what is answered, or refused.
func TestPeopleAndGroups(t *testing.T) {
	s := office(t)
	for _, c := range []struct{ command, args, want string }{
		{"people.add", `{"who":"Fred","name":"Fred Field","phones":["0155 50101"],"photo":"R0lGODlhLi4u"}`, `"id":"fred","address":"+4915550101@sms.office.example"`},
		{"people.add", `{"who":"fred"}`, "fred is Fred Field (fred) already."},
		{"people.add", `{"who":"gina","jid":"@@"}`, "is not an address"},
		{"people.edit", `{"who":"+49 155 50101","sms":false,"departments":["Service"],"legacy":["1@icq.example"],"jid":"f@icq.example"}`, `"sms":false,"legacy":["1@icq.example"]`},
		{"people.edit", `{"who":"fred","photo":"","jid":"","sms":true}`, `"sms":true`},
		{"people.edit", `{"who":"zoe"}`, "There is no person zoe."},
		{"people.list", `{"text":"FIELD"}`, `[{"id":"fred",`},
		{"people.list", `{"department":"service"}`, `[{"id":"fred",`},
		{"people.list", `{"text":"nobody like that"}`, `[]`},
		{"group.add", `{"id":"Sales","members":["anna","fred","*"],"room":"none"}`, `{"id":"sales","label":"sales","members":["anna","everybody","fred"],"visible_to":"members","room":"none","managers":[]}`},
		{"group.add", `{"id":"sales"}`, "There is already a group sales."},
		{"group.add", `{"id":"other","members":["zoe"]}`, "There is no person zoe."},
		{"group.edit", `{"id":"sales","label":"Sales","visible_to":"everybody","room":"autojoin","managers":["anna@office.example"]}`, `"visible_to":"everybody","room":"autojoin","managers":["anna"]`},
		{"group.edit", `{"id":"sales","room":"big"}`, "is not a kind of room"},
		{"group.edit", `{"id":"sales","texts":"yes"}`, `"room":"autojoin","texts":true`},
		{"group.edit", `{"id":"sales","texts":"perhaps"}`, "Write yes or no."},
		{"group.edit", `{"id":"sales","room":"none","texts":"yes"}`, "no room in which phones could take part"},
		{"group.edit", `{"id":"sales","texts":"no"}`, `"room":"autojoin","managers"`},
		{"group.edit", `{"id":"none"}`, "There is no group none."},
		{"group.member.remove", `{"id":"sales","members":["*","anna","+4915550109"]}`, `"changed":["everybody","anna"],"same":["+4915550109"]`},
		{"group.member.add", `{"id":"sales","members":["fred","anna"]}`, `"changed":["anna"],"same":["fred"]`},
		{"group.member.add", `{"id":"sales","members":["group:sales"]}`, "cannot be a member of itself"},
		{"people.list", `{"group":"sales"}`, `[{"id":"anna",`},
		{"people.list", `{"group":"none"}`, "There is no group none."},
		{"group.preview", `{"who":"anna"}`, `[{"jid":"of anna@office.example"`},
		{"group.preview", `{"who":"fred"}`, "Fred Field has no account here"},
		{"people.import", `{"csv":"name,phones\nBen,0155 50102\n","dry_run":true}`, `"added":true`},
		{"people.show", `{"who":"ben"}`, "There is no person ben."},
		{"people.import", `{"csv":"name,phones\nBen,call me\n"}`, `"changes":[],"same":0,"accounts":[],"groups":[],"dry_run":false,"problems":[{"line":2,"column":2,"name":"phones"`},
		{"people.import", `{"csv":"name,phones,account\nBen,0155 50102,ben\n","passwords":{"ben":"correct horse"}}`, `"accounts":["ben"]`},
		{"people.export", ``, `ben,ben,,Ben,,,,+4915550102,`},
		{"user.list", ``, `"jid":"ben@office.example","name":"Ben"`},
		{"people.edit", `{"who":"ben","name":"Ben Ode"}`, `"name":"Ben Ode"`},
		{"user.list", ``, `"name":"Ben Ode"`},
		{"people.remove", `{"who":"ben"}`, "doorway user remove ben"},
		{"people.remove", `{"who":"0155/50101"}`, `"id":"fred"`},
		{"group.show", `{"id":"group:SALES"}`, `"members":["anna"]`},
		{"group.add", `{"id":"more","dry_run":true}`, `"effect":{"people":1,"gained":2,"lost":0,"changed":0,"lines":[{"user":"anna@office.example","contact":"more@office.example"`},
		{"group.remove", `{"id":"more"}`, "There is no group more."},
		{"group.remove", `{"id":"sales","dry_run":true}`, `"effect":{"people":0,`},
		{"group.remove", `{"id":"sales"}`, `"id":"sales"`},
		{"group.list", ``, `[]`},
		{"group.show", `{"id":"sales"}`, "There is no group sales."},
	} {
		out := s.call(context.Background(), request{Command: c.command, Args: json.RawMessage(c.args)})
		got := string(out.Result)
		if out.Error != nil {
			got = out.Error.Text
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s %s: want %s in\n%s", c.command, c.args, c.want, got)
		}
	}
}
