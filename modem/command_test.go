package modem

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/modem/emulator"
)

func TestRefuse(t *testing.T) {
	for line, want := range map[string]string{ // "" sent, "force" with force only, "never"
		"AT": "", "at+csq": "", "AT+CPIN?": "", "AT+CLCK=?": "", "ATI": "", "AT+CMGR=3": "", "AT+CMGS=?": "", "AT+CPMS=\"SM\"": "", "AT&D0": "", "AT&V": "",
		`AT+CPIN="1234"`: "force", `at + cpin = "1234"`: "force", `AT+CLCK="SC",2`: "force", "AT+CPWD": "force", "AT+CMGD=1": "force", "AT+CMGD=1,4": "force",
		`AT+CSQ;+CMGD=1,4`: "force", "ATE0+CMGD=1": "force", "ATD112;": "force", "ATE0D112": "force", "ATZ": "force", "AT&F": "force", "ATE0&F0": "force",
		`AT+CUSD=1,"*100#"`: "force", "AT+CMSS=1": "force", "AT+CPBW=1": "force",
		"AT+CMGS=20": "never", "AT+CMGW=20": "never", "AT+CSQ;+CMGS=20": "never", "": "never", "A/": "never", "CSQ": "never",
		"AT+CSQ\rAT+CMGD=1": "never", "AT+CMGF=0\x1a": "never", "AT" + strings.Repeat("X", 400): "never",
		`AT+CSCS="a;+CMGD=1"`: "",
	} {
		got := ""
		switch {
		case Refuse(line, true) != nil:
			got = "never"
		case Refuse(line, false) != nil:
			got = "force"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
		var e *RefusedError
		if err := Refuse(line, false); err != nil && (!errors.As(err, &e) || !strings.HasSuffix(e.Text, ".") || e.Forced != (want == "force")) {
			t.Errorf("%q: %#v", line, err)
		}
	}
}

func FuzzRefuse(f *testing.F) {
	f.Add("AT+CSQ;+CMGD=1,4")
	f.Add("ATE0&F\"")
	f.Fuzz(func(t *testing.T, s string) {
		if Refuse(s, true) != nil && Refuse(s, false) == nil {
			t.Errorf("%q is refused with force only", s)
		}
	})
}

func TestCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ask := func(line string) Answer {
		t.Helper()
		a, err := r.d.Command(ctx, line, false)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return a
	}
	if a := ask("AT+CSQ"); !a.OK || a.Final != "OK" || !slices.Equal(a.Lines, []string{"+CSQ: 20,99"}) {
		t.Errorf("CSQ: %+v", a)
	}
	if a := ask("ATI"); len(a.Lines) != 3 {
		t.Errorf("I: %+v", a)
	}
	if a := ask("AT+NEVERHEARD"); a.OK || a.Final != "ERROR" {
		t.Errorf("unknown: %+v", a)
	}
	if a := ask("AT+CREG?"); len(a.Lines) != 1 {
		t.Errorf("CREG: %+v", a)
	}
	if _, err := r.d.Command(ctx, "AT+CMGD=1,4", false); err == nil || r.traced(">AT+CMGD=1,4") != 0 {
		t.Errorf("deleted: %v", err)
	}
	// What it changes is made good again.
	n := r.traced(">ATE0")
	ask("AT+CNMI=0,0,0,0,0")
	r.until("started again", 5*time.Second, func() bool { return r.traced(">ATE0") > n })
	r.deliver("announced again", 5*time.Second)
	r.emu.AddRules(parse(t, "on command \\+CGMR\n nth 1\n swallow\n")...)
	if _, err := r.d.Command(ctx, "AT+CGMR", false); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("without an answer: %v", err)
	}
	r.standing()
}

// A person's command does not come between the parts of a burst, nor while one is on air.
func TestCommandWaitsForBurst(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{Latency: 30 * time.Millisecond}, nil)
	r.ready()
	end := r.d.Burst(context.Background(), 4)
	var wg sync.WaitGroup
	for i := range 4 {
		r.mustSend("part")
		if i == 0 {
			wg.Go(func() {
				if _, err := r.d.Command(context.Background(), "AT+CBC", false); err != nil {
					t.Error(err)
				}
			})
		}
	}
	end()
	wg.Wait()
	r.mu.Lock()
	var seen []string
	for _, l := range r.lines {
		if strings.HasPrefix(l, ">AT+CMGS") || l == ">AT+CBC" {
			seen = append(seen, l[:7])
		}
	}
	r.mu.Unlock()
	if !slices.Equal(seen, []string{">AT+CMG", ">AT+CMG", ">AT+CMG", ">AT+CMG", ">AT+CBC"}) {
		t.Errorf("order %v", seen)
	}
	if v := r.emu.Violations(); len(v) > 0 {
		t.Errorf("violations %v", v)
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	u := newUSB(t)
	silent := newWire(t, func(string) string { return "" })
	u.plug("ttyUSB0", 0, silent.path)
	path := u.plug("ttyUSB2", 2, "")
	config := ScanConfig{System: u.sys, LockDir: t.TempDir(), Timeouts: fast, Modems: []ScanModem{{Name: "gsm0", Device: "auto"}, {Name: "gsm1", Device: "/dev/nothing-here"}}}
	r := newRig(t, emulator.Config{Link: path}, func(c *Config) { c.Device, c.System, c.LockDir = "usb:1-1.2:2", u.sys, config.LockDir })
	r.ready()
	find := func(path string) Found {
		t.Helper()
		list, err := Scan(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.Path == path {
				return f
			}
		}
		t.Fatalf("%s is not in %+v", path, list)
		return Found{}
	}
	// The driver has it and is not known to the scan: the lock says so, and nothing is written.
	before := len(r.emu.Violations())
	if f := find(path); !f.InUse || f.Answers || !strings.Contains(f.Why, "in use by") {
		t.Errorf("held port: %+v", f)
	}
	st := r.d.Status()
	config.Modems[0].Status = &st
	if f := find(path); !f.InUse || f.Modem != "gsm0" || f.IMEI != st.IMEI || f.ICCID != st.ICCID || f.Model != "EMU-1" || !strings.Contains(f.Why, "gsm0") {
		t.Errorf("port of a driver: %+v", f)
	}
	if f := find(filepath.Join(u.sys.Dev, "ttyUSB0")); f.Answers || f.InUse || f.Interface != 0 || f.VID != "12d1" || f.PID != "1001" || !strings.Contains(f.Why, "Nothing answers AT") {
		t.Errorf("silent port: %+v", f)
	}
	if f := find("/dev/nothing-here"); f.Answers || !strings.Contains(f.Why, "No modem at") {
		t.Errorf("missing port: %+v", f)
	}
	r.standing()
	if len(r.emu.Violations()) != before {
		t.Errorf("violations %v", r.emu.Violations())
	}
	r.stop()
	config.Modems[0].Status = nil
	if f := find(path); !f.Answers || f.InUse || f.Modem != "gsm0" || f.IMEI != st.IMEI || f.ICCID != st.ICCID || f.SIM != "READY" || !strings.Contains(f.Why, "Would be used by gsm0") {
		t.Errorf("free port: %+v", f)
	}
}
