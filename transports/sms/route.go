package sms

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// Route says what a modem is for. The zero value takes every text.
//
// A text prefers the modem that names its sender, else one of the sender's
// groups, else the longest prefix of its number, else the one through which
// that number texted in last; without any of these it takes the modem that
// has rested longest. A preferred modem that is not ready is waited for: half
// a minute with an urgent text, Config.Failover with another; then any modem
// may send it that is not Only for others.
type Route struct {
	Prefixes  []string // of numbers in E.164, e.g. "+4915"
	Senders   []string // bare JIDs
	Groups    []string // names of groups of people
	Operators []string // it sends only while one of these networks has it, as Status.Operator names them; nil: any
	Only      bool     // it sends nothing but what Prefixes, Senders and Groups name
	Backup    bool     // it sends only while no other modem can
	PerHour   int      // parts; 0 is no cap
	PerDay    int
}

// urgentFailover is how long an urgent text waits for its preferred modem.
const urgentFailover = 30 * time.Second

// A job's lane names its preferred modem; with the sign before it no other
// may send the text.
const fixedLane = "="

func (s *Session) unit(name string) *unit {
	for _, u := range s.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

// lane chooses the lane of a text.
func (s *Session) lane(m transports.Message, num string) (string, error) {
	if m.Via != "" {
		if s.unit(m.Via) == nil {
			return "", &transports.Error{Kind: transports.Refused, Text: fmt.Sprintf("There is no modem %.40q. ", m.Via) + "`doorway modem list` shows their names."}
		}
		return fixedLane + m.Via, nil
	}
	open := slices.ContainsFunc(s.units, func(u *unit) bool { return !u.route.Only })
	if len(s.units) < 2 && (open || len(s.units) == 0) {
		return "", nil
	}
	var groups []string
	if s.n.cfg.Groups != nil && m.Sender != "" {
		groups = s.n.cfg.Groups(m.Sender)
	}
	best, rank := "", 0
	for _, u := range s.units {
		r := 0
		switch {
		case m.Sender != "" && slices.Contains(u.route.Senders, m.Sender):
			r = 2000
		case slices.ContainsFunc(u.route.Groups, func(g string) bool { return slices.Contains(groups, g) }):
			r = 1000
		default:
			r = longest(u.route.Prefixes, num)
		}
		if r > rank {
			best, rank = u.name, r
		}
	}
	switch {
	case best != "":
		return best, nil
	case !open:
		return "", &transports.Error{Kind: transports.Refused, Text: "No modem may send this text to " + num + ": each has only = true in its [[modem]] section, " +
			"and none names this number, its sender or a group of theirs. The administrator can change that."}
	}
	var in simRecord
	if ok, err := s.env.Table.Get("sim/"+num, &in); err == nil && ok && s.unit(in.Modem) != nil && !s.unit(in.Modem).route.Only {
		return in.Modem, nil // the answer comes from the number that was written to
	}
	return "", nil
}

// simRecord is the record "sim/"+number: the modem it texted in through last.
type simRecord struct {
	V     int       `json:"v"`
	Modem string    `json:"modem"`
	At    time.Time `json:"at"`
}

// longest is the length of the longest prefix of num, 0 for none.
func longest(prefixes []string, num string) int {
	n := 0
	for _, p := range prefixes {
		if strings.HasPrefix(num, p) {
			n = max(n, len(p))
		}
	}
	return n
}

// accepts answers Lease.Accept for a worker; it takes leaf locks only.
func (s *Session) accepts(u *unit, lane string, priority int) bool {
	now, urgent := s.env.Now(), priority >= alarmPriority
	if !s.able(u, urgent, now) {
		return false
	}
	name, fixed := strings.CutPrefix(lane, fixedLane)
	if name != "" {
		switch v := s.unit(name); {
		case v == u:
			return true
		case v == nil: // it is no longer configured
		case fixed, !s.away(v, urgent, now):
			return false
		}
	}
	if u.route.Only {
		return false
	}
	for _, w := range s.units {
		switch {
		case w == u || w.route.Only || !s.able(w, urgent, now):
		case u.route.Backup && !w.route.Backup:
			return false
		case w.route.Backup && !u.route.Backup:
		case w.before(u):
			return false // it waits for work, too, and has rested longer
		}
	}
	return true
}

// able reports that a modem may send now: it is ready and a cap has room.
func (s *Session) able(u *unit, urgent bool, now time.Time) bool {
	if !u.usable() {
		return false
	}
	if u.route.PerHour == 0 && u.route.PerDay == 0 {
		return true
	}
	local, who := s.n.clock(now), usedByModem(u.name)
	return room(u.route.PerHour, s.used.hour(local, who), urgent) > 0 && room(u.route.PerDay, s.used.day(local, who), urgent) > 0
}

// away reports that a modem has been unable to send for so long that others
// take over what prefers it.
func (s *Session) away(u *unit, urgent bool, now time.Time) bool {
	if s.able(u, urgent, now) {
		return false
	}
	patience := s.n.cfg.Failover
	if urgent {
		patience = min(patience, urgentFailover)
	}
	since := u.unable()
	return since.IsZero() || now.Sub(since) >= patience // zero: it is ready and a cap is used up
}

// kickAll has every worker look again.
func (s *Session) kickAll() {
	for _, u := range s.units {
		u.kick()
	}
}

// moment is the next time at which accepts may answer otherwise although nothing happens: the end of a pause, of
// patience, or of an hour with a cap; zero for none.
func (s *Session) moment(u *unit, now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	until, _ := u.paused(now)
	sooner(until)
	if len(s.units) > 1 {
		if since := u.unable(); !since.IsZero() {
			sooner(since.Add(urgentFailover))
			sooner(since.Add(s.n.cfg.Failover))
		}
	}
	if u.route.PerHour > 0 || u.route.PerDay > 0 {
		sooner(fullHour(s.n.clock(now)))
	}
	return at
}

// lack is the sentence about a cap that is used up; "" with room.
func (s *Session) lack(u *unit, now time.Time) string {
	local, who := s.n.clock(now), usedByModem(u.name)
	switch {
	case room(u.route.PerDay, s.used.day(local, who), true) <= 0:
		return fmt.Sprintf("The modem %s has sent its %d texts of today (per_day)", u.name, u.route.PerDay)
	case room(u.route.PerHour, s.used.hour(local, who), true) <= 0:
		return fmt.Sprintf("The modem %s has sent its %d texts of this hour (per_hour)", u.name, u.route.PerHour)
	case room(u.route.PerDay, s.used.day(local, who), false) <= 0:
		return fmt.Sprintf("Of the %d texts of today only the reserve for alarms is left to the modem %s (per_day)", u.route.PerDay, u.name)
	case room(u.route.PerHour, s.used.hour(local, who), false) <= 0:
		return fmt.Sprintf("Of the %d texts of this hour only the reserve for alarms is left to the modem %s (per_hour)", u.route.PerHour, u.name)
	}
	return ""
}

// Trouble is a modem that is kept from sending although it answers, or texts that nobody takes.
type Trouble struct {
	Modem string // or "inbox"
	Text  string // a sentence with what to do next
	Since time.Time
}

// Troubles lists the modems that rest because sending through them keeps failing, those whose
// cap is used up, and texts that came in and reach nobody. A modem that is not ready says so itself (modem.Status).
func (n *Network) Troubles() []Trouble {
	s := n.current.Load()
	if s == nil {
		return nil
	}
	now := s.env.Now()
	var list []Trouble
	if n, since := s.offers.stuck(time.Now()); n > 0 {
		what := "A text that came in reaches"
		if n > 1 {
			what = fmt.Sprintf("%d texts that came in reach", n)
		}
		list = append(list, Trouble{"inbox", what + " nobody: `doorway sms inbox` shows them as waiting. See that recipients in the [sms] settings, else admins, names accounts that there are.", since})
	}
	for _, u := range s.units {
		if until, why := u.paused(now); !until.IsZero() {
			list = append(list, Trouble{u.name, why + "; it is tried again at " + s.n.clock(until).Format("15:04") + ".", u.unable()})
			continue
		}
		if why := s.lack(u, now); why != "" {
			list = append(list, Trouble{u.name, why + ". Other texts wait or go through another modem; raise the cap if that is too little.", hourOf(s.n.clock(now))})
			continue
		}
		if st := u.m.Status(); st.State == modem.Ready && !u.home(st) {
			list = append(list, Trouble{u.name, "The modem " + u.name + " is with the network " + st.Operator + ", which is not among its operators, so it sends nothing. Move it, or change operators in its [[modem]] section.", st.Since})
		}
	}
	return list
}

// ModemUse is what one modem has sent.
type ModemUse struct {
	Modem       string
	Hour, Day   int // parts on the air in this hour and today
	PerHour     int // the caps, 0 for none
	PerDay      int
	Resting     bool
	Distinct    int // texts that failed in a row
	LastSuccess time.Time
}

// Use tells what each modem has sent, for metrics.
func (n *Network) Use() []ModemUse {
	s := n.current.Load()
	if s == nil {
		return nil
	}
	now := s.env.Now()
	local := n.clock(now)
	var list []ModemUse
	for _, u := range s.units {
		until, _ := u.paused(now)
		m := ModemUse{Modem: u.name, Hour: s.used.hour(local, usedByModem(u.name)), Day: s.used.day(local, usedByModem(u.name)),
			PerHour: u.route.PerHour, PerDay: u.route.PerDay, Resting: !until.IsZero()}
		u.mu.Lock()
		m.Distinct, m.LastSuccess = len(u.stumbles), u.success
		u.mu.Unlock()
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Modem < list[j].Modem })
	return list
}
