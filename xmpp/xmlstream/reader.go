package xmlstream

import (
	"io"
	"sync"
)

// Sizes of read buffers. The first belongs to the Reader; the others are
// borrowed while an element needs them.
const smallBuffer = 512

var bufferSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 260 << 10}

// buffers are pools of arrays of bufferSizes; scanners the scanners, which are
// borrowed from an element's first byte to its last.
var (
	buffers  [len(bufferSizes)]sync.Pool
	scanners = sync.Pool{New: func() any { return new(scanner) }}
)

// Reader cuts tokens from a byte stream. While it waits for the first byte of
// a token it holds no more than 512 bytes; larger buffers are borrowed from a
// pool and given back when the token that needed them has been consumed.
type Reader struct {
	in   io.Reader
	lim  Limits
	root *root // nil before the root's start tag

	buf        []byte
	loan       *[]byte // buf, when it is borrowed
	size       int8    // its index in bufferSizes, -1 for small
	start, end int     // what is buffered; start is the current token's first byte
	base       int64   // bytes of the stream before buf[0]

	scan   *scanner // nil while nothing is buffered
	active bool     // the scanner has an element at start
	done   bool     // and has read it to its end
	given  bool     // Next has returned it
	queued bool     // the root was an empty element: its end is next
	closed bool     // the root has ended
	pend   error    // of the input, for when what came with it is used up
	fail   error    // fatal
	small  []byte   // made when first needed; never with lean
	lean   bool
}

// NewReader reads from r. It calls r.Read only when no complete token is buffered.
func NewReader(r io.Reader, lim Limits) *Reader {
	x := &Reader{}
	x.Restart(r, lim)
	return x
}

// Restart forgets the stream, and discards what is buffered, for a stream
// restart after STARTTLS or SASL (RFC 6120 §4.3.3); in is the new input.
func (r *Reader) Restart(in io.Reader, lim Limits) {
	r.start, r.end = 0, 0
	if r.buf != nil {
		r.rest()
	}
	r.in, r.lim, r.root, r.base = in, lim.withDefaults(), nil, 0
	r.active, r.done, r.given, r.queued, r.closed = false, false, false, false, false
	r.pend, r.fail = nil, nil
	r.buf, r.size = r.small, -1
}

// Lean has the Reader own no buffer at all, for an owner that waits for input
// itself before it calls Next.
func (r *Reader) Lean() { r.lean = true }

// SetLimits changes the limits from the next token on, for a stream that goes
// on without a restart.
func (r *Reader) SetLimits(lim Limits) { r.lim = lim.withDefaults() }

// Next returns the next token. io.EOF means the input ended between tokens
// without a root end tag; io.ErrUnexpectedEOF inside one; *SyntaxError is
// fatal; other errors are those of the input (a deadline error is resumable:
// call Next again).
func (r *Reader) Next() (t Token, err error) {
	if r.given {
		r.consume()
	}
	for !r.done {
		if err = r.advance(); err == nil && !r.done {
			err = r.fill()
		}
		if err != nil {
			return t, err
		}
	}
	r.deliver(&t)
	return t, nil
}

// Ready reports whether Next would return without reading: a complete token
// is buffered, or a fault. It ends the validity of the last token.
func (r *Reader) Ready() bool {
	if r.given {
		r.consume()
	}
	if r.advance() != nil || r.done {
		return true
	}
	if r.start == r.end {
		r.rest() // its owner may wait for input without calling Next
	}
	return false
}

// Inside reports that a token has begun and is not complete, for timeouts.
// It may be called out of the input's Read.
func (r *Reader) Inside() bool { return r.active && !r.done }

// undeclared is the root while its own start tag is being read.
var undeclared = &root{}

// advance scans what is buffered until a token is complete.
func (r *Reader) advance() error {
	if r.fail != nil {
		return r.fail
	}
	for !r.done {
		if r.queued {
			r.closed, r.done = true, true
			return nil
		}
		if !r.active {
			for r.start < r.end && class[r.buf[r.start]]&whiteSpace != 0 {
				r.start++ // RFC 6120 §4.6.1: white space keeps the connection alive
			}
			if r.start == r.end {
				return nil
			}
			if err := r.begin(); err != nil {
				return r.failed(err)
			}
		}
		done, err := r.scan.scan(r.buf[r.start:r.end])
		if err != nil {
			return r.failed(err)
		}
		n := r.end - r.start
		if done {
			n = r.scan.pos
		}
		if n > r.lim.Bytes {
			return r.failed(fault(policyViolation, "an element that is too large"))
		}
		if !done {
			return nil
		}
		if r.scan.isDecl {
			r.start += r.scan.pos
			r.active = false
			continue
		}
		r.complete()
	}
	return nil
}

// begin starts an element at r.start, which is no white space.
func (r *Reader) begin() error {
	switch {
	case r.closed:
		return fault(notWellFormed, "something after the end of the stream")
	case r.buf[r.start] == '<':
	case r.root == nil:
		return fault(notWellFormed, "text before the stream")
	default:
		return fault(invalidXML, "text between stanzas")
	}
	if r.scan == nil {
		r.scan = scanners.Get().(*scanner)
	}
	rt := r.root
	if rt == nil {
		rt = undeclared
	}
	r.scan.reset(r.lim, rt)
	r.scan.rootTag = r.root == nil
	r.scan.declared = r.root == nil && r.base+int64(r.start) == 0
	r.active = true
	return nil
}

// complete takes note of a token that has been read.
func (r *Reader) complete() {
	s := r.scan
	r.done = true
	switch {
	case s.closing:
		r.closed = true
	case s.rootTag:
		r.root = s.newRoot(r.buf[r.start:r.end])
		r.queued = s.empty
	}
}

// deliver makes the token that Next returns.
func (r *Reader) deliver(t *Token) {
	r.given = true
	if r.closed {
		t.Kind, t.Name, t.Content = StreamClose, r.root.name, r.root.content
		if r.active {
			t.Raw = r.buf[r.start : r.start+r.scan.pos]
		}
		return
	}
	r.scan.token(r.buf[r.start:r.end], t)
	if r.scan.rootTag {
		t.Kind, t.Content = StreamOpen, r.root.content
	}
}

// consume gives up the token that Next has returned.
func (r *Reader) consume() {
	if r.active {
		r.start += r.scan.pos
	} else {
		r.queued = false
	}
	r.active, r.done, r.given = false, false, false
}

// failed keeps a fault and lets everything go.
func (r *Reader) failed(err error) error {
	if e, ok := err.(*SyntaxError); ok {
		e.Offset = r.base + int64(r.start)
		if r.active {
			e.Offset += int64(r.scan.pos)
		}
	}
	r.fail = err
	r.active, r.start, r.end = false, 0, 0
	r.rest()
	return err
}

// rest gives back what an empty Reader needs not: it waits with the small buffer.
func (r *Reader) rest() {
	r.base += int64(r.start)
	r.start, r.end = 0, 0
	if r.size >= 0 {
		r.move(-1)
	}
	if r.scan != nil {
		scanners.Put(r.scan)
		r.scan = nil
	}
}

// fill reads more input.
func (r *Reader) fill() error {
	if err := r.pend; err != nil {
		r.pend = nil
		return r.inputError(err)
	}
	switch {
	case r.start == r.end:
		r.rest()
	case r.start > 0:
		copy(r.buf, r.buf[r.start:r.end])
		r.base += int64(r.start)
		r.start, r.end = 0, r.end-r.start
	}
	if r.buf == nil && !r.lean {
		r.small = make([]byte, smallBuffer)
		r.buf = r.small
	}
	if r.end == len(r.buf) {
		r.move(r.size + 1)
	}
	window := r.buf[r.end:min(len(r.buf), r.lim.Bytes+smallBuffer)] // never empty: advance refuses what is over the limit
	for range 100 {
		n, err := r.in.Read(window)
		if n < 0 || n > len(window) {
			return io.ErrNoProgress // a broken input
		}
		r.end += n
		if n > 0 {
			r.pend = err
			return nil
		}
		if err != nil {
			return r.inputError(err)
		}
	}
	return io.ErrNoProgress
}

func (r *Reader) inputError(err error) error {
	if err == io.EOF && r.active {
		return io.ErrUnexpectedEOF
	}
	return err
}

// move changes to a buffer of another size and gives the old one back.
func (r *Reader) move(size int8) {
	old, oldSize := r.loan, r.size
	from := r.buf
	switch {
	case size < 0:
		r.buf, r.loan = r.small, nil
	case int(size) < len(bufferSizes):
		r.loan, _ = buffers[size].Get().(*[]byte)
		if r.loan == nil {
			b := make([]byte, bufferSizes[size])
			r.loan = &b
		}
		r.buf = *r.loan
	default: // limits beyond the usual
		size = int8(len(bufferSizes))
		r.buf, r.loan = make([]byte, min(2*len(from), r.lim.Bytes+smallBuffer)), nil
	}
	r.size = size
	copy(r.buf, from[:r.end])
	if old != nil {
		buffers[oldSize].Put(old)
	}
}
