package csi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/csi"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const me = "alice@office.example"

// wire is a client's connection as a stream feature sees it.
type wire struct{ *routertest.Client }

func (w wire) Account() jid.JID { return jid.MustParse(me) }

func (w wire) Session() xmpp.Session {
	if w.Client.Session == nil {
		return nil
	}
	return w.Client.Session
}

// says gives the module a top-level element of the client.
func says(o *routertest.House, c *routertest.Client, local string) error {
	for _, f := range o.Router.StreamFeatures() {
		if f.Name.Space == "urn:xmpp:csi:0" {
			_, err := f.Handle(context.Background(), wire{c}, stanza.Element{Name: stanza.Name{Space: "urn:xmpp:csi:0", Local: local}})
			return err
		}
	}
	return errors.New("not offered")
}

func start(t testing.TB) (*routertest.House, *csi.Module, *routertest.Client) {
	t.Helper()
	m := csi.New()
	o := routertest.Open(t, router.Config{}, routertest.Available(), m)
	return o, m, o.Login(me+"/phone", "<presence/>")
}

// comes routes a stanza to the phone.
func comes(o *routertest.House, from, xml string) {
	o.T.Helper()
	o.Router.Send(context.Background(), routertest.Parse(o.T, xml).WithFrom(jid.MustParse(from)).WithTo(jid.MustParse(me+"/phone")), func(error) {})
}

// event is the notification of an item of a personal node.
func event(node, id, inner string) string {
	return "<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='" + node + "'><item id='" + id + "'>" + inner + "</item></items></event></message>"
}

func briefly(c *routertest.Client) string {
	var l []string
	for _, x := range c.Recv() {
		x = strings.ReplaceAll(strings.ReplaceAll(x, " > "+me+"/phone", ""), ".office.example", "")
		l = append(l, x)
	}
	return strings.Join(l, " | ")
}

func TestHeldAndFlushed(t *testing.T) {
	o, m, c := start(t)
	expect := func(what, want string) {
		t.Helper()
		if got := briefly(c); got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
	}
	comes(o, "bob@x/a", "<presence/>")
	expect("active at first", "presence bob@x/a")
	if m.Inactive(c.Session) {
		t.Error("inactive at first")
	}
	if err := says(o, c, "inactive"); err != nil {
		t.Fatal(err)
	}
	if !m.Inactive(c.Session) {
		t.Error("not inactive")
	}
	comes(o, "bob@x/a", "<presence><show>away</show></presence>")
	comes(o, "bob@x/b", "<presence/>")
	comes(o, "bob@x/a", "<presence type='unavailable'/>")
	comes(o, "bob@x", event("tune", "current", "1"))
	comes(o, "bob@x", event("tune", "current", "2"))
	comes(o, "bob@x", event("marks", "a", "1"))
	comes(o, "bob@x", event("marks", "b", "1"))
	comes(o, "bob@x/a", "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread></message>")
	comes(o, me, "<message type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message></forwarded></sent></message>")
	expect("held", "")
	comes(o, "eve@x/a", "<message type='chat'><body>hi</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	ev := func(node, id, inner string) string {
		return "headline bob@x " + routertest.Parse(t, event(node, id, inner)).Inner()
	}
	expect("a message", strings.Join([]string{"unavailable bob@x/a", "presence bob@x/b", ev("tune", "current", "2"), ev("marks", "a", "1"), ev("marks", "b", "1"),
		"chat eve@x/a <body>hi</body><active xmlns='http://jabber.org/protocol/chatstates'/>"}, " | "))
	comes(o, "bob@x/b", "<presence><show>dnd</show></presence>")
	expect("held again", "")
	if err := says(o, c, "active"); err != nil {
		t.Fatal(err)
	}
	expect("active", "presence bob@x/b <show>dnd</show>")
	comes(o, "bob@x/b", "<presence><show>xa</show></presence>")
	comes(o, "bob@x/b", "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	expect("active", "presence bob@x/b <show>xa</show> | chat bob@x/b <composing xmlns='http://jabber.org/protocol/chatstates'/>")
}

// TestNeverHeld lists what goes out at once, behind what was held.
func TestNeverHeld(t *testing.T) {
	for _, xml := range []string{
		"<message><body>x</body></message>",
		"<message type='groupchat'><subject/></message>",
		"<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
		"<message type='error'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
		"<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><purge node='x'/></event></message>",
		"<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='x'><retract id='1'/></items></event></message>",
		"<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='x'><item id='1'/><item id='2'/></items></event></message>",
		"<message type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat'><body>x</body></message></forwarded></sent></message>",
		"<presence><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='100'/><status code='110'/></x></presence>",
		"<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>",
		"<presence type='error'/>",
		"<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
		"<iq type='result' id='1'/>",
	} {
		o, _, c := start(t)
		if err := says(o, c, "inactive"); err != nil {
			t.Fatal(err)
		}
		c.Recv()
		comes(o, "bob@x/a", "<presence/>")
		comes(o, "room@x/a", "<presence><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>")
		comes(o, "room@x/me", xml)
		got := c.Recv()
		if len(got) != 3 || !strings.HasPrefix(got[0], "presence bob") || !strings.HasPrefix(got[1], "presence room@x/a") || !strings.Contains(got[2], "room@x/me") {
			t.Errorf("%s:\n%s", xml, strings.Join(got, "\n"))
		}
	}
}

func TestSubscriptionsAreNotHeld(t *testing.T) {
	o, _, c := start(t)
	if err := says(o, c, "inactive"); err != nil {
		t.Fatal(err)
	}
	c.Recv()
	o.Router.Deliver(t.Context(), c.Session, routertest.Parse(t, "<presence type='subscribe' from='bob@x' to='"+me+"'/>"))
	if got := c.Recv(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestLimits(t *testing.T) {
	o, _, c := start(t)
	if err := says(o, c, "inactive"); err != nil {
		t.Fatal(err)
	}
	c.Recv()
	for i := range 501 {
		comes(o, fmt.Sprintf("bob@x/%d", i), "<presence/>")
	}
	if n := len(c.Recv()); n != 501 {
		t.Errorf("%d of 501 presences went out", n)
	}
	big := "<presence><status>" + strings.Repeat("x", 100<<10) + "</status></presence>"
	for range 10 {
		comes(o, "bob@x/1", big)
	}
	if n := len(c.Recv()); n != 0 {
		t.Errorf("%d went out, all of one contact", n)
	}
	comes(o, "bob@x/2", big)
	comes(o, "bob@x/3", big)
	if n := len(c.Recv()); n != 3 {
		t.Errorf("%d of 3 went out", n)
	}
}

func TestStreamEdges(t *testing.T) {
	o, m, c := start(t)
	if err := says(o, &routertest.Client{Stream: &routertest.Stream{}, House: o}, "inactive"); err != nil {
		t.Errorf("before bind: %v", err)
	}
	var e *stanza.StreamError
	if err := says(o, c, "sleepy"); !errors.As(err, &e) || e.Condition != "unsupported-stanza-type" {
		t.Errorf("unknown: %v", err)
	}
	for _, x := range []string{"active", "inactive", "inactive"} {
		if err := says(o, c, x); err != nil {
			t.Error(err)
		}
	}
	c.Recv()
	comes(o, "bob@x/1", "<presence/>")
	c.Want("held")
	// XEP-0198 §5: after resumption the client is active again.
	c.Session.Resumed(t.Context())
	c.Want("resumed", "presence bob@x/1 > "+me+"/phone")
	if m.Inactive(c.Session) {
		t.Error("inactive after resumption")
	}
	if got := o.Router.StreamFeatures()[0].Offer(nil); got != "<csi xmlns='urn:xmpp:csi:0'/>" {
		t.Errorf("offered %s", got)
	}
}

// TestOrder: what several senders say stays in each one's order while the client
// falls asleep and wakes up, and nothing is lost.
func TestOrder(t *testing.T) {
	o, _, c := start(t)
	c.Recv()
	const senders, rounds = 8, 300
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range rounds {
				from := fmt.Sprintf("s%d@x/r", s)
				comes(o, from, fmt.Sprintf("<presence id='%d'/>", i))
				comes(o, from, fmt.Sprintf("<message type='chat' id='%d'><body>x</body></message>", i))
			}
		})
	}
	for i := range rounds {
		if err := says(o, c, []string{"inactive", "active"}[i%2]); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	next := make(map[string][2]int) // by sender: next message, next presence
	for _, st := range c.All() {
		n := next[st.From.String()]
		var id int
		if _, err := fmt.Sscan(st.ID, &id); err != nil {
			t.Fatal(err)
		}
		switch {
		case st.Kind == stanza.Message && (id != n[0] || n[1] != id+1):
			t.Fatalf("%s: message %d after message %d and presence %d", st.From, id, n[0]-1, n[1]-1)
		case st.Kind == stanza.Message:
			n[0]++
		case id != n[0]: // a message flushes, so that none is skipped here
			t.Fatalf("%s: presence %d before message %d", st.From, id, n[0])
		default:
			n[1] = id + 1
		}
		next[st.From.String()] = n
	}
	for s, n := range next {
		if n[0] != rounds {
			t.Errorf("%s: %d messages", s, n[0])
		}
	}
}

// FuzzDeliver: whatever comes, an inactive client gets it, or nothing, and the
// rules do not trip.
func FuzzDeliver(f *testing.F) {
	f.Add(event("a", "b", "<x/>"))
	f.Add("<message><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message/></forwarded></sent><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	f.Add("<presence><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>")
	f.Fuzz(func(t *testing.T, xml string) {
		st, err := stanza.Parse(xml)
		if err != nil {
			return
		}
		o, _, c := start(t)
		if err := says(o, c, "inactive"); err != nil {
			t.Fatal(err)
		}
		c.Recv()
		o.Router.Deliver(context.Background(), c.Session, st)
		body := st.Kind == stanza.IQ || st.Kind == stanza.Message && st.Type == "chat" && st.HasChild("", "body")
		if n := len(c.All()); n > 1 || body && n == 0 {
			t.Errorf("%d stanzas of %s", n, xml)
		}
	})
}

func BenchmarkInactive(b *testing.B) {
	o, _, c := start(b)
	if err := says(o, c, "inactive"); err != nil {
		b.Fatal(err)
	}
	st := routertest.Parse(b, "<presence from='bob@x/a' to='"+me+"'><show>away</show></presence>")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		o.Router.Deliver(ctx, c.Session, st)
	}
}
