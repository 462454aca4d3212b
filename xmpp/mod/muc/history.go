package muc

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// What is kept of a room's talk, and read for somebody who enters.
const (
	keepMessages = 50
	readBytes    = 256 << 10
)

// said is one message on disk.
type said struct {
	V    int    `json:"v"`
	XML  string `json:"xml"`            // from the occupant, with ids, without to
	Real string `json:"real,omitempty"` // whose it is; "" for the room's
}

func historyKey(room jid.JID, id uint64) string {
	b := make([]byte, 0, len(room.String())+9)
	b = append(append(b, room.String()...), 0)
	return string(binary.BigEndian.AppendUint64(b, id))
}

// idOf is the id in a key.
func idOf(key string) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(key[len(key)-8:]))
}

func historyRange(room jid.JID) (from, to string) {
	return room.String() + "\x00", room.String() + "\x01"
}

// nextID gives a message its id: rising, and its time in microseconds.
func (r *room) nextID() uint64 {
	r.last = max(r.last+1, uint64(r.m.conf.Now().UnixMicro()))
	return r.last
}

// keep stores a message, and lets the oldest go; done is called when that is
// on disk.
func (r *room) keep(id uint64, st *stanza.Stanza, by *seat, done func(error)) {
	row := said{V: 1, XML: st.String()}
	if by != nil {
		row.Real = by.occ.bare.String()
	}
	changes := map[string]any{historyKey(r.jid, id): row}
	r.kept = append(r.kept, id)
	for len(r.kept) > keepMessages {
		changes[historyKey(r.jid, r.kept[0])] = nil
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.m.history.Later(changes, done)
}

// loadHistory learns which messages there are.
func (r *room) loadHistory() error {
	from, to := historyRange(r.jid)
	err := r.m.history.Range(from, to, false, func(key string, _ []byte) bool {
		r.kept = append(r.kept, idOf(key))
		return true
	})
	if n := len(r.kept); n > 0 {
		r.last = r.kept[n-1]
	}
	return err
}

// unkeep lets one message go.
func (r *room) unkeep(id uint64, done func(error)) {
	r.kept = slices.DeleteFunc(r.kept, func(x uint64) bool { return x == id })
	r.m.history.Later(map[string]any{historyKey(r.jid, id): nil}, done)
}

// dropHistory forgets the room's messages.
func (r *room) dropHistory() {
	if len(r.kept) == 0 {
		return
	}
	changes := make(map[string]any, len(r.kept))
	for _, id := range r.kept {
		changes[historyKey(r.jid, id)] = nil
	}
	r.kept = nil
	r.m.history.Later(changes, nil)
}

// sweepHistory drops messages of rooms that ended with the last run.
func (m *Module) sweepHistory() error {
	changes := make(map[string]any)
	err := m.history.Range("", "", false, func(key string, _ []byte) bool {
		name, _, _ := strings.Cut(key, "\x00")
		j, err := jid.Parse(name)
		if err != nil || j.Domain() == m.conf.Domain && (m.index[j] == nil || m.index[j].gone != nil) {
			changes[key] = nil
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read history of rooms: %w", err)
	}
	if len(changes) > 0 {
		m.history.Later(changes, nil)
	}
	return nil
}

// past is what was said in a room, oldest first, up to the message last.
type past struct {
	room  jid.JID
	last  uint64
	lines []line
}

type line struct {
	id   uint64
	st   *stanza.Stanza
	real string
}

// read fills p up to p.last, which the caller has seen in the room.
func (m *Module) read(p *past) error {
	p.lines = p.lines[:0]
	from, to := historyRange(p.room)
	bytes := 0
	err := m.history.Range(from, to, true, func(key string, raw []byte) bool {
		var s said
		id := idOf(key)
		if id > p.last {
			return true
		}
		err := json.Unmarshal(raw, &s)
		var st *stanza.Stanza
		if err == nil {
			st, err = stanza.Parse(s.XML)
		}
		if err != nil {
			m.log.Error("message of a room unreadable", "room", p.room.String(), "err", err)
			return true
		}
		if bytes += len(s.XML); bytes > readBytes {
			return false
		}
		p.lines = append(p.lines, line{id, st, s.Real})
		return len(p.lines) < keepMessages
	})
	if err != nil {
		return fmt.Errorf("read history of room: %w", err)
	}
	slices.Reverse(p.lines)
	return nil
}

// wanted is the part that somebody asks for, each with the time it was said
// (XEP-0045 §7.2.13, §7.2.14).
func (p *past) wanted(h muc.History, limit int, now time.Time) []*stanza.Stanza {
	if h.MaxStanzas >= 0 {
		limit = min(limit, h.MaxStanzas)
	}
	var out []*stanza.Stanza
	chars := 0
	for _, l := range slices.Backward(p.lines) {
		at := time.UnixMicro(int64(l.id)).UTC()
		if len(out) >= limit || !h.Since.IsZero() && at.Before(h.Since) || h.Within >= 0 && at.Before(now.Add(-h.Within)) {
			break
		}
		st := l.st.WithAppended(delayXML(p.room, at))
		if chars += st.Size(); h.MaxChars >= 0 && chars > h.MaxChars {
			break
		}
		out = append(out, st)
	}
	slices.Reverse(out)
	return out
}

// delayXML is XEP-0203.
func delayXML(from jid.JID, at time.Time) string {
	return "<delay xmlns='" + nsDelay + "' from='" + escape(from.String()) + "' stamp='" + at.UTC().Format("2006-01-02T15:04:05.000Z") + "'/>"
}
