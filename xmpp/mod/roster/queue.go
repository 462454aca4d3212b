package roster

import (
	"context"
	"runtime/debug"
	"sync/atomic"

	"doorway/xmpp/jid"
)

// entry is one step in an account's life: perhaps a change that must reach the
// disk, and what may be told of it afterwards. The entries of an account run
// one after the other, in the order in which they were queued, whoever runs
// them; so pushes leave in the order of the commits, a subscription stanza
// leaves before the next one, and a roster result stands in the right place
// between pushes.
type entry struct {
	contact jid.JID
	next    *item // what the account holds since; nil: nothing more
	changed bool  // something goes to disk
	waited  bool  // the one who queued it waits for the disk and then drains
	long    bool  // it waits for the client: for tellers only

	ready     atomic.Bool // on disk, or refused
	err       error       // why it was refused; set before ready
	committed chan struct{}
	done      chan struct{} // closed when the entry has run; nil: nobody waits

	run    func(ctx context.Context) // tells
	refuse func(error)               // instead of run when the disk refused; may be nil
}

func newEntry(run func(context.Context)) *entry {
	return &entry{run: run, committed: make(chan struct{}), done: make(chan struct{})}
}

// tell adds an entry for which nobody waits. Needs a.mu; drain must follow.
func (m *Module) tell(a *account, run func(context.Context)) {
	m.hold(a)
	e := &entry{run: run}
	e.ready.Store(true)
	a.queue = append(a.queue, e)
}

// turn reports that it is at once the turn of what somebody wants to tell, who
// then does so by now. Needs a.mu.
func (a *account) turn() bool {
	if a.running || len(a.queue) > 0 {
		return false
	}
	a.running = true
	return true
}

// now is tell and drain for whose turn it is.
func (m *Module) now(ctx context.Context, a *account, run func(context.Context)) {
	func() {
		defer m.recovered(a)
		run(ctx)
	}()
	a.mu.Lock()
	a.running = false
	more := len(a.queue) > 0
	a.mu.Unlock()
	if more {
		m.drain(ctx, a)
	}
}

// enqueue adds an entry that changes nothing. Needs a.mu; drain must follow.
func (m *Module) enqueue(a *account, e *entry) {
	m.hold(a)
	e.ready.Store(true)
	close(e.committed)
	a.queue = append(a.queue, e)
}

// commit puts next in the place of old (either may be nil) and queues the
// change and the entry. With e.waited the caller waits for e.committed without
// the lock and then drains; else the entry runs by itself. Needs a.mu.
func (m *Module) commit(a *account, contact jid.JID, old, next *item, e *entry) {
	changes := make(map[string]map[string]any, 2)
	k := key(a.owner, contact)
	var gone item
	o, n := old, next
	if o == nil {
		o = &gone
	}
	if n == nil || n.empty() {
		n, next = &gone, nil
	}
	if !sameRecord(o, n) {
		var v any
		if n.kept() {
			v = n.record()
		}
		changes[tableRoster] = map[string]any{k: v}
	}
	if o.request != n.request {
		var v any
		if n.request != nil {
			v = requestRecord{V: recordVersion, Stanza: n.request.String()}
		}
		changes[tableRequests] = map[string]any{k: v}
	}
	a.put(contact, next)
	if o.state.hasFrom() && !n.state.hasFrom() {
		m.losses.Add(1)
	}
	if len(changes) == 0 {
		m.enqueue(a, e)
		return
	}
	m.hold(a)
	e.contact, e.next, e.changed = contact, next, true
	a.queue = append(a.queue, e)
	m.host.Tables().LaterAll(changes, func(err error) {
		// The store's own goroutine: no lock, no hook, no waiting here.
		e.err = err
		e.ready.Store(true)
		close(e.committed)
		if !e.waited {
			m.spawn(a)
		}
	})
}

// drain runs what is ready at the head of an account's queue, unless somebody
// else does. It holds no lock while it tells. What is long it leaves, with all
// that is behind it, to a teller.
func (m *Module) drain(ctx context.Context, a *account) { m.work(ctx, a, false) }

func (m *Module) work(ctx context.Context, a *account, teller bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running {
		return
	}
	a.running = true
	for len(a.queue) > 0 && a.queue[0].ready.Load() {
		e := a.queue[0]
		if e.long && !teller {
			m.handOver(a)
			break
		}
		a.queue[0] = nil
		if a.queue = a.queue[1:]; len(a.queue) == 0 {
			a.queue = nil
		}
		a.mu.Unlock()
		m.finish(ctx, a, e)
		a.mu.Lock()
	}
	a.running = false
}

// recovered, when deferred, logs a panic in a hook on the way, which ends this step
// only: the goroutine may belong to somebody else's connection.
func (m *Module) recovered(a *account) {
	if r := recover(); r != nil {
		m.log.Error("panic while telling of a roster change", "user", a.owner.String(), "err", r,
			"stack", string(debug.Stack()))
	}
}

// finish runs one entry.
func (m *Module) finish(ctx context.Context, a *account, e *entry) {
	defer m.release(a)
	defer func() {
		if e.done != nil {
			close(e.done)
		}
	}()
	defer m.recovered(a)
	if e.err == nil {
		e.run(ctx)
		return
	}
	m.log.Error("roster change not stored", "user", a.owner.String(), "err", e.err)
	m.revert(a, e)
	if e.refuse != nil {
		e.refuse(e.err)
	}
}

// revert takes back in memory what the disk has refused, unless a later change
// of the same contact stands on it already: then that one's fate decides.
func (m *Module) revert(a *account, e *entry) {
	if !e.changed {
		return
	}
	kept, err := m.read(a.owner, e.contact)
	if err != nil {
		m.log.Error("roster item unreadable", "user", a.owner.String(), "err", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if find(a.items, e.contact) == e.next {
		a.put(e.contact, kept)
	}
}

// spawn drains in a goroutine of its own; Run waits for it.
func (m *Module) spawn(a *account) {
	m.hold(a)
	m.bg.add(1)
	go func() {
		defer m.bg.add(-1)
		defer m.release(a)
		m.drain(context.Background(), a)
	}()
}

// Run waits until ctx ends and then until everything that was queued has been
// told. The streams are closed by then, so nothing new comes.
func (m *Module) Run(ctx context.Context) error {
	<-ctx.Done()
	m.bg.wait()
	return nil
}
