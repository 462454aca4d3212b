package bridge

import (
	"context"
	"errors"
	"sort"
	"strings"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// seat is the gateway, or a contact, in a room.
type seat struct {
	real    jid.JID
	contact transports.ContactID // "" for the gateway
	wish    string               // the nick that it should have
	nick    string               // the one that it has, or tries to get
	id      string               // by which the room knows it for ever (XEP-0421), "" before it was inside
	inside  bool
	waits   bool      // an answer of the room is awaited
	tries   int       // that the room has refused in a row
	next    time.Time // when to try, and when not to wait for the answer any more
}

// Pauses between attempts to enter.
var seatPauses = []time.Duration{time.Second, 5 * time.Second, time.Minute, 10 * time.Minute}

// maxNick is how long a name in a room may be, in bytes: it stands before each text.
const maxNick = 200

// answerPause is how long a room may take to answer.
const answerPause = time.Minute

func (s *seat) refused(now time.Time, pause time.Duration) {
	s.inside, s.waits = false, false
	if pause == 0 {
		pause = seatPauses[min(s.tries, len(seatPauses)-1)]
	}
	s.tries++
	s.next = now.Add(pause)
}

// wanted are the seats that there should be, by room.
func (h *hall) wanted() map[jid.JID]*hallRoom {
	rooms := map[jid.JID]*hallRoom{}
	add := func(room jid.JID, label string) *hallRoom {
		r := rooms[room]
		if r == nil {
			r = &hallRoom{jid: room, label: label, seats: map[jid.JID]*seat{}}
			rooms[room] = r
			g := h.gateway()
			r.seats[g] = &seat{real: g, wish: h.b.info.Name, nick: h.b.info.Name}
		}
		return r
	}
	if h.c.Also != nil {
		for _, j := range h.c.Also() {
			if h.isRoom(j) {
				add(j.Bare(), j.Local())
			}
		}
	}
	if h.c.Groups == nil {
		return rooms
	}
	h.c.Groups.Rooms(func(g xmpp.GroupRoom) bool {
		room, err := jid.New(g.ID, h.c.Domain, "")
		if err != nil || !g.Texts {
			return true
		}
		r := add(room, g.Label)
		r.label = g.Label
		h.c.Groups.Members(g.ID, func(user jid.JID, _ string) bool {
			if user.Domain() == h.b.self.Domain() && user.Local() != "" {
				h.want(r, user)
			}
			return true
		})
		r.distinguish()
		return true
	})
	return rooms
}

// distinguish gives contacts of one name their ids beside it.
func (r *hallRoom) distinguish() {
	n := make(map[string]int, len(r.seats))
	for _, s := range r.seats {
		n[s.wish]++
	}
	for _, s := range r.seats {
		if n[s.wish] > 1 && s.contact != "" && s.wish != string(s.contact) {
			s.wish += " (" + string(s.contact) + ")"
		}
		s.nick = s.wish
	}
}

// want gives a contact a seat, unless it wants none.
func (h *hall) want(r *hallRoom, user jid.JID) {
	contact, err := h.b.contactOf(user)
	if err != nil {
		return
	}
	if h.c.Wanted != nil {
		var te *transports.Error
		if err := h.c.Wanted(contact); err != nil && !(errors.As(err, &te) && te.Temporary) {
			r.deaf++
			return
		}
	}
	real, err := user.WithResource(h.b.info.Type)
	if err != nil {
		return
	}
	nick := ""
	if h.c.Name != nil {
		nick = strings.TrimSpace(h.c.Name(contact))
	}
	at, err := r.jid.WithResource(nick)
	if nick = strings.TrimSpace(at.Resource()); nick == "" || err != nil || len(nick) > maxNick {
		nick = string(contact)
	}
	r.seats[real] = &seat{real: real, contact: contact, wish: nick}
}

// arrange brings the seats in line with the groups and does what is due; it
// returns how long nothing more is.
func (h *hall) arrange(ctx context.Context) time.Duration {
	now := h.b.c.Now()
	h.mu.Lock()
	look := h.dirty || now.Sub(h.fresh) >= roomRefresh
	h.dirty = false
	h.mu.Unlock()
	var send []*stanza.Stanza
	if look {
		wanted := h.wanted()
		h.mu.Lock()
		h.fresh = now
		send = h.settle(wanted)
		h.mu.Unlock()
	}
	h.mu.Lock()
	wait := roomRefresh
	for _, r := range h.rooms {
		for _, s := range r.seats {
			if s.inside {
				continue
			}
			if !now.Before(s.next) {
				s.waits, s.next = true, now.Add(answerPause)
				send = append(send, h.entry(r, s, now))
			}
			wait = min(wait, s.next.Sub(now))
		}
		st, later := h.show(r, now)
		if st != nil {
			send = append(send, st)
		}
		if later > 0 {
			wait = min(wait, later)
		}
	}
	h.mu.Unlock()
	sort.SliceStable(send, func(i, j int) bool { return send[i].From.Local() < send[j].From.Local() }) // the gateway first
	for _, st := range send {
		h.b.c.Host.Send(ctx, st, nil)
	}
	return max(wait, 10*time.Millisecond)
}

// settle makes the rooms those that are wanted; it returns the farewells. mu is held.
func (h *hall) settle(wanted map[jid.JID]*hallRoom) (send []*stanza.Stanza) {
	for name, r := range h.rooms {
		for real, s := range r.seats {
			w := wanted[name]
			if w == nil || w.seats[real] == nil || h.out[outKey{s.contact, name}] {
				send = append(send, farewell(r, s)...)
				delete(r.seats, real)
			}
		}
		if wanted[name] == nil {
			delete(h.rooms, name)
			h.stranger(r)
		}
	}
	for name, w := range wanted {
		r := h.rooms[name]
		if r == nil {
			r = &hallRoom{jid: name, seats: map[jid.JID]*seat{}, nicks: map[string]jid.JID{}, echo: map[string]time.Time{}, rec: h.readRecord(name)}
			h.rooms[name] = r
		}
		r.label, r.deaf = w.label, w.deaf
		for real, s := range w.seats {
			old := r.seats[real]
			switch {
			case h.out[outKey{s.contact, name}]:
			case old == nil:
				r.seats[real] = s
			case old.wish != s.wish:
				old.wish, old.nick, old.inside, old.next = s.wish, s.wish, false, time.Time{}
			}
		}
	}
	return send
}

// farewell takes somebody out of a room.
func farewell(r *hallRoom, s *seat) []*stanza.Stanza {
	if !s.inside && !s.waits {
		return nil
	}
	at, err := r.jid.WithResource(s.nick)
	if err != nil {
		return nil
	}
	return []*stanza.Stanza{stanza.New(stanza.Presence, "unavailable", "", s.real, at, "")}
}

func (h *hall) leaveAll(ctx context.Context) {
	var send []*stanza.Stanza
	h.mu.Lock()
	for _, r := range h.rooms {
		for _, s := range r.seats {
			send = append(send, farewell(r, s)...)
		}
	}
	clear(h.rooms)
	h.fresh = time.Time{} // texts that come now are for the rooms of the next start
	h.mu.Unlock()
	for _, st := range send {
		h.b.c.Host.Send(ctx, st, nil)
	}
	h.taken()
}

// entry is the presence that enters (XEP-0045 §7.2). The gateway asks for what
// was said since it last heard something. mu is held.
func (h *hall) entry(r *hallRoom, s *seat, now time.Time) *stanza.Stanza {
	j := muc.Join{History: muc.History{MaxStanzas: 0, MaxChars: -1, Within: -1}}
	inner := ""
	if s.contact == "" {
		r.forget()
		clear(r.nicks)
		if !r.rec.At.IsZero() {
			j.History.MaxStanzas, j.History.Since = -1, r.rec.At.Add(-2*time.Minute)
			if old := now.Add(-roomLate); j.History.Since.Before(old) {
				j.History.Since = old
			}
		}
		inner = h.face(r)
		r.told, r.when = inner, now
	}
	at, _ := r.jid.WithResource(s.nick) // ignored: want has tried it
	return stanza.New(stanza.Presence, "", "", s.real, at, inner+j.XML())
}

// face is how the gateway looks in a room. mu is held.
func (h *hall) face(r *hallRoom) string {
	h.b.mu.Lock()
	s := h.b.status
	h.b.mu.Unlock()
	if !s.Online && s.Show == "" {
		s.Show = "xa"
	}
	if r.rec.Closed && r.rec.Day == h.today() {
		s.Show, s.Text = "dnd", "The texts of today are used up, so phones hear nothing of this room until midnight."
	}
	var w xmlstream.Writer
	if s.Show != "" {
		w.Leaf("", "show", s.Show)
	}
	if s.Text != "" {
		w.Leaf("", "status", s.Text)
	}
	return w.String()
}

// show is the gateway's presence where it looks different now, nil where it does
// not; later is when that may be told. mu is held.
func (h *hall) show(r *hallRoom, now time.Time) (st *stanza.Stanza, later time.Duration) {
	s := r.seats[h.gateway()]
	if s == nil || !s.inside {
		return nil, 0
	}
	face := h.face(r)
	if face == r.told {
		return nil, 0
	}
	if wait := r.when.Add(roomStatus).Sub(now); wait > 0 {
		return nil, wait
	}
	r.told, r.when = face, now
	at, _ := r.jid.WithResource(s.nick) // ignored: it is inside by this nick
	return stanza.New(stanza.Presence, "", "", s.real, at, face), 0
}

// presence takes what a room says of its occupants. mu is held.
func (h *hall) presence(r *hallRoom, s *seat, st *stanza.Stanza) {
	now := h.b.c.Now()
	if st.Type == stanza.TypeError {
		h.turnedAway(r, s, st, now)
		return
	}
	u, _ := muc.ParseUser(st) // ignored: an empty one
	nick := strings.Clone(st.From.Resource())
	if s.contact == "" && nick != "" { // the gateway knows everybody
		switch {
		case st.Type == "unavailable":
			delete(r.nicks, nick)
		case st.Type == "" && u.Item != nil:
			r.nicks[nick] = u.Item.JID.Clone()
		}
	}
	if !u.Has(muc.StatusSelf) {
		return
	}
	switch {
	case st.Type == "":
		s.inside, s.waits, s.tries, s.nick, s.id = true, false, 0, nick, occupantID(r, st)
		if s.contact == "" && r.rec.At.IsZero() { // what is said from now on is for contacts
			r.rec.At = now
			h.keep(r)
		}
	case u.Has(muc.StatusNickChanged):
	case u.Has(muc.StatusKicked) && s.contact != "":
		h.b.log.Info("somebody has put a contact out of a room", "room", r.jid.String(), "net", masked(s.contact))
		h.setOut(s.contact, r.jid, true)
		s.refused(now, answerPause)
	default:
		if s.contact == "" && u.Has(muc.StatusNotAffiliated) {
			h.stranger(r)
		}
		h.b.log.Info("a room has put the gateway or a contact out", "room", r.jid.String(), "net", masked(s.contact), "status", u.Status)
		s.refused(now, 0)
		h.dirty = true
	}
}

// stranger notes that what is said in a room from now on is nothing for contacts. mu is held.
func (h *hall) stranger(r *hallRoom) {
	r.rec.At, r.rec.Last = time.Time{}, ""
	h.keep(r)
}

// turnedAway is the answer of a room that does not let somebody in. mu is held.
func (h *hall) turnedAway(r *hallRoom, s *seat, st *stanza.Stanza, now time.Time) {
	e, _ := stanza.ErrorOf(st) // ignored: then without a condition
	pause := time.Duration(0)
	switch {
	case e != nil && e.Condition == stanza.Conflict:
		s.nick = otherNick(s.nick, h.b.info.Name, string(s.contact))
		if s.tries < 3 {
			pause = 10 * time.Millisecond
		}
	case e != nil && e.Type != stanza.Wait && s.tries >= 1:
		pause = seatPauses[len(seatPauses)-1]
	}
	if s.tries == 1 { // once more is usual where groups have just changed
		h.b.log.Warn("a room lets the gateway or a contact not in", "room", r.jid.String(), "net", masked(s.contact), "err", e)
	}
	s.refused(now, pause)
}

// otherNick is what somebody is called whose nick is taken: Anna (SMS), then with the number.
func otherNick(nick, network, contact string) string {
	if strings.HasSuffix(nick, " ("+network+")") && contact != "" {
		return strings.TrimSuffix(nick, " ("+network+")") + " (" + contact + ")"
	}
	return nick + " (" + network + ")"
}

// setOut notes that a contact has left a room, or comes back. mu is held.
func (h *hall) setOut(c transports.ContactID, room jid.JID, out bool) {
	key := "out/" + string(c) + "\x00" + room.String()
	var row any
	if out {
		h.out[outKey{c, room}] = true
		row = outRecord{V: 1, At: h.b.c.Now()}
	} else {
		delete(h.out, outKey{c, room})
	}
	h.dirty = true
	h.b.c.Table.Later(map[string]any{key: row}, func(err error) {
		if err != nil {
			h.b.log.Error("wish about a room not stored", "net", masked(c), "err", err)
		}
	})
}

func (h *hall) today() string { return h.b.c.Now().Local().Format("2006-01-02") }
