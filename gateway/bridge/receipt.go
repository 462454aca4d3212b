package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// lateNews is how old a text may be for a stanza error alone to reach its sender, where it is not known who is online.
const lateNews = 5 * time.Minute

// receipt tells the sender what became of a text.
func (b *Bridge) receipt(ctx context.Context, r transports.Receipt) error {
	if r.Origin == "" {
		return nil // sent from elsewhere; its sender looks at the outbox
	}
	var o origin
	if err := json.Unmarshal([]byte(r.Origin), &o); err != nil {
		b.log.Error("receipt without a usable origin", "ref", string(r.Ref), "err", err)
		return nil
	}
	if o.Room && b.hall != nil {
		return b.roomReceipt(ctx, r, o)
	}
	var w xmlstream.Writer
	switch r.State {
	case transports.Delivered:
		if !o.Receipt {
			return nil
		}
		w.Leaf(nsReceipts, "received", "", "id", o.ID).Leaf(nsHints, "store", "") // XEP-0184 §5.4, XEP-0334 §4.4
		return b.tell(ctx, r, stanza.New(stanza.Message, "chat", "r-"+string(r.Ref), o.To, o.From, w.String()))
	case transports.Failed, transports.Expired, transports.Cancelled:
		return b.bad(ctx, r, o)
	case transports.PossiblySent:
		why := "nobody has confirmed it."
		if r.Err != nil {
			why = r.Err.Text
		}
		return b.note(ctx, r, o, "It is not certain that this text reached "+string(r.To)+": "+why+
			" It is not sent again by itself; ask, or send it again if it matters.")
	}
	return nil
}

// bad reports that a text was not sent: as an ordinary message where it was not a stanza's, else a message error to the client that sent it, or an ordinary message where that
// client has gone, since a server drops errors for those (RFC 6121 §8.5.3.2).
func (b *Bridge) bad(ctx context.Context, r transports.Receipt, o origin) error {
	e := r.Err
	if e == nil {
		e = &transports.Error{Kind: transports.Down, Text: "The text to " + string(r.To) + " was not sent."}
	}
	if o.ID == "" {
		return b.note(ctx, r, o, e.Text)
	}
	known, online := b.connected(o.From)
	late := b.c.Now().Sub(time.Unix(o.At, 0)) > lateNews
	if !known || online {
		st := stanza.New(stanza.Message, stanza.TypeError, o.ID, o.To, o.From, refusal(e).XML())
		if err := b.tell(ctx, r, st); err != nil {
			return err
		}
	}
	if known && !online || !known && late {
		return b.note(ctx, r, o, e.Text)
	}
	return nil
}

// note is an ordinary message from the contact that refers to the text (XEP-0461).
func (b *Bridge) note(ctx context.Context, r transports.Receipt, o origin, text string) error {
	var w xmlstream.Writer
	w.Leaf("", "body", text)
	if o.ID != "" {
		w.Leaf(nsReply, "reply", "", "to", o.From.String(), "id", o.ID)
	}
	return b.tell(ctx, r, stanza.New(stanza.Message, "chat", "n-"+string(r.Ref)+"-"+string(r.State), o.To, o.From.Bare(), w.String()))
}

// roomReceipt tells who spoke in a room, privately (XEP-0045 §7.5), that a phone did not get it.
func (b *Bridge) roomReceipt(ctx context.Context, r transports.Receipt, o origin) error {
	switch r.State {
	case transports.Failed, transports.Expired, transports.Cancelled, transports.PossiblySent:
	default:
		return nil
	}
	from, phone := b.hall.voice(o.From.Bare(), o.To)
	text := "Your message in the room did not reach " + phone + "."
	switch {
	case r.State == transports.PossiblySent && r.Err != nil:
		text = "It is not certain that your message in the room reached " + phone + ": " + r.Err.Text + " It is not sent again by itself; ask, or say it again if it matters."
	case r.Err != nil:
		text += " " + r.Err.Text
	}
	var w xmlstream.Writer
	w.Leaf("", "body", text).Leaf(muc.SpaceUser, "x", "")
	if o.ID != "" {
		w.Leaf(nsReply, "reply", "", "to", o.From.String(), "id", o.ID)
	}
	return b.tell(ctx, r, stanza.New(stanza.Message, "chat", "n-"+string(r.Ref)+"-"+string(r.State), from, o.From, w.String()))
}

// tell sends news of a text. What the receiving side refuses cannot be told better later.
func (b *Bridge) tell(ctx context.Context, r transports.Receipt, st *stanza.Stanza) error {
	err := b.send(ctx, st)
	var refused *stanza.Error
	if errors.As(err, &refused) && refused.Condition != stanza.InternalServerError {
		b.log.Info("news of a text refused", "ref", string(r.Ref), "user", st.To.Bare().String(), "err", err)
		return nil
	}
	return err
}

// connected says whether a client is connected, where the host knows.
func (b *Bridge) connected(full jid.JID) (known, online bool) {
	h, ok := b.c.Host.(interface {
		Sessions(account jid.JID) []xmpp.Session
		Domainpart() string
	})
	if !ok || h.Domainpart() != full.Domain() {
		return false, false
	}
	for _, s := range h.Sessions(full.Bare()) {
		if s.JID() == full {
			return true, true
		}
	}
	return true, false
}
