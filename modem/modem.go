// Package modem drives a GSM modem by AT commands (3GPP TS 27.005, 27.007):
// it owns the port, sends TPDUs, drains the message storage and reports the
// modem's state. It works in PDU mode only and knows nothing of texts,
// queues or XMPP; modem/pdu turns texts into TPDUs.
//
// This file is its contract; Driver is in driver.go.
package modem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"doorway/modem/port"
)

// Config says how to reach one modem.
type Config struct {
	Name   string // e.g. "gsm0", for logs and status
	Device string // path, "auto", or one of the forms of port.System.Resolve
	Baud   int    // 0 means 115200
	// PIN of the SIM, "" for none.
	PIN string
	// Guard stores attempts at the PIN so that a wrong one is sent once only; nil refuses to send a PIN.
	Guard PINGuard
	Log   *slog.Logger
	// LockDir holds our lock files; "" means os.TempDir.
	LockDir string
	// Trace, when not nil, sees each line: dir is '>' or '<'. Secrets are masked.
	// It is called by two goroutines and must not block.
	Trace func(dir byte, line string)
	// System is where devices are looked for; the zero value is this machine.
	System port.System
	// Memory keeps which device the modem was, for device "auto"; nil forgets it at the end.
	Memory Memory
	// Claims keeps several drivers with device "auto" from taking the same modem by two of
	// its ports; drivers of one process share it. nil: there is no other driver.
	Claims *Claims
	// Roaming is where the modem may be used; "" means RoamAnywhere.
	Roaming Roaming
	// HangUp refuses calls at once; else they ring until the caller gives up. Both are told by Calls.
	HangUp bool
	// Power is a command and its arguments that switches the modem off and on, the last step of
	// recovery; nil for none. See power.go for what it is given.
	Power []string
	// Credit says how the balance of the SIM is asked for; nil: not at all.
	Credit *Credit
	// Timeouts of TS-level commands; zero fields take the reference's values (tests shorten them).
	Timeouts Timeouts
}

// Timeouts are the limits of commands, monotonic and never restarted by arriving lines.
type Timeouts struct {
	Command time.Duration // plain commands, 5 s
	Storage time.Duration // CPMS=, CSCA?, CMGD, CPIN?, 15 s
	List    time.Duration // CMGL, 30 s
	Prompt  time.Duration // CMGS to ">", 10 s
	Send    time.Duration // Ctrl-Z to the final result, 120 s
	Write   time.Duration // write() of any bytes, 2 s
	Poll    time.Duration // safety poll of storage and state when idle, 60 s
	Reopen  time.Duration // first pause before the port is opened again, 1 s (doubles to 30 s)
	Quiet   time.Duration // silence that proves that answers match commands again, 300 ms; also the pause between the first AT commands
	Listen  time.Duration // after a send without an answer: listening before the next command, 10 s
	// Of the recovery of a modem that answers and does not work.
	Radio    time.Duration // radio off before it is switched on again, 5 s
	Reset    time.Duration // for the port to vanish after a restart of the modem, 60 s
	Patience time.Duration // without registration, before something is done about it, 10 min
	Recovery time.Duration // first pause after all steps were tried in vain, 1 min (then 5 and 30 times as long)
	Dialogue time.Duration // for the network's answer to a USSD code, 120 s
}

// Roaming is a policy: in which networks the modem may send.
type Roaming string

// Policies of roaming. What is received costs nothing and is taken in anyway.
const (
	RoamAnywhere Roaming = "allow"
	RoamCountry  Roaming = "country" // only in the country of the SIM
	RoamNowhere  Roaming = "refuse"
)

// PINGuard journals attempts. Attempt persists before it returns; left is how many the SIM still forgives, -1 unknown. Its error
// is ErrPINLast when the SIM may have no more than one left, another one when this pair was refused before, or was sent
// without an answer and nothing shows that it cost no attempt.
type PINGuard interface {
	Attempt(sim, pinHash string, left int) error
	Success(sim, pinHash string) error
	Refused(sim, pinHash string) error
}

// ErrPINLast says that another wrong PIN might block the SIM.
var ErrPINLast = errors.New("other PINs were refused by this SIM")

// State is what the modem is doing, for people and for routing.
type State string

// States of a modem.
const (
	Absent      State = "absent"   // no device
	Starting    State = "starting" // being initialised
	SIMMissing  State = "sim-missing"
	SIMLocked   State = "sim-locked" // PIN, PUK or a personalisation lock
	Searching   State = "searching"
	Denied      State = "denied"
	Ready       State = "ready"
	Unreachable State = "unreachable" // the device is there and does not answer
)

// Status is a snapshot of a modem.
type Status struct {
	Name         string    `json:"name"`
	Device       string    `json:"device"`
	State        State     `json:"state"`
	Text         string    `json:"text"` // one sentence: what is wrong and what to do, or that all is well
	Manufacturer string    `json:"manufacturer,omitempty"`
	Model        string    `json:"model,omitempty"`
	Firmware     string    `json:"firmware,omitempty"`
	IMEI         string    `json:"imei,omitempty"`
	IMSI         string    `json:"imsi,omitempty"`
	ICCID        string    `json:"iccid,omitempty"`
	SMSC         string    `json:"smsc,omitempty"`
	Operator     string    `json:"operator,omitempty"`
	Registration string    `json:"registration,omitempty"` // home, roaming, searching, denied…
	Technology   string    `json:"technology,omitempty"`   // GSM, UMTS, LTE… when the modem tells
	RSSI         int       `json:"rssi_dbm"`               // dBm; 0 unknown
	StorageUsed  int       `json:"storage_used"`
	StorageSize  int       `json:"storage_size"`
	Since        time.Time `json:"since"`

	Family   string    `json:"family,omitempty"`      // entry of the quirks table, "" for none
	Number   string    `json:"number,omitempty"`      // own number, when the SIM knows it (+CNUM)
	Stable   string    `json:"stable_name,omitempty"` // link in /dev/serial/by-id
	USBPath  string    `json:"usb_path,omitempty"`    // bus and ports, e.g. 1-1.2
	Notes    []string  `json:"notes,omitempty"`       // sentences about what is not as it should be although the modem works
	Recovery *Recovery `json:"recovery,omitempty"`    // nil while all is well
	Credit   *Balance  `json:"credit,omitempty"`      // as asked for last
	Clock    *Clock    `json:"clock,omitempty"`       // what the network says the time is
}

// Stored is a TPDU found in the modem's storage or pushed by it. The receiver
// persists it and then calls Delete; until then it is offered again.
type Stored struct {
	Modem   string
	TPDU    []byte    // without the SMSC field; nil when the line was not a PDU
	Raw     string    // the hex line as the modem gave it
	Stat    int       // 0, 1 received; 2, 3 drafts; -1 pushed (+CDS, +CMT)
	Storage string    // "ME", "SM", "SR"; "" when pushed
	Index   int       // slot; -1 when pushed
	At      time.Time // when the host read it
	Delete  func(ctx context.Context) error
}

// Late is a +CMGS found while resynchronising: it belongs to the send whose
// Send call returned a *SendError with AfterCtrlZ (Token as in that error).
type Late struct {
	Token uint64
	MR    byte
}

// Class is the class of a send error (reference sms-and-modem §4).
type Class string

// Classes of send errors.
const (
	ClassRecipient    Class = "recipient"    // permanent
	ClassSubscription Class = "subscription" // permanent for this SIM
	ClassPDU          Class = "pdu"
	ClassNetwork      Class = "network"   // transient
	ClassProtocol     Class = "protocol"  // transient, state
	ClassAmbiguous    Class = "ambiguous" // possibly sent
	ClassAccepted     Class = "accepted"  // CMS 197: the SMSC has it already
	ClassSIM          Class = "sim"
	ClassBusy         Class = "busy"
	ClassStorage      Class = "storage"
	ClassConfig       Class = "config"
	ClassModem        Class = "modem"
	ClassVendor       Class = "vendor"
	ClassUnknown      Class = "unknown"
	ClassDown         Class = "down" // no modem, not registered: nothing was tried
)

// SendError is what Driver.Send returns. CMS and CME are -1 when absent.
type SendError struct {
	Class      Class
	AfterCtrlZ bool
	CMS, CME   int
	Raw        string // the modem's own words
	Token      uint64 // names this attempt, for Late
	Err        error
}

func (e *SendError) Error() string {
	switch {
	case e.Raw != "":
		return fmt.Sprintf("send: %s (%s)", e.Raw, e.Class)
	case e.Err != nil:
		return fmt.Sprintf("send: %v (%s)", e.Err, e.Class)
	}
	return fmt.Sprintf("send: %s", e.Class)
}

func (e *SendError) Unwrap() error { return e.Err }

// Modem is what Driver offers to transports/sms.
type Modem interface {
	// Run owns the port until ctx ends; it reopens a lost port by itself.
	Run(ctx context.Context) error
	// Send transmits one TPDU (without SMSC field). onAir is called after the
	// prompt and before Ctrl-Z and returns after fsync; its error cancels the
	// send. The error is a *SendError or ctx's.
	Send(ctx context.Context, tpdu []byte, onAir func() error) (mr byte, err error)
	Burst(ctx context.Context, n int) (end func()) // n parts follow at once (+CMMS)
	Late() <-chan Late
	Inbox() <-chan Stored
	Status() Status
	Changed() <-chan struct{}        // gets a value after each change of State (coalesced)
	Probe(ctx context.Context) error // for the watchdog: nil when the loop answers, also without a device
}

var (
	_ Modem  = (*Driver)(nil)
	_ Caller = (*Driver)(nil)
)
