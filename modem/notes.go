package modem

import "slices"

// noteKind is what a note for people is about; there is one of each kind.
type noteKind int

const (
	notePower        noteKind = iota // the modem's supply is too weak
	notePowerCommand                 // the command for the power does not work
	noteCredit                       // the credit is low, or cannot be asked for
	noteClock                        // the box's clock is wrong
	noteMemory                       // the device cannot be remembered
	noteKinds
)

// note sets or, with "", takes away a sentence about a modem that works in spite of it.
func (d *Driver) note(k noteKind, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.notes[k] == text {
		return
	}
	d.notes[k] = text
	// A new slice: snapshots hold the old one.
	d.status.Notes = slices.DeleteFunc(slices.Clone(d.notes[:]), func(s string) bool { return s == "" })
}
