package bridge

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/transports"
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
		if e, ok := stanza.ErrorOf(st); ok && (e.Condition == stanza.NotAcceptable || e.Condition == stanza.ItemNotFound && st.From.IsBare()) { // not inside
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

// said takes what a room tells the gateway: what was said before it came, and
// what is said now. Rooms, and what is in rec, past, whole, ready and echo of each, are this goroutine's from here on, but for a look at
// rec under mu.
func (h *hall) said(ctx context.Context, r *hallRoom, st *stanza.Stanza) {
	if r.ready {
		h.hear(ctx, r, st)
		return
	}
	if st.HasChild("", "subject") && !st.HasChild("", "body") { // the end of the history (XEP-0045 §7.2.15)
		r.whole = true
	}
	r.past = append(r.past, st)
}

// remember deals with what was said before the gateway came, as far as that is not known. It waits until all that the
// room has said so far is handled: then it is known who the contacts are there.
func (h *hall) remember(ctx context.Context) {
	for _, r := range h.rooms {
		if !r.whole || r.ready {
			continue
		}
		past := r.past
		r.past = nil
		for i, old := range past {
			if r.rec.Last != "" && saidID(r, old) == r.rec.Last {
				past = past[i+1:]
				break
			}
		}
		for _, old := range past {
			h.hear(ctx, r, old)
		}
		r.ready = true
	}
}

// own is what the room, which is in the attribute by, says of a message in an element, "" for nothing. What others say there is
// not looked at.
func (r *hallRoom) own(st *stanza.Stanza, space, local, by, attr string) string {
	for _, e := range st.Elements() {
		if e.Name.Space == space && e.Name.Local == local && (by == "" || e.Attr(by) == r.jid.String()) {
			return strings.Clone(e.Attr(attr))
		}
	}
	return ""
}

// saidID is the room's id of a message (XEP-0359), "" where it keeps none of it.
func saidID(r *hallRoom, st *stanza.Stanza) string {
	return r.own(st, nsStanzaID, "stanza-id", "by", "id")
}

// occupantID is what the room calls somebody for ever (XEP-0421); only the room can say it.
func occupantID(r *hallRoom, st *stanza.Stanza) string {
	return r.own(st, muc.SpaceOccupant, "occupant-id", "", "id")
}

// hear sends what somebody said to the contacts in the room.
func (h *hall) hear(ctx context.Context, r *hallRoom, st *stanza.Stanza) {
	nick := strings.Clone(st.From.Resource())
	body := spoken(st)
	if nick == "" || body == "" {
		return
	}
	at, err := time.Parse(time.RFC3339, r.own(st, nsDelay, "delay", "from", "stamp")) // XEP-0203
	if err == nil && h.b.c.Now().Sub(at) > roomLate {
		return
	}
	session := h.b.current(ctx)
	if session == nil {
		return // the history has it at the next start
	}
	speaker, targets := h.audience(r, st)
	switch {
	case speaker != nil && speaker.contact == "" && !st.HasChild(nsRoom, hintGuest): // the gateway itself
		return
	case speaker != nil && speaker.contact != "" && st.HasChild(nsRoom, hintQuiet):
	case len(targets) == 0:
	case isEncrypted(st):
		if speaker == nil {
			h.whisper(ctx, r, nick, "The phones in this room cannot read encrypted messages and did not get yours. Switch encryption off for this room to reach them.")
		}
	case speaker != nil && h.echoes(r, nick, body):
	default:
		h.text(context.WithoutCancel(ctx), session, &saying{r: r, st: st, nick: nick, body: body, speaker: speaker, past: !r.ready, targets: targets})
	}
	h.mu.Lock()
	r.rec.At = h.b.c.Now()
	if id := saidID(r, st); id != "" {
		r.rec.Last = id
	}
	h.mu.Unlock()
	h.keep(r)
}

// audience is the seat of who speaks, if any, and the contacts that are to hear them, in order. The group is asked for
// each: seats may be behind it.
func (h *hall) audience(r *hallRoom, st *stanza.Stanza) (speaker *seat, targets []*seat) {
	nick, id := st.From.Resource(), occupantID(r, st)
	h.mu.Lock()
	for _, s := range r.seats {
		switch {
		case s.id == id && (id != "" || s.nick == nick):
			speaker = s
		case s.contact == "" || h.out[outKey{s.contact, r.jid}]:
		case h.c.Groups == nil || h.c.Groups.Affiliation(r.jid.Local(), s.real.Bare()) != "":
			targets = append(targets, s)
		}
	}
	if real := r.nicks[nick]; speaker == nil && real.Domain() == h.b.self.Domain() {
		speaker = &seat{contact: transports.ContactID(real.Local())} // has just left
	}
	h.mu.Unlock()
	sort.Slice(targets, func(i, j int) bool { return targets[i].contact < targets[j].contact })
	return speaker, targets
}

// echoes keeps two phones that answer by themselves from talking for ever: the same words go out once in a while.
func (h *hall) echoes(r *hallRoom, nick, body string) bool {
	now := h.b.c.Now()
	key := nick + "\x00" + body
	if at, known := r.echo[key]; known && now.Sub(at) < roomEcho {
		return true
	}
	if len(r.echo) >= 1000 {
		clear(r.echo)
	}
	r.echo[key] = now
	return false
}

// saying is a message to a room that contacts hear.
type saying struct {
	r       *hallRoom
	st      *stanza.Stanza
	nick    string
	body    string
	speaker *seat // nil for a person
	past    bool  // it was said before the gateway came
	targets []*seat
}

// key makes a contact get a message once, "" where the room gives no id. A text that is said twice, after a crash, is one.
func (m *saying) key(to transports.ContactID) string {
	id := saidID(m.r, m.st)
	if m.speaker != nil && m.st.ID != "" {
		id = "ref\x00" + m.st.ID
	}
	if id == "" {
		return ""
	}
	return strings.Join([]string{"room", m.r.jid.String(), id, string(to)}, "\x00")
}

// textTo is what one contact gets of it.
type textTo struct {
	s    *seat
	body string
	cost int
	err  error
}

// texts are those of the contacts that have not got the message.
func (h *hall) texts(m *saying, nick string) (list []textTo, cost int) {
	for _, s := range m.targets {
		if key := m.key(s.contact); key != "" && (m.past || m.speaker != nil) {
			if _, found, err := h.b.c.Outbox.Find(key); found && err == nil {
				continue
			}
		}
		x := textTo{s: s, body: h.words(m.r, s, nick, m.body)}
		if h.c.Cost != nil {
			x.cost = h.c.Cost(x.body)
		}
		list, cost = append(list, x), cost+x.cost
	}
	return list, cost
}

// text sends one message to the contacts, all or none as far as the bound of the day goes.
func (h *hall) text(ctx context.Context, session transports.Session, m *saying) {
	r, nick, person := m.r, m.nick, m.speaker == nil
	if !person && m.speaker.contact == "" {
		nick = "" // the member's name is in the body
	}
	list, cost := h.texts(m, nick)
	if left, ok := h.afford(ctx, r, cost, len(list)); !ok {
		if person && left > 0 {
			h.whisper(ctx, r, nick, fmt.Sprintf("Your message did not go to the %d phones in this room: it needs %d texts, and %d of the %d of today are left. Send a shorter one.",
				len(list), cost, left, h.c.PerDay))
		}
		return
	}
	var wg sync.WaitGroup // waited for below
	lanes := make(chan struct{}, 16)
	for i := range list {
		x := &list[i]
		lanes <- struct{}{}
		wg.Go(func() {
			_, x.err = session.Send(ctx, transports.Message{
				Sender: r.jid.String(), Room: transports.RoomID(r.jid.String()), Origin: h.b.originOf(m.st.From, m.st.ID, x.s.real), To: x.s.contact, Body: x.body,
				Key: m.key(x.s.contact),
			})
			<-lanes
		})
	}
	wg.Wait()
	for _, x := range list {
		if x.err == nil {
			h.b.setLast(x.s.contact, correspondent{Person: r.jid, Addr: x.s.real.Bare()})
		} else {
			r.rec.Used -= x.cost
		}
	}
	h.missed(ctx, r, nick, list, person)
}

// afford counts what a message costs, unless the day's bound has no room for
// it: then left is what remains, or nothing where that is not even enough for the shortest message to as many contacts; of that the
// room is told, once.
func (h *hall) afford(ctx context.Context, r *hallRoom, cost, least int) (left int, ok bool) {
	h.mu.Lock()
	if day := h.today(); r.rec.Day != day {
		r.rec.Day, r.rec.Used, r.rec.Warned, r.rec.Closed = day, 0, false, false
	}
	most, was := h.c.PerDay, r.rec
	switch {
	case was.Closed:
	case most > 0 && was.Used+cost > most && was.Used+least <= most:
		left = most - was.Used
	case most > 0 && was.Used+cost > most:
		r.rec.Closed = true
	default:
		ok = true
		r.rec.Used += cost
		r.rec.Warned = was.Warned || most > 0 && r.rec.Used*10 >= most*8
	}
	now := r.rec
	h.mu.Unlock()
	switch {
	case now.Closed && !was.Closed:
		h.tell(ctx, r, fmt.Sprintf("The phones in this room did not get the last message, and hear nothing more until midnight: it needs %d texts, and "+
			"%d of the %d that one room may send in a day are used. The administrator can raise room_per_day in the [sms] settings.", cost, now.Used, most))
	case now.Warned && !was.Warned:
		h.tell(ctx, r, fmt.Sprintf("%d of the %d texts that this room may send to its phones today are used.", now.Used, most))
	}
	return left, ok
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
