package muc

import (
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// pace bounds how often somebody does something: a bucket that fills with
// time. The zero value is full.
type pace struct {
	spent float64
	at    time.Time
}

// take spends cost of a bucket that holds burst and fills at rate a second.
func (p *pace) take(now time.Time, cost, rate, burst float64) bool {
	if d := now.Sub(p.at).Seconds(); d > 0 {
		p.spent = max(0, p.spent-d*rate)
		p.at = now
	}
	if p.spent+cost > burst {
		return false
	}
	p.spent += cost
	return true
}

// How fast one may go: joins of a person, presence of an occupant. A client
// that comes back enters all its rooms at once.
const (
	joinRate, joinBurst         = 5, 400
	presenceRate, presenceBurst = 1, 30
	nickCost                    = 5 // a change of nick weighs as much as so many presences
	maxPaces                    = 1024
)

// mayJoin counts a join.
func (m *Module) mayJoin(who jid.JID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.conf.Now()
	p := m.paces[who]
	if p == nil {
		if len(m.paces) >= maxPaces {
			for j, old := range m.paces {
				if now.Sub(old.at).Seconds()*joinRate >= old.spent {
					delete(m.paces, j)
				}
			}
		}
		p = &pace{at: now}
		m.paces[who.Clone()] = p
	}
	if !p.take(now, 1, joinRate, joinBurst) {
		return stanza.NewError(stanza.ResourceConstraint, "You enter rooms too often; wait a moment.")
	}
	return nil
}

// hurry counts a presence of an occupant.
func (s *seat) hurry(now time.Time, cost float64) error {
	if !s.pace.take(now, cost, presenceRate, presenceBurst) {
		return stanza.NewError(stanza.ResourceConstraint, "You change your presence here too often; wait a moment.")
	}
	return nil
}
