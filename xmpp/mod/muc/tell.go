package muc

import (
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// telling is why something is told.
type telling struct {
	actor  *occupant // nil: the room itself
	by     jid.JID   // the actor's bare JID
	reason string
}

// note is one presence about an occupant, as it will be sent in up to three
// versions: to the occupant, to those who may see addresses, to the others.
type note struct {
	o       *occupant
	from    jid.JID // zero: o.at
	typ     string
	body    *stanza.Stanza // what the client said; nil for nothing
	aff     muc.Affiliation
	role    muc.Role
	real    jid.JID // whose address is shown
	nick    string  // the new one (status 303)
	why     telling
	destroy *muc.Destroy
	codes   []int
}

// available is the occupant's present presence.
func (o *occupant) available(codes ...int) *note {
	return &note{o: o, body: o.face.presence, aff: o.aff, role: o.role, real: o.face.real, codes: codes}
}

// unavailable is the occupant's end.
func (o *occupant) unavailable(body *stanza.Stanza, codes ...int) *note {
	return &note{o: o, typ: "unavailable", body: body, aff: o.aff, role: muc.NoRole, real: o.face.real, codes: codes}
}

// xml is the note without an address; own codes go to the occupant only.
func (n *note) xml(full bool, own ...int) *stanza.Stanza {
	it := muc.Item{Affiliation: n.aff, Role: n.role, Nick: n.nick, Reason: n.why.reason}
	if full {
		it.JID = n.real
	}
	if n.why.actor != nil {
		it.ActorNick = n.why.actor.nick
	}
	if full {
		it.ActorJID = n.why.by
	}
	u := muc.User{Item: &it, Destroy: n.destroy, Status: n.codes}
	if len(own) > 0 {
		u.Status = append(append(make([]int, 0, len(own)+len(n.codes)), own...), n.codes...)
	}
	from := n.from
	if from.IsZero() {
		from = n.o.at
	}
	add := u.XML() + n.o.id
	if n.body == nil {
		return stanza.New(stanza.Presence, n.typ, "", from, jid.JID{}, add)
	}
	return n.body.WithType(n.typ).WithFrom(from).WithTo(jid.JID{}).WithAppended(add)
}

// announce sends the note to everybody but the occupant's own seats.
func (r *room) announce(n *note) {
	var full, plain []jid.JID
	for _, s := range r.seats {
		switch {
		case s.occ == n.o:
		case r.sees(s):
			full = append(full, s.real)
		default:
			plain = append(plain, s.real)
		}
	}
	if len(full) > 0 {
		r.sendAll(n.xml(true), full)
	}
	if len(plain) > 0 {
		r.sendAll(n.xml(false), plain)
	}
}

// announceOwn sends the note to one of the occupant's own seats (status 110).
func (r *room) announceOwn(n *note, to jid.JID, own ...int) {
	codes := append([]int{muc.StatusSelf}, own...)
	r.send(n.xml(true, codes...).WithTo(to))
}

// announceBoth tells the others, then each of the occupant's seats.
func (r *room) announceBoth(n *note) {
	r.announce(n)
	for _, s := range r.seats {
		if s.occ == n.o {
			r.announceOwn(n, s.real)
		}
	}
}

// leave takes one seat out. body is what the client said last, alive whether
// it can still hear.
func (r *room) leave(s *seat, body *stanza.Stanza, alive bool, codes []int) {
	o := s.occ
	face := o.face
	n := o.unavailable(body, codes...)
	n.real = s.real
	r.unseated(s)
	r.stand(s)
	if o.n == 0 {
		r.announce(n)
	} else if face == s {
		r.announceBoth(o.available())
	}
	if alive {
		r.announceOwn(n, s.real)
	}
	if r.creator == s.real { // XEP-0045 §10.1.1: nobody is left to configure it
		r.abandon()
	}
}

// abandon empties a room that will never be configured.
func (r *room) abandon() {
	for len(r.seats) > 0 {
		r.remove(r.seats[0].occ, &muc.Destroy{}, telling{})
	}
}

// removal is an occupant who was taken out, for those who are told later.
type removal struct {
	n     *note
	seats []jid.JID
}

// evict takes an occupant out with all seats, tells them, and returns what the
// others are to be told.
func (r *room) evict(o *occupant, n *note) removal {
	out := removal{n: n}
	for _, s := range append([]*seat(nil), r.seats...) {
		if s.occ == o {
			r.unseated(s)
			r.stand(s)
			out.seats = append(out.seats, s.real)
			r.announceOwn(n, s.real)
		}
	}
	return out
}

// remove takes an occupant out because the room ends.
func (r *room) remove(o *occupant, d *muc.Destroy, why telling) {
	n := o.unavailable(nil)
	n.aff, n.destroy, n.why = muc.NoAffiliation, d, why
	r.evict(o, n)
}

// shutdown tells everybody that the service stops.
func (r *room) shutdown() {
	for _, s := range r.seats {
		r.announceOwn(s.occ.unavailable(nil), s.real, muc.StatusShutdown)
	}
}

// status tells all occupants what has changed about the room.
func (r *room) status(codes ...int) {
	if len(codes) == 0 {
		return
	}
	u := muc.User{Status: codes}
	r.sendAll(stanza.New(stanza.Message, "groupchat", "", r.jid, jid.JID{}, u.XML()), r.targets)
}
