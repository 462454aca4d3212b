package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"doorway/modem"
	"doorway/modem/port"
)

// Bounds of a healthy modem.
const (
	weak       = -105 // dBm; below it texts get lost or late
	storageMax = 80   // percent; a full storage takes no texts in
)

// modems looks at each modem through its driver, or at its device while
// doorway does not run.
func modems(_ context.Context, b *Box) []Line {
	var lines []Line
	switch {
	case b.Facts != nil:
		for _, m := range b.Facts.Modems {
			lines = append(lines, driven(m)...)
		}
	case b.Config != nil:
		for _, m := range b.Config.Modems {
			lines = append(lines, plugged("modem "+m.Name, m.Device, b.FactsErr == nil))
		}
	default:
		return nil
	}
	if len(lines) == 0 {
		lines = append(lines, ok("modem", "No modem is configured: there is chat and no SMS."))
	}
	return lines
}

// driven is a modem as its driver sees it: SIM, PIN and registration are its
// state, and its sentence says what to do.
func driven(m modem.Status) []Line {
	name := "modem " + m.Name
	switch m.State {
	case modem.Ready:
	case modem.Starting, modem.Searching:
		return []Line{warn(name, m.Text, "Wait a minute and ask again.")}
	default:
		return []Line{fail(name, m.Text, "`doorway modem status` shows more.")}
	}
	var lines []Line
	if r := m.Recovery; r != nil && (r.Step != modem.StepResync && r.Step != modem.StepReopen || r.Tries > 2) {
		lines = append(lines, warn(name, fmt.Sprintf("It did not work (%s) and was helped %d times, last at %s by the step %s.", r.Why, r.Tries, r.At.Local().Format("15:04:05"), r.Step),
			"If this comes back, save the traffic with `doorway modem record` and look at supply, antenna and cable."))
	}
	for _, note := range m.Notes {
		lines = append(lines, warn(name, note, "`doorway modem status` shows more."))
	}
	if m.RSSI != 0 && m.RSSI < weak {
		lines = append(lines, warn(name, fmt.Sprintf("The signal is weak: %d dBm.", m.RSSI), "Move the antenna, or the box, to a window; -95 dBm and more is good."))
	}
	if m.SMSC == "" {
		lines = append(lines, warn(name, "The SIM names no SMS centre, so nothing can be sent.", "Ask the operator for the number of its SMS centre and store it on the SIM with a phone."))
	}
	if m.StorageSize > 0 && m.StorageUsed*100 >= m.StorageSize*storageMax {
		lines = append(lines, warn(name, fmt.Sprintf("%d of %d places for texts are taken.", m.StorageUsed, m.StorageSize), "doorway empties them by itself. If this stays, read the log, and delete old texts on the SIM with a phone."))
	}
	if len(lines) == 0 {
		signal := "unknown"
		if m.RSSI != 0 {
			signal = fmt.Sprintf("%d dBm", m.RSSI)
		}
		lines = append(lines, ok(name, fmt.Sprintf("Ready on %s: %s, signal %s, SMS centre %s, %d of %d places taken.",
			m.Device, strings.TrimSpace(m.Operator+" "+m.Registration), signal, m.SMSC, m.StorageUsed, m.StorageSize)))
	}
	return lines
}

// plugged looks at a modem's device. idle says that doorway has it not open.
func plugged(name, device string, idle bool) Line {
	list, err := port.System{}.Resolve(device)
	if err != nil {
		return fail(name, err.Error()+".", "Correct `device` in doorway.toml.")
	}
	const plugIn = "Plug it in and look at `dmesg`; `ls -l /dev/serial/by-id` lists what is there."
	if len(list) == 0 {
		return fail(name, "No USB modem is plugged in.", plugIn)
	}
	var there []string
	for _, c := range list {
		err := unix.Access(c.Path, unix.R_OK|unix.W_OK)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fail(name, c.Path+" is not there.", plugIn)
		case errors.Is(err, os.ErrPermission):
			return fail(name, "You may not use "+c.Path+".", "Run the doctor with sudo. doorway itself needs the group dialout: `usermod -aG dialout doorway`.")
		case err != nil:
			return fail(name, fmt.Sprintf("%s: %v.", c.Path, err), plugIn)
		}
		if pid, command := port.Holder(c.Path); pid != 0 && idle {
			return fail(name, fmt.Sprintf("%s is in use by %s (process %d).", c.Path, command, pid), "Stop that program; `systemctl disable --now ModemManager` if it is ModemManager.")
		}
		there = append(there, c.Path)
	}
	return ok(name, strings.Join(there, ", ")+" is there and free. What SIM and network say is known once doorway runs.")
}

// modemManager warns of the program that opens every modem it finds.
func modemManager(_ context.Context, b *Box) []Line {
	if b.Config == nil || len(b.Config.Modems) == 0 {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(b.Processes, "[0-9]*", "comm"))
	if err != nil {
		return nil // ignored: the pattern is a right one
	}
	for _, f := range files {
		if raw, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(raw)) == "ModemManager" {
			for _, dir := range b.Rules {
				if exists(filepath.Join(dir, "60-doorway.rules")) {
					return []Line{ok("ModemManager", "ModemManager runs; 60-doorway.rules keeps it away from serial ports.")}
				}
			}
			return []Line{warn("ModemManager", "ModemManager runs, and opens modems that doorway needs.", "Install configs/doorway.rules as /etc/udev/rules.d/60-doorway.rules, which keeps it away from them, or run `systemctl disable --now ModemManager`.")}
		}
	}
	return nil
}
