package muc

import (
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// planUsers is a change of rows that nobody inside has asked for by items.
func (r *room) planUsers(users map[jid.JID]member, why telling, answer func()) plan {
	d := &delta{users: users, why: make(map[jid.JID]telling)}
	for j := range users {
		d.why[j] = why
	}
	return r.plan(d, answer)
}

// plan makes a checked delta a plan. answer may be nil.
func (r *room) plan(d *delta, answer func()) plan {
	p := plan{rows: rows{}, apply: func() { r.apply(d, answer) }}
	if r.conf.Persistent && !r.locked() {
		for j, u := range d.users {
			p.rows.put(tableUsers, userKey(r.jid, j), u.row())
		}
	}
	return p
}

// row is what lies on disk of it, nil for nothing.
func (u member) row() any {
	if u.empty() {
		return nil
	}
	u.V = 1
	return u
}

// apply does what was checked and is on disk. Who is removed hears it first,
// then the one who asked gets the answer, then the others hear it (XEP-0045
// §8.2, §9.1). It also takes out whom the configuration does not let in any
// more.
func (r *room) apply(d *delta, answer func()) {
	before := make(map[jid.JID]muc.Affiliation, len(d.users))
	for j, u := range d.users {
		before[j] = r.affiliation(j)
		if u.empty() {
			delete(r.users, j)
		} else {
			r.users[j.Clone()] = u
		}
	}
	var gone []removal
	var changed []*note
	inside := make(map[jid.JID]bool)
	for _, o := range r.occupants() {
		inside[o.bare] = true
		aff, role, code := r.affiliation(o.bare), o.role, 0
		why := d.why[o.bare]
		if x, ok := d.why[o.bare.DomainJID()]; ok && aff == muc.Outcast && why == (telling{}) {
			why = x
		}
		if aff != o.aff {
			role = r.roleAfter(o, aff)
		}
		if x, ok := d.roles[o]; ok {
			role = x
			if aff == o.aff {
				why = d.as[o]
			}
		}
		switch {
		case aff == muc.Outcast:
			code = muc.StatusBanned
		case r.conf.MembersOnly && aff == muc.NoAffiliation && o.aff != aff:
			code = muc.StatusNotAffiliated
		case r.conf.MembersOnly && aff == muc.NoAffiliation:
			code = muc.StatusMembersOnly
		case role == muc.NoRole:
			code = muc.StatusKicked
		case aff == o.aff && role == o.role:
			continue
		}
		o.aff = aff
		if code != 0 {
			n := o.unavailable(nil, code)
			n.why = why
			gone = append(gone, r.evict(o, n))
			continue
		}
		o.role = role
		n := o.available()
		n.why = why
		changed = append(changed, n)
	}
	if answer != nil {
		answer()
	}
	for _, x := range gone {
		r.announce(x.n)
	}
	for _, n := range changed {
		r.announceBoth(n)
	}
	for j, u := range d.users {
		if u.Affiliation = r.affiliation(j); inside[j] || before[j] == u.Affiliation {
			continue
		}
		r.tellAbsent(j, u, d.why[j])
		if r.conf.MembersOnly && !r.quiet && before[j] == muc.NoAffiliation && u.Affiliation >= muc.Member {
			r.invite(j, r.jid, inviteContent(d.why[j].reason, ""))
		}
	}
}

// roleAfter is an occupant's role after a change of affiliation.
func (r *room) roleAfter(o *occupant, aff muc.Affiliation) muc.Role {
	switch {
	case aff >= muc.Admin:
		return muc.Moderator
	case o.aff >= muc.Admin:
		return r.role(aff)
	case aff == muc.Member:
		return max(o.role, muc.Participant)
	}
	return o.role
}

// tellAbsent tells of a new affiliation of somebody who is not inside
// (XEP-0045 §9.3); only those who may see addresses hear it.
func (r *room) tellAbsent(who jid.JID, u member, why telling) {
	it := muc.Item{Affiliation: u.Affiliation, JID: who, Nick: u.Nick, Reason: why.reason}
	x := muc.User{Item: &it}
	var to []jid.JID
	for _, s := range r.seats {
		if r.sees(s) {
			to = append(to, s.real)
		}
	}
	r.sendAll(stanza.New(stanza.Message, "", "", r.jid, jid.JID{}, x.XML()), to)
}

// inviteContent is what an invitation says beside who invites.
func inviteContent(reason, more string) string {
	var w xmlstream.Writer
	if reason != "" {
		w.Leaf("", "reason", reason)
	}
	return w.String() + more
}

// invite sends a mediated invitation (XEP-0045 §7.8.2). It is kept for those
// who are not there.
func (r *room) invite(to, from jid.JID, content string) {
	var w xmlstream.Writer
	w.Start(muc.SpaceUser, "x")
	w.Start("", "invite", "from", from.String()).Raw(content).End()
	if r.conf.Password != "" {
		w.Leaf("", "password", r.conf.Password)
	}
	w.End()
	r.send(stanza.New(stanza.Message, "", "", r.jid, to, w.String()+"<store xmlns='"+nsHints+"'/>"))
}
