package bridge

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// outgoing is a message on its way from the reader that brought it to the disk.
type outgoing struct {
	st   *stanza.Stanza
	done func(error)
}

// origin travels with a message through the network and comes back in its receipts.
type origin struct {
	From    jid.JID `json:"f"`           // full JID of the sender
	ID      string  `json:"i"`           // of the stanza
	To      jid.JID `json:"t"`           // as the sender wrote it
	Receipt bool    `json:"r,omitempty"` // XEP-0184 was asked for
	Room    bool    `json:"m,omitempty"` // said in a room: From is an occupant there, and so is To
	At      int64   `json:"a"`           // Unix seconds
}

// correspondent is the record "last/"+contact: who wrote to a contact last.
type correspondent struct {
	V      int       `json:"v"`
	Person jid.JID   `json:"person"` // bare; or a room
	Addr   jid.JID   `json:"addr"`   // the JID the person wrote to
	At     time.Time `json:"at"`
}

// message takes a message to the gateway or a contact. The sender's acknowledgement waits for the outbox.
func (b *Bridge) message(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	switch st.Type {
	case "", "chat", "normal":
	case "headline":
		return xmpp.Done, nil // news for screens; nobody wants to pay for it
	default:
		return xmpp.Done, stanza.NewError(stanza.ServiceUnavailable, "There are no rooms here.")
	}
	if why := unsendable(st); why != "" {
		return xmpp.Done, stanza.NewError(stanza.NotAcceptable, why)
	}
	if st.Body() == "" {
		return xmpp.Done, nil // chat states, markers, receipts (XEP-0085, 0333, 0184)
	}
	if st.To.Local() == "" {
		return xmpp.Done, b.help(ctx, st)
	}
	o := &outgoing{st: st, done: d.Await()}
	if e := b.enqueue(o); e != nil {
		o.done(nil)
		return xmpp.Done, e
	}
	return xmpp.Done, nil
}

// noTexts are payloads that no phone can get. Most come with a body for clients that do not know them, which is no text either.
var noTexts = []struct{ space, local, why string }{
	{"urn:xmpp:omemo:2", "encrypted", encrypted},
	{"eu.siacs.conversations.axolotl", "encrypted", encrypted},
	{"urn:xmpp:openpgp:0", "openpgp", encrypted},
	{"jabber:x:encrypted", "x", encrypted},
	{"urn:xmpp:message-retract:1", "retract", retracted},
	{"urn:xmpp:fasten:0", "apply-to", retracted}, // COMPAT: XEP-0424 before 0.4
	{"urn:xmpp:reactions:0", "reactions", "A phone cannot show a reaction to a text. Write it as a text of its own."},
	{"jabber:x:conference", "x", noInvitation},
	{"urn:xmpp:jingle-message:0", "propose", "This gateway takes texts only; a phone cannot be called through it."},
}

const (
	encrypted    = "A text message cannot be encrypted. Switch encryption off for this contact and send it again."
	noInvitation = "A phone cannot come into a room by invitation: the administrator lets the phones of a group into its room. Text the person what you would say there."
	retracted    = "A text cannot be taken back: it is on its way to the phone."
)

// unsendable says why a message cannot be a text, "" when it can.
func unsendable(st *stanza.Stanza) string {
	for _, x := range noTexts {
		if st.HasChild(x.space, x.local) {
			return x.why
		}
	}
	return ""
}

// enqueue puts a message into the mailbox, unless that is full or nobody will look into it any more.
func (b *Bridge) enqueue(o *outgoing) error {
	b.mu.Lock() // so that nothing comes in after deliver has emptied it
	defer b.mu.Unlock()
	if b.ended {
		return b.stopping()
	}
	select {
	case b.mailbox <- o:
		return nil
	default:
		return stanza.NewError(stanza.ResourceConstraint, "Too many texts at once. Wait a moment and send this one again.")
	}
}

func (b *Bridge) stopping() *stanza.Error {
	e := stanza.NewError(stanza.ServiceUnavailable, "The "+b.info.Name+" gateway is being restarted, so this text was not sent. Send it again in a moment.")
	e.Type = stanza.Wait
	return e
}

// helpEvery is how often one person is told how to use the gateway.
const helpEvery = 10 * time.Second

// help answers somebody who talks to the gateway itself.
func (b *Bridge) help(ctx context.Context, st *stanza.Stanza) error {
	if st.HasChild(nsDelay, "delay") {
		return nil
	}
	example := "NUMBER@" + b.self.Domain()
	if b.soon(st.From.Bare()) {
		return nil
	}
	b.mu.Lock()
	status := b.status.Text
	b.mu.Unlock()
	text := "This is the " + b.info.Name + " gateway. To text somebody, write to " + example + ", for example +4915550101@" + b.self.Domain() + ". " + b.info.Desc
	if status != "" {
		text += "\nState: " + status
	}
	var w xmlstream.Writer
	w.Leaf("", "body", text)
	b.c.Host.Send(ctx, stanza.New(stanza.Message, st.Type, "", b.self, st.From, w.String()), nil)
	return nil
}

// soon says whether somebody was told so a moment ago: an automaton that answers each message must not talk with this
// one for ever.
func (b *Bridge) soon(person jid.JID) bool {
	now := b.c.Now()
	b.mu.Lock()
	soon := now.Sub(b.helped[person]) < helpEvery
	if !soon {
		if len(b.helped) > 1000 {
			clear(b.helped)
		}
		b.helped[person.Clone()] = now
	}
	b.mu.Unlock()
	return soon
}

// deliver gives messages to the network, one by one, until ctx ends; what is left then is refused.
func (b *Bridge) deliver(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case o := <-b.mailbox:
			b.handOver(ctx, o)
		}
	}
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	for {
		select {
		case o := <-b.mailbox:
			b.refuse(context.WithoutCancel(ctx), o, b.stopping())
		default:
			return
		}
	}
}

func (b *Bridge) refuse(ctx context.Context, o *outgoing, e *stanza.Error) {
	if e.Err != nil {
		b.log.Warn("text not taken", "user", o.st.From.Bare().String(), "err", e.Err)
	}
	if r := o.st.ErrorReply(e); r != nil {
		b.c.Host.Send(ctx, r, nil)
	}
	o.done(nil) // the sender has been answered
}

// handOver stores one message in the network's outbox and lets go of the sender's acknowledgement.
func (b *Bridge) handOver(ctx context.Context, o *outgoing) {
	st := o.st
	s := b.current(ctx)
	if s == nil {
		b.refuse(context.WithoutCancel(ctx), o, b.stopping())
		return
	}
	ctx = context.WithoutCancel(ctx) // a stop waits for the commit
	contact, err := b.contactOf(st.To)
	if err != nil {
		b.refuse(ctx, o, refusal(err))
		return
	}
	person, addr := st.From.Bare().Clone(), st.To.Bare().Clone()
	org := origin{From: st.From, ID: st.ID, To: addr, Receipt: st.ID != "" && st.HasChild(nsReceipts, "request"), At: b.c.Now().Unix()}
	raw, err := json.Marshal(org)
	if err != nil {
		b.refuse(ctx, o, refusal(err))
		return
	}
	ref, err := s.Send(ctx, transports.Message{
		Sender: person.String(), Origin: string(raw), To: contact, Body: text(st), Key: key(st, person),
	})
	if err != nil {
		b.refuse(ctx, o, refusal(err))
		return
	}
	b.log.Debug("text taken", "user", person.String(), "ref", string(ref))
	// The answer finds its way by this record, so the acknowledgement waits for it too; but the text itself is safe.
	b.c.Table.Later(map[string]any{"last/" + string(contact): correspondent{V: 1, Person: person, Addr: addr, At: b.c.Now()}}, func(err error) {
		if err != nil {
			b.log.Error("last correspondent not stored", "ref", string(ref), "err", err)
		}
		o.done(nil)
	})
}

// text is what goes out: the subject of a message, if it has one, stands before its body.
func text(st *stanza.Stanza) string {
	body := st.Body()
	if el, ok := st.Child("", "subject"); ok {
		if s := strings.TrimSpace(el.Text); s != "" {
			return s + "\n" + body
		}
	}
	return body
}

// key makes a message that a client sends again after a broken connection go out once. Only an origin-id is
// unique enough for that (XEP-0359 §3.2); stanza ids may repeat with each login.
func key(st *stanza.Stanza, person jid.JID) string {
	el, ok := st.Child(nsStanzaID, "origin-id")
	if !ok || el.Attr("id") == "" {
		return ""
	}
	return strings.Join([]string{"xmpp", person.String(), st.To.Bare().String(), el.Attr("id")}, "\x00")
}
