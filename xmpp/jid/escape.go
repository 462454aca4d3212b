package jid

import "strings"

// escapable are the characters XEP-0106 §4.2 (table 1) escapes, each as a
// backslash and two lower-case hexadecimal digits. The backslash itself is
// escaped only where it would read as the start of an escape.
const escapable = ` "&'/:<>@\`

const hexDigits = "0123456789abcdef"

// Escape turns a name of another network into a localpart (XEP-0106 §4.2).
// An escaped space may be neither first nor last, so white space there is
// dropped: "space" characters at both ends of local are lost.
func Escape(local string) string {
	local = strings.Trim(local, " ")
	if !strings.ContainsAny(local, escapable) {
		return local
	}
	var b strings.Builder
	for i := 0; i < len(local); i++ {
		c := local[i]
		plain := strings.IndexByte(escapable, c) < 0
		if c == '\\' {
			_, isEscape := escapeAt(local, i)
			plain = !isEscape
		}
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// Unescape is the reverse (XEP-0106 §4.3). What is not one of the ten
// sequences stays, also \20 at either end, which no escaping makes.
func Unescape(local string) string {
	if strings.IndexByte(local, '\\') < 0 {
		return local
	}
	var b strings.Builder
	for i := 0; i < len(local); i++ {
		c, ok := escapeAt(local, i)
		if !ok || c == ' ' && (i == 0 || i+3 == len(local)) {
			b.WriteByte(local[i])
			continue
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}

// escapeAt reads an escape sequence at s[i].
func escapeAt(s string, i int) (c byte, ok bool) {
	if s[i] != '\\' || i+2 >= len(s) {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	c = byte(hi<<4 | lo)
	return c, strings.IndexByte(escapable, c) >= 0
}
