package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// ask sends a request and returns what the result holds, or the condition of the error.
func (m *member) ask(typ stanza.IQType, to, inner string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	do := m.Get
	if typ == stanza.Set {
		do = m.Set
	}
	st, err := do(ctx, jid.MustParse(to), inner)
	if st == nil {
		m.t.Fatal(err)
	}
	if e, ok := stanza.ErrorOf(st); ok {
		return string(e.Condition)
	}
	return st.Inner()
}

// TestDirectory searches as clients do, and sees what the directory has of people.
func TestDirectory(t *testing.T) {
	const directory, search = "directory.office.localhost", "jabber:iq:search"
	o := openGroups(t, "anna", "ben", "carl")
	image := []byte("\x89PNG\r\n\x1a\nface")
	o.edit(func(e *people.Edit) error {
		for _, p := range []people.Person{
			{ID: "ben", Account: "ben", Name: "Ben Müller", Mail: "ben@office.example", Phones: []string{"0155 50101"}, Departments: []string{"Field Service"}},
			{ID: "driver", Name: "Driver Seven", Phones: []string{"0155 50107"}},
		} {
			if err := e.PutPerson(p); err != nil {
				return err
			}
		}
		return e.SetPhoto("ben", image)
	})
	o.group("sales", "Sales", "members", "anna", "ben", "driver")
	a, c := o.online("anna"), o.online("carl")
	form := func(field, value string) string {
		return "<query xmlns='" + search + "'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>" + search +
			"</value></field><field var='" + field + "'><value>" + value + "</value></field></x></query>"
	}
	for _, q := range [][3]string{{"search", "muller", "ben@"}, {"phone", "0155 50107", "+4915550107@sms."}, {"group", "field", "ben@"}, {"email", "ben", "ben@"}} {
		if got := a.ask(stanza.Set, directory, form(q[0], q[1])); !strings.Contains(got, "<value>"+q[2]+"office.localhost</value>") || strings.Count(got, "<item>") != 1 {
			t.Errorf("%s %s: %s", q[0], q[1], got)
		}
		if got := c.ask(stanza.Set, directory, form(q[0], q[1])); got != "<query xmlns='"+search+"'/>" {
			t.Errorf("carl, who sees nobody, found %s", got)
		}
	}
	if got := a.ask(stanza.Get, "office.localhost", "<query xmlns='http://jabber.org/protocol/disco#items'/>"); !strings.Contains(got, "jid='"+directory+"'") {
		t.Errorf("the server's items are %s", got)
	}
	if got := a.ask(stanza.Get, directory, "<query xmlns='http://jabber.org/protocol/disco#items' node='sales'/>"); strings.Count(got, "<item ") != 3 ||
		!strings.Contains(got, "jid='+4915550107@sms.office.localhost' name='Driver Seven'") {
		t.Errorf("members of the group are %s", got)
	}
	for who, want := range map[string]string{"ben@office.localhost": "<FN>Ben Müller</FN>", "+4915550107@sms.office.localhost": "<FN>Driver Seven</FN>"} {
		if got := a.ask(stanza.Get, who, "<vCard xmlns='vcard-temp'/>"); !strings.Contains(got, want) {
			t.Errorf("vCard of %s: %s", who, got)
		}
		if got := c.ask(stanza.Get, who, "<vCard xmlns='vcard-temp'/>"); strings.Contains(got, want) {
			t.Errorf("carl gets the vCard of %s: %s", who, got)
		}
	}
	// The photo is the avatar, and another one is so at once.
	a.lines()
	o.connect("ben").say("<presence/>")
	photo := func(image []byte) string {
		sum := sha1.Sum(image)
		return "<photo>" + hex.EncodeToString(sum[:]) + "</photo>"
	}
	a.seesPhoto(photo(image))
	image = append(bytes.Clone(image), "s"...)
	o.edit(func(e *people.Edit) error { return e.SetPhoto("ben", image) })
	a.seesPhoto(photo(image))
}

// TestPhotoOfAPhone: who has only a phone has an avatar too, at once.
func TestPhotoOfAPhone(t *testing.T) {
	o := openGroups(t, "anna", "carl")
	o.edit(func(e *people.Edit) error {
		return e.PutPerson(people.Person{ID: "ben", Name: "Ben", Phones: []string{"0155 50101"}})
	})
	o.group("field", "Field", "members", "anna", "ben")
	a := o.connect("anna")
	a.say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	a.seesPhotoOf("+4915550101", "<photo/>")
	image := []byte("\x89PNG\r\n\x1a\nface")
	sum := sha1.Sum(image)
	o.edit(func(e *people.Edit) error { return e.SetPhoto("ben", image) })
	a.seesPhotoOf("+4915550101", "<photo>"+hex.EncodeToString(sum[:])+"</photo>")
	// Who does not see Ben in a group knows the number only.
	c := o.connect("carl")
	c.say("<presence/><presence type='probe' to='+4915550101@sms.office.localhost'/>")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if st, err := c.Expect(ctx, func(st *stanza.Stanza) bool { return st.From.Local() == "+4915550101" }); err != nil || strings.Contains(st.Inner(), "vcard-temp") {
		t.Errorf("carl got %v, %v", st, err)
	}
}

// seesPhoto waits for presence of ben that names a photo.
func (m *member) seesPhoto(photo string) { m.t.Helper(); m.seesPhotoOf("ben", photo) }

// seesPhotoOf waits for presence of somebody that names a photo.
func (m *member) seesPhotoOf(local, photo string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if _, err := m.Expect(ctx, func(st *stanza.Stanza) bool {
		return st.Kind == stanza.Presence && st.From.Local() == local && strings.Contains(st.Inner(), photo)
	}); err != nil {
		m.t.Fatalf("%s: %v", photo, err)
	}
}
