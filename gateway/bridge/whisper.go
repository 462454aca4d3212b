package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// missed tells the speaker who did not get a message.
func (h *hall) missed(ctx context.Context, r *hallRoom, nick string, list []textTo, person bool) {
	n, first := 0, error(nil)
	for _, x := range list {
		err := x.err
		if err == nil {
			continue
		}
		n++
		var te *transports.Error
		if first == nil && errors.As(err, &te) {
			first = te
		}
		h.b.log.Info("text of a room not taken", "room", r.jid.String(), "err", err)
	}
	if n == 0 {
		return
	}
	h.changed() // somebody may have opted out
	if !person {
		return
	}
	why := "the gateway had trouble storing it. Send it again in a moment."
	if first != nil {
		why = first.Error()
	}
	h.whisper(ctx, r, nick, fmt.Sprintf("Your message did not go to %d of %d phones in this room: %s", n, len(list), why))
}

// voice is who tells what became of a text to a contact in a room: its seat, or the gateway when that is not inside.
func (h *hall) voice(room, real jid.JID) (from jid.JID, contact string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rooms[room]; r != nil && r.seats[real] != nil && r.seats[real].inside {
		return real, "this phone"
	}
	return h.gateway(), real.Local()
}

// tell says something in a room, in the gateway's name.
func (h *hall) tell(ctx context.Context, r *hallRoom, text string) {
	var w xmlstream.Writer
	w.Leaf("", "body", text)
	h.b.c.Host.Send(ctx, stanza.New(stanza.Message, "groupchat", "", h.gateway(), r.jid, w.String()), nil)
}

// whisper tells one person in a room something (XEP-0045 §7.5).
func (h *hall) whisper(ctx context.Context, r *hallRoom, nick, text string) {
	to, err := r.jid.WithResource(nick)
	if err != nil {
		return
	}
	var w xmlstream.Writer
	w.Leaf("", "body", text).Leaf(muc.SpaceUser, "x", "")
	h.b.c.Host.Send(ctx, stanza.New(stanza.Message, "chat", "", h.gateway(), to, w.String()), nil)
}

// whispered takes a private message to a contact: a text of that person's, whose answer comes to them alone.
// Who writes to the gateway's seat hears what it is.
func (h *hall) whispered(ctx context.Context, r *hallRoom, s *seat, st *stanza.Stanza) {
	nick := strings.Clone(st.From.Resource())
	h.mu.Lock()
	person := r.nicks[nick]
	phones, deaf, used, day := len(r.seats)-1, r.deaf, r.rec.Used, r.rec.Day
	h.mu.Unlock()
	if person == (jid.JID{}) || person.Domain() == h.b.self.Domain() {
		return // a contact's seat, or somebody who has left
	}
	if s.contact == "" {
		if h.b.soon(person.Bare()) {
			return
		}
		if day != h.today() {
			used = 0
		}
		text := fmt.Sprintf("I send what is said here to %d phones as texts, and bring their answers. ", phones)
		if deaf > 0 {
			text += fmt.Sprintf("%d more get nothing: they want no texts, or may not be texted. ", deaf)
		}
		if h.c.PerDay > 0 {
			text += fmt.Sprintf("Today %d of %d texts are used. ", used, h.c.PerDay)
		}
		h.whisper(ctx, r, nick, text+"A private message to one of them is a text to that phone alone.")
		return
	}
	refuse := func(e *stanza.Error) { h.whisper(ctx, r, nick, e.Text) }
	if why := unsendable(st); why != "" {
		refuse(stanza.NewError(stanza.NotAcceptable, why))
		return
	}
	if h.b.c.Allow != nil && !h.b.c.Allow(person.Bare()) {
		refuse(stanza.NewError(stanza.Forbidden, "You may not use the "+h.b.info.Name+" gateway. Ask the administrator."))
		return
	}
	var w xmlstream.Writer
	w.Leaf("", "body", nick+" (only to you): "+st.Body())
	if el, ok := st.Child(nsStanzaID, "origin-id"); ok {
		w.Leaf(nsStanzaID, "origin-id", "", "id", el.Attr("id"))
	}
	o := &outgoing{st: stanza.New(stanza.Message, "chat", st.ID, person, s.real.Bare(), w.String()), done: func(error) {}}
	if err := h.b.enqueue(o); err != nil {
		var e *stanza.Error
		if errors.As(err, &e) {
			refuse(e)
		}
	}
}
