package pdu

import (
	"strings"
	"unicode/utf8"
)

// The GSM 7 bit default alphabet, 3GPP TS 23.038 §6.2.1. Code 0x1B is the escape.
const basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" +
	" !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmnopqrstuvwxyzäöñüà"

const escape = 0x1B

var basicRunes = [128]rune([]rune(basic))

// extension is the default alphabet's extension table, TS 23.038 §6.2.1.1.
func extension(c byte) rune {
	switch c {
	case 0x0A:
		return '\f'
	case 0x14:
		return '^'
	case 0x28:
		return '{'
	case 0x29:
		return '}'
	case 0x2F:
		return '\\'
	case 0x3C:
		return '['
	case 0x3D:
		return '~'
	case 0x3E:
		return ']'
	case 0x40:
		return '|'
	case 0x65:
		return '€'
	}
	return 0
}

// septet returns the code of a rune and whether it needs an escape; cost is 0
// when the alphabet does not have it.
func septet(r rune) (code byte, cost int) {
	// The letters, digits and most signs have their ASCII code.
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '%' && r <= '?', r >= ' ' && r <= '#', r == '\n', r == '\r':
		return byte(r), 1
	case r == escape:
		return 0, 0
	}
	switch r {
	case '\f':
		return 0x0A, 2
	case '^':
		return 0x14, 2
	case '{':
		return 0x28, 2
	case '}':
		return 0x29, 2
	case '\\':
		return 0x2F, 2
	case '[':
		return 0x3C, 2
	case '~':
		return 0x3D, 2
	case ']':
		return 0x3E, 2
	case '|':
		return 0x40, 2
	case '€':
		return 0x65, 2
	}
	for c, b := range basicRunes {
		if b == r {
			return byte(c), 1
		}
	}
	return 0, 0
}

// countSeptets returns how many septets a text takes; ok is false when it
// needs another alphabet.
func countSeptets(s string) (n int, ok bool) {
	for _, r := range s {
		_, cost := septet(r)
		if cost == 0 {
			return 0, false
		}
		n += cost
	}
	return n, true
}

// toSeptets encodes a text, one septet in each byte.
func toSeptets(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		code, cost := septet(r)
		switch cost {
		case 0:
			return nil, false
		case 2:
			b = append(b, escape)
		}
		b = append(b, code)
	}
	return b, true
}

// fromSeptets decodes septets. A code missing from the extension table shows
// the character of the main table (TS 23.038 §6.2.1.1); an escape with nothing
// behind it is dropped, a double one is a space.
func fromSeptets(b []byte, l language) string {
	var s strings.Builder
	s.Grow(len(b))
	locking, single := l.tables()
	for i := 0; i < len(b); i++ {
		c := b[i] & 0x7F
		if c != escape {
			s.WriteRune(locking(c))
			continue
		}
		if i++; i == len(b) {
			break
		}
		c = b[i] & 0x7F
		switch r := single(c); {
		case r != 0:
			s.WriteRune(r)
		case c == escape:
			s.WriteByte(' ')
		default:
			s.WriteRune(locking(c))
		}
	}
	return s.String()
}

func mainTable(c byte) rune { return basicRunes[c] }

// appendPacked packs septets into octets after fill bits (TS 23.038 §6.1.2.1,
// TS 23.040 §9.2.3.24 for the fill bits behind a header).
func appendPacked(b, septets []byte, fill int) []byte {
	acc, bits := uint(0), fill
	for _, c := range septets {
		acc |= uint(c&0x7F) << bits
		for bits += 7; bits >= 8; bits -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	if bits > 0 && len(septets) > 0 {
		b = append(b, byte(acc))
	}
	return b
}

// unpack reads up to n septets behind fill bits; fewer when the octets end.
func unpack(b []byte, n, fill int) []byte {
	if have := (len(b)*8 - fill) / 7; n > have {
		n = max(have, 0)
	}
	out := make([]byte, n)
	for i := range out {
		at := fill + i*7
		v := uint(b[at/8])
		if at/8+1 < len(b) {
			v |= uint(b[at/8+1]) << 8
		}
		out[i] = byte(v >> (at % 8) & 0x7F)
	}
	return out
}

// IsGSM reports whether a text fits the GSM 7 bit alphabet with its extension
// table, that is 160 characters in a message and not 70.
func IsGSM(s string) bool {
	_, ok := countSeptets(s)
	return ok && utf8.ValidString(s)
}
