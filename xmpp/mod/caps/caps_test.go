package caps_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/caps"
	"doorway/xmpp/stanza"
)

const (
	alice   = "alice@office.example"
	bob     = "bob@office.example"
	muc     = "http://jabber.org/protocol/muc"
	simple  = "QgayPKawpkPSDYmwT/WM94uAlu0=" // XEP-0115 §5.2
	feature = "<identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/caps'/>" +
		"<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>"
)

func says(hash, ver string) string {
	return "<presence><c xmlns='http://jabber.org/protocol/caps' hash='" + hash + "' node='http://code.google.com/p/exodus' ver='" + ver + "'/></presence>"
}

// house is a server whose module tells what it learns.
type house struct {
	*office
	m    *caps.Module
	told []string
}

func start(t *testing.T, bytes int) *house {
	t.Helper()
	h := &house{m: caps.New("urn:doorway", bytes)}
	h.m.Watch(func(_ context.Context, s xmpp.Session) { h.told = append(h.told, s.JID().Resource()) })
	h.office = open(t, nil, extra(available), h.m, extra(func(host xmpp.Host) {
		host.Identity(xmpp.ToHost, xmpp.Identity{Category: "server", Type: "im", Name: "doorway"})
		host.Feature(xmpp.ToHost, "b:host", "both")
		host.Feature(xmpp.ToDomain, "a:domain", "both")
	}))
	return h
}

// asked returns the id of the request that has come to a client, "" without one.
func (c *client) asked(node string) string {
	c.Helper()
	id := ""
	for _, st := range c.got {
		q, ok := st.Child("http://jabber.org/protocol/disco#info", "query")
		if ok && st.Type == "get" && st.From.String() == home && st.To == c.s.JID() {
			if id != "" {
				c.Error("asked twice")
			}
			if id = st.ID; q.Attr("node") != node {
				c.Errorf("asked for node %s", q.Attr("node"))
			}
		}
	}
	c.got = nil
	return id
}

func (c *client) exodus(ver string) string { return c.asked("http://code.google.com/p/exodus#" + ver) }

func (c *client) answers(id, inner string) {
	c.Helper()
	c.send("<iq type='result' id='" + id + "' to='" + home + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + inner + "</query></iq>")
}

func (h *house) has(c *client, f string) bool { return h.m.Has(c.s.JID(), f) }

func TestLearn(t *testing.T) {
	h := start(t, 0)
	a := h.login(alice+"/1", says("sha-1", simple))
	if h.has(a, muc) {
		t.Error("known before it is asked")
	}
	id := a.exodus(simple)
	if id == "" {
		t.Fatal("not asked")
	}
	// A second one with the same hash waits for the first one's answer.
	b := h.login(bob+"/2", says("sha-1", simple))
	if b.exodus(simple) != "" {
		t.Error("asked though another is")
	}
	b.answers(id, "<feature var='evil'/>") // not asked: of no effect
	a.answers(id, feature)
	for _, c := range []*client{a, b} {
		if !h.has(c, muc) || h.has(c, "evil") || h.has(c, "x") {
			t.Errorf("%s: features are wrong", c.s.JID())
		}
	}
	if got := strings.Join(h.told, " "); got != "1 2" {
		t.Errorf("told of %s", got)
	}
	// From now on nobody is asked.
	c := h.login(bob+"/3", says("sha-1", simple), says("sha-1", simple))
	if c.exodus(simple) != "" || !h.has(c, muc) || len(h.told) != 3 {
		t.Errorf("asked again, or not known: %v", h.told)
	}
	a.send("<presence/>")
	c.send("<presence type='unavailable'/>")
	if h.has(a, muc) || h.has(c, muc) || h.m.Has(jid.MustParse(alice+"/none"), muc) || h.m.Has(jid.MustParse(alice), muc) {
		t.Error("known without caps")
	}
	a.send("<presence to='" + bob + "/2'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='new'/></presence>")
	if a.asked("n#new") != "" {
		t.Error("asked because of directed presence")
	}
}

// TestWrongAnswer: what does not match its hash is believed of its sender only,
// and the next client is asked; a right answer then holds for all.
func TestWrongAnswer(t *testing.T) {
	for _, wrong := range []string{"<feature var='evil'/>", feature + "<feature var='evil'/>", feature + feature + "<feature var='evil'/>"} {
		h := start(t, 0)
		liar, a, b := h.login(alice+"/liar", says("sha-1", simple)), h.login(bob+"/1", says("sha-1", simple)), h.login(bob+"/2", says("sha-1", simple))
		liar.answers(liar.exodus(simple), wrong)
		if !h.has(liar, "evil") || h.has(a, "evil") || h.has(b, "evil") {
			t.Error("a wrong answer holds for others, or not for its sender")
		}
		a.send("<iq type='error' id='" + a.exodus(simple) + "' to='" + home + "'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
		b.answers(b.exodus(simple), feature)
		if !h.has(a, muc) || !h.has(b, muc) || !h.has(liar, muc) || h.has(liar, "evil") {
			t.Error("a right answer does not hold for all who use the hash")
		}
	}
}

// TestUnknownHash: nothing can be checked, so each client is asked.
func TestUnknownHash(t *testing.T) {
	for _, hash := range []string{"", "md5", "sha-3"} {
		h := start(t, 0)
		for _, c := range []*client{h.login(alice+"/1", says(hash, simple)), h.login(alice+"/2", says(hash, simple))} {
			id := c.exodus(simple)
			if id == "" {
				t.Fatalf("%q: not asked", hash)
			}
			if c.answers(id, feature); !h.has(c, muc) {
				t.Errorf("%q: not believed", hash)
			}
		}
	}
}

func TestAskedOneLeaves(t *testing.T) {
	h := start(t, 0)
	a, b, c := h.login(alice+"/a", says("sha-1", simple)), h.login(alice+"/b", says("sha-1", simple)), h.login(alice+"/c", says("sha-1", simple))
	d := h.login(alice+"/d", says("sha-1", simple))
	if a.exodus(simple) == "" {
		t.Fatal("not asked")
	}
	b.s.Unbind(context.Background(), nil)
	a.s.Unbind(context.Background(), nil)
	if c.exodus(simple) == "" {
		t.Fatal("the next one was not asked")
	}
	c.send(says("sha-1", "another")) // an update of its features
	if c.exodus("another") == "" {
		t.Error("not asked for the new hash")
	}
	d.answers(d.exodus(simple), feature)
	if !h.has(d, muc) || h.has(c, muc) {
		t.Error("not known")
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, 0)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.m.Run(ctx) }()
		a, b := h.login(alice+"/a", says("sha-1", simple)), h.login(alice+"/b", says("sha-1", simple))
		first := a.exodus(simple)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if b.exodus(simple) == "" {
			t.Error("the next one was not asked")
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		c := h.login(alice+"/c", says("sha-1", simple))
		if c.exodus(simple) == "" {
			t.Error("nobody is asked any more")
		}
		a.answers(first, feature) // better late
		if !h.has(a, muc) || !h.has(c, muc) {
			t.Error("a late answer does not count")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestBound: the cache stays small, and keeps what is in use.
func TestBound(t *testing.T) {
	h := start(t, 20_000)
	c := h.login(alice + "/c")
	ask := func(n int) bool {
		inner := fmt.Sprintf("<feature var='f%d%s'/>", n, strings.Repeat("x", 900))
		c.send(says("sha-1", caps.Ver(inner)))
		id := c.exodus(caps.Ver(inner))
		if id != "" {
			c.answers(id, inner)
		}
		return id != ""
	}
	for n := range 100 {
		if !ask(n) {
			t.Fatalf("%d: not asked", n)
		}
		if n > 0 && ask(0) {
			t.Fatalf("%d: what is in use was dropped", n)
		}
	}
	if !ask(50) {
		t.Error("nothing is dropped")
	}
	if n := h.m.Bytes(); n > 20_000 {
		t.Errorf("%d bytes kept", n)
	}
}

// TestServer: the hash in the stream features is that of the disco#info answer.
func TestServer(t *testing.T) {
	h := start(t, 0)
	a := h.login(alice + "/a")
	var offer string
	for _, f := range h.r.StreamFeatures() {
		offer = f.Offer(nil)
	}
	want := caps.Ver("<identity category='server' type='im' name='doorway'/><feature var='b:host'/><feature var='both'/><feature var='a:domain'/><feature var='http://jabber.org/protocol/caps'/>")
	if offer != "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:doorway' ver='"+want+"'/>" {
		t.Errorf("offered %s, want %s", offer, want)
	}
	got := a.ask("get", home, "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:doorway#"+want+"'/>")
	st, err := stanza.Parse("<iq>" + got + "</iq>")
	if err != nil {
		t.Fatal(err)
	}
	q, _ := st.Child("http://jabber.org/protocol/disco#info", "query")
	inner := ""
	for _, c := range q.Children {
		inner += c.XML()
	}
	if q.Attr("node") != "urn:doorway#"+want || caps.Ver(inner) != want {
		t.Errorf("answered %s", got)
	}
	if got := a.ask("get", home, "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:doorway#old'/>"); got != "service-unavailable" {
		t.Errorf("another node goes to disco: %s", got)
	}
}
