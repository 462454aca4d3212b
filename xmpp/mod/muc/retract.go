package muc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Namespaces of XEP-0425, and of its version 0.2, which is still in use.
const (
	nsModerate  = "urn:xmpp:message-moderate:1"
	nsModerate0 = "urn:xmpp:message-moderate:0"
	nsRetract0  = "urn:xmpp:message-retract:0"
	nsFasten    = "urn:xmpp:fasten:0"
)

// maxReason is how long the reason of a moderation may be, in bytes.
const maxReason = 2048

// target is a message that shall be retracted.
type target struct {
	id     string         // by which the room has sent it
	author jid.JID        // bare; zero: the room itself
	kept   *stanza.Stanza // as it is archived, nil when it is not
	at     archive.ID
	line   uint64 // of the history, 0 when it is not in it
}

// find looks a message up by the id that the room gave it; nil for none.
func (m *Module) find(room jid.JID, id string) (*target, error) {
	t := &target{id: id}
	if at, ok := archive.ParseID(id); ok && m.archives() {
		msg, err := m.conf.Archive.Get(room, at)
		if err == nil {
			t.kept, err = msg.Stanza()
		}
		switch {
		case err == nil:
			t.at, t.author = at, author(t.kept)
		case !errors.Is(err, archive.ErrNotFound):
			return nil, err
		}
	}
	p := past{room: room, last: ^uint64(0)}
	if err := m.read(&p); err != nil {
		return nil, err
	}
	for _, l := range p.lines {
		if stampOf(l.st, room) == id {
			t.line = l.id
			if t.kept == nil {
				t.author, _ = jid.Parse(l.real) // ignored: the room's own
			}
		}
	}
	if t.kept == nil && t.line == 0 {
		return nil, nil
	}
	return t, nil
}

// stampOf is the id that a room gave a message.
func stampOf(st *stanza.Stanza, room jid.JID) string {
	els := st.Elements()
	for i := range els {
		if archive.IsStanzaID(&els[i], room) {
			return els[i].Attr("id")
		}
	}
	return ""
}

// bury leaves of the archived message what tells that it was there.
func (m *Module) bury(room jid.JID, t *target, by, content string, w waiting) {
	if t.kept == nil {
		return
	}
	keep := func(e *stanza.Element) bool {
		return e.Name == stanza.Name{Space: muc.SpaceOccupant, Local: "occupant-id"} || e.Name == stanza.Name{Space: muc.SpaceUser, Local: "x"}
	}
	done := w.Await()
	err := m.conf.Archive.Replace(room, t.at, archive.Tombstone(t.kept, keep, by, m.conf.Now(), content), done)
	if errors.Is(err, archive.ErrNotFound) {
		err = nil // its time was over
		done(nil)
	} else if err != nil {
		done(err)
	}
}

// retract takes a message with which somebody takes back what he has said
// (XEP-0424 §3). What the room does not know may still be on screens.
func (m *Module) retract(ctx context.Context, d *xmpp.Delivery, id string) error {
	st := d.Stanza
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	inside := r.seat(st.From) != nil
	r.exit(ctx)
	if !inside {
		return notInside() // before anything is looked up
	}
	t, err := m.find(st.To, id)
	if err != nil {
		return err
	}
	if r, err = m.need(st.To); err != nil {
		return err
	}
	err = func() error {
		defer r.exit(ctx)
		s := r.seat(st.From)
		switch {
		case s == nil:
			return notInside()
		case s.occ.role < muc.Participant:
			return noVoice()
		case t != nil && t.author != s.occ.bare:
			return forbidden("Only who has written a message can retract it this way; moderators have a request of their own.")
		}
		if t != nil && t.line != 0 {
			r.unkeep(t.line, d.Await())
		}
		r.talk(s, d)
		return nil
	}()
	if err == nil && t != nil {
		m.bury(st.To, t, st.ID, "", d)
	}
	return err
}

// asks reads a moderator's request of either version.
func asks(st *stanza.Stanza) (id, reason string, err error) {
	bad := stanza.NewError(stanza.BadRequest, "Name the message to retract by the id that the room gave it.")
	el, ok := st.Child(nsModerate, "moderate")
	if ok {
		id = el.Attr("id")
		ok = el.Child(archive.RetractSpace, "retract") != nil
	} else if el, ok = st.Child(nsFasten, "apply-to"); ok {
		id = el.Attr("id")
		c := el.Child(nsModerate0, "moderate")
		if ok = c != nil && c.Child(nsRetract0, "retract") != nil; ok {
			el = *c
		}
	}
	if !ok || id == "" {
		return "", "", bad
	}
	reason = el.ChildText("", "reason")
	if len(reason) > maxReason {
		return "", "", unacceptable(fmt.Sprintf("A reason may have at most %d bytes.", maxReason))
	}
	return id, reason, nil
}

// moderate retracts what somebody has said (XEP-0425 §3). It is answered when
// all of it is on disk.
func (m *Module) moderate(ctx context.Context, st *stanza.Stanza) error {
	id, reason, err := asks(st)
	if err != nil {
		return err
	}
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	err = r.mayModerate(st.From)
	r.exit(ctx)
	if err != nil {
		return err // before anything is said about the message
	}
	t, err := m.find(st.To, id)
	if err != nil {
		return err
	}
	if r, err = m.need(st.To); err != nil {
		return err
	}
	var w pending
	by, content := rand.Text(), ""
	err = func() error {
		defer r.exit(ctx)
		if err := r.mayModerate(st.From); err != nil {
			return err
		}
		if t == nil || t.at != 0 && t.at <= r.floor || t.author.IsZero() {
			return stanza.NewError(stanza.ItemNotFound, "This room has no message with this id (any more).")
		}
		content = r.announceRetraction(t, r.seat(st.From).occ, by, reason, &w)
		return nil
	}()
	if err != nil {
		return err
	}
	m.bury(st.To, t, by, content, &w)
	if err := w.wait(); err != nil {
		return fmt.Errorf("retract message of room: %w", err)
	}
	m.host.Send(ctx, st.Reply(""), nil)
	return nil
}

func (r *room) mayModerate(real jid.JID) error {
	if s := r.seat(real); s == nil || s.occ.role < muc.Moderator {
		return forbidden("Only moderators who are in the room may retract messages of others.")
	}
	return nil
}

// announceRetraction tells everybody, in the words of both versions, and
// returns what the tombstone says of it.
func (r *room) announceRetraction(t *target, by *occupant, id, reason string, w waiting) (content string) {
	why := func(x *xmlstream.Writer) string {
		if reason != "" {
			x.Leaf("", "reason", reason)
		}
		return x.String()
	}
	var in xmlstream.Writer
	in.Start(nsModerate, "moderated", "by", by.at.String()).Raw(by.id).End()
	if reason != "" {
		in.Leaf("", "reason", reason)
	}
	content = in.String()
	var now, old xmlstream.Writer
	now.Start(archive.RetractSpace, "retract", "id", t.id).Raw(content)
	old.Start(nsFasten, "apply-to", "id", t.id).Start(nsModerate0, "moderated", "by", by.at.String()).Start(nsRetract0, "retract").End()
	if t.line != 0 {
		r.unkeep(t.line, w.Await())
	}
	st := stanza.New(stanza.Message, "groupchat", id, r.jid, jid.JID{}, now.String()+why(&old))
	r.publish(st, nil, w, true, true)
	return content
}

// pending waits for several changes to be on disk. The zero value waits for none.
type pending struct {
	wg  sync.WaitGroup
	mu  sync.Mutex // guards err
	err error
}

// Await adds one that is waited for.
func (p *pending) Await() (done func(error)) {
	p.wg.Add(1)
	return func(err error) {
		p.mu.Lock()
		p.err = errors.Join(p.err, err)
		p.mu.Unlock()
		p.wg.Done()
	}
}

func (p *pending) wait() error {
	p.wg.Wait()
	return p.err
}
