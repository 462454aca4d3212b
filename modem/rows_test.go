package modem

import (
	"errors"
	"slices"
	"testing"
	"time"

	"doorway/modem/emulator"
)

// Each row of the behaviour matrix is one script of the emulator; the driver
// talks to it over its pseudo-terminal. Times are scaled by the limits in fast.

func script(names ...string) emulator.Config { return emulator.Config{Scripts: names} }

// B01: echo on until ATE0, and again after a reset in the middle of a send.
func TestB01EchoComesBackAfterReset(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B01"), nil)
	r.ready()
	r.mustSend("before the reset")
	if _, _, err := r.send("refused by the reset"); err == nil {
		t.Fatal("the send during the reset was accepted")
	}
	r.until("ATE0 again", 5*time.Second, func() bool { return r.traced(">ATE0") == 2 })
	r.standing()
	if n := r.counts()["refused by the reset"]; n != 0 {
		t.Errorf("the refused part was sent %d times", n)
	}
}

// B02: the first AT is swallowed; started within 3 s with the real pauses.
func TestB02FirstATSwallowed(t *testing.T) {
	began := time.Now()
	r := newRig(t, script("B02"), func(c *Config) { c.Timeouts = Timeouts{Poll: 3 * time.Second} })
	r.ready()
	t.Logf("ready after %v", time.Since(began))
	r.standing()
}

// B03: a process that died left the modem at the prompt: nothing is sent.
func TestB03LeftAtThePrompt(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B03"), nil)
	r.ready()
	if s := r.emu.Submits(); len(s) != 0 {
		t.Fatalf("sent at the start: %+v", s)
	}
	r.mu.Lock()
	first := r.lines[0]
	r.mu.Unlock()
	if first != "><ESC>" {
		t.Errorf("first bytes %q, want ESC", first)
	}
	r.standing()
}

// B04: settings are refused, one by one and all together; the modem still
// sends, and what it does not announce is found by the poll.
func TestB04SettingsRefused(t *testing.T) {
	for _, name := range []string{"B04-cmee", "B04-csms", "B04-cpms", "B04-cnmi", "B04"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, script(name), nil)
			r.noReports = name == "B04" || name == "B04-cnmi"
			r.ready()
			r.mustSend("without settings")
			r.deliver("found all the same", 2*fast.Poll)
			r.standing()
		})
	}
}

// B05: four dialects of line ends and echo give the same results.
func TestB05Dialects(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"B05-lf", "B05-cr", "B05-blank", "B05-bare"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, script(name), nil)
			r.ready()
			if st := r.d.Status(); st.IMEI != "490154203237518" || st.Operator != "Emulated Network" {
				t.Errorf("status %+v", st)
			}
			r.standing()
		})
	}
}

// B06: an answer after its limit is not taken as that of the next command.
func TestB06LateAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B06@600ms"), nil) // the limit is 400 ms
	r.impatient = true
	r.ready()
	if st := r.d.Status(); st.RSSI != -73 || st.Operator != "Emulated Network" {
		t.Errorf("status %+v", st)
	}
	r.standing()
}

// B09: a message and noise arrive between the CMGS line and its prompt.
func TestB09UnsolicitedBeforePrompt(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B09"), nil)
	r.ready()
	r.mustSend("prompt found")
	r.until("message read once", 5*time.Second, func() bool { return len(r.texts()) == 1 })
	r.standing()
	if n := r.counts()["prompt found"]; n != 1 {
		t.Errorf("sent %d times", n)
	}
	if got := r.texts(); !slices.Equal(got, []string{"between command and prompt", "standing answer"}) {
		t.Errorf("received %q", got)
	}
}

// B10: they arrive between the PDU and +CMGS: the reference is right.
func TestB10UnsolicitedBeforeResult(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B10"), nil)
	r.ready()
	mr := r.mustSend("reference found")
	r.until("report", 5*time.Second, func() bool { return slices.Contains(r.reports(), mr) })
	r.standing()
	if s := r.emu.Submits(); s[0].MRs[0] != mr {
		t.Errorf("reference %d, the service centre knows %d", mr, s[0].MRs[0])
	}
	if got := r.texts(); !slices.Equal(got, []string{"between text and answer", "standing answer"}) {
		t.Errorf("received %q", got)
	}
}

// B11: messages are announced in another memory than the one in use: they are
// read there, and what lies in the other one stays.
func TestB11AnotherMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{Scripts: []string{"B11"},
		Memories: []emulator.Memory{{Name: "SM", Size: 30, First: 0}, {Name: "ME", Size: 10, First: 0}}}, nil)
	r.ready()
	draft, _ := r.emu.Store("SM", 2, r.tpdu("a draft"))
	r.deliver("in the other memory", 5*time.Second)
	r.standingBut(1)
	if s := r.emu.Slots()[0]; s.Storage != "SM" || s.Index != draft || s.Stat != 2 {
		t.Errorf("left: %+v", s)
	}
}

// B15: all shapes of the prompt: the PDU is written exactly once.
func TestB15Prompts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"B15-crlf", "B15-bare", "B15-line", "B15-glued", "B15-urc", "B15-twice", "B15-twice-late"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, script(name), nil)
			r.ready()
			mr := r.mustSend("one prompt, one text")
			if s := r.emu.Submits(); len(s) != 1 || s[0].Count != 1 || s[0].MRs[0] != mr {
				t.Errorf("reference %d, service centre: %+v", mr, s)
			}
			r.standing()
		})
	}
}

// B16: +CMGS comes late and inside its limit: accepted, not sent again. Scaled
// by a hundred: 550 ms of a limit of 2 s for 55 s of 120 s.
func TestB16SlowAcceptance(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B16@550ms"), nil)
	r.ready()
	began := time.Now()
	r.mustSend("takes its time")
	if d := time.Since(began); d < 500*time.Millisecond { // a lower bound: it holds on any machine
		t.Errorf("accepted after %v, before the modem said so", d)
	}
	r.standing()
}

// B17: OK without +CMGS: possibly sent; the status report resolves it.
func TestB17NoReference(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B17"), nil)
	r.ready()
	_, marks, err := r.send("no reference")
	var se *SendError
	if !errors.As(err, &se) || se.Class != ClassAmbiguous || !se.AfterCtrlZ || se.Token == 0 || marks != 1 {
		t.Fatalf("error %#v, marks %d; want ambiguous after Ctrl-Z", err, marks)
	}
	r.until("report", 5*time.Second, func() bool { return len(r.reports()) == 1 })
	r.standing()
	if n := r.counts()["no reference"]; n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// B19: no answer in time, the reference comes while resynchronising or later.
func TestB19LateReference(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B19@420ms"), func(c *Config) { c.Timeouts.Send = 300 * time.Millisecond })
	r.impatient = true
	r.ready()
	_, _, err := r.send("answered late")
	var se *SendError
	if !errors.As(err, &se) || se.Class != ClassAmbiguous || !se.AfterCtrlZ {
		t.Fatalf("error %#v; want ambiguous after Ctrl-Z", err)
	}
	r.until("late reference", 5*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.late) == 1
	})
	if s := r.emu.Submits(); r.late[0].Token != se.Token || s[0].MRs[0] != r.late[0].MR {
		t.Errorf("late %+v, token %d, service centre %+v", r.late, se.Token, s)
	}
	r.standing()
}

// B20: the port vanishes right after Ctrl-Z: possibly sent; what follows waits.
func TestB20PortVanishes(t *testing.T) {
	for name, copies := range map[string]int{"B20@300ms": 1, "B20-lost@300ms": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, script(name), nil)
			r.ready()
			_, marks, err := r.send("on air")
			var se *SendError
			if !errors.As(err, &se) || se.Class != ClassAmbiguous || !se.AfterCtrlZ || marks != 1 {
				t.Fatalf("error %#v; want ambiguous after Ctrl-Z", err)
			}
			r.until("absent", time.Second, func() bool { return r.d.Status().State != Ready })
			_, marks, err = r.send("must wait")
			if !errors.As(err, &se) || se.Class != ClassDown || se.AfterCtrlZ || marks != 0 {
				t.Fatalf("without a port: %#v, marks %d; want down", err, marks)
			}
			r.standing()
			if n := r.counts(); n["on air"] != copies || n["must wait"] != 0 {
				t.Errorf("at the service centre: %v", n)
			}
		})
	}
}

// B35: the modem restarts with a part on air: settings are made again.
func TestB35Reboot(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B35"), func(c *Config) { c.Timeouts.Send = 5 * time.Second })
	r.ready()
	r.mustSend("before")
	_, _, err := r.send("lost in the reboot")
	var se *SendError
	if !errors.As(err, &se) || se.Class != ClassAmbiguous {
		t.Fatalf("error %#v; want ambiguous", err)
	}
	r.until("started again", 5*time.Second, func() bool { return r.traced(">ATE0") == 2 })
	r.standing()
}
