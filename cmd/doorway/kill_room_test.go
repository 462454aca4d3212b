package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const (
	roomOwner = "http://jabber.org/protocol/muc#owner"
	roomAdmin = "http://jabber.org/protocol/muc#admin"
)

// roomName is a configuration that gives the room a name.
func roomName(name string) string {
	return "<query xmlns='" + roomOwner + "'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>" +
		"<field var='muc#roomconfig_persistentroom'><value>1</value></field>" +
		"<field var='muc#roomconfig_membersonly'><value>1</value></field>" +
		"<field var='muc#roomconfig_roomname'><value>" + name + "</value></field></x></query>"
}

// roomLife is what one who lives in a room through many kills was answered.
type roomLife struct {
	room      jid.JID
	members   []string
	named     string // the last name that was answered
	tried     string
	said      []string          // texts that were acknowledged (XEP-0198)
	retracted map[string]string // text → id by which the room archived it
	sent      int               // stanzas since the stream counts
}

// set sends a request and returns its answer.
func (l *roomLife) set(ctx context.Context, c *chatter, payload string) (ok bool) {
	l.sent++
	got, err := c.Set(ctx, l.room, payload)
	return err == nil && got.Type == "result"
}

// say says something in the room and waits until the server has taken it over;
// it returns the id under which it is archived, "" when the stream has died.
func (l *roomLife) say(ctx context.Context, c *chatter, text string) (id string) {
	l.sent++
	if c.Send("<message type='groupchat' to='"+l.room.String()+"'><body>"+text+"</body></message><r xmlns='urn:xmpp:sm:3'/>") != nil {
		return ""
	}
	for h := 0; h < l.sent; {
		el, err := c.Element(ctx)
		if err != nil {
			return ""
		}
		if el.Name.Local == "a" {
			h, _ = strconv.Atoi(el.Attr("h")) // ignored: 0 is not enough
		}
	}
	l.said = append(l.said, text)
	st, err := c.Expect(ctx, func(st *stanza.Stanza) bool { return st.Body() == text })
	if err != nil {
		return ""
	}
	el, _ := st.Child(archive.IDSpace, "stanza-id")
	return el.Attr("id")
}

// live changes the room in every way, over and over, until the stream dies;
// lived is called after each round of that.
func (l *roomLife) live(ctx context.Context, c *chatter, round int, lived func()) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("name %d.%d", round, i)
		l.tried = name
		if !l.set(ctx, c, roomName(name)) {
			return
		}
		l.named = name
		who := fmt.Sprintf("u%d.%d@office.localhost", round, i)
		if !l.set(ctx, c, "<query xmlns='"+roomAdmin+"'><item jid='"+who+"' affiliation='member'/><item jid='x"+who+"' affiliation='outcast'/></query>") {
			return
		}
		l.members = append(l.members, who)
		if l.say(ctx, c, fmt.Sprintf("kind %d.%d", round, i)) == "" {
			return
		}
		rude := fmt.Sprintf("rude %d.%d", round, i)
		id := l.say(ctx, c, rude)
		if id == "" || !l.set(ctx, c, "<moderate xmlns='urn:xmpp:message-moderate:1' id='"+id+"'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>") {
			return
		}
		l.retracted[rude] = id
		lived()
	}
}

// TestKillRoom kills doorway at random points while a room is configured, gets
// members, is talked in and moderated: what was answered or acknowledged is
// there afterwards, and the room is whole. Each kill comes after something was
// done, however long that takes.
func TestKillRoom(t *testing.T) {
	b := startBox(t, "")
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	l := &roomLife{room: jid.MustParse("hall@conference.office.localhost"), retracted: map[string]string{}}
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const rounds = 8
	for round := range rounds {
		c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		if err := c.Send("<presence to='" + l.room.String() + "/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
			t.Fatal(err)
		}
		c.sees(t, "own presence", func(s string) bool { return strings.Contains(s, "code='110'") })
		c.sees(t, "the subject", func(s string) bool { return strings.Contains(s, "<subject") })
		if round > 0 {
			l.check(t, ctx, c)
		}
		if err := c.Send("<enable xmlns='urn:xmpp:sm:3'/>"); err != nil {
			t.Fatal(err)
		}
		l.sent = 0
		lived, done := make(chan struct{}, 1), make(chan struct{})
		go func() { // waited for below
			defer close(done)
			l.live(ctx, c, round, func() {
				select {
				case lived <- struct{}{}:
				default:
				}
			})
		}()
		select {
		case <-lived:
		case <-done: // too early: found below
		case <-ctx.Done():
			t.Error("nothing was answered")
		}
		select {
		case <-time.After(time.Duration(rnd.IntN(300)) * time.Millisecond):
		case <-ctx.Done():
		}
		b.process.kill(t)
		_ = c.Kill() // ignored: the server's end is gone
		<-done
		cancel()
		b.start(t)
	}
	t.Logf("%d changes of members, %d messages and %d retractions were answered", len(l.members), len(l.said), len(l.retracted))
	if len(l.retracted) < rounds {
		t.Errorf("a round has proved nothing: %d retractions", len(l.retracted))
	}
}

// check holds the room against what was answered.
func (l *roomLife) check(t *testing.T, ctx context.Context, c *chatter) {
	t.Helper()
	past, err := c.Settle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range past {
		if l.retracted[st.Body()] != "" {
			t.Errorf("the history shows what was retracted: %s", st)
		}
	}
	checkRoom(t, ctx, c, l.room, l.members, l.named, l.tried)
	times, graves := map[string]int{}, map[string]bool{}
	after := ""
	for complete := false; !complete; {
		id := "page" + after
		set := "<max>20</max>"
		if after != "" {
			set += "<after>" + after + "</after>"
		}
		if err := c.Send("<iq type='set' id='" + id + "' to='" + l.room.String() + "'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>" + set + "</set></query></iq>"); err != nil {
			t.Fatal(err)
		}
		fin, err := c.Expect(ctx, func(st *stanza.Stanza) bool { return st.Kind == stanza.IQ && st.ID == id })
		if err != nil || fin.Type != "result" {
			t.Fatalf("page: %v %v", fin, err)
		}
		got, err := c.Settle(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range got {
			if e, ok := st.Child(archive.Space, "result"); ok {
				m := e.Child("urn:xmpp:forward:0", "forwarded").Child("jabber:client", "message")
				times[m.ChildText("", "body")]++
				graves[e.Attr("id")] = m.Child(archive.RetractSpace, "retracted") != nil
			}
		}
		el, _ := fin.Child(archive.Space, "fin")
		complete = el.Attr("complete") == "true"
		after = el.Child("http://jabber.org/protocol/rsm", "set").ChildText("", "last")
	}
	for _, text := range l.said {
		id, gone := l.retracted[text]
		switch {
		case gone && (times[text] > 0 || !graves[id]):
			t.Errorf("%s was retracted and is there %d times, grave %v", text, times[text], graves[id])
		case !gone && strings.HasPrefix(text, "kind") && times[text] != 1:
			t.Errorf("%s was acknowledged and is there %d times", text, times[text])
		}
	}
}

// checkRoom holds the room against what was answered.
func checkRoom(t *testing.T, ctx context.Context, c *chatter, room jid.JID, members []string, named, tried string) {
	t.Helper()
	ask := func(payload string) *stanza.Stanza {
		got, err := c.Get(ctx, room, payload)
		if err != nil || got.Type != "result" {
			t.Fatalf("%s: %v %v", payload, got, err)
		}
		return got
	}
	conf := ask("<query xmlns='" + roomOwner + "'/>").Inner()
	if named != "" && !strings.Contains(conf, "<value>"+named+"</value>") && !strings.Contains(conf, "<value>"+tried+"</value>") {
		t.Errorf("the room is called neither %s nor %s: %s", named, tried, conf)
	}
	list := ask("<query xmlns='" + roomAdmin + "'><item affiliation='member'/></query>").Inner()
	banned := ask("<query xmlns='" + roomAdmin + "'><item affiliation='outcast'/></query>").Inner()
	for _, who := range members {
		if !strings.Contains(list, "'"+who+"'") || !strings.Contains(banned, "'x"+who+"'") {
			t.Errorf("%s was made a member, and is none", who)
		}
	}
	if strings.Count(list, "<item") != strings.Count(banned, "<item") {
		t.Error("a change of two was made by half")
	}
}
