package modem

import (
	"context"
	"slices"
	"strings"
)

// settings makes the modem send and receive TPDUs (TS 27.005 §3).
func (s *session) settings(ctx context.Context) error {
	ok, err := s.set(ctx, "AT+CMGF=0", 0)
	if err != nil {
		return err
	}
	if !ok {
		return errNoPDU
	}
	for _, step := range []func(context.Context) error{s.service, s.memories, s.indications, s.centre, s.extras} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// service asks for phase 2: then pushed TPDUs need no acknowledgement (TS 27.005 §3.2.1).
func (s *session) service(ctx context.Context) error {
	ok, err := s.set(ctx, "AT+CSMS=0", 0)
	if err != nil || ok {
		s.ack = false
		return err
	}
	r, err := s.ask(ctx, command{line: "AT+CSMS?", info: "+CSMS"})
	if err != nil {
		return err
	}
	s.ack = r.final.ok() && r.first() != "" && field(param(r.first(), "+CSMS"), 0) == "1"
	return nil
}

// memories chooses the modem's own memory where it is large, else the SIM's,
// and names it for reading, writing and receiving (TS 27.005 §3.2.2).
func (s *session) memories(ctx context.Context) error {
	r, err := s.ask(ctx, command{line: "AT+CPMS=?", info: "+CPMS", limit: s.t.Storage})
	if err != nil {
		return err
	}
	var offered []string
	if l := parseLists(r.first(), "+CPMS"); r.final.ok() && len(l) > 0 {
		offered = l[0]
	}
	s.mems, s.once, s.mem, s.offered = nil, nil, "", offered
	best := usage{}
	for _, m := range []string{"ME", "SM"} {
		if len(offered) > 0 && !slices.Contains(offered, m) {
			continue
		}
		u, ok, err := s.chooseMemory(ctx, m)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if s.mem == "" || u.size > best.size {
			s.mem, best = m, u
		}
		if best.size >= 20 {
			break
		}
	}
	if s.mem != "" && s.mem != s.mem1 {
		if _, _, err := s.chooseMemory(ctx, s.mem); err != nil {
			return err
		}
	}
	if s.mem == "" { // +CPMS= is refused: whatever is set is used
		if r, err = s.ask(ctx, command{line: "AT+CPMS?", info: "+CPMS"}); err != nil {
			return err
		}
		if m, _, ok := parseCPMS(r.first()); ok {
			s.mem, s.mem1 = m, m
		}
	}
	s.mems = []string{s.mem}
	for _, m := range []string{"SM", "ME"} {
		if slices.Contains(offered, m) && m != s.mem {
			s.once = append(s.once, m) // what an earlier user of the modem left there
		}
	}
	return nil
}

// chooseMemory names one memory three times; modems that know fewer take what they can.
func (s *session) chooseMemory(ctx context.Context, m string) (usage, bool, error) {
	q := `"` + m + `"`
	for _, line := range []string{"AT+CPMS=" + q + "," + q + "," + q, "AT+CPMS=" + q + "," + q, "AT+CPMS=" + q} {
		r, err := s.ask(ctx, command{line: line, info: "+CPMS", limit: s.t.Storage})
		if err != nil {
			return usage{}, false, err
		}
		if r.final.ok() {
			s.mem1 = m
			_, u, _ := parseCPMS(r.first())
			s.d.update(func(st *Status) { st.StorageUsed, st.StorageSize = u.used, u.size })
			return u, true, nil
		}
	}
	return usage{}, false, nil
}

// indications has the modem announce messages and push reports: the first of a
// chain that it offers and accepts (TS 27.005 §3.4.1). Some offer what they
// refuse, so that all of it is tried in the end.
func (s *session) indications(ctx context.Context) error {
	r, err := s.ask(ctx, command{line: "AT+CNMI=?", info: "+CNMI"})
	if err != nil {
		return err
	}
	offers := parseLists(r.first(), "+CNMI")
	s.cnmi = nil
	announce := [][]string{{"2", "1", "0", "1", "0"}, {"2", "1", "0", "2", "0"}, {"1", "1", "0", "1", "0"},
		{"2", "1", "0", "0", "0"}, {"2", "1"}}
	if s.mem != "" {
		if ok, err := s.indicate(ctx, append(slices.Clone(s.q.announce), announce...), offers); ok || err != nil {
			return err
		}
	}
	// It has no storage to announce from, or does not: then messages are pushed,
	// and with phase 2+ the network keeps them until they are acknowledged.
	if !s.q.noAck {
		ok, err := s.set(ctx, "AT+CSMS=1", 0)
		if err != nil {
			return err
		}
		s.ack = s.ack || ok
	}
	push := [][]string{{"2", "2", "0", "1", "0"}, {"1", "2", "0", "1", "0"}, {"2", "2", "0", "0", "0"}, {"2", "2"}}
	if ok, err := s.indicate(ctx, push, offers); ok || err != nil {
		return err
	}
	s.d.log.Warn("modem refuses to announce messages: its storage is only polled")
	_, err = s.set(ctx, "AT+CSMS=0", 0)
	s.ack = false
	return err
}

// indicate makes the first setting of a chain that is accepted.
func (s *session) indicate(ctx context.Context, chain, offers [][]string) (bool, error) {
	var lines, rest []string
	for _, c := range chain {
		c = slices.Clone(c)
		fits := true
		for i := range c {
			if i >= len(offers) || slices.Contains(offers[i], c[i]) {
				continue
			}
			if (i == 2 || i == 4) && len(offers[i]) > 0 {
				c[i] = offers[i][0] // broadcast and buffer: any will do
				continue
			}
			fits = false
		}
		line := "AT+CNMI=" + strings.Join(c, ",")
		if fits {
			lines = append(lines, line)
		} else {
			rest = append(rest, line)
		}
	}
	for _, line := range append(lines, rest...) {
		ok, err := s.set(ctx, line, 0)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		s.cnmi = strings.Split(strings.TrimPrefix(line, "AT+CNMI="), ",")
		if field(s.cnmi, 3) == "2" && slices.Contains(s.offered, "SR") {
			s.mems = append(s.mems, "SR") // reports are kept there
		}
		return true, nil
	}
	return false, nil
}

// stillAnnounced makes the setting of +CNMI again when the modem has dropped
// it: an acknowledgement that was missed takes the routing of messages and
// reports away (TS 27.005 §3.4.4), and some modems forget by themselves.
func (s *session) stillAnnounced(ctx context.Context) error {
	if s.cnmi == nil {
		return nil
	}
	r, err := s.ask(ctx, command{line: "AT+CNMI?", info: "+CNMI"})
	if err != nil || !r.final.ok() || r.first() == "" {
		return err
	}
	now := param(r.first(), "+CNMI")
	same := true
	for _, i := range []int{1, 3} {
		want := field(s.cnmi, i)
		same = same && (want == "" || field(now, i) == "" || field(now, i) == want)
	}
	if same {
		return nil
	}
	s.d.log.Warn("modem no longer announced messages, it is told to again", "was", strings.Join(now, ","))
	_, err = s.set(ctx, "AT+CNMI="+strings.Join(s.cnmi, ","), 0)
	return err
}

// centre reads the number of the SMS centre (TS 27.005 §3.3.1).
func (s *session) centre(ctx context.Context) error {
	r, err := s.ask(ctx, command{line: "AT+CSCA?", info: "+CSCA", limit: s.t.Storage})
	if err != nil || !r.final.ok() || r.first() == "" {
		s.noSMSC = false // unknown: the send will tell
		return err
	}
	n := field(param(r.first(), "+CSCA"), 0)
	s.noSMSC = n == ""
	s.d.update(func(st *Status) { st.SMSC = n })
	return nil
}

// extras: bursts, registration codes, operator names.
func (s *session) extras(ctx context.Context) error {
	ok, err := s.set(ctx, "AT+CMMS=?", 0)
	if err != nil {
		return err
	}
	s.cmms = ok
	// Who calls; the modem's clock kept by the network, and told (TS 27.007 §7.6, §8.40, §8.41).
	for _, line := range []string{"AT+CREG=2", "AT+CEREG=2", "AT+COPS=3,0", "AT+CLIP=1", "AT+CTZR=1", "AT+CTZU=1"} {
		if ok, err = s.set(ctx, line, 0); err != nil {
			return err
		}
		if !ok && line == "AT+CREG=2" {
			if _, err := s.set(ctx, "AT+CREG=1", 0); err != nil {
				return err
			}
		}
	}
	s.clockSet, s.clockDue = s.clockSet || ok, true
	return nil
}
