package modem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/port"
)

// parse makes rules of a script.
func parse(t *testing.T, text string) []emulator.Rule {
	t.Helper()
	rules, err := emulator.ParseScript(text)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// B07: the modem does not say what it can, or not that it can GSM: it is started all the same.
func TestB07NoGSMCapability(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"B07", "B07-nogsm"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, script(name), nil)
			r.standing()
		})
	}
}

// B08: a flood of noise, of known and unknown lines, and no answer: the
// command ends on time and the modem is used afterwards. A minute of lines
// every 100 ms is scaled to 3 s of lines every 5 ms.
func TestB08Flood(t *testing.T) {
	for _, line := range []string{"^RSSI:17", "^BOOT:20540536,0,0,0,75", "^NEVERSEEN: 1"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{}, nil)
			r.ready()
			r.emu.AddRules(parse(t, "on command \\+CSQ\n nth 1\n swallow\n repeat 0s 5ms 600 \"\\r\\n"+line+"\\r\\n\"\n")...)
			r.until("asked", 2*fast.Poll, func() bool { return r.traced("<"+line) > 0 })
			at := r.traced(">AT")
			began := time.Now()
			r.until("the command ended", 3*time.Second, func() bool { return r.traced(">AT") > at })
			// Its limit, and the search for silence, which unknown lines prolong to five times its time.
			if d := time.Since(began); d > fast.Command+6*fast.Quiet+200*time.Millisecond {
				t.Errorf("ended after %v", d)
			}
			r.mustSend("in the flood")
			r.standing()
		})
	}
}

// B18: the modem's part of the action for each class of refusal: settings made
// again, answers put in step, storage drained, the SIM and the network looked at.
func TestB18WhatTheDriverDoes(t *testing.T) {
	for _, tc := range []struct {
		code  int
		class Class
		does  string // line it sends soon
	}{
		{302, ClassConfig, ">ATE0"}, {98, ClassProtocol, ">AT"}, {322, ClassStorage, ">AT+CMGL=4"},
		{313, ClassSIM, ">AT+CPIN?"}, {331, ClassNetwork, ">AT+CREG?"},
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Poll = 30 * time.Second })
			r.ready()
			r.until("quiet", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 2 })
			n := r.traced(tc.does)
			r.emu.Network().Fail(emulator.Fault{Cause: tc.code})
			_, _, err := r.send("refused")
			var se *SendError
			if !errors.As(err, &se) || se.Class != tc.class {
				t.Fatalf("error %v, want %s", err, tc.class)
			}
			r.until(tc.does, 2*time.Second, func() bool { return r.traced(tc.does) > n })
			r.standing()
		})
	}
}

// B18, ladder: a modem that fails twice by its own words gets its radio
// switched off and on; when that does not help twice, it is restarted.
func TestB18FailuresOfTheModem(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.emu.AddRules(parse(t, "on command \\+CFUN=1,1\n vanish 100ms\n")...)
	for r.traced(">AT+CFUN=1,1") == 0 {
		r.ready()
		r.emu.Network().ClearFaults()
		r.emu.Network().Fail(emulator.Fault{Cause: 513})
		if _, _, err := r.send("vendor"); err == nil {
			t.Fatal("accepted")
		}
		if n := r.traced(">AT+CFUN=4"); n > radioTries {
			t.Fatalf("the radio was cycled %d times", n)
		}
	}
	if n := r.traced(">AT+CFUN=4"); n != radioTries {
		t.Errorf("the radio was cycled %d times before the restart, want %d", n, radioTries)
	}
	r.emu.Network().ClearFaults()
	r.standing()
	r.stop()
	if l := &r.d.ladder; l.tries != 0 || len(l.hard) != 1 {
		t.Errorf("after a send that worked: %+v", l)
	}
}

// B23: +CMMS keeps the radio link for a while after each part: a burst needs
// it once, although marking each part takes its time. In the bubble's time.
func TestB23BurstInOneLink(t *testing.T) {
	t.Parallel()
	inBubble(t, emulator.Config{LinkSetup: 4 * time.Second, LinkIdle: 2 * time.Second}, func(b *bubble) {
		b.ready()
		send := func(text string) {
			if _, err := b.d.Send(context.Background(), encode(t, text), func() error {
				<-time.After(300 * time.Millisecond) // a slow disk
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
		send("before") // a link of its own
		if err := b.emu.Deliver("+4915550102", "waits for the end of the burst"); err != nil {
			t.Error(err)
		}
		<-time.After(3 * time.Second) // the link is idle
		before := b.emu.LinkSetups()
		end := b.d.Burst(context.Background(), 6)
		for i := range 6 {
			send(fmt.Sprintf("part %d", i))
		}
		end()
		if n := b.emu.LinkSetups() - before; n != 1 {
			t.Errorf("the link was set up %d times", n)
		}
		b.works()
	})
}

// B24: the network does not want this SIM: the modem is paused with the reason
// and comes back by itself.
func TestB24Denied(t *testing.T) {
	for name, word := range map[string]string{"B24-3": "registration denied", "B24-8": "emergency calls only", "B24-11": "emergency calls only"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, script(name), nil)
			r.is(Denied, word, "ask the provider")
			if n := len(r.emu.Submits()); n != 0 {
				t.Errorf("%d parts sent", n)
			}
			r.set("registration", "1")
			r.standing()
		})
	}
}

// All values of <stat> in each of the three commands: one usable kind of
// network is enough, also where the others are off or denied.
func TestRegistrationOfThreeKinds(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	states := map[int]State{0: Searching, 1: Ready, 2: Searching, 3: Denied, 4: Searching, 5: Ready, 6: Ready, 7: Ready, 8: Denied, 9: Ready, 10: Ready, 11: Denied}
	for i, cmd := range []string{"+CREG", "+CGREG", "+CEREG"} {
		for stat := range 12 {
			got := map[string]registration{}
			for _, c := range []string{"+CREG", "+CGREG", "+CEREG"} {
				got[c] = registration{stat: 0, act: -1}
			}
			got[cmd] = registration{stat: stat, act: -1}
			best := registration{stat: -1}
			for _, reg := range got {
				if better(reg, best) {
					best = reg
				}
			}
			want := states[stat]
			st := Searching
			switch {
			case best.usable():
				st = Ready
			case best.denied():
				st = Denied
			}
			if st != want {
				t.Errorf("%s %d (%d): %s, want %s", cmd, stat, i, st, want)
			}
		}
	}
	// An LTE modem says 0 in +CREG.
	r.emu.AddRules(parse(t, "on command \\+CREG\\?\n instead \"\\r\\n+CREG: 2,0\\r\\n\\r\\nOK\\r\\n\"\n")...)
	r.until("polled", 3*fast.Poll, func() bool { return r.traced("<+CREG: 2,0") > 0 })
	r.is(Ready, "Emulated Network", "LTE", "signal -73 dBm")
	if st := r.d.Status(); st.Technology != "LTE" || st.Operator != "Emulated Network" || st.Registration != "home" {
		t.Errorf("status %+v", st)
	}
	r.standing()
}

// After the network was lost, what came to storage meanwhile is looked for.
func TestDrainAfterRegistration(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Poll = 3 * time.Second })
	r.ready()
	r.until("quiet", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 2 })
	r.set("registration", "2")
	r.is(Searching, "looks for its network")
	n := r.traced(">AT+CMGL=4")
	r.set("registration", "5")
	r.until("drained", 2*time.Second, func() bool { return r.traced(">AT+CMGL=4") > n })
	r.is(Ready, "roaming")
	r.standing()
}

// A modem that does not look for a network is told to; one that finds none
// for long gets its radio cycled, and is restarted in the end, within limits.
func TestNoNetworkForLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Patience, c.Timeouts.Poll = 300*time.Millisecond, 600*time.Millisecond })
	r.ready()
	r.emu.AddRules(parse(t, "on command \\+CFUN=1,1\n set registration 1\n vanish 100ms\n")...)
	r.set("registration", "0")
	r.until("told to search", 5*time.Second, func() bool { return r.traced(">AT+COPS=0") > 0 })
	r.until("restarted", 10*time.Second, func() bool { return r.traced(">AT+CFUN=1,1") == 1 })
	if n := r.traced(">AT+CFUN=4"); n != radioTries {
		t.Errorf("the radio was cycled %d times", n)
	}
	r.standing()
}

func TestResetsAreLimited(t *testing.T) {
	var l ladder
	now := time.Now()
	for i := range HardPerDay {
		if !l.mayReset(now.Add(time.Duration(i) * time.Hour)) {
			t.Fatalf("reset %d refused", i)
		}
	}
	if l.mayReset(now.Add(20 * time.Hour)) {
		t.Error("one too many in a day")
	}
	l.works()
	if l.mayReset(now.Add(20 * time.Hour)) {
		t.Error("success forgets the resets")
	}
	if !l.mayReset(now.Add(25 * time.Hour)) {
		t.Error("refused on the next day")
	}
	// The pause after a whole ladder grows.
	var pauses []time.Duration
	for range 4 * (radioTries + resetTries) {
		before := l.pause
		l.tried(now, time.Minute)
		if l.pause != before {
			pauses = append(pauses, l.pause.Sub(now))
			l.pause = time.Time{}
		}
	}
	if !slices.Equal(pauses, []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 30 * time.Minute}) {
		t.Errorf("pauses %v", pauses)
	}
}

// A modem that was known and no longer answers anything is restarted blindly.
func TestDeafModemIsRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.emu.AddRules(parse(t, "on command \\+CFUN=1,1\n skip\n set echo 1\n vanish 100ms\non command .\n swallow\n")...)
	r.until("restarted", 20*time.Second, func() bool { return r.traced(">AT+CFUN=1,1") == 1 })
	r.emu.ClearRules()
	r.standing()
}

// B33: the SIM card: its PIN, attempts that are left in each form, a SIM that
// is busy, and one that is taken out and put back.
func TestB33AttemptsLeft(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ cmd, answer string }{
		{`\+CPINR`, "+CPINR: SIM PUK,10,10\\r\\n+CPINR: SIM PIN,%d,3"}, {`\+QPINC`, "+QPINC: \\\"SC\\\",%d,10"}, {`\+SPIC`, "+SPIC: %d,10,3,10"},
		{`\+UPINCNT`, "+UPINCNT: %d,3,10,10"}, {`#PCT`, "#PCT: %d"}, {`\^SPIC`, "^SPIC: %d"},
		{`\^CPIN\?`, "^CPIN: SIM PIN,,10,%d,10,3"}, {`\+CPINC\?`, "+CPINC: %d,3,10,10"}, {`\+ZPINPUK`, "+ZPINPUK: %d,10"},
	} {
		t.Run(tc.cmd, func(t *testing.T) {
			rules := func(left int) []emulator.Rule {
				return parse(t, fmt.Sprintf("on command AT%s\n instead \"\\r\\n"+tc.answer+"\\r\\n\\r\\nOK\\r\\n\"\non command \\+CPINR\n result ERROR\n", tc.cmd, left))
			}
			r := newRig(t, emulator.Config{PIN: "4711", Rules: rules(1)}, func(c *Config) { c.PIN, c.Guard = "4711", &guard{} })
			r.is(SIMLocked, "one attempt")
			if n := r.traced(`>AT+CPIN="****"`); n != 0 {
				t.Fatalf("PIN sent %d times", n)
			}
			r.emu.ClearRules()
			r.emu.AddRules(rules(2)...)
			r.standing()
			if n := r.traced(`>AT+CPIN="****"`); n != 1 {
				t.Errorf("PIN sent %d times", n)
			}
		})
	}
}

// B33: the attempt is in the journal before the PIN is on the line.
func TestB33JournalFirst(t *testing.T) {
	t.Parallel()
	g := &guard{}
	r := newRig(t, emulator.Config{PIN: "4711"}, func(c *Config) {
		trace := c.Trace
		c.PIN, c.Guard = "4711", g
		c.Trace = func(dir byte, line string) {
			if dir == '>' && strings.Contains(line, "AT+CPIN=") {
				g.mu.Lock()
				if len(g.tried) != 1 {
					t.Errorf("%d attempts in the journal when the PIN is sent", len(g.tried))
				}
				g.mu.Unlock()
			}
			trace(dir, line)
		}
	})
	r.standing()
}

func TestB33BusyThenReady(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B33-busy"), nil)
	r.is(Starting, "still starting")
	r.standing()
}

func TestB33BusyForTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Poll = 400 * time.Millisecond })
	r.ready()
	r.set("sim", "busy")
	r.is(SIMMissing, "busy for more than a minute")
	r.set("sim", "READY")
	r.standing()
}

// B33: a PUK is never tried; once somebody has entered it elsewhere, all is well.
func TestB33PUK(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{PIN: "4711"}, func(c *Config) { c.PIN, c.Guard = "4711", &guard{} })
	r.ready()
	n := r.traced(`>AT+CPIN="****"`)
	r.set("sim", "SIM PUK")
	r.is(SIMLocked, "PUK", "never tries")
	r.until("looked at again", 3*fast.Poll, func() bool { return r.traced("<+CPIN: SIM PUK") >= 2 })
	if r.traced(`>AT+CPIN="****"`) != n {
		t.Error("something was sent to a blocked card")
	}
	r.set("sim", "READY")
	r.standing()
}

// B33: the SIM is taken out and put back, announced or not.
func TestB33RemovedAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.Timeouts.Poll = 5 * time.Second })
	r.ready()
	r.set("sim", "absent")
	r.emu.Send("\r\n+CPIN: NOT INSERTED\r\n")
	r.until("missing", time.Second, func() bool { return r.d.Status().State == SIMMissing })
	r.is(SIMMissing, "no SIM card")
	r.set("sim", "READY")
	r.emu.Send("\r\n+CPIN: READY\r\n")
	r.until("back", time.Second, func() bool { return r.d.Status().State == Ready })
	r.standing()
}

// usb is a made-up /sys and /dev with one stick.
type usb struct {
	t   *testing.T
	sys port.System
}

func newUSB(t *testing.T) *usb {
	t.Helper()
	u := &usb{t, port.System{Sys: t.TempDir(), Dev: t.TempDir()}}
	u.put("devices/usb1/1-1.2/idVendor", "12d1")
	u.put("devices/usb1/1-1.2/idProduct", "1001")
	return u
}

func (u *usb) put(path, text string) {
	u.t.Helper()
	path = filepath.Join(u.sys.Sys, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		u.t.Fatal(err)
	}
}

// plug makes a tty at an interface of the stick, and returns its path.
func (u *usb) plug(tty string, iface int, to string) string {
	u.t.Helper()
	dir := fmt.Sprintf("devices/usb1/1-1.2/1-1.2:1.%d", iface)
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

func (u *usb) unplug(tty string) {
	if err := os.RemoveAll(filepath.Join(u.sys.Sys, "class/tty", tty)); err != nil {
		u.t.Fatal(err)
	}
}

// B34: the stick is unplugged and comes back under another name: all forms of
// device that name its place or kind find it. 12 s are scaled to 300 ms.
func TestB34BackUnderAnotherName(t *testing.T) {
	for _, form := range []string{"auto", "usb:1-1.2", "12d1:1001:2", "by-id"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			u := newUSB(t)
			first := u.plug("ttyUSB2", 2, "")
			device := form
			byID := filepath.Join(u.sys.Dev, "by-id")
			if form == "by-id" {
				device = byID
				if err := os.Symlink("ttyUSB2", byID); err != nil {
					t.Fatal(err)
				}
			}
			r := newRig(t, emulator.Config{Link: first}, func(c *Config) { c.Device, c.System = device, u.sys })
			r.ready()
			r.mustSend("before")
			second := filepath.Join(u.sys.Dev, "ttyUSB4")
			r.set("link", second)
			u.unplug("ttyUSB2")
			r.emu.Vanish(300 * time.Millisecond)
			r.is(Absent, "plug")
			u.plug("ttyUSB4", 2, "")
			if form == "by-id" {
				if err := os.Remove(byID); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("ttyUSB4", byID); err != nil {
					t.Fatal(err)
				}
			}
			r.ready()
			want := second
			if form == "by-id" {
				want = byID
			}
			if got := r.d.Status().Device; got != want {
				t.Errorf("device %s, want %s", got, want)
			}
			r.standing()
		})
	}
}

// B34 with the real limits: the time between the stick's return and the
// modem's use, in which nothing is scaled.
func TestB34UsableInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	t.Parallel()
	u := newUSB(t)
	r := newRig(t, emulator.Config{Link: u.plug("ttyUSB2", 2, "")}, func(c *Config) {
		c.Device, c.System, c.Timeouts = "auto", u.sys, Timeouts{}
	})
	r.ready()
	r.set("link", filepath.Join(u.sys.Dev, "ttyUSB4"))
	u.unplug("ttyUSB2")
	r.emu.Vanish(100 * time.Millisecond)
	r.until("gone", 2*time.Second, func() bool { return r.d.Status().State == Absent })
	u.plug("ttyUSB4", 2, "")
	back := time.Now()
	r.until("usable", 20*time.Second, func() bool { return r.d.Status().State == Ready })
	t.Logf("usable after %v", time.Since(back))
	r.mustSend("after")
}

// Of the ports of a stick that all answer AT the one is taken on which the
// modem speaks by itself, and it is known again after the stick was away.
func TestPortThatAnnounces(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	silent := newWire(t, func(in string) string {
		if strings.HasPrefix(in, "AT") {
			return "\r\nOK\r\n"
		}
		return ""
	})
	u.plug("ttyUSB0", 0, silent.path)
	path := u.plug("ttyUSB2", 2, "")
	r := newRig(t, emulator.Config{Link: path, Rules: parse(t, "on start\n repeat 0s 20ms 200 \"\\r\\n^RSSI:17\\r\\n\"\n")},
		func(c *Config) { c.Device, c.System = "auto", u.sys })
	r.ready()
	if d := r.d.Status().Device; d != path {
		t.Fatalf("device %s, want %s", d, path)
	}
	n := silent.count("AT")
	u.unplug("ttyUSB0")
	u.unplug("ttyUSB2")
	r.emu.Vanish(100 * time.Millisecond)
	r.is(Absent, "plug")
	r.until("its path is back", 2*time.Second, func() bool { _, err := os.Stat(path); return err == nil })
	u.plug("ttyUSB0", 0, "") // its path was there all the time
	u.plug("ttyUSB2", 2, "")
	r.standing()
	if silent.count("AT") != n {
		t.Error("the other port was asked again")
	}
}

// B35: the modem restarts, idle or with a part on air, whatever it says to it.
func TestB35OtherWords(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B35-sysstart"), func(c *Config) { c.Timeouts.Send = 5 * time.Second })
	r.ready()
	r.mustSend("before")
	if _, _, err := r.send("lost in the reboot"); err == nil {
		t.Fatal("accepted")
	}
	r.until("started again", 5*time.Second, func() bool { return r.traced(">ATE0") == 2 })
	for i, words := range []string{"\r\nRDY\r\n", "\r\n^SYSSTART\r\n", "\r\nMODEM:STARTUP\r\n"} {
		r.ready()
		r.emu.Reset()
		r.emu.Send(words)
		r.until("started again", 5*time.Second, func() bool { return r.traced(">ATE0") == 3+i })
	}
	r.standing()
}
