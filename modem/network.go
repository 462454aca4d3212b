package modem

import (
	"context"
	"fmt"
)

// checkNetwork reads the registration of all three kinds of network; one that
// is usable is enough (TS 27.007 §7.2, §10.1.20, §10.1.22). It also reads the
// signal and, when registered, the operator.
func (s *session) checkNetwork(ctx context.Context) (State, string, error) {
	best := registration{stat: -1}
	known := false
	for _, c := range []string{"+CREG", "+CEREG", "+CGREG"} {
		r, err := s.ask(ctx, command{line: "AT" + c + "?", info: c})
		if err != nil {
			return "", "", err
		}
		reg, ok := parseCREG(r.first())
		if !r.final.ok() || !ok {
			continue
		}
		known = true
		if better(reg, best) {
			best = reg
		}
		if best.usable() {
			break
		}
	}
	if err := s.signal(ctx, best.usable()); err != nil {
		return "", "", err
	}
	s.d.update(func(st *Status) { st.Registration = best.String() })
	switch {
	case best.usable(), !known: // a modem that does not tell is tried
		return Ready, textReady, nil
	case best.denied():
		return Denied, fmt.Sprintf(textDenied, best), nil
	}
	return Searching, textSearching, nil
}

// better orders: usable, then waiting, then denied (a modem registered on no
// kind of network is denied only if none of them is still searching).
func better(a, b registration) bool {
	rank := func(r registration) int {
		switch {
		case r.usable():
			return 4
		case r.stat == 2:
			return 3
		case r.denied():
			return 2
		case r.stat >= 0:
			return 1
		}
		return 0
	}
	return rank(a) > rank(b)
}

func (s *session) signal(ctx context.Context, registered bool) error {
	r, err := s.ask(ctx, command{line: "AT+CSQ", info: "+CSQ"})
	if err != nil {
		return err
	}
	dbm := parseCSQ(r.first())
	operator := ""
	if registered {
		if r, err = s.ask(ctx, command{line: "AT+COPS?", info: "+COPS"}); err != nil {
			return err
		}
		operator = identityValue(parseCOPS(r.first()), "+COPS")
	}
	s.d.update(func(st *Status) { st.RSSI, st.Operator = dbm, operator })
	return nil
}
