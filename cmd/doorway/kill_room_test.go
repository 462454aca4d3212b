package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestKillRoom kills doorway at random points while a room is configured and
// gets members: what was answered is there afterwards, and the room is whole.
func TestKillRoom(t *testing.T) {
	b := startBox(t, "")
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	room := jid.MustParse("hall@conference.office.localhost")
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var members []string
	named, tried := "", ""
	for round := range 12 {
		c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := c.Send("<presence to='" + room.String() + "/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
			t.Fatal(err)
		}
		c.sees(t, "own presence", func(s string) bool { return strings.Contains(s, "code='110'") })
		if round > 0 {
			checkRoom(t, ctx, c, room, members, named, tried)
		}
		before, answered := len(members), make(chan int, 1000)
		done := make(chan struct{})
		go func() { // waited for below
			defer close(done)
			for i := 0; ; i++ {
				name := fmt.Sprintf("name %d.%d", round, i)
				tried = name
				if got, err := c.Set(ctx, room, roomName(name)); err != nil || got.Type != "result" {
					return
				}
				named = name
				who := fmt.Sprintf("u%d.%d@office.localhost", round, i)
				got, err := c.Set(ctx, room, "<query xmlns='"+roomAdmin+"'><item jid='"+who+"' affiliation='member'/><item jid='x"+who+"' affiliation='outcast'/></query>")
				if err != nil || got.Type != "result" {
					return
				}
				members = append(members, who)
				select {
				case answered <- len(members):
				default:
				}
			}
		}()
		for enough := before + 1 + rnd.IntN(4); before < enough; {
			select {
			case before = <-answered:
			case <-ctx.Done():
				t.Fatalf("round %d: %v", round, ctx.Err())
			}
		}
		<-time.After(time.Duration(rnd.IntN(50)) * time.Millisecond)
		b.process.kill(t)
		_ = c.Kill() // ignored: the server's end is gone
		<-done
		cancel()
		b.start(t)
	}
	t.Logf("%d changes of members were answered", len(members))
	if len(members) < 12 {
		t.Errorf("only %d changes were answered; this test proves too little", len(members))
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
