package muc

import (
	"context"
	"errors"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// presence is what somebody sends to a room or one of its nicks.
func (m *Module) presence(ctx context.Context, st *stanza.Stanza) error {
	switch st.Type {
	case stanza.TypeError:
		m.ghost(ctx, st)
		return nil
	case "unavailable", "probe":
		r, err := m.enter(st.To.Bare())
		if err != nil || r == nil {
			return err
		}
		defer r.exit(ctx)
		if s := r.seat(st.From); s != nil {
			if st.Type == "probe" {
				r.probed(s, st.To.Resource())
			} else {
				r.leave(s, clean(st), true, nil)
			}
		}
		return nil
	case "":
	default:
		return nil // nobody subscribes to a room
	}
	join, wants := muc.ParseJoin(st)
	if !wants {
		return m.update(ctx, st)
	}
	err := error(stanza.NewError(stanza.JIDMalformed, "Choose a nickname: enter the room as room@service/nickname."))
	if st.To.Resource() != "" {
		err = m.join(ctx, st, join)
	}
	if e := (*stanza.Error)(nil); errors.As(err, &e) && e.Err == nil {
		// Not left to the router: clients know the answer to a join by the
		// element that XEP-0045 §7.2 shows in it.
		m.host.Send(ctx, st.ErrorReply(e).WithInner("<x xmlns='"+muc.Space+"'/>"+e.XML()), nil)
		return nil
	}
	return err
}

// probed sends an occupant the presence of another (RFC 6121 §4.3).
func (r *room) probed(s *seat, nick string) {
	if o := r.nicks[nick]; o != nil {
		r.send(o.available().xml(r.sees(s) || o == s.occ).WithTo(s.real))
	}
}

// update is presence without a wish to enter: a new status or nick of an
// occupant.
func (m *Module) update(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.enter(st.To.Bare())
	if err != nil {
		return err
	}
	outside := stanza.NewError(stanza.NotAcceptable, "You are not in this room; enter it first.")
	if r == nil {
		return outside
	}
	defer r.exit(ctx)
	s := r.seat(st.From)
	switch nick := st.To.Resource(); {
	case s == nil:
		return outside
	case nick == "" || nick == s.occ.nick:
		return r.refresh(s, st)
	}
	return r.rename(s, st)
}

// refresh shows an occupant's new presence (XEP-0045 §7.7).
func (r *room) refresh(s *seat, st *stanza.Stanza) error {
	now := clean(st)
	if s.occ.face == s && s.presence.Inner() == now.Inner() && s.presence.Lang == now.Lang {
		return nil // nothing new
	}
	if err := s.hurry(r.m.conf.Now(), 1); err != nil {
		return err
	}
	s.presence, s.occ.face = now, s
	r.announceBoth(s.occ.available())
	return nil
}

// rename gives a resource another nick (XEP-0045 §7.6).
func (r *room) rename(s *seat, st *stanza.Stanza) error {
	nick, o := st.To.Resource(), s.occ
	if err := r.mayTake(nick, s.real.Bare()); err != nil {
		return err
	}
	if err := s.hurry(r.m.conf.Now(), nickCost); err != nil {
		return err
	}
	gone := o.unavailable(nil, muc.StatusNickChanged)
	gone.nick, gone.role, gone.real = nick, o.role, s.real
	shared := o.n > 1
	if shared { // the others keep the nick: only this resource sees it change
		r.announceOwn(gone, s.real)
	} else {
		r.announceBoth(gone)
	}
	face := o.face
	r.stand(s)
	if shared && face == s {
		r.announceBoth(o.available())
	}
	s.presence = clean(st)
	n := r.sit(s, nick)
	if n.n == 1 {
		n.role = o.role
	}
	r.announceBoth(n.available())
	return nil
}

// mayTake reports whether a person may use a nick: not in use by another
// person, not registered by one, and the own one where nicks are locked.
func (r *room) mayTake(nick string, bare jid.JID) error {
	if strings.TrimSpace(nick) == "" {
		return stanza.NewError(stanza.NotAcceptable, "A nickname must be visible; choose another one.")
	}
	if r.conf.LockNicks {
		if own := r.users[bare].Nick; own != "" && own != nick {
			return stanza.NewError(stanza.NotAcceptable, "In this room you must use the nickname you have registered: "+own)
		}
	}
	if o := r.nicks[nick]; o != nil && o.bare != bare {
		return stanza.NewError(stanza.Conflict, "Somebody else uses this nickname; choose another one.")
	}
	if who, ok := r.registered(nick); ok && who != bare {
		return stanza.NewError(stanza.Conflict, "This nickname is registered by somebody else; choose another one.")
	}
	return nil
}

// registered finds whose nick it is.
func (r *room) registered(nick string) (jid.JID, bool) {
	for j, u := range r.users {
		if u.Nick == nick {
			return j, true
		}
	}
	return jid.JID{}, false
}

// refusal checks who may enter, in the order of XEP-0045 §7.2.
func (r *room) refusal(real jid.JID, nick string, join muc.Join) error {
	bare := real.Bare()
	aff := r.affiliation(bare)
	switch {
	case r.locked() && aff != muc.Owner:
		return stanza.NewError(stanza.ItemNotFound, "This room is not open yet; its owner is setting it up.")
	case aff == muc.Outcast:
		return stanza.NewError(stanza.Forbidden, "You are banned from this room.")
	case r.conf.MembersOnly && aff < muc.Member:
		return stanza.NewError(stanza.RegistrationRequired, "Only members may enter this room; ask for an invitation.")
	case r.conf.Password != "" && join.Password != r.conf.Password:
		return stanza.NewError(stanza.NotAuthorized, "This room needs its password to enter.")
	}
	if err := r.mayTake(nick, bare); err != nil {
		return err
	}
	if len(r.seats) >= r.m.conf.Seats {
		return stanza.NewError(stanza.ServiceUnavailable, "This room is full; try again later.")
	}
	if limit := r.conf.MaxUsers; limit > 0 && len(r.nicks) >= limit && r.nicks[nick] == nil && aff < muc.Admin {
		return stanza.NewError(stanza.ServiceUnavailable, "This room is full; try again later.")
	}
	return nil
}

var errAgain = errors.New("the room has moved on")

// join is XEP-0045 §7.2.
func (m *Module) join(ctx context.Context, st *stanza.Stanza, join muc.Join) error {
	if err := m.mayJoin(st.From.Bare()); err != nil {
		return err
	}
	past := past{room: st.To.Bare()}
	for try := 0; ; try++ {
		err := m.tryJoin(ctx, st, join, &past, try == 4)
		if err == errAgain {
			err = m.read(&past)
			if err == nil {
				continue
			}
		}
		return err
	}
}

// tryJoin is errAgain when the room has said something that past lacks: it is
// read without the lock. At the last try that is left out.
func (m *Module) tryJoin(ctx context.Context, st *stanza.Stanza, join muc.Join, past *past, last bool) error {
	r, err := m.enter(past.room)
	created := false
	if err == nil && r == nil {
		r, err = m.create(past.room, st.From)
		created = true
	}
	switch {
	case err != nil:
		return err
	case r == nil:
		return errAgain // made by somebody else in this very moment
	}
	defer r.exit(ctx)
	if r.seat(st.From) == nil {
		if err := r.refusal(st.From, st.To.Resource(), join); err != nil {
			return err
		}
	}
	if r.last != past.last && !last {
		past.last = r.last
		return errAgain
	}
	return r.enterWith(st, join, past, created)
}

// enterWith seats somebody who may enter; past is the room's up to its last
// message, or nearly.
func (r *room) enterWith(st *stanza.Stanza, join muc.Join, past *past, created bool) error {
	s, nick := r.seat(st.From), st.To.Resource()
	again := s != nil // a client that has lost its state enters once more
	switch {
	case again && s.occ.nick != nick:
		return r.rename(s, st)
	case again:
		s.presence, s.occ.face = clean(st), s
	default:
		s = &seat{real: st.From.Clone(), presence: clean(st)}
		if !r.m.track(s.real, r) {
			return stanza.NewError(stanza.ResourceConstraint, "You are in too many rooms; leave one first.")
		}
		r.sit(s, nick)
		r.seated(s)
	}
	o := s.occ
	if r.photo != "" {
		r.send(stanza.New(stanza.Presence, "", "", r.jid, s.real, photoXML(r.photo)))
	}
	full := r.sees(s)
	seen := map[*occupant]bool{o: true}
	for _, x := range r.seats {
		if !seen[x.occ] {
			seen[x.occ] = true
			r.send(x.occ.available().xml(full).WithTo(s.real))
		}
	}
	var own []int
	if r.conf.Anyone {
		own = append(own, muc.StatusNonAnonymous)
	}
	if r.conf.Logging {
		own = append(own, muc.StatusLogged)
	}
	if created {
		own = append(own, muc.StatusCreated)
	}
	n := o.available()
	r.announce(n)
	for _, x := range r.seats {
		if x.occ == o && x != s {
			r.announceOwn(n, x.real)
		}
	}
	r.announceOwn(n, s.real, own...)
	for _, line := range past.wanted(join.History, r.conf.History, r.m.conf.Now()) {
		r.send(line.WithTo(s.real))
	}
	r.send(r.subjectMessage().WithTo(s.real))
	return nil
}
