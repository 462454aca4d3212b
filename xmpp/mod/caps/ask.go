package caps

import (
	"context"
	"slices"
	"strconv"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// find looks a hash up, or asks for it unless somebody else is being asked.
func (m *Module) find(ctx context.Context, s xmpp.Session, c *client) {
	m.mu.Lock()
	if e := m.cache[c.version]; e != nil {
		m.clock++
		e.used = m.clock
		m.mu.Unlock()
		m.learned(ctx, e.info, s)
		return
	}
	if verifiable(c.hash) {
		if q := m.pending[c.version]; q != nil {
			q.waiting = append(q.waiting, s)
			m.mu.Unlock()
			return
		}
		m.pending[c.version] = &query{asked: s, since: time.Now()}
	}
	m.mu.Unlock()
	m.ask(ctx, s, c)
}

// ask sends the request (XEP-0115 §6.2).
func (m *Module) ask(ctx context.Context, s xmpp.Session, c *client) {
	id := "caps" + strconv.FormatUint(m.queries.Add(1), 36)
	m.mu.Lock()
	c.id = id
	m.mu.Unlock()
	var w xmlstream.Writer
	w.Start(discoInfo, "query", "node", c.node+"#"+c.ver).End()
	m.host.Deliver(ctx, s, stanza.New(stanza.IQ, string(stanza.Get), id, m.home, s.JID(), w.String()))
}

// next asks the next client that uses a hash, when the one that was asked has
// not given a right answer.
func (m *Module) next(ctx context.Context, v version, failed xmpp.Session) {
	m.mu.Lock()
	q := m.pending[v]
	if q == nil || q.asked != failed {
		m.mu.Unlock()
		return
	}
	if c := clientOf(failed); c != nil && c.version == v && !slices.Contains(q.failed, failed) {
		q.failed = append(q.failed, failed)
	}
	for len(q.waiting) > 0 {
		s := q.waiting[0]
		q.waiting = q.waiting[1:]
		if c := clientOf(s); c != nil && c.version == v {
			q.asked, q.since = s, time.Now()
			m.mu.Unlock()
			m.ask(ctx, s, c)
			return
		}
	}
	delete(m.pending, v)
	m.mu.Unlock()
}

// forget ends what is known of a session's client.
func (m *Module) forget(ctx context.Context, s xmpp.Session, c *client) {
	s.SetValue(&key, nil)
	m.mu.Lock()
	if q := m.pending[c.version]; q != nil {
		q.waiting = slices.DeleteFunc(q.waiting, func(w xmpp.Session) bool { return w == s })
	}
	m.mu.Unlock()
	m.next(ctx, c.version, s)
}

// answered takes a client's answer; false when it is none that was asked for.
func (m *Module) answered(ctx context.Context, s xmpp.Session, st *stanza.Stanza) bool {
	c := clientOf(s)
	if c == nil {
		return false
	}
	m.mu.Lock()
	if c.id == "" || c.id != st.ID {
		m.mu.Unlock()
		return false
	}
	c.id = ""
	m.mu.Unlock()
	var i *info
	if st.Type == string(stanza.Result) {
		if q, ok := st.Child(discoInfo, "query"); ok {
			i = parse(&q)
		}
	}
	if i == nil || !i.sound || !verifiable(c.hash) || i.ver(c.hash) != c.ver {
		if i != nil { // XEP-0115 §5.4: for this one client only
			i.trim()
			m.learned(ctx, i, s)
		}
		m.next(ctx, c.version, s)
		return true
	}
	i.trim()
	m.mu.Lock()
	m.keep(c.version, i)
	sessions := []xmpp.Session{s}
	if q := m.pending[c.version]; q != nil {
		delete(m.pending, c.version)
		for _, w := range slices.Concat(q.failed, []xmpp.Session{q.asked}, q.waiting) {
			if o := clientOf(w); w != s && o != nil && o.version == c.version {
				sessions = append(sessions, w)
			}
		}
	}
	m.mu.Unlock()
	m.learned(ctx, i, sessions...)
	return true
}

// keep adds a right answer to the cache and makes room for it. Needs the lock.
func (m *Module) keep(v version, i *info) {
	if m.cache[v] != nil {
		return
	}
	m.clock++
	m.cache[v] = &entry{info: i, used: m.clock}
	m.bytes += i.size
	for m.bytes > m.limit && len(m.cache) > 1 {
		var oldest version
		least := m.clock
		for k, e := range m.cache {
			if e.used < least {
				oldest, least = k, e.used
			}
		}
		m.bytes -= m.cache[oldest].info.size
		delete(m.cache, oldest)
	}
}

// Run gives up on clients that do not answer, until ctx ends.
func (m *Module) Run(ctx context.Context) error {
	t := time.NewTicker(patience)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			m.giveUp(ctx, now)
		}
	}
}

func (m *Module) giveUp(ctx context.Context, now time.Time) {
	late := make(map[version]xmpp.Session)
	m.mu.Lock()
	for v, q := range m.pending {
		if now.Sub(q.since) >= patience {
			late[v] = q.asked
		}
	}
	m.mu.Unlock()
	for v, s := range late {
		m.next(ctx, v, s)
	}
}
