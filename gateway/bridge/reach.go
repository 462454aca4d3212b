package bridge

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"doorway/transports"
	"doorway/xmpp/jid"
)

const (
	reachPatience = 2 * time.Minute  // a text that waits longer for its phone says that the phone is off
	reachNews     = 10 * time.Minute // a phone that is reached again and again is told of no more often
	keepReach     = 30 * 24 * time.Hour
)

// What the last report said of a phone.
const (
	reached   = "reached"
	unreached = "unreached"
)

// reachRecord is the record "reach/"+contact: what delivery reports say of a contact that somebody sees the presence of.
type reachRecord struct {
	V     int       `json:"v"`
	At    time.Time `json:"at"`              // of this record
	State string    `json:"state,omitempty"` // reached, unreached; "" unknown
	Since time.Time `json:"since,omitzero"`  // of State
	Waits time.Time `json:"waits,omitzero"`  // since when a text waits for the phone

	told time.Time // when Since was told last
	away bool      // it is shown as away
}

// late is when the phone is shown as away, zero for never.
func (r *reachRecord) late() time.Time {
	if r.Waits.IsZero() {
		return time.Time{}
	}
	return r.Waits.Add(reachPatience)
}

// show is the presence that follows; text "" says nothing.
func (r *reachRecord) show(now time.Time) (show, text string) {
	const clock = "2 Jan 15:04"
	switch late := r.late(); {
	case !late.IsZero() && !now.Before(late):
		return "away", "A text has been waiting for this phone since " + r.Waits.Local().Format(clock) + "."
	case r.State == unreached:
		return "xa", "The last text, " + r.Since.Local().Format(clock) + ", did not reach this phone."
	case r.State == reached:
		return "", "Reached " + r.Since.Local().Format(clock)
	}
	return "", ""
}

// loadReach reads what is known. Some of these contacts are seen by probes only, which are not on disk and come later.
func (b *Bridge) loadReach() error {
	if !b.c.Reach {
		return nil
	}
	now := b.c.Now()
	return b.c.Table.Range("reach/", "reach0", false, func(key string, raw []byte) bool {
		c := transports.ContactID(strings.TrimPrefix(key, "reach/"))
		r := &reachRecord{}
		if json.Unmarshal(raw, r) == nil && now.Sub(r.At) <= keepReach {
			b.reach[c] = r
		}
		return true
	})
}

// spell keeps under which local parts a contact is seen, so that no more is kept of contacts than there are subscriptions.
// The caller holds mu.
func (b *Bridge) spell(local string, yes bool) {
	if !b.c.Reach || local == "" {
		return
	}
	c, err := b.c.Network.ContactID(jid.Unescape(local))
	if err != nil {
		return
	}
	switch m := b.spelt[c]; {
	case yes && m == nil:
		b.spelt[c] = map[string]bool{local: true}
	case yes:
		m[local] = true
	default:
		delete(m, local)
		if len(m) == 0 {
			delete(b.spelt, c)
			if b.reach[c] != nil {
				delete(b.reach, c)
				b.c.Table.Later(map[string]any{"reach/" + string(c): nil}, nil)
			}
		}
	}
}

// report takes what became of a text as news of its phone.
func (b *Bridge) report(ctx context.Context, r transports.Receipt) {
	at := r.At
	b.learn(ctx, r.To, func(x *reachRecord) {
		switch {
		case r.State == transports.Accepted:
			if x.Waits.IsZero() {
				x.Waits = at
			}
			return
		case r.State == transports.Delivered:
			x.State, x.Since = reached, at
		case r.State == transports.Failed && r.Err != nil && (r.Err.Kind == transports.NotFound || r.Err.Kind == transports.Down && !r.Err.Temporary):
			x.State, x.Since = unreached, at // the network says so of the phone, not of our modem
		case r.State == transports.SentUnconfirmed:
			x.State, x.Since = "", time.Time{}
		}
		x.Waits = time.Time{}
	})
}

// heard takes a text from a phone as news of it.
func (b *Bridge) heard(ctx context.Context, from transports.ContactID) {
	now := b.c.Now()
	b.learn(ctx, from, func(x *reachRecord) { x.State, x.Since, x.Waits = reached, now, time.Time{} })
}

// learn changes what is known of a contact that somebody sees, and tells them when it looks different.
func (b *Bridge) learn(ctx context.Context, c transports.ContactID, f func(*reachRecord)) {
	if !b.c.Reach {
		return
	}
	now := b.c.Now()
	b.mu.Lock()
	if b.spelt[c] == nil {
		b.mu.Unlock()
		return
	}
	x := b.reach[c]
	if x == nil {
		x = &reachRecord{V: 1}
		b.reach[c] = x
	}
	was := *x
	f(x)
	if x.State == was.State && x.Since.Equal(was.Since) && x.Waits.Equal(was.Waits) {
		b.mu.Unlock()
		return
	}
	x.At = now
	look, _ := x.show(now)
	news := look == "away" != x.away || x.State != was.State || x.State != "" && !x.Since.Equal(was.Since) && now.Sub(x.told) >= reachNews
	if news {
		x.told, x.away = now, look == "away"
	}
	record := *x
	b.mu.Unlock()
	b.c.Table.Later(map[string]any{"reach/" + string(c): record}, func(err error) {
		if err != nil {
			b.log.Error("reach of a number not stored", "net", masked(c), "err", err)
		}
	})
	if news {
		b.tellReach(ctx, c)
	}
	b.stir() // a wait may have begun
}

// waits shows as away whose text has waited too long; it returns how long the next one has to wait, 0 without one.
func (b *Bridge) waits(ctx context.Context) (next time.Duration) {
	if !b.c.Reach {
		return 0
	}
	now := b.c.Now()
	var away []transports.ContactID
	b.mu.Lock()
	for c, x := range b.reach {
		switch late := x.late(); {
		case x.away || late.IsZero():
		case now.Before(late):
			next = sooner(next, late.Sub(now))
		default:
			x.away, x.told = true, now
			away = append(away, c)
		}
	}
	b.mu.Unlock()
	for _, c := range away {
		b.tellReach(ctx, c)
	}
	return next
}

// tellReach sends a contact's presence to those who see it.
func (b *Bridge) tellReach(ctx context.Context, c transports.ContactID) {
	type pair struct{ who, person jid.JID }
	var all []pair
	b.mu.Lock()
	for local := range b.spelt[c] {
		who, err := jid.New(local, b.self.Domain(), "")
		if err != nil {
			continue
		}
		for person := range b.watchers[local] {
			all = append(all, pair{who, person})
		}
	}
	b.mu.Unlock()
	for _, p := range all {
		b.renew(ctx, p.who, p.person)
	}
}
