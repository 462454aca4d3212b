package archive

import (
	"fmt"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Past is a message of the past: with whom it was exchanged, and when it was
// archived. It carries no id of the owner yet.
type Past struct {
	With   jid.JID
	At     time.Time
	Stanza *stanza.Stanza
}

// Insert archives messages of the past for one owner, oldest first, as an
// account brings them from another server. Their ids follow their times; one of
// the future counts as of now. What is older than the archive's age is left
// out. Insert returns when the rest, which it counts, is on disk.
func (a *Archive) Insert(owner jid.JID, list []Past) (kept int, err error) {
	now := a.conf.Now()
	floor, last := now.Add(-a.conf.Age), ID(0)
	for len(list) > 0 && err == nil {
		n := min(batch, len(list))
		var good []Past
		for _, p := range list[:n] {
			if !p.At.Before(floor) {
				if p.At.After(now) {
					p.At = now
				}
				good = append(good, p)
			}
		}
		list = list[n:]
		if len(good) > 0 {
			if last, err = a.insert(owner.Bare(), good, last); err == nil {
				kept += len(good)
			}
		}
	}
	a.wake()
	return kept, err
}

// insert commits one batch and returns its last id.
func (a *Archive) insert(who jid.JID, list []Past, last ID) (ID, error) {
	a.upkeep.Lock()
	defer a.upkeep.Unlock()
	bodies, rows := make(map[string]any, len(list)), make(map[string]any, 2*len(list)+1)
	var sum int64
	for _, p := range list {
		id := max(at(p.At), last+1)
		for {
			taken, err := a.bodies.Get(bodyKey(id), nil)
			if err != nil {
				return last, fmt.Errorf("read archive: %w", err)
			}
			if !taken {
				break
			}
			id++
		}
		last = id
		r := record{V: 1, At: p.At.UnixMicro(), XML: string(p.Stanza.AppendXML(nil, "jabber:client"))}
		r.Owners = []owner{{who.String(), p.With.String()}}
		bodies[bodyKey(id)] = r.encode()
		rows[indexKey(who, id)] = p.With.String()
		if !p.With.IsZero() {
			rows[contactKey(who, p.With, id)] = p.With.String()
		}
		sum += r.cost()
	}
	result := make(chan error, 1)
	a.mu.Lock()
	before := a.noted
	a.bytes += sum
	a.last = max(a.last, last)
	a.noted = tally{V: 1, Bytes: a.bytes, UpTo: a.last}
	rows[tallyKey] = a.noted
	a.tables.LaterAll(map[string]map[string]any{"archive": bodies, "archive_index": rows}, func(err error) { result <- err })
	a.mu.Unlock()
	err := <-result
	if err != nil {
		a.mu.Lock()
		a.bytes -= sum
		a.noted = before
		a.mu.Unlock()
		return last, fmt.Errorf("archive messages of the past: %w", err)
	}
	return last, nil
}

// Result is the message as <result/> (XEP-0313 §4.2), for files (XEP-0227 §4.11).
func (m *Message) Result() string { return result(m, "", nil) }
