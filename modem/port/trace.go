package port

import (
	"strconv"
	"strings"
)

// maxTrace cuts endless lines of a trace.
const maxTrace = 1024

// tracer makes lines of the bytes of one direction.
type tracer struct {
	dir byte
	out func(dir byte, line string)
	buf []byte
}

// feed passes complete lines on. Ctrl-Z and ESC end a line too: they are the
// last byte of what they belong to (TS 27.005 §3.5.1).
func (t *tracer) feed(b []byte) {
	for _, c := range b {
		switch c {
		case '\r', '\n':
			t.flush()
		case 0x1a:
			t.buf = append(t.buf, "<Ctrl-Z>"...)
			t.flush()
		case 0x1b:
			t.buf = append(t.buf, "<ESC>"...)
			t.flush()
		case ' ':
			if len(t.buf) < maxTrace {
				t.buf = append(t.buf, c)
			}
			if t.dir == '<' && len(t.buf) == 2 && t.buf[0] == '>' {
				t.flush() // the prompt, which no line end follows
			}
		default:
			if len(t.buf) < maxTrace {
				t.buf = append(t.buf, c)
			}
		}
	}
}

func (t *tracer) flush() {
	if len(t.buf) > 0 {
		t.out(t.dir, printable(Mask(string(t.buf))))
	}
	t.buf = t.buf[:0]
}

// printable keeps a trace on one line whatever the modem sends.
func printable(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return strings.Trim(strconv.QuoteToASCII(s), `"`)
		}
	}
	return s
}

// upper raises ASCII letters only: strings.ToUpper makes bytes that are no
// UTF-8 longer, and places in the line would shift.
func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// Mask replaces the secrets of an AT command line by asterisks: PIN, PUK and
// passwords of +CPIN=, +CLCK= and +CPWD= (3GPP TS 27.007 §7.4, §7.5, §8.3). It
// masks an echo too, in any case of letters, and all that follows on the line.
func Mask(line string) string {
	up := upper(line)
	first := -1
	for _, cmd := range []string{"+CPIN=", "+CLCK=", "+CPWD="} {
		if i := strings.Index(up, cmd); i >= 0 && (first < 0 || i+len(cmd) < first) {
			first = i + len(cmd)
		}
	}
	if first < 0 || first == len(line) || line[first] == '?' {
		return line
	}
	return line[:first] + `"****"`
}
