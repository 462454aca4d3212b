package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// lastWord bounds how long a send in flight is waited for when Run is to end.
const lastWord = 60 * time.Second

// Send transmits one TPDU, see Modem.Send. When the modem is not Ready it
// returns ClassDown at once. A ctx that ends before Ctrl-Z cancels the send;
// after it the answer is awaited, since only it tells what became of the part.
func (d *Driver) Send(ctx context.Context, tpdu []byte, onAir func() error) (byte, error) {
	if len(tpdu) == 0 || len(tpdu) > 255 {
		return 0, &SendError{Class: ClassPDU, CMS: -1, CME: -1, Err: fmt.Errorf("TPDU of %d octets", len(tpdu))}
	}
	if st := d.Status(); st.State != Ready {
		return 0, d.down(st.Text)
	}
	var mr byte
	var sendErr error
	err := d.submit(ctx, func(run context.Context, s *session) error {
		var fatal error
		mr, sendErr, fatal = s.send(run, ctx, tpdu, onAir)
		var e *SendError
		if sendErr == nil || errors.As(sendErr, &e) {
			d.ladder.sent(e)
			d.recovered()
		}
		return fatal
	})
	switch {
	case errors.Is(err, ErrDown):
		return 0, d.down(textUnavailable)
	case err != nil:
		return 0, err
	}
	return mr, sendErr
}

func (d *Driver) down(text string) *SendError {
	return &SendError{Class: ClassDown, CMS: -1, CME: -1, Token: d.tokens.Add(1), Err: fmt.Errorf("%w: %s", ErrDown, text)}
}

// attempt is one +CMGS (TS 27.005 §4.3).
type attempt struct {
	s     *session
	token uint64
	line  string // command line
	pdu   string
	after bool // Ctrl-Z was written
	wrote time.Time
	mr    int // -1 unknown
}

// fail makes the error of the attempt.
func (a *attempt) fail(c Class, raw string, err error) *SendError {
	return &SendError{Class: c, AfterCtrlZ: a.after, CMS: -1, CME: -1, Raw: raw, Token: a.token, Err: err}
}

// refused makes the error of a final result.
func (a *attempt) refused(f final) *SendError {
	e := a.fail(classify(f, a.after, time.Since(a.wrote) < time.Second), f.raw, nil)
	switch f.kind {
	case finalCMS:
		e.CMS = f.code
	case finalCME:
		e.CME = f.code
	}
	switch e.Class {
	case ClassConfig, ClassModem:
		a.s.restart = true // settings may be lost: make them again
	case ClassProtocol:
		a.s.unstep = true
	case ClassSIM, ClassNetwork:
		a.s.checkDue = true
	case ClassStorage:
		a.s.drainDue = true
	}
	return e
}

// send does the dialogue of one part. run is Run's context, ctx the caller's;
// fatal ends the session.
func (s *session) send(run, ctx context.Context, tpdu []byte, onAir func() error) (mr byte, sendErr, fatal error) {
	a := &attempt{s: s, token: s.d.tokens.Add(1), mr: -1,
		line: fmt.Sprintf("AT+CMGS=%d", len(tpdu)),
		pdu:  "00" + strings.ToUpper(hex.EncodeToString(tpdu))} // 00: the SIM's own SMSC
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err(), nil
	case !s.isReady():
		return 0, a.fail(ClassDown, "", ErrDown), nil
	case s.noSMSC:
		e := a.fail(ClassConfig, "", errors.New("no SMS centre number"))
		e.CMS = 330
		return 0, e, nil
	}
	if s.burst > 0 {
		defer s.partDone()
	}
	s.e.fileAll()
	defer s.e.tok.disarm()
	if done, err, fatal := a.prompt(run, ctx); done {
		return 0, err, fatal
	}
	s.e.busy(time.Now().Add(lastWord))
	if err := onAir(); err != nil {
		return 0, a.fail(ClassDown, "", fmt.Errorf("not recorded: %w", err)), a.cancel(run)
	}
	if ctx.Err() != nil {
		return 0, ctx.Err(), a.cancel(run)
	}
	if f, ok := a.gaveUp(); ok {
		return 0, a.refused(f), nil
	}
	n, err := s.e.write(a.pdu + "\x1a")
	a.after, a.wrote = n == len(a.pdu)+1, time.Now()
	if err != nil {
		if a.after {
			return 0, a.fail(ClassAmbiguous, "", err), err
		}
		return 0, a.fail(ClassDown, "", err), err
	}
	sendErr, fatal = a.answer(run)
	if sendErr == nil {
		return byte(a.mr), nil, fatal
	}
	return 0, sendErr, fatal
}

// prompt writes the command line and waits for the prompt; done means that it
// did not come.
func (a *attempt) prompt(run, ctx context.Context) (done bool, sendErr, fatal error) {
	e := a.s.e
	e.tok.arm(a.line)
	deadline := time.Now().Add(a.s.t.Prompt)
	e.busy(deadline)
	if _, err := e.write(a.line + "\r"); err != nil {
		return true, a.fail(ClassDown, "", err), err
	}
	for {
		t, err := e.next(run, deadline)
		switch {
		case err == errTimeout:
			return true, a.fail(ClassModem, "", fmt.Errorf("prompt: %w", err)), a.cancel(run)
		case err != nil && run.Err() != nil:
			_, _ = e.write("\x1b") // ignored: the port is closed next
			return true, a.fail(ClassDown, "", err), err
		case err != nil:
			return true, a.fail(ClassDown, "", err), err
		case t.prompt:
			return false, nil, nil
		}
		if e.isEcho(t.text, a.line) {
			continue
		}
		f, ok := e.finalOf(t.text)
		if !ok && e.goesOn(t.text) {
			continue
		}
		switch {
		case !ok:
			e.unsolicited(t.text)
		case e.isStray(t.text):
		case f.ok():
			// Not an answer to +CMGS: answers are out of step.
			return true, a.fail(ClassProtocol, f.raw, nil), e.resync(run)
		default:
			return true, a.refused(f), nil
		}
	}
}

// cancel leaves the prompt without sending.
func (a *attempt) cancel(run context.Context) error {
	if _, err := a.s.e.write("\x1b"); err != nil {
		return err
	}
	return a.s.e.resync(run)
}

// gaveUp looks whether the modem has left the prompt while the on-air mark was
// written: then a PDU would be taken for a command line.
func (a *attempt) gaveUp() (final, bool) {
	e := a.s.e
	for more := true; more; {
		select {
		case b, ok := <-e.in:
			if !ok {
				return final{}, false // the write will tell
			}
			e.tok.feed(b, e.emit)
		default:
			more = false
		}
	}
	for len(e.queue) > 0 {
		t := e.queue[0]
		e.queue = e.queue[1:]
		if f, ok := e.finalOf(t.text); ok && !e.isStray(t.text) {
			if f.ok() {
				f.kind = finalOther
			}
			return f, true
		} else if !ok && !t.prompt {
			e.unsolicited(t.text)
		}
	}
	return final{}, false
}

// answer waits for what became of the part. +CMGS with a reference proves that
// the network took it, whatever follows.
func (a *attempt) answer(run context.Context) (sendErr, fatal error) {
	e := a.s.e
	ctx, cancel := context.WithCancel(context.WithoutCancel(run))
	defer cancel()
	// When Run is to end, the part in flight still gets its answer.
	stop := context.AfterFunc(run, func() {
		t := time.NewTimer(lastWord)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-ctx.Done():
		}
	})
	defer stop()
	old := e.pending
	e.pending = nil
	deadline := a.wrote.Add(a.s.q.sendLimit(a.s.t.Send))
	e.busy(deadline)
	for {
		t, err := e.next(ctx, deadline)
		if err != nil {
			return a.unanswered(run, err)
		}
		if t.prompt || strings.EqualFold(t.text, a.pdu) || e.isEcho(t.text, a.line) {
			continue
		}
		if mr, ok := parseCMGS(t.text); ok {
			if a.mr >= 0 && old != nil {
				// Two references, one part: the first is that of the earlier send.
				s := Late{Token: old.token, MR: byte(a.mr)}
				old = nil
				e.late(s)
			}
			a.mr = int(mr)
			// The OK is a formality.
			deadline = minTime(deadline, time.Now().Add(a.s.t.Command))
			continue
		}
		f, isFinal := e.finalOf(t.text)
		if !isFinal && e.goesOn(t.text) {
			continue
		}
		if isFinal {
			switch {
			case a.mr >= 0:
				return nil, nil
			case f.ok():
				e.pending = &lateSend{token: a.token, final: true}
				return a.fail(ClassAmbiguous, f.raw, errors.New("accepted without a reference")), nil
			}
			return a.refused(f), nil
		}
		if urcKind(t.text) == kindBoot {
			a.s.hasBooted()
			return a.fail(ClassAmbiguous, t.text, errReset), nil
		}
		e.unsolicited(t.text)
	}
}

// unanswered ends a part without a final result.
func (a *attempt) unanswered(run context.Context, err error) (sendErr, fatal error) {
	s := a.s
	if a.mr >= 0 {
		if err != errTimeout {
			return nil, err
		}
		return nil, s.e.resync(run)
	}
	if err != errTimeout {
		return a.fail(ClassAmbiguous, "", err), err
	}
	s.e.pending = &lateSend{token: a.token}
	s.listen = true // the caller hears first, then answers are put in step
	return a.fail(ClassAmbiguous, "", err), nil
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// resume puts answers in step again after a send without an answer: the modem
// may still be at it, so it is listened to before anything is written, and ESC
// is not used.
func (s *session) resume(ctx context.Context) error {
	s.listen = false
	if err := s.e.listen(ctx, s.t.Listen); err != nil {
		return err
	}
	return s.e.resync(ctx)
}
