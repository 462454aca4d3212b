package router_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

func TestFromIsCheckedAndStamped(t *testing.T) {
	r, _ := newRouter(t)
	alice, _ := bind(t, r, "alice", "desk", 0)
	_, bob := bind(t, r, "bob", "desk", 0)
	for _, from := range []string{"", " from='alice@office.example'", " from='alice@office.example/desk'"} {
		handle(t, alice, "<message to='bob@office.example/desk'"+from+"><body>x</body></message>")
		if st := one(t, bob); st.From != alice.JID() {
			t.Errorf("%q arrives from %s", from, st.From)
		}
	}
	for _, from := range []string{"bob@office.example", "alice@office.example/phone", "office.example", "alice@office.example.org"} {
		err := alice.Handle(background(t), parse(t, "<message to='bob@office.example/desk' from='"+from+"'><body>x</body></message>"))
		var se *stanza.StreamError
		if !errors.As(err, &se) || se.Condition != "invalid-from" {
			t.Errorf("from %s: %v", from, err)
		}
	}
	none(t, bob)
}

func TestSubscriptionPresenceIsStampedBare(t *testing.T) {
	var from []string
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.Presence(xmpp.Inbound, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			from = append(from, d.Stanza.Type+" "+d.Stanza.From.String())
			return xmpp.Done, nil
		})
	})
	alice, _ := bind(t, r, "alice", "desk", 0)
	for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed", "unavailable", "probe"} {
		handle(t, alice, "<presence to='bob@office.example' type='"+typ+"'/>")
	}
	want := "subscribe alice@office.example,subscribed alice@office.example,unsubscribe alice@office.example," +
		"unsubscribed alice@office.example,unavailable alice@office.example/desk,probe alice@office.example/desk"
	if got := strings.Join(from, ","); got != want {
		t.Errorf("hooks saw\n%s, want\n%s", got, want)
	}
}

func TestErrorOfASubscriptionReachesTheSender(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.Presence(xmpp.Outbound, 0, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
			return xmpp.Done, stanza.NewError(stanza.NotAllowed, "No.")
		})
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	_, other := bind(t, r, "alice", "phone", 0)
	handle(t, alice, "<presence id='p' to='bob@office.example' type='subscribe'/>")
	if st := wantError(t, c, stanza.NotAllowed); st.To != alice.JID() || st.ID != "p" {
		t.Errorf("answer is %v", st)
	}
	none(t, other)
}

func TestBadStanzas(t *testing.T) {
	r, _ := newRouter(t)
	alice, c := bind(t, r, "alice", "desk", 0)
	for _, x := range []struct {
		xml  string
		want stanza.Condition // "" for no answer
	}{
		{"<iq type='get'><q xmlns='x:y'/></iq>", stanza.BadRequest},
		{"<iq type='get' id='1'/>", stanza.BadRequest},
		{"<iq type='set' id='1'><q xmlns='x:y'/><q xmlns='x:y'/></iq>", stanza.BadRequest},
		{"<iq id='1'><q xmlns='x:y'/></iq>", stanza.BadRequest},
		{"<iq type='fetch' id='1'><q xmlns='x:y'/></iq>", stanza.BadRequest},
		{"<iq type='result'/>", ""},
		{"<iq type='result' id='1'/>", ""},
		{"<iq type='error' id='1'/>", ""},
		{"<iq type='result' id='1' to='nowhere.example'/>", ""},
		{"<presence type='present' to='bob@office.example'/>", stanza.BadRequest},
		{"<presence/>", ""},
		{"<message to='bob@far.example'><body>x</body></message>", stanza.RemoteServerNotFound},
		{"<message type='error' to='bob@far.example'/>", ""},
		{"<iq type='get' id='1' to='far.example'><q xmlns='x:y'/></iq>", stanza.RemoteServerNotFound},
		{"<presence to='bob@far.example'/>", stanza.RemoteServerNotFound},
		{"<message to='office.example'><body>x</body></message>", stanza.ServiceUnavailable},
		{"<message type='headline' to='office.example'><body>x</body></message>", ""},
		{"<presence to='office.example'/>", ""},
		{"<iq type='get' id='1' to='office.example/x'><q xmlns='x:y'/></iq>", stanza.ServiceUnavailable},
	} {
		handle(t, alice, x.xml)
		if x.want == "" {
			none(t, c)
			continue
		}
		st := wantError(t, c, x.want)
		if e, _ := stanza.ErrorOf(st); e.Text == "" {
			t.Errorf("%s: the error has no sentence", x.xml)
		}
	}
}

func TestRefuse(t *testing.T) {
	r, _ := newRouter(t)
	alice, c := bind(t, r, "alice", "desk", 0)
	bad := stanza.NewError(stanza.JIDMalformed, "Bad.")
	alice.Refuse(background(t), parse(t, "<message id='m'><body>x</body></message>"), bad)
	if st := wantError(t, c, stanza.JIDMalformed); st.ID != "m" || st.To != alice.JID() || st.From.String() != home {
		t.Errorf("answer is %v", st)
	}
	alice.Refuse(background(t), parse(t, "<iq type='result' id='m'/>"), bad)
	alice.Refuse(background(t), parse(t, "<message type='error' id='m'/>"), bad)
	none(t, c)
}

func TestMissingTo(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.IQ(xmpp.ToSelf, stanza.Get, stanza.Name{Space: "x:y", Local: "q"}, func(_ context.Context, iq *xmpp.IQ) (string, error) {
			return "<own xmlns='x:y'/>", nil
		})
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	_, phone := bind(t, r, "alice", "phone", 0)
	handle(t, alice, "<message type='chat'><body>note</body></message>")
	if st := one(t, phone); st.To.String() != "alice@office.example" {
		t.Errorf("note goes to %s", st.To)
	}
	one(t, c)
	handle(t, alice, "<iq type='get' id='1'><q xmlns='x:y'/></iq>")
	if st := one(t, c); st.Type != "result" || !st.HasChild("x:y", "own") || st.To != alice.JID() {
		t.Errorf("answer is %v", st)
	}
}

func TestLang(t *testing.T) {
	r, _ := newRouter(t)
	german := &routertest.Stream{Language: "de"}
	a, err := r.Bind(background(t), at("alice@"+home), "desk", german)
	if err != nil {
		t.Fatal(err)
	}
	b, bob := bind(t, r, "bob", "desk", 0)
	handle(t, a, "<message to='bob@office.example'><body>x</body></message>")
	if st := one(t, bob); st.Lang != "de" {
		t.Errorf("lang is %q", st.Lang)
	}
	handle(t, a, "<message to='bob@office.example' xml:lang='fr'><body>x</body></message>")
	if st := one(t, bob); st.Lang != "fr" {
		t.Errorf("lang is %q", st.Lang)
	}
	handle(t, b, "<message to='alice@office.example/desk'><body>x</body></message>")
	if st := one(t, german); st.Lang != "en" {
		t.Errorf("lang is %q", st.Lang)
	}
}

func TestDelayClaimsAreStripped(t *testing.T) {
	r, _ := newRouter(t)
	alice, _ := bind(t, r, "alice", "desk", 0)
	_, bob := bind(t, r, "bob", "desk", 0)
	const other = `<delay xmlns="urn:xmpp:delay" from='alice@office.example' stamp='2002-09-10T23:08:25Z'>a &gt; b</delay>`
	handle(t, alice, `<message to='bob@office.example'><body a='&lt;x>'><![CDATA[</body><delay>]]>x</body>`+
		`<delay xmlns='urn:xmpp:delay' from='office.example' stamp='2002-09-10T23:08:25Z'><x a='/>'/></delay> `+other+
		`<d:delay xmlns:d='urn:xmpp:delay' from='Office.Example/x' stamp='2002-09-10T23:08:25Z'/><end/></message>`)
	got := one(t, bob).Inner()
	if want := `<body a='&lt;x>'><![CDATA[</body><delay>]]>x</body> ` + other + `<end/>`; got != want {
		t.Errorf("arrives as\n%s, want\n%s", got, want)
	}
}
