package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

func (o *office) room(id string, mode people.RoomMode, managers ...string) {
	o.Helper()
	o.edit(func(e *people.Edit) error {
		g := *e.Group(id)
		g.Room, g.Managers = mode, managers
		return e.PutGroup(g)
	})
}

func (o *office) affiliations(id string) []string {
	list := []string{}
	o.Rooms().Members(id, func(u jid.JID, a string) bool {
		list = append(list, u.Local()+" "+a)
		if got := o.Rooms().Affiliation(id, u); got != a {
			o.Errorf("%s is %q and listed as %q", u, got, a)
		}
		return true
	})
	return list
}

func TestRoomsFollowGroups(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben", "carl", "dora")
	o.group("inner", "Inner", "nobody", "carl")
	o.group("sales", "Sales", "members", "anna", "ben", "group:inner", "+4915550101", "bot@irc.office.example")
	var told []string
	o.Rooms().Watch(func(_ context.Context, c xmpp.GroupRoomChange) {
		var who []string
		for _, u := range c.Users {
			who = append(who, u.Local())
		}
		shape := fmt.Sprintf("%s %s ", c.ID, strings.Join(who, ","))
		if c.Before != nil {
			shape += c.Before.Label
		}
		shape += ">"
		if c.After != nil {
			shape += c.After.Label
		}
		told = append(told, shape)
	})
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		told = nil
	}
	if _, ok := o.Rooms().Room("sales"); ok || len(o.affiliations("sales")) > 0 || o.Rooms().Affiliation("sales", bare("anna")) != "" {
		t.Error("a group without a room has one")
	}
	o.room("sales", people.RoomAutojoin, "ben", "dora")
	expect("sales anna,ben,bot,carl,dora >Sales")
	if g, ok := o.Rooms().Room("sales"); !ok || g != (xmpp.GroupRoom{ID: "sales", Label: "Sales", Autojoin: true}) {
		t.Errorf("%+v %v", g, ok)
	}
	if got := o.affiliations("sales"); !slices.Equal(got, []string{"anna member", "ben admin", "bot member", "carl member", "dora admin"}) {
		t.Errorf("%q", got)
	}
	if a := o.Rooms().Affiliation("sales", bare("+4915550101")); a != "" {
		t.Errorf("a phone is %s", a)
	}
	o.group("inner", "Inner", "nobody", "carl", "dora") // through another group
	expect()
	o.group("inner", "Inner", "nobody", "dora")
	expect("sales carl Sales>Sales")
	o.room("sales", people.RoomOffered, "ben")
	expect("sales dora Sales>Sales")
	o.group("sales", "Selling", "nobody", "anna", "ben")
	expect("sales bot,dora Sales>Selling")
	if err := o.people.Remove("anna"); err != nil {
		t.Fatal(err)
	}
	expect("sales anna Selling>Selling")
	n := 0
	o.Rooms().Rooms(func(xmpp.GroupRoom) bool { n++; return true })
	o.edit(func(e *people.Edit) error { return errors.Join(e.RemoveGroup("sales"), e.RemoveGroup("inner")) })
	expect("sales ben Selling>")
	if n != 1 {
		t.Errorf("%d rooms", n)
	}
}

// TestPhonesInRooms: a group says whether its phones take part in its room; the
// domain of texts is a member with them.
func TestPhonesInRooms(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben")
	o.group("field", "Field", "members", "anna", "+4915550101", "+4915550102")
	o.room("field", people.RoomOffered)
	texts := func(on bool) {
		t.Helper()
		o.edit(func(e *people.Edit) error {
			g := *e.Group("field")
			g.Texts = on
			return e.PutGroup(g)
		})
	}
	var told []string
	o.Rooms().Watch(func(_ context.Context, c xmpp.GroupRoomChange) {
		for _, u := range c.Users {
			told = append(told, u.String())
		}
	})
	texts(true)
	phones := []string{"+4915550101@" + house.SMSDomain, "+4915550102@" + house.SMSDomain, house.SMSDomain}
	if !slices.Equal(told, phones) {
		t.Errorf("told %q", told)
	}
	if g, _ := o.Rooms().Room("field"); !g.Texts {
		t.Error("the room does not say so")
	}
	if got := o.affiliations("field"); !slices.Equal(got, []string{"+4915550101 member", "+4915550102 member", "anna member", " member"}) {
		t.Errorf("%q", got)
	}
	if a := o.Rooms().Affiliation("field", jid.MustParse("+4915550103@"+house.SMSDomain)); a != "" {
		t.Errorf("a phone outside the group is %s", a)
	}
	told = nil
	texts(false)
	if !slices.Equal(told, phones) || !slices.Equal(o.affiliations("field"), []string{"anna member"}) {
		t.Errorf("switched off: %q %q", told, o.affiliations("field"))
	}
	err := o.people.Edit(t.Context(), func(e *people.Edit) error {
		g := *e.Group("field")
		g.Room, g.Texts = people.NoRoom, true
		return e.PutGroup(g)
	})
	if !errors.Is(err, people.ErrGroup) {
		t.Errorf("phones in no room: %v", err)
	}
}
