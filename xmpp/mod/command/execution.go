package command

import (
	"context"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// execution is one run of a command: the pages so far and what was filled in.
// It is in Module.running; pages belongs to whoever made it busy.
type execution struct {
	id      string
	asker   jid.JID // full
	pages   []page  // the last is shown; never empty once begun
	expires time.Time
	last    uint64 // guarded by Module.mu: the step it was used at
	busy    bool   // guarded by Module.mu: a step is under way
}

// page is a page with what was last filled in.
type page struct {
	*xmpp.CommandPage
	filled *form.Form
}

// begin makes a busy execution, in the place of the user's oldest one when
// there are too many.
func (m *Module) begin(id string, asker jid.JID) (*execution, error) {
	e := &execution{id: id, asker: asker.Clone(), busy: true, expires: time.Now().Add(lifetime)}
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest *execution
	n := 0
	for _, x := range m.running {
		if x.asker.Bare() == asker.Bare() {
			if n++; !x.busy && (oldest == nil || x.last < oldest.last) {
				oldest = x
			}
		}
	}
	switch {
	case n >= maxPerUser && oldest == nil, n < maxPerUser && len(m.running) >= maxAll:
		return nil, stanza.NewError(stanza.ResourceConstraint, "Too many commands are under way. Finish or cancel one, or try again later.")
	case n >= maxPerUser:
		delete(m.running, oldest.id)
	}
	m.steps++
	e.last = m.steps
	m.running[id] = e
	select {
	case m.timer <- struct{}{}:
	default: // it is awake already
	}
	return e, nil
}

// resume makes an execution busy.
func (m *Module) resume(id string) (*execution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.running[id]
	switch {
	case e == nil:
		return nil, expired()
	case e.busy:
		return nil, stanza.NewError(stanza.UnexpectedRequest, "The step before this one is still being worked on. Wait for its answer.")
	case !time.Now().Before(e.expires):
		delete(m.running, id)
		return nil, expired()
	}
	e.busy = true
	m.steps++
	e.last = m.steps
	return e, nil
}

// release ends a step, and the execution with over.
func (m *Module) release(e *execution, over bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.busy = false
	e.expires = time.Now().Add(lifetime)
	if over && m.running[e.id] == e {
		delete(m.running, e.id)
	}
}

// session forgets the executions of a resource that has gone.
func (m *Module) session(_ context.Context, ev xmpp.SessionEvent) {
	if ev.Kind != xmpp.SessionClosed {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.running {
		if e.asker == ev.Session.JID() {
			delete(m.running, id)
		}
	}
}

// Run forgets executions that have expired. It sleeps while there are none.
func (m *Module) Run(ctx context.Context) error {
	timer := time.NewTimer(lifetime)
	defer timer.Stop()
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.timer:
		case <-timer.C:
		}
		if next := m.sweep(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(time.Until(next), time.Second))
		}
	}
}

// sweep forgets what has expired and says when to look again; zero: not before
// something begins.
func (m *Module) sweep() (next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for id, e := range m.running {
		switch {
		case !e.busy && !now.Before(e.expires):
			delete(m.running, id)
		case next.IsZero() || e.expires.Before(next):
			next = e.expires
		}
	}
	return next
}
