package bridge

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// handle takes one stanza of a room.
func (h *hall) handle(ctx context.Context, st *stanza.Stanza) {
	h.mu.Lock()
	r := h.rooms[st.From.Bare()]
	var s *seat
	if r != nil {
		s = r.seats[st.To]
	}
	if s == nil {
		h.mu.Unlock()
		h.decline(ctx, st)
		return
	}
	if st.Kind == stanza.Presence {
		h.presence(r, s, st)
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	switch {
	case st.Type == stanza.TypeError:
		if e, ok := stanza.ErrorOf(st); ok && (e.Condition == stanza.NotAcceptable || e.Condition == stanza.ItemNotFound) { // not inside
			h.mu.Lock()
			s.refused(h.b.c.Now(), 0)
			h.mu.Unlock()
		}
	case st.Type == "groupchat":
		h.said(ctx, r, st)
	case st.From.IsFull() && st.HasChild("", "body"):
		h.whispered(ctx, r, s, st)
	}
}

// decline answers an invitation that a room passes on (XEP-0045 §7.8.2).
func (h *hall) decline(ctx context.Context, st *stanza.Stanza) {
	x, ok := st.Child(muc.SpaceUser, "x")
	if !ok || st.Kind != stanza.Message || st.Type == stanza.TypeError || st.To.Local() == "" {
		return
	}
	invite := x.Child(muc.SpaceUser, "invite")
	if invite == nil || invite.Attr("from") == "" {
		return
	}
	var w xmlstream.Writer
	w.Start(muc.SpaceUser, "x").Start("", "decline", "to", invite.Attr("from")).Leaf("", "reason", noInvitation).End().End()
	h.b.c.Host.Send(ctx, stanza.New(stanza.Message, "", "", st.To.Bare(), st.From.Bare(), w.String()), nil)
}

// said takes what a room tells the gateway: what was said before it came, as far
// as that is not known, and what is said now. Rooms, and what is in rec, past,
// ready and echo of each, are this goroutine's from here on, but for a look at
// rec under mu.
func (h *hall) said(ctx context.Context, r *hallRoom, st *stanza.Stanza) {
	switch {
	case r.ready:
		h.hear(ctx, r, st)
	case st.HasChild("", "subject") && !st.HasChild("", "body"): // the end of the history (XEP-0045 §7.2.15)
		past := r.past
		r.past, r.ready = nil, true
		for i, old := range past {
			if r.rec.Last != "" && saidID(r, old) == r.rec.Last {
				past = past[i+1:]
				break
			}
		}
		for _, old := range past {
			h.hear(ctx, r, old)
		}
	default:
		r.past = append(r.past, st)
	}
}

// saidID is the room's id of a message, or the sender's (XEP-0359).
func saidID(r *hallRoom, st *stanza.Stanza) string {
	for _, e := range st.Elements() {
		if e.Name.Space == nsStanzaID && e.Name.Local == "stanza-id" && e.Attr("by") == r.jid.String() {
			return strings.Clone(e.Attr("id"))
		}
	}
	return st.From.Resource() + "\x00" + st.ID
}

// hear sends what somebody said to the contacts in the room.
func (h *hall) hear(ctx context.Context, r *hallRoom, st *stanza.Stanza) {
	nick := strings.Clone(st.From.Resource())
	body := spoken(st)
	if nick == "" || body == "" {
		return
	}
	if st.HasChild(nsDelay, "delay") && h.old(st) {
		return
	}
	speaker, targets := h.audience(r, nick)
	switch {
	case speaker != nil && speaker.contact == "" && h.hint(st.ID) != hintGuest: // the gateway itself
		return
	case speaker != nil && speaker.contact != "" && h.hint(st.ID) == hintQuiet:
	case len(targets) == 0:
	case isEncrypted(st):
		if speaker == nil {
			h.whisper(ctx, r, nick, "The phones in this room cannot read encrypted messages and did not get yours. Switch encryption off for this room to reach them.")
		}
	case speaker != nil && h.echoes(r, nick, body):
	default:
		if speaker != nil && speaker.contact == "" {
			nick = "" // the member's name is in the body
		}
		h.text(ctx, r, st, nick, body, targets, speaker == nil)
	}
	h.mu.Lock()
	r.rec.At, r.rec.Last = h.b.c.Now(), saidID(r, st)
	h.mu.Unlock()
	h.keep(r)
}

// hint is what say knew of a message; it is forgotten.
func (h *hall) hint(ref string) byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.hints[ref]
	delete(h.hints, ref)
	return x
}

// old says whether a delayed message (XEP-0203) is too old to be sent.
func (h *hall) old(st *stanza.Stanza) bool {
	d, _ := st.Child(nsDelay, "delay")
	at, err := time.Parse(time.RFC3339, d.Attr("stamp"))
	return err == nil && h.b.c.Now().Sub(at) > roomLate
}

// audience is the seat of who has a nick, if any, and the contacts that are to hear them, in order.
func (h *hall) audience(r *hallRoom, nick string) (speaker *seat, targets []*seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range r.seats {
		switch {
		case s.nick == nick:
			speaker = s
		case s.contact != "" && !h.out[outKey{s.contact, r.jid}]:
			targets = append(targets, s)
		}
	}
	sort.Slice(targets, func(i, j int) bool { return targets[i].contact < targets[j].contact })
	return speaker, targets
}

// echoes keeps two phones that answer by themselves from talking for ever: the same words go out once in a while.
func (h *hall) echoes(r *hallRoom, nick, body string) bool {
	now := h.b.c.Now()
	key := nick + "\x00" + body
	at, known := r.echo[key]
	if len(r.echo) >= 1000 {
		clear(r.echo)
	}
	r.echo[key] = now
	return known && now.Sub(at) < roomEcho
}

// text sends one message to the contacts, all or none as far as the bound of the day goes.
func (h *hall) text(ctx context.Context, r *hallRoom, st *stanza.Stanza, nick, body string, targets []*seat, person bool) {
	bodies := make([]string, len(targets))
	cost := 0
	for i, s := range targets {
		bodies[i] = h.words(r, s, nick, body)
		if h.c.Cost != nil {
			cost += h.c.Cost(bodies[i])
		}
	}
	if !h.afford(ctx, r, cost) {
		return
	}
	session := h.b.current(ctx)
	if session == nil {
		return // the history has it at the next start
	}
	ctx = context.WithoutCancel(ctx)
	id := saidID(r, st)
	errs := make([]error, len(targets))
	var wg sync.WaitGroup // waited for below
	lanes := make(chan struct{}, 16)
	for i, s := range targets {
		lanes <- struct{}{}
		wg.Go(func() {
			defer func() { <-lanes }()
			_, errs[i] = session.Send(ctx, transports.Message{
				Sender: r.jid.String(), Room: transports.RoomID(r.jid.String()), Origin: h.b.originOf(st.From, st.ID, s.real), To: s.contact, Body: bodies[i],
				Key: strings.Join([]string{"room", r.jid.String(), id, string(s.contact)}, "\x00"),
			})
		})
	}
	wg.Wait()
	for i, s := range targets {
		if errs[i] == nil {
			h.b.setLast(s.contact, correspondent{Person: r.jid, Addr: s.real.Bare()})
		} else if h.c.Cost != nil {
			r.rec.Used -= h.c.Cost(bodies[i])
		}
	}
	h.missed(ctx, r, nick, errs, person)
}

// missed tells the speaker who did not get a message.
func (h *hall) missed(ctx context.Context, r *hallRoom, nick string, errs []error, person bool) {
	n, first := 0, error(nil)
	for _, err := range errs {
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
	h.whisper(ctx, r, nick, fmt.Sprintf("Your message did not go to %d of %d phones in this room: %s", n, len(errs), why))
}

// afford counts what a message costs, unless the day's bound has no room for
// it; then the room is told, once.
func (h *hall) afford(ctx context.Context, r *hallRoom, cost int) bool {
	h.mu.Lock()
	if day := h.today(); r.rec.Day != day {
		r.rec.Day, r.rec.Used, r.rec.Warned, r.rec.Closed = day, 0, false, false
	}
	most, was := h.c.PerDay, r.rec
	if most > 0 && r.rec.Used+cost > most {
		r.rec.Closed = true
	}
	if !r.rec.Closed {
		r.rec.Used += cost
		r.rec.Warned = was.Warned || most > 0 && r.rec.Used*10 >= most*8
	}
	now := r.rec
	h.mu.Unlock()
	switch {
	case now.Closed && !was.Closed:
		h.tell(ctx, r, fmt.Sprintf("The phones in this room did not get the last message, and hear nothing more until midnight: "+
			"the %d texts that one room may send in a day are used up. The administrator can raise room_per_day in the [sms] settings.", most))
	case now.Warned && !was.Warned:
		h.tell(ctx, r, fmt.Sprintf("%d of the %d texts that this room may send to its phones today are used.", now.Used, most))
	}
	return !now.Closed
}

// words are the text that a contact gets. It names the room where the contact did not hear that room last.
func (h *hall) words(r *hallRoom, s *seat, nick, body string) string {
	from := nick
	if l, ok := h.b.last(s.contact); !ok || l.Person != r.jid || h.b.c.Now().Sub(l.At) > roomNamed {
		from = strings.TrimSpace(from + " (" + r.label + ")")
	}
	if nick == "" {
		return strings.TrimSpace(from + " " + body)
	}
	if me, ok := strings.CutPrefix(body, "/me "); ok { // XEP-0245
		return "* " + from + " " + me
	}
	return from + ": " + body
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
	phones, used, day := len(r.seats)-1, r.rec.Used, r.rec.Day
	h.mu.Unlock()
	if person == (jid.JID{}) || person.Domain() == h.b.self.Domain() || st.HasChild(nsDelay, "delay") {
		return // a contact's seat, or somebody who has left
	}
	if s.contact == "" {
		if day != h.today() {
			used = 0
		}
		text := fmt.Sprintf("I send what is said here to %d phones as texts, and bring their answers. ", phones)
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
