package sms

import (
	"testing"
	"time"

	"doorway/modem"
)

// A call that nobody takes comes as a text from the caller's number, national
// or not; a withheld number makes none.
func TestMissedCallsAreTexts(t *testing.T) {
	l := newLine(t)
	p, stop := l.driver()
	defer stop()
	c := quiet
	c.Modems = []modem.Modem{p}
	h := run(t, newMemOutbox(), newMemTable(), c)
	defer h.stop()
	until(t, "the modem", func() bool { return p.Status().State == modem.Ready })
	l.emu.Call("", 1, 10*time.Millisecond)
	until(t, "the end of the first call", func() bool { return p.Status().State == modem.Ready && l.emu.Idle() })
	l.emu.Call(bob, 1, 10*time.Millisecond)
	until(t, "the call", func() bool { return len(h.incoming()) > 0 })
	m := h.incoming()[0]
	if m.From != bob || m.Body != "(Missed call, 1 ring. Nobody can be reached by voice at this number.)" || m.Ref == "" || m.At.IsZero() {
		t.Errorf("%+v", m)
	}
	if n := len(h.incoming()); n != 1 {
		t.Errorf("%d texts", n)
	}
}

func TestCallTexts(t *testing.T) {
	for want, c := range map[string]modem.Call{
		"(Called. The call was refused: nobody can be reached by voice at this number.)": {HungUp: true, Rings: 2},
		"(Missed call, 4 rings. Nobody can be reached by voice at this number.)":         {Rings: 4},
	} {
		if got := callText(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
