package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/transports"
	"doorway/xmpp/jid"
)

// TestKillPhonesInRoom kills doorway at random points while people talk in the
// room of a group with two phones: each message that was acknowledged is one
// text to each phone, and what the phones text is in the room and one text to
// the other phone.
func TestKillPhonesInRoom(t *testing.T) {
	phones := []string{"+4915550201", "+4915550202"}
	m := newTwoModems(t, "room_per_day = 0\n", phones...)
	if out, code := m.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	args := append([]string{"group", "add", "field", "alice"}, phones...)
	if out, code := m.run(t, "", append(args, "--label", "Field staff", "--room", "offered", "--texts", "yes")...); code != 0 {
		t.Fatal(out)
	}
	if out, code := m.run(t, "", "group", "show", "field"); code != 0 || !strings.Contains(out, "offered, phones take part") {
		t.Fatal(out)
	}
	l := &roomLife{room: jid.MustParse("field@conference.office.localhost")}
	ca := filepath.Join(m.dir, "ca", "ca.pem")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	const rounds = 5
	enter := func() *chatter {
		c := dialClient(t, m.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		if err := c.Send("<presence to='" + l.room.String() + "/al'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"); err != nil {
			t.Fatal(err)
		}
		c.sees(t, "own presence", func(s string) bool { return strings.Contains(s, "code='110'") })
		return c
	}
	for round := range rounds {
		c := enter()
		if err := c.Send("<enable xmlns='urn:xmpp:sm:3'/>"); err != nil {
			t.Fatal(err)
		}
		l.sent = 0
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		died := make(chan struct{})
		go func() { // waited for below
			defer close(died)
			for i := 0; l.say(ctx, c, fmt.Sprintf("said %d.%d", round, i)) != ""; i++ {
			}
		}()
		if err := m.emus[0].Deliver(phones[round%2], fmt.Sprintf("texted %d", round)); err != nil {
			t.Fatal(err)
		}
		goal := (round + 1) * 6
		until(t, time.Minute, func() (bool, string) { return m.left() >= goal, fmt.Sprintf("%d texts have left", m.left()) })
		select {
		case <-time.After(time.Duration(rnd.IntN(200)) * time.Millisecond):
		case <-ctx.Done():
		}
		m.process.kill(t)
		_ = c.Kill() // ignored: the server's end is gone
		<-died
		cancel()
		m.start(t)
	}
	t.Logf("%d messages were acknowledged", len(l.said))
	c := enter()
	defer func() { _ = c.Close() }() // ignored: the test is over
	found := m.textsOfRoom(t, l.said, phones)
	for _, text := range l.said {
		for _, phone := range phones {
			if n := found[phone+" "+text]; n != 1 {
				t.Errorf("%q went %d times to %s", text, n, phone)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for round := range rounds {
		want := fmt.Sprintf("texted %d", round)
		until(t, time.Minute, func() (bool, string) {
			return strings.Contains(roomArchive(ctx, t, c, l.room), ">"+want+"<"), want + " is not in the room"
		})
		other := phones[(round+1)%2]
		if n := m.textsOfRoom(t, []string{want}, []string{other})[other+" "+want]; n != 1 {
			t.Errorf("%q went %d times to the other phone", want, n)
		}
	}
}

// textsOfRoom waits until each message is there for each phone, and counts the texts.
func (m *twoModems) textsOfRoom(t *testing.T, said, phones []string) map[string]int {
	t.Helper()
	var found map[string]int
	until(t, 2*time.Minute, func() (bool, string) {
		found = map[string]int{}
		for before := uint64(0); ; {
			var list []control.SMSText
			if err := control.Call(t.Context(), m.dir, "sms.list", control.QueueList{Limit: 1000, Before: before}, &list); err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if _, text, ok := strings.Cut(x.Text, ": "); ok && x.State != transports.Failed {
					found[x.To+" "+text]++
				}
				before = x.ID
			}
			if len(list) < 1000 {
				break
			}
		}
		for _, text := range said {
			for _, phone := range phones {
				if found[phone+" "+text] == 0 {
					return false, fmt.Sprintf("%q has not gone to %s", text, phone)
				}
			}
		}
		return true, ""
	})
	return found
}

// roomArchive is the last page of a room's archive.
func roomArchive(ctx context.Context, t *testing.T, c *chatter, room jid.JID) string {
	t.Helper()
	if _, err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := c.Set(ctx, room, "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field></x>"+
		"<set xmlns='http://jabber.org/protocol/rsm'><max>250</max><before/></set></query>")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Settle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, st := range got {
		all.WriteString(st.String())
	}
	return all.String()
}
