package sms

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

// match gives pending reports to their parts.
func (k *keeper) match(ctx context.Context, now time.Time) {
	all := slices.Clone(k.reports)
	k.reports = slices.DeleteFunc(k.reports, func(r report) bool {
		id, part, ok := k.find(r, all, now)
		switch {
		case k.settled.has(r, now):
		case ok && k.s.held(id):
			return false
		case ok:
			if !k.change(ctx, id, func(_ *transports.Job, j *journal) bool { return applyReport(&j.Parts[part], r, j.To, now) }) {
				return false
			}
			if r.pdu.Status.Final() {
				k.settled.add(r, now)
			}
		case now.Sub(r.at) < keepReport:
			return false // its part's reference may not be on disk yet
		default:
			k.s.env.Log.Info("sms status report matches nothing", "comp", "sms", "net", r.modem, "ref", r.pdu.MR, "status", byte(r.pdu.Status))
		}
		k.s.env.Table.Later(map[string]any{r.key: nil}, nil)
		return true
	})
}

// find looks for the part a report is about: same modem, same recipient, and the modem's reference where it is
// known. The reference has 8 bits and comes again, so of several the one within its validity
// counts, and then the one accepted nearest to the time the service centre gives (reference §1.6). A part without a
// known reference gets no report while another text to the same number is under way, whose reference may come to be this one,
// nor when another such part was sent at about the same time, unless there is a report for each: one of the two may never
// have left. all are the reports there are.
func (k *keeper) find(r report, all []report, now time.Time) (id uint64, part int, ok bool) {
	var best struct {
		known, within bool
		diff          time.Duration
	}
	var unknown []time.Duration // diff of each part without a reference
	for _, t := range k.tails[tailOf(r.pdu.To)] {
		if !t.to.SameTail(r.pdu.To) {
			continue
		}
		busy := slices.ContainsFunc(k.busy, t.to.SameTail)
		for i := range t.parts {
			p := &t.parts[i]
			switch p.state {
			case transports.Accepted, transports.PossiblySent, transports.SentUnconfirmed:
			default:
				continue
			}
			known := p.mr >= 0
			if p.modem != r.modem || known && p.mr != int(r.pdu.MR) || p.sent.After(r.at.Add(time.Minute)) {
				continue
			}
			diff := r.at.Sub(p.sent)
			if !r.pdu.Time.IsZero() {
				diff = r.pdu.Time.Sub(p.sent).Abs()
			}
			if !known && (diff > time.Hour || busy) {
				continue
			}
			if !known {
				unknown = append(unknown, diff)
			}
			within := now.Before(p.until)
			better := !ok
			switch {
			case better:
			case known != best.known:
				better = known
			case within != best.within:
				better = within
			default:
				better = diff < best.diff
			}
			if better {
				id, part, ok = t.id, i, true
				best.known, best.within, best.diff = known, within, diff
			}
		}
	}
	if ok && !best.known {
		near := 0
		for _, diff := range unknown {
			if diff-best.diff < tellApart {
				near++
			}
		}
		ok = near == 1 || near <= k.unclaimed(r, all)
	}
	return id, part, ok
}

// unclaimed counts the reports from r's modem about r's recipient, r among them, that are about no part with a known reference.
func (k *keeper) unclaimed(r report, all []report) int {
	var seen []report
	for _, o := range all {
		claimed := o.modem != r.modem || !o.pdu.To.SameTail(r.pdu.To) || slices.ContainsFunc(seen, o.repeats) || k.settled.has(o, o.at)
		for _, t := range k.tails[tailOf(o.pdu.To)] {
			claimed = claimed || t.to.SameTail(o.pdu.To) && slices.ContainsFunc(t.parts, func(p trackedPart) bool { return p.modem == o.modem && p.mr == int(o.pdu.MR) })
		}
		if !claimed {
			seen = append(seen, o)
		}
	}
	return len(seen)
}

// tellApart is how much nearer to the time the service centre gives a part must be than another one, to be the one
// that is meant: its clock is not ours.
const tellApart = time.Minute

// keepSettled is how long a repeated final report is recognised, so that it does not go to another part.
const keepSettled = 24 * time.Hour

// recall fills settled after a restart: the record of a report may have outlived the commit that applied it.
func (k *keeper) recall(j *journal, now time.Time) {
	for i := range j.Parts {
		p := &j.Parts[i]
		if p.Report > 0 && p.MR >= 0 && pdu.Status(p.Report-1).Final() && now.Sub(p.Accepted) <= keepSettled {
			k.settled.add(report{modem: p.Modem, at: now, pdu: pdu.StatusReport{MR: byte(p.MR), To: pduNumber(j.To), Time: p.SCTS}}, now)
		}
	}
}

// settled are final reports that found their part, by what is alike in their repetitions.
type settled map[settledKey][]report

type settledKey struct {
	modem string
	mr    byte
	tail  string
}

func (s settled) key(r report) settledKey { return settledKey{r.modem, r.pdu.MR, tailOf(r.pdu.To)} }

func (s settled) has(r report, now time.Time) bool {
	return slices.ContainsFunc(s[s.key(r)], func(o report) bool { return now.Sub(o.at) <= keepSettled && r.repeats(o) })
}

func (s settled) add(r report, now time.Time) {
	k := s.key(r)
	s[k] = append(slices.DeleteFunc(s[k], func(o report) bool { return now.Sub(o.at) > keepSettled }), r)
}

// prune forgets what is too old to be repeated.
func (s settled) prune(now time.Time) {
	for k, l := range s {
		if l = slices.DeleteFunc(l, func(o report) bool { return now.Sub(o.at) > keepSettled }); len(l) == 0 {
			delete(s, k)
		} else {
			s[k] = l
		}
	}
}

// repeats says that two reports are about the same part: same reference, recipient and time of acceptance.
func (r report) repeats(o report) bool {
	return r.modem == o.modem && r.pdu.MR == o.pdu.MR && r.pdu.To.SameTail(o.pdu.To) && r.pdu.Time.Equal(o.pdu.Time)
}

// applyReport changes a part after its report; false when the report says nothing new.
func applyReport(p *part, r report, num string, now time.Time) bool {
	switch p.State {
	case transports.Accepted, transports.PossiblySent, transports.SentUnconfirmed:
	default:
		return false
	}
	if p.MR < 0 {
		p.MR = int(r.pdu.MR)
	}
	if p.Accepted.IsZero() {
		p.Accepted = p.OnAir // the service centre has it, whatever the modem said
	}
	done := r.pdu.Done
	if done.IsZero() {
		done = now
	}
	p.Report, p.SCTS = 1+int(r.pdu.Status), r.pdu.Time
	switch r.pdu.Status.Class() {
	case pdu.Delivered:
		p.State, p.Done, p.Reason, p.Class = transports.Delivered, done, "", ""
	case pdu.Unconfirmed:
		p.State, p.Done, p.Reason, p.Class = transports.SentUnconfirmed, done, "", ""
	case pdu.Trying:
		if p.State == transports.PossiblySent {
			p.State, p.Done, p.Reason, p.Class = transports.Accepted, time.Time{}, "", ""
		}
	default:
		p.State, p.Done, p.Class = transports.Failed, done, string(classReport)
		p.Reason, p.Raw = reportWords(byte(r.pdu.Status), num), fmt.Sprintf("TP-ST %#02x", byte(r.pdu.Status))
	}
	return true
}
