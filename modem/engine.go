package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/warthog618/modem/info"
)

// settleTime is the silence after which an unfinished line that ends like a
// prompt is one.
const settleTime = 20 * time.Millisecond

// pushLimit is how long a pushed TPDU's second line is awaited.
const pushLimit = 5 * time.Second

// maxURC bounds what waits to be handled while a command runs.
const maxURC = 256

// command is one AT command and what belongs to its answer.
type command struct {
	line  string        // "AT+CSQ"
	info  string        // prefix of its information lines without the colon; "" none
	bare  bool          // information lines without a prefix belong to it
	pdu   bool          // a PDU line follows each information line
	all   bool          // all lines that are no known unsolicited ones belong to it
	limit time.Duration // never restarted by arriving lines
}

// name is the command without its parameters, which may be secret.
func (c command) name() string {
	name, _, _ := strings.Cut(c.line, "=")
	return name
}

// result is the answer to a command.
type result struct {
	lines []string // information lines; with command.pdu header and PDU alternate, "" for a missing PDU
	final final
}

// first gives the first information line or "".
func (r result) first() string {
	if len(r.lines) > 0 {
		return r.lines[0]
	}
	return ""
}

// urc is an unsolicited result code, with the PDU line of those that have one.
type urc struct {
	text string
	pdu  string
}

// lateSend is a send whose result is unknown; a +CMGS seen later is its own.
type lateSend struct {
	token uint64
	final bool // its final result was seen: no OK follows a late +CMGS
}

// engine is the AT dialogue on one open port: one command at a time, all
// unsolicited lines in one queue in their order. It is used by one goroutine;
// pump, the reader, is the other one and ends when the port is closed.
type engine struct {
	port  io.ReadWriteCloser
	log   *slog.Logger
	quiet time.Duration // silence asked for while resynchronising
	limit time.Duration // of AT while resynchronising
	busy  func(until time.Time)
	late  func(Late)

	in    chan []byte // closed by pump at the end
	rerr  error       // why pump ended; read after in is closed
	tok   tokenizer
	queue []token
	timer *time.Timer

	heard    int // unsolicited lines of known kinds
	urcs     []urc
	lost     bool    // urcs overflowed: storage must be drained
	push     *header // a pushed TPDU's first line was seen
	pushText string
	pushAt   time.Time
	half     string // a +CUSD whose text goes on in the next line
	halfAt   time.Time
	ringing  time.Time // a call rang last
	pending  *lateSend
	stray    time.Time // a foreign +CMGS was seen: until then a final result is its, not ours
	echoOff  bool      // the modem no longer echoes
	unechoed int       // commands without echo since then
	echoed   bool      // it does again: it was reset behind our back
}

func newEngine(p io.ReadWriteCloser, log *slog.Logger, t Timeouts, busy func(time.Time), late func(Late)) *engine {
	e := &engine{
		port: p, log: log, quiet: t.Quiet, limit: t.Command, busy: busy, late: late,
		in: make(chan []byte, 64), timer: time.NewTimer(time.Hour),
	}
	return e
}

// pump reads the port until it is closed. Who starts it closes the port and waits.
func (e *engine) pump(done <-chan struct{}) {
	defer close(e.in)
	buf := make([]byte, 4096)
	for {
		n, err := e.port.Read(buf)
		if n > 0 {
			select {
			case e.in <- append([]byte(nil), buf[:n]...):
			case <-done:
				return
			}
		}
		if err != nil {
			e.rerr = err
			return
		}
	}
}

func (e *engine) emit(t token) { e.queue = append(e.queue, t) }

// take handles what in gave.
func (e *engine) take(b []byte, ok bool) error {
	if !ok {
		return e.gone(e.rerr)
	}
	e.tok.feed(b, e.emit)
	return nil
}

func (e *engine) gone(err error) error {
	if err == nil {
		return errLost
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// next gives the next token, errTimeout at the deadline, or ctx's error.
func (e *engine) next(ctx context.Context, deadline time.Time) (token, error) {
	for {
		if len(e.queue) > 0 {
			t := e.queue[0]
			e.queue = e.queue[1:]
			return t, nil
		}
		wait := time.Until(deadline)
		if wait <= 0 {
			select {
			case b, ok := <-e.in:
				if err := e.take(b, ok); err != nil {
					return token{}, err
				}
				if len(e.queue) > 0 {
					continue
				}
			default:
			}
			return token{}, errTimeout
		}
		settling := e.tok.expect && e.tok.pending()
		if settling {
			wait = min(wait, settleTime)
		}
		e.timer.Reset(wait)
		select {
		case b, ok := <-e.in:
			if err := e.take(b, ok); err != nil {
				return token{}, err
			}
		case <-e.timer.C:
			if settling {
				e.tok.settle(e.emit)
			}
		case <-ctx.Done():
			return token{}, ctx.Err()
		}
	}
}

// write sends bytes; its error means that the port is no longer usable.
func (e *engine) write(s string) (int, error) {
	n, err := e.port.Write([]byte(s))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, fmt.Errorf("%w: %w", errStuck, err)
	case err != nil:
		return n, e.gone(err)
	}
	return n, nil
}

// do runs one command to its final result. A refusal is not an error: see
// result.final. Errors are errTimeout (then resync), errLost and ctx's.
func (e *engine) do(ctx context.Context, c command) (result, error) {
	deadline := time.Now().Add(c.limit)
	e.busy(deadline)
	if _, err := e.write(c.line + "\r"); err != nil {
		return result{}, err
	}
	return e.collect(ctx, c, deadline)
}

// collect reads the answer to c.
func (e *engine) collect(ctx context.Context, c command, deadline time.Time) (result, error) {
	var r result
	var want *header // the PDU line of this header is awaited
	echo := false
	for {
		t, err := e.next(ctx, deadline)
		if err != nil {
			return r, err
		}
		if t.prompt {
			continue
		}
		if e.isEcho(t.text, c.line) {
			echo = true
			continue
		}
		f, isFinal := e.finalOf(t.text)
		if !isFinal && e.goesOn(t.text) {
			continue
		}
		if isFinal {
			if e.isStray(t.text) {
				continue
			}
			if e.echoOff && !echo {
				e.unechoed++
			}
			r.final = f
			return r, nil
		}
		switch {
		case isHex(t.text, 2) && e.isPushed(t.text, want):
			e.pushed(t.text)
		case want != nil && isHex(t.text, 2):
			r.lines[len(r.lines)-1] = t.text
			want = nil
		case c.belongs(t.text):
			r.lines = append(r.lines, t.text)
			if c.pdu {
				h, _ := parseAny(t.text)
				want = &h
				r.lines = append(r.lines, "")
			}
		default:
			e.unsolicited(t.text)
		}
	}
}

// belongs tells whether a line is information of the command.
func (c command) belongs(line string) bool {
	if c.info != "" && info.HasPrefix(line, c.info) {
		if c.info == "+CREG" || c.info == "+CGREG" || c.info == "+CEREG" {
			r, ok := parseCREG(line)
			return ok && r.read
		}
		return true
	}
	return c.bare && isBare(line) || c.all && urcKind(line) == kindUnknown
}

// isBare tells an identity line from an unsolicited one without a known prefix.
func isBare(line string) bool {
	return !strings.ContainsAny(line[:1], "+^*#%$!&_") && urcKind(line) == kindUnknown
}

// parseAny reads the header of +CMGL and +CMGR.
func parseAny(line string) (header, bool) {
	if h, ok := parseCMGL(line); ok {
		return h, true
	}
	return parseCMGR(line)
}

func (e *engine) isEcho(line, cmd string) bool {
	if !strings.EqualFold(line, cmd) {
		return false
	}
	if e.unechoed > 0 {
		e.echoed = true
	}
	return true
}

// isStray tells whether a final result belongs to a foreign +CMGS seen just before.
func (e *engine) isStray(line string) bool {
	if e.stray.IsZero() {
		return false
	}
	ours := time.Now().After(e.stray)
	e.stray = time.Time{}
	if !ours {
		e.log.Debug("modem: final result of an earlier send", "line", line)
	}
	return !ours
}

// isPushed decides whether a hex line is the second line of a pushed TPDU and
// not that of the running command's header want. The exact length decides;
// if both fit or none, the running command has it, for its lines come together.
func (e *engine) isPushed(line string, want *header) bool {
	if e.push == nil {
		return false
	}
	if time.Since(e.pushAt) > pushLimit {
		e.push = nil
		e.lost = true // the drain may find it
		return false
	}
	if want == nil {
		return isHex(line, e.push.length)
	}
	return fitsPDU(line, e.push.length) && !fitsPDU(line, want.length)
}

func (e *engine) pushed(line string) {
	e.enqueue(urc{text: e.pushText, pdu: line})
	e.push = nil
}

func (e *engine) enqueue(u urc) {
	if len(e.urcs) >= maxURC {
		e.lost = true
		return
	}
	e.urcs = append(e.urcs, u)
}
