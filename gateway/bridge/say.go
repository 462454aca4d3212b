package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"

	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// What the gateway notes in a message that it says in a room, for when it hears it: then, or at the next start.
const (
	nsRoom    = "urn:doorway:room:0"
	hintGuest = "guest" // a member without a seat says it: contacts hear it
	hintQuiet = "quiet" // it is no talk, as STOP: they do not
)

// errEntering is why a message is offered again: its sender is about to enter the room.
var errEntering = errors.New("the room is being entered")

// say says a contact's message in a room: as the contact, where it has a seat
// there, else as the gateway with the contact's name before, if guest allows
// that; contacts hear such a message only if m names the room. A *stanza.Error means that the room does not want it; another error,
// that it is to be tried again.
func (h *hall) say(ctx context.Context, m transports.Message, room jid.JID, guest bool) error {
	h.mu.Lock()
	r := h.rooms[room]
	if h.fresh.IsZero() {
		h.mu.Unlock()
		return errEntering
	}
	var by *seat
	if r != nil {
		for _, s := range r.seats {
			if s.contact == m.From && m.From != "" {
				by = s
			}
		}
		if by == nil && guest {
			by = r.seats[h.gateway()]
		}
	}
	if by == nil {
		h.mu.Unlock()
		return stanza.NewError(stanza.ItemNotFound, "There is no such room, or this phone takes no part in it.")
	}
	inside, stuck, real, body := by.inside, by.tries >= len(seatPauses), by.real, m.Body
	named := by.contact == ""
	h.mu.Unlock()
	switch {
	case stuck:
		return stanza.NewError(stanza.NotAllowed, "The room does not let phones in.")
	case !inside:
		h.stir()
		return errEntering
	}
	if named {
		body = h.called(m.From) + ": " + body
	}
	var w xmlstream.Writer
	w.Leaf("", "body", body)
	switch {
	case named && m.Room != "":
		w.Leaf(nsRoom, hintGuest, "")
	case !named && m.Kind != "":
		w.Leaf(nsRoom, hintQuiet, "")
	}
	if m.Replace != "" {
		w.Leaf(nsCorrect, "replace", "", "id", string(m.Replace)) // XEP-0308
	}
	if m.Delayed && !m.At.IsZero() {
		w.Leaf(nsDelay, "delay", "", "from", h.b.self.String(), "stamp", m.At.UTC().Format("2006-01-02T15:04:05Z")) // XEP-0203
	}
	err := h.b.send(ctx, stanza.New(stanza.Message, "groupchat", string(m.Ref), real, room, w.String()))
	var refused *stanza.Error
	if errors.As(err, &refused) && (refused.Condition == stanza.NotAcceptable || refused.Type == stanza.Wait) { // not inside, or not now
		h.mu.Lock()
		by.refused(h.b.c.Now(), 0)
		h.mu.Unlock()
		return errEntering
	}
	return err
}

// called is what people call a contact who has no seat.
func (h *hall) called(c transports.ContactID) string {
	if h.c.Name != nil {
		if name := h.c.Name(c); name != "" && name != string(c) {
			return name + " (" + string(c) + ")"
		}
	}
	return string(c)
}

// homes are the rooms that a contact has a seat in; with out also those it has left.
func (h *hall) homes(c transports.ContactID) (in, out []jid.JID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		for _, s := range r.seats {
			if s.contact == c {
				in = append(in, r.jid)
			}
		}
		if h.out[outKey{c, r.jid}] {
			out = append(out, r.jid)
		}
	}
	return in, out
}

// home is the room for texts of a contact that belong to no conversation: the only one it is in.
func (h *hall) home(c transports.ContactID) (jid.JID, bool) {
	if h == nil {
		return jid.JID{}, false
	}
	in, _ := h.homes(c)
	if len(in) != 1 {
		return jid.JID{}, false
	}
	return in[0], true
}

// addressed finds the room that a text names, as in "#sales On my way": one that
// the contact has a seat in, or that its person is a member of. An id goes before a label; a label of several is none.
func (h *hall) addressed(m transports.Message) (room jid.JID, rest string, ok bool) {
	name, ok := strings.CutPrefix(strings.TrimSpace(m.Body), "#")
	if h == nil || !ok || m.Kind != "" {
		return room, "", false
	}
	name, rest, _ = strings.Cut(strings.ReplaceAll(name, "\n", " "), " ")
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return room, "", false
	}
	in, _ := h.homes(m.From)
	h.mu.Lock()
	defer h.mu.Unlock()
	found := 0
	for j, r := range h.rooms {
		if !r.is(name) || !h.reaches(m.From, in, j) {
			continue
		}
		if r.hasID(name) {
			return j, rest, true
		}
		room, found = j, found+1
	}
	return room, rest, found == 1
}

// reaches says whether a contact may speak in a room: from one of its homes, or since its person is a member.
func (h *hall) reaches(c transports.ContactID, homes []jid.JID, room jid.JID) bool {
	if slices.Contains(homes, room) {
		return true
	}
	if h.c.Account == nil || h.c.Groups == nil {
		return false
	}
	who := h.c.Account(c)
	return who != (jid.JID{}) && h.c.Groups.Affiliation(room.Local(), who) != ""
}

// is says whether a room is meant by a word: its id, or its label without spaces.
func (r *hallRoom) is(word string) bool {
	return r.hasID(word) || strings.EqualFold(strings.TrimRight(word, ".,:;!?"), strings.Join(strings.Fields(r.label), ""))
}

func (r *hallRoom) hasID(word string) bool {
	return strings.EqualFold(strings.TrimRight(word, ".,:;!?"), r.jid.Local())
}

// wish does what a contact wants of its rooms: LEAVE and JOIN as the whole text,
// or with a room's name. It reports whether the text was that.
func (h *hall) wish(m transports.Message) bool {
	if h == nil || m.Kind != "" || m.Replace != "" {
		return false
	}
	words := strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(m.Body), ".!")))
	if len(words) == 0 || len(words) > 2 || words[0] != "leave" && words[0] != "join" {
		return false
	}
	in, out := h.homes(m.From)
	leave, from, done := words[0] == "leave", out, in
	if leave {
		if from, done = in, out; len(words) == 1 && len(in) > 1 { // the one it is in conversation with
			done = nil
			if l, ok := h.b.last(m.From); ok {
				from = keepOnly(in, func(j jid.JID) bool { return j == l.Person })
			}
		}
	}
	h.mu.Lock()
	meant := func(j jid.JID) bool {
		r := h.rooms[j]
		return r != nil && (len(words) == 1 || r.is(strings.TrimPrefix(words[1], "#")))
	}
	from = keepOnly(from, meant)
	for _, j := range from {
		h.setOut(m.From, j, leave)
	}
	if len(from) == 0 && h.b.keyword(m) == nil { // offered again after a crash, or said twice
		from = keepOnly(done, meant)
	}
	var labels []string
	for _, j := range from {
		labels = append(labels, h.rooms[j].label)
	}
	h.mu.Unlock()
	if len(labels) == 0 {
		return false
	}
	h.stir()
	if h.c.Answer != nil {
		names := strings.Join(labels, ", ")
		if leave {
			h.c.Answer(m.From, m.Ref, "You get no more texts from "+names+". Text JOIN to come back.")
		} else {
			h.c.Answer(m.From, m.Ref, "You are in "+names+" again. Text LEAVE to get no more texts from there.")
		}
	}
	return true
}

func keepOnly(list []jid.JID, f func(jid.JID) bool) (kept []jid.JID) {
	for _, j := range list {
		if f(j) {
			kept = append(kept, j)
		}
	}
	return kept
}
