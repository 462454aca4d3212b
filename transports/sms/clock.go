package sms

import "time"

// leastJump is how far the clock must be set at once to be said to have jumped.
const leastJump = time.Minute

// follow keeps what is awaited at its distance when the clock of the box is set, as it is on a box without a clock of its
// own once it hears of the right time: else reports would be given up, or awaited for years.
func (k *keeper) follow(now time.Time) {
	mono := time.Now() // its monotonic reading is set by nobody
	was := k.seen
	k.seen = mono
	if was.IsZero() {
		k.wall = now.Round(0)
		return
	}
	by := now.Round(0).Sub(k.wall.Add(mono.Sub(was)))
	k.wall = now.Round(0)
	if by.Abs() < leastJump {
		return
	}
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Round(0).Add(by)
		}
	}
	for _, t := range k.out {
		t.moved += by
		for i := range t.parts {
			p := &t.parts[i]
			move(&p.sent)
			move(&p.since)
			move(&p.until)
		}
	}
	for id, end := range k.waiting {
		if end != 0 {
			k.waiting[id] = end + int64(by)
		}
	}
	for i := range k.reports {
		move(&k.reports[i].at)
	}
	for i := range k.lates {
		move(&k.lates[i].since)
	}
	move(&k.wake)
	move(&k.swept)
}
