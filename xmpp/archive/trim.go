package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"doorway/xmpp/jid"
)

const (
	every = 10 * time.Minute // between two looks at what has become old
	batch = 64               // messages that go in one commit
)

// goner is a message that goes.
type goner struct {
	id   ID
	cost int64 // 0: another owner keeps it
	rows []string
}

// trim lets go what is too old and what is too much, and notes the size.
func (a *Archive) trim(ctx context.Context) error {
	target := a.conf.Bytes
	a.mu.Lock()
	if a.kicked = false; a.bytes > target {
		target -= target / 32 // not again for the next message
	}
	a.mu.Unlock()
	for ctx.Err() == nil {
		a.upkeep.Lock()
		old, err := a.oldest(target)
		if err == nil {
			err = a.remove(old)
		}
		a.upkeep.Unlock()
		if err != nil || len(old) < batch {
			return err
		}
	}
	return nil
}

// count learns what all messages take: the tally, and those that came after it.
func (a *Archive) count() error {
	if _, err := a.index.Get(tallyKey, &a.noted); err != nil {
		return err
	}
	a.bytes = a.noted.Bytes
	return a.bodies.Range(bodyKey(a.noted.UpTo+1), "", false, func(key string, raw []byte) bool {
		var r record
		_ = json.Unmarshal(raw, &r) // ignored: what cannot be read takes its place all the same
		a.bytes += r.cost()
		return true
	})
}

// oldest lists the messages that go first, a batch at most.
func (a *Archive) oldest(target int64) (old []goner, err error) {
	before := a.conf.Now().Add(-a.conf.Age).UnixMicro()
	a.mu.Lock()
	left := a.bytes
	a.mu.Unlock()
	err = a.bodies.Range("", "", false, func(key string, raw []byte) bool {
		var r record
		bad := json.Unmarshal(raw, &r) != nil // it is no use to anybody
		if !bad && r.At >= before && left <= target {
			return false
		}
		g := goner{id: idOf(key), cost: r.cost()}
		for i := range r.Owners {
			main, contact := r.Owners[i].keys(g.id)
			g.rows = append(g.rows, main)
			if contact != "" {
				g.rows = append(g.rows, contact)
			}
		}
		left -= g.cost
		old = append(old, g)
		return len(old) < batch
	})
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return old, nil
}

// remove deletes messages, or only rows of the index where the cost is 0, and
// notes the size with them. It waits for the disk. upkeep is held.
func (a *Archive) remove(list []goner) error {
	bodies, rows := make(map[string]any, len(list)), make(map[string]any, 4*len(list)+1)
	var sum int64
	for _, g := range list {
		sum += g.cost
		if g.cost > 0 {
			bodies[bodyKey(g.id)] = nil
		}
		for _, k := range g.rows {
			rows[k] = nil
		}
	}
	result := make(chan error, 1)
	a.mu.Lock()
	before := a.noted
	a.bytes -= sum
	a.noted = tally{V: 1, Bytes: a.bytes, UpTo: a.last}
	if len(list) == 0 && (a.noted == before || a.last == 0) {
		a.mu.Unlock()
		return nil
	}
	rows[tallyKey] = a.noted
	a.tables.LaterAll(map[string]map[string]any{"archive": bodies, "archive_index": rows}, func(err error) { result <- err })
	a.mu.Unlock()
	err := <-result
	if err == nil {
		return nil
	}
	a.mu.Lock()
	a.bytes += sum
	a.noted = before
	a.mu.Unlock()
	return fmt.Errorf("delete from archive: %w", err)
}

// Purge deletes the archive of an account or a room that is no more. It
// returns after that is on disk.
func (a *Archive) Purge(owner jid.JID) error {
	return a.purgeTo(context.Background(), owner.Bare(), ^ID(0))
}

// purgeTo deletes what an owner has up to an id, until ctx ends.
func (a *Archive) purgeTo(ctx context.Context, owner jid.JID, last ID) error {
	for ctx.Err() == nil {
		n, err := a.purge(owner, last)
		if err != nil {
			return fmt.Errorf("purge archive of %s: %w", owner, err)
		}
		if n == 0 {
			return nil
		}
	}
	return nil
}

// Forget has Run delete what an owner that is no more has archived until now.
// It does not wait, and the caller may hold an entity lock. Where the process
// ends before that is done, Owners tells at the next start whom to forget.
func (a *Archive) Forget(owner jid.JID) {
	a.mu.Lock()
	a.ended[owner.Bare().Clone()] = a.last
	a.mu.Unlock()
	a.wake()
}

// Floor is below every message that comes from now on, whatever the clock says,
// and not below any that is there: the Query.Floor of an owner that begins now,
// under a name that somebody else may have had.
func (a *Archive) Floor() ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// bury deletes what owners that are no more have left.
func (a *Archive) bury(ctx context.Context) error {
	for ctx.Err() == nil {
		a.mu.Lock()
		var owner jid.JID
		var last ID
		for owner, last = range a.ended {
			break
		}
		a.mu.Unlock()
		if owner.IsZero() {
			return nil
		}
		if err := a.purgeTo(ctx, owner, last); err != nil || ctx.Err() != nil {
			return err // it stays on the list
		}
		a.mu.Lock()
		if a.ended[owner] == last { // else it has ended once more
			delete(a.ended, owner)
		}
		a.mu.Unlock()
	}
	return nil
}

// Owners calls f for each that has archived messages, until f returns false;
// f may call Forget.
func (a *Archive) Owners(f func(owner jid.JID) bool) error {
	for from := "\x00\xff"; ; {
		name := ""
		err := a.index.Range(from, "", false, func(key string, _ []byte) bool {
			name = strings.Clone(key[:strings.IndexAny(key, "\x00\x01")])
			return false
		})
		switch {
		case err != nil:
			return fmt.Errorf("read archive: %w", err)
		case name == "":
			return nil
		}
		if owner, err := jid.Parse(name); err == nil && !f(owner) {
			return nil
		}
		from = name + "\x02" // behind all of its rows
	}
}

// purge deletes some messages of an archive, none after last, and returns how many.
func (a *Archive) purge(owner jid.JID, last ID) (int, error) {
	a.upkeep.Lock()
	defer a.upkeep.Unlock()
	var list []goner
	var with []string
	err := a.index.Range(indexKey(owner, 0), indexKey(owner, last)+"\x00", false, func(key string, raw []byte) bool {
		list = append(list, goner{id: idOf(key), rows: []string{key}})
		with = append(with, contactIn(raw))
		return len(list) < batch
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	for i := range list {
		g := &list[i]
		if j, err := jid.Parse(with[i]); err == nil {
			g.rows = append(g.rows, contactKey(owner, j, g.id))
		}
		if g.cost, err = a.alone(owner, g.id); err != nil {
			return 0, err
		}
	}
	return len(list), a.remove(list)
}

// alone is the cost of a message that only this owner still keeps, else 0.
func (a *Archive) alone(owner jid.JID, id ID) (cost int64, err error) {
	var raw json.RawMessage
	var r record
	ok, err := a.bodies.Get(bodyKey(id), &raw)
	if err != nil || !ok {
		return 0, err
	}
	_ = json.Unmarshal(raw, &r) // ignored: what cannot be read is nobody's
	for i := range r.Owners {
		if r.Owners[i].JID == owner.String() {
			continue
		}
		main, _ := r.Owners[i].keys(id)
		kept, err := a.index.Get(main, nil)
		if err != nil || kept {
			return 0, err
		}
	}
	return r.cost(), nil
}
