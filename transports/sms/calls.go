package sms

import (
	"context"
	"fmt"

	"doorway/modem"
	"doorway/modem/pdu"
)

// callsOf is where a modem tells of calls; nil, which is never ready, when it does not.
func callsOf(m modem.Modem) <-chan modem.Call {
	if c, ok := m.(modem.Caller); ok {
		return c.Calls()
	}
	return nil
}

// missed makes a text of a call that nobody took, from the caller's number, and
// has it written down and dispatched like one that came by SMS: so it reaches
// whoever is in conversation with that number. A withheld number has nobody to
// come from and is only in the log.
func (s *Session) missed(ctx context.Context, u *unit, c modem.Call) {
	if c.From == "" {
		s.env.Log.Info("a call without a number was not taken", "comp", "sms", "net", u.name, "rings", c.Rings)
		return
	}
	tpdus, err := pdu.EncodeDeliver(callText(c), pdu.DeliverOptions{From: pduNumber(c.From), Time: c.At, MaxParts: 1})
	if err != nil {
		s.env.Log.Warn("a call was not told", "comp", "sms", "net", u.name, "err", err)
		return
	}
	s.take(ctx, u, modem.Stored{Modem: u.name, TPDU: tpdus[0], Stat: -1, Index: -1, At: c.At})
}

func callText(c modem.Call) string {
	switch {
	case c.HungUp:
		return "(Called. The call was refused: nobody can be reached by voice at this number.)"
	case c.Rings == 1:
		return "(Missed call, 1 ring. Nobody can be reached by voice at this number.)"
	}
	return fmt.Sprintf("(Missed call, %d rings. Nobody can be reached by voice at this number.)", c.Rings)
}
