// Package archive keeps messages for accounts and rooms and answers queries
// about them (XEP-0313 1.1.3 with its extended part; paging after XEP-0059).
//
// An archive belongs to a bare JID, its owner. A message that several owners
// keep lies once in the table "archive", under its id; "archive_index" has a
// row for each owner, and a second one by contact, so that any page is found
// by a seek. Ids are made of the time, so they sort by it and are not used
// again when the tables have been dropped, which does no harm otherwise.
//
// Put does not wait for the disk. A message is seen by queries from then on,
// and no query sees a message before it sees all that have smaller ids. When
// the clock was set back, ids go on rising; the time a message says stays the
// clock's, while start and end find it by its id.
//
// Old messages go by age and by the size of all, the oldest first, in Run,
// which is the package's only goroutine and its caller's. What a message takes
// is counted as the bytes of its rows; the file is up to half larger.
package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Defaults of Config.
const (
	DefaultAge   = 365 * 24 * time.Hour
	DefaultBytes = 256 << 20
)

// ErrNotFound says that an id is not in the archive.
var ErrNotFound = errors.New("not in the archive")

// Config bounds what is kept. Zero fields mean the defaults.
type Config struct {
	Age   time.Duration // older messages go
	Bytes int64         // of all archives together
	Now   func() time.Time
}

// Archive is the archives of all owners. Safe for concurrent use after Open.
type Archive struct {
	conf   Config
	tables xmpp.Tables
	bodies xmpp.Table
	index  xmpp.Table
	log    *slog.Logger
	kick   chan struct{} // one place: there is more than there may be

	upkeep sync.Mutex // held by what deletes

	mu     sync.Mutex // guards what follows; queueing changes is done under it
	last   ID
	bytes  int64          // what all messages take
	noted  tally          // as last written
	kicked bool           // Run was told
	ended  map[jid.JID]ID // owners that are no more, with the last of theirs
}

// New makes an archive. It can do nothing before Open.
func New(c Config) *Archive {
	if c.Age == 0 {
		c.Age = DefaultAge
	}
	if c.Bytes == 0 {
		c.Bytes = DefaultBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Archive{conf: c, kick: make(chan struct{}, 1), ended: make(map[jid.JID]ID)}
}

// Open takes the tables. Each module that uses the archive calls it in Load;
// the first call counts.
func (a *Archive) Open(h xmpp.Host) error {
	if a.index != nil {
		return nil
	}
	a.tables, a.bodies, a.index, a.log = h.Tables(), h.Table("archive"), h.Table("archive_index"), h.Log()
	err := a.bodies.Range("", "", true, func(key string, _ []byte) bool {
		a.last = idOf(key)
		return false
	})
	if err == nil {
		err = a.count()
	}
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	return nil
}

// ID is the place of a message in all archives: the time in microseconds and
// twelve bits that cannot be foreseen. The zero value is none.
type ID uint64

const idBits = 12

// String is the id as clients see it; it sorts as the ids do.
func (i ID) String() string {
	s := strconv.FormatUint(uint64(i), 16)
	return "0000000000000000"[len(s):] + s
}

// ParseID reads an id; ok false for what cannot be one.
func ParseID(s string) (id ID, ok bool) {
	n, err := strconv.ParseUint(s, 16, 64)
	return ID(n), err == nil && ID(n).String() == s
}

// Time is when the message was archived, unless the clock was set back.
func (i ID) Time() time.Time { return time.UnixMicro(int64(i >> idBits)).UTC() }

// at is the smallest id of a time.
func at(t time.Time) ID {
	return ID(min(max(t.UnixMicro(), 0), 1<<(64-idBits)-1)) << idBits
}

// Owner is one that keeps a message: a bare JID, and whom the message was
// exchanged with, by which it is found again. With may be zero.
type Owner struct{ JID, With jid.JID }

// Put archives a message for its owners and returns its id. st is kept as it
// is, so it carries no id of these owners yet. done is called once, when the
// message is on disk or cannot get there. Put queues the change and never
// waits; the caller may hold an entity lock if done takes none.
func (a *Archive) Put(st *stanza.Stanza, done func(error), owners ...Owner) ID {
	now := a.conf.Now()
	r := record{V: 1, At: now.UnixMicro(), XML: string(st.AppendXML(make([]byte, 0, st.Size()+24), "jabber:client"))}
	for _, o := range owners {
		r.Owners = append(r.Owners, owner{o.JID.String(), o.With.String()})
	}
	raw := r.encode()
	cost := r.cost()
	fresh := at(now) | ID(rand.Uint64N(1<<idBits))
	g := &gate{done: func(err error) {
		if err != nil {
			a.mu.Lock()
			a.bytes -= cost
			a.mu.Unlock()
		}
		done(err)
	}}

	a.mu.Lock()
	tell := a.took(cost)
	a.last = max(a.last+1, fresh)
	id := a.last
	rows := make(map[string]any, 2*len(owners))
	for _, o := range owners {
		rows[indexKey(o.JID, id)] = o.With.String()
		if !o.With.IsZero() {
			rows[contactKey(o.JID, o.With, id)] = o.With.String()
		}
	}
	a.tables.LaterAll(map[string]map[string]any{"archive": {bodyKey(id): raw}, "archive_index": rows}, g.settle)
	a.mu.Unlock()

	g.open()
	if tell {
		a.wake()
	}
	return id
}

// wake has Run look.
func (a *Archive) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// took counts what a message takes; tell says that Run must hear of it. mu is held.
func (a *Archive) took(n int64) (tell bool) {
	a.bytes += n
	tell = !a.kicked && a.bytes > a.conf.Bytes
	a.kicked = a.kicked || tell
	return tell
}

// Message is an archived message.
type Message struct {
	ID  ID
	At  time.Time // when it was archived
	XML string    // <message xmlns='jabber:client'…
}

// Stanza parses the message.
func (m *Message) Stanza() (*stanza.Stanza, error) { return stanza.Parse(m.XML) }

// Get reads one message; ErrNotFound when this owner has none of that id.
func (a *Archive) Get(owner jid.JID, id ID) (Message, error) {
	ok, err := a.index.Get(indexKey(owner, id), nil)
	if err == nil && !ok {
		err = ErrNotFound
	}
	if err != nil {
		return Message{}, err
	}
	return a.body(id)
}

func (a *Archive) body(id ID) (Message, error) {
	var r record
	ok, err := a.bodies.Get(bodyKey(id), &r)
	switch {
	case err != nil:
		return Message{}, fmt.Errorf("read archive: %w", err)
	case !ok:
		return Message{}, ErrNotFound
	}
	return Message{ID: id, At: time.UnixMicro(r.At).UTC(), XML: r.XML}, nil
}

// Replace puts another message in the place of one, with its id and time: what
// is left of a message that was retracted (XEP-0424 §5). done is called as
// Put's is, but not when Replace returns an error.
func (a *Archive) Replace(owner jid.JID, id ID, st *stanza.Stanza, done func(error)) error {
	a.upkeep.Lock()
	defer a.upkeep.Unlock()
	if _, err := a.Get(owner, id); err != nil {
		return err
	}
	var r record
	if _, err := a.bodies.Get(bodyKey(id), &r); err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	before := r.cost()
	r.XML = string(st.AppendXML(nil, "jabber:client"))
	more := r.cost() - before
	g := &gate{done: func(err error) {
		if err != nil {
			a.mu.Lock()
			a.bytes -= more
			a.noted = tally{} // to be written anew
			a.mu.Unlock()
		}
		done(err)
	}}
	a.mu.Lock()
	a.bytes += more
	a.noted = tally{V: 1, Bytes: a.bytes, UpTo: a.last}
	a.tables.LaterAll(map[string]map[string]any{"archive": {bodyKey(id): r.encode()}, "archive_index": {tallyKey: a.noted}}, g.settle)
	a.mu.Unlock()
	g.open()
	return nil
}

// Run lets old messages go, until ctx ends.
func (a *Archive) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.kick:
		case <-timer.C:
		}
		if err := errors.Join(a.bury(ctx), a.trim(ctx)); err != nil && ctx.Err() == nil {
			a.log.Error("old messages stay in the archive", "comp", "archive", "err", err)
		}
		timer.Reset(every)
	}
}
