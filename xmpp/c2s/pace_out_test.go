package c2s

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// flood answers a message of type normal with four times what may be queued.
type flood struct{ host xmpp.Host }

const floodCount = 400

func (*flood) Info() xmpp.Info { return xmpp.Info{Name: "flood"} }

func (f *flood) Load(h xmpp.Host) error {
	f.host = h
	h.Message(xmpp.Outbound, 10, func(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if d.Stanza.Type != "normal" {
			return xmpp.Pass, nil
		}
		body := strings.Repeat("x", 10<<10)
		for i := range floodCount {
			h.Deliver(ctx, d.Sender, stanza.New(stanza.Message, "", fmt.Sprint("f", i), jid.MustParse(home), d.Sender.JID(), "<body>"+body+"</body>"))
			d.Sender.(xmpp.Paced).Pace()
		}
		return xmpp.Done, nil
	})
	return nil
}

// TestPaceHoldsBackWhoSendsMuch: more than may be queued reaches a client, in
// order, and others are served meanwhile.
func TestPaceHoldsBackWhoSendsMuch(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			h := open(t, []xmpp.Module{&flood{}}, loopback)
			login := h.login
			if secure {
				login = h.loginTLS
			}
			a, b := login("alice", "desk"), login("bob", "desk")
			a.send("<message type='normal' to='%s'/>", home)
			b.send("<iq type='get' id='1'><x xmlns='urn:example:x'/></iq>") // alice has read nothing yet
			b.expect("<service-unavailable")
			for i := range floodCount {
				a.expect(fmt.Sprintf("id='f%d'", i))
			}
			h.chat(b, a, "still there")
		})
	}
}

// TestPaceEndsWithTheStream: nobody waits for a client that is gone.
func TestPaceEndsWithTheStream(t *testing.T) {
	h := open(t, []xmpp.Module{&flood{}}, loopback)
	a := h.login("alice", "desk")
	a.send("<message type='normal' to='%s'/>", home)
	a.expect("id='f0'")
	a.conn.Close()
	eventually(t, "the client is still connected", func() bool { return h.srv.Connections() == 0 })
}

// TestGatherWritesOutTogether: what is gathered waits for the end, but for what is much.
func TestGatherWritesOutTogether(t *testing.T) {
	f := &flood{}
	h := open(t, []xmpp.Module{f}, loopback)
	a, b := h.login("alice", "desk"), h.login("bob", "desk")
	ctx, flush := Gather(t.Context())
	say := func(to *peer, id, body string) {
		j := jid.MustParse(to.full)
		f.host.Deliver(ctx, f.host.Sessions(j)[0], stanza.New(stanza.Message, "", id, jid.MustParse(home), j, "<body>"+body+"</body>"))
	}
	say(a, "small", "x")
	for i := range 10 {
		say(b, fmt.Sprint("big", i), strings.Repeat("x", 20<<10))
	}
	b.expect("id='big0'") // does not wait
	flush()
	a.expect("id='small'")
	for i := 1; i < 10; i++ {
		b.expect(fmt.Sprintf("id='big%d'", i))
	}
}
