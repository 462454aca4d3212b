package muc

import (
	"context"
	"slices"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// archives reports that rooms may have an archive.
func (m *Module) archives() bool { return m.conf.Archive != nil && !m.conf.ArchiveOff }

func (r *room) archives() bool { return r.m.archives() && !r.conf.NoArchive }

// floor is where the archive of a room that is made now begins.
func (m *Module) floor() archive.ID {
	if m.conf.Archive == nil {
		return 0
	}
	return m.conf.Archive.Floor()
}

// archive puts a message into the room's archive, with its author's address
// for those who may see it (XEP-0313 §6.1.2).
func (r *room) archive(st *stanza.Stanza, by *seat, done func(error)) archive.ID {
	owner := archive.Owner{JID: r.jid}
	if by != nil {
		u := muc.User{Item: &muc.Item{Affiliation: by.occ.aff, Role: by.occ.role, JID: by.real}}
		st = st.WithAppended(u.XML())
		owner.With = by.real
	}
	return r.m.conf.Archive.Put(st, done, owner)
}

// sweepArchive lets go what rooms that ended with the last run have left.
func (m *Module) sweepArchive() error {
	if m.conf.Archive == nil {
		return nil
	}
	return m.conf.Archive.Owners(func(owner jid.JID) bool {
		if e := m.index[owner]; owner.Domain() == m.conf.Domain && owner.Local() != "" && (e == nil || e.gone != nil) {
			m.conf.Archive.Forget(owner)
		}
		return true
	})
}

// readable is what somebody may read of a room's archive.
type readable struct {
	floor archive.ID
	open  bool    // real addresses too
	who   jid.JID // whose the nickname is that was asked for, zero for nobody's
}

// mayRead checks who asks: anybody who may enter the room now (XEP-0313
// §6.1.2). A password shows only by being inside.
func (m *Module) mayRead(ctx context.Context, st *stanza.Stanza, nick string) (*readable, error) {
	r, err := m.need(st.To)
	if err != nil {
		return nil, err
	}
	defer r.exit(ctx)
	a := r.asker(st.From)
	switch {
	case r.locked() && a.aff != muc.Owner:
		return nil, noRoom()
	case a.aff == muc.Outcast:
		return nil, forbidden("You are banned from this room.")
	case r.conf.MembersOnly && a.aff < muc.Member:
		return nil, forbidden("Only members may read what is said in this room; ask for an invitation.")
	case r.conf.Password != "" && a.occ == nil && a.aff < muc.Admin:
		return nil, forbidden("This room needs a password; enter it before you read what was said.")
	case !r.archives():
		return nil, stanza.NewError(stanza.ServiceUnavailable, "This room keeps no archive.")
	}
	may := &readable{floor: r.floor, open: r.conf.Anyone || a.role == muc.Moderator || a.aff >= muc.Admin}
	if o := r.nicks[nick]; o != nil {
		may.who = o.bare
	} else if nick != "" {
		may.who, _ = r.registered(nick)
	}
	return may, nil
}

// archiveForm says which fields a query may have (XEP-0313 §4.1.5).
func (m *Module) archiveForm(ctx context.Context, st *stanza.Stanza) error {
	_, err := m.mayRead(ctx, st, "")
	if err == nil {
		m.host.Send(ctx, st.Reply(archive.Form()), nil)
	}
	return err
}

// archiveMetadata says where the archive begins and ends (XEP-0313 §5).
func (m *Module) archiveMetadata(ctx context.Context, st *stanza.Stanza) error {
	may, err := m.mayRead(ctx, st, "")
	if err != nil {
		return err
	}
	answer, err := m.conf.Archive.Metadata(st.To, may.floor)
	if err == nil {
		m.host.Send(ctx, st.Reply(answer), nil)
	}
	return err
}

// archiveQuery answers with a page of the archive (XEP-0313 §4).
func (m *Module) archiveQuery(ctx context.Context, st *stanza.Stanza) error {
	el, _ := st.Child(archive.Space, "query")
	q, bad := archive.ParseQuery(&el)
	nick := ""
	if q.With.Bare() == st.To {
		nick = q.With.Resource()
	}
	may, err := m.mayRead(ctx, st, nick)
	switch {
	case err != nil:
		return err
	case el.Attr("node") != "": // XEP-0442
		return stanza.NewError(stanza.ItemNotFound, "The archive of a room has no nodes.")
	case bad != nil:
		return bad
	}
	// XEP-0313 §4.1.1: an address only from who may know it. A nickname stands
	// for the person whose it is now.
	switch q.Floor = may.floor; {
	case q.With.IsZero():
	case nick != "" && may.who.IsZero():
		q.With, q.IDs = jid.JID{}, []string{} // nobody's: nothing
	case nick != "":
		q.With = may.who
	case !may.open:
		return forbidden("In this room only moderators may look for somebody's address; look for a nickname.")
	}
	var show archive.Show
	if !may.open {
		show = anonymous
	}
	pace := m.pace(st.From)
	answer, err := m.conf.Archive.AnswerQuery(q, st.To, st.From, show, func(x *stanza.Stanza) {
		m.host.Send(ctx, x, nil)
		pace()
	})
	if err == nil {
		m.host.Send(ctx, st.Reply(answer), nil)
	}
	return err
}

// pace waits for a client that gets much, on its own reader: many queries in a
// row must not overrun its queue. Who is elsewhere is not waited for.
func (m *Module) pace(real jid.JID) func() {
	for _, s := range m.host.Sessions(real.Bare()) {
		if p, ok := s.(xmpp.Paced); ok && s.JID() == real {
			return p.Pace
		}
	}
	return func() {}
}

// anonymous is a message without its author's address.
func anonymous(st *stanza.Stanza) *stanza.Stanza {
	return st.Without(func(e *stanza.Element) bool {
		return e.Name == stanza.Name{Space: muc.SpaceUser, Local: "x"}
	})
}

// author is the bare JID of who has said an archived message, zero for the room.
func author(st *stanza.Stanza) jid.JID {
	els := st.Elements()
	for _, e := range slices.Backward(els) { // the last one is the room's
		if e.Name == (stanza.Name{Space: muc.SpaceUser, Local: "x"}) {
			if it := e.Child("", "item"); it != nil {
				j, _ := jid.Parse(it.Attr("jid")) // ignored: nobody
				return j.Bare()
			}
		}
	}
	return jid.JID{}
}
