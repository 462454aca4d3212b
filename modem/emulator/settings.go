package emulator

import (
	"fmt"
	"time"
)

// settings is the state that a restart of the modem resets.
type settings struct {
	echo, verbose, quiet bool
	echoed               []byte
	dialect              string // "", lf, cr, blank, bare
	cmee, csms, cmms     int
	cfun                 int
	cnmi                 [5]int
	mem                  [3]string
	incoming             string // memory of new messages, "" for mem[2]
	smsc                 string
	cscs                 string
	reg                  int    // registration status of TS 27.007 §7.2
	regReport            [3]int // n of CREG, CGREG, CEREG
	rssi                 int
	copsFormat           int
	clip, crc, ctz       int
	clock                time.Duration // of the modem against this machine
	plmn                 string        // number of the network, "" for that of the SIM
	balance              string        // what *100# answers
	ussdForm             string        // the form codes come in: "" plain, ucs2, packed
	menu                 bool          // a USSD menu waits for an answer
	ringing              int           // number of the call that rings, 0 for none
	flashDirect          bool
	fullLine             string // said when the memory is full
	wasFull              bool   // and nothing is announced until there is room
	cdsi                 string // memory that +CDSI names, "" for the true one
}

type simState struct {
	state           string // what +CPIN? says, or "absent", "busy"
	tries, pukTries int
}

// powerOn returns the settings as after power-on.
func (e *Emulator) powerOn() settings {
	s := settings{echo: true, verbose: true, cfun: 1, cscs: "GSM", reg: 1, rssi: e.cfg.RSSI, smsc: e.cfg.SMSC}
	if s.smsc == "-" {
		s.smsc = ""
	}
	name := e.cfg.Memories[0].Name
	s.mem = [3]string{name, name, name}
	return s
}

// reset is a restart of the modem with the port staying.
func (e *Emulator) reset() {
	e.generation++
	e.powerCycle()
}

// powerCycle forgets everything but the SIM's contents and the scripts' will.
func (e *Emulator) powerCycle() {
	keep := e.settings
	e.settings = e.powerOn()
	e.dialect, e.incoming, e.reg, e.rssi, e.smsc = keep.dialect, keep.incoming, keep.reg, keep.rssi, keep.smsc
	e.clock, e.plmn, e.balance, e.ussdForm = keep.clock, keep.plmn, keep.balance, keep.ussdForm
	e.flashDirect, e.fullLine, e.cdsi = keep.flashDirect, keep.fullLine, keep.cdsi
	e.line, e.queued, e.held = e.line[:0], nil, nil
	e.prompt, e.busy = 0, false
	e.cancelAck()
	if e.sim.state == "READY" && e.cfg.PIN != "" {
		e.sim.state = "SIM PIN"
	}
}

// registered reports whether messages can be sent and received.
func (e *Emulator) registered() bool {
	if e.cfun != 1 || e.sim.state != "READY" {
		return false
	}
	switch e.reg {
	case 1, 5, 6, 7, 9, 10:
		return true
	}
	return false
}

// status is what the registration commands say.
func (e *Emulator) status() int {
	if e.cfun != 1 || e.sim.state != "READY" {
		return 0
	}
	return e.reg
}

func (e *Emulator) setRegistration(n int) {
	e.reg = n
	e.reportRegistration()
	if e.registered() {
		e.net.retry(e)
	}
}

var registrationNames = [3]string{"+CREG", "+CGREG", "+CEREG"}

// reportRegistration sends the unsolicited codes that were asked for.
func (e *Emulator) reportRegistration() {
	for i, name := range registrationNames {
		if e.regReport[i] > 0 && e.port != nil {
			_, behind := e.lineEnds()
			before, _ := e.lineEnds()
			e.write(before + name + ": " + e.registration(i) + behind)
		}
	}
}

func (e *Emulator) registration(i int) string {
	if e.regReport[i] == 2 && e.registered() {
		return fmt.Sprintf(`%d,"1A2B","01C3D4E5",7`, e.status())
	}
	return fmt.Sprint(e.status())
}
