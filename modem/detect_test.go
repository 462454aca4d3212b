package modem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/port"
)

// plugAt makes a tty of a device at another place of the made-up machine.
func (u *usb) plugAt(usbPath, vid, pid, tty string, iface int, to string) string {
	u.t.Helper()
	base := "devices/usb1/" + usbPath
	u.put(base+"/idVendor", vid)
	u.put(base+"/idProduct", pid)
	u.put(base+"/devnum", "7")
	dir := fmt.Sprintf("%s/%s:1.%d", base, usbPath, iface)
	u.put(dir+"/bInterfaceNumber", fmt.Sprintf("%02x", iface))
	class := filepath.Join(u.sys.Sys, "class/tty", tty)
	if err := os.MkdirAll(class, 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(u.sys.Sys, dir), filepath.Join(class, "device")); err != nil {
		u.t.Fatal(err)
	}
	path := filepath.Join(u.sys.Dev, tty)
	if to != "" {
		if err := os.Symlink(to, path); err != nil {
			u.t.Fatal(err)
		}
	}
	return path
}

// byID makes the link that udev makes.
func (u *usb) byID(name, tty string) string {
	u.t.Helper()
	dir := filepath.Join(u.sys.Dev, "serial", "by-id")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		u.t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.Symlink("../../"+tty, path); err != nil {
		u.t.Fatal(err)
	}
	return path
}

// memory is a Memory that outlives a driver.
type memory struct {
	mu  sync.Mutex
	dev *Device
}

func (m *memory) Recall() (Device, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dev == nil {
		return Device{}, false
	}
	return *m.dev, true
}

func (m *memory) Remember(d Device) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dev = &d
	return nil
}

// A device that is no modem is asked harmlessly a few times, then left alone
// until it is plugged in again; the modem that is plugged in later is found.
func TestOtherDevicesAreLeftAlone(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	silent := newWire(t, func(string) string { return "" })
	u.plugAt("1-1.3", "2341", "0043", "ttyACM0", 0, silent.path)
	r := newRig(t, emulator.Config{}, func(c *Config) {
		c.Device, c.System = "auto", u.sys
		c.Timeouts.Quiet, c.Timeouts.Reopen = 20*time.Millisecond, 2*time.Millisecond
	})
	r.is(Absent, "does not answer AT commands", "left alone", "ttyACM0")
	n := silent.count("AT")
	if n == 0 || n > 5*patientAsks {
		t.Errorf("asked %d times", n)
	}
	for _, line := range silent.inputs() {
		if l := strings.Trim(line, "\x1b\r\n"); l != "AT" && l != "" {
			t.Errorf("%q was written to it", line)
		}
	}
	u.plugAt("1-1.4", "1bc7", "1201", "ttyUSB0", 4, r.emu.Path())
	r.ready()
	if got := silent.count("AT"); got != n {
		t.Errorf("it was asked again: %d, then %d times", n, got)
	}
	if st := r.d.Status(); st.USBPath != "1-1.4" {
		t.Errorf("status %+v", st)
	}
}

// Two drivers with device "auto" share two sticks of two ports each, and each
// finds its own again after a restart, also when the sticks have changed places.
func TestTwoModemsByThemselves(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	dev := t.TempDir()
	var emus [2]*emulator.Emulator
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	for i := range emus {
		e, err := emulator.New(emulator.Config{Link: filepath.Join(dev, fmt.Sprint("modem", i)), Number: fmt.Sprint("+491555010", i),
			IMEI: fmt.Sprint("49015420323751", i)})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = e.Run(ctx) })
		emus[i] = e
	}
	// Either port of a stick leads to the same modem; both answer.
	place := func(first, second int) {
		for i, e := range []*emulator.Emulator{emus[first], emus[second]} {
			at := fmt.Sprintf("1-2.%d", i+1)
			u.plugAt(at, "2c7c", "0125", fmt.Sprint("ttyUSB", 4*i), 1, e.Path())
			u.plugAt(at, "2c7c", "0125", fmt.Sprint("ttyUSB", 4*i+2), 2, e.Path())
		}
	}
	place(0, 1)
	locks := t.TempDir()
	memories := [2]*memory{{}, {}}
	run := func() [2]string {
		claims := &Claims{}
		var d [2]*Driver
		ctx, stop := context.WithCancel(ctx)
		var runs sync.WaitGroup
		for i := range d {
			d[i] = New(Config{Name: fmt.Sprint("gsm", i), Device: "auto", System: u.sys, LockDir: locks, Timeouts: fast,
				Memory: memories[i], Claims: claims})
			runs.Go(func() { _ = d[i].Run(ctx) })
		}
		defer func() { stop(); runs.Wait() }()
		for i := range d {
			waitFor(t, "ready", 0, func() bool { return d[i].Status().State == Ready }, func() { t.Logf("%+v", d[i].Status()) })
		}
		return [2]string{d[0].Status().IMEI, d[1].Status().IMEI}
	}
	was := run()
	if was[0] == was[1] {
		t.Fatalf("both took %s", was[0])
	}
	for _, tty := range []string{"ttyUSB0", "ttyUSB2", "ttyUSB4", "ttyUSB6"} {
		u.unplug(tty)
		if err := os.Remove(filepath.Join(u.sys.Dev, tty)); err != nil {
			t.Fatal(err)
		}
	}
	place(1, 0)
	if now := run(); now != was {
		t.Errorf("the modems are %q, and were %q", now, was)
	}
}

func TestClaims(t *testing.T) {
	u := newUSB(t)
	u.plugAt("1-2.1", "2c7c", "0125", "ttyUSB0", 2, "")
	u.plugAt("1-2.2", "2c7c", "0125", "ttyUSB4", 2, "")
	c := &Claims{}
	c.Reserve("gsm1", "usb:1-2.2")
	c.Reserve("gsm0", "auto")
	for _, step := range []struct {
		path, driver string
		want         bool
	}{
		{"1-2.2", "gsm0", false}, {"1-2.2", "gsm1", true}, {"1-2.1", "gsm0", true}, {"1-2.1", "gsm2", false}, {"", "gsm2", true},
	} {
		if got := c.take(u.sys, step.path, step.driver); got != step.want {
			t.Errorf("%s takes %s: %t", step.driver, step.path, got)
		}
	}
	c.release("gsm0")
	if c.take(u.sys, "1-2.1", "gsm2") {
		t.Error("what has just gone away is kept")
	}
	c.drop("gsm0")
	if !c.take(u.sys, "1-2.1", "gsm2") {
		t.Error("what was given up is free")
	}
	var none *Claims
	none.Reserve("a", "b")
	none.release("a")
	none.drop("a")
	if !none.take(u.sys, "1-2.1", "a") {
		t.Error("without others all is free")
	}
}

// The stable name is kept and remembered, and the known port is asked first.
func TestStableNameIsRemembered(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	m := &memory{}
	silent := newWire(t, func(string) string { return "" })
	u.plugAt("1-2.1", "2c7c", "0125", "ttyUSB0", 1, silent.path)
	path := u.plugAt("1-2.1", "2c7c", "0125", "ttyUSB2", 2, "")
	link := u.byID("usb-Quectel_EC25-if02-port0", "ttyUSB2")
	r := newRig(t, emulator.Config{Link: path}, func(c *Config) { c.Device, c.System, c.Memory = "auto", u.sys, m })
	r.ready()
	st := r.d.Status()
	if st.Stable != link || st.USBPath != "1-2.1" || st.Device != path {
		t.Errorf("status %+v", st)
	}
	dev, ok := m.Recall()
	if want := (Device{IMEI: st.IMEI, USBPath: "1-2.1", Interface: 2, VID: "2c7c", PID: "0125", Stable: link}); !ok || dev != want {
		t.Errorf("remembered %+v, want %+v", dev, want)
	}
	// A machine that is busy with other things may let the known port miss its
	// turn, but not each time.
	for range 10 {
		n := silent.count("AT")
		r.stop()
		r.run(r.d.cfg)
		r.standing()
		if silent.count("AT") == n {
			return
		}
	}
	t.Error("the other port was asked again after each restart")
}

func TestPortOrder(t *testing.T) {
	d := New(Config{Name: "a", Device: "auto"})
	d.home = Device{IMEI: "1", USBPath: "1-9", Interface: 3, VID: "2c7c", PID: "0125", Stable: "/dev/serial/by-id/usb-Q-if03"}
	c := func(at string, i int, vid string) port.Candidate {
		return port.Candidate{USBPath: at, Interface: i, VID: vid, PID: "0125", Path: fmt.Sprint(at, ":", i)}
	}
	in := []port.Candidate{c("1-1", 0, "0403"), c("1-2", 0, "2c7c"), c("1-2", 2, "2c7c"), c("1-9", 0, "2c7c"), c("1-9", 2, "2c7c"), c("1-9", 3, "2c7c")}
	var got []string
	for _, x := range d.preferred(in) {
		got = append(got, x.Path)
	}
	if s := strings.Join(got, " "); s != "1-9:3 1-9:2 1-9:0 1-2:2 1-2:0 1-1:0" {
		t.Errorf("order %s", s)
	}
}

// The stick goes away right after a text was written to it and comes back under
// another name: that text is possibly sent, the next ones are sent there.
func TestB34WhileSending(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	first := u.plug("ttyUSB2", 2, "")
	r := newRig(t, emulator.Config{Link: first, Rules: parse(t, "on pdu\n nth 2\n vanish 200ms\n")},
		func(c *Config) { c.Device, c.System = "auto", u.sys })
	r.ready()
	r.mustSend("before")
	second := filepath.Join(u.sys.Dev, "ttyUSB4")
	r.set("link", second)
	u.unplug("ttyUSB2")
	u.plug("ttyUSB4", 2, "")
	_, marks, err := r.send("on its way")
	if se, ok := err.(*SendError); !ok || se.Class != ClassAmbiguous || !se.AfterCtrlZ || marks != 1 {
		t.Errorf("error %v, marks %d", err, marks)
	}
	r.until("back", 0, func() bool { st := r.d.Status(); return st.State == Ready && st.Device == second })
	r.standing()
	if n := r.counts()["on its way"]; n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// A modem that stays deaf, or away, gets its power switched off and on by the
// command of the configuration, at most so often, and people see it.
func TestPowerCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := filepath.Join(dir, "power.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$1 $DOORWAY_MODEM $DOORWAY_USB_PATH $DOORWAY_WHY\" >> "+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	u := newUSB(t)
	path := u.plug("ttyUSB2", 2, "")
	r := newRig(t, emulator.Config{Link: path}, func(c *Config) {
		c.Device, c.System, c.Power = "auto", u.sys, []string{script, "cycle"}
		c.Timeouts.Patience, c.Timeouts.Recovery = 100*time.Millisecond, 10*time.Millisecond
	})
	r.ready()
	u.unplug("ttyUSB2")
	r.emu.Vanish(0)
	r.until("power switched", 0, func() bool {
		b, _ := os.ReadFile(log) // ignored: not yet there
		return strings.Contains(string(b), "cycle gsm0 1-1.2 the device is gone\n")
	})
	r.until("shown", 0, func() bool {
		rec := r.d.Status().Recovery
		return rec != nil && rec.Step == StepPower && rec.Hard >= 1
	})
	r.until("no more than a day allows", 0, func() bool { rec := r.d.Status().Recovery; return rec.Hard == HardPerDay })
}

func TestPowerCommandFails(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	path := u.plug("ttyUSB2", 2, "")
	r := newRig(t, emulator.Config{Link: path}, func(c *Config) {
		c.Device, c.System, c.Power = "auto", u.sys, []string{"/nonexistent/power"}
		c.Timeouts.Patience = 100 * time.Millisecond
	})
	r.ready()
	u.unplug("ttyUSB2")
	r.emu.Vanish(0)
	r.until("said", 0, func() bool {
		n := r.d.Status().Notes
		return len(n) == 1 && strings.Contains(n[0], "power_command of modem gsm0")
	})
}

// The ladder of a modem that answers and does not work: radio, restart, power.
func TestLadderSteps(t *testing.T) {
	var l ladder
	l.power = true
	now := time.Now()
	var got []Step
	for range radioTries + resetTries + powerTries {
		got = append(got, l.next())
		if l.next() != StepRadio && !l.mayReset(now) {
			t.Fatal("not allowed")
		}
		l.tried(now, time.Minute)
	}
	if fmt.Sprint(got) != "[radio radio restart restart power power]" || !l.pause.Equal(now.Add(time.Minute)) {
		t.Errorf("steps %v, pause %v", got, l.pause.Sub(now))
	}
	if n := l.today(now); n != 4 {
		t.Errorf("%d hard steps", n)
	}
}

// A modem that restarts is waited for; a device of another kind is not taken for it.
func TestWaitsForHome(t *testing.T) {
	d := New(Config{Name: "a", Device: "auto"})
	other := []port.Candidate{{USBPath: "1-1", VID: "1bc7", PID: "1201"}}
	now := time.Now()
	if d.waitsForHome(other, now) {
		t.Error("without a past")
	}
	d.home = Device{IMEI: "1", USBPath: "1-9", VID: "2c7c", PID: "0125"}
	d.away, d.lostAt = true, now
	if !d.waitsForHome(other, now.Add(30*time.Second)) || !d.waitsForHome(nil, now) {
		t.Error("it is not waited for")
	}
	if d.waitsForHome(append(other, port.Candidate{USBPath: "1-2", VID: "2c7c", PID: "0125"}), now) {
		t.Error("one of its kind is there")
	}
	if d.waitsForHome(other, now.Add(2*time.Minute)) {
		t.Error("for ever")
	}
}
