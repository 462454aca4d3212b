package xmlstream

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Classes of ASCII bytes. A byte outside a class needs a closer look.
const (
	plainText   = 1 << iota // character data without < & > and controls
	plainValue              // attribute value without < & quotes and white space other than blanks
	nameByte                // NameChar without the colon
	nameStart               // NameStartChar without the colon
	whiteSpace              // XML 1.0 §2.3, S
	plainOutput             // what needs no escaping in an attribute's value
)

var class = func() (t [256]byte) {
	for c := range 0x80 {
		if c >= 0x20 || c == '\t' || c == '\n' || c == '\r' {
			if c != '<' && c != '&' && c != '>' {
				t[c] |= plainText
			}
			if c >= 0x20 && c != '<' && c != '&' && c != '\'' && c != '"' {
				t[c] |= plainValue
			}
			if t[c]&(plainText|plainValue) == plainText|plainValue {
				t[c] |= plainOutput
			}
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if letter {
			t[c] |= nameStart | nameByte
		}
		if c >= '0' && c <= '9' || c == '-' || c == '.' {
			t[c] |= nameByte
		}
	}
	for _, c := range " \t\r\n" {
		t[c] |= whiteSpace
	}
	return t
}()

// Eight bytes at a time: taking one from each byte sets the high bit of those
// that were zero, and what is looked for was made zero by an exclusive or.
// Taking a blank sets it for control characters; bytes outside ASCII have it.
// That is right for the lowest bit set, and for every byte below it; bits
// above may be wrong, since a byte that was zero borrows from the next.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// markText sets bits for '<', '>', '&', control characters and what is not ASCII.
func markText(w uint64) uint64 {
	angle := (w | ones*2) ^ ones*'>' // '<' and '>' differ in that bit
	return (angle - ones) | ((w ^ ones*'&') - ones) | (w - ones*' ') | w
}

// markValue sets bits for '<', '&', control characters, what is not ASCII and
// the quote, which is given eight times.
func markValue(w, quotes uint64) uint64 {
	return ((w ^ ones*'<') - ones) | ((w ^ ones*'&') - ones) | ((w ^ quotes) - ones) | (w - ones*' ') | w
}

// skipText returns the position of the next byte that is not plain text.
func skipText(el []byte, p uint) uint {
	for p+16 <= uint(len(el)) { // two at a time: one jump for both
		b := el[p : p+16 : p+16]
		m, next := markText(binary.LittleEndian.Uint64(b)), markText(binary.LittleEndian.Uint64(b[8:]))
		if (m|next)&highs == 0 {
			p += 16
			continue
		}
		if m &= highs; m == 0 {
			m = next & highs
			p += 8
		}
		p += uint(bits.TrailingZeros64(m)) / 8
		break // perhaps a tab or a line feed
	}
	for p < uint(len(el)) && class[el[p]]&plainText != 0 {
		p++
	}
	return p
}

// skipValue returns the position of the next byte that is not plain in an
// attribute's value between such quotes.
func skipValue(el []byte, p uint, quote byte) uint {
	quotes := uint64(quote) * ones
	for p+8 <= uint(len(el)) {
		if m := markValue(binary.LittleEndian.Uint64(el[p:p+8:p+8]), quotes) & highs; m != 0 {
			return p + uint(bits.TrailingZeros64(m))/8
		}
		p += 8
	}
	for p < uint(len(el)) && class[el[p]]&plainValue != 0 {
		p++
	}
	return p
}

// markOutput sets bits for what may need escaping.
func markOutput(w uint64) uint64 {
	angle := (w | ones*2) ^ ones*'>'
	amp := (w | ones) ^ ones*'\'' // '&' and the apostrophe differ in that bit
	return (angle - ones) | (amp - ones) | ((w ^ ones*'"') - ones) | (w - ones*' ') | w
}

// word loads the first eight bytes; the compiler makes one load of it.
func word(b string) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// skipOutput returns the position of the next byte that may need escaping.
func skipOutput(s string, p int) int {
	for ; p+8 <= len(s); p += 8 {
		if m := markOutput(word(s[p:p+8])) & highs; m != 0 {
			return p + bits.TrailingZeros64(m)/8
		}
	}
	for p < len(s) && class[s[p]]&plainOutput != 0 {
		p++
	}
	return p
}

// isChar is XML 1.0 §2.2, Char.
func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

// isNameStart and isNameChar are XML 1.0 (fifth edition) §2.3 for characters
// outside ASCII.
func isNameStart(r rune) bool {
	switch {
	case r < 0xC0, r == 0xD7, r == 0xF7:
		return false
	case r <= 0x2FF, r >= 0x370 && r <= 0x1FFF && r != 0x37E:
		return true
	case r == 0x200C, r == 0x200D, r >= 0x2070 && r <= 0x218F, r >= 0x2C00 && r <= 0x2FEF:
		return true
	}
	return r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD || r >= 0x10000 && r <= 0xEFFFF
}

func isNameChar(r rune) bool {
	return isNameStart(r) || r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// multibyte reads the character outside ASCII that b starts with. n is 0 when
// more bytes are needed.
func multibyte(b []byte) (r rune, n int, err error) {
	r, n = utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		if !utf8.FullRune(b) {
			return 0, 0, nil
		}
		return 0, 0, fault(unsupportedEncoding, "bytes that are not UTF-8") // RFC 6120 §4.9.3.22, §11.6
	}
	if !isChar(r) {
		return 0, 0, fault(notWellFormed, "a character that XML forbids")
	}
	return r, n, nil
}

// maxReference is the longest reference looked at, leading zeros included.
const maxReference = 24

// reference reads the entity or character reference that b starts with. n is
// 0 when more bytes are needed.
func reference(b []byte) (r rune, n int, err error) {
	for i := 1; i < len(b); i++ {
		c := b[i]
		if c == ';' {
			r, err = referent(b[1:i])
			return r, i + 1, err
		}
		if i == maxReference || class[c]&nameByte == 0 && c != '#' {
			return 0, 0, fault(notWellFormed, "an ampersand that starts no reference")
		}
	}
	return 0, 0, nil
}

func referent(name []byte) (rune, error) {
	switch string(name) {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "apos":
		return '\'', nil
	case "quot":
		return '"', nil
	case "":
		return 0, fault(notWellFormed, "an empty reference")
	}
	if name[0] != '#' {
		if class[name[0]]&nameStart == 0 {
			return 0, fault(notWellFormed, "a malformed reference")
		}
		return 0, fault(restrictedXML, "an entity that is not predefined") // RFC 6120 §11.1
	}
	digits, base := name[1:], rune(10)
	if len(digits) > 0 && digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	r := rune(0)
	for _, c := range digits {
		d := rune(99)
		switch {
		case c >= '0' && c <= '9':
			d = rune(c - '0')
		case c >= 'a' && c <= 'f':
			d = rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = rune(c-'A') + 10
		}
		if d >= base || r > 0x10FFFF {
			return 0, fault(notWellFormed, "a malformed character reference")
		}
		r = r*base + d
	}
	if len(digits) == 0 || !isChar(r) {
		return 0, fault(notWellFormed, "a reference to a character that XML forbids")
	}
	return r, nil
}

// appendUnescaped appends checked character data or an attribute's value with
// references replaced and line ends normalized (XML 1.0 §2.11); in a value
// each literal white space character becomes a blank (§3.3.3).
func appendUnescaped(dst, b []byte, value bool) []byte {
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '&':
			r, n, err := reference(b[i:])
			if n == 0 || err != nil {
				return dst // not reached: the scanner has checked b
			}
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		case c == '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
			dst = append(dst, lineEnd(value))
		case c == '\n' || c == '\t' && value:
			dst = append(dst, lineEnd(value))
		default:
			dst = append(dst, c)
		}
		i++
	}
	return dst
}

func lineEnd(value bool) byte {
	if value {
		return ' '
	}
	return '\n'
}
