package sms

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

const (
	unsureGrace = 2 * time.Minute     // how long a possibly-sent part waits for its report before anybody is told
	reportSlack = time.Hour           // reports are awaited this long beyond the validity
	lateReports = 7 * 24 * time.Hour  // and still shown so long after
	keepReport  = 10 * time.Minute    // a report that matches nothing is forgotten after this
	lookBack    = 10 * 24 * time.Hour // how old a finished job may be whose receipt is still owed
	sweepEvery  = 30 * time.Second    // how often waiting jobs are looked at for expiry and cancelling
	sweepMost   = 200
)

// postKind is what the keeper is told.
type postKind uint8

const (
	postQueued   postKind = iota + 1 // a job was put into the outbox
	postReleased                     // a worker has let go of a job
	postLate                         // a modem gave an answer late
	postReport                       // a status report is on disk
	postTold                         // the sink took a receipt
	postStopped                      // a number wants no texts any more
)

type post struct {
	kind   postKind
	job    uint64
	state  transports.State
	modem  string
	token  uint64
	mr     byte
	report report
	since  time.Time
	num    string
}

// report is a status report that has not found its part yet.
type report struct {
	key   string // in the table
	modem string
	at    time.Time // when the host read it
	pdu   pdu.StatusReport
}

// tracked is a job with parts that are out.
type tracked struct {
	id      uint64
	to      pdu.Number
	urgent  bool
	resent  bool
	state   transports.State
	offered transports.State // the last receipt given to the sink
	moved   time.Duration    // by how much the clock was set since
	parts   []trackedPart
}

type trackedPart struct {
	state transports.State
	modem string
	mr    int
	sent  time.Time // when it was accepted, or on air
	since time.Time // when it became possibly-sent
	until time.Time // when its report is given up
}

// keeper matches status reports with parts, and watches what has to happen without any event: it is the only
// one that updates jobs no worker holds.
type keeper struct {
	s       *Session
	out     map[uint64]*tracked
	tails   map[string]map[uint64]*tracked // the same by the end of the number
	wake    time.Time                      // when watch has to look again; zero: not at all
	waiting map[uint64]int64               // not out yet: they may expire or be cancelled; when those that were tried are given up, Unix ns
	reports []report
	lates   []post
	tells   []post
	stops   []string     // numbers whose waiting texts are to be taken back
	settled settled      // final reports that found their part, lately
	busy    []pdu.Number // recipients of texts whose references may not be known yet
	swept   time.Time
	seen    time.Time // when follow looked at the clock last, with a monotonic reading
	wall    time.Time // what the clock said then
}

func newKeeper(s *Session) *keeper {
	return &keeper{s: s, out: map[uint64]*tracked{}, tails: map[string]map[uint64]*tracked{}, waiting: map[uint64]int64{}, settled: settled{}}
}

// load rebuilds the index from the outbox, settles what was on air, and offers receipts that nobody took.
func (k *keeper) load() error {
	now := k.s.env.Now()
	var before uint64
	for {
		jobs, err := k.s.env.Outbox.List(transports.Filter{Before: before, Limit: 200})
		if err != nil {
			return err
		}
		old := len(jobs) > 0
		for _, job := range jobs {
			if err := k.adopt(job, now); err != nil {
				return err
			}
			old = old && now.Sub(job.Created) > lookBack
		}
		if len(jobs) < 200 {
			break
		}
		before = jobs[len(jobs)-1].ID
		if old {
			if err := k.adoptWaiting(before, now); err != nil {
				return err
			}
			break
		}
	}
	return k.s.env.Table.Range("rep/", "rep0", false, func(key string, raw []byte) bool {
		rec, err := decodeRecord[reportRecord](raw)
		if err != nil {
			k.s.env.Log.Error("sms report record unreadable", "comp", "sms", "ref", key, "err", err)
			return true
		}
		if r, err := pdu.DecodeStatusReport(rec.TPDU); err == nil {
			k.reports = append(k.reports, report{key: key, modem: rec.Modem, at: rec.At, pdu: r})
		}
		return true
	})
}

// adoptWaiting adopts what waits and is older than the job before: texts for a day that is far away.
func (k *keeper) adoptWaiting(before uint64, now time.Time) error {
	jobs, err := k.s.env.Outbox.List(transports.Filter{Before: before,
		States: []transports.State{transports.Queued, transports.Leased, transports.OnAir, transports.RetryWait}})
	for _, job := range jobs {
		err = errors.Join(err, k.adopt(job, now))
	}
	return err
}

func (k *keeper) adopt(job transports.Job, now time.Time) error {
	j, err := decodeJournal(job.Payload)
	if err != nil {
		k.s.env.Log.Error("sms journal unreadable", "comp", "sms", "job", job.ID, "err", err)
		return nil
	}
	k.recall(j, now)
	final := job.State == transports.Failed || job.State == transports.Expired || job.State == transports.Cancelled || job.State == transports.Delivered
	if !final && j.recover(now) {
		_, err := k.s.env.Outbox.Update(context.Background(), job.ID, func(q *transports.Job) bool {
			st := j.overall()
			j.State, q.State, q.Error = st, st, j.reason()
			if st == transports.RetryWait {
				q.NotBefore = now
			}
			q.Payload = j.encode()
			job = *q
			return true
		})
		if err != nil {
			return err
		}
		k.s.env.Log.Warn("sms possibly sent before the restart", "comp", "sms", "job", job.ID)
	}
	switch job.State {
	case transports.Queued, transports.Leased, transports.RetryWait, transports.OnAir:
		k.waiting[job.ID] = j.Deadline.UnixNano()
	case transports.Failed, transports.Expired, transports.Cancelled, transports.Delivered, transports.SentUnconfirmed:
		if j.Told != job.State && now.Sub(job.Created) <= lookBack {
			k.s.receipt(job.ID, j, job.State)
		}
	}
	k.track(job.ID, job.State, j)
	return nil
}

// track notes which parts of a job wait for reports.
func (k *keeper) track(id uint64, st transports.State, j *journal) {
	t := &tracked{id: id, to: pduNumber(j.To), urgent: j.Urgent, resent: j.Resent, state: st, offered: j.Told}
	if old := k.out[id]; old != nil && old.state == st {
		t.offered, t.moved = old.offered, old.moved
	}
	open := false
	for i := range j.Parts {
		p := &j.Parts[i]
		tp := trackedPart{state: p.State, modem: p.Modem, mr: p.MR, sent: p.Accepted, since: p.Done}
		if tp.sent.IsZero() {
			tp.sent = p.OnAir
		}
		switch p.State {
		case transports.Accepted:
			tp.until, open = later(tp.sent, j.Deadline).Add(reportSlack), true // the network tries to the deadline (pdu.SetValidity)
		case transports.PossiblySent, transports.SentUnconfirmed:
			tp.until = tp.sent.Add(lateReports)
			open = open || p.State == transports.PossiblySent || !p.Plain
		}
		t.parts = append(t.parts, tp)
	}
	if open && st != transports.Cancelled && st != transports.Expired {
		k.drop(id)
		k.out[id] = t
		tail := tailOf(t.to)
		if k.tails[tail] == nil {
			k.tails[tail] = map[uint64]*tracked{}
		}
		k.tails[tail][id] = t
		if due := t.due(); !due.IsZero() && (k.wake.IsZero() || due.Before(k.wake)) {
			k.wake = due
		}
	} else {
		k.drop(id)
	}
}

// drop forgets what is tracked of a job.
func (k *keeper) drop(id uint64) {
	t := k.out[id]
	if t == nil {
		return
	}
	delete(k.out, id)
	tail := tailOf(t.to)
	delete(k.tails[tail], id)
	if len(k.tails[tail]) == 0 {
		delete(k.tails, tail)
	}
}

// tailOf is alike for numbers that may be the same (pdu.Number.SameTail).
func tailOf(n pdu.Number) string {
	d := strings.TrimLeft(n.Digits, "0")
	if n.TON == pdu.Alphanumeric || len(d) < 7 {
		return n.Digits
	}
	return d[len(d)-7:]
}

func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		for _, p := range k.s.posts.take() {
			k.take(p)
		}
		k.busy = k.s.busyNumbers()
		if k.s.posts.waiting() {
			continue // a job may have been let go between the two: it is among these
		}
		now := k.s.env.Now()
		k.follow(now)
		k.settle(ctx, now)
		k.match(ctx, now)
		k.watch(ctx, now)
		k.sweep(ctx, now)
		rest(ctx, k.next(now), k.s.posts.kick)
	}
}

func (k *keeper) take(p post) {
	switch p.kind {
	case postQueued:
		if _, known := k.waiting[p.job]; !known {
			k.waiting[p.job] = 0
		}
	case postReleased:
		job, err := k.s.env.Outbox.Get(p.job)
		if err != nil {
			delete(k.waiting, p.job)
			return
		}
		k.look(job)
	case postLate:
		p.since = k.s.env.Now()
		k.lates = append(k.lates, p)
	case postReport:
		k.reports = append(k.reports, p.report)
	case postTold:
		k.tells = append(k.tells, p)
	case postStopped:
		k.stops = append(k.stops, p.num)
	}
}

// look takes over a job's state after somebody else has changed it.
func (k *keeper) look(job transports.Job) {
	j, err := decodeJournal(job.Payload)
	if err != nil {
		delete(k.waiting, job.ID)
		return
	}
	switch job.State {
	case transports.Queued, transports.Leased, transports.RetryWait, transports.OnAir:
		k.waiting[job.ID] = j.Deadline.UnixNano()
	case transports.Expired, transports.Cancelled:
		if _, waited := k.waiting[job.ID]; waited && j.Told != job.State {
			k.s.receipt(job.ID, j, job.State)
		}
		delete(k.waiting, job.ID)
	default:
		delete(k.waiting, job.ID)
	}
	k.track(job.ID, job.State, j)
}

// settle does what had to wait until no worker held the job.
func (k *keeper) settle(ctx context.Context, now time.Time) {
	k.stops = slices.DeleteFunc(k.stops, func(num string) bool { return k.takeBack(ctx, num) })
	k.tells = slices.DeleteFunc(k.tells, func(p post) bool {
		return !k.s.held(p.job) && k.change(ctx, p.job, func(job *transports.Job, j *journal) bool {
			if j.Told == p.state {
				return false
			}
			j.Told = p.state
			if job.State == p.state {
				j.State = p.state // also what the outbox itself decided: expired, cancelled
			}
			return true
		})
	})
	k.lates = slices.DeleteFunc(k.lates, func(p post) bool {
		k.s.mu.Lock()
		id, ok := k.s.tokens[tokenKey{p.modem, p.token}]
		k.s.mu.Unlock()
		if !ok {
			return now.Sub(p.since) > time.Minute // the worker may not have told yet
		}
		if k.s.held(id.job) || !k.change(ctx, id.job, func(_ *transports.Job, j *journal) bool {
			part := &j.Parts[id.part]
			if part.State != transports.PossiblySent {
				return false
			}
			part.State, part.MR, part.Accepted = transports.Accepted, int(p.mr), now
			part.Class, part.Reason, part.Done = "", "", time.Time{}
			return true
		}) {
			return false
		}
		k.s.mu.Lock()
		delete(k.s.tokens, tokenKey{p.modem, p.token})
		k.s.mu.Unlock()
		k.s.env.Log.Info("sms late answer, the text was accepted", "comp", "sms", "net", p.modem, "job", id.job)
		return true
	})
}

// change rewrites a job's journal and brings its state and the index in line; false asks to try again.
func (k *keeper) change(ctx context.Context, id uint64, f func(*transports.Job, *journal) bool) bool {
	var after *journal
	var st transports.State
	there := false
	_, err := k.s.env.Outbox.Update(ctx, id, func(job *transports.Job) bool {
		there = true
		j, err := decodeJournal(job.Payload)
		if err != nil || !f(job, j) {
			return false
		}
		switch job.State {
		case transports.Accepted, transports.PossiblySent, transports.SentUnconfirmed, transports.Delivered:
			if now := j.overall(); now != job.State {
				job.State, j.State, job.Error = now, now, j.reason()
				if now == transports.RetryWait {
					job.NotBefore = k.s.env.Now()
				}
			}
		case transports.Queued, transports.RetryWait:
			if j.overall() == transports.Failed {
				job.State, j.State, job.Error = transports.Failed, transports.Failed, j.reason()
			}
		}
		job.Payload = j.encode()
		after, st = j, job.State
		return true
	})
	switch {
	case errors.Is(err, transports.ErrNoJob), err == nil && !there:
		k.drop(id)
		return true
	case err != nil:
		if ctx.Err() == nil {
			k.s.env.Log.Error("sms journal not written", "comp", "sms", "job", id, "err", err)
		}
		return false
	case after == nil:
		return true
	}
	k.track(id, st, after)
	switch st {
	case transports.Delivered, transports.Failed, transports.SentUnconfirmed:
		t := k.out[id]
		if after.Told != st && (t == nil || t.offered != st) {
			k.s.receipt(id, after, st)
			if t != nil {
				t.offered = st
			}
		}
	}
	return true
}
