package muc

import (
	"context"
	"strconv"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	nsDelay    = "urn:xmpp:delay"
	nsStanzaID = "urn:xmpp:sid:0"
	nsHints    = "urn:xmpp:hints"
)

func escape(s string) string { return xmlstream.Escaped(s) }

// forged are elements that only a room may add.
func forged(e *stanza.Element) bool {
	switch e.Name {
	case stanza.Name{Space: muc.SpaceUser, Local: "x"}, stanza.Name{Space: muc.Space, Local: "x"},
		stanza.Name{Space: muc.SpaceOccupant, Local: "occupant-id"}:
		return true
	}
	return false
}

// clean is a stanza without what only a room may say, every other byte as it
// was.
func clean(st *stanza.Stanza) *stanza.Stanza {
	if st.Payload.Space == "jabber:client" && st.Children == 1 {
		return st
	}
	return st.Without(forged)
}

// cleanFor also takes ids and times away that claim to be the room's.
func (r *room) cleanFor(st *stanza.Stanza) *stanza.Stanza {
	if st.Payload.Space == "jabber:client" && st.Children == 1 {
		return st
	}
	mine := func(attr string) bool {
		j, err := jid.Parse(attr)
		return err == nil && j.Bare() == r.jid
	}
	return st.Without(func(e *stanza.Element) bool {
		switch {
		case e.Name.Space == nsStanzaID && e.Name.Local == "stanza-id":
			return mine(e.Attr("by"))
		case e.Name.Space == nsDelay && e.Name.Local == "delay":
			return mine(e.Attr("from"))
		}
		return forged(e)
	})
}

func notInside() error {
	return stanza.NewError(stanza.NotAcceptable, "You are not in this room; enter it before you talk.")
}

func noVoice() error {
	return forbidden("You have no voice in this room; ask a moderator for it.")
}

// message is what somebody sends to a room or one of its nicks.
func (m *Module) message(ctx context.Context, d *xmpp.Delivery) error {
	st := d.Stanza
	if st.Type == stanza.TypeError {
		m.ghost(ctx, st)
		return nil
	}
	if st.To.IsBare() && st.Type != "groupchat" {
		return m.mediate(ctx, st)
	}
	if id, ok := archive.Retracts(st); ok && st.To.IsBare() {
		return m.retract(ctx, d, id)
	}
	r, err := m.need(st.To.Bare())
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	s := r.seat(st.From)
	switch {
	case s == nil:
		return notInside()
	case st.To.IsFull() && st.Type == "groupchat":
		return stanza.NewError(stanza.BadRequest, "A message to the whole room goes to the room, not to one person in it.")
	case st.To.IsFull():
		return r.whisper(s, st)
	case s.occ.role < muc.Participant:
		return noVoice()
	case isSubject(st):
		return r.setSubject(s, d)
	}
	r.talk(s, d)
	return nil
}

// isSubject is XEP-0045 §8.1: a subject and nothing said.
func isSubject(st *stanza.Stanza) bool {
	return st.HasChild("", "subject") && !st.HasChild("", "body") && !st.HasChild("", "thread")
}

// own is an occupant's message in the room's words, but for its id.
func (r *room) own(s *seat, st *stanza.Stanza) *stanza.Stanza {
	return r.cleanFor(st).WithFrom(s.occ.at).WithTo(jid.JID{}).WithAppended(s.occ.id)
}

// talk reflects a message to everybody (XEP-0045 §7.4).
func (r *room) talk(s *seat, d *xmpp.Delivery) {
	st := r.own(s, d.Stanza)
	shown := st.HasChild("", "body") && !st.HasChild(nsHints, "no-store") || st.HasChild(nsHints, "store")
	r.publish(st, s, d, archive.Storable(st), shown)
}

// waiting lets what must be on disk be waited for, as xmpp.Delivery does.
type waiting interface{ Await() (done func(error)) }

// publish says something to everybody, under the id by which the room's archive
// knows it, or else one of its own (XEP-0359). What a room with an archive does
// not keep has none: a client would go on from there. All get the same content.
// by is whose words they are, nil for the room's own; lasting puts it into the
// archive, shown into the history.
func (r *room) publish(st *stanza.Stanza, by *seat, w waiting, lasting, shown bool) {
	n, id, out := r.nextID(), "", st
	switch {
	case !r.archives():
		id = strconv.FormatUint(n, 10)
	case lasting:
		id = r.archive(st, by, w.Await()).String()
	}
	if id != "" {
		out = st.WithAppended("<stanza-id xmlns='" + nsStanzaID + "' by='" + escape(r.jid.String()) + "' id='" + id + "'/>")
	}
	if shown {
		r.keep(n, out, by, w.Await())
	}
	r.sendAll(out, r.targets)
}

// setSubject changes what the room talks about (XEP-0045 §8.1).
func (r *room) setSubject(s *seat, d *xmpp.Delivery) error {
	if s.occ.role < muc.Moderator && !r.conf.ChangeSubject {
		return stanza.NewError(stanza.Forbidden, "Only moderators may change the subject of this room.")
	}
	out := r.own(s, d.Stanza)
	if out.Size() > maxSubject {
		return stanza.NewError(stanza.NotAcceptable, "This subject is too long.")
	}
	first, _ := out.Child("", "subject")
	var inner strings.Builder
	els := out.Elements()
	for i := range els {
		if els[i].Name.Local == "subject" && els[i].Name.Space == "jabber:client" {
			inner.WriteString(els[i].XML())
		}
	}
	r.subject = subject{V: 1, Inner: inner.String(), Text: strings.Clone(first.Text), Nick: s.occ.nick, By: s.occ.id, At: r.m.conf.Now().UTC()}
	if r.conf.Persistent && !r.locked() {
		r.m.table.Later(map[string]any{subjectKey(r.jid): r.subjectRow()}, d.Await())
	}
	r.publish(out, s, d, true, false)
	return nil
}

// maxSubject is how long a message that sets a subject may be.
const maxSubject = 8 << 10

// subjectMessage is what everybody gets at entry (XEP-0045 §7.2.15).
func (r *room) subjectMessage() *stanza.Stanza {
	if r.subject.Inner == "" {
		return stanza.New(stanza.Message, "groupchat", "", r.jid, jid.JID{}, "<subject/>")
	}
	from, err := r.jid.WithResource(r.subject.Nick)
	if err != nil {
		from = r.jid
	}
	return stanza.New(stanza.Message, "groupchat", "", from, jid.JID{}, r.subject.Inner+r.subject.By+delayXML(r.jid, r.subject.At))
}

// whisper passes a private message on (XEP-0045 §7.5).
func (r *room) whisper(s *seat, st *stanza.Stanza) error {
	o := r.nicks[st.To.Resource()]
	if o == nil {
		return stanza.NewError(stanza.ItemNotFound, "Nobody of this nickname is in the room.")
	}
	if least, ok := mayWhisper[r.conf.PM]; !ok || s.occ.role < least {
		return stanza.NewError(stanza.Forbidden, "Private messages are not allowed in this room.")
	}
	out := r.cleanFor(st).WithFrom(s.occ.at).WithAppended("<x xmlns='" + muc.SpaceUser + "'/>" + s.occ.id)
	for _, x := range r.seats {
		if x.occ == o {
			r.send(out.WithTo(x.real))
		}
	}
	return nil
}

// mayWhisper is the least role for private messages, by the room's setting;
// without a row nobody may.
var mayWhisper = map[string]muc.Role{"anyone": muc.Visitor, "participants": muc.Participant, "moderators": muc.Moderator}
