package presence

import (
	"slices"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// maxDirected is how many addresses one session may have sent presence to that
// must be told when it ends. More than any client joins rooms.
const maxDirected = 500

// key finds a session's state.
var key = xmpp.Key{Name: "presence"}

// state is what a session's presence needs beside what the session holds.
type state struct {
	mu       sync.Mutex // guards what follows; a leaf, held for assignments only
	current  *stanza.Stanza
	last     *stanza.Stanza // the last unavailable presence
	version  uint64         // rises with each change of current
	directed []jid.JID      // RFC 6121 §4.6.1
	closed   bool
	busy     bool     // a goroutine works on todo
	todo     []func() // broadcasts that wait for the one before
}

// stateOf is nil for a session that another module made up, or one not bound.
func stateOf(s xmpp.Session) *state {
	p, _ := s.Value(&key).(*state)
	return p
}

// do runs f after every broadcast of the session that has begun, without a
// lock: in this goroutine, or in the one that is at it. So the end of a stream,
// which may come from elsewhere, does not overtake its last presence.
func (p *state) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.todo = append(p.todo, f)
	if p.busy {
		return
	}
	p.busy = true
	defer func() { p.busy = false }()
	for len(p.todo) > 0 {
		f := p.todo[0]
		p.todo = p.todo[1:]
		func() {
			p.mu.Unlock()
			defer p.mu.Lock() // also when f panics
			f()
		}()
	}
	p.todo = nil
}

// rise makes the session available, or updates it. initial reports that it was
// not; ok is false when the stream has ended.
func (p *state) rise(s xmpp.Session, st *stanza.Stanza, priority int8) (initial, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, false
	}
	initial = p.current == nil
	p.current = st
	p.version++
	s.SetPresence(st, priority)
	return initial, true
}

// fall makes the session unavailable and hands over who got directed presence.
func (p *state) fall(s xmpp.Session, st *stanza.Stanza, closed bool) (was bool, directed []jid.JID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || closed
	was = p.current != nil
	if was {
		p.current, p.last = nil, st
		p.version++
		s.SetPresence(nil, 0)
	}
	directed, p.directed = p.directed, nil
	return was, directed
}

// look returns the current presence, or with gone the unavailable one that
// ended it, and the version of that.
func (p *state) look() (current, gone *stanza.Stanza, version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, p.last, p.version
}

// track notes a receiver of directed presence; false when there are too many.
func (p *state) track(to jid.JID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed || slices.Contains(p.directed, to):
		return true
	case len(p.directed) >= maxDirected:
		return false
	}
	p.directed = append(p.directed, to.Clone())
	return true
}

// tracks reports a receiver of directed presence.
func (p *state) tracks(to jid.JID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.directed, to)
}

// untrack forgets a receiver.
func (p *state) untrack(to jid.JID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.directed, to); i >= 0 {
		p.directed = slices.Delete(p.directed, i, i+1)
	}
}

// toldOf reports that an address, or another one of the same bare JID, got
// directed presence.
func (p *state) toldOf(j jid.JID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.directed, func(d jid.JID) bool { return d.Bare() == j.Bare() })
}
