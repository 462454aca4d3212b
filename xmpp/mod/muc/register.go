package muc

import (
	"context"
	"strings"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// registers reports that nicks can be registered: in rooms that last.
func (r *room) registers() bool { return r.conf.Persistent && !r.locked() }

// mayRegister is who: in a members-only room its members (XEP-0045 §7.10).
func (r *room) mayRegister(bare jid.JID) error {
	aff := r.affiliation(bare)
	switch {
	case !r.registers():
		return stanza.NewError(stanza.ServiceUnavailable, "This room does not register nicknames.")
	case aff == muc.Outcast:
		return forbidden("You are banned from this room.")
	case r.conf.MembersOnly && aff < muc.Member:
		return stanza.NewError(stanza.NotAllowed, "Only members may register with this room; ask for an invitation.")
	}
	return nil
}

func registerForm() *form.Form {
	f := form.New(form.Ask, muc.SpaceRegister,
		form.Field{Var: "muc#register_roomnick", Kind: form.TextSingle, Label: "Nickname", Required: true})
	f.Title = "Register a nickname"
	f.Instructions = []string{"Choose the nickname that only you may use in this room."}
	return f
}

func (m *Module) registerGet(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	bare := st.From.Bare()
	if err := r.mayRegister(bare); err != nil {
		return err
	}
	var w xmlstream.Writer
	w.Start(nsRegister, "query")
	if nick := r.users[bare].Nick; nick != "" {
		w.Start("", "registered").End().Leaf("", "username", nick)
	} else {
		w.Raw(registerForm().XML())
	}
	r.send(st.Reply(w.String()))
	return nil
}

// registerSet registers a nick, or takes it back.
func (m *Module) registerSet(ctx context.Context, st *stanza.Stanza) error {
	q, _ := st.Child(nsRegister, "query")
	remove := q.Child("", "remove") != nil
	f, err := form.Of(&q)
	if err == nil && !remove {
		err = registerForm().Check(f)
	}
	if err != nil {
		return stanza.NewError(stanza.BadRequest, "This form cannot be used: "+err.Error())
	}
	bare := st.From.Bare()
	return m.change(ctx, st.To, func(r *room) (plan, error) {
		if err := r.mayRegister(bare); err != nil {
			return plan{}, err
		}
		u := r.users[bare]
		if remove {
			if u.Nick == "" {
				return plan{}, stanza.NewError(stanza.ItemNotFound, "You have registered no nickname here.")
			}
			if u.Nick = ""; u.Affiliation == muc.Member {
				u.Affiliation = muc.NoAffiliation
			}
		} else {
			nick, err := r.registrable(f, bare)
			if err != nil {
				return plan{}, err
			}
			u.Nick = nick
			if r.affiliation(bare) == muc.NoAffiliation {
				u.Affiliation = muc.Member
			}
		}
		return r.planUsers(map[jid.JID]member{bare.Clone(): u}, telling{}, func() { r.send(st.Reply("")) }), nil
	})
}

// registrable is the nick a form asks for.
func (r *room) registrable(f *form.Form, bare jid.JID) (string, error) {
	v, _ := f.Value("muc#register_roomnick")
	at, err := r.jid.WithResource(v)
	if err != nil {
		return "", stanza.NewError(stanza.BadRequest, "This cannot be a nickname.")
	}
	nick := strings.Clone(at.Resource())
	if _, known := r.users[bare]; !known && len(r.users) >= maxListed {
		return "", stanza.NewError(stanza.ResourceConstraint, "This room registers no more nicknames.")
	}
	if owner, ok := r.registered(nick); ok && owner != bare {
		return "", stanza.NewError(stanza.Conflict, "This nickname is registered by somebody else.")
	}
	if o := r.nicks[nick]; o != nil && o.bare != bare {
		return "", stanza.NewError(stanza.Conflict, "Somebody else uses this nickname now.")
	}
	return nick, nil
}
