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

// Eight bytes at a time: each of these has its high bit set where a byte is
// zero after the exclusive or, or below a blank, or not ASCII; bits above the
// lowest one set may be wrong.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipText returns the position of the next byte that is not plain text.
func skipText(el []byte, p uint) uint {
	for ; p+8 <= uint(len(el)); p += 8 {
		w := binary.LittleEndian.Uint64(el[p:])
		angle := (w | ones*2) ^ ones*'>' // '<' and '>' differ in that bit
		amp := w ^ ones*'&'
		if m := ((angle-ones)&^angle | (amp-ones)&^amp | (w-ones*' ')&^w | w) & highs; m != 0 {
			p += uint(bits.TrailingZeros64(m)) / 8
			break // perhaps a tab or a line feed
		}
	}
	for p < uint(len(el)) && class[el[p]]&plainText != 0 {
		p++
	}
	return p
}

// skipValue returns the position of the next byte that is not plain in an
// attribute's value.
func skipValue(el []byte, p uint) uint {
	for ; p+8 <= uint(len(el)); p += 8 {
		w := binary.LittleEndian.Uint64(el[p:])
		amp := (w | ones) ^ ones*'\'' // '&' and the apostrophe differ in that bit
		quot := w ^ ones*'"'
		less := w ^ ones*'<'
		if m := ((amp-ones)&^amp | (quot-ones)&^quot | (less-ones)&^less | (w-ones*' ')&^w | w) & highs; m != 0 {
			return p + uint(bits.TrailingZeros64(m))/8
		}
	}
	for p < uint(len(el)) && class[el[p]]&plainValue != 0 {
		p++
	}
	return p
}

// skipOutput returns the position of the next byte that may need escaping.
func skipOutput(s string, p int) int {
	for ; p+8 <= len(s); p += 8 {
		b := s[p : p+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		angle := (w | ones*2) ^ ones*'>'
		amp := (w | ones) ^ ones*'\''
		quot := w ^ ones*'"'
		if m := ((angle-ones)&^angle | (amp-ones)&^amp | (quot-ones)&^quot | (w-ones*' ')&^w | w) & highs; m != 0 {
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
