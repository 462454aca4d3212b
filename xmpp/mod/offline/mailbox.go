package offline

import (
	"context"
	"slices"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// mailbox is the waiting messages of one account. One exists in memory only
// while the account has rows. Its mutex is the account's entity lock: Later
// is called under it, so that the table sees rows come and go in our order.
type mailbox struct {
	m     *Module
	owner jid.JID

	once   sync.Once // reads the rows
	failed error     // of once

	mu      sync.Mutex // guards what follows
	rows    []*row     // in order of storing
	bytes   int
	near    int  // where in rows the next acknowledged one probably is
	taken   int  // rows that were acknowledged and are not yet erased
	read    bool // once is over
	dead    bool // empty and out of Module.boxes
	pumping bool // somebody sends rows now
	to      xmpp.Session
	burst   int       // bytes sent to `to` since the last pause
	resume  time.Time // end of the pause
}

// row is one stored message.
type row struct {
	key  string
	size int
	to   xmpp.Session // who has it; nil while it waits
	// st is the stanza as it was sent. It is kept until the row goes, or for
	// a while after its stream died, to recognise acknowledgements and what
	// the router gives back.
	st    *stanza.Stanza
	taken bool      // acknowledged: it goes with the others of that acknowledgement
	due   time.Time // to erase, when sent without XEP-0198; to forget st, when it waits again
}

// peek returns the mailbox of an account that has rows, else nil.
func (m *Module) peek(owner jid.JID) *mailbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boxes[owner]
}

// box returns the account's mailbox with its rows read.
func (m *Module) box(owner jid.JID) (*mailbox, error) {
	m.mu.Lock()
	b := m.boxes[owner]
	if b == nil {
		owner = owner.Clone()
		b = &mailbox{m: m, owner: owner}
		m.boxes[owner] = b
	}
	m.mu.Unlock()
	b.once.Do(func() {
		rows, err := m.read(owner)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.rows, b.failed, b.read = rows, err, true
		for _, r := range rows {
			b.bytes += r.size
		}
		b.dead = err != nil
	})
	if b.failed != nil {
		m.remove(b)
		return nil, b.failed
	}
	return b, nil
}

// remove takes a dead mailbox out.
func (m *Module) remove(b *mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.boxes[b.owner] == b {
		delete(m.boxes, b.owner)
	}
}

// release unlocks the mailbox and lets it go when it is empty.
func (b *mailbox) release() {
	empty := len(b.rows) == 0 && b.read && !b.pumping
	b.dead = b.dead || empty
	b.mu.Unlock()
	if empty {
		b.m.remove(b)
	}
}

// put stores a message, and sends it at once to a resource that came while
// nobody was there. behind: only if others wait already, and not over the quota.
func (m *Module) put(ctx context.Context, d *xmpp.Delivery, behind bool) (stored bool, err error) {
	// Before the lock: the table may wait for a block of numbers. One sender's
	// messages come one after the other, so their numbers rise all the same.
	seq, err := m.table.Next()
	if err != nil {
		return false, err
	}
	b, err := m.open(d.Stanza.To.Bare())
	if err != nil {
		return false, err
	}
	g, stored, err := b.append(d, seq, behind)
	b.release()
	if g != nil {
		g.open()
	}
	if stored {
		b.pump(ctx)
	}
	return stored, err
}

// open returns the account's mailbox, locked.
func (m *Module) open(owner jid.JID) (*mailbox, error) {
	for {
		b, err := m.box(owner)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		if !b.dead {
			return b, nil
		}
		b.mu.Unlock()
		m.remove(b)
	}
}

// append queues the row's commit. The caller holds the lock and opens the gate after it.
func (b *mailbox) append(d *xmpp.Delivery, seq uint64, behind bool) (*gate, bool, error) {
	if behind && !b.waits() {
		return nil, false, nil
	}
	v := value{V: 1, At: b.m.conf.Now().UTC(), XML: d.Stanza.String()}
	if len(b.rows) >= b.m.conf.Messages || b.bytes+len(v.XML) > b.m.conf.Bytes {
		if behind {
			return nil, false, nil // better early than not at all
		}
		return nil, false, stanza.NewError(stanza.ServiceUnavailable,
			"This person is offline and their mailbox is full, so the message was not kept; try again when they have been online.")
	}
	r := &row{key: key(b.owner, seq), size: len(v.XML)}
	b.rows = append(b.rows, r)
	b.bytes += r.size
	g := &gate{done: d.Await()}
	b.m.table.Later(map[string]any{r.key: v}, g.settle)
	return g, true, nil
}

// waits reports that rows wait to be sent, or are being sent. Needs the lock.
func (b *mailbox) waits() bool {
	if b.pumping {
		return true
	}
	for i := len(b.rows) - 1; i >= 0; i-- { // newest first: the usual answer is there
		if b.rows[i].to == nil {
			return true
		}
	}
	return false
}

func (b *mailbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waits()
}

// index finds the row whose stanza this is, -1 without one. Needs the lock.
// The very same stanza comes back from a stream; the comparison of contents
// (the stamp is part of it) is for one that was rebuilt on the way.
func (b *mailbox) index(st *stanza.Stanza) int {
	for i := b.near; i < len(b.rows); i++ { // acknowledgements come in order
		if r := b.rows[i]; r.st == st && !r.taken {
			return i
		}
	}
	for i, r := range b.rows {
		if r.st == st && !r.taken {
			return i
		}
	}
	for i, r := range b.rows {
		if r.st != nil && !r.taken && r.st.ID == st.ID && r.st.From == st.From && r.st.Inner() == st.Inner() {
			return i
		}
	}
	return -1
}

func (b *mailbox) has(st *stanza.Stanza) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index(st) >= 0
}

// arrived takes a stanza that s has acknowledged. The rows of all that one
// acknowledgement covers are erased together, with the last of them (more is
// false): true, when there were any.
func (b *mailbox) arrived(s xmpp.Session, st *stanza.Stanza, more bool) bool {
	b.mu.Lock()
	defer b.release()
	if i := b.index(st); i >= 0 {
		b.rows[i].to, b.rows[i].taken = s, true
		b.taken++
		b.near = i + 1
	}
	if more || b.taken == 0 {
		return false
	}
	b.erase(isTaken)
	return true
}

func isTaken(r *row) bool { return r.taken }

// drop forgets one row. Needs the lock.
func (b *mailbox) drop(i int) {
	b.bytes -= b.rows[i].size
	b.rows = slices.Delete(b.rows, i, i+1)
	b.near = 0
}

// erase deletes the rows that gone picks. Needs the lock.
func (b *mailbox) erase(gone func(*row) bool) {
	kept := make([]*row, 0, len(b.rows))
	changes := make(map[string]any)
	for _, r := range b.rows {
		if !gone(r) {
			kept = append(kept, r)
			continue
		}
		b.bytes -= r.size
		if r.taken {
			b.taken--
		}
		if changes[r.key] = nil; len(changes) == batch {
			b.m.table.Later(changes, b.m.erased)
			changes = make(map[string]any)
		}
	}
	if len(changes) > 0 {
		b.m.table.Later(changes, b.m.erased)
	}
	b.rows, b.near = kept, 0
}

// lost gives the rows of a session that ended back to the waiting ones.
func (b *mailbox) lost(s xmpp.Session) {
	b.mu.Lock()
	defer b.release()
	if b.to == s {
		b.to, b.burst, b.resume = nil, 0, time.Time{}
	}
	if b.taken > 0 { // the reader ended in the middle of an acknowledgement
		b.erase(isTaken)
	}
	for _, r := range b.rows {
		if r.to == s {
			r.to, r.due = nil, b.m.conf.Now().Add(forget)
		}
	}
	b.m.wake()
}

// tick erases and forgets what is due and goes on with a paused replay; it
// returns when to look again, zero for never.
func (b *mailbox) tick(ctx context.Context) (next time.Time) {
	now := b.m.conf.Now()
	b.mu.Lock()
	passed := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	erasable := false
	for _, r := range b.rows {
		if !passed(r.due) {
			continue
		}
		if r.to == nil {
			r.st, r.due = nil, time.Time{}
		} else {
			erasable = true
		}
	}
	if erasable {
		b.erase(func(r *row) bool { return r.to != nil && passed(r.due) })
	}
	again := passed(b.resume)
	if again {
		b.burst, b.resume = 0, time.Time{}
	}
	b.release()
	if again {
		b.pump(ctx)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	next = b.resume
	for _, r := range b.rows {
		if !r.due.IsZero() && (next.IsZero() || r.due.Before(next)) {
			next = r.due
		}
	}
	return next
}
