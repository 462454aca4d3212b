package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"doorway/modem/port"
)

// Driver implements Modem on one port.
//
// One goroutine, that of Run, owns the port and everything not marked
// otherwise; it starts one reader for each opening of the port and waits for
// its end. All methods but Run may be called by any goroutine.
//
// The AT dialogue (engine, tokenizer) is our own. github.com/warthog618/modem
// lends the handling of information prefixes (info); its command engine (at)
// is not used: the prompt, the line ends, the on-air callback between prompt
// and Ctrl-Z, late answers, two-line unsolicited codes and cancellation would
// each have to be done in a wrapper around it, which then knows the state of
// every command and is the engine. Its traps are kept as tests that feed the
// same bytes to it and to the driver.
type Driver struct {
	cfg Config
	log *slog.Logger

	jobs    chan job
	wake    chan struct{} // the burst has ended
	inbox   chan Stored
	late    chan Late
	changed chan struct{}
	probes  chan chan struct{}

	tokens atomic.Uint64 // names of attempts to send
	limit  atomic.Int64  // until when the loop may be busy, as time since base
	base   time.Time
	ended  atomic.Uint64                                     // number of the burst that was ended by its caller
	dial   func(context.Context) (io.ReadWriteCloser, error) // opens the port; tests put a wire here

	mu     sync.Mutex // guards what follows
	status Status
	notes  [noteKinds]string
	gone   chan struct{} // closed when Run ends; nil while it does not run
	bursts uint64

	// Owned by Run.
	offers    []offer
	slots     map[slot]*offered
	pushed    map[uint64]*offered
	pushes    uint64
	epoch     uint64         // number of the start the modem is in
	pinStop   string         // why no PIN is sent now
	pinSIM    string         // the SIM a PIN was sent to
	pinSent   string         // its hash, until it has worked or was refused
	pinUnsure bool           // it got no answer
	lastErr   string         // logged last, so that a missing device is logged once
	last      port.Candidate // the port used last
	away      bool           // the device is gone: let it settle when it comes back
	lostAt    time.Time      // since when
	ladder    ladder
	kept      map[slot]string // slots that cannot be emptied, and what the modem says to it
	home      Device          // the modem that was used last, once it has told its IMEI
	mute      map[string]int  // devices without an answer to AT, and how often they were asked
	others    map[string]bool // devices that are known to be other modems than home
	sought    int             // times the modem of before was looked for in vain
	talk      *dialogue       // the USSD dialogue, nil for none
	balance   time.Time       // when the credit is asked for by itself; zero: not yet planned
	calls     chan Call

	recorder recorder
}

// job is work for the goroutine of Run. run's error ends the session.
type job struct {
	run  func(context.Context, *session) error
	done chan error // gets nil or ErrDown, once
}

// New makes a Driver; Run starts it. Until then it is Absent.
func New(c Config) *Driver {
	c.Timeouts = c.Timeouts.withDefaults()
	if c.Baud == 0 {
		c.Baud = 115200
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{
		cfg: c, log: c.Log.With("comp", "modem", "net", c.Name),
		jobs: make(chan job), wake: make(chan struct{}, 1),
		inbox: make(chan Stored), late: make(chan Late, 16), changed: make(chan struct{}, 1),
		probes: make(chan chan struct{}), base: time.Now(), mute: map[string]int{}, others: map[string]bool{},
		ladder: ladder{power: len(c.Power) > 0}, calls: make(chan Call, 32),
		slots: map[slot]*offered{}, pushed: map[uint64]*offered{}, kept: map[slot]string{},
	}
	d.dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		p, err := d.open(ctx)
		if err != nil {
			return nil, err // not p: a nil pointer is no nil interface
		}
		return p, nil
	}
	d.status = Status{Name: c.Name, Device: c.Device, State: Absent, Since: time.Now(),
		Text: "The modem driver has not been started yet."}
	return d
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&t.Command, 5 * time.Second}, {&t.Storage, 15 * time.Second}, {&t.List, 30 * time.Second},
		{&t.Prompt, 10 * time.Second}, {&t.Send, 120 * time.Second}, {&t.Write, 2 * time.Second},
		{&t.Poll, 60 * time.Second}, {&t.Reopen, time.Second},
		{&t.Quiet, 300 * time.Millisecond}, {&t.Listen, 10 * time.Second},
		{&t.Radio, 5 * time.Second}, {&t.Reset, time.Minute},
		{&t.Patience, 10 * time.Minute}, {&t.Recovery, time.Minute}, {&t.Dialogue, 120 * time.Second},
	} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	return t
}

// Run owns the port until ctx ends; then it returns nil, after the part in
// flight has got its answer (at most a minute). It must not run twice at once.
func (d *Driver) Run(ctx context.Context) error {
	gone := make(chan struct{})
	d.mu.Lock()
	if d.gone != nil {
		d.mu.Unlock()
		return errors.New("modem " + d.cfg.Name + ": already running")
	}
	d.gone = gone
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.gone = nil
		d.mu.Unlock()
		d.hangTalk(ErrDown)
		close(gone)
		d.setState(Absent, "The modem driver is stopped.")
	}()

	if d.cfg.Memory != nil {
		if dev, ok := d.cfg.Memory.Recall(); ok {
			d.home = dev
		}
	}
	defer d.cfg.Claims.drop(d.cfg.Name)
	pause := d.cfg.Timeouts.Reopen
	for ctx.Err() == nil {
		began := time.Now()
		err := d.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		d.report(err)
		if errors.Is(err, errPower) || d.missing(err) {
			d.cyclePower(ctx)
		}
		switch {
		case errors.Is(err, port.ErrAbsent), errors.Is(err, errLost), errors.Is(err, errNoSync), errors.Is(err, errOther), errors.Is(err, errForeign), time.Since(began) > time.Minute:
			// Looking for a device costs nothing: it is back soon after it is plugged in.
			pause = d.cfg.Timeouts.Reopen
		}
		d.without(ctx, pause)
		pause = min(2*pause, 30*d.cfg.Timeouts.Reopen)
	}
	return nil
}

// report tells people why there is no modem.
func (d *Driver) report(err error) {
	if !d.away && (errors.Is(err, errLost) || errors.Is(err, port.ErrAbsent)) {
		d.away, d.lostAt = true, time.Now()
	}
	state, text := explain(d.cfg, d.Status().Device, err)
	d.update(func(s *Status) { s.RSSI, s.Operator, s.Registration, s.Technology, s.Clock = 0, "", "", "", nil })
	d.hangTalk(ErrDown)
	d.setState(state, text)
	if s := err.Error(); s != d.lastErr {
		d.lastErr = s
		d.log.Warn("modem unavailable", "err", err)
	}
}

// without passes the time while there is no port: it refuses work and answers probes.
func (d *Driver) without(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		out, head := d.head()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case j := <-d.jobs:
			j.done <- ErrDown
		case out <- head.stored:
			d.taken()
		case <-d.wake:
		case p := <-d.probes:
			close(p)
		}
	}
}

// missing tells whether the device that was used is gone for so long that its
// power is switched off and on, if there is a command for that.
func (d *Driver) missing(err error) bool {
	l, now := &d.ladder, time.Now()
	if !errors.Is(err, port.ErrAbsent) && !errors.Is(err, errForeign) || !l.power || d.Status().IMEI == "" {
		l.missing = time.Time{}
		return false
	}
	if l.missing.IsZero() {
		l.missing = now
	}
	if now.Sub(l.missing) < d.cfg.Timeouts.Patience || now.Before(l.pause) {
		return false
	}
	l.tries = max(l.tries, radioTries+resetTries)
	if !l.mayReset(now) {
		l.pause = now.Add(30 * d.cfg.Timeouts.Recovery)
		return false
	}
	l.tried(now, d.cfg.Timeouts.Recovery)
	d.stepped(StepPower, "the device is gone")
	return true
}

// session opens the port, runs the modem on it and returns why that ended.
func (d *Driver) session(ctx context.Context) (err error) {
	d.setBusy(time.Now().Add(30 * time.Second))
	p, err := d.dial(ctx)
	if err != nil {
		return err
	}
	s := newSession(d, p)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); s.e.pump(done) }() // ends with the port; awaited below
	defer func() {
		d.cfg.Claims.release(d.cfg.Name)
		close(done)
		if cerr := p.Close(); cerr != nil && err == nil {
			err = cerr
		}
		<-ended
		d.forgetSlots()
	}()
	return s.run(ctx)
}

// submit has the goroutine of Run do some work. The error is ErrDown or ctx's.
func (d *Driver) submit(ctx context.Context, run func(context.Context, *session) error) error {
	d.mu.Lock()
	gone := d.gone
	d.mu.Unlock()
	if gone == nil {
		return ErrDown
	}
	j := job{run: run, done: make(chan error, 1)}
	select {
	case d.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-gone:
		return ErrDown
	}
	select {
	case err := <-j.done:
		return err
	case <-gone:
	}
	select {
	case err := <-j.done:
		return err
	default:
		return ErrDown
	}
}

// Late gives references found after their Send had returned.
func (d *Driver) Late() <-chan Late { return d.late }

func (d *Driver) foundLate(l Late) {
	select {
	case d.late <- l:
	default:
		d.log.Warn("modem: late reference dropped, nobody reads them", "ref", l.Token)
	}
}

// Inbox gives what the modem has received.
func (d *Driver) Inbox() <-chan Stored { return d.inbox }

// Changed gets a value after each change of Status().State.
func (d *Driver) Changed() <-chan struct{} { return d.changed }

// Status is a snapshot.
func (d *Driver) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

func (d *Driver) update(f func(*Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.status)
}

func (d *Driver) setState(st State, text string) {
	d.mu.Lock()
	changed := d.status.State != st
	d.status.Text = text
	if changed {
		d.status.State, d.status.Since = st, time.Now()
	}
	d.mu.Unlock()
	if !changed {
		return
	}
	d.happened(string(st) + ": " + text)
	d.log.Info("modem state", "state", string(st), "text", text)
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// setBusy notes until when a command may keep the loop busy.
func (d *Driver) setBusy(until time.Time) { d.limit.Store(int64(until.Sub(d.base))) }

// Probe returns nil when the loop answers, or works on a command whose limit
// is not over; without a device, too. It fails when Run does not run.
func (d *Driver) Probe(ctx context.Context) error {
	d.mu.Lock()
	gone := d.gone
	d.mu.Unlock()
	if gone == nil {
		return fmt.Errorf("probe modem %s: not running", d.cfg.Name)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	p := make(chan struct{})
	probes := d.probes
	for {
		select {
		case probes <- p:
			probes = nil
		case <-p:
			return nil
		case <-tick.C:
			if int64(time.Since(d.base)) < d.limit.Load() {
				return nil
			}
		case <-gone:
			return fmt.Errorf("probe modem %s: not running", d.cfg.Name)
		case <-ctx.Done():
			return fmt.Errorf("probe modem %s: %w", d.cfg.Name, ctx.Err())
		}
	}
}
