package muc

import (
	"context"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// maxInvites is how many people one message may invite.
const maxInvites = 20

// mediate takes a message that the room passes on in its own name: an
// invitation, its decline, a request for voice or the answer to one.
func (m *Module) mediate(ctx context.Context, st *stanza.Stanza) error {
	x, ok := st.Child(muc.SpaceUser, "x")
	if ok {
		var invites []jid.JID
		var content []string
		for i := range x.Children {
			c := &x.Children[i]
			if c.Name.Space != muc.SpaceUser || c.Name.Local != "invite" && c.Name.Local != "decline" {
				continue
			}
			j, err := jid.Parse(c.Attr("to"))
			switch {
			case err != nil:
				return stanza.NewError(stanza.JIDMalformed, "The address to invite is not valid.")
			case c.Name.Local == "decline":
				return m.decline(ctx, st, j, c.ChildText("", "reason"))
			case len(invites) == maxInvites:
				return stanza.NewError(stanza.NotAcceptable, "Invite fewer people at once.")
			}
			more := ""
			if k := c.Child("", "continue"); k != nil {
				more = k.XML()
			}
			if m.host.Exists(j) { // a resource may be gone by then; the person is told
				j = j.Bare()
			}
			invites = append(invites, j)
			content = append(content, inviteContent(c.ChildText("", "reason"), more))
		}
		if len(invites) > 0 {
			return m.invite(ctx, st, invites, content)
		}
	}
	if el, ok := st.Child(form.Space, "x"); ok {
		if f, err := form.Parse(&el); err == nil && f.Type == form.Submit && f.FormType() == muc.SpaceRequest {
			return m.voice(ctx, st, f)
		}
	}
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	if r.seat(st.From) == nil {
		return notInside()
	}
	return stanza.NewError(stanza.BadRequest, "A message to the whole room must be of type groupchat.")
}

// invite is XEP-0045 §7.8.2. In a members-only room who may invite makes
// members of whom he invites.
func (m *Module) invite(ctx context.Context, st *stanza.Stanza, to []jid.JID, content []string) error {
	return m.change(ctx, st.To, func(r *room) (plan, error) {
		a := r.asker(st.From)
		if a.occ == nil {
			return plan{}, notInside()
		}
		users := make(map[jid.JID]member)
		if r.conf.MembersOnly {
			if a.aff < muc.Admin && !(r.conf.Invites && a.aff == muc.Member) {
				return plan{}, forbidden("You may not invite others into this room.")
			}
			for _, j := range to {
				switch j := j.Bare(); r.affiliation(j) {
				case muc.Outcast:
					return plan{}, forbidden("Somebody you invite is banned from this room.")
				case muc.NoAffiliation:
					u := r.users[j]
					u.Affiliation = muc.Member
					users[j] = u
				}
			}
		}
		from := a.occ.at // who invites stays unknown where addresses are
		if r.conf.Anyone {
			from = a.bare
		}
		p := r.planUsers(users, a.telling(""), nil)
		apply := p.apply
		p.apply = func() {
			for i, j := range to {
				r.invite(j, from, content[i])
			}
			r.quiet = true // they have an invitation
			apply()
			r.quiet = false
		}
		return p, nil
	})
}

// decline tells who invited (XEP-0045 §7.8.2). It reaches only who is in the
// room.
func (m *Module) decline(ctx context.Context, st *stanza.Stanza, to jid.JID, reason string) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	var w xmlstream.Writer
	w.Start(muc.SpaceUser, "x").Start("", "decline", "from", st.From.Bare().String())
	if reason != "" {
		w.Leaf("", "reason", reason)
	}
	out := stanza.New(stanza.Message, "", st.ID, r.jid, jid.JID{}, w.String())
	found := false
	for _, s := range r.seats {
		if s.real == to || s.occ.bare == to || s.occ.at == to {
			found = true
			r.send(out.WithTo(s.real))
		}
	}
	if !found {
		return stanza.NewError(stanza.ItemNotFound, "Who invited you is not in the room any more.")
	}
	return nil
}

// voice is a visitor's request for voice, or a moderator's answer to one
// (XEP-0045 §7.13, §8.6).
func (m *Module) voice(ctx context.Context, st *stanza.Stanza, f *form.Form) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	a := r.asker(st.From)
	nick, answer := f.Value("muc#roomnick")
	allow, decided := f.Value("muc#request_allow")
	switch {
	case a.occ == nil:
		return notInside()
	case !decided:
		if v, _ := f.Value("muc#role"); v != "participant" {
			return stanza.NewError(stanza.BadRequest, "Only the voice of a participant can be asked for.")
		}
		if a.role != muc.Visitor {
			return stanza.NewError(stanza.BadRequest, "You have a voice in this room already.")
		}
		return r.askVoice(r.seat(st.From))
	case a.role < muc.Moderator:
		return forbidden("Only moderators may grant voice.")
	}
	yes, ok := form.Bool(allow)
	if !ok || !answer {
		return stanza.NewError(stanza.BadRequest, "This form cannot be used.")
	}
	o := r.nicks[nick]
	if o == nil {
		return stanza.NewError(stanza.ItemNotFound, "Nobody of this nickname is in the room.")
	}
	if !yes || o.role != muc.Visitor {
		return nil
	}
	r.apply(&delta{roles: map[*occupant]muc.Role{o: muc.Participant}, as: map[*occupant]telling{o: a.telling("")}}, nil)
	return nil
}

// askVoice shows a request to all moderators.
func (r *room) askVoice(s *seat) error {
	if err := s.hurry(r.m.conf.Now(), nickCost); err != nil {
		return err
	}
	f := form.New(form.Ask, muc.SpaceRequest,
		form.Field{Var: "muc#role", Kind: form.ListSingle, Label: "Requested role", Values: []string{"participant"},
			Options: []form.Option{{Label: "Participant", Value: "participant"}}},
		form.Field{Var: "muc#jid", Kind: form.JIDSingle, Label: "Address", Values: []string{s.real.String()}},
		form.Text("muc#roomnick", "Nickname", s.occ.nick),
		form.Switch("muc#request_allow", "Grant voice to this person?", false),
	)
	f.Title = "Request for voice"
	f.Instructions = []string{"To grant voice to this person, say yes and send the form."}
	var to []jid.JID
	for _, x := range r.seats {
		if x.occ.role == muc.Moderator {
			to = append(to, x.real)
		}
	}
	r.sendAll(stanza.New(stanza.Message, "", "", r.jid, jid.JID{}, f.XML()), to)
	return nil
}
