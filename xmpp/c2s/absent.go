package c2s

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"doorway/xmpp/jid"
)

// secret is the hash of a resumption id: what is looked up tells nobody who
// measures how long it takes anything of the ids there are.
type secret [sha256.Size]byte

func hashed(id string) secret { return sha256.Sum256([]byte(id)) }

// absentees is what a Server knows of streams that can be resumed (XEP-0198
// §5). Guarded by Server.mu, inside which conn.mu may be taken.
type absentees struct {
	streams map[secret]*conn   // or an ancestor of the one that stands for the session
	away    map[*conn]struct{} // sessions without a connection
	graves  []grave            // what has ended, oldest at next
	next    int
}

// grave keeps the last count of a stream that can no longer be resumed.
type grave struct {
	key     secret
	account jid.JID
	h       uint32
}

// maxGraves bounds them: the older ones are forgotten.
const maxGraves = 256

// severed is the link of a session without a connection: where it last came from.
type severed struct {
	Link
	addr   string
	secure bool
}

func (s severed) Addr() string                    { return s.addr }
func (s severed) Secure() bool                    { return s.secure }
func (s severed) SetReadDeadline(time.Time) error { return nil }

// promised waits, not for long, while another goroutine is just writing the
// answer to <enable/>: a client that has got it and loses its link in the same
// moment can resume.
func (c *conn) promised() {
	c.mu.Lock()
	if !c.writing || c.sm == nil || c.sm.counting && !c.starting() {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	t := time.NewTimer(c.srv.lim.Closing)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}

// starting reports that the answer to <enable/> is being written. With mu held.
func (c *conn) starting() bool {
	return c.flight != nil && slices.ContainsFunc(c.flight.items, func(it item) bool { return it.mark == starts })
}

// detach makes a connection without a link, that stands for the session until
// its client is back, for the time given; nil when there is nothing to resume.
// With mu held.
func (c *conn) detach(keep time.Duration) *conn {
	m := c.sm
	if keep <= 0 || m == nil || !m.counting {
		return nil
	}
	if c.starting() {
		return nil // the client may not know its id
	}
	d := &conn{srv: c.srv, link: severed{addr: c.link.Addr(), secure: c.link.Secure()}, state: detached, writing: true, account: c.account}
	d.mu.Lock() // the session is found with it from Move on
	defer d.mu.Unlock()
	if !c.session().Move(d) {
		return nil // another stream has taken the resource
	}
	m.lost = time.Now()
	m.until = m.lost.Add(keep)
	d.inherit(c)
	m.free()
	return d
}

// inherit takes a session over, with all that concerns it. Nobody else knows
// c, or may write on it. With mu of both held.
func (c *conn) inherit(from *conn) {
	c.sess.Store(from.session())
	c.handled, c.first, c.holds = from.handled, from.first, from.holds
	c.sm, c.calm = from.sm, from.calm
	c.sm.disarm()
	if q := from.out; q != nil {
		q.items = slices.DeleteFunc(q.items, func(it item) bool { return it.st == nil || it.mark == again })
		for _, it := range q.items {
			c.queued += it.size()
		}
		c.out = q
	}
	from.out, from.queued = nil, from.flying
	from.sm, from.holds, from.calm = nil, nil, nil
	from.heir, from.state = c, parted
}

// patience is how long the session of a connection that has ended waits for
// its client; 0: not at all.
func (c *conn) patience(why error, reachable bool) time.Duration {
	c.mu.Lock()
	m := c.sm
	resumable := m != nil && m.resumable
	c.mu.Unlock()
	switch {
	case !resumable:
		return 0
	case !reachable, why == errStalled, why == errSilent, why == errEndless, why == errResumed:
	default: // one side wanted it to end
		return 0
	}
	l := &c.srv.lim
	if m.max > 0 {
		return m.max
	}
	if i := c.srv.cfg.Idlers; i != nil && i.Inactive(c.session()) {
		return max(l.Resume, l.ResumeIdle)
	}
	return l.Resume
}

// promise remembers a stream so that it can be resumed.
func (s *Server) promise(key secret, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent.streams[key] = c
}

// detached says that d stands for c's session now.
func (s *Server) detached(ctx context.Context, c, d *conn) {
	s.mu.Lock()
	d.mu.Lock()
	stays := s.serving > 0
	if m := d.sm; m != nil { // else it has been resumed already
		s.absent.away[d] = struct{}{}
		if s.absent.streams[m.key] == c {
			s.absent.streams[m.key] = d
		}
	}
	d.mu.Unlock()
	s.mu.Unlock()
	if !stays {
		d.part(ctx)
	}
}

// resumed says that c goes on in place of d.
func (s *Server) resumed(key secret, d, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.absent.away, d)
	s.absent.streams[key] = c
}

// ended forgets a stream, but for its count. c has parted.
func (s *Server) ended(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.absent
	delete(a.away, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.sm
	if m == nil || !m.resumable {
		return
	}
	m.ended = true
	delete(a.streams, m.key)
	g := grave{m.key, c.account, c.safe() - c.first}
	if len(a.graves) < maxGraves {
		a.graves = append(a.graves, g)
	} else {
		a.graves[a.next] = g
		a.next = (a.next + 1) % maxGraves
	}
	m.free()
}

// free tells those who wait for the session.
func (m *management) free() {
	if m.freed != nil {
		close(m.freed)
		m.freed = nil
	}
}

// find returns the connection behind an id, nil without one, and of a stream
// that has ended its last count.
func (s *Server) find(key secret, account jid.JID) (c *conn, h uint32, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.absent.streams[key]; c != nil {
		return c, 0, false
	}
	for _, g := range s.absent.graves {
		if g.key == key && g.account == account {
			return nil, g.h, true
		}
	}
	return nil, 0, false
}

// part ends a session without a connection: what did not arrive goes back to
// the router, with the time since when it waits. Harmless when it has been
// resumed or has ended.
func (c *conn) part(ctx context.Context) {
	c.mu.Lock()
	if c.state >= parted {
		c.mu.Unlock()
		return
	}
	c.state = parted
	lost := c.sm.lost
	rest := c.undelivered()
	c.mu.Unlock()
	for i, st := range rest {
		rest[i] = c.session().Delayed(st, lost)
	}
	c.log().Debug("session not resumed", "user", c.session().JID())
	b := &batch{Context: ctx}
	b.begin()
	c.unbind(ctx, b, rest)
	b.flush()
	c.srv.ended(c)
}

// kicked has the sweep look at once.
func (s *Server) kicked() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// expire ends the sessions that were closed or have waited long enough.
func (s *Server) expire(now time.Time) {
	s.each(func(c *conn) bool { return c.state != detached || !now.Before(c.sm.until) })
}

// dismiss ends all of them, when the server stops.
func (s *Server) dismiss() { s.each(func(*conn) bool { return true }) }

// each ends those absent sessions for which f, with conn.mu held, says so.
func (s *Server) each(f func(*conn) bool) {
	var list []*conn
	s.mu.Lock()
	for c := range s.absent.away {
		c.mu.Lock()
		if f(c) {
			list = append(list, c)
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	for _, c := range list {
		c.part(context.Background())
	}
}

// makeRoom ends the account's session that has been waiting longest, so that
// a client that comes anew is not kept out by those that were lost.
func (s *Server) makeRoom(ctx context.Context, account jid.JID) bool {
	var oldest *conn
	var since time.Time
	s.mu.Lock()
	for c := range s.absent.away {
		c.mu.Lock()
		if c.state == detached && c.account == account && (oldest == nil || c.sm.lost.Before(since)) {
			oldest, since = c, c.sm.lost
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.part(ctx)
	return true
}
