package offline

import (
	"context"
	"slices"

	"doorway/xmpp"
)

// copy is the Deliver hook for sessions whose client's link was lost: a row
// holds the message until the client has resumed the stream and acknowledged
// it (XEP-0198 §5). A server that dies meanwhile replays it; when the client
// does not come back in time, so does this one. Over the quota the queue in
// memory has to do.
func (m *Module) copy(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	a, ok := d.Session.(xmpp.Absentee)
	if !ok || !a.Absent() || fateOf(d.Stanza) != keep {
		return xmpp.Pass, nil
	}
	seq, err := m.table.Next()
	if err != nil {
		return xmpp.Done, err
	}
	b, err := m.open(d.Session.JID().Bare())
	if err != nil {
		return xmpp.Done, err
	}
	g := b.copy(d, seq)
	b.release()
	if g != nil {
		g.open()
	}
	return xmpp.Pass, nil
}

// copy queues the row's commit; nil when there is no row. Needs the lock; the
// caller opens the gate after it.
func (b *mailbox) copy(d *xmpp.Delivery, seq uint64) *gate {
	m := b.m
	now := m.conf.Now()
	// The very stanza that will be acknowledged has the stamp.
	st := m.stamp(d.Stanza, now)
	if st.ID != "" {
		if i := b.index(st); i >= 0 { // another absent session has it too
			d.Stanza = b.rows[i].st
			return nil
		}
	}
	v := value{V: 1, At: now.UTC(), XML: st.String()}
	if len(b.rows) >= m.conf.Messages || b.bytes+len(v.XML) > m.conf.Bytes {
		return nil
	}
	d.Stanza = st
	r := &row{key: key(b.owner, seq), size: len(v.XML), to: d.Session, st: st}
	if !slices.Contains(m.host.Sessions(b.owner), d.Session) {
		r.to = nil // it ended just now, and will give the stanza back
	}
	b.rows = append(b.rows, r)
	b.bytes += r.size
	g := &gate{done: d.Await()}
	m.table.Later(map[string]any{r.key: v}, g.settle)
	return g
}
