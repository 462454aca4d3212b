package modem

import (
	"bytes"
	"strings"
)

// maxLine is where an endless line is cut: the longest honest one is a
// CMGL entry of 2*(12+164) digits.
const maxLine = 4096

// token is a line of the modem without its end, or the prompt of +CMGS.
type token struct {
	text   string
	prompt bool
}

// tokenizer cuts the modem's bytes into tokens. It looks at bytes and never at
// reads: answers come in any pieces and with any line ends (3GPP TS 27.007
// §4.1 asks for CR LF on both sides; CR alone, LF alone and none in front occur).
//
// The prompt (TS 27.005 §3.5.1) has no line end, and a '>' means something
// else at other times, so it is looked for only while expect is set.
type tokenizer struct {
	buf    []byte
	cut    bool   // the line is over maxLine: drop the rest of it
	expect bool   // a prompt is awaited; the first one clears it
	after  bool   // a prompt was seen: further '>' before a line are its repetitions
	echo   string // the command whose echo may stand before the prompt
}

// feed takes bytes and calls emit for each complete token, in order.
func (t *tokenizer) feed(b []byte, emit func(token)) {
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			t.end(emit)
		case c == 0x1a || (c < ' ' && c != '\t') || c == 0x7f:
			// Ctrl-Z of an echoed PDU, noise of a modem that powers up.
		case t.cut:
		default:
			t.buf = append(t.buf, c)
			if t.expect && c == '>' && t.isPrompt(t.buf) {
				t.split(emit)
			} else if len(t.buf) >= maxLine {
				t.line(emit)
				t.cut = true
			}
		}
	}
}

// settle is called when the modem has been silent for a moment: an unfinished
// line that ends like a prompt is one then, whatever stands before it.
func (t *tokenizer) settle(emit func(token)) {
	if !t.expect {
		return
	}
	b := bytes.TrimRight(t.buf, " \t")
	if n := len(b); n > 0 && b[n-1] == '>' && bytes.Count(b, []byte{'"'})%2 == 0 {
		t.buf = b
		t.split(emit)
	}
}

// isPrompt tells whether the unfinished line b, which ends with '>', is surely
// a prompt: alone, or glued to the echo of the command.
func (t *tokenizer) isPrompt(b []byte) bool {
	before := strings.TrimSpace(string(b[:len(b)-1]))
	return before == "" || (t.echo != "" && strings.EqualFold(before, t.echo))
}

// split takes the prompt off the end of the line and what stands before it as a line of its own.
func (t *tokenizer) split(emit func(token)) {
	t.buf = t.buf[:len(t.buf)-1]
	t.line(emit)
	t.expect, t.after = false, true
	emit(token{prompt: true})
}

func (t *tokenizer) end(emit func(token)) {
	if t.cut {
		t.cut = false
		t.buf = t.buf[:0]
		return
	}
	if t.expect {
		// "^RSSI:12>" CR LF: the same prompt with a line end behind it.
		t.settle(emit)
	}
	t.line(emit)
}

// line emits the buffer when it holds more than blanks.
func (t *tokenizer) line(emit func(token)) {
	b := bytes.TrimSpace(t.buf)
	if t.after {
		b = bytes.TrimLeft(b, "> \t")
	}
	s := string(b)
	t.buf = t.buf[:0]
	if s != "" {
		emit(token{text: s})
	}
}

// arm prepares for a prompt of the command cmd; disarm ends that.
func (t *tokenizer) arm(cmd string) { t.expect, t.after, t.echo = true, false, cmd }

func (t *tokenizer) disarm() { t.expect, t.after, t.echo = false, false, "" }

// pending tells whether a line has begun.
func (t *tokenizer) pending() bool { return len(t.buf) > 0 }

// reset forgets an unfinished line.
func (t *tokenizer) reset() { *t = tokenizer{buf: t.buf[:0]} }
