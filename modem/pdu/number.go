package pdu

import (
	"errors"
	"fmt"
	"strings"
)

// TON is the type of number of an address (3GPP TS 23.040 §9.1.2.5).
type TON byte

// Types of number. Values above Alphanumeric are kept as they came.
const (
	Unknown       TON = 0 // short codes, and numbers as dialled
	International TON = 1 // E.164 digits
	National      TON = 2
	NetworkTON    TON = 3
	Subscriber    TON = 4
	Alphanumeric  TON = 5 // a name; no answer is possible
	Abbreviated   TON = 6
	ReservedTON   TON = 7
)

// Number is an address. It is comparable; the zero value is "no number".
// Digits has no plus sign; for Alphanumeric it is the name.
type Number struct {
	Digits string
	TON    TON
}

// ErrNumber says that a text is not a number that can be dialled.
var ErrNumber = errors.New("not a phone number")

// ParseNumber reads a number as written: with a plus it is international
// (E.164, 5 to 15 digits), without one it stays as typed with TON unknown, as
// short codes must. Spaces, dashes, dots, slashes and brackets are dropped.
// Country rules are the caller's.
func ParseNumber(s string) (Number, error) {
	n := Number{}
	var b strings.Builder
	for i, r := range strings.TrimSpace(s) {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#':
			b.WriteRune(r)
		case r == '+' && i == 0:
			n.TON = International
		case strings.ContainsRune(" -./()\u00a0", r):
		default:
			return Number{}, fmt.Errorf("%w: %q", ErrNumber, s)
		}
	}
	n.Digits = b.String()
	if n.TON == International {
		if len(n.Digits) < 5 || len(n.Digits) > 15 || n.Digits[0] == '0' || strings.ContainsAny(n.Digits, "*#") {
			return Number{}, fmt.Errorf("%w: %q", ErrNumber, s)
		}
	} else if len(n.Digits) < 1 || len(n.Digits) > 20 {
		return Number{}, fmt.Errorf("%w: %q", ErrNumber, s)
	}
	return n, nil
}

// String returns the number as a person writes it: E.164 with its plus, other
// digits as they are, the name of an alphanumeric sender.
func (n Number) String() string {
	if n.TON == International {
		return "+" + n.Digits
	}
	return n.Digits
}

// E164 returns the number with its plus; ok is false for short codes,
// national numbers and names.
func (n Number) E164() (s string, ok bool) {
	if n.TON != International || n.Digits == "" {
		return "", false
	}
	return "+" + n.Digits, true
}

// SameTail reports whether two numbers agree in their last nine digits, or in
// all digits of the shorter one when that has at least seven. Networks change
// the type of number and drop prefixes in status reports.
func (n Number) SameTail(m Number) bool {
	if n.TON == Alphanumeric || m.TON == Alphanumeric {
		return n == m
	}
	if n.Digits == m.Digits {
		return true
	}
	a, b := strings.TrimLeft(n.Digits, "0"), strings.TrimLeft(m.Digits, "0")
	k := min(len(a), len(b), 9)
	return k >= 7 && a[len(a)-k:] == b[len(b)-k:]
}

const semiOctets = "0123456789*#abc"

// appendAddress writes an address field: length, type, value.
// 3GPP TS 23.040 §9.1.2.5.
func appendAddress(b []byte, n Number) ([]byte, error) {
	if n.TON == Alphanumeric {
		sept, ok := toSeptets(n.Digits)
		if !ok || len(sept) > 11 {
			return nil, fmt.Errorf("%w: name %q has more than 11 characters of the GSM alphabet", ErrNumber, n.Digits)
		}
		b = append(b, byte((len(sept)*7+3)/4), 0xD0)
		return appendPacked(b, sept, 0), nil
	}
	if len(n.Digits) > 20 {
		return nil, fmt.Errorf("%w: more than 20 digits", ErrNumber)
	}
	b = append(b, byte(len(n.Digits)), 0x81|byte(n.TON&7)<<4)
	return appendSemi(b, n.Digits)
}

func appendSemi(b []byte, digits string) ([]byte, error) {
	for i := 0; i < len(digits); i += 2 {
		lo := strings.IndexByte(semiOctets, digits[i])
		hi := 15
		if i+1 < len(digits) {
			if hi = strings.IndexByte(semiOctets, digits[i+1]); hi < 0 {
				lo = -1
			}
		}
		if lo < 0 {
			return nil, fmt.Errorf("%w: %q", ErrNumber, digits)
		}
		b = append(b, byte(hi<<4|lo))
	}
	return b, nil
}

// readAddress reads an address field and returns what follows it. It accepts
// any digits and any type; only a field longer than the TPDU is an error.
func readAddress(b []byte) (n Number, rest []byte, err error) {
	if len(b) < 2 {
		return n, nil, ErrShort
	}
	size := int(b[0])
	octets := (size + 1) / 2
	if len(b) < 2+octets {
		return n, nil, ErrShort
	}
	val, rest := b[2:2+octets], b[2+octets:]
	n.TON = TON(b[1] >> 4 & 7)
	if n.TON == Alphanumeric {
		n.Digits = fromSeptets(unpack(val, size*4/7, 0), language{})
		return n, rest, nil
	}
	n.Digits = readSemi(val, size)
	return n, rest, nil
}

func readSemi(val []byte, max int) string {
	d := make([]byte, 0, max)
	for i := range max {
		v := val[i/2] >> (4 * (i & 1)) & 15
		if v == 15 {
			break // filler
		}
		d = append(d, semiOctets[v])
	}
	return string(d)
}

// SplitSMSC takes the service centre field off the front of a PDU as the
// commands of 3GPP TS 27.005 carry it. A length of 0 gives a zero Number.
func SplitSMSC(pdu []byte) (smsc Number, tpdu []byte, err error) {
	if len(pdu) == 0 || len(pdu) < 1+int(pdu[0]) {
		return smsc, nil, ErrShort
	}
	n := int(pdu[0])
	if n > 0 {
		smsc.TON = TON(pdu[1] >> 4 & 7)
		smsc.Digits = readSemi(pdu[2:1+n], 2*(n-1))
	}
	return smsc, pdu[1+n:], nil
}

// WithSMSC puts a service centre field before a TPDU; the zero Number writes
// the single octet 00, which means the one stored on the SIM.
func WithSMSC(smsc Number, tpdu []byte) ([]byte, error) {
	if smsc.Digits == "" {
		return append([]byte{0}, tpdu...), nil
	}
	b := []byte{byte(1 + (len(smsc.Digits)+1)/2), 0x81 | byte(smsc.TON&7)<<4}
	b, err := appendSemi(b, smsc.Digits)
	if err != nil {
		return nil, err
	}
	return append(b, tpdu...), nil
}
