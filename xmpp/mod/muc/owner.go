package muc

import (
	"context"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

func (r *room) needOwner(real jid.JID) error {
	if r.affiliation(real.Bare()) != muc.Owner {
		return forbidden("Only owners of the room may do that.")
	}
	return nil
}

// ownerGet shows the configuration (XEP-0045 §10.2).
func (m *Module) ownerGet(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	if err := r.needOwner(st.From); err != nil {
		return err
	}
	r.send(st.Reply("<query xmlns='" + muc.SpaceOwner + "'>" + r.form().XML() + "</query>"))
	return nil
}

// ownerSet configures or destroys the room (XEP-0045 §10.1, §10.2, §10.9).
func (m *Module) ownerSet(ctx context.Context, st *stanza.Stanza) error {
	q, _ := st.Child(muc.SpaceOwner, "query")
	if el := q.Child("", "destroy"); el != nil {
		d := muc.ParseDestroy(el)
		return m.change(ctx, st.To, func(r *room) (plan, error) {
			if err := r.needOwner(st.From); err != nil {
				return plan{}, err
			}
			if r.group != nil {
				return plan{}, r.followsGroup()
			}
			return r.planDestroy(&d, func() { r.send(st.Reply("")) }), nil
		})
	}
	f, err := form.Of(&q)
	if err != nil || f == nil || f.Type != form.Submit && f.Type != form.Cancel {
		return stanza.NewError(stanza.BadRequest, "Send the room's configuration form back, filled in or cancelled.")
	}
	return m.change(ctx, st.To, func(r *room) (plan, error) {
		if err := r.needOwner(st.From); err != nil {
			return plan{}, err
		}
		answer := func() { r.send(st.Reply("")) }
		switch {
		case f.Type == form.Cancel && r.locked(): // XEP-0045 §10.1.3
			return r.planDestroy(&muc.Destroy{}, answer), nil
		case f.Type == form.Cancel:
			return plan{apply: answer}, nil
		}
		conf, users, err := r.configured(f)
		if err != nil {
			return plan{}, err
		}
		return r.planConfigure(conf, users, r.asker(st.From), answer), nil
	})
}

// planConfigure gives the room another configuration.
func (r *room) planConfigure(conf settings, users map[jid.JID]member, by asker, answer func()) plan {
	p := plan{rows: rows{}}
	switch {
	case conf.Persistent && (!r.conf.Persistent || r.locked()):
		for j, u := range r.users {
			p.rows.put(tableUsers, userKey(r.jid, j), u.row())
		}
		fallthrough
	case conf.Persistent:
		p.rows.put(tableRooms, r.jid.String(), r.record(conf))
		p.rows.put(tableRooms, subjectKey(r.jid), r.subjectRow())
		for j, u := range users {
			p.rows.put(tableUsers, userKey(r.jid, j), u.row())
		}
	case r.conf.Persistent:
		p.rows = r.erased(nil)
	}
	p.apply = func() {
		old, fresh := r.conf, r.locked()
		r.conf, r.creator = conf, jid.JID{}
		if conf.Persistent && !old.Persistent && r.subject.Inner != "" {
			// It may have come while the rest went to disk.
			r.m.table.Later(map[string]any{subjectKey(r.jid): r.subjectRow()}, nil)
		}
		r.enlist()
		d := &delta{users: users, roles: make(map[*occupant]muc.Role), why: make(map[jid.JID]telling), as: make(map[*occupant]telling)}
		for j := range users {
			d.why[j] = by.telling("")
		}
		if old.Moderated && !conf.Moderated {
			for _, o := range r.occupants() {
				if o.role == muc.Visitor {
					d.roles[o] = muc.Participant
				}
			}
		}
		r.apply(d, answer)
		if !fresh {
			r.status(changed(old, conf)...)
		}
	}
	return p
}

// changed are the status codes of a change of configuration (XEP-0045 §10.2.1).
func changed(old, now settings) []int {
	var codes []int
	if old.Logging != now.Logging {
		codes = append(codes, pickCode(now.Logging, muc.StatusLogged, muc.StatusUnlogged))
	}
	if old.Anyone != now.Anyone {
		codes = append(codes, pickCode(now.Anyone, muc.StatusNowNonAnonymous, muc.StatusNowSemiAnonymous))
	}
	old.Logging, old.Anyone = now.Logging, now.Anyone
	if old != now {
		codes = append(codes, muc.StatusConfigChanged)
	}
	return codes
}

func pickCode(b bool, yes, no int) int {
	if b {
		return yes
	}
	return no
}

// erased are the rows of a room that is no longer on disk, but for gone.
func (r *room) erased(gone *tombstone) rows {
	w := rows{}
	w.put(tableRooms, r.jid.String(), nil)
	if gone != nil {
		w.put(tableRooms, r.jid.String(), record{V: 1, Gone: gone})
	}
	w.put(tableRooms, cardKey(r.jid), nil)
	w.put(tableRooms, subjectKey(r.jid), nil)
	for j := range r.users {
		w.put(tableUsers, userKey(r.jid, j), nil)
	}
	return w
}

// planDestroy ends the room: everybody is told, then the one who asked gets
// the answer.
func (r *room) planDestroy(d *muc.Destroy, answer func()) plan {
	p := plan{rows: rows{}}
	var gone *tombstone
	if r.conf.Persistent && !r.locked() {
		gone = &tombstone{At: r.m.conf.Now().UTC(), Venue: d.Venue.String(), Reason: d.Reason}
		p.rows = r.erased(gone)
	}
	p.apply = func() {
		for _, o := range r.occupants() {
			r.remove(o, d, telling{})
		}
		answer()
		r.forget(gone)
		r.drop()
	}
	return p
}
