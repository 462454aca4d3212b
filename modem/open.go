package modem

import (
	"context"
	"errors"
	"fmt"
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
	if d.waitsForHome(cands, time.Now()) {
		return nil, fmt.Errorf("find modem %s: %w", d.cfg.Device, port.ErrAbsent)
	}
	if cands, err = d.worthAsking(cands); err != nil {
		return nil, err
	}
	p, err := d.openFirst(ctx, d.preferred(cands))
	if err == nil {
		d.away = false
	}
	return p, err
}

// trial is a port that is being tried.
type trial struct {
	c     port.Candidate
	p     *port.Port
	e     *engine
	done  chan struct{}
	ended chan struct{}
}

// openFirst opens the best port of the first device that answers AT. When the
// modem that was used before is known and there are several devices, it is
// looked for first.
func (d *Driver) openFirst(ctx context.Context, cands []port.Candidate) (*port.Port, error) {
	if len(cands) == 1 {
		c := cands[0]
		if !d.cfg.Claims.take(d.cfg.System, c.USBPath, d.cfg.Name) {
			return nil, fmt.Errorf("find modem %s: %w", d.cfg.Device, port.ErrAbsent)
		}
		p, err := d.openPort(c)
		if err == nil {
			d.chose(c)
		}
		return p, err
	}
	groups := d.devices(cands)
	if d.cfg.Device == "auto" && len(groups) > 1 && d.home.IMEI != "" {
		p, taken, err := d.openOne(ctx, groups, d.home.IMEI)
		if err == nil || ctx.Err() != nil {
			return p, err
		}
		if d.sought++; taken && d.sought < patientAsks {
			return nil, errOther // another driver looks at the rest just now, or they are starting
		}
	}
	p, _, err := d.openOne(ctx, groups, "")
	return p, err
}

// devices puts the candidates of each device together. The port that was good
// before is good alone.
func (d *Driver) devices(cands []port.Candidate) [][]port.Candidate {
	var out [][]port.Candidate
	for i := 0; i < len(cands); {
		n := 1
		if i > 0 || !d.isLast(cands[0]) {
			for i+n < len(cands) && cands[i].USBPath != "" && cands[i+n].USBPath == cands[i].USBPath {
				n++
			}
		}
		out = append(out, cands[i:i+n])
		i += n
	}
	return out
}

// openOne opens the first device that answers AT and is the modem with this
// IMEI; with "" any will do. taken tells that other drivers hold some, or that
// some may be it and do not answer yet.
func (d *Driver) openOne(ctx context.Context, groups [][]port.Candidate, imei string) (p *port.Port, taken bool, err error) {
	first := fmt.Errorf("find modem %s: %w", d.cfg.Device, port.ErrAbsent)
	for i, g := range groups {
		if !d.cfg.Claims.take(d.cfg.System, g[0].USBPath, d.cfg.Name) {
			taken = true
			continue
		}
		p, err := d.openBest(ctx, g, imei)
		if err == nil {
			d.sought = 0
			return p, taken, nil
		}
		d.cfg.Claims.drop(d.cfg.Name)
		var busy *port.BusyError
		switch {
		case ctx.Err() != nil:
			return nil, taken, ctx.Err()
		case errors.Is(err, errOther):
			d.others[deviceKey(g[0])] = true
		case errors.As(err, &busy), errors.Is(err, errUnnamed):
			taken = true
		case !errors.Is(err, errSilent) && !errors.Is(err, errNoSync):
		case imei != "":
			taken = true // it may be the one, which is starting
		default:
			d.unanswered(g[0])
		}
		if i == 0 {
			first = err
		}
	}
	return nil, taken, first
}

// isLast tells whether this port was used last, in an earlier life if need be.
func (d *Driver) isLast(c port.Candidate) bool {
	if c.USBPath == "" || d.others[deviceKey(c)] {
		return false
	}
	if d.last.USBPath == "" {
		h := d.home
		return c.USBPath == h.USBPath && c.Interface == h.Interface && c.VID == h.VID && c.PID == h.PID
	}
	return c.USBPath == d.last.USBPath && c.Interface == d.last.Interface
}

func (d *Driver) openPort(c port.Candidate) (*port.Port, error) {
	return port.Open(port.Config{Path: c.Path, Baud: d.cfg.Baud, LockDir: d.cfg.LockDir,
		WriteLimit: d.cfg.Timeouts.Write, Trace: d.trace})
}

func (d *Driver) chose(c port.Candidate) {
	d.last = c
	d.update(func(s *Status) { s.Device, s.Stable, s.USBPath = c.Path, c.Stable, c.USBPath })
}

// openBest tries the ports of one device. Of those that answer AT it takes the
// one on which the modem speaks by itself: sticks announce messages on one
// port only. Without such a one it is the first.
func (d *Driver) openBest(ctx context.Context, cands []port.Candidate, imei string) (*port.Port, error) {
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
	if len(good) > 0 && imei != "" {
		switch good[0].imei(ctx, d.cfg.Timeouts.Command) {
		case imei:
		case "":
			best, first = -1, errUnnamed
		default:
			best, first = -1, errOther
		}
	}
	if best == 0 && len(good) > 1 {
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
