package modem

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/modem/info"
)

// clockFar is by how much the clocks of box and network may differ: networks
// keep the time for their own people only, some of them to the minute.
const clockFar = 2 * time.Minute

// readClock compares the modem's clock with the box's (3GPP TS 27.007 §8.15).
// The box's is never set by it.
func (s *session) readClock(ctx context.Context) error {
	s.clockDue = false
	r, err := s.ask(ctx, command{line: "AT+CCLK?", info: "+CCLK"})
	if err != nil || !r.final.ok() {
		return err
	}
	t, ok := parseCCLK(r.first())
	if !ok {
		return nil
	}
	now := time.Now()
	c := &Clock{Network: t, Read: now, Offset: zoneless(t.Sub(now.Round(0))), Trusted: s.clockSet && t.Year() >= 2024}
	s.d.update(func(st *Status) { st.Clock = c })
	text := ""
	if c.Trusted && c.Offset.Abs() > clockFar {
		text = fmt.Sprintf(textClock, now.Format("2006-01-02 15:04"), t.In(now.Location()).Format("2006-01-02 15:04"))
	}
	s.d.note(noteClock, text)
	return nil
}

// zoneless takes whole quarters of an hour off an offset, up to the largest
// time zone: some modems give the local time as UTC, or the other way round.
func zoneless(d time.Duration) time.Duration {
	const quarter = 15 * time.Minute
	zone := d.Round(quarter)
	if rest := d - zone; zone.Abs() <= 14*time.Hour && rest.Abs() <= clockFar {
		return rest
	}
	return d
}

// parseCCLK reads "+CCLK: "yy/MM/dd,hh:mm:ss±zz"", zz in quarters of an hour.
func parseCCLK(line string) (time.Time, bool) {
	if !info.HasPrefix(line, "+CCLK") {
		return time.Time{}, false
	}
	s := strings.Trim(info.TrimPrefix(line, "+CCLK"), "\" \t")
	layout := "06/01/02,15:04:05"
	if i := strings.IndexByte(s, '/'); i == 4 {
		layout = "2006/01/02,15:04:05" // COMPAT(Telit, Cinterion): all digits of the year
	}
	if len(s) < len(layout) {
		return time.Time{}, false
	}
	zone := 0
	if rest := s[len(layout):]; rest != "" {
		n, err := strconv.Atoi(rest)
		if err != nil || n < -56 || n > 56 {
			return time.Time{}, false
		}
		zone = n * 15 * 60
	}
	t, err := time.ParseInLocation(layout, s[:len(layout)], time.FixedZone("", zone))
	return t, err == nil
}
