package doctor

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"doorway/modem"
)

// clock says whether the time can be believed: certificates, retries and the
// age of texts hang on it, and a Raspberry Pi has no clock of its own.
func clock(_ context.Context, b *Box) []Line {
	const name = "clock"
	const cure = "Connect the box to a time server: `timedatectl set-ntp true` with systemd-timesyncd, or install chrony."
	now := b.Now()
	said := now.Format("2006-01-02 15:04 MST")
	if m, off := byNetwork(b); off {
		return []Line{fail(name, fmt.Sprintf("The clock says %s; the mobile network of modem %s said %s when it was asked last, %s ago by this clock.",
			said, m.Name, m.Clock.Network.In(now.Location()).Format("2006-01-02 15:04 MST"), now.Sub(m.Clock.Read).Round(time.Second)), cure)}
	}
	if now.Before(b.Built) {
		return []Line{fail(name, fmt.Sprintf("The clock says %s, which is before this program was built (%s).", said, b.Built.Format(time.DateOnly)), cure)}
	}
	if b.Built.AddDate(20, 0, 0).Before(now) {
		return []Line{fail(name, fmt.Sprintf("The clock says %s, twenty years after this program was built.", said), cure)}
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return []Line{warn(name, fmt.Sprintf("The clock says %s; whether a time server keeps it is not known (%v).", said, err), "")}
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return []Line{warn(name, fmt.Sprintf("The clock says %s, and no time server keeps it right.", said), cure)}
	}
	return []Line{ok(name, fmt.Sprintf("The clock says %s and is kept by a time server.", said))}
}

// clockFar is a difference to the mobile network's time that is no inaccuracy of the network.
const clockFar = 5 * time.Minute

// byNetwork gives a modem whose network keeps a time that is far from the box's.
func byNetwork(b *Box) (modem.Status, bool) {
	if b.Facts == nil {
		return modem.Status{}, false
	}
	for _, m := range b.Facts.Modems {
		if c := m.Clock; c != nil && c.Trusted && c.Offset.Abs() > clockFar {
			return m, true
		}
	}
	return modem.Status{}, false
}
