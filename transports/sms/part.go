package sms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

// part sends one part until its fate is known for this lease.
func (d *delivery) part(ctx context.Context, i int) step {
	p := &d.j.Parts[i]
	for busy := 0; ; {
		e := d.attempt(ctx, i)
		if d.save != nil {
			return stepEnd
		}
		if e == nil {
			d.u.answered(false, d.s.env.Now())
			d.u.outage(d.j.To, nil, d.s.env.Now())
			return d.accepted(i)
		}
		d.last = e
		if until := d.u.outage(d.j.To, e, d.s.env.Now()); !until.IsZero() {
			d.s.env.Log.Warn("sms modem paused, the network takes nothing", "comp", "sms", "net", d.u.name, "until", until, "err", e)
			d.s.tellStatus()
		}
		if p.Class == string(e.Class) {
			p.Seen++
		} else {
			p.Seen = 1
		}
		p.Class, p.Raw, p.Reason = string(e.Class), e.Raw, words(e, d.j.To)
		d.s.env.Log.Info("sms part not sent", "comp", "sms", "net", d.u.name, "job", d.job.ID, "part", i+1, "class", e.Class, "err", e)
		act := decide(e, p)
		if act == actBusy && busy >= len(busyPauses) {
			act = actRetry
		}
		switch act {
		case actBusy:
			p.Attempts--
			pause := busyPauses[busy]
			if e.Class == modem.ClassProtocol {
				pause = 5 * time.Second
			}
			busy++
			if !d.pause(ctx, i, pause) {
				return stepWait
			}
		case actPlain:
			p.TPDU, p.Plain = withoutOptions(p.TPDU), true
		case actOther:
			if d.elsewhere() {
				p.State, d.j.Modem = transports.Queued, ""
				return stepOther
			}
			return d.failed(p)
		case actFail:
			return d.failed(p)
		case actRetry:
			p.State = transports.Queued
			return stepRetry
		case actWait:
			p.State = transports.Queued
			p.Attempts--
			d.u.refresh(d.s.env.Now())
			return stepWait
		case actAccepted:
			p.MR = -1
			return d.accepted(i)
		case actUnsure:
			return d.unsure(i, e)
		}
	}
}

// attempt hands one TPDU to the modem. The mark on-air is on disk before the modem gets Ctrl-Z.
func (d *delivery) attempt(ctx context.Context, i int) *modem.SendError {
	j, p := d.j, &d.j.Parts[i]
	p.Attempts++
	marked := false
	onAir := func() error {
		p.State, p.OnAir, p.Modem, p.MR = transports.OnAir, d.s.env.Now(), d.u.name, -1
		j.Modem = d.u.name
		if err := d.it.Save(transports.OnAir, d.stamp(transports.OnAir), d.partNote(i)); err != nil {
			d.save = err
			return err
		}
		marked = true
		return nil
	}
	d.s.used.add(d.s.n.clock(d.s.env.Now()), usedByModem(d.u.name), 1)
	// A stop does not tear a part off the air: the modem gets a while to answer.
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(inFlight, cancel) })()
	// What had to wait is valid for the rest of its time only (3GPP TS 23.040 §9.2.3.12).
	mr, err := d.u.m.Send(sctx, pdu.SetValidity(p.TPDU, j.Deadline.Sub(d.s.env.Now())), onAir)
	if err == nil {
		p.MR = int(mr)
		return nil
	}
	if !marked {
		d.s.used.add(d.s.n.clock(d.s.env.Now()), usedByModem(d.u.name), -1) // it never left
	}
	if d.save != nil {
		p.State = transports.Queued // Ctrl-Z was never written
		return nil
	}
	var se *modem.SendError
	if !errors.As(err, &se) {
		se = &modem.SendError{Class: modem.ClassDown, AfterCtrlZ: marked, CMS: -1, CME: -1, Err: err}
	}
	return se
}

func (d *delivery) partNote(i int) string {
	if len(d.j.Parts) == 1 {
		return "through " + d.u.name
	}
	return fmt.Sprintf("part %d of %d through %s", i+1, len(d.j.Parts), d.u.name)
}

// accepted records that the network has the part.
func (d *delivery) accepted(i int) step {
	p := &d.j.Parts[i]
	now := d.s.env.Now()
	p.State, p.Accepted, p.Class, p.Reason, p.Raw, p.Seen = transports.Accepted, now, "", "", "", 0
	d.j.Waits, d.j.Tries = 0, 0
	if p.Plain {
		p.State, p.Done = transports.SentUnconfirmed, now // no report was asked for
	}
	return d.keep(i)
}

// unsure records that the part may be out; a late answer or a report settles it.
func (d *delivery) unsure(i int, e *modem.SendError) step {
	p := &d.j.Parts[i]
	p.State, p.Done = transports.PossiblySent, d.s.env.Now()
	if e.Token != 0 {
		d.s.mu.Lock()
		d.s.tokens[tokenKey{d.u.name, e.Token}] = partID{d.job.ID, i}
		d.s.mu.Unlock()
	}
	return d.keep(i)
}

// keep writes the journal before the next part; the last part's is written by finish.
func (d *delivery) keep(i int) step {
	for k := range d.j.Parts {
		if d.j.Parts[k].unsent() {
			if err := d.it.Save(transports.Leased, d.stamp(transports.Leased), ""); err != nil {
				d.save = err
				return stepEnd
			}
			return stepNext
		}
	}
	return stepEnd
}

func (d *delivery) failed(p *part) step {
	p.State, p.Done = transports.Failed, d.s.env.Now()
	return stepEnd
}

// elsewhere reports, after the operator of this modem has refused the text, that another one may take it. The text goes
// back to the outbox for that: two workers that waited here for each other's modem would wait for ever.
func (d *delivery) elsewhere() bool {
	if d.u.answered(true, d.s.env.Now()) {
		d.s.env.Log.Warn("sms modem paused, its operator refuses texts", "comp", "sms", "net", d.u.name, "pause", pauseTime)
		d.s.tellStatus()
	}
	if d.j.sent() > 0 {
		return false // all parts go through one SIM
	}
	if !slices.Contains(d.j.Avoid, d.u.name) {
		d.j.Avoid = append(d.j.Avoid, d.u.name)
	}
	return d.s.other(d.j) != nil
}

// pause waits before the same part is tried again. A mark that is on disk is taken back first: the modem
// has said that it did not take the part.
func (d *delivery) pause(ctx context.Context, i int, t time.Duration) bool {
	p := &d.j.Parts[i]
	if p.State == transports.OnAir {
		p.State = transports.Queued
		if err := d.it.Save(transports.Leased, d.stamp(transports.Leased), p.Reason); err != nil {
			d.save = err
			return false
		}
	}
	p.State = transports.Queued
	rest(ctx, t, nil)
	return ctx.Err() == nil
}

// withoutOptions takes validity period, status report request and reject-duplicates out of a SUBMIT
// (3GPP TS 23.040 §9.2.2.2), for networks that refuse them.
func withoutOptions(tpdu []byte) []byte {
	if len(tpdu) < 4 {
		return tpdu
	}
	at := 2 + 2 + (int(tpdu[2])+1)/2 + 2 // first octet, MR, address, PID, DCS
	vp := [4]int{0, 7, 1, 7}[tpdu[0]>>3&3]
	if at+vp > len(tpdu) {
		return tpdu
	}
	out := slices.Concat(tpdu[:at], tpdu[at+vp:])
	out[0] &^= 0x04 | 0x18 | 0x20
	return out
}
