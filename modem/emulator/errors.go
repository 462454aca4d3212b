package emulator

import "fmt"

// cms and cme are final results of failed commands, in the form that +CMEE
// asks for (3GPP TS 27.005 §3.2.5, TS 27.007 §9.2).
func (e *Emulator) cms(code int) answer {
	if text, ok := cmsText[code]; ok && e.cmee == 2 {
		return answer{final: "+CMS ERROR: " + text}
	}
	return answer{final: fmt.Sprintf("+CMS ERROR: %d", code)}
}

func (e *Emulator) cme(code int) answer {
	switch text, ok := cmeText[code]; {
	case e.cmee == 0:
		return answer{final: "ERROR"}
	case e.cmee == 2 && ok:
		return answer{final: "+CME ERROR: " + text}
	}
	return answer{final: fmt.Sprintf("+CME ERROR: %d", code)}
}

// simError returns the error that the SIM's state leads to, or nil.
func (e *Emulator) simError(message bool) *answer {
	code := map[string][2]int{ // CME, CMS
		"absent": {10, 310}, "busy": {14, 314}, "SIM PIN": {11, 311}, "SIM PUK": {12, 316},
	}[e.sim.state]
	var a answer
	switch {
	case code[0] == 0:
		return nil
	case message:
		a = e.cms(code[1])
	default:
		a = e.cme(code[0])
	}
	return &a
}

var cmsText = map[int]string{
	1: "unassigned (unallocated) number", 38: "network out of order", 41: "temporary failure", 42: "congestion",
	300: "ME failure", 302: "operation not allowed", 303: "operation not supported", 304: "invalid PDU mode parameter",
	310: "SIM not inserted", 311: "SIM PIN required", 314: "SIM busy", 316: "SIM PUK required", 321: "invalid memory index",
	322: "memory full", 330: "SMSC address unknown", 331: "no network service", 332: "network timeout",
	340: "no +CNMA acknowledgement expected", 500: "unknown error",
}

var cmeText = map[int]string{
	3: "operation not allowed", 4: "operation not supported", 10: "SIM not inserted", 11: "SIM PIN required",
	12: "SIM PUK required", 14: "SIM busy", 16: "incorrect password", 30: "no network service", 50: "incorrect parameters",
}
