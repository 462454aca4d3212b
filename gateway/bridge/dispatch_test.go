package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
)

// The order of design §5 behind the interceptors: last correspondent, keyword, group, default.
func TestDispatchOrder(t *testing.T) {
	var answered []string
	group := []jid.JID{jid.MustParse("dave@office.localhost")}
	set := func(c *Config) {
		answered = nil
		c.Keywords = []Keyword{
			{Word: "hello", Answer: func(m transports.Message) { answered = append(answered, string(m.Ref)) }},
			{Word: "fuel", To: []jid.JID{jid.MustParse("bob@office.localhost")}, Answer: func(m transports.Message) { answered = append(answered, string(m.Ref)) }},
		}
		c.Group = func(from transports.ContactID) []jid.JID {
			if from == number {
				return group
			}
			return nil
		}
	}
	play(t, "keyword, group, default", set, func(t *testing.T, r *rig) {
		for i, c := range []struct{ from, body, to string }{
			{number, "FUEL: 80 l", "bob"},
			{number, "fuels", "dave"},
			{number, "Hello", "dave"}, // answered, and goes on
			{"+4915550199", "refuel", "carol"},
			{"+4915550199", "\n fuel\n80", "bob"},
		} {
			m := transports.Message{From: transports.ContactID(c.from), Body: c.body, Ref: transports.Ref(fmt.Sprint("in-", i))}
			if err := r.event(transports.Incoming{Message: m}); err != nil {
				t.Fatal(err)
			}
			r.one("to='" + c.to + "@office.localhost'")
		}
		if got := fmt.Sprint(answered); got != "[in-0 in-2 in-4]" {
			t.Errorf("answered %s", got)
		}
	})
	play(t, "a conversation comes before keywords", set, func(t *testing.T, r *rig) {
		r.sent(contact, "")
		if err := r.arrives("in-1", "fuel 80"); err != nil {
			t.Fatal(err)
		}
		r.one("to='" + alice + "'")
		<-time.After(answerWithin + time.Hour)
		if err := r.arrives("in-2", "fuel 80"); err != nil {
			t.Fatal(err)
		}
		r.one("to='bob@office.localhost'")
	})
}

// Who listens to receipts is told first, and what it does not take is offered again.
func TestReceiptsAreOffered(t *testing.T) {
	fail := true
	var told []transports.State
	play(t, "receipts", func(c *Config) {
		c.Receipts = []func(context.Context, transports.Receipt) error{func(_ context.Context, r transports.Receipt) error {
			if fail {
				return errors.New("disk full")
			}
			told = append(told, r.State)
			return nil
		}}
	}, func(t *testing.T, r *rig) {
		e := transports.Receipt{Ref: "sms-1", To: number, State: transports.Failed}
		if err := r.event(e); err == nil {
			t.Error("taken")
		}
		fail = false
		if err := r.event(e); err != nil || fmt.Sprint(told) != "[failed]" {
			t.Errorf("%v, told %v", err, told)
		}
		r.none()
	})
}
