package modem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"doorway/modem/port"
)

// ScanModem is a configured modem as Scan needs it.
type ScanModem struct {
	Name, Device string
	Baud         int
	// Status of its driver when that runs; its port is not touched then.
	Status *Status
}

// ScanConfig says what Scan looks at.
type ScanConfig struct {
	System   port.System
	LockDir  string
	Modems   []ScanModem // none: one modem with device auto is assumed
	Timeouts Timeouts
	Log      *slog.Logger
}

// Found is a serial device and what is behind it.
type Found struct {
	Path         string `json:"path"`
	VID          string `json:"vid,omitempty"` // four hex digits
	PID          string `json:"pid,omitempty"`
	Interface    int    `json:"interface"` // number of the USB interface, -1 unknown
	USBPath      string `json:"usb_path,omitempty"`
	Product      string `json:"product,omitempty"`
	Answers      bool   `json:"answers"`          // a modem answers AT here, or is in use here
	InUse        bool   `json:"in_use,omitempty"` // by doorway or by another program; it was not touched
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	IMEI         string `json:"imei,omitempty"`
	ICCID        string `json:"iccid,omitempty"`
	SIM          string `json:"sim,omitempty"`   // READY, SIM PIN…
	Modem        string `json:"modem,omitempty"` // the configured modem that uses it, or would
	Why          string `json:"why"`             // a sentence: why it is used, or not

	heard int
}

// Scan lists the serial devices of USB and those that are configured, asks each
// that nobody uses who it is, and says which one each configured modem would
// take. A port that is in use is never opened. It may run beside drivers.
func Scan(ctx context.Context, c ScanConfig) ([]Found, error) {
	if len(c.Modems) == 0 {
		c.Modems = []ScanModem{{Name: "a modem", Device: "auto"}}
	}
	all, err := c.System.Find()
	if err != nil {
		return nil, err
	}
	baud := map[string]int{}
	wanted := make([][]port.Candidate, len(c.Modems)) // in the order in which each modem would try
	for i, m := range c.Modems {
		cands, err := c.System.Resolve(m.Device)
		if err != nil {
			return nil, err
		}
		wanted[i] = New(Config{Name: m.Name, Device: m.Device}).preferred(cands)
		for _, x := range cands {
			baud[real(x.Path)] = m.Baud
			if !slices.ContainsFunc(all, func(a port.Candidate) bool { return real(a.Path) == real(x.Path) }) {
				all = append(all, x)
			}
		}
	}
	out := make([]Found, 0, len(all))
	for _, x := range all {
		f := Found{Path: x.Path, VID: x.VID, PID: x.PID, Interface: x.Interface, USBPath: x.USBPath, Product: x.Product}
		if !f.used(c.Modems) {
			f.look(ctx, c, x, baud[real(x.Path)], siblings(all, x))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out = append(out, f)
	}
	for i, m := range c.Modems {
		choose(out, m, wanted[i])
	}
	return out, nil
}

// real is a path without links, so that two names of a device are the same.
func real(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}

// siblings tells whether the device has several ports.
func siblings(all []port.Candidate, x port.Candidate) bool {
	n := 0
	for _, a := range all {
		if x.USBPath != "" && a.USBPath == x.USBPath {
			n++
		}
	}
	return n > 1
}

// used fills in what a running driver knows of the port.
func (f *Found) used(modems []ScanModem) bool {
	for _, m := range modems {
		st := m.Status
		if st == nil || st.State == Absent || st.State == Unreachable || real(st.Device) != real(f.Path) {
			continue
		}
		f.Answers, f.InUse, f.Modem = true, true, m.Name
		f.Manufacturer, f.Model, f.IMEI, f.ICCID = st.Manufacturer, st.Model, st.IMEI, st.ICCID
		f.SIM = "READY"
		if st.State == SIMMissing || st.State == SIMLocked {
			f.SIM = string(st.State)
		}
		f.Why = "In use by " + m.Name + ": " + st.Text
		return true
	}
	return false
}

// look asks the port who is behind it.
func (f *Found) look(ctx context.Context, c ScanConfig, x port.Candidate, baud int, several bool) {
	d := New(Config{Name: "probe", Device: x.Path, Baud: baud, LockDir: c.LockDir, Timeouts: c.Timeouts, Log: c.Log})
	if pid, name := port.Holder(x.Path); pid != 0 && f.USBPath != "" {
		f.InUse, f.Why = true, fmt.Sprintf("In use by %s (process %d): it was not touched.", name, pid)
		return
	}
	t, err := d.try(ctx, x)
	var busy *port.BusyError
	switch {
	case errors.As(err, &busy):
		_, text := explain(d.cfg, x.Path, err)
		f.InUse, f.Why = true, text
		return
	case errors.Is(err, errSilent), errors.Is(err, errNoSync), errors.Is(err, errStuck):
		f.Why = "Nothing answers AT here: no modem, or a port of the modem for other things."
		return
	case err != nil:
		_, f.Why = explain(d.cfg, x.Path, err)
		return
	}
	defer func() { t.end(); _ = t.p.Close() }() // ignored: it was only asked
	f.Answers = true
	f.Why = "A modem answers here; no configured modem takes it."
	s := &session{d: d, e: t.e, t: d.cfg.Timeouts, gen: map[slot]uint64{}}
	if err := s.identity(ctx); err != nil {
		return
	}
	st := d.Status()
	f.Manufacturer, f.Model, f.IMEI = st.Manufacturer, st.Model, st.IMEI
	r, err := s.ask(ctx, command{line: "AT+CPIN?", info: "+CPIN", limit: s.t.Storage})
	if err != nil {
		return
	}
	if f.SIM = parseCPIN(r.first()); f.SIM == "" && !r.final.ok() {
		f.SIM = r.final.raw
	}
	if f.ICCID, err = s.iccid(ctx); err != nil || !several {
		return
	}
	_ = t.e.listen(ctx, 3*s.t.Quiet) // ignored: what was heard until then counts
	f.heard = t.e.heard
}

// choose marks what a modem would take, as Driver.open does.
func choose(found []Found, m ScanModem, wanted []port.Candidate) {
	if slices.ContainsFunc(found, func(f Found) bool { return f.InUse && f.Modem == m.Name }) {
		return
	}
	others := map[string]bool{} // devices of other modems
	for _, f := range found {
		others[f.USBPath] = others[f.USBPath] || f.Modem != "" && f.USBPath != ""
	}
	var best *Found
	for _, c := range wanted {
		for i := range found {
			f := &found[i]
			if real(f.Path) != real(c.Path) || !f.Answers || f.Modem != "" || others[f.USBPath] {
				continue
			}
			switch {
			case best == nil:
				best = f
			case f.USBPath != best.USBPath || f.USBPath == "":
			case f.heard > best.heard:
				best.Why = "A modem answers here, but speaks by itself on " + f.Path + ", which is taken."
				best = f
			default:
				f.Why = "A modem answers here too; " + best.Path + " of the same device is taken."
			}
		}
	}
	if best == nil {
		return
	}
	best.Modem = m.Name
	best.Why = fmt.Sprintf("Would be used by %s (device = %q): it is the first device that answers AT.", m.Name, m.Device)
	if best.heard > 0 {
		best.Why = fmt.Sprintf("Would be used by %s (device = %q): it answers AT and announces by itself.", m.Name, m.Device)
	}
}
