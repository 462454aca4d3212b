package vcard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/vcard"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

// office is an emulated directory in which everybody sees bob but carol.
type office struct {
	xmpp.Directory
	bob   xmpp.DirectoryEntry
	image string
	err   error
}

func (o *office) Entry(viewer, address jid.JID) (xmpp.DirectoryEntry, bool) {
	return o.bob, address == o.bob.JID && viewer.Local() != "carol"
}

func (o *office) Photo(_, _ jid.JID) (string, []byte, error) {
	return "image/png", []byte(o.image), o.err
}

func newOffice() *office {
	return &office{image: "picture", bob: xmpp.DirectoryEntry{JID: jid.MustParse(bob), Name: "Bob <Miller>", First: "Bob", Last: "Miller",
		Nick: "bobby", Email: "bob@mail.example", Department: "Sales", Phones: []string{"+491701"}, PhotoSHA1: "0123abcd"}}
}

func openOffice(t *testing.T, d *office) (*routertest.House, *vcard.Module) {
	t.Helper()
	p := presence.New(friends{})
	m := vcard.New(p, pubsub.New(pubsub.Config{})).Consult(d)
	return routertest.Open(t, router.Config{}, p, m), m
}

// TestDirectoryAnswersForWhoKeepsNoVCard, to those who may see the person.
func TestDirectoryAnswersForWhoKeepsNoVCard(t *testing.T) {
	d := newOffice()
	h, m := openOffice(t, d)
	a, b, c := h.Login(alice+"/desk"), h.Login(bob+"/desk"), h.Login("carol@office.example/desk")
	want := "<vCard xmlns='vcard-temp'><FN>Bob &lt;Miller&gt;</FN><N><FAMILY>Miller</FAMILY><GIVEN>Bob</GIVEN></N><NICKNAME>bobby</NICKNAME>" +
		"<ORG><ORGNAME/><ORGUNIT>Sales</ORGUNIT></ORG><TEL><WORK/><CELL/><NUMBER>+491701</NUMBER></TEL>" +
		"<EMAIL><WORK/><INTERNET/><USERID>bob@mail.example</USERID></EMAIL><JABBERID>bob@office.example</JABBERID>" +
		"<PHOTO><TYPE>image/png</TYPE><BINVAL>cGljdHVyZQ==</BINVAL></PHOTO></vCard>"
	for who, got := range map[string]string{"alice": a.Ask("get", bob, ask), "bob himself": b.Ask("get", "", ask), "a gateway": m.Card(jid.MustParse(alice), d.bob.JID)} {
		if got != want {
			t.Errorf("%s got\n%s\nwant\n%s", who, got, want)
		}
	}
	routertest.Same(t, "carol, and of somebody else", []string{c.Ask("get", bob, ask), a.Ask("get", alice, ask), a.Ask("get", "carol@office.example", ask)},
		"service-unavailable", "item-not-found", "service-unavailable")
	// A card of one's own stands before it, and its end brings the directory back.
	xml, _ := card("own")
	b.Ask("set", "", xml)
	if got := a.Ask("get", bob, ask); got != xml {
		t.Errorf("bob's own card is not given: %s", got)
	}
	if err := m.Purge(d.bob.JID); err != nil {
		t.Fatal(err)
	}
	if got := a.Ask("get", bob, ask); got != want {
		t.Errorf("without a card of his own: %s", got)
	}
	d.err = errors.New("bad disk")
	if got := a.Ask("get", bob, ask); strings.Contains(got, "PHOTO") || !strings.Contains(got, "<FN>") {
		t.Errorf("without a photo that can be read: %s", got)
	}
}

// TestPhotoOfTheDirectoryIsTheAvatar, live.
func TestPhotoOfTheDirectoryIsTheAvatar(t *testing.T) {
	d := newOffice()
	h, m := openOffice(t, d)
	a := h.Login(alice+"/desk", "<presence/>")
	a.Take()
	update := func(sum string) string {
		if sum == "" {
			return "presence bob@office.example/desk > alice@office.example <x xmlns='vcard-temp:x:update'><photo/></x>"
		}
		return "presence bob@office.example/desk > alice@office.example <x xmlns='vcard-temp:x:update'><photo>" + sum + "</photo></x>"
	}
	b := h.Login(bob+"/desk", "<presence/>")
	a.Want("first", update("0123abcd"))
	d.bob.PhotoSHA1 = "4567"
	m.Changed(context.Background(), d.bob.JID)
	a.Want("another", update("4567"))
	m.Changed(context.Background(), d.bob.JID)
	m.Changed(context.Background(), jid.MustParse(alice))
	a.Want("the same")
	d.bob.PhotoSHA1 = ""
	m.Changed(context.Background(), d.bob.JID)
	a.Want("none", update(""))
	d.bob.PhotoSHA1 = "89"
	xml, own := card("own")
	b.Say("<iq type='set' id='1'>" + xml + "</iq>")
	a.Want("his own", update(own))
	m.Changed(context.Background(), d.bob.JID)
	a.Want("stays")
}

// TestImportedPhotoLeavesTheRestToTheDirectory: a vCard of an exported account
// that is nothing but a photo came as an avatar.
func TestImportedPhotoLeavesTheRestToTheDirectory(t *testing.T) {
	photo := "<PHOTO><TYPE>image/png</TYPE><BINVAL>b3RoZXI=</BINVAL></PHOTO>"
	for _, x := range []struct{ what, xml, want string }{
		{"a photo", photo, "<FN>Bob &lt;Miller&gt;</FN>"},
		{"a card", "<FN>Bobby</FN>" + photo, "<FN>Bobby</FN>"},
	} {
		h, m := openOffice(t, newOffice())
		in := &xmpp.Import{Account: jid.MustParse(bob)}
		el := routertest.Parse(t, "<iq type='set' id='1'><vCard xmlns='vcard-temp'>"+x.xml+"</vCard></iq>").Elements()[0]
		if mine, err := m.Import(in, &el); !mine || err != nil {
			t.Fatal(mine, err)
		}
		if err := h.Router.Table("vcard").Write(in.Rows["vcard"]); err != nil {
			t.Fatal(err)
		}
		got := h.Login(alice+"/desk").Ask("get", bob, ask)
		if !strings.Contains(got, x.want) || !strings.Contains(got, ">b3RoZXI=<") || strings.Count(got, "<PHOTO>") != 1 {
			t.Errorf("%s: %s", x.what, got)
		}
	}
}
