package offline

import (
	"context"
	"errors"
	"slices"
	"time"

	"doorway/xmpp"
)

// pump sends waiting rows in order to one resource until they are gone or the
// resource has enough for now. One pump runs at a time; whoever comes
// meanwhile may go, since this one looks again under the lock before it ends.
func (b *mailbox) pump(ctx context.Context) {
	b.mu.Lock()
	if b.pumping {
		b.mu.Unlock()
		return
	}
	b.pumping = true
	for {
		r, to := b.next()
		if r == nil {
			break
		}
		r.to = to
		b.burst += r.size
		st := r.st
		b.mu.Unlock()

		var err error
		if st == nil {
			st, err = b.m.load(r.key)
		}
		b.mu.Lock()
		if err != nil {
			if !b.unread(r, err) {
				break
			}
			continue
		}
		if r.to != to {
			continue // it ended meanwhile
		}
		r.st, r.due = st, time.Time{}
		if !acks(to) {
			r.due = b.m.conf.Now().Add(grace)
			b.m.wake()
		}
		b.mu.Unlock()
		to.Send(ctx, st)
		b.mu.Lock()
	}
	b.pumping = false
	b.release()
}

// next picks the oldest waiting row and who gets it, nil when there is
// nothing to do now. Needs the lock.
func (b *mailbox) next() (*row, xmpp.Session) {
	if !b.resume.IsZero() {
		return nil, nil
	}
	to := b.target()
	if to == nil {
		return nil, nil
	}
	var first *row
	flying := 0
	for _, r := range b.rows {
		switch {
		case r.to != nil:
			flying += r.size
		case first == nil:
			first = r
		}
	}
	switch {
	case first == nil:
		b.burst = 0
		return nil, nil
	case acks(to):
		if flying >= window {
			return nil, nil // the next acknowledgement goes on
		}
	case b.burst >= window:
		b.resume = b.m.conf.Now().Add(pause)
		b.m.wake()
		return nil, nil
	}
	return first, to
}

// target is the resource the replay goes to: the one that has it already, as
// long as it takes messages, else the one of highest priority. Needs the lock.
func (b *mailbox) target() xmpp.Session {
	var best xmpp.Session
	var high int8 = -1
	for _, s := range b.m.host.Sessions(b.owner) {
		st, prio := s.Presence()
		if st == nil || prio < 0 {
			continue
		}
		if s == b.to {
			return s
		}
		if prio > high {
			best, high = s, prio
		}
	}
	if best != b.to {
		b.to, b.burst = best, 0
	}
	return best
}

func acks(s xmpp.Session) bool {
	a, ok := s.(xmpp.Acknowledging)
	return ok && a.Acks()
}

// unread deals with a row that could not be read; it reports whether to go on
// with the others. Needs the lock.
func (b *mailbox) unread(r *row, err error) bool {
	if errors.Is(err, errGone) || errors.Is(err, errUnreadable) {
		if errors.Is(err, errUnreadable) {
			// Left on disk for a person to look at.
			b.m.host.Log().Error("offline message is unreadable", "comp", "offline", "user", b.owner.String(), "err", err)
		}
		if i := slices.Index(b.rows, r); i >= 0 {
			b.drop(i)
		}
		return true
	}
	b.m.host.Log().Error("offline messages cannot be read", "comp", "offline", "user", b.owner.String(), "err", err)
	r.to = nil
	b.resume = b.m.conf.Now().Add(pause)
	b.m.wake()
	return false
}
