package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

var ok = answer{final: "OK"}

func info(format string, v ...any) answer {
	return answer{lines: []string{fmt.Sprintf(format, v...)}, final: "OK"}
}

var failed = answer{final: "ERROR"}

func lookup(name string) func(*Emulator, command) answer {
	switch name {
	case "+CMGS", "+CMGW":
		return (*Emulator).beginPDU
	case "+CMGR":
		return (*Emulator).cmgr
	case "+CMGL":
		return (*Emulator).cmgl
	case "+CMGD":
		return (*Emulator).cmgd
	case "+CMGF":
		return (*Emulator).cmgf
	case "+CPMS":
		return (*Emulator).cpms
	case "+CNMI":
		return (*Emulator).cnmiCommand
	case "+CNMA":
		return (*Emulator).cnma
	case "+CSMS":
		return (*Emulator).csmsCommand
	case "+CSCA":
		return (*Emulator).csca
	case "+CMMS":
		return func(e *Emulator, c command) answer { return number(c, &e.cmms, 2, "(0-2)") }
	case "+CPIN", "+CPINR":
		return (*Emulator).cpin
	case "+CFUN":
		return (*Emulator).cfunCommand
	case "+CREG", "+CGREG", "+CEREG":
		return (*Emulator).creg
	case "+COPS":
		return (*Emulator).cops
	case "+CUSD":
		return (*Emulator).cusd
	case "+CSCS":
		return (*Emulator).cscsCommand
	case "+CMEE":
		return func(e *Emulator, c command) answer { return number(c, &e.cmee, 2, "(0-2)") }
	case "+CLIP":
		return func(e *Emulator, c command) answer { return number(c, &e.clip, 1, "(0,1)") }
	case "+CTZR", "+CTZU":
		return func(e *Emulator, c command) answer { return number(c, &e.ctz, 2, "(0-2)") }
	case "+CHUP":
		return func(e *Emulator, c command) answer { e.hangUp(); return ok }
	case "+CRC":
		return func(e *Emulator, c command) answer { return number(c, &e.crc, 1, "(0,1)") }
	}
	return (*Emulator).identity
}

// execute carries out one command.
func (e *Emulator) execute(c command) answer {
	if c.name == "" {
		return failed
	}
	if strings.IndexByte("+^#$*%!-", c.name[0]) >= 0 {
		return lookup(c.name)(e, c)
	}
	n, _ := strconv.Atoi(c.args) // ignored: no digits mean 0 (V.250 §5.3.1)
	switch c.name {
	case "E":
		return toggle(&e.echo, n)
	case "V":
		return toggle(&e.verbose, n)
	case "Q":
		return toggle(&e.quiet, n)
	case "H":
		e.hangUp()
		return ok
	case "X", "L", "M", "&D", "&C", "&K", "&S", "&W", "S", "O", "T", "P":
		if c.name == "S" && c.form == read {
			return info("000")
		}
		return ok
	case "Z", "&F":
		keep := e.settings
		e.settings = e.powerOn()
		e.dialect, e.reg, e.rssi, e.smsc, e.cfun = keep.dialect, keep.reg, keep.rssi, keep.smsc, keep.cfun
		return ok
	case "I":
		return answer{lines: []string{e.cfg.Manufacturer, e.cfg.Model, "Revision: " + e.cfg.Revision}, final: "OK"}
	case "D", "A":
		return answer{final: "NO CARRIER"} // no calls here
	}
	return failed
}

func toggle(v *bool, n int) answer {
	if n > 1 {
		return failed
	}
	*v = n == 1
	return ok
}

// number handles a setting of one small number.
func number(c command, v *int, top int, offered string) answer {
	switch c.form {
	case read:
		return info("%s: %d", c.name, *v)
	case test:
		return info("%s: %s", c.name, offered)
	case set:
		n, err := strconv.Atoi(c.args)
		if err != nil || n < 0 || n > top {
			return failed
		}
		*v = n
		return ok
	}
	return failed
}

// identity answers who and how the modem is.
func (e *Emulator) identity(c command) answer {
	if c.form == test {
		switch c.name {
		case "+CGMI", "+GMI", "+CGMM", "+GMM", "+CGMR", "+GMR", "+CGSN", "+GSN", "+CIMI", "+CSQ", "+CBC", "+CCLK", "+CGATT", "+GCAP", "+CPAS", "+CNUM":
			return ok
		}
		return failed
	}
	switch c.name {
	case "+CGMI", "+GMI":
		return info("%s", e.cfg.Manufacturer)
	case "+CGMM", "+GMM":
		return info("%s", e.cfg.Model)
	case "+CGMR", "+GMR":
		return info("%s", e.cfg.Revision)
	case "+CGSN", "+GSN":
		if c.form == set && c.args == "1" {
			return info("+CGSN: %q", e.cfg.IMEI)
		}
		return info("%s", e.cfg.IMEI)
	case "+GCAP":
		return info("+GCAP: +CGSM")
	case "+CSQ":
		return info("+CSQ: %d,99", e.rssi)
	case "+CBC":
		return info("+CBC: 0,100")
	case "+CPAS":
		return info("+CPAS: 0")
	case "+CCLK":
		return info("+CCLK: %q", time.Now().Add(e.clock).UTC().Format("06/01/02,15:04:05+00"))
	case "+CGATT":
		if c.form == set {
			return ok
		}
		return info("+CGATT: %d", b2i(e.registered()))
	case "+IPR", "+IFC", "+ICF":
		if c.form == set {
			return ok
		}
		return info("%s: %s", c.name, map[string]string{"+IPR": "115200", "+IFC": "0,0", "+ICF": "3,3"}[c.name])
	}
	switch c.name {
	case "+CIMI", "+CCID", "+ICCID", "^ICCID", "+QCCID", "+CNUM":
	default:
		return failed
	}
	if a := e.simError(false); a != nil {
		return *a
	}
	switch c.name {
	case "+CIMI":
		return info("%s", e.cfg.IMSI)
	case "+CNUM":
		return info(`+CNUM: ,"%s",145`, e.number)
	}
	return info("%s: %s", c.name, e.cfg.ICCID)
}

func (e *Emulator) cpin(c command) answer {
	if e.sim.state == "absent" || e.sim.state == "busy" {
		return *e.simError(false)
	}
	if c.name == "+CPINR" {
		return answer{lines: []string{fmt.Sprintf("+CPINR: SIM PIN,%d,3", e.sim.tries), fmt.Sprintf("+CPINR: SIM PUK,%d,10", e.sim.pukTries)}, final: "OK"}
	}
	switch c.form {
	case test:
		return ok
	case read:
		return info("+CPIN: %s", e.sim.state)
	case set:
		return e.enterPIN(c.params())
	}
	return failed
}

// enterPIN checks a PIN, or a PUK with a new PIN (3GPP TS 27.007 §8.3).
func (e *Emulator) enterPIN(p []string) answer {
	switch {
	case e.sim.state == "SIM PIN" && len(p) == 1:
		if p[0] != e.cfg.PIN {
			if e.sim.tries--; e.sim.tries <= 0 {
				e.sim.tries, e.sim.state = 0, "SIM PUK"
			}
			return e.cme(16)
		}
	case e.sim.state == "SIM PUK" && len(p) == 2:
		if p[0] != e.cfg.PUK {
			if e.sim.pukTries--; e.sim.pukTries <= 0 {
				e.sim.state = "absent"
			}
			return e.cme(16)
		}
		e.cfg.PIN = p[1]
	default:
		return e.cme(3)
	}
	e.sim.state, e.sim.tries, e.sim.pukTries = "READY", 3, 10
	e.net.retry(e)
	return ok
}

func (e *Emulator) cfunCommand(c command) answer {
	switch c.form {
	case read:
		return info("+CFUN: %d", e.cfun)
	case test:
		return info("+CFUN: (0,1,4),(0,1)")
	case set:
		p := c.params()
		n, err := strconv.Atoi(p[0])
		if err != nil || n != 0 && n != 1 && n != 4 {
			return e.cme(50)
		}
		if len(p) > 1 && p[1] == "1" {
			e.powerCycle()
			e.generation++
		}
		was := e.cfun
		if e.cfun = n; was != n {
			e.reportRegistration()
		}
		if e.registered() {
			e.net.retry(e)
		}
		return ok
	}
	return failed
}

func (e *Emulator) creg(c command) answer {
	i := map[string]int{"+CREG": 0, "+CGREG": 1, "+CEREG": 2}[c.name]
	if c.form == read {
		return info("%s: %d,%s", c.name, e.regReport[i], e.registration(i))
	}
	return number(c, &e.regReport[i], 2, "(0-2)")
}

func (e *Emulator) cops(c command) answer {
	switch c.form {
	case read:
		if !e.registered() {
			return info("+COPS: 0")
		}
		if e.copsFormat == 2 {
			if e.plmn != "" {
				return info(`+COPS: 0,2,"%s",7`, e.plmn)
			}
			return info(`+COPS: 0,2,"%.5s",7`, e.cfg.IMSI)
		}
		return info(`+COPS: 0,%d,"%s",7`, e.copsFormat, e.inCharset(e.cfg.Operator))
	case test:
		return info(`+COPS: (2,"%s","EMU","%.5s",7),,(0-4),(0-2)`, e.cfg.Operator, e.cfg.IMSI)
	case set:
		p := c.params()
		if len(p) > 1 {
			n, err := strconv.Atoi(p[1])
			if err != nil || n < 0 || n > 2 {
				return e.cme(50)
			}
			e.copsFormat = n
		}
		return ok
	}
	return failed
}

// inCharset writes a name in the character set that +CSCS chose.
func (e *Emulator) inCharset(s string) string {
	if e.cscs != "UCS2" {
		return s
	}
	return hexUCS2(s)
}

func hexUCS2(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String()
}

func (e *Emulator) cscsCommand(c command) answer {
	switch c.form {
	case read:
		return info("+CSCS: %q", e.cscs)
	case test:
		return info(`+CSCS: ("GSM","IRA","UCS2")`)
	case set:
		if p := c.params(); p[0] == "GSM" || p[0] == "IRA" || p[0] == "UCS2" {
			e.cscs = p[0]
			return ok
		}
		return e.cme(50)
	}
	return failed
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
