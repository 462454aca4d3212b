package queue

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"doorway/transports"
)

// record is a job as the table "outbox" holds it, under
// network, NUL, be64(id).
type record struct {
	V   int            `json:"v"`
	Due int64          `json:"due"` // Unix ns: the time in the key of its row in "outbox_due"
	Job transports.Job `json:"job"`
}

// due is the row of "outbox_due": all that the queue keeps in memory of a job,
// so that Open does not read the jobs themselves. Its key is network, NUL,
// class, be64(time), be64(id).
type due struct {
	V        int              `json:"v"`
	State    transports.State `json:"s"`
	Priority int              `json:"p,omitempty"`
	Dest     string           `json:"d,omitempty"`
	Lane     string           `json:"l,omitempty"`
	Deadline int64            `json:"t,omitempty"` // Unix ns, 0: none
	Tried    bool             `json:"a,omitempty"` // there was an attempt
	Set      int64            `json:"at"`          // Unix ns: when the row was written
}

// keyRow is the row of "outbox_keys", under network, NUL, key.
type keyRow struct {
	V  int    `json:"v"`
	ID uint64 `json:"id"`
	At int64  `json:"at"` // Unix ns
}

// class says what a job's row in "outbox_due" waits for.
type class byte

const (
	working class = 'w' // its next lease
	kept    class = 'k' // being trimmed
	dead    class = 'd' // a person who deletes it
)

// classOf sorts the states. Dead letters are what was not delivered and nobody
// asked to stop.
func classOf(s transports.State) class {
	switch s {
	case transports.Accepted, transports.Delivered, transports.SentUnconfirmed, transports.Cancelled:
		return kept
	case transports.Failed, transports.PossiblySent, transports.Expired:
		return dead
	}
	return working
}

func be64(n uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, n))
}

// prefix of the network's keys in all three tables.
func (q *Queue) prefix() string { return q.o.Network + "\x00" }

func (q *Queue) jobKey(id uint64) string { return q.prefix() + be64(id) }

func (q *Queue) dueKey(c class, at int64, id uint64) string {
	return q.prefix() + string(rune(c)) + be64(uint64(at)) + be64(id)
}

// parseDueKey takes a key apart that begins with the prefix.
func (q *Queue) parseDueKey(key string) (c class, at int64, id uint64, ok bool) {
	b := []byte(key[len(q.prefix()):])
	if len(b) != 17 {
		return 0, 0, 0, false
	}
	return class(b[0]), int64(binary.BigEndian.Uint64(b[1:])), binary.BigEndian.Uint64(b[9:]), true
}

// rows returns the changes that replace old by r in the tables; a nil old is
// a new job.
func (q *Queue) rows(old, r *record) map[string]map[string]any {
	j := &r.Job
	row := due{V: 1, State: j.State, Set: unix(q.now())}
	if c := classOf(j.State); c == working {
		row.Priority, row.Dest, row.Deadline, row.Tried = j.Priority, j.Dest, unix(j.Deadline), j.Attempts > 0
		row.Lane = j.Lane
	}
	newKey := q.dueKey(classOf(j.State), r.Due, j.ID)
	index := map[string]any{newKey: row}
	if old != nil {
		if oldKey := q.dueKey(classOf(old.Job.State), old.Due, j.ID); oldKey != newKey {
			index[oldKey] = nil
		}
	}
	return map[string]map[string]any{
		"outbox":     {q.jobKey(j.ID): r},
		"outbox_due": index,
	}
}

// unix is the time in ns, 0 for the zero time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 0)
}

// step sets the state and adds to the history, which keeps its first step and
// the newest ones.
func step(j *transports.Job, at time.Time, s transports.State, note string) {
	changed := j.State != s
	j.State = s
	if !changed && note == "" {
		return
	}
	// A fresh slice: copies of the job share the old one.
	h := make([]transports.Step, 0, len(j.History)+1)
	h = append(h, j.History...)
	if len(h) >= historyLen {
		h = append(h[:1], h[len(h)-historyLen+2:]...)
	}
	j.History = append(h, transports.Step{At: at.Round(0).UTC(), State: s, Note: note})
}

func hashDest(dest string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dest)) // ignored: a hash never fails
	return h.Sum64()
}
