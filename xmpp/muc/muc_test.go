package muc_test

import (
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

func presence(inner string) *stanza.Stanza {
	return stanza.New(stanza.Presence, "", "", jid.JID{}, jid.JID{}, inner)
}

func TestWords(t *testing.T) {
	for a := muc.Outcast; a <= muc.Owner; a++ {
		if got, ok := muc.ParseAffiliation(a.String()); got != a || !ok {
			t.Errorf("%s is %s", a, got)
		}
	}
	for r := muc.NoRole; r <= muc.Moderator; r++ {
		if got, ok := muc.ParseRole(r.String()); got != r || !ok {
			t.Errorf("%s is %s", r, got)
		}
	}
	if _, ok := muc.ParseAffiliation("boss"); ok {
		t.Error("boss is an affiliation")
	}
	if _, ok := muc.ParseRole(""); ok {
		t.Error("nothing is a role")
	}
	if muc.Outcast >= muc.NoAffiliation || muc.Owner <= muc.Admin || muc.Moderator <= muc.Participant {
		t.Error("the order is wrong")
	}
}

func TestUser(t *testing.T) {
	u := muc.User{
		Item: &muc.Item{Affiliation: muc.Admin, Role: muc.Moderator, JID: jid.MustParse("a@b/c"), Nick: "n & n",
			Reason: "<why>", ActorNick: "who", ActorJID: jid.MustParse("d@e")},
		Status: []int{muc.StatusSelf, muc.StatusNickAssigned},
	}
	want := "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='admin' role='moderator' jid='a@b/c' nick='n &amp; n'>" +
		"<actor nick='who' jid='d@e'/><reason>&lt;why&gt;</reason></item><status code='110'/><status code='210'/></x>"
	if u.XML() != want {
		t.Errorf("got  %s\nwant %s", u.XML(), want)
	}
	got, ok := muc.ParseUser(presence("<show>away</show>" + want))
	if !ok || got.XML() != want || !got.Has(210) || got.Has(201) {
		t.Errorf("%v %s", ok, got.XML())
	}
	d := muc.User{Destroy: &muc.Destroy{Venue: jid.MustParse("x@y"), Reason: "moved"}}
	if got, ok := muc.ParseUser(presence(d.XML())); !ok || got.XML() != d.XML() || !strings.Contains(d.XML(), "<destroy jid='x@y'><reason>moved</reason></destroy>") {
		t.Errorf("%s", d.XML())
	}
	if _, ok := muc.ParseUser(presence("<x xmlns='http://jabber.org/protocol/muc'/>")); ok {
		t.Error("a join is a user element")
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		inner string
		want  muc.Join
	}{
		{"", muc.Join{History: muc.History{MaxStanzas: -1, MaxChars: -1, Within: -1}}},
		{"<password>p&amp;q</password>", muc.Join{Password: "p&q", History: muc.History{MaxStanzas: -1, MaxChars: -1, Within: -1}}},
		{"<history maxstanzas='0' maxchars='7' seconds='60' since='2026-03-01T12:00:00Z'/>",
			muc.Join{History: muc.History{MaxStanzas: 0, MaxChars: 7, Within: time.Minute, Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}},
		{"<history maxstanzas='-1' maxchars='x' seconds='99999999999999' since='yesterday'/>",
			muc.Join{History: muc.History{MaxStanzas: -1, MaxChars: -1, Within: -1}}},
	} {
		got, ok := muc.ParseJoin(presence("<x xmlns='http://jabber.org/protocol/muc'>" + c.inner + "</x>"))
		if !ok || got != c.want {
			t.Errorf("%s: %+v", c.inner, got)
		}
		again, ok := muc.ParseJoin(presence(got.XML()))
		if !ok || again != got {
			t.Errorf("%s: %+v", got.XML(), again)
		}
	}
	if _, ok := muc.ParseJoin(presence("<show>away</show>")); ok {
		t.Error("an ordinary presence is a join")
	}
}

func TestItems(t *testing.T) {
	st := presence("<item affiliation='boss' role='none' jid='@' nick='n'><reason>r</reason></item>")
	els := st.Elements()
	a := muc.ParseItem(&els[0])
	if !a.Bad || !a.HasAffiliation || !a.HasRole || !a.HasJID || !a.HasNick || a.Reason != "r" {
		t.Errorf("%+v", a)
	}
	if got := muc.List([]muc.Item{{Affiliation: muc.Member, JID: jid.MustParse("a@b"), OmitRole: true}}); got !=
		"<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='a@b'/></query>" {
		t.Error(got)
	}
}

// FuzzRead: nothing that comes in does harm, and what is written is read again
// as it was.
func FuzzRead(f *testing.F) {
	f.Add("<x xmlns='http://jabber.org/protocol/muc'><password>p</password><history seconds='1' maxchars='-2' since='2026-03-01T12:00:00+01:00'/></x>")
	f.Add("<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='none' jid='a@b' nick='&#10;'><actor nick='x'/></item><status code='110'/><destroy jid='@'/></x>")
	f.Fuzz(func(t *testing.T, inner string) {
		st, err := stanza.Parse("<presence>" + inner + "</presence>")
		if err != nil {
			return
		}
		if u, ok := muc.ParseUser(st); ok {
			out := u.XML()
			if again, ok := muc.ParseUser(presence(out)); !ok || again.XML() != out {
				t.Fatalf("%s\n%s", out, again.XML())
			}
		}
		if j, ok := muc.ParseJoin(st); ok {
			out := j.XML()
			if again, ok := muc.ParseJoin(presence(out)); !ok || again.XML() != out {
				t.Fatalf("%s\n%s", out, again.XML())
			}
		}
	})
}
