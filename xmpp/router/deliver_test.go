package router_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// house is bob's resources in the five situations of RFC 6121 §8.5.
type house struct {
	name  string
	to    string
	bound map[string]int // resource → priority or away
}

var houses = []house{
	{"bare, some ≥ 0", "bob@office.example", map[string]int{"desk": 5, "phone": 0, "bot": -1, "new": away}},
	{"bare, none ≥ 0", "bob@office.example", map[string]int{"bot": -1, "new": away}},
	{"full, there", "bob@office.example/bot", map[string]int{"desk": 5, "bot": -1}},
	{"full, gone", "bob@office.example/gone", map[string]int{"desk": 5, "phone": 0, "bot": -1, "new": away}},
	{"no such user", "nobody@office.example", nil},
	{"no such user, full", "nobody@office.example/x", nil},
	// Edges beside the table's columns.
	{"full, there but not available", "bob@office.example/new", map[string]int{"desk": 5, "new": away}},
	{"full, gone, none ≥ 0", "bob@office.example/gone", map[string]int{"bot": -1}},
	{"bare, nobody bound", "bob@office.example", nil},
}

// TestDelivery is the table of RFC 6121 §8.5, every cell: who gets the
// stanza, or what else becomes of it.
func TestDelivery(t *testing.T) {
	const (
		all     = "desk phone"
		offline = "offline"
		refused = "error service-unavailable"
		ignored = ""
	)
	message := func(typ string) string {
		if typ != "" {
			typ = " type='" + typ + "'"
		}
		return "<message" + typ + " to='%s'><body>x</body></message>"
	}
	for _, c := range []struct {
		stanza string
		want   [9]string // in the order of houses
	}{
		{message("chat"), [9]string{all, offline, "bot", all, refused, refused, "new", offline, offline}},
		{message("normal"), [9]string{all, offline, "bot", refused, refused, refused, "new", refused, offline}},
		{message(""), [9]string{all, offline, "bot", refused, refused, refused, "new", refused, offline}},
		{message("unheard-of"), [9]string{all, offline, "bot", refused, refused, refused, "new", refused, offline}},
		{message("headline"), [9]string{all, ignored, "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		{message("groupchat"), [9]string{refused, refused, "bot", refused, refused, refused, "new", refused, refused}},
		{message("error"), [9]string{ignored, ignored, "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		{"<iq type='get' id='1' to='%s'><query xmlns='x:y'/></iq>",
			[9]string{refused, refused, "bot", refused, refused, refused, "new", refused, refused}},
		{"<iq type='set' id='1' to='%s'><query xmlns='x:y'/></iq>",
			[9]string{refused, refused, "bot", refused, refused, refused, "new", refused, refused}},
		{"<iq type='result' id='1' to='%s'/>",
			[9]string{ignored, ignored, "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		{"<iq type='error' id='1' to='%s'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
			[9]string{ignored, ignored, "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		// To all available resources, negative priorities included (§8.5.2.1.2).
		{"<presence to='%s'/>",
			[9]string{"bot desk phone", "bot", "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		{"<presence type='unavailable' to='%s'/>",
			[9]string{"bot desk phone", "bot", "bot", ignored, ignored, ignored, "new", ignored, ignored}},
		{"<presence type='subscribe' to='%s'/>", [9]string{}},
		{"<presence type='probe' to='%s'/>", [9]string{}},
	} {
		for i, h := range houses {
			t.Run(fmt.Sprintf(c.stanza, h.name), func(t *testing.T) {
				stored := 0
				r, _ := newRouter(t, func(h xmpp.Host) {
					h.Message(xmpp.Offline, 0, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
						stored++
						return xmpp.Done, nil
					})
				})
				bob := map[string]*routertest.Stream{}
				for res, prio := range h.bound {
					_, bob[res] = bind(t, r, "bob", res, prio)
				}
				alice, sender := bind(t, r, "alice", "desk", 0)
				handle(t, alice, fmt.Sprintf(c.stanza, h.to))

				var got []string
				for res, cl := range bob {
					for _, st := range cl.Take() {
						got = append(got, res)
						if st.To.String() != h.to {
							t.Errorf("to is %s on arrival, was %s", st.To, h.to)
						}
						if st.From != alice.JID() && st.Type != "subscribe" {
							t.Errorf("from is %s on arrival", st.From)
						}
					}
				}
				for range stored {
					got = append(got, offline)
				}
				for _, st := range sender.Take() {
					got = append(got, says(st))
					if st.From.String() != h.to || st.To != alice.JID() {
						t.Errorf("answer goes from %s to %s", st.From, st.To)
					}
				}
				slices.Sort(got)
				if s := strings.Join(got, " "); s != c.want[i] {
					t.Errorf("%s: got %q, want %q", h.name, s, c.want[i])
				}
			})
		}
	}
}

func TestMessageNobodyStores(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.Message(xmpp.Offline, 0, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) { return xmpp.Pass, nil })
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	handle(t, alice, `<message type='chat' id='m' to='bob@office.example'><body>x</body></message>`)
	if st := wantError(t, c, stanza.ServiceUnavailable); st.ID != "m" || st.Body() != "" {
		t.Errorf("answer is %v", st)
	}
}

func TestDeliverHooks(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.Message(xmpp.Deliver, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			switch d.Session.JID().Resource() {
			case "quiet":
				return xmpp.Done, nil
			case "marked":
				d.Stanza = d.Stanza.WithAppended("<mark xmlns='x:y'/>")
			case "broken":
				return xmpp.Pass, stanza.NewError(stanza.NotAcceptable, "No.")
			}
			return xmpp.Pass, nil
		})
	})
	_, marked := bind(t, r, "bob", "marked", 0)
	_, quiet := bind(t, r, "bob", "quiet", 0)
	_, plain := bind(t, r, "bob", "plain", 0)
	_, broken := bind(t, r, "bob", "broken", 0)
	alice, c := bind(t, r, "alice", "desk", 0)
	handle(t, alice, `<message type='chat' to='bob@office.example'><body>x</body></message>`)
	if !one(t, marked).HasChild("x:y", "mark") {
		t.Error("the hook's change did not arrive")
	}
	if one(t, plain).HasChild("x:y", "mark") {
		t.Error("one session's change reached another")
	}
	none(t, quiet)
	none(t, broken)
	none(t, c) // others took it
	handle(t, alice, `<message type='chat' to='bob@office.example/broken'><body>x</body></message>`)
	wantError(t, c, stanza.NotAcceptable)
}
