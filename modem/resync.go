package modem

import (
	"context"
	"time"
)

// listen files what arrives for a time, without sending anything.
func (e *engine) listen(ctx context.Context, d time.Duration) error {
	deadline := time.Now().Add(d)
	e.busy(deadline)
	for {
		t, err := e.next(ctx, deadline)
		if err == errTimeout {
			return nil
		}
		if err != nil {
			return err
		}
		e.file(t)
	}
}

// silence waits until nothing but known unsolicited lines came for a while;
// a modem that never falls silent ends it after five times as long.
func (e *engine) silence(ctx context.Context, d time.Duration) (finals int, err error) {
	end := time.Now().Add(5 * d)
	until := time.Now().Add(d)
	e.busy(end)
	for {
		t, err := e.next(ctx, until)
		if err == errTimeout {
			return finals, nil
		}
		if err != nil {
			return finals, err
		}
		_, isFinal := parseFinal(t.text)
		if isFinal {
			finals++
		}
		if isFinal || urcKind(t.text) == kindUnknown {
			if until = time.Now().Add(d); until.After(end) {
				until = end
			}
		}
		e.file(t)
	}
}

// resync makes answers match commands again: silence, then AT until exactly
// one final result arrives with silence after it. A +CMGS that arrives
// meanwhile is handled as late. errNoSync after three tries.
func (e *engine) resync(ctx context.Context) error {
	e.tok.disarm()
	for range 3 {
		if _, err := e.silence(ctx, e.quiet); err != nil {
			return err
		}
		e.tok.reset()
		e.stray = time.Time{}
		_, err := e.do(ctx, command{line: "AT", limit: e.limit})
		if err == errTimeout {
			continue
		}
		if err != nil {
			return err
		}
		more, err := e.silence(ctx, e.quiet*2/3)
		if err != nil {
			return err
		}
		if more == 0 {
			return nil
		}
	}
	return errNoSync
}
