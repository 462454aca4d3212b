package muc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// TestTalk: everybody hears what is said as it was said, the speaker too.
func TestTalk(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	a.Take()
	inner := "<body>héllo &lt;all></body><x:y xmlns:x='urn:x' z=\"1\"><![CDATA[raw]]></x:y><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"
	b.Say("<message type='groupchat' xml:lang='de' id='m1' to='" + hall + "'>" + inner +
		"<stanza-id xmlns='urn:xmpp:sid:0' by='" + hall + "' id='666'/><stanza-id xmlns='urn:xmpp:sid:0' by='else@where' id='7'/>" +
		"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/><delay xmlns='urn:xmpp:delay' from='" + hall + "' stamp='2001-01-01T00:00:00Z'/></message>")
	x, y := a.One(), b.One()
	if x.Inner() != y.Inner() || x.ID != "m1" || y.ID != "m1" || x.Lang != "de" || x.From.String() != hall+"/bob" || x.To.String() != "alice@office.example/desk" || x.Type != "groupchat" {
		t.Errorf("%s\n%s", x, y)
	}
	got := x.Inner()
	if !strings.HasPrefix(got, inner+"<stanza-id xmlns='urn:xmpp:sid:0' by='else@where' id='7'/>") || strings.Contains(got, "666") || strings.Contains(got, "forged") || strings.Contains(got, "2001") {
		t.Error(got)
	}
	if strings.Count(got, "by='"+hall+"'") != 1 || strings.Count(got, "occupant-id:0") != 1 {
		t.Error(got)
	}
	c := o.person("carol")
	for _, x := range []struct{ what, xml, want string }{
		{"not inside", "<message type='groupchat' to='" + hall + "'><body>x</body></message>", "error message hall: not-acceptable"},
		{"not inside, to one", "<message type='chat' to='" + hall + "/bob'><body>x</body></message>", "error message bob: not-acceptable"},
		{"no room", "<message type='groupchat' to='none@" + service + "'><body>x</body></message>", "error message hall: item-not-found"},
	} {
		c.Say(x.xml)
		c.Want(x.what, x.want)
	}
	for _, x := range []struct{ what, xml, want string }{
		{"groupchat to one", "<message type='groupchat' to='" + hall + "/alice'><body>x</body></message>", "error message alice: bad-request"},
		{"absent nick", "<message type='chat' to='" + hall + "/nobody'><body>x</body></message>", "error message nobody: item-not-found"},
		{"normal to the room", "<message to='" + hall + "'><body>x</body></message>", "error message hall: bad-request"},
	} {
		b.Say(x.xml)
		b.Want(x.what, x.want)
	}
	a.Want("nothing of that")
}

// TestOccupantID: it is the same at each visit, differs between rooms and
// people, and is on all that an occupant sends.
func TestOccupantID(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	id := func(st *stanza.Stanza) string {
		e, _ := st.Child("urn:xmpp:occupant-id:0", "occupant-id")
		return e.Attr("id")
	}
	seen := map[string]bool{}
	b := o.person("bob")
	for _, nick := range []string{"bob", "rob"} {
		b.Say("<presence to='" + hall + "/" + nick + "'>" + join + "</presence>")
		seen[id(a.One())] = true
		say(b, "x")
		seen[id(a.One())] = true
		b.Say("<message type='chat' to='" + hall + "/alice'><body>y</body></message>")
		seen[id(a.One())] = true
		b.Say("<presence type='unavailable' to='" + hall + "/" + nick + "'><status>bye</status></presence>")
		st := a.One()
		seen[id(st)] = true
		if !strings.HasPrefix(st.Inner(), "<status>bye</status>") {
			t.Error(st)
		}
	}
	if len(seen) != 1 || seen[""] {
		t.Errorf("ids %v", seen)
	}
	o.enter("carol")
	st := a.Take()[0]
	if seen[id(st)] || id(st) == "" {
		t.Errorf("carol has %q too", id(st))
	}
}

func TestSubject(t *testing.T) {
	o := open(t, nil)
	a := o.found("moderatedroom=1")
	b := o.enter("bob")[0]
	a.Take()
	subject := func(text string) string {
		return "<message type='groupchat' to='" + hall + "' id='s'><subject>" + text + "</subject></message>"
	}
	b.Say(subject("mine"))
	b.Want("a visitor", "error message hall: forbidden")
	set(a, "nick=bob role=participant")
	forget(a, b)
	b.Say(subject("mine"))
	b.Want("a participant", "error message hall: forbidden")
	a.Say(subject("ours &amp; yours"))
	b.Want("a moderator", "subject alice: ours & yours")
	a.Ask("set", hall, submit("changesubject=1"))
	forget(a, b)
	b.Say(subject("mine"))
	a.Want("a participant, allowed", "subject bob: mine")
	b.Say("<message type='groupchat' to='" + hall + "'><subject>not one</subject><body>x</body></message>")
	a.Take()
	c := o.person("carol")
	c.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	got := c.Recv()
	if last := got[len(got)-1]; last != "subject bob: mine (late)" {
		t.Errorf("at entry: %q", got)
	}
	c.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	all := c.Take()
	if st := all[len(all)-1]; strings.Count(st.Inner(), "occupant-id:0") != 1 {
		t.Errorf("whose subject it is: %s", st)
	}
	b.Say("<presence type='unavailable' to='"+hall+"/bob'/>", "<presence to='"+hall+"/bob'>"+join+"</presence>")
	b.Take()
	say(b, "I am a visitor again")
	b.Want("no voice", "error message hall: forbidden")
}

func TestPrivateMessages(t *testing.T) {
	o := open(t, nil)
	a := o.found("moderatedroom=1")
	p := o.enter("bob", "carol")
	b, c := p[0], p[1]
	phone := o.person("carol/phone")
	phone.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	set(a, "nick=carol role=participant")
	forget(a, b, c, phone)
	whisper := func(x *routertest.Client, to string) {
		x.Say("<message type='chat' id='w' to='" + hall + "/" + to + "'><body>psst</body><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>")
	}
	whisper(b, "carol")
	c.Want("one", "chat bob: psst")
	st := phone.One()
	if x := st.Inner(); strings.Contains(x, "invite") || !strings.Contains(x, "<x xmlns='http://jabber.org/protocol/muc#user'/>") || st.To.String() != "carol@office.example/phone" {
		t.Error(st)
	}
	a.Want("nobody else")
	for _, x := range []struct{ allow, visitor, participant, moderator string }{
		{"anyone", "", "", ""}, {"participants", "forbidden", "", ""}, {"moderators", "forbidden", "forbidden", ""}, {"none", "forbidden", "forbidden", "forbidden"},
	} {
		a.Ask("set", hall, submit("allowpm="+x.allow))
		for _, y := range []struct {
			who  *routertest.Client
			to   string
			want string
		}{{b, "carol", x.visitor}, {c, "bob", x.participant}, {a, "bob", x.moderator}} {
			forget(a, b, c, phone)
			whisper(y.who, y.to)
			var want []string
			if y.want != "" {
				want = append(want, "error message "+y.to+": "+y.want)
			}
			y.who.Want("allowpm "+x.allow, want...)
		}
	}
	if set(a, "nick=dave role=none") != "item-not-found" {
		t.Error("an absent nick is kicked")
	}
}

// TestRequests pass between occupants, with the addresses of the room.
func TestRequests(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	bphone := o.person("bob/phone")
	bphone.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	c := o.person("carol")
	forget(a, b, bphone)
	ping := "<ping xmlns='urn:xmpp:ping'/>"
	info := "<query xmlns='http://jabber.org/protocol/disco#info'/>"
	for _, x := range []struct {
		what     string
		who      *routertest.Client
		to, send string
		want     string
	}{
		{"self-ping", b, hall + "/bob", ping, ""},
		{"self-ping of the other resource", bphone, hall + "/bob", ping, ""},
		{"not inside", c, hall + "/carol", ping, "not-acceptable"},
		{"not inside, other nick", c, hall + "/bob", ping, "not-acceptable"},
		{"disco of a stranger", c, hall + "/bob", info, "bad-request"},
		{"absent", b, hall + "/nobody", ping, "item-not-found"},
		{"no room", b, "none@" + service + "/bob", ping, "item-not-found"},
		{"unknown to the room", b, hall, "<what xmlns='urn:what'/>", "service-unavailable"},
		{"ping of the room", c, hall, ping, ""},
		{"ping of no room", c, "none@" + service, ping, "item-not-found"},
	} {
		if got := x.who.Ask("get", x.to, x.send); got != x.want {
			t.Errorf("%s: %q, want %q", x.what, got, x.want)
		}
	}
	bphone.Say("<iq type='get' id='q1' to='" + hall + "/alice'>" + ping + "</iq>")
	a.Want("asked", "get bob "+ping)
	a.Say("<iq type='result' id='q1' to='" + hall + "/bob'/>")
	bphone.Want("answered", "result alice")
	b.Want("not the other resource")
	a.Say("<iq type='result' id='q2' to='"+hall+"/nobody'/>", "<iq type='result' id='q2' to='none@"+service+"/nobody'/>")
	a.Say("<iq type='get' id='v' to='" + hall + "/bob'><vCard xmlns='vcard-temp'/></iq>")
	b.Want("a vCard is the account's")
	a.Want("which has none here", "error iq bob: service-unavailable")
	c.Say("<iq type='result' id='q3' to='" + hall + "/bob'/>")
	b.Want("not from strangers")
}

// TestOrder: eight talk at once, and everybody hears it in one order.
func TestOrder(t *testing.T) {
	const senders, each = 8, 100
	o := open(t, nil)
	o.found()
	var all []*routertest.Client
	for i := range senders {
		all = append(all, o.enter(fmt.Sprint("u", i))...)
	}
	forget(all...)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			for n := range each {
				c.Say(fmt.Sprintf("<message type='groupchat' to='%s'><body>%d %d</body></message>", hall, i, n))
			}
		})
	}
	wg.Wait()
	// Who came last may have left his words to be sent by another.
	first := all[0].Recv()
	if len(first) != senders*each {
		t.Fatalf("%d messages", len(first))
	}
	for _, c := range all[1:] {
		routertest.Same(t, "another", c.Recv(), first...)
	}
	next := map[string]int{}
	for _, l := range first {
		var i, n int
		who, text, _ := strings.Cut(strings.TrimPrefix(l, "groupchat "), ": ")
		if _, err := fmt.Sscan(text, &i, &n); err != nil || n != next[who] {
			t.Fatalf("%s: want %d", l, next[who])
		}
		next[who]++
	}
}

// TestAcknowledged: a message is acknowledged when it is on disk, and heard
// before.
func TestAcknowledged(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a := o.found("persistentroom=1")
	b := o.enter("bob")[0]
	a.Take()
	store.Hold()
	say(b, "hello")
	a.Want("heard", "groupchat bob: hello")
	if b.Holds() != 1 {
		t.Errorf("%d holds", b.Holds())
	}
	store.Release()
	if b.Holds() != 0 {
		t.Error("not acknowledged")
	}
	b.Take()
	store.Fail(errors.New("disk full"))
	say(b, "again")
	got := b.Recv()
	if !slices.Contains(got, "error message hall: internal-server-error") {
		t.Errorf("disk full: %q", got)
	}
}
