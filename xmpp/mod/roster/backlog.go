package roster

import (
	"context"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// A change of groups may mean very many pushes: another label for a group of
// 2,000 people is one for each of them to each of them, since a push has exactly
// one item (RFC 6121 §2.1.6). Whoever makes such a change does not wait for them.
// They keep their place in each user's queue as one small entry, and a few
// goroutines, the tellers, work them out for one user after the other and send them no
// faster than the user's clients take them.
const (
	// fewPushes is how many pushes a user is told at once in the goroutine of whoever
	// made the change, roundPushes how many all users are.
	fewPushes   = 64
	roundPushes = 8192
	// portion is how many pushes are written out together.
	portion = 128
	// tellers is how many users are told at the same time. Most of them wait for
	// clients; atWork is how many do not.
	tellers = 32
	atWork  = 2
	// maxLong is how many long changes may wait for one user, and how many in all
	// before a further change waits for them, for longestWait. Then clients that
	// are still so far behind are sent away, to load the roster anew.
	maxLong     = 4
	longestWait = 10 * time.Second
)

// errBehind ends a stream whose client does not take the changes of its roster.
var errBehind = &stanza.StreamError{Condition: "policy-violation",
	Text: "This client is too far behind with changes of its contact list. Please connect again to load all of it."}

// backlog is what tellers have before them.
type backlog struct {
	mu      sync.Mutex // guards what follows; a leaf
	waiting []*account // with their reference
	working int        // tellers
	rounds  int        // changes of which somebody has not been told yet
	fewer   chan struct{}
	slots   chan struct{} // one for each teller at work
}

// wait waits while many long changes have not been told yet, bounded.
func (b *backlog) wait() {
	t := time.NewTimer(longestWait)
	defer t.Stop()
	for {
		b.mu.Lock()
		if b.rounds < maxLong {
			b.mu.Unlock()
			return
		}
		if b.fewer == nil {
			b.fewer = make(chan struct{})
		}
		fewer := b.fewer
		b.mu.Unlock()
		select {
		case <-fewer:
		case <-t.C:
			return
		}
	}
}

// begin and end count the users whom a round has not told yet.
func (b *backlog) begin(r *round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.long++; r.long == 1 {
		b.rounds++
	}
}

func (b *backlog) end(r *round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.long--; r.long > 0 {
		return
	}
	b.rounds--
	if b.fewer != nil {
		close(b.fewer)
		b.fewer = nil
	}
}

// later queues a round's news of a user, to be worked out when it is their turn
// from what is so now; false when it does not, as the clients are too far behind.
// Needs a.mu; drain must follow.
func (r *round) later(a *account) bool {
	m := r.m
	if a.long >= maxLong {
		for _, s := range m.host.Sessions(a.owner) {
			if s.Value(&interested) != nil {
				s.Close(errBehind)
			}
		}
		return false
	}
	items, version := a.items, a.version()
	m.hold(a)
	a.long++
	m.backlog.begin(r)
	e := &entry{long: true}
	e.run = func(context.Context) {
		defer func() {
			a.mu.Lock()
			a.long--
			a.mu.Unlock()
			m.backlog.end(r)
		}()
		r.tell(a, items, version)
	}
	e.ready.Store(true)
	a.queue = append(a.queue, e)
	return true
}

// tell tells a user in portions, as fast as the clients take them.
func (r *round) tell(a *account, items []*item, version string) {
	m := r.m
	if len(m.host.Sessions(a.owner)) == 0 {
		return // they load the whole roster when they come
	}
	m.backlog.slots <- struct{}{}
	var diffs []diff
	r.change.Items(a.owner, func(contact jid.JID, before, after *xmpp.SharedItem) {
		diffs = append(diffs, diff{contact, before, after})
	})
	list := r.news(make([]news, 0, len(diffs)), a, diffs, items, version)
	<-m.backlog.slots
	for len(list) > 0 {
		n := min(portion, len(list))
		m.portion(a.owner, list[:n])
		for _, s := range m.host.Sessions(a.owner) {
			if p, ok := s.(xmpp.Paced); ok {
				p.Pace()
			}
		}
		list = list[n:]
	}
}

func (m *Module) portion(user jid.JID, list []news) {
	m.backlog.slots <- struct{}{}
	defer func() { <-m.backlog.slots }()
	ctx, flush := m.gather(context.Background())
	defer flush()
	m.report(ctx, user, list)
}

// handOver leaves an account's queue to a teller, once. Needs a.mu.
func (m *Module) handOver(a *account) {
	if a.handed {
		return
	}
	a.handed = true
	m.hold(a)
	b := &m.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, a)
	if b.working == tellers {
		return
	}
	b.working++
	m.bg.add(1)
	go m.teller() // Run waits for it
}

// teller works on one queue after the other until none waits.
func (m *Module) teller() {
	defer m.bg.add(-1)
	for a := m.backlog.next(); a != nil; a = m.backlog.next() {
		a.mu.Lock()
		a.handed = false
		a.mu.Unlock()
		ctx, flush := m.gather(context.Background())
		m.work(ctx, a, true)
		flush()
		m.release(a)
	}
}

// next takes the queue that has waited longest; nil ends the teller.
func (b *backlog) next() *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting = nil
		b.working--
		return nil
	}
	a := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return a
}
