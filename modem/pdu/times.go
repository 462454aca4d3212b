package pdu

import (
	"errors"
	"slices"
	"time"
)

var errTime = errors.New("unreadable time stamp")

// relativeValidity returns the longest TP-VP that is not above d, and 5
// minutes at least (3GPP TS 23.040 §9.2.3.12.1).
func relativeValidity(d time.Duration) byte {
	const day = 24 * time.Hour
	switch {
	case d < 10*time.Minute:
		return 0
	case d <= 12*time.Hour:
		return byte(d/(5*time.Minute) - 1)
	case d < 2*day:
		return byte(min(143+(d-12*time.Hour)/(30*time.Minute), 167))
	case d < 35*day:
		return byte(min(166+d/day, 196))
	}
	return byte(min(192+d/(7*day), 255))
}

// SetValidity returns a SUBMIT whose relative validity period is d, at least
// five minutes; one without such a field, and anything else, comes back as it is.
// Texts that had to wait are valid for what is left of their time.
func SetValidity(tpdu []byte, d time.Duration) []byte {
	if len(tpdu) < 4 || tpdu[0]&3 != 1 || tpdu[0]>>3&3 != 2 {
		return tpdu
	}
	at := 2 + 2 + (int(tpdu[2])+1)/2 + 2 // first octet, MR, address, PID, DCS
	if at >= len(tpdu) {
		return tpdu
	}
	out := slices.Clone(tpdu)
	out[at] = relativeValidity(d)
	return out
}

func validityPeriod(v byte) time.Duration {
	n := time.Duration(v)
	switch {
	case v <= 143:
		return (n + 1) * 5 * time.Minute
	case v <= 167:
		return 12*time.Hour + (n-143)*30*time.Minute
	case v <= 196:
		return (n - 166) * 24 * time.Hour
	}
	return (n - 192) * 7 * 24 * time.Hour
}

// readTime reads a service centre time stamp: swapped BCD, zone in quarters of
// an hour with its sign in bit 3 (3GPP TS 23.040 §9.2.3.11).
func readTime(b []byte) (time.Time, error) {
	var v [6]int
	for i := range v {
		lo, hi := int(b[i]&15), int(b[i]>>4)
		if lo > 9 || hi > 9 {
			return time.Time{}, errTime
		}
		v[i] = lo*10 + hi
	}
	z := int(b[6]&7)*10 + int(b[6]>>4)
	if b[6]>>4 > 9 || z > 14*4 {
		return time.Time{}, errTime
	}
	if b[6]&8 != 0 {
		z = -z
	}
	if v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 59 {
		return time.Time{}, errTime
	}
	year := 2000 + v[0]
	if v[0] >= 90 {
		year -= 100
	}
	zone := time.UTC
	if z != 0 {
		zone = time.FixedZone("", z*15*60)
	}
	t := time.Date(year, time.Month(v[1]), v[2], v[3], v[4], v[5], 0, zone)
	if t.Day() != v[2] { // 31 April
		return time.Time{}, errTime
	}
	return t, nil
}

func appendTime(b []byte, t time.Time) []byte {
	_, off := t.Zone()
	q := off / (15 * 60)
	sign := byte(0)
	if q < 0 {
		q, sign = -q, 8
	}
	for _, v := range [...]int{t.Year() % 100, int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second()} {
		b = append(b, byte(v%10<<4|v/10))
	}
	return append(b, byte(q%10<<4|q/10)|sign)
}
