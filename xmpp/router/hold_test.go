package router_test

import (
	"context"
	"errors"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// keeper stores every offline message when the test says so.
type keeper struct{ pending []func(error) }

func (k *keeper) load(h xmpp.Host) {
	h.Message(xmpp.Offline, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		k.pending = append(k.pending, d.Await(), d.Await())
		return xmpp.Done, nil
	})
}

func TestAwaitHoldsTheSendersStream(t *testing.T) {
	var k keeper
	r, _ := newRouter(t, k.load)
	alice, c := bind(t, r, "alice", "desk", 0)
	const chat = "<message type='chat' id='m' to='bob@office.example'><body>x</body></message>"
	handle(t, alice, chat)
	if holds := c.Holds(); holds != 2 {
		t.Fatalf("%d holds", holds)
	}
	for _, done := range k.pending {
		done(nil)
	}
	if holds := c.Holds(); holds != 0 {
		t.Fatalf("%d holds are left", holds)
	}
	none(t, c)
}

func TestAwaitWithErrorRefusesOnce(t *testing.T) {
	var k keeper
	r, log := newRouter(t, k.load)
	alice, c := bind(t, r, "alice", "desk", 0)
	handle(t, alice, "<message type='chat' id='m' to='bob@office.example'><body>x</body></message>")
	for _, done := range k.pending {
		done(errors.New("disk full"))
	}
	if st := wantError(t, c, stanza.InternalServerError); st.ID != "m" || st.From.String() != "bob@office.example" {
		t.Errorf("answer is %v", st)
	}
	if holds := c.Holds(); holds != 0 {
		t.Errorf("%d holds are left", holds)
	}
	if log.String() == "" {
		t.Error("the failure is not logged")
	}
}

func TestSendTellsWhenStored(t *testing.T) {
	var k keeper
	r, _ := newRouter(t, k.load)
	_, carol := bind(t, r, "carol", "desk", 0)
	var told []error
	done := func(err error) { told = append(told, err) }
	send := func(to string) {
		told = nil
		r.Send(background(t), parse(t, "<message type='chat' from='carol@office.example/desk' to='"+to+"'><body>x</body></message>"), done)
	}

	send("bob@office.example")
	if k.pending[0](nil); len(told) != 0 {
		t.Fatal("told before everything was stored")
	}
	if k.pending[1](nil); len(told) != 1 || told[0] != nil {
		t.Fatalf("told %v", told)
	}

	k.pending = nil
	send("bob@office.example")
	k.pending[0](errors.New("disk full"))
	k.pending[1](nil)
	var e *stanza.Error
	if len(told) != 1 || !errors.As(told[0], &e) || e.Condition != stanza.InternalServerError {
		t.Fatalf("told %v", told)
	}

	if send("nobody@office.example"); len(told) != 1 || !errors.As(told[0], &e) || e.Condition != stanza.ServiceUnavailable {
		t.Fatalf("told %v", told)
	}
	none(t, carol) // who asked to be told gets no error stanza as well

	if send("carol@office.example"); len(told) != 1 || told[0] != nil {
		t.Fatalf("told %v", told)
	}
	one(t, carol)

	r.Send(background(t), parse(t, "<iq type='get' id='1' from='carol@office.example/desk' to='office.example'><q xmlns='x:y'/></iq>"), done)
	wantError(t, carol, stanza.ServiceUnavailable) // a request is always answered
}

func TestSendWithoutDoneIsAnswered(t *testing.T) {
	var k keeper
	r, _ := newRouter(t, k.load)
	_, carol := bind(t, r, "carol", "desk", 0)
	r.Send(background(t), parse(t, "<message type='chat' from='carol@office.example/desk' to='bob@office.example'><body>x</body></message>"), nil)
	k.pending[0](errors.New("disk full"))
	wantError(t, carol, stanza.InternalServerError)
}
