// Package queue is the durable outbox (transports.Outbox) on gateway/store.
//
// A job is one row of the table "outbox"; all that happens to it is recorded
// there, in one commit with its payload. Beside it lies a row in "outbox_due"
// from which Open builds the index in memory: waiting jobs by priority, due
// time and id. Rows of finished jobs stay 30 days, dead letters (failed,
// possibly-sent, expired) until a person deletes them.
//
//	Put ──► queued ──lease──► leased ──Save──► on-air ──► accepted ──► delivered
//	          ▲                 │  ▲             │   ╲──► sent-unconfirmed
//	          │               Retry│             ╰──────► possibly-sent, failed
//	          ╰──Requeue──╮     ▼  │
//	   cancelled, expired ╯   retry-wait
//
// A job may have a lane, which a worker takes or not (transports.Lease): texts
// that prefer a modem which is away do not stand in the way of others.
//
// Leases live in memory only. After a restart a job that was leased is queued
// again, since nothing was on the air; a job that was on air is given to the
// worker in that state, who decides (possibly-sent).
//
// Run does what needs no worker: it expires jobs whose deadline passed before
// the first attempt, and trims. Serve starts no goroutine.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"doorway/gateway/store"
	"doorway/transports"
)

const (
	keyAge     = 48 * time.Hour      // how long a Key finds its job
	keepAge    = 30 * 24 * time.Hour // how long finished jobs are kept
	historyLen = 50                  // steps of a job's history
	undecided  = 10 * time.Second    // pause after a worker returned without a decision
)

// ErrState says that a job is not in a state for what was asked.
var ErrState = errors.New("the job is not in a state for that")

var _ transports.Outbox = (*Queue)(nil)

// Queue implements transports.Outbox for one network. Safe for concurrent use.
type Queue struct {
	o    Options
	s    *store.Store
	jobs *store.Table
	due  *store.Table
	keys *store.Table

	mu      sync.Mutex // guards what follows
	index   *index
	counts  [len(stateNames)]int
	holds   map[uint64]chan struct{} // closed when the job is let go
	leased  map[uint64]bool          // holds that are leases
	puts    map[string]chan struct{} // keys being put or purged
	wake    chan struct{}            // closed when a worker should look again
	waiting int                      // workers that wait
	expires int64                    // the deadline Run waits for
	kick    chan struct{}            // tells Run of an earlier one
	clock   watch
	jumps   []jump
}

// Options of a Queue.
type Options struct {
	Network string        // prefix of the keys
	Keep    time.Duration // how long finished jobs are kept; 0 means 30 days
	// KeepDead is how long dead letters are kept; 0 means until a person deletes them.
	KeepDead time.Duration
	Now      func() time.Time
	Log      *slog.Logger
	// Changed, when not nil, is called after each change of a job's state was
	// committed, in order for each job. It must not call back for that job.
	Changed func(transports.Job)
}

// Open reads the index of the network's jobs from the table "outbox_due".
func Open(s *store.Store, o Options) (*Queue, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep <= 0 {
		o.Keep = keepAge
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{
		o: o, s: s,
		jobs: s.Table("outbox"), due: s.Table("outbox_due"), keys: s.Table("outbox_keys"),
		index:  newIndex(),
		holds:  make(map[uint64]chan struct{}),
		leased: make(map[uint64]bool),
		puts:   make(map[string]chan struct{}),
		wake:   make(chan struct{}),
		kick:   make(chan struct{}, 1),
	}
	if err := q.load(); err != nil {
		return nil, fmt.Errorf("open outbox of %s: %w", o.Network, err)
	}
	return q, nil
}

func (q *Queue) now() time.Time { return q.o.Now() }

func (q *Queue) log() *slog.Logger { return q.o.Log.With("comp", "queue", "net", q.o.Network) }

// Put stores a job and returns its id after fsync. ID, State, Attempts, Error
// and History of j are ignored. The same Key within 48 hours returns the first
// id and stores nothing, whatever became of that job.
func (q *Queue) Put(ctx context.Context, j transports.Job) (uint64, error) {
	if j.Key != "" {
		if err := q.claimKey(ctx, j.Key); err != nil {
			return 0, err
		}
		defer q.releaseKey(j.Key)
		if id, found, err := q.Find(j.Key); found || err != nil {
			return id, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	id, err := q.jobs.Next()
	if err != nil {
		return 0, fmt.Errorf("put job: %w", err)
	}
	now := q.now()
	if j.Created.IsZero() {
		j.Created = now.Round(0).UTC()
	}
	j.ID, j.State, j.Attempts, j.Error, j.History = id, "", 0, "", nil
	step(&j, now, transports.Queued, "")
	r := &record{V: 1, Due: max(unix(j.NotBefore), unix(now)), Job: j}
	rows := q.rows(nil, r)
	if j.Key != "" {
		rows["outbox_keys"] = map[string]any{q.prefix() + j.Key: keyRow{V: 1, ID: id, At: unix(now)}}
	}
	// Held, so that Changed tells of queued before a worker can take it.
	if err := q.acquire(ctx, id, true); err != nil {
		return 0, err
	}
	if err := q.s.WriteAll(rows, false); err != nil {
		q.letGo(id, nil, nil)
		return 0, fmt.Errorf("put job: %w", err)
	}
	q.replaced("", r)
	q.letGo(id, r, nil)
	return id, nil
}

// Find returns the id of the job that was put with a key within 48 hours.
func (q *Queue) Find(key string) (id uint64, ok bool, err error) {
	if key == "" {
		return 0, false, nil
	}
	var row keyRow
	found, err := q.keys.Get(q.prefix()+key, &row)
	if err != nil {
		return 0, false, fmt.Errorf("find job by key: %w", err)
	}
	if !found || q.now().Sub(time.Unix(0, row.At)).Abs() >= keyAge {
		return 0, false, nil
	}
	return row.ID, true, nil
}

// claimKey waits until nobody else puts or purges the key.
func (q *Queue) claimKey(ctx context.Context, key string) error {
	for {
		q.mu.Lock()
		busy := q.puts[key]
		if busy == nil {
			q.puts[key] = make(chan struct{})
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *Queue) releaseKey(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.puts[key])
	delete(q.puts, key)
}

// Get returns a job with the state as workers see it; transports.ErrNoJob.
func (q *Queue) Get(id uint64) (transports.Job, error) {
	r, err := q.read(id)
	if err != nil {
		return transports.Job{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.show(&r.Job)
	return r.Job, nil
}

// show replaces the state on disk by the one in memory: a lease. mu is held.
func (q *Queue) show(j *transports.Job) {
	if e := q.index.jobs[j.ID]; e != nil {
		j.State = stateNames[e.state]
	}
}

func (q *Queue) read(id uint64) (*record, error) {
	var r record
	found, err := q.jobs.Get(q.jobKey(id), &r)
	if err != nil {
		return nil, fmt.Errorf("job %d: %w", id, err)
	}
	if !found {
		return nil, fmt.Errorf("job %d: %w", id, transports.ErrNoJob)
	}
	return &r, nil
}

// List returns the jobs that match, newest first.
func (q *Queue) List(f transports.Filter) ([]transports.Job, error) {
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s transports.State) bool { return classOf(s) != working }) {
		return q.listWorking(f)
	}
	to := strings.TrimSuffix(q.prefix(), "\x00") + "\x01"
	if f.Before != 0 {
		to = q.jobKey(f.Before)
	}
	var out []transports.Job
	var bad error
	err := q.jobs.Range(q.prefix(), to, true, func(key string, raw []byte) bool {
		r, err := decode(raw)
		if err != nil {
			bad = fmt.Errorf("list jobs: %q: %w", key, err)
			return false
		}
		q.mu.Lock()
		q.show(&r.Job)
		q.mu.Unlock()
		if matches(f, &r.Job) {
			out = append(out, r.Job)
		}
		return f.Limit <= 0 || len(out) < f.Limit
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// listWorking answers from the index, without a walk over finished jobs.
func (q *Queue) listWorking(f transports.Filter) ([]transports.Job, error) {
	dest := hashDest(f.Dest)
	var ids []uint64
	q.mu.Lock()
	for id, e := range q.index.jobs {
		if slices.Contains(f.States, stateNames[e.state]) && (f.Dest == "" || e.dest == dest) && (f.Before == 0 || id < f.Before) {
			ids = append(ids, id)
		}
	}
	q.mu.Unlock()
	slices.Sort(ids)
	slices.Reverse(ids)
	var out []transports.Job
	for _, id := range ids {
		if f.Limit > 0 && len(out) == f.Limit {
			break
		}
		j, err := q.Get(id)
		if errors.Is(err, transports.ErrNoJob) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if matches(f, &j) {
			out = append(out, j)
		}
	}
	return out, nil
}

func matches(f transports.Filter, j *transports.Job) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, j.State)) && (f.Dest == "" || f.Dest == j.Dest)
}

// Counts returns the number of jobs by state; states without a job are left out.
func (q *Queue) Counts() map[transports.State]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[transports.State]int)
	for i, n := range q.counts {
		if n != 0 {
			m[stateNames[i]] = n
		}
	}
	return m
}

// shift moves a job to another state in the index and the counts; from is used
// for a job that is not in the index. mu is held.
func (q *Queue) shift(id uint64, from, to transports.State) {
	if e := q.index.jobs[id]; e != nil {
		from, e.state = stateNames[e.state], numberOf(to)
	}
	q.count(from, to)
}

// count moves one job between states; "" is none. mu is held.
func (q *Queue) count(from, to transports.State) {
	if from != "" {
		q.counts[numberOf(from)]--
	}
	if to != "" {
		q.counts[numberOf(to)]++
	}
}
