package modem

import (
	"strings"
	"time"
)

// unsolicited files a line that belongs to no command.
func (e *engine) unsolicited(line string) {
	if e.push != nil && isHex(line, 2) && e.isPushed(line, nil) {
		e.pushed(line)
		return
	}
	if mr, ok := parseCMGS(line); ok {
		e.foreignCMGS(mr)
		return
	}
	if h, ok := parsePushed(line); ok {
		e.lost = e.lost || e.push != nil // the earlier one's PDU never came
		e.heard++
		e.push, e.pushText, e.pushAt = &h, line, time.Now()
		return
	}
	k := urcKind(line)
	if k != kindUnknown {
		e.heard++
	}
	switch k {
	case kindRing, kindCaller:
		e.ringing = time.Now()
		e.enqueue(urc{text: line})
	case kindUSSD:
		if strings.Count(line, `"`)%2 == 1 {
			e.half, e.halfAt = line, time.Now()
			return
		}
		e.enqueue(urc{text: line})
	case kindNoise:
	case kindUnknown:
		e.log.Debug("modem: unknown line", "line", line)
	default:
		e.enqueue(urc{text: line})
	}
}

// finalOf is parseFinal, but that NO CARRIER belongs to a call that rings.
func (e *engine) finalOf(line string) (final, bool) {
	if !e.ringing.IsZero() && time.Since(e.ringing) < callOver && urcKind(line) == kindCallEnd {
		return final{}, false
	}
	return parseFinal(line)
}

// goesOn adds a line to an unfinished +CUSD, whose text may hold line ends
// (TS 27.007 §7.15); a line that is something else ends it. While a command
// runs the caller looks for its final result first.
func (e *engine) goesOn(line string) bool {
	if e.half == "" {
		return false
	}
	_, isRef := parseCMGS(line)
	if isRef || time.Since(e.halfAt) > pushLimit || len(e.half) > 2048 || urcKind(line) != kindUnknown {
		e.enqueue(urc{text: e.half + `"`})
		e.half = ""
		return false
	}
	e.half += "\n" + line
	if strings.Count(e.half, `"`)%2 == 0 {
		e.enqueue(urc{text: e.half})
		e.half = ""
	}
	return true
}

// foreignCMGS handles a +CMGS outside of the send it answers.
func (e *engine) foreignCMGS(mr byte) {
	p := e.pending
	if p == nil || !p.final {
		e.stray = time.Now().Add(2 * time.Second)
	}
	if p == nil {
		e.log.Warn("modem: reference of an unknown send", "mr", mr)
		return
	}
	e.pending = nil
	e.late(Late{Token: p.token, MR: mr})
}

// file puts a token that came while no command runs into its place.
func (e *engine) file(t token) {
	if t.prompt || e.goesOn(t.text) {
		return
	}
	if _, ok := e.finalOf(t.text); ok {
		if !e.isStray(t.text) {
			e.log.Debug("modem: final result of no command", "line", t.text)
		}
		return
	}
	e.unsolicited(t.text)
}

// fileAll files what came while no command ran.
func (e *engine) fileAll() {
	for _, t := range e.queue {
		e.file(t)
	}
	e.queue = nil
}
