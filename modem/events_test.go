package modem

import (
	"strings"
	"testing"
	"time"

	"doorway/modem/emulator"
)

func (r *rig) call() Call {
	r.t.Helper()
	var c Call
	r.until("a call", 0, func() bool {
		select {
		case c = <-r.d.Calls():
			return true
		default:
			return false
		}
	})
	return c
}

// A call rings until the caller gives up, and is told then; its NO CARRIER is
// no answer to a send that goes on meanwhile.
func TestMissedCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{Latency: 30 * time.Millisecond}, nil)
	r.ready()
	r.emu.Call("+4915550109", 3, 20*time.Millisecond)
	for range 5 {
		r.mustSend(strings.Repeat("x", 1+len(r.counts())))
	}
	c := r.call()
	if c.From != "+4915550109" || c.Rings < 1 || c.HungUp || c.Modem != "gsm0" {
		t.Errorf("%+v", c)
	}
	r.emu.Call("", 2, 20*time.Millisecond)
	if c := r.call(); c.From != "" {
		t.Errorf("%+v", c)
	}
	r.standing()
	if n := r.emu.HungUp(); n != 0 {
		t.Errorf("%d calls were refused", n)
	}
}

func TestCallRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, func(c *Config) { c.HangUp = true })
	r.ready()
	r.emu.Call("+4915550109", 1000, 100*time.Millisecond)
	if c := r.call(); c.From != "+4915550109" || !c.HungUp {
		t.Errorf("%+v", c)
	}
	if n := r.emu.HungUp(); n != 1 {
		t.Errorf("%d calls were refused", n)
	}
	r.standing()
}

func TestParseCLIP(t *testing.T) {
	for line, want := range map[string]string{
		`+CLIP: "+4915550109",145,"",0,"",0`: "+4915550109",
		`+CLIP: "4915550109",145`:            "+4915550109",
		`+CLIP: "015550109",129,,,"Ann",0`:   "015550109",
		`+CLIP: "",128,"",0,"",1`:            "",
		`+CLIP: "Ann",208`:                   "",
		`+CLIP:`:                             "",
	} {
		if got := parseCLIP(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestRoaming(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy Roaming
		plmn   string
		want   State
	}{
		{"", "22801", Ready}, {RoamAnywhere, "22801", Ready}, {RoamNowhere, "26201", Denied},
		{RoamCountry, "26203", Ready}, {RoamCountry, "22801", Denied},
	} {
		t.Run(string(c.policy)+c.plmn, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{}, func(cfg *Config) { cfg.Roaming = c.policy })
			r.ready()
			r.set("plmn", c.plmn)
			r.set("registration", "5")
			if c.want == Denied {
				r.is(Denied, "roaming = ")
				r.deliver("comes in all the same", 0)
				r.set("registration", "1")
			} else {
				r.until("roaming", 0, func() bool { st := r.d.Status(); return st.Registration == "roaming" && st.State == Ready })
			}
			r.standing()
		})
	}
}

// The clock of the network is compared with the box's, time zones aside.
func TestClock(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.until("clock read", 0, func() bool { c := r.d.Status().Clock; return c != nil && c.Trusted && c.Offset.Abs() < clockFar })
	if n := r.d.Status().Notes; len(n) != 0 {
		t.Errorf("notes %q", n)
	}
	r.set("clock", "2h7m")
	r.emu.Send("\r\n+CTZV: \"+08\"\r\n")
	r.until("told", 0, func() bool {
		n := r.d.Status().Notes
		return len(n) == 1 && strings.Contains(n[0], "clock of this box")
	})
	r.set("clock", "2h")
	r.emu.Send("\r\n+CTZV: \"+08\"\r\n")
	r.until("told no more", 0, func() bool { return len(r.d.Status().Notes) == 0 })
	if n := r.d.Status().Number; n != "+4915550100" {
		t.Errorf("own number %q", n)
	}
}

func TestParseCCLK(t *testing.T) {
	for line, want := range map[string]string{
		`+CCLK: "26/11/22,20:45:12+04"`:   "2026-11-22T20:45:12+01:00",
		`+CCLK: "26/11/22,20:45:12-32"`:   "2026-11-22T20:45:12-08:00",
		`+CCLK: "2026/11/22,20:45:12"`:    "2026-11-22T20:45:12Z",
		`+CCLK: "80/01/06,00:00:12+00"`:   "1980-01-06T00:00:12Z",
		`+CCLK: "26/13/22,20:45:12+04"`:   "",
		`+CCLK: "26/11/22,20:45:12+9999"`: "",
		`+CCLK: "`:                        "",
	} {
		got, ok := parseCCLK(line)
		if s := got.Format(time.RFC3339); ok != (want != "") || ok && s != want {
			t.Errorf("%s: %s %t, want %s", line, s, ok, want)
		}
	}
}

func TestZoneless(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		time.Hour: 0, 2*time.Hour + 30*time.Second: 30 * time.Second, -45*time.Minute - time.Minute: -time.Minute,
		7 * time.Minute: 7 * time.Minute, 24 * time.Hour: 24 * time.Hour, 5*time.Hour + 6*time.Minute: 5*time.Hour + 6*time.Minute,
	} {
		if got := zoneless(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}

// A weak supply is said, and what was said is forgotten an hour later.
func TestWeakSupply(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.emu.Send("\r\nUNDER-VOLTAGE WARNNING\r\n")
	r.until("told", 0, func() bool { n := r.d.Status().Notes; return len(n) == 1 && strings.Contains(n[0], "supply") })
	r.standing()
}

func TestWeakSupplyIsForgotten(t *testing.T) {
	inBubble(t, emulator.Config{}, func(b *bubble) {
		b.ready()
		b.emu.Send("\r\nUNDER-VOLTAGE WARNNING\r\n")
		b.until("told", func() bool { return len(b.d.Status().Notes) == 1 })
		<-time.After(59 * time.Minute)
		if n := b.d.Status().Notes; len(n) != 1 {
			t.Errorf("notes %q", n)
		}
		b.until("forgotten", func() bool { return len(b.d.Status().Notes) == 0 })
	})
}

// A profile with another character set, kept by the modem, garbles no names.
func TestCharacterSetOfProfile(t *testing.T) {
	inBubble(t, emulator.Config{Rules: parse(t, "on start\n set cscs UCS2\n")}, func(b *bubble) {
		b.ready()
		if st := b.d.Status(); st.Operator != "Emulated Network" {
			t.Errorf("operator %q", st.Operator)
		}
		b.works()
	})
}
