package sms

import (
	"context"
	"fmt"
	"strings"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// How the gateway's presence follows the signal, which is never still: it is looked at now and then, and a change is one
// that people would see as bars on a phone.
const (
	followEvery = time.Minute
	signalStep  = 6 // dB
)

// follow tells the gateway's presence when it has changed without a change of a modem's state.
func (s *Session) follow(ctx context.Context) {
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.tell(false)
		}
	}
}

// signal is what the gateway's presence says of a signal: the last value that differs enough from the one before.
func (u *unit) signal(dbm int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if d := dbm - u.shown; dbm == 0 || u.shown == 0 || d >= signalStep || d <= -signalStep {
		u.shown = dbm
	}
	return u.shown
}

// tellStatus offers the gateway's presence.
func (s *Session) tellStatus() { s.tell(true) }

// tell offers the gateway's presence when it is not what was told last, or anyway.
func (s *Session) tell(anyway bool) {
	s.tellMu.Lock()
	defer s.tellMu.Unlock()
	if e := s.status(s.env.Now()); anyway || e != s.told {
		s.told = e
		s.offers.put(&offer{event: e})
	}
}

// status is the gateway's presence: available while a modem can send, do not disturb while those that could only rest or have
// used up their caps, extended away without any.
func (s *Session) status(now time.Time) transports.StatusEvent {
	if len(s.units) == 0 {
		return transports.StatusEvent{Online: true, Show: "xa", Text: "No modem is configured, so texts wait. Add a [[modem]] to the settings."}
	}
	var good, bad []string
	resting := false
	for _, u := range s.units {
		st := u.m.Status()
		switch t, why := u.paused(now); {
		case !t.IsZero():
			bad = append(bad, why+"; it is tried again at "+s.n.clock(t).Format("15:04")+".")
			resting = resting || st.State == modem.Ready
		case st.State == modem.Ready && !s.able(u, true, now):
			switch why := s.lack(u, now); {
			case why != "":
				resting = true
				bad = append(bad, why+".")
			case !u.home(st):
				bad = append(bad, "The modem "+u.name+" is in the network of "+st.Operator+", and may not send there (operators in its settings).")
			default:
				bad = append(bad, "The modem "+u.name+" is about to work.")
			}
		case st.State == modem.Ready:
			op := st.Operator
			if op == "" {
				op = "Ready"
			}
			if dbm := u.signal(st.RSSI); dbm != 0 {
				op += fmt.Sprintf(", signal %d dBm", dbm)
			}
			good = append(good, op)
		case st.Text != "":
			bad = append(bad, st.Text)
		default:
			bad = append(bad, "The modem "+u.name+" is not ready ("+string(st.State)+").")
		}
	}
	if len(good) > 0 {
		return transports.StatusEvent{Online: true, Text: strings.Join(append(good, bad...), "; ")}
	}
	show := "xa"
	if resting {
		show = "dnd"
	}
	return transports.StatusEvent{Online: true, Show: show, Text: strings.Join(bad, " ") + " Queued SMS wait."}
}
