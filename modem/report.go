package modem

import "time"

// Step is a rung of recovery.
type Step string

// Steps of recovery, gentle ones first.
const (
	StepResync  Step = "resync"  // answers are matched with commands again
	StepReopen  Step = "reopen"  // the port is closed and opened
	StepRadio   Step = "radio"   // radio off and on
	StepRestart Step = "restart" // of the modem, by a command
	StepPower   Step = "power"   // off and on, by Config.Power
)

// Recovery is what is being done about a modem that does not work.
type Recovery struct {
	Step  Step      `json:"step"` // tried last
	Why   string    `json:"why"`
	At    time.Time `json:"at"`            // of that step
	Tries int       `json:"tries"`         // steps since the modem last worked
	Next  time.Time `json:"next,omitzero"` // no step before
	Hard  int       `json:"hard_today"`    // restarts and power cycles of the last 24 hours, of at most HardPerDay
}

// HardPerDay bounds restarts and power cycles.
const HardPerDay = 6

// Clock compares the time of the network with that of the box.
type Clock struct {
	Network time.Time     `json:"network"`
	Read    time.Time     `json:"read"`    // when, by the clock of the box
	Offset  time.Duration `json:"offset"`  // of the network against the box, without whole quarters of an hour that a time zone explains
	Trusted bool          `json:"trusted"` // the network has set the modem's clock
}

// Call is a call that nobody takes.
type Call struct {
	Modem  string
	From   string    // the caller's number as the network writes it; "" when withheld
	At     time.Time // first ring
	Rings  int
	HungUp bool // doorway has refused it
}

// Caller is what a Modem offers that tells of calls.
type Caller interface {
	Calls() <-chan Call
}

// Memory keeps which device a modem was, across restarts.
type Memory interface {
	Recall() (Device, bool)
	Remember(Device) error
}

// Device is how a modem is known again.
type Device struct {
	IMEI      string `json:"imei"`
	USBPath   string `json:"usb_path,omitempty"`
	Interface int    `json:"interface"` // -1 unknown
	VID       string `json:"vid,omitempty"`
	PID       string `json:"pid,omitempty"`
	Stable    string `json:"stable_name,omitempty"`
}
