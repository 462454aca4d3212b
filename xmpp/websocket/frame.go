package websocket

import (
	"errors"
	"io"
	"sync"

	"doorway/xmpp/stanza"
)

// Opcodes (RFC 6455 §5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Codes of a close frame (RFC 6455 §7.4.1).
const (
	normal      = 1000
	goingAway   = 1001
	badProtocol = 1002
	badData     = 1003
	tooBig      = 1009
)

// fatal is a fault of the framing: what the stream is told, and the code of
// the close frame.
type fatal struct {
	stream stanza.StreamError
	code   int
}

func (f *fatal) Error() string { return f.stream.Error() }

// Unwrap gives c2s the stream error to answer with.
func (f *fatal) Unwrap() error { return &f.stream }

func fault(code int, condition, text string) error {
	return &fatal{stanza.StreamError{Condition: condition, Text: text}, code}
}

// broken is a frame that RFC 6455 does not allow.
func broken(text string) error { return fault(badProtocol, "bad-format", text) }

// errIncomplete says that more input is needed.
var errIncomplete = errors.New("more input is needed")

// inBuffer is the size of the buffer a decoder begins with.
const inBuffer = 4 << 10

var inputs = sync.Pool{New: func() any { b := make([]byte, inBuffer); return &b }}

// control is a frame that is no data.
type control struct {
	op      byte
	payload []byte // at most 125 bytes, valid until the next call
}

// decoder cuts messages from the bytes of a client (RFC 6455 §5). It joins
// the fragments of a message, in one buffer, which it holds only while
// something is in it. The zero value is ready; max has to be set.
type decoder struct {
	max  int     // bytes of a message
	loan *[]byte // buf, while it is borrowed
	buf  []byte
	size int // of the message, which stands at the beginning of buf
	from int // what has not been looked at yet stands from here
	to   int // to here

	left    int // bytes of the data frame under way that are still to come
	mask    [4]byte
	turn    uint8 // place in the mask
	inside  bool  // a data frame is under way
	final   bool  // it is the last of its message
	begun   bool  // a message has begun
	whole   bool  // it is complete
	stopped bool  // the client has sent a close frame
}

// next works through what is buffered: a message is whole then, or it returns
// a control frame (op not 0), errIncomplete, or a fault. After a close frame
// nothing comes but io.EOF.
func (d *decoder) next() (c control, err error) {
	for !d.whole {
		if d.stopped {
			return c, io.EOF // RFC 6455 §5.5.1: nothing after it
		}
		if d.inside {
			if !d.data() {
				return c, errIncomplete
			}
			continue
		}
		if c, err = d.header(); err != nil || c.op != 0 {
			return c, err
		}
	}
	return c, nil
}

// data moves what there is of a frame's payload to the message; true at its end.
func (d *decoder) data() bool {
	n := min(d.left, d.to-d.from)
	d.unmask(d.buf[d.size:d.size+n], d.buf[d.from:d.from+n])
	d.size += n
	d.from += n
	d.left -= n
	if d.left > 0 {
		return false
	}
	d.inside = false
	d.whole = d.final
	return true
}

// unmask is RFC 6455 §5.3; dst may be src or lie before it.
func (d *decoder) unmask(dst, src []byte) {
	turn := d.turn
	for i, b := range src {
		dst[i] = b ^ d.mask[turn&3]
		turn++
	}
	d.turn = turn & 3
}

// header reads the beginning of a frame, and the whole of a control frame
// (RFC 6455 §5.2).
func (d *decoder) header() (c control, err error) {
	in := d.buf[d.from:d.to]
	if len(in) < 2 {
		return c, errIncomplete
	}
	op, final := in[0]&0x0f, in[0]&0x80 != 0
	switch {
	case in[0]&0x70 != 0:
		return c, broken("No extension has been agreed upon.")
	case in[1]&0x80 == 0: // RFC 6455 §5.1
		return c, broken("A client has to mask its frames.")
	case op >= opClose && (!final || in[1]&0x7f > 125): // RFC 6455 §5.5
		return c, broken("A control frame is too long or in fragments.")
	}
	n, at, err := length(in)
	if err != nil {
		return c, err
	}
	if len(in) < at+4 {
		return c, errIncomplete
	}
	switch op {
	case opText:
		if d.begun { // RFC 6455 §5.4
			return c, broken("A message begins inside another.")
		}
	case opContinuation:
		if !d.begun {
			return c, broken("A fragment belongs to no message.")
		}
	case opBinary: // RFC 7395 §3.2
		return c, fault(badData, "policy-violation", "Messages have to be text.")
	case opClose, opPing, opPong:
		if len(in) < at+4+n {
			return c, errIncomplete
		}
		c.op, c.payload = op, in[at+4:at+4+n]
		d.mask, d.turn = [4]byte(in[at:at+4]), 0
		d.unmask(c.payload, c.payload)
		d.from += at + 4 + n
		d.stopped = op == opClose
		if d.stopped && n == 1 {
			return c, broken("A close frame has half a code.")
		}
		return c, nil
	default:
		return c, broken("This kind of frame is not known.")
	}
	if n > d.max-d.size {
		return c, fault(tooBig, "policy-violation", "A message is too large.")
	}
	d.mask, d.turn = [4]byte(in[at:at+4]), 0
	d.from += at + 4
	d.left, d.inside, d.final, d.begun = n, true, final, true
	return c, nil
}

// length reads the payload's length, in as few bytes as it needs, and where
// the mask stands. What is over 31 bits is no honest client's.
func length(in []byte) (n, at int, err error) {
	n = int(in[1] & 0x7f)
	switch {
	case n < 126:
		return n, 2, nil
	case n == 126:
		if len(in) < 4 {
			return 0, 0, errIncomplete
		}
		if n = int(in[2])<<8 | int(in[3]); n < 126 {
			return 0, 0, broken("A length is longer than it has to be.")
		}
		return n, 4, nil
	}
	if len(in) < 10 {
		return 0, 0, errIncomplete
	}
	if in[2]|in[3]|in[4]|in[5] != 0 || in[6]&0x80 != 0 {
		return 0, 0, fault(tooBig, "policy-violation", "A message is too large.")
	}
	if n = int(in[6])<<24 | int(in[7])<<16 | int(in[8])<<8 | int(in[9]); n < 1<<16 {
		return 0, 0, broken("A length is longer than it has to be.")
	}
	return n, 10, nil
}

// room returns where more input goes; never empty.
func (d *decoder) room() []byte {
	if d.buf == nil {
		d.loan = inputs.Get().(*[]byte)
		d.buf = *d.loan
	}
	if d.to == len(d.buf) && d.from > d.size {
		d.to = d.size + copy(d.buf[d.size:], d.buf[d.from:d.to])
		d.from = d.size
	}
	if d.to == len(d.buf) { // a message holds at most max, and beside it stand no more than a control frame and a header
		bigger := make([]byte, min(2*len(d.buf), d.max+inBuffer+len(d.buf)))
		copy(bigger, d.buf)
		d.giveBack()
		d.buf = bigger
	}
	return d.buf[d.to:]
}

// message is the one that is whole; valid until drop.
func (d *decoder) message() []byte { return d.buf[:d.size] }

// drop gives the message up.
func (d *decoder) drop() {
	d.size, d.whole, d.begun = 0, false, false
	d.rest()
}

// rest lets the buffer go when nothing is in it.
func (d *decoder) rest() {
	if d.size == 0 && d.from == d.to {
		d.giveBack()
		d.buf, d.from, d.to = nil, 0, 0
	}
}

func (d *decoder) giveBack() {
	if d.loan != nil {
		inputs.Put(d.loan)
		d.loan = nil
	}
}

// partial reports that a frame or message has begun and is not complete.
func (d *decoder) partial() bool { return d.begun && !d.whole || d.from < d.to }

// headRoom is what begin leaves for a frame's header: that of the usual one.
const headRoom = 4

// begin starts a text frame whose payload is appended next.
func begin(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// seal writes the header of the frame that began at dst[at:] (RFC 6455 §5.2:
// the length in as few bytes as it needs, no mask).
func seal(dst []byte, at int) []byte {
	n := len(dst) - at - headRoom
	switch {
	case n < 126:
		copy(dst[at+2:], dst[at+headRoom:])
		dst = dst[:len(dst)-2]
		dst[at+1] = byte(n)
	case n < 1<<16:
		dst[at+1], dst[at+2], dst[at+3] = 126, byte(n>>8), byte(n)
	default:
		dst = append(dst, 0, 0, 0, 0, 0, 0)
		copy(dst[at+10:], dst[at+headRoom:len(dst)-6])
		dst[at+1] = 127
		for i := range 8 {
			dst[at+2+i] = byte(uint64(n) >> (56 - 8*i))
		}
	}
	dst[at] = 0x80 | opText
	return dst
}

// controlFrame is a frame that is no data; payload has at most 125 bytes.
func controlFrame(dst []byte, op byte, payload []byte) []byte {
	return append(append(dst, 0x80|op, byte(len(payload))), payload...)
}

// closeFrame ends the connection (RFC 6455 §5.5.1).
func closeFrame(dst []byte, code int) []byte {
	return controlFrame(dst, opClose, []byte{byte(code >> 8), byte(code)})
}
