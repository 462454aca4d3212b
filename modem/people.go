package modem

import (
	"errors"
	"fmt"

	"doorway/modem/port"
)

// explain gives the state and the sentence for people when there is no
// session: what is wrong and what to do.
func explain(c Config, device string, err error) (State, string) {
	var busy *port.BusyError
	if device == "" {
		device = c.Device
	}
	also := ""
	if errors.Is(err, errSilent) || errors.Is(err, errNoSync) || errors.Is(err, errTimeout) {
		// Another program at the same port takes the answers away.
		if pid, name := port.Holder(device); pid != 0 {
			also = fmt.Sprintf(" The program %s (process %d) has it open too: stop that first.", name, pid)
		}
	}
	switch {
	case errors.As(err, &busy):
		who := "another program"
		switch {
		case busy.Holder != "":
			who = fmt.Sprintf("%s (process %d)", busy.Holder, busy.PID)
		case busy.PID != 0:
			who = fmt.Sprintf("process %d", busy.PID)
		}
		return Unreachable, fmt.Sprintf("The port %s is in use by %s: stop it and the modem is taken within half a minute; messages wait.", busy.Path, who)
	case errors.Is(err, port.ErrDenied):
		return Unreachable, fmt.Sprintf("The port %s may not be opened: add the user of doorway to the group dialout and start doorway again.", c.Device)
	case errors.Is(err, port.ErrNotTerminal):
		return Unreachable, fmt.Sprintf("%s is not a serial port: set device of modem %s to the modem's port, e.g. one in /dev/serial/by-id, or to auto.", c.Device, c.Name)
	case errors.Is(err, errForeign):
		return Absent, fmt.Sprintf("No modem is plugged in: what is there does not answer AT commands (%s) and is left alone until it is plugged in again; plug a modem in or set device of modem %s.", device, c.Name)
	case errors.Is(err, errOther):
		return Absent, fmt.Sprintf("The modem that %s used before is looked for among those that are plugged in; messages wait.", c.Name)
	case errors.Is(err, errPower):
		return Starting, textPowerCycle
	case errors.Is(err, port.ErrAbsent), errors.Is(err, errLost):
		if c.Device == "auto" {
			return Absent, "No modem is plugged in: plug one in or set device of modem " + c.Name + "; messages wait until then."
		}
		return Absent, fmt.Sprintf("No modem at %s: plug it in or correct device of modem %s; messages wait until then.", c.Device, c.Name)
	case errors.Is(err, errSilent):
		return Unreachable, fmt.Sprintf("The device %s does not answer AT commands: it is no modem, another port of the modem, or it hangs; try the next port, or unplug it and plug it in again.%s", device, also)
	case errors.Is(err, errNoPDU):
		return Unreachable, fmt.Sprintf("The modem at %s cannot send SMS by PDU (it refuses AT+CMGF=0): use another modem.", c.Device)
	case errors.Is(err, errNoSync), errors.Is(err, errTimeout), errors.Is(err, errStuck):
		return Unreachable, fmt.Sprintf("The modem at %s has stopped answering: doorway opens it again by itself; if this lasts, unplug it and plug it in again.%s", device, also)
	case errors.Is(err, errReset):
		return Starting, "The modem has restarted and is being set up again."
	}
	return Unreachable, fmt.Sprintf("The modem at %s cannot be used (%v): correct device of modem %s or look into the log.", c.Device, err, c.Name)
}

// Sentences for people about a modem that answers.
const (
	textStarting    = "The modem is being set up."
	textReady       = "The modem is ready"
	textRadio       = "The modem does not work as it should: its radio is switched off and on; messages wait."
	textReset       = "The modem does not work as it should and is being restarted: this takes up to a minute; messages wait."
	textPowerCycle  = "The modem does not work as it should: its power is switched off and on; this takes up to two minutes; messages wait."
	textPowerFails  = "The command in power_command of modem %s does not work (%v): run it by hand as the user of doorway and correct it."
	textClock       = "The clock of this box says %s, the mobile network says %s: have it set by a time server (timedatectl set-ntp true)."
	textRoaming     = "The modem is in the network of %s, which is not the SIM card's own, and roaming = \"%s\" forbids to send there: change roaming of modem %s, or wait until its own network is found; texts still come in."
	textPower       = "The modem says that its supply is too weak: use a supply of at least 2 A, or a USB hub with its own supply; until then it may restart while sending."
	textKept        = "The modem is ready, but cannot delete messages from its storage (%s place %d: %s): when that is full, nothing more arrives; delete them in a phone or use another SIM."
	textSIMMissing  = "The modem has no SIM card, or cannot read it: switch the modem off, insert the SIM, switch it on again."
	textSIMBusy     = "The SIM card is still starting: this takes up to a minute."
	textSIMStuck    = "The SIM card has been busy for more than a minute: unplug the modem and plug it in again; if that does not help, the card may be worn."
	textPINWanted   = "The SIM card asks for its PIN: write it into a file, name the file in pin_file of this modem and start doorway again."
	textPINNoGuard  = "The SIM card asks for its PIN, which is not sent because attempts cannot be recorded: check the data folder."
	textPINBad      = "The PIN in pin_file is not a PIN (4 to 8 digits): correct it and start doorway again."
	textPINFew      = "The SIM card has one attempt at the PIN left: enter the PIN in a phone, then put the SIM back."
	textPINWrong    = "The SIM card refused the PIN of pin_file: correct it and start doorway again; the same PIN is never sent twice."
	textPINTried    = "The PIN of pin_file was tried before without success and is not sent again: correct it, or switch the PIN off in a phone."
	textPINLast     = "The SIM card has refused two PINs, and a third wrong one may block it: switch the PIN off in a phone, then put the SIM back."
	textPUK         = "The SIM card is blocked and asks for its PUK: unblock it in a phone with the PUK of the provider's letter; doorway never tries a PUK, since ten wrong ones destroy the card."
	textPersonal    = "The modem is locked to a provider or a SIM card (%s): use its own SIM, or have it unlocked."
	textSMSC        = "The SIM card has no SMS centre number: set it in a phone; until then nothing can be sent."
	textSearching   = "The modem looks for its network: if this lasts, check antenna and coverage; messages wait."
	textOff         = "The modem is not looking for a network: it is told to; if this lasts, check antenna and coverage; messages wait."
	textEmergency   = "The network allows emergency calls only (registration %s): the SIM card is not active, or may not be used here; ask the provider; messages wait."
	textDenied      = "The network does not accept this SIM card (registration %s): ask the provider whether it is active and allowed here; messages wait."
	textUnavailable = "the modem is not ready to send"
)
