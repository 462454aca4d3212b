package sms

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"doorway/transports"
)

// The periods that parts are counted in, as the middle of a record's key.
const (
	dayFormat  = "2006-01-02"
	hourFormat = "2006-01-02T15"
)

// reserved is the share of a cap, in percent, that only urgent texts may use.
const reserved = 20

// usage counts parts by day and hour for the caps; the records
// "use/"+period+"/"+who keep the counts over a restart. A count is queued for
// the disk before what it counts, so that a crash loses none.
type usage struct {
	table transports.Table
	log   func(error)

	mu     sync.Mutex // guards what follows
	counts map[string]int
	today  string
}

type usageRecord struct {
	V int `json:"v"`
	N int `json:"n"`
}

// who is counted.
const usedByAll = "all"

func usedByPerson(sender string) string { return "person/" + sender }
func usedByModem(name string) string    { return "modem/" + name }

func (u *usage) load(table transports.Table, log func(error)) error {
	u.table, u.log, u.counts = table, log, map[string]int{}
	return table.Range("use/", "use0", false, func(key string, raw []byte) bool {
		if r, err := decodeRecord[usageRecord](raw); err == nil {
			u.counts[key] = r.N
		}
		return true
	})
}

// add counts n parts; below zero it takes some back.
func (u *usage) add(now time.Time, who string, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	changes := map[string]any{}
	if day := now.Format(dayFormat); u.today != day {
		if n < 0 && u.today != "" {
			return // it was counted on another day
		}
		u.today = day
		for key := range u.counts {
			if !strings.HasPrefix(key, "use/"+day) {
				delete(u.counts, key)
				changes[key] = nil
			}
		}
	}
	for _, format := range []string{dayFormat, hourFormat} {
		if format == hourFormat && !strings.HasPrefix(who, "modem/") {
			continue
		}
		key := "use/" + now.Format(format) + "/" + who
		u.counts[key] = max(u.counts[key]+n, 0)
		changes[key] = usageRecord{V: recordVersion, N: u.counts[key]}
	}
	u.table.Later(changes, func(err error) {
		if err != nil {
			u.log(err)
		}
	})
}

func (u *usage) day(now time.Time, who string) int  { return u.count(now.Format(dayFormat), who) }
func (u *usage) hour(now time.Time, who string) int { return u.count(now.Format(hourFormat), who) }

func (u *usage) count(period, who string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.counts["use/"+period+"/"+who]
}

// room is what a cap leaves of itself: urgent texts may use all of it, others
// not the reserve. A cap of 0 is none.
func room(most, used int, urgent bool) int {
	if most <= 0 {
		return 1 << 30
	}
	if !urgent {
		most -= most * reserved / 100
	}
	return most - used
}

// fullHour is when the hour's caps begin anew, and at midnight the day's. now is in local time: not all zones are whole
// hours off, and an hour that comes twice (the end of summer time) is one.
func fullHour(now time.Time) time.Time {
	at := hourOf(now).Add(time.Hour)
	if at.Hour() == now.Hour() {
		at = at.Add(time.Hour)
	}
	return at
}

// hourOf is when the hour began.
func hourOf(now time.Time) time.Time {
	return now.Add(-time.Duration(now.Minute()*60+now.Second())*time.Second - time.Duration(now.Nanosecond()))
}

// capped refuses a text that a cap of the person or of the house has no room for.
func (s *Session) capped(sender string, parts int, urgent bool, now time.Time) error {
	c := &s.n.cfg
	if sender != "" && !urgent && c.PersonPerDay > 0 && s.used.day(now, usedByPerson(sender))+parts > c.PersonPerDay {
		return &transports.Error{Kind: transports.Busy, Temporary: true, Text: fmt.Sprintf("You have used your %d texts of today, so this one was not sent. "+
			"Tomorrow there are new ones; the administrator can raise person_per_day in the [sms] settings.", c.PersonPerDay)}
	}
	if room(c.PerDay, s.used.day(now, usedByAll), urgent) < parts {
		text := fmt.Sprintf("All of today's %d texts are used, so this one was not sent. ", c.PerDay)
		if !urgent && room(c.PerDay, s.used.day(now, usedByAll), true) >= parts {
			text = fmt.Sprintf("Of today's %d texts only the reserve for alarms is left, so this one was not sent. ", c.PerDay)
		}
		return &transports.Error{Kind: transports.Busy, Temporary: true,
			Text: text + "Tomorrow there are new ones; the administrator can raise per_day in the [sms] settings."}
	}
	return nil
}

// Hours are the time of day in which ordinary texts leave, in minutes after
// midnight; Until below From goes over midnight. The zero value is the whole day.
type Hours struct{ From, Until int }

// Opens returns t when the hours hold then, else when they begin next.
func (h Hours) Opens(t time.Time) time.Time {
	if h.hold(t) {
		return t
	}
	y, mo, d := t.Date()
	at := h.begin(y, mo, d, t.Location())
	if !at.After(t) {
		at = h.begin(y, mo, d+1, t.Location())
	}
	return at
}

func (h Hours) hold(t time.Time) bool {
	m := t.Hour()*60 + t.Minute()
	switch {
	case h.From == h.Until:
		return true
	case h.From < h.Until:
		return m >= h.From && m < h.Until
	}
	return m >= h.From || m < h.Until
}

// begin is From of a day. Where summer time leaves that out it is an hour later: time.Date may have gone back.
func (h Hours) begin(y int, mo time.Month, d int, l *time.Location) time.Time {
	at := time.Date(y, mo, d, h.From/60, h.From%60, 0, 0, l)
	if !h.hold(at) {
		at = at.Add(time.Hour)
	}
	return at
}

// clock is the local time of the house, by which days and hours are counted.
func (n *Network) clock(t time.Time) time.Time { return t.In(n.cfg.Location) }
