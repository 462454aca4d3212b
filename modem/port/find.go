package port

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Candidate is a serial port of a USB device, as sysfs describes it.
type Candidate struct {
	Path      string // /dev/ttyUSB2
	USBPath   string // 1-1.2: bus and ports, the same after re-enumeration
	Interface int    // bInterfaceNumber; -1 when unknown
	VID, PID  string // four hex digits
	Serial    string // repeats among cheap sticks: never an identity by itself
	Product   string
	Number    string // of the device on its bus: another one after each plugging in
	Stable    string // link in /dev/serial/by-id, "" for none
}

// System says where devices are looked for; the zero value is the machine's
// own /sys and /dev.
type System struct{ Sys, Dev string }

func (s System) sys() string {
	if s.Sys == "" {
		return "/sys"
	}
	return s.Sys
}

func (s System) dev() string {
	if s.Dev == "" {
		return "/dev"
	}
	return s.Dev
}

// Find lists the USB serial ports, in the order of USB path and interface. A
// device that vanishes meanwhile is left out.
func (s System) Find() ([]Candidate, error) {
	dir := filepath.Join(s.sys(), "class", "tty")
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	stable := s.stableNames()
	var out []Candidate
	for _, e := range entries {
		if !isUSB(e.Name()) {
			continue
		}
		if c, ok := s.describe(e.Name()); ok {
			c.Stable = stable[e.Name()]
			out = append(out, c)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(strings.Compare(a.USBPath, b.USBPath), a.Interface-b.Interface) < 0
	})
	return out, nil
}

func isUSB(tty string) bool {
	return strings.HasPrefix(tty, "ttyUSB") || strings.HasPrefix(tty, "ttyACM")
}

// describe walks up from a tty to its USB interface and device.
func (s System) describe(tty string) (Candidate, bool) {
	c := Candidate{Path: filepath.Join(s.dev(), tty), Interface: -1}
	dir, err := filepath.EvalSymlinks(filepath.Join(s.sys(), "class", "tty", tty, "device"))
	if err != nil {
		return c, false
	}
	for range 8 {
		if n, err := strconv.ParseUint(attr(dir, "bInterfaceNumber"), 16, 8); err == nil && c.Interface < 0 {
			c.Interface = int(n)
		}
		if v := attr(dir, "idVendor"); v != "" {
			c.VID, c.PID = v, attr(dir, "idProduct")
			c.Serial, c.Product = attr(dir, "serial"), attr(dir, "product")
			c.USBPath, c.Number = filepath.Base(dir), attr(dir, "devnum")
			return c, true
		}
		dir = filepath.Dir(dir)
	}
	return c, false
}

// stableNames maps ttys to the links that udev makes of maker, product, serial
// number and interface; of several the first by name is taken.
func (s System) stableNames() map[string]string {
	dir := filepath.Join(s.dev(), "serial", "by-id")
	links, err := os.ReadDir(dir)
	if err != nil {
		return nil // ignored: there is no udev here, or no such device
	}
	out := map[string]string{}
	for _, l := range links {
		path := filepath.Join(dir, l.Name())
		if to, err := os.Readlink(path); err == nil && out[filepath.Base(to)] == "" {
			out[filepath.Base(to)] = path
		}
	}
	return out
}

func attr(dir, file string) string {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Resolve gives the candidates for a configured device: the path itself, all
// ports for "auto", or those of "usb:1-1.2", "usb:1-1.2:2" (path and interface
// number), "12d1:1001" and "12d1:1001:0" (vendor, product, interface number).
// An empty list means that nothing of that kind is plugged in. All forms but
// /dev/ttyUSB2 name the place or the kind of a device and so follow it when
// its tty gets another number.
func (s System) Resolve(device string) ([]Candidate, error) {
	if strings.HasPrefix(device, "/") {
		return []Candidate{s.at(device)}, nil
	}
	match, err := parseDevice(device)
	if err != nil {
		return nil, err
	}
	all, err := s.Find()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c Candidate) bool { return !match(c) }), nil
}

// at describes a path, also one of /dev/serial/by-id, which is a link.
func (s System) at(path string) Candidate {
	for p, n := path, 0; n < 8; n++ {
		if base := filepath.Base(p); isUSB(base) {
			if c, ok := s.describe(base); ok {
				c.Path, c.Stable = path, s.stableNames()[base]
				return c
			}
		}
		to, err := os.Readlink(p)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(p), to)
		}
		p = to
	}
	return Candidate{Path: path, Interface: -1}
}

func parseDevice(device string) (func(Candidate) bool, error) {
	bad := fmt.Errorf("device %q: write a path, auto, usb:1-1.2 or 12d1:1001", device)
	if device == "auto" {
		return func(Candidate) bool { return true }, nil
	}
	f := strings.Split(device, ":")
	if len(f) < 2 || len(f) > 3 || f[0] == "" || f[1] == "" {
		return nil, bad
	}
	iface := -1
	if len(f) == 3 {
		n, err := strconv.Atoi(f[2])
		if err != nil || n < 0 {
			return nil, bad
		}
		iface = n
	}
	if f[0] == "usb" {
		return func(c Candidate) bool {
			return c.USBPath == f[1] && (iface < 0 || c.Interface == iface)
		}, nil
	}
	return func(c Candidate) bool {
		return strings.EqualFold(c.VID, f[0]) && strings.EqualFold(c.PID, f[1]) && (iface < 0 || c.Interface == iface)
	}, nil
}
