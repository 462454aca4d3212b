package emulator

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"doorway/modem/pdu"
)

// ringEvery is how often networks ring.
const ringEvery = 4 * time.Second

// Call has somebody call the modem: it rings so many times, until it is hung up
// (3GPP TS 27.007 §6.11, §7.6). From "" withholds the number.
func (e *Emulator) Call(from string, rings int, every time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	call := e.calls
	e.ringing = call
	for i := range rings + 1 {
		e.plan.after(time.Duration(i)*every, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.ringing != call {
				return
			}
			if i == rings {
				e.ringing = 0
				e.write(e.renderInfo(answer{lines: []string{"NO CARRIER"}}))
				return
			}
			e.write(e.renderInfo(answer{lines: []string{"RING"}}))
			if e.clip == 0 {
				return
			}
			line := fmt.Sprintf(`+CLIP: "%s",145,"",0,"",0`, from)
			if from == "" {
				line = `+CLIP: "",128,"",0,"",1`
			}
			e.write(e.renderInfo(answer{lines: []string{line}}))
		})
	}
}

// Idle tells whether no call rings.
func (e *Emulator) Idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ringing == 0
}

// HungUp tells how many calls the client has refused.
func (e *Emulator) HungUp() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused
}

func (e *Emulator) hangUp() {
	if e.ringing != 0 {
		e.ringing = 0
		e.refused++
	}
}

// cusd answers codes: *100# says the balance, *101# asks a question first
// (3GPP TS 27.007 §7.15). Set chooses the form in which codes and answers come.
func (e *Emulator) cusd(c command) answer {
	switch c.form {
	case read:
		return info("+CUSD: 0")
	case test:
		return info("+CUSD: (0-2)")
	}
	p := c.params()
	if p[0] == "2" {
		e.menu = false
		return ok
	}
	if len(p) < 2 || p[0] != "1" {
		return ok
	}
	if !e.registered() {
		return e.cme(30)
	}
	code, good := e.readCode(p[1])
	if !good {
		return e.cme(50)
	}
	balance := e.balance
	if balance == "" {
		balance = "Your balance is 12.34 EUR."
	}
	m, text := 0, "Unknown code."
	switch {
	case code == "*100#", e.menu && code == "1":
		text = balance
	case code == "*101#":
		m, text = 1, "1 Balance\n2 Data"
	case code == "*102#":
		m, text = 4, ""
	}
	e.menu = m == 1
	line := fmt.Sprintf("+CUSD: %d", m)
	if text != "" {
		line = fmt.Sprintf(`+CUSD: %d,"%s",%s`, m, e.writeText(text), map[string]string{"ucs2": "72"}[e.ussdForm])
		if e.ussdForm != "ucs2" {
			line += "15"
		}
	}
	e.plan.after(e.net.latency(), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.write(e.renderInfo(answer{lines: []string{line}}))
	})
	return ok
}

// readCode takes a code in the form that this modem wants.
func (e *Emulator) readCode(s string) (string, bool) {
	b, err := hex.DecodeString(s)
	switch e.ussdForm {
	case "packed":
		return pdu.Unpack(b), err == nil
	case "ucs2":
		if err != nil || len(b)%2 != 0 || e.cscs != "UCS2" {
			return "", false
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return string(utf16.Decode(u)), true
	}
	return s, e.cscs != "UCS2"
}

func (e *Emulator) writeText(s string) string {
	switch e.ussdForm {
	case "packed":
		b, ok := pdu.Pack(s)
		if !ok {
			return ""
		}
		return strings.ToUpper(hex.EncodeToString(b))
	case "ucs2":
		return hexUCS2(s)
	}
	return s
}
