package modem

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/modem/port"
)

// patientAsks is how often a device that does not answer AT is asked, over
// about three minutes, until it is left alone: some modems take that long to start.
const patientAsks = 9

// reserved is how long a device that has gone away is kept for its driver.
const reserved = time.Minute

// Claims tells drivers of one process which devices others use, so that two
// with device "auto" never share a modem by two of its ports. The zero value is
// ready; its methods are safe for concurrent use, also on nil.
type Claims struct {
	mu    sync.Mutex           // guards what follows
	owner map[string]string    // USB path → driver
	since map[string]time.Time // when it was released; zero while in use
	named map[string]string    // driver → device of the configuration that is not "auto"
}

// Reserve keeps the device that the configuration names for a driver.
func (c *Claims) Reserve(driver, device string) {
	if c == nil || device == "auto" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.named == nil {
		c.named = map[string]string{}
	}
	c.named[driver] = device
}

// take gives the device at a USB path to a driver, unless another one has it.
func (c *Claims) take(s port.System, usbPath, driver string) bool {
	if c == nil || usbPath == "" {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, device := range c.named {
		if other == driver {
			continue
		}
		if l, err := s.Resolve(device); err == nil && slices.ContainsFunc(l, func(x port.Candidate) bool { return x.USBPath == usbPath }) {
			return false
		}
	}
	if o := c.owner[usbPath]; o != "" && o != driver {
		if at := c.since[usbPath]; at.IsZero() || time.Since(at) < reserved {
			return false
		}
	}
	c.forget(driver)
	if c.owner == nil {
		c.owner, c.since = map[string]string{}, map[string]time.Time{}
	}
	c.owner[usbPath] = driver
	delete(c.since, usbPath)
	return true
}

// release keeps a driver's device for it for a while: it may come back.
func (c *Claims) release(driver string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, o := range c.owner {
		if o == driver {
			c.since[p] = time.Now()
		}
	}
}

// drop gives up what a driver has.
func (c *Claims) drop(driver string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(driver)
}

func (c *Claims) forget(driver string) {
	for p, o := range c.owner {
		if o == driver {
			delete(c.owner, p)
			delete(c.since, p)
		}
	}
}

// deviceKey names a device as long as it stays plugged in.
func deviceKey(c port.Candidate) string {
	if c.USBPath == "" {
		return c.Path
	}
	return c.USBPath + " " + c.Number
}

// unanswered counts a device of "auto" that has not answered AT.
func (d *Driver) unanswered(c port.Candidate) {
	if d.cfg.Device == "auto" && !d.answered(c) {
		d.mute[deviceKey(c)]++
	}
}

// answered tells whether the modem that was used last is at this port.
func (d *Driver) answered(c port.Candidate) bool {
	if c.USBPath == "" {
		return d.home.IMEI != "" && d.home.USBPath == "" && c.Path == d.Status().Device
	}
	return d.home.IMEI != "" && d.home.USBPath == c.USBPath && d.home.VID == c.VID && d.home.PID == c.PID
}

// waitsForHome tells whether the modem was here a moment ago and only devices
// of other kinds are plugged in: a restart takes it away for some seconds, and
// nothing else is to be taken for it meanwhile. The time is that of reserved by default.
func (d *Driver) waitsForHome(cands []port.Candidate, now time.Time) bool {
	if d.cfg.Device != "auto" || !d.away || d.home.IMEI == "" || d.home.VID == "" || now.Sub(d.lostAt) > 60*d.cfg.Timeouts.Reopen {
		return false
	}
	return !slices.ContainsFunc(cands, func(c port.Candidate) bool { return c.VID == d.home.VID && c.PID == d.home.PID })
}

// worthAsking leaves out devices that have never answered AT; those that are gone
// are forgotten, so that they are asked when they are plugged in again.
func (d *Driver) worthAsking(cands []port.Candidate) ([]port.Candidate, error) {
	if d.cfg.Device != "auto" {
		return cands, nil
	}
	there := map[string]bool{}
	for _, c := range cands {
		there[deviceKey(c)] = true
	}
	for k := range d.mute {
		if !there[k] {
			delete(d.mute, k)
		}
	}
	for k := range d.others {
		if !there[k] {
			delete(d.others, k)
		}
	}
	var left []string
	out := slices.DeleteFunc(slices.Clone(cands), func(c port.Candidate) bool {
		if d.mute[deviceKey(c)] < patientAsks {
			return false
		}
		left = append(left, c.Path)
		return true
	})
	if len(out) == 0 && len(left) > 0 {
		d.update(func(s *Status) { s.Device = strings.Join(left, ", ") })
		return nil, errForeign
	}
	return out, nil
}

// preferred orders candidates: the port used last, the others of its device,
// devices of its kind, then the rest; the number of a tty changes when a stick is
// plugged in again, its place does not. Of one device the port comes first
// that is known to take AT commands.
func (d *Driver) preferred(cands []port.Candidate) []port.Candidate {
	rank := func(c port.Candidate) int {
		switch h := d.home; {
		case d.others[deviceKey(c)]:
			return 5
		case d.last.USBPath != "" && c.USBPath == d.last.USBPath:
			return 0
		case h.USBPath != "" && c.USBPath == h.USBPath && c.VID == h.VID && c.PID == h.PID:
			return 1
		case h.Stable != "" && sameStick(c.Stable, h.Stable):
			return 2
		case h.VID != "" && c.VID == h.VID && c.PID == h.PID:
			return 3
		}
		return 4
	}
	out := slices.Clone(cands)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.USBPath == b.USBPath && a.USBPath != "" {
			return d.portRank(a) < d.portRank(b)
		}
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		return a.USBPath < b.USBPath // the ports of a device stay together
	})
	return out
}

// sameStick compares names in by-id without the interface at their end.
func sameStick(a, b string) bool {
	a, _, _ = strings.Cut(a, "-if")
	b, _, _ = strings.Cut(b, "-if")
	return a == b
}

// portRank orders the ports of one device.
func (d *Driver) portRank(c port.Candidate) int {
	switch {
	case d.isLast(c):
		return 0
	case d.home.USBPath == c.USBPath && d.home.USBPath != "" && d.home.Interface == c.Interface:
		return 1
	case port.TakesAT(c):
		return 2
	}
	return 3
}

// remember writes down which device the modem is, once it has told its IMEI.
func (d *Driver) remember() {
	st := d.Status()
	if st.IMEI == "" {
		return
	}
	c := d.last
	dev := Device{IMEI: st.IMEI, USBPath: c.USBPath, Interface: c.Interface, VID: c.VID, PID: c.PID, Stable: c.Stable}
	if dev == d.home {
		return
	}
	d.home = dev
	clear(d.others)
	if d.cfg.Memory == nil {
		return
	}
	if err := d.cfg.Memory.Remember(dev); err != nil {
		d.log.Error("modem: its device cannot be remembered", "err", err)
		d.note(noteMemory, fmt.Sprintf("Which device modem %s is cannot be written down (%v): after a restart another modem may be taken for it.", d.cfg.Name, err))
		return
	}
	d.note(noteMemory, "")
}

// imei asks the modem behind a trial for its IMEI; "" when it does not tell
// now, which one that has told it before does by accident only.
func (t *trial) imei(ctx context.Context, limit time.Duration) string {
	r, err := t.e.do(ctx, command{line: "AT+CGSN", info: "+CGSN", bare: true, limit: limit})
	if err != nil || !r.final.ok() {
		return ""
	}
	return identityValue(r.first(), "+CGSN")
}
