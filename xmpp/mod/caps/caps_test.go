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
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
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
	*routertest.House
	m    *caps.Module
	told []string
}

func start(t *testing.T, bytes int) *house {
	t.Helper()
	h := &house{m: caps.New("urn:doorway", bytes)}
	h.m.Watch(func(_ context.Context, s xmpp.Session) { h.told = append(h.told, s.JID().Resource()) })
	h.House = routertest.Open(t, router.Config{}, routertest.Available(), h.m, routertest.Module(func(host xmpp.Host) {
		host.Identity(xmpp.ToHost, xmpp.Identity{Category: "server", Type: "im", Name: "doorway"})
		host.Feature(xmpp.ToHost, "b:host", "both")
		host.Feature(xmpp.ToDomain, "a:domain", "both")
	}))
	return h
}

// asked returns the id of the request that has come to a client, "" without one.
func asked(c *routertest.Client, node string) string {
	c.House.T.Helper()
	id := ""
	for _, st := range c.Take() {
		q, ok := st.Child("http://jabber.org/protocol/disco#info", "query")
		if ok && st.Type == "get" && st.From.String() == routertest.Domain && st.To == c.Session.JID() {
			if id != "" {
				c.House.T.Error("asked twice")
			}
			if id = st.ID; q.Attr("node") != node {
				c.House.T.Errorf("asked for node %s", q.Attr("node"))
			}
		}
	}
	return id
}

func exodus(c *routertest.Client, ver string) string {
	c.House.T.Helper()
	return asked(c, "http://code.google.com/p/exodus#"+ver)
}

func answers(c *routertest.Client, id, inner string) {
	c.House.T.Helper()
	c.Say("<iq type='result' id='" + id + "' to='" + routertest.Domain + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + inner + "</query></iq>")
}

func (h *house) has(c *routertest.Client, f string) bool { return h.m.Has(c.Session.JID(), f) }

func TestLearn(t *testing.T) {
	h := start(t, 0)
	a := h.Login(alice+"/1", says("sha-1", simple))
	if h.has(a, muc) {
		t.Error("known before it is asked")
	}
	id := exodus(a, simple)
	if id == "" {
		t.Fatal("not asked")
	}
	// A second one with the same hash waits for the first one's answer.
	b := h.Login(bob+"/2", says("sha-1", simple))
	if exodus(b, simple) != "" {
		t.Error("asked though another is")
	}
	answers(b, id, "<feature var='evil'/>") // not asked: of no effect
	answers(a, id, feature)
	for _, c := range []*routertest.Client{a, b} {
		if !h.has(c, muc) || h.has(c, "evil") || h.has(c, "x") {
			t.Errorf("%s: features are wrong", c.Session.JID())
		}
	}
	if got := strings.Join(h.told, " "); got != "1 2" {
		t.Errorf("told of %s", got)
	}
	// From now on nobody is asked.
	c := h.Login(bob+"/3", says("sha-1", simple), says("sha-1", simple))
	if exodus(c, simple) != "" || !h.has(c, muc) || len(h.told) != 3 {
		t.Errorf("asked again, or not known: %v", h.told)
	}
	a.Say("<presence/>")
	c.Say("<presence type='unavailable'/>")
	if h.has(a, muc) || h.has(c, muc) || h.m.Has(jid.MustParse(alice+"/none"), muc) || h.m.Has(jid.MustParse(alice), muc) {
		t.Error("known without caps")
	}
	a.Say("<presence to='" + bob + "/2'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='new'/></presence>")
	if asked(a, "n#new") != "" {
		t.Error("asked because of directed presence")
	}
}

// TestWrongAnswer: what does not match its hash is believed of its sender only,
// and the next client is asked; a right answer then holds for all.
func TestWrongAnswer(t *testing.T) {
	for _, wrong := range []string{"<feature var='evil'/>", feature + "<feature var='evil'/>", feature + feature + "<feature var='evil'/>"} {
		h := start(t, 0)
		liar, a, b := h.Login(alice+"/liar", says("sha-1", simple)), h.Login(bob+"/1", says("sha-1", simple)), h.Login(bob+"/2", says("sha-1", simple))
		answers(liar, exodus(liar, simple), wrong)
		if !h.has(liar, "evil") || h.has(a, "evil") || h.has(b, "evil") {
			t.Error("a wrong answer holds for others, or not for its sender")
		}
		a.Say("<iq type='error' id='" + exodus(a, simple) + "' to='" + routertest.Domain + "'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
		answers(b, exodus(b, simple), feature)
		if !h.has(a, muc) || !h.has(b, muc) || !h.has(liar, muc) || h.has(liar, "evil") {
			t.Error("a right answer does not hold for all who use the hash")
		}
	}
}

// TestUnknownHash: nothing can be checked, so each client is asked.
func TestUnknownHash(t *testing.T) {
	for _, hash := range []string{"", "md5", "sha-3"} {
		h := start(t, 0)
		for _, c := range []*routertest.Client{h.Login(alice+"/1", says(hash, simple)), h.Login(alice+"/2", says(hash, simple))} {
			id := exodus(c, simple)
			if id == "" {
				t.Fatalf("%q: not asked", hash)
			}
			if answers(c, id, feature); !h.has(c, muc) {
				t.Errorf("%q: not believed", hash)
			}
		}
	}
}

func TestAskedOneLeaves(t *testing.T) {
	h := start(t, 0)
	a, b, c := h.Login(alice+"/a", says("sha-1", simple)), h.Login(alice+"/b", says("sha-1", simple)), h.Login(alice+"/c", says("sha-1", simple))
	d := h.Login(alice+"/d", says("sha-1", simple))
	if exodus(a, simple) == "" {
		t.Fatal("not asked")
	}
	b.Leave()
	a.Leave()
	if exodus(c, simple) == "" {
		t.Fatal("the next one was not asked")
	}
	c.Say(says("sha-1", "another")) // an update of its features
	if exodus(c, "another") == "" {
		t.Error("not asked for the new hash")
	}
	answers(d, exodus(d, simple), feature)
	if !h.has(d, muc) || h.has(c, muc) {
		t.Error("not known")
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, 0)
		defer h.Go(h.m.Run)()
		a, b := h.Login(alice+"/a", says("sha-1", simple)), h.Login(alice+"/b", says("sha-1", simple))
		first := exodus(a, simple)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if exodus(b, simple) == "" {
			t.Error("the next one was not asked")
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		c := h.Login(alice+"/c", says("sha-1", simple))
		if exodus(c, simple) == "" {
			t.Error("nobody is asked any more")
		}
		answers(a, first, feature) // better late
		if !h.has(a, muc) || !h.has(c, muc) {
			t.Error("a late answer does not count")
		}
	})
}

// TestBound: the cache stays small, and keeps what is in use.
func TestBound(t *testing.T) {
	h := start(t, 20_000)
	c := h.Login(alice + "/c")
	ask := func(n int) bool {
		inner := fmt.Sprintf("<feature var='f%d%s'/>", n, strings.Repeat("x", 900))
		c.Say(says("sha-1", caps.Ver(inner)))
		id := exodus(c, caps.Ver(inner))
		if id != "" {
			answers(c, id, inner)
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
	a := h.Login(alice + "/a")
	var offer string
	for _, f := range h.Router.StreamFeatures() {
		offer = f.Offer(nil)
	}
	want := caps.Ver("<identity category='server' type='im' name='doorway'/><feature var='b:host'/><feature var='both'/><feature var='a:domain'/><feature var='http://jabber.org/protocol/caps'/>")
	if offer != "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:doorway' ver='"+want+"'/>" {
		t.Errorf("offered %s, want %s", offer, want)
	}
	got := a.Ask("get", routertest.Domain, "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:doorway#"+want+"'/>")
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
	if got := a.Ask("get", routertest.Domain, "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:doorway#old'/>"); got != "service-unavailable" {
		t.Errorf("another node goes to disco: %s", got)
	}
}
