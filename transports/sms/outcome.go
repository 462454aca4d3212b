package sms

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// action is what a worker does about an error of the modem (reference §4).
type action uint8

const (
	actFail     action = iota + 1 // the part has failed for good
	actPlain                      // once more without optional fields, then fail
	actRetry                      // back-off until the deadline
	actBusy                       // the same again in a moment, not counted
	actWait                       // not the text's fault: the job waits, not counted
	actUnsure                     // possibly sent
	actAccepted                   // the service centre has it, reference unknown
	actOther                      // this SIM may not: another modem, else fail
)

// decide maps an error to an action. p has counted the error already: Seen is how often this class came
// in a row. COMPAT: codes that carry their own limit are told apart by CMS.
func decide(e *modem.SendError, p *part) action {
	switch e.Class {
	case modem.ClassRecipient:
		return actFail
	case modem.ClassSubscription:
		return actOther
	case modem.ClassPDU:
		if p.Plain {
			return actFail
		}
		return actPlain
	case modem.ClassNetwork:
		if e.CMS == 21 && p.Seen > 1 || e.CMS == 127 && p.Seen > 3 {
			return actFail
		}
		return actRetry
	case modem.ClassProtocol:
		switch {
		case p.Seen <= 1:
			return actBusy
		case p.Plain:
			return actFail
		}
		return actPlain
	case modem.ClassAmbiguous:
		return actUnsure
	case modem.ClassAccepted:
		return actAccepted
	case modem.ClassBusy:
		return actBusy
	case modem.ClassSIM, modem.ClassStorage, modem.ClassConfig, modem.ClassDown, modem.ClassModem:
		if e.AfterCtrlZ && e.Class == modem.ClassDown {
			return actUnsure
		}
		return actWait
	case modem.ClassVendor, modem.ClassUnknown:
		if e.AfterCtrlZ && e.CMS < 0 && e.CME < 0 {
			return actUnsure // no code at all after Ctrl-Z says nothing
		}
		if p.Seen > 2 {
			return actFail
		}
		return actRetry
	}
	if e.AfterCtrlZ {
		return actUnsure
	}
	return actRetry
}

// causes are the network's reasons in words (3GPP TS 24.011 annex E, TS 27.005 §3.2.5).
var causes = map[int]string{
	1:   "The number %s does not exist. Check it for a typing error.",
	8:   "The mobile operator bars this SIM from sending to %s. Ask the operator.",
	10:  "The mobile operator has barred this SIM from sending texts, so nothing went to %s. Ask the operator.",
	21:  "The network refused the text to %s. Often the SIM has no credit left: check the balance.",
	27:  "The network reports that %s is out of order.",
	28:  "The network does not know a subscriber with the number %s. Check the number.",
	29:  "The network refused to send to %s because this SIM has no such service. Ask the operator.",
	30:  "The network does not know the number %s. Check the number.",
	38:  "The mobile network is out of order, so the text to %s could not be sent.",
	41:  "The mobile network had a temporary failure, so the text to %s could not be sent.",
	42:  "The mobile network is congested, so the text to %s could not be sent.",
	47:  "The mobile network had no resources free, so the text to %s could not be sent.",
	50:  "This SIM is not subscribed to the service that a text to %s needs. Ask the operator.",
	69:  "The network does not offer the service that a text to %s needs. Ask the operator.",
	96:  "The network refused the text to %s as incomplete. The number of the SMS centre may be wrong.",
	127: "The network could not pass the text on to the network of %s.",
	192: "The SMS centre is busy, so the text to %s could not be sent.",
	193: "This SIM has no subscription at the SMS centre, so nothing went to %s. Ask the operator.",
	194: "The SMS centre has failed, so the text to %s could not be sent.",
	195: "The SMS centre says that %s is not a valid number. Check the number.",
	196: "The SMS centre bars texts to %s.",
	330: "The number of the SMS centre is not known, so nothing can be sent to %s. Set it in the SIM or in the modem's settings.",
	331: "The modem has no network service, so the text to %s could not be sent.",
}

// words explains an error to the sender of a text to num.
func words(e *modem.SendError, num string) string {
	if t, ok := causes[e.CMS]; ok {
		return fmt.Sprintf(t, num)
	}
	var t string
	switch e.Class {
	case modem.ClassRecipient:
		t = "The network says that %s cannot get texts. Check the number."
	case modem.ClassSubscription:
		t = "The mobile operator does not let this SIM send to %s. Ask the operator."
	case modem.ClassPDU:
		t = "The network did not accept the form of the text to %s."
	case modem.ClassSIM:
		t = "The SIM card cannot be used, so the text to %s waits. The administrator must look at the modem."
	case modem.ClassStorage:
		t = "The memory of the modem is in trouble, so the text to %s waits."
	case modem.ClassConfig:
		t = "The modem is not set up for sending, so the text to %s waits. The administrator must look at it."
	case modem.ClassDown, modem.ClassModem:
		t = "The modem is not ready, so the text to %s waits."
	case modem.ClassAmbiguous:
		t = "the modem gave no clear answer when the text to %s was sent."
	default:
		t = "The text to %s could not be sent."
	}
	t = fmt.Sprintf(t, num)
	if e.Raw != "" && e.Class != modem.ClassAmbiguous {
		t += " The modem said: " + strings.TrimSpace(e.Raw) + "."
	}
	return t
}

// reportWords explains a final TP-Status that is not success (3GPP TS 23.040 §9.2.3.15).
func reportWords(st byte, num string) string {
	switch st {
	case 0x40:
		return "The network could not deliver the text: a remote procedure error."
	case 0x41:
		return "The phone " + num + " is not compatible with this text."
	case 0x42:
		return "The phone " + num + " rejected the text."
	case 0x43:
		return "The number " + num + " cannot be obtained. Check the number."
	case 0x45:
		return "The network does not connect to " + num + "."
	case 0x46:
		return "The text to " + num + " expired: the phone was switched off or out of reach for too long."
	case 0x47, 0x48:
		return "The text to " + num + " was deleted at the SMS centre before it was delivered."
	case 0x49:
		return "The SMS centre no longer knows the text to " + num + "; it was not delivered."
	case 0x60, 0x61, 0x62, 0x63, 0x64, 0x65:
		return "The SMS centre has given up trying to deliver the text to " + num + "."
	}
	return fmt.Sprintf("The network could not deliver the text to %s (status %#02x).", num, st)
}

// blame sorts a part's final class for programs: whose fault it is, and whether another try later may help.
func blame(class string) (kind transports.ErrorKind, temporary bool) {
	switch modem.Class(class) {
	case modem.ClassRecipient:
		return transports.NotFound, false
	case modem.ClassSubscription, modem.ClassPDU, modem.ClassProtocol:
		return transports.Refused, false
	case classReport:
		return transports.Down, false
	}
	return transports.Down, true
}

// classReport is the class of a part whose status report says that it failed.
const classReport modem.Class = "report"

// backoff is the pause before attempt n+1, n from 1, give or take a fifth (reference §1.2).
func backoff(n int) time.Duration {
	steps := [...]time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute}
	d := time.Hour
	if n >= 1 && n <= len(steps) {
		d = steps[n-1]
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// busyPauses are the pauses of the busy class.
var busyPauses = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
