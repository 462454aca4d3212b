package shared

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/gateway/store"
	"doorway/transports/number"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

const domain = "office.example"

var house = people.House{Domain: domain, SMSDomain: "sms." + domain, Numbers: number.National("49")}

// office is people and groups with rosters made of them.
type office struct {
	*testing.T
	store  *store.Store
	people *people.People
	*Roster
}

func openOffice(t testing.TB, dir string) (*store.Store, *people.People, *Roster) {
	t.Helper()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := people.Open(s, house)
	if err != nil {
		t.Fatal(err)
	}
	return s, p, New(p)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s, p, r := openOffice(t, t.TempDir())
	return &office{t, s, p, r}
}

func (o *office) edit(f func(e *people.Edit) error) {
	o.Helper()
	if err := o.people.Edit(context.Background(), f); err != nil {
		o.Fatal(err)
	}
}

// accounts makes some.
func (o *office) accounts(names ...string) {
	o.Helper()
	for _, n := range names {
		if err := o.people.Add(n, "correct horse", strings.ToUpper(n[:1])+n[1:]); err != nil {
			o.Fatal(err)
		}
	}
}

// group makes one, or makes it anew: members and who sees it as people type them.
func (o *office) group(id, label, visible string, members ...string) {
	o.Helper()
	o.edit(func(e *people.Edit) error {
		g := people.Group{ID: id, Label: label}
		if old := e.Group(id); old != nil {
			g.Room, g.Managers = old.Room, old.Managers
		}
		var err error
		if g.Visible, err = e.ParseVisible(visible); err != nil {
			return err
		}
		for _, typed := range members {
			m, err := e.Member(typed)
			if err != nil {
				return err
			}
			g.Members = append(g.Members, m)
		}
		return e.PutGroup(g)
	})
}

func bare(local string) jid.JID {
	if strings.Contains(local, "@") {
		return jid.MustParse(local)
	}
	if strings.HasPrefix(local, "+") {
		return house.Phone(local)
	}
	return jid.MustParse(local + "@" + domain)
}

// short is an item in few words: "bob both Sales,Support".
func short(it *xmpp.SharedItem) string {
	if it == nil {
		return "-"
	}
	return fmt.Sprintf("%s %s %s", it.Contact.Local(), it.Subscription, strings.Join(it.Groups, ","))
}

func (o *office) roster(user string) []string {
	list := []string{}
	o.Items(bare(user), func(it *xmpp.SharedItem) bool {
		list = append(list, short(it))
		return true
	})
	return list
}

// wants holds a roster against what it should be.
func (o *office) wants(user string, items ...string) {
	o.Helper()
	if got := o.roster(user); !slices.Equal(got, items) {
		o.Errorf("%s sees %q, want %q", user, got, items)
	}
}
