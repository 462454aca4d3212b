package bridge

import (
	"context"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
)

// At most statusMost changes of the gateway's presence are told in statusTime, so that a modem that comes and goes does not
// flood contact lists; who asks hears the truth at any time.
const (
	statusMost = 8
	statusTime = time.Minute
)

// setStatus changes the gateway's presence; the announcer tells those who see it.
func (b *Bridge) setStatus(e transports.StatusEvent) {
	b.mu.Lock()
	b.status = e
	b.mu.Unlock()
	b.stir()
	b.hall.stir()
}

// stir has the announcer look.
func (b *Bridge) stir() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// announcer tells what has changed in the presence of the gateway and its contacts, until ctx ends.
func (b *Bridge) announcer(ctx context.Context) {
	var told []time.Time // the last announcements of the gateway
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.news:
		case <-timer.C:
		}
		now := time.Now()
		wait := b.waits(ctx)
		if len(told) == statusMost && now.Sub(told[0]) < statusTime {
			wait = sooner(wait, statusTime-now.Sub(told[0]))
		} else if b.announce(ctx) {
			if told = append(told, now); len(told) > statusMost {
				told = told[1:]
			}
		}
		timer.Stop()
		if wait > 0 {
			timer.Reset(wait)
		}
	}
}

// sooner is the shorter of two waits, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// announce tells everybody who sees the gateway or one of its contacts what has changed; false when nothing has.
func (b *Bridge) announce(ctx context.Context) bool {
	type pair struct {
		local  string
		person jid.JID
	}
	b.mu.Lock()
	e, old := b.status, b.told
	if e == old {
		b.mu.Unlock()
		return false
	}
	b.told = e
	same := old.Online == e.Online && old.Show == e.Show && e.Show == "" // contacts look as before
	var all []pair
	for local, m := range b.watchers {
		if local != "" && same {
			continue
		}
		for person := range m {
			all = append(all, pair{local, person})
		}
	}
	b.mu.Unlock()
	b.log.Info("gateway presence", "online", e.Online, "show", e.Show, "text", e.Text)
	for _, p := range all {
		who := b.self
		if p.local != "" {
			j, err := jid.New(p.local, b.self.Domain(), "")
			if err != nil {
				continue
			}
			who = j
		}
		b.renew(ctx, who, p.person)
	}
	return true
}
