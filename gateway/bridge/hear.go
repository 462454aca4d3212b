package bridge

import (
	"context"
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

// saidID is the room's id of a message (XEP-0359), "" where it keeps none of it.
func saidID(r *hallRoom, st *stanza.Stanza) string {
	for _, e := range st.Elements() {
		if e.Name.Space == nsStanzaID && e.Name.Local == "stanza-id" && e.Attr("by") == r.jid.String() {
			return strings.Clone(e.Attr("id"))
		}
	}
	return ""
}

// saidAt is when the room says that a message of its history was said (XEP-0203); what others say of that is not looked at.
func saidAt(r *hallRoom, st *stanza.Stanza) (at time.Time, past bool) {
	for _, e := range st.Elements() {
		if e.Name.Space == nsDelay && e.Name.Local == "delay" && e.Attr("from") == r.jid.String() {
			at, err := time.Parse(time.RFC3339, e.Attr("stamp"))
			return at, err == nil
		}
	}
	return at, false
}

// hear sends what somebody said to the contacts in the room.
func (h *hall) hear(ctx context.Context, r *hallRoom, st *stanza.Stanza) {
	nick := strings.Clone(st.From.Resource())
	body := spoken(st)
	if nick == "" || body == "" {
		return
	}
	at, past := saidAt(r, st)
	if past && h.b.c.Now().Sub(at) > roomLate {
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
		h.text(context.WithoutCancel(ctx), session, &saying{r: r, st: st, nick: nick, body: body, speaker: speaker, past: !r.ready}, targets)
	}
	h.mu.Lock()
	r.rec.At = h.b.c.Now()
	if id := saidID(r, st); id != "" {
		r.rec.Last = id
	}
	h.mu.Unlock()
	h.keep(r)
}

// occupantID is what the room calls somebody (XEP-0421).
func occupantID(st *stanza.Stanza) string {
	el, _ := st.Child(muc.SpaceOccupant, "occupant-id") // ignored: ""
	return strings.Clone(el.Attr("id"))
}

// audience is the seat of who speaks, if any, and the contacts that are to hear them, in order. The group is asked for
// each: seats may be behind it.
func (h *hall) audience(r *hallRoom, st *stanza.Stanza) (speaker *seat, targets []*seat) {
	nick, id := st.From.Resource(), occupantID(st)
	h.mu.Lock()
	real := r.nicks[nick]
	for _, s := range r.seats {
		switch {
		case s.id != "" && id != "" && s.id == id, (s.id == "" || id == "") && s.nick == nick && (real == (jid.JID{}) || real == s.real):
			speaker = s
		case s.contact != "" && !h.out[outKey{s.contact, r.jid}]:
			targets = append(targets, s)
		}
	}
	h.mu.Unlock()
	if speaker == nil && real.Domain() == h.b.self.Domain() && real.Local() != "" { // has just left
		c, _ := h.b.contactOf(real) // ignored: the gateway gave it the address
		speaker = &seat{real: real, contact: c}
	}
	kept := targets[:0]
	for _, s := range targets {
		if h.c.Groups == nil || h.c.Groups.Affiliation(r.jid.Local(), s.real.Bare()) != "" {
			kept = append(kept, s)
		}
	}
	sort.Slice(kept, func(i, j int) bool { return kept[i].contact < kept[j].contact })
	return speaker, kept
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

// sent says whether a contact has got a message of the past.
func (h *hall) sent(m *saying, to transports.ContactID) bool {
	key := m.key(to)
	if key == "" || !m.past && m.speaker == nil {
		return false
	}
	_, found, err := h.b.c.Outbox.Find(key)
	return found && err == nil
}

// text sends one message to the contacts, all or none as far as the bound of the day goes.
func (h *hall) text(ctx context.Context, session transports.Session, m *saying, all []*seat) {
	r, nick, person := m.r, m.nick, m.speaker == nil
	if !person && m.speaker.contact == "" {
		nick = "" // the member's name is in the body
	}
	targets, bodies, costs, cost := []*seat{}, []string{}, []int{}, 0
	for _, s := range all {
		if h.sent(m, s.contact) {
			continue
		}
		body, c := h.words(r, s, nick, m.body), 0
		if h.c.Cost != nil {
			c = h.c.Cost(body)
		}
		targets, bodies, costs, cost = append(targets, s), append(bodies, body), append(costs, c), cost+c
	}
	if left, ok := h.afford(ctx, r, cost, len(targets)); !ok {
		if person && left > 0 {
			h.whisper(ctx, r, nick, fmt.Sprintf("Your message did not go to the %d phones in this room: it needs %d texts, and %d of the %d of today are left. Send a shorter one.",
				len(targets), cost, left, h.c.PerDay))
		}
		return
	}
	errs := make([]error, len(targets))
	var wg sync.WaitGroup // waited for below
	lanes := make(chan struct{}, 16)
	for i, s := range targets {
		lanes <- struct{}{}
		wg.Go(func() {
			defer func() { <-lanes }()
			_, errs[i] = session.Send(ctx, transports.Message{
				Sender: r.jid.String(), Room: transports.RoomID(r.jid.String()), Origin: h.b.originOf(m.st.From, m.st.ID, s.real), To: s.contact, Body: bodies[i],
				Key: m.key(s.contact),
			})
		})
	}
	wg.Wait()
	for i, s := range targets {
		if errs[i] == nil {
			h.b.setLast(s.contact, correspondent{Person: r.jid, Addr: s.real.Bare()})
		} else {
			r.rec.Used -= costs[i]
		}
	}
	h.missed(ctx, r, nick, errs, person)
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
