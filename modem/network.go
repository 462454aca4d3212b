package modem

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// checkNetwork reads the registration of all three kinds of network; one that
// is usable is enough (TS 27.007 §7.2, §10.1.20, §10.1.22). It also reads the
// signal and, when registered, the operator.
func (s *session) checkNetwork(ctx context.Context) (State, string, error) {
	best := registration{stat: -1, act: -1}
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
	if err := s.signal(ctx, best); err != nil {
		return "", "", err
	}
	s.d.update(func(st *Status) { st.Registration = best.String() })
	l := &s.d.ladder
	switch {
	case best.roams() && !s.mayRoam():
		s.idleSince = time.Time{}
		l.searching = time.Time{}
		return Denied, fmt.Sprintf(textRoaming, orUnknown(s.d.Status().Operator), s.d.cfg.Roaming, s.d.cfg.Name), nil
	case best.usable(), !known: // a modem that does not tell is tried
		if !l.searching.IsZero() {
			l.works()
			s.d.recovered()
		}
		s.idleSince = time.Time{}
		return Ready, s.d.readyText(), nil
	case best.denied():
		l.searching = time.Time{} // a restart does not make the network kinder
		text := textDenied
		if best.stat != 3 {
			text = textEmergency
		}
		return Denied, fmt.Sprintf(text, best), nil
	}
	now := time.Now()
	if l.searching.IsZero() {
		l.searching = now
	}
	if now.Sub(l.searching) >= s.t.Patience {
		l.trouble("no network is found")
	}
	if best.stat == 0 && s.q.wake && s.noSIM {
		// COMPAT(SIMCom, Telit): a SIM put in later is used after the radio was off.
		s.noSIM = false
		s.d.log.Info("modem: the radio is switched off and on for the new SIM")
		return Searching, textSearching, s.cycleRadio(ctx)
	}
	if best.stat != 0 {
		s.idleSince = time.Time{}
		return Searching, textSearching, nil
	}
	return Searching, textOff, s.search(ctx, now)
}

// mayRoam tells whether the policy allows to send in the network of now. The
// country of SIM and network are the first three digits of their numbers (ITU-T E.212).
func (s *session) mayRoam() bool {
	switch s.d.cfg.Roaming {
	case RoamNowhere:
		return false
	case RoamCountry:
		imsi := s.d.Status().IMSI
		return len(imsi) >= 3 && len(s.plmn) >= 3 && imsi[:3] == s.plmn[:3]
	}
	return true
}

func orUnknown(s string) string {
	if s == "" {
		return "another provider"
	}
	return s
}

// search tells a modem that has not been looking for a network for a while to
// choose one by itself (TS 27.007 §7.3).
func (s *session) search(ctx context.Context, now time.Time) error {
	if s.idleSince.IsZero() {
		s.idleSince = now
	}
	if now.Sub(s.idleSince) < s.t.Patience/5 {
		return nil
	}
	s.idleSince = now
	_, err := s.set(ctx, "AT+COPS=0", s.t.Send)
	return err
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

// signal reads strength, operator and the kind of network.
func (s *session) signal(ctx context.Context, reg registration) error {
	r, err := s.ask(ctx, command{line: "AT+CSQ", info: "+CSQ"})
	if err != nil {
		return err
	}
	dbm := parseCSQ(r.first())
	operator, act := "", -1
	if reg.usable() {
		if r, err = s.ask(ctx, command{line: "AT+COPS?", info: "+COPS"}); err != nil {
			return err
		}
		operator, act = parseCOPS(r.first())
		operator = identityValue(operator, "+COPS")
		if act < 0 {
			act = reg.act
		}
		if reg.roams() && s.d.cfg.Roaming == RoamCountry {
			if err := s.network(ctx); err != nil {
				return err
			}
		}
	}
	s.d.update(func(st *Status) { st.RSSI, st.Operator, st.Technology = dbm, operator, technology(act) })
	return nil
}

// network reads the number of the network (TS 27.007 §7.3, format 2).
func (s *session) network(ctx context.Context) error {
	ok, err := s.set(ctx, "AT+COPS=3,2", 0)
	if err != nil || !ok {
		s.plmn = ""
		return err
	}
	r, err := s.ask(ctx, command{line: "AT+COPS?", info: "+COPS"})
	if err != nil {
		return err
	}
	n, _ := parseCOPS(r.first())
	s.plmn = digits(n)
	_, err = s.set(ctx, "AT+COPS=3,0", 0)
	return err
}

// technology names an access technology (TS 27.007 §7.3, <AcT>).
func technology(act int) string {
	switch act {
	case 0, 1:
		return "GSM"
	case 2:
		return "UMTS"
	case 3:
		return "EDGE"
	case 4, 5, 6:
		return "HSPA"
	case 7, 10:
		return "LTE"
	case 8:
		return "EC-GSM-IoT"
	case 9:
		return "NB-IoT"
	case 11, 12, 13:
		return "5G"
	}
	return ""
}

// readyText is the sentence of a modem that works.
func (d *Driver) readyText() string {
	for k, why := range d.kept {
		return fmt.Sprintf(textKept, k.mem, k.index, why)
	}
	st := d.Status()
	var parts []string
	add := func(p string) {
		if p != "" {
			parts = append(parts, p)
		}
	}
	add(st.Operator)
	add(st.Technology)
	if strings.HasPrefix(st.Registration, "roaming") {
		add("roaming")
	}
	if st.RSSI != 0 {
		add(fmt.Sprintf("signal %d dBm", st.RSSI))
	}
	if parts == nil {
		return textReady + "."
	}
	return textReady + ": " + strings.Join(parts, ", ") + "."
}
