package emulator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorway/modem/pdu"
)

var (
	errFull = errors.New("memory capacity exceeded")
	errAway = errors.New("modem is not reachable")
	errAck  = errors.New("message was not acknowledged")
)

// awaited is a message that was routed directly and waits for +CNMA.
type awaited struct{ done func(error) }

// receive takes a TPDU from the network; done is called once, now or when the
// client has acknowledged (or not). e.mu is held.
func (e *Emulator) receive(tpdu []byte, done func(error)) {
	if e.dead || e.port == nil || !e.registered() {
		done(errAway)
		return
	}
	if pdu.KindOf(tpdu, false) == pdu.KindStatusReport {
		e.receiveReport(tpdu, done)
		return
	}
	d, err := pdu.DecodeDeliver(tpdu)
	class := d.Class
	if err != nil {
		class = pdu.NoClass
	}
	mt := e.cnmi[1]
	if class != pdu.Class2 && (mt == 2 || mt == 3 && class == pdu.Class3 || mt == 1 && class == pdu.Flash && e.flashDirect) {
		e.logDelivery(tpdu, "direct")
		e.push("+CMT: ,", tpdu, done)
		return
	}
	name := e.incoming
	if name == "" {
		name = e.mem[2]
	}
	i, stored := e.memory(name).put(0, tpdu)
	if !stored {
		if e.fullLine != "" && !e.wasFull {
			e.wasFull = true
			e.write(e.renderInfo(answer{lines: []string{e.fullLine}}))
		}
		done(errFull)
		return
	}
	e.logDelivery(tpdu, fmt.Sprintf("%s:%d", name, i))
	if mt != 0 && !e.wasFull {
		e.indicate(fmt.Sprintf("+CMTI: %q,%d", name, i))
	}
	done(nil)
}

func (e *Emulator) receiveReport(tpdu []byte, done func(error)) {
	switch e.cnmi[3] {
	case 1:
		e.logDelivery(tpdu, "direct")
		e.push("+CDS: ", tpdu, done)
		return
	case 2:
		m := e.memory("SR")
		if m == nil {
			m = e.memory(e.mem[2])
		}
		i, stored := m.put(0, tpdu)
		if !stored {
			done(errFull)
			return
		}
		e.logDelivery(tpdu, fmt.Sprintf("%s:%d", m.Name, i))
		name := m.Name
		if e.cdsi != "" {
			name = e.cdsi
		}
		e.indicate(fmt.Sprintf("+CDSI: %q,%d", name, i))
	default:
		e.logDelivery(tpdu, "dropped") // not routed to the client (TS 27.005 §3.4.1)
	}
	done(nil)
}

// push routes a TPDU straight to the client.
func (e *Emulator) push(head string, tpdu []byte, done func(error)) {
	smsc, _ := pdu.ParseNumber(e.cfg.SMSC) // ignored: none is shown as 00
	full, err := pdu.WithSMSC(smsc, tpdu)
	if err != nil {
		full = append([]byte{0}, tpdu...)
	}
	e.indicate(fmt.Sprintf("%s%d", head, len(tpdu)), strings.ToUpper(hex.EncodeToString(full)))
	if e.csms == 0 {
		done(nil)
		return
	}
	a := &awaited{done}
	e.ack = a
	e.plan.after(e.cfg.AckTimeout, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.ack == a { // TS 27.005 §3.4.4: routing falls back
			e.ack = nil
			e.cnmi[1], e.cnmi[3] = 0, 0
			done(errAck)
		}
	})
}

func (e *Emulator) cancelAck() {
	if a := e.ack; a != nil {
		e.ack = nil
		a.done(errAway)
	}
}

func (e *Emulator) cnma(c command) answer {
	if c.form == test {
		return info("+CNMA: (0-2)")
	}
	if e.csms == 0 || e.ack == nil {
		return e.cms(340)
	}
	n := 0
	if c.form == set {
		var err error
		if n, err = strconv.Atoi(c.params()[0]); err != nil || n < 0 || n > 2 {
			return e.cms(304)
		}
	}
	a := e.ack
	e.ack = nil
	if n == 2 {
		a.done(errAck)
	} else {
		a.done(nil)
	}
	return ok
}

func (e *Emulator) cnmiCommand(c command) answer {
	switch c.form {
	case read:
		v := e.cnmi
		return info("+CNMI: %d,%d,%d,%d,%d", v[0], v[1], v[2], v[3], v[4])
	case test:
		return info("+CNMI: (0-3),(0-3),(0,2,3),(0-2),(0,1)")
	case set:
		if !e.setCNMI(c) {
			return e.cms(302)
		}
		if e.prompt == 0 && !e.busy {
			e.flushHeld()
		}
		return ok
	}
	return e.cms(302)
}

func (e *Emulator) setCNMI(c command) bool {
	v, top := e.cnmi, [5]int{3, 3, 3, 2, 1}
	p := c.params()
	if len(p) > 5 {
		return false
	}
	for i, s := range p {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > top[i] {
			return false
		}
		v[i] = n
	}
	e.cnmi = v
	return true
}

// receiveNow stores and announces a message at once, for scripts.
func (e *Emulator) receiveNow(m Incoming) {
	all, err := pdu.EncodeDeliver(m.Text, pdu.DeliverOptions{From: sender(m.From), Time: time.Now(), Ref: e.net.nextRef()})
	if err != nil {
		e.violations = append(e.violations, "script: "+err.Error())
		return
	}
	name := e.incoming
	if name == "" {
		name = e.mem[2]
	}
	for _, tpdu := range all {
		i, stored := e.memory(name).put(0, tpdu)
		if !stored {
			return
		}
		e.logDelivery(tpdu, fmt.Sprintf("%s:%d", name, i))
		e.write(e.renderInfo(answer{final: "OK", lines: []string{fmt.Sprintf("+CMTI: %q,%d", name, i)}}))
	}
}

func (e *Emulator) logDelivery(tpdu []byte, slot string) {
	entry := Entry{Kind: LogDeliver, Modem: e.Number(), To: e.Number(), Slot: slot, TPDU: hex.EncodeToString(tpdu)}
	if pdu.KindOf(tpdu, false) == pdu.KindStatusReport {
		entry.Kind, entry.To = LogReport, ""
		if r, err := pdu.DecodeStatusReport(tpdu); err == nil {
			mr := int(r.MR)
			entry.MR, entry.To, entry.Status = &mr, r.To.String(), fmt.Sprintf("0x%02X %s", byte(r.Status), r.Status)
		}
	} else if d, err := pdu.DecodeDeliver(tpdu); err == nil {
		c := d.Part.Concat
		entry.From, entry.Text, entry.Ref, entry.Seq, entry.Total = d.From.String(), d.Text(), int(c.Ref), c.Seq, c.Total
	}
	e.log.add(entry)
}

// sender reads a number, or else takes a name.
func sender(s string) pdu.Number {
	n, err := pdu.ParseNumber(s)
	if err != nil {
		return pdu.Number{Digits: s, TON: pdu.Alphanumeric}
	}
	return n
}
