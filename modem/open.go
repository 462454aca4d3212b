package modem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doorway/modem/port"
)

// open finds the device and opens it; of several candidates it takes the best
// port of the first device that answers AT.
func (d *Driver) open(ctx context.Context) (*port.Port, error) {
	cands, err := d.cfg.System.Resolve(d.cfg.Device)
	if err != nil {
		return nil, err
	}
	if d.away && len(cands) > 0 && cands[0].USBPath != "" {
		// All its ports must have appeared, and others may look at them first.
		d.without(ctx, 2*d.cfg.Timeouts.Reopen)
		if cands, err = d.cfg.System.Resolve(d.cfg.Device); err != nil {
			return nil, err
		}
	}
	p, err := d.openFirst(ctx, d.preferred(cands))
	if err == nil {
		d.away = false
	}
	return p, err
}

// preferred puts the port used last first, then the others of its device: the
// number of a tty changes when a stick is plugged in again, its place does not.
func (d *Driver) preferred(cands []port.Candidate) []port.Candidate {
	if d.last.USBPath == "" {
		return cands
	}
	rank := func(c port.Candidate) int {
		switch {
		case c.USBPath != d.last.USBPath:
			return 2
		case c.Interface != d.last.Interface:
			return 1
		}
		return 0
	}
	out := slices.Clone(cands)
	slices.SortStableFunc(out, func(a, b port.Candidate) int { return rank(a) - rank(b) })
	return out
}

// trial is a port that is being tried.
type trial struct {
	c     port.Candidate
	p     *port.Port
	e     *engine
	done  chan struct{}
	ended chan struct{}
}

func (d *Driver) openFirst(ctx context.Context, cands []port.Candidate) (*port.Port, error) {
	first := fmt.Errorf("find modem %s: %w", d.cfg.Device, port.ErrAbsent)
	if len(cands) == 1 {
		p, err := d.openPort(cands[0])
		if err == nil {
			d.chose(cands[0])
		}
		return p, err
	}
	for i := 0; i < len(cands); {
		n := 1
		if i > 0 || !d.isLast(cands[0]) { // the one that was good before is good alone
			for i+n < len(cands) && cands[i].USBPath != "" && cands[i+n].USBPath == cands[i].USBPath {
				n++
			}
		}
		p, err := d.openBest(ctx, cands[i:i+n])
		switch {
		case err == nil:
			return p, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case i == 0:
			first = err
		}
		i += n
	}
	return nil, first
}

func (d *Driver) isLast(c port.Candidate) bool {
	return c.USBPath != "" && c.USBPath == d.last.USBPath && c.Interface == d.last.Interface
}

func (d *Driver) openPort(c port.Candidate) (*port.Port, error) {
	return port.Open(port.Config{Path: c.Path, Baud: d.cfg.Baud, LockDir: d.cfg.LockDir,
		WriteLimit: d.cfg.Timeouts.Write, Trace: d.cfg.Trace})
}

func (d *Driver) chose(c port.Candidate) {
	d.last = c
	d.update(func(s *Status) { s.Device = c.Path })
}

// openBest tries the ports of one device. Of those that answer AT it takes the
// one on which the modem speaks by itself: sticks announce messages on one
// port only. Without such a one it is the first.
func (d *Driver) openBest(ctx context.Context, cands []port.Candidate) (*port.Port, error) {
	var first error
	var good []*trial
	for _, c := range cands {
		t, err := d.try(ctx, c)
		if err == nil {
			good = append(good, t)
		} else if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	best := 0
	if len(good) > 1 {
		best = d.mostTalkative(ctx, good)
	}
	var p *port.Port
	for i, t := range good {
		t.end()
		if i == best && ctx.Err() == nil {
			p = t.p
			d.chose(t.c)
			continue
		}
		_ = t.p.Close() // ignored: it is not used
	}
	switch {
	case p != nil:
		return p, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, first
}

// try asks a port whether a modem is behind it.
func (d *Driver) try(ctx context.Context, c port.Candidate) (*trial, error) {
	p, err := d.openPort(c)
	if err != nil {
		return nil, err
	}
	t := &trial{c: c, p: p, e: newEngine(p, d.log, d.cfg.Timeouts, d.setBusy, func(Late) {}), done: make(chan struct{}), ended: make(chan struct{})}
	go func() { defer close(t.ended); t.e.pump(t.done) }() // ends by end
	if err := hello(ctx, t.e); err != nil {
		t.end()
		_ = p.Close() // ignored: the reason is already known
		return nil, err
	}
	return t, nil
}

// end ends the reader, so that the port's bytes belong to the session afterwards.
func (t *trial) end() {
	close(t.done)
	t.p.Interrupt()
	<-t.ended
	t.p.Resume()
}

// mostTalkative listens to all ports at once for a second.
func (d *Driver) mostTalkative(ctx context.Context, good []*trial) int {
	until := time.Now().Add(3 * d.cfg.Timeouts.Quiet)
	best := 0
	for i, t := range good {
		_ = t.e.listen(ctx, max(time.Until(until), 10*time.Millisecond)) // ignored: a port that goes away has said nothing
		if t.e.heard > good[best].e.heard {
			best = i
		}
	}
	return best
}
