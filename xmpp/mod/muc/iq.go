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

const (
	nsInfo     = "http://jabber.org/protocol/disco#info"
	nsItems    = "http://jabber.org/protocol/disco#items"
	nsPing     = "urn:xmpp:ping"
	nsRegister = "jabber:iq:register"
	nsVCard    = "vcard-temp"
)

// iq is a request to a room, or what passes between its occupants.
func (m *Module) iq(ctx context.Context, st *stanza.Stanza) (xmpp.Verdict, error) {
	if st.To.IsFull() {
		return xmpp.Done, m.between(ctx, st)
	}
	get := st.Type == string(stanza.Get)
	if !get && st.Type != string(stanza.Set) {
		if st.Type == stanza.TypeError {
			m.ghost(ctx, st)
		}
		return xmpp.Done, nil
	}
	var f func(context.Context, *stanza.Stanza) error
	switch st.Payload {
	case stanza.Name{Space: muc.SpaceAdmin, Local: "query"}:
		f = either(get, m.adminGet, m.adminSet)
	case stanza.Name{Space: muc.SpaceOwner, Local: "query"}:
		f = either(get, m.ownerGet, m.ownerSet)
	case stanza.Name{Space: nsRegister, Local: "query"}:
		f = either(get, m.registerGet, m.registerSet)
	case stanza.Name{Space: nsVCard, Local: "vCard"}:
		f = either(get, m.cardGet, m.cardSet)
	case stanza.Name{Space: nsInfo, Local: "query"}:
		f = either(get, m.roomInfo, nil)
	case stanza.Name{Space: nsItems, Local: "query"}:
		f = either(get, m.roomItems, nil)
	case stanza.Name{Space: nsPing, Local: "ping"}:
		f = either(get, m.roomPing, nil)
	case stanza.Name{Space: archive.Space, Local: "query"}:
		f = either(get, m.archiveForm, m.archiveQuery)
	case stanza.Name{Space: archive.Space, Local: "metadata"}:
		f = either(get, m.archiveMetadata, nil)
	case stanza.Name{Space: nsModerate, Local: "moderate"}, stanza.Name{Space: nsFasten, Local: "apply-to"}:
		f = either(get, nil, m.moderate)
	}
	if f != nil {
		return xmpp.Done, f(ctx, st)
	}
	if r, err := m.need(st.To); err != nil {
		return xmpp.Done, err
	} else {
		r.exit(ctx)
	}
	return xmpp.Pass, nil
}

type request = func(context.Context, *stanza.Stanza) error

func either(get bool, onGet, onSet request) request {
	if get {
		return onGet
	}
	return onSet
}

func (m *Module) roomPing(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	r.send(st.Reply(""))
	r.exit(ctx)
	return nil
}

// question is a request whose answer must go to one of several resources that
// share a nick.
type question struct {
	to  jid.JID // whom it was put to
	id  string
	who jid.JID // who asked
}

// maxQuestions is how many answers a room waits for; the oldest are forgotten.
const maxQuestions = 64

// between passes an IQ from one occupant to another (XEP-0045 §17.3, XEP-0410).
func (m *Module) between(ctx context.Context, st *stanza.Stanza) error {
	if st.Type == stanza.TypeError {
		m.ghost(ctx, st)
	}
	r, err := m.enter(st.To.Bare())
	if err != nil {
		return err
	}
	asks := st.Type == string(stanza.Get) || st.Type == string(stanza.Set)
	switch {
	case r == nil && asks:
		return noRoom()
	case r == nil:
		return nil
	}
	defer r.exit(ctx)
	if asks {
		return r.ask(st)
	}
	r.answer(st)
	return nil
}

func (r *room) ask(st *stanza.Stanza) error {
	s, o := r.seat(st.From), r.nicks[st.To.Resource()]
	switch {
	case s == nil && (st.Payload.Space == nsInfo || st.Payload.Space == nsItems): // XEP-0045 §6.6
		return stanza.NewError(stanza.BadRequest, "Only who is in the room may ask its occupants.")
	case s == nil: // XEP-0410 §3.2 shows the type
		return &stanza.Error{Type: stanza.Cancel, Condition: stanza.NotAcceptable, Text: "You are not in this room; enter it first."}
	case o == nil:
		return stanza.NewError(stanza.ItemNotFound, "Nobody of this nickname is in the room.")
	case o == s.occ && st.Payload == stanza.Name{Space: nsPing, Local: "ping"}:
		r.send(st.Reply("")) // XEP-0410 §3.2: by the room itself
		return nil
	}
	to := o.face.real
	if st.Payload.Space == nsVCard {
		to = o.bare
	}
	if s.occ.n > 1 {
		if len(r.asked) >= maxQuestions {
			r.asked = slices.Delete(r.asked, 0, 1)
		}
		r.asked = append(r.asked, question{to, st.ID, s.real})
	}
	r.send(st.WithFrom(s.occ.at).WithTo(to))
	return nil
}

// answer passes a result or an error back. What nobody in the room has sent is
// dropped.
func (r *room) answer(st *stanza.Stanza) {
	var from *occupant
	for _, s := range r.seats {
		if s.real == st.From || s.occ.bare == st.From {
			from = s.occ
			break
		}
	}
	o := r.nicks[st.To.Resource()]
	if from == nil || o == nil {
		return
	}
	to := o.face.real
	if i := slices.IndexFunc(r.asked, func(q question) bool { return q.to == st.From && q.id == st.ID }); i >= 0 {
		if s := r.seat(r.asked[i].who); s != nil && s.occ == o {
			to = s.real
		}
		r.asked = slices.Delete(r.asked, i, i+1)
	}
	r.send(st.WithFrom(from.at).WithTo(to))
}
