package emulator

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorway/modem/pdu"
)

// beginPDU is +CMGS and +CMGW: the prompt (3GPP TS 27.005 §4.3, §4.4).
func (e *Emulator) beginPDU(c command) answer {
	if c.form == test {
		return ok
	}
	p := c.params()
	if c.form != set || len(p) == 0 {
		return e.cms(304)
	}
	n, err := strconv.Atoi(p[0])
	if err != nil || n < 1 || n > 176 {
		return e.cms(304)
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	if c.name == "+CMGS" && !e.registered() {
		return e.cms(331)
	}
	e.prompt, e.promptFor = n, c
	return answer{}
}

// acceptPDU takes what came behind the prompt.
func (e *Emulator) acceptPDU(c command, length int, text string) answer {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return e.cms(304)
	}
	smsc, tpdu, err := pdu.SplitSMSC(raw)
	if err != nil || len(tpdu) != length {
		return e.cms(304)
	}
	if c.name == "+CMGW" {
		return e.storeDraft(c, tpdu)
	}
	s, err := pdu.DecodeSubmit(tpdu)
	if err != nil || len(s.Remarks) > 0 || s.To.Digits == "" {
		return e.cms(304)
	}
	if smsc.Digits == "" && e.smsc == "" {
		return e.cms(330)
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	if !e.registered() {
		return e.cms(331)
	}
	mr := e.mr
	e.mr++
	if cause := e.net.submit(e, mr, tpdu, s); cause != 0 {
		return e.cms(cause)
	}
	a := info("+CMGS: %d", mr)
	a.delay = e.net.latency() + e.linkDelay()
	return a
}

// linkDelay sets the radio link up when it is not kept from the part before.
// +CMMS=1 ends by itself when the next part takes too long.
func (e *Emulator) linkDelay() (d time.Duration) {
	now := time.Now()
	if now.After(e.linkUntil) {
		d = e.cfg.LinkSetup
		e.setups++
		if e.cmms == 1 && !e.linkUntil.IsZero() {
			e.cmms = 0
		}
	}
	e.linkUntil = time.Time{}
	if e.cmms > 0 {
		e.linkUntil = now.Add(d + e.net.latency() + e.cfg.LinkIdle)
	}
	return d
}

func (e *Emulator) storeDraft(c command, tpdu []byte) answer {
	stat := 2
	if p := c.params(); len(p) > 1 {
		n, err := strconv.Atoi(p[1])
		if err != nil || n < 0 || n > 3 {
			return e.cms(304)
		}
		stat = n
	}
	i, stored := e.memory(e.mem[1]).put(stat, tpdu)
	if !stored {
		return e.cms(322)
	}
	return info("+CMGW: %d", i)
}

func (e *Emulator) cmgf(c command) answer {
	switch c.form {
	case read:
		return info("+CMGF: 0")
	case test:
		return info("+CMGF: (0)")
	}
	if c.args == "0" || c.args == "" {
		return ok
	}
	return e.cms(303)
}

// line shows a stored message as +CMGR and +CMGL do, with the service centre
// in front of what was received.
func (e *Emulator) slotLines(head string, s *Slot) []string {
	smsc := pdu.Number{}
	if s.Stat < 2 {
		smsc, _ = pdu.ParseNumber(e.cfg.SMSC) // ignored: a modem without one shows 00
	}
	full, err := pdu.WithSMSC(smsc, s.TPDU)
	if err != nil {
		full = append([]byte{0}, s.TPDU...)
	}
	return []string{fmt.Sprintf("%s%d,,%d", head, s.Stat, len(s.TPDU)), strings.ToUpper(hex.EncodeToString(full))}
}

// touch marks a message as read when it has been shown.
func (s *Slot) touch() {
	if s.Stat == 0 {
		s.Stat = 1
	}
}

func (e *Emulator) cmgr(c command) answer {
	if c.form == test {
		return ok
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	i, err := strconv.Atoi(c.args)
	m := e.memory(e.mem[0])
	if c.form != set || err != nil || m.slots[i] == nil {
		return e.cms(321)
	}
	a := answer{lines: e.slotLines("+CMGR: ", m.slots[i]), final: "OK"}
	m.slots[i].touch()
	return a
}

func (e *Emulator) cmgl(c command) answer {
	if c.form == test {
		return info("+CMGL: (0-4)")
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	want := 0
	if c.form == set {
		n, err := strconv.Atoi(c.args)
		if err != nil || n < 0 || n > 4 {
			return e.cms(304)
		}
		want = n
	}
	a := answer{final: "OK"}
	for _, s := range e.memory(e.mem[0]).sorted() {
		if want == 4 || s.Stat == want {
			a.lines = append(a.lines, e.slotLines(fmt.Sprintf("+CMGL: %d,", s.Index), s)...)
			s.touch()
		}
	}
	return a
}

// cmgd deletes one message, or the groups of 3GPP TS 27.005 §3.5.4.
func (e *Emulator) cmgd(c command) answer {
	m := e.memory(e.mem[0])
	if c.form == test {
		var list []string
		for _, s := range m.sorted() {
			list = append(list, strconv.Itoa(s.Index))
		}
		return info("+CMGD: (%s),(0-4)", strings.Join(list, ","))
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	p := c.params()
	if c.form != set || len(p) == 0 || len(p) > 2 {
		return e.cms(304)
	}
	i, err := strconv.Atoi(p[0])
	how := 0
	if err == nil && len(p) == 2 {
		how, err = strconv.Atoi(p[1])
	}
	switch {
	case err != nil || how < 0 || how > 4:
		return e.cms(304)
	case how == 0 && !m.valid(i):
		return e.cms(321)
	case how == 0:
		delete(m.slots, i)
	default:
		for _, s := range m.sorted() {
			if s.Stat == 1 || s.Stat == 3 && how >= 2 || s.Stat == 2 && how >= 3 || how == 4 {
				delete(m.slots, s.Index)
			}
		}
	}
	e.wasFull = false
	e.net.retry(e) // there is room again
	return ok
}

func (e *Emulator) cpms(c command) answer {
	all, noReports := []string{}, []string{}
	for _, m := range e.memories {
		all = append(all, `"`+m.Name+`"`)
		if m.Name != "SR" {
			noReports = append(noReports, `"`+m.Name+`"`)
		}
	}
	if c.form == test {
		a, n := strings.Join(all, ","), strings.Join(noReports, ",")
		return info("+CPMS: (%s),(%s),(%s)", a, n, n)
	}
	if a := e.simError(true); a != nil {
		return *a
	}
	var out []string
	if c.form == read {
		for _, name := range e.mem {
			out = append(out, fmt.Sprintf("%q,%s", name, e.memory(name).counts()))
		}
		return info("+CPMS: %s", strings.Join(out, ","))
	}
	p := c.params()
	if c.form != set || len(p) == 0 || len(p) > 3 {
		return e.cms(302)
	}
	for i, name := range p {
		if e.memory(name) == nil || name == "SR" && i > 0 {
			return e.cms(302)
		}
	}
	copy(e.mem[:], p)
	for _, name := range e.mem {
		out = append(out, e.memory(name).counts())
	}
	return info("+CPMS: %s", strings.Join(out, ","))
}

func (e *Emulator) csmsCommand(c command) answer {
	switch c.form {
	case read:
		return info("+CSMS: %d,1,1,0", e.csms)
	case test:
		return info("+CSMS: (0,1)")
	case set:
		if c.args == "0" || c.args == "1" {
			e.csms = int(c.args[0] - '0')
			if e.csms == 0 {
				e.cancelAck()
			}
			return info("+CSMS: 1,1,0")
		}
	}
	return e.cms(302)
}

func (e *Emulator) csca(c command) answer {
	if a := e.simError(true); a != nil {
		return *a
	}
	switch c.form {
	case test:
		return ok
	case read:
		t := 129
		if strings.HasPrefix(e.smsc, "+") {
			t = 145
		}
		return info(`+CSCA: "%s",%d`, e.smsc, t)
	case set:
		p := c.params()
		if len(p) > 1 && p[1] == "145" && p[0] != "" && p[0][0] != '+' {
			p[0] = "+" + p[0]
		}
		if _, err := pdu.ParseNumber(p[0]); err != nil && p[0] != "" {
			return e.cms(304)
		}
		e.smsc = p[0]
		return ok
	}
	return e.cms(304)
}
