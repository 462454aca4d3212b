package modem

import (
	"context"
	"strings"
	"time"

	"github.com/warthog618/modem/info"
)

// callOver is how long after a ring a NO CARRIER is the end of that call and
// not the answer to a command.
const callOver = 15 * time.Second

// ring is a call that rings (3GPP TS 27.007 §6.11, §7.6).
type ring struct {
	call    Call
	over    time.Time // it has ended when it has not rung again until then
	ended   bool
	refused bool
}

// Calls tells of calls once they have ended or were refused. Calls nobody reads of are dropped.
func (d *Driver) Calls() <-chan Call { return d.calls }

// rang notes a ring, its number, or its end.
func (s *session) rang(line string) {
	now := time.Now()
	k := urcKind(line)
	if k == kindCallEnd {
		if s.ring != nil {
			s.ring.ended, s.ring.over = true, now
		}
		return
	}
	if s.ring != nil && s.ring.ended {
		s.tellCall() // another one begins already
	}
	if s.ring == nil {
		s.ring = &ring{call: Call{Modem: s.d.cfg.Name, At: now}}
	}
	r := s.ring
	// Networks ring every 4 to 6 s; two fifteenths of the poll interval are 8 s.
	r.over = now.Add(s.t.Poll * 2 / 15)
	if k == kindRing {
		r.call.Rings++
	} else if n := parseCLIP(line); n != "" {
		r.call.From = n
	}
	if s.d.cfg.HangUp && !r.refused && (r.call.From != "" || r.call.Rings > 1 || k == kindCaller) {
		r.over = now // refuse it now that it is known who calls, or that it will not be
	}
}

// callDue tells whether something is to be done about a call.
func (s *session) callDue(now time.Time) bool { return !now.Before(s.ring.over) }

// callStep refuses a call, or tells of one that has ended.
func (s *session) callStep(ctx context.Context, now time.Time) error {
	r := s.ring
	if s.d.cfg.HangUp && !r.refused && !r.ended {
		r.refused, r.call.HungUp = true, true
		r.over = now.Add(s.t.Poll * 2 / 15) // another RING may be on its way
		ok, err := s.set(ctx, "AT+CHUP", 0)
		if err == nil && !ok {
			_, err = s.set(ctx, "ATH", 0)
		}
		return err
	}
	s.e.ringing = time.Time{}
	s.tellCall()
	return nil
}

// tellCall tells of the call that has ended.
func (s *session) tellCall() {
	r := s.ring
	s.ring = nil
	s.d.log.Info("modem: a call was not taken", "rings", r.call.Rings, "refused", r.call.HungUp)
	select {
	case s.d.calls <- r.call:
	default:
		s.d.log.Warn("modem: a call is not told, nobody reads of them")
	}
}

// parseCLIP reads the caller's number of "+CLIP: <number>,<type>…"; "" when it
// is withheld. Type 145 is international, also where the + is missing.
func parseCLIP(line string) string {
	if !info.HasPrefix(line, "+CLIP") {
		return ""
	}
	f := param(line, "+CLIP")
	n := f[0]
	plus := strings.HasPrefix(n, "+")
	d := strings.TrimPrefix(n, "+")
	if d == "" || len(d) > 20 || digits(d) != d {
		return ""
	}
	if plus || field(f, 1) == "145" {
		return "+" + d
	}
	return d
}
