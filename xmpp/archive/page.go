package archive

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
)

// Bounds of a page. A client may ask for several at once, one for each chat;
// the queue of a stream (1 MiB) holds nine of the largest.
const (
	MaxPage   = 250
	pageBytes = 112 << 10 // as it is sent
	wrapping  = 256       // what a result has beside the message, its query's id and two addresses
)

// Query asks for a page of an archive. The zero value with Page.Max -1 asks
// for its beginning.
type Query struct {
	With          jid.JID   // bare: with any of its resources; zero: everybody
	Start, End    time.Time // both included; zero: open
	After, Before string    // ids, both excluded
	IDs           []string  // these only; nil: all
	Page          rsm.Request
	Flip          bool   // the newest first (XEP-0313 §4.3.5)
	ID            string // queryid, for Answer
	// Floor hides what is not greater: messages of another owner that had the
	// same name. See Archive.Floor.
	Floor ID
}

// Page is what a query finds.
type Page struct {
	Messages []Message // in the order in which they are to be sent
	Result   rsm.Result
	Complete bool // there is no more in that direction
}

// errNoID is XEP-0313 §4.1.3, §4.3.2.
func errNoID() error {
	return stanza.NewError(stanza.ItemNotFound, "The archive has no message with this id (any more).")
}

// Page finds a page of an owner's archive. Errors for the one who asks are
// *stanza.Error: item-not-found for an id that is not in the archive.
func (a *Archive) Page(owner jid.JID, q Query) (*Page, error) {
	w := window{a: a, owner: owner, with: q.With, floor: q.Floor, from: q.Floor + 1, to: ^ID(0)}
	if !q.Start.IsZero() {
		w.from = max(w.from, at(q.Start))
	}
	if !q.End.IsZero() {
		w.to = at(q.End) | (1<<idBits - 1)
	}
	if err := w.narrow(q.After, q.Before); err != nil {
		return nil, err
	}
	if err := w.pick(q.IDs); err != nil {
		return nil, err
	}
	whole := w
	if err := w.narrow(q.Page.After, q.Page.Before); err != nil {
		return nil, err
	}
	limit := q.Page.Limit(MaxPage)
	if limit == 0 {
		return whole.count()
	}
	ids, more, err := w.list(limit, q.Page.Backward)
	if err != nil {
		return nil, err
	}
	p := &Page{Messages: make([]Message, 0, len(ids)), Result: rsm.Result{Index: -1, Count: -1}}
	size, each := 0, wrapping+len(q.ID)+2*len(owner.String())
	for _, id := range ids {
		m, err := a.body(id)
		if errors.Is(err, ErrNotFound) {
			continue // it went just now
		}
		if err != nil {
			return nil, err
		}
		if size += len(m.XML) + each; size > pageBytes && len(p.Messages) > 0 {
			more = true
			break
		}
		p.Messages = append(p.Messages, m)
	}
	if q.Page.Backward {
		slices.Reverse(p.Messages)
	}
	p.Complete = !more
	p.describe(q.Page)
	if q.Flip {
		slices.Reverse(p.Messages)
	}
	return p, nil
}

// describe fills in what is known without counting.
func (p *Page) describe(r rsm.Request) {
	n := len(p.Messages)
	if n > 0 {
		p.Result.First, p.Result.Last = p.Messages[0].ID.String(), p.Messages[n-1].ID.String()
	}
	open := r.After == "" && r.Before == ""
	if open && p.Complete {
		p.Result.Count = n
	}
	if open && (p.Complete || !r.Backward) {
		p.Result.Index = 0
	}
}

// window is a part of an archive: ids from from to to, both included.
type window struct {
	a        *Archive
	owner    jid.JID
	with     jid.JID
	floor    ID
	from, to ID
	ids      []ID // of these only
	only     bool // ids counts
}

// known finds an id in the archive.
func (w *window) known(s string) (ID, error) {
	id, ok := ParseID(s)
	if ok = ok && id > w.floor; ok {
		var err error
		if ok, err = w.a.index.Get(indexKey(w.owner, id), nil); err != nil {
			return 0, fmt.Errorf("read archive: %w", err)
		}
	}
	if !ok {
		return 0, errNoID()
	}
	return id, nil
}

// narrow leaves out what is not between two ids.
func (w *window) narrow(after, before string) error {
	if after != "" {
		id, err := w.known(after)
		if err != nil {
			return err
		}
		w.from = max(w.from, id+1)
	}
	if before != "" {
		id, err := w.known(before)
		if err != nil {
			return err
		}
		w.to = min(w.to, id-1)
	}
	return nil
}

// pick leaves out all but some ids.
func (w *window) pick(ids []string) error {
	for _, s := range ids {
		id, err := w.known(s)
		if err != nil {
			return err
		}
		w.ids = append(w.ids, id)
	}
	slices.Sort(w.ids)
	w.ids = slices.Compact(w.ids)
	w.only = ids != nil
	return nil
}

// keys is the range of the index.
func (w *window) keys() (from, to string) {
	if w.with.IsZero() {
		return indexKey(w.owner, w.from), indexKey(w.owner, w.to) + "\x00"
	}
	return contactKey(w.owner, w.with, w.from), contactKey(w.owner, w.with, w.to) + "\x00"
}

// each calls f with the ids of the window, until f returns false.
func (w *window) each(backward bool, f func(ID) bool) error {
	if w.from > w.to {
		return nil
	}
	if w.only {
		return w.eachOf(backward, f)
	}
	full := w.with.IsFull()
	from, to := w.keys()
	err := w.a.index.Range(from, to, backward, func(key string, raw []byte) bool {
		if full && contactIn(raw) != w.with.String() {
			return true
		}
		return f(idOf(key))
	})
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	return nil
}

// eachOf is each for ids that were named.
func (w *window) eachOf(backward bool, f func(ID) bool) error {
	ids := slices.Clone(w.ids)
	if backward {
		slices.Reverse(ids)
	}
	for _, id := range ids {
		if id < w.from || id > w.to {
			continue
		}
		if !w.with.IsZero() {
			var with string
			ok, err := w.a.index.Get(contactKey(w.owner, w.with, id), &with)
			if err != nil {
				return fmt.Errorf("read archive: %w", err)
			}
			if !ok || w.with.IsFull() && with != w.with.String() {
				continue
			}
		}
		if !f(id) {
			return nil
		}
	}
	return nil
}

// list returns the first ids of the window, or backwards the last ones, and
// whether there are more.
func (w *window) list(limit int, backward bool) (ids []ID, more bool, err error) {
	err = w.each(backward, func(id ID) bool {
		if len(ids) == limit {
			more = true
			return false
		}
		ids = append(ids, id)
		return true
	})
	return ids, more, err
}

// count is the page of a client that wants to know how many there are.
func (w *window) count() (*Page, error) {
	n := 0
	err := w.each(false, func(ID) bool { n++; return true })
	return &Page{Result: rsm.Result{Index: -1, Count: n}, Complete: n == 0}, err
}

// Ends are the first and the last message of an archive that are greater than
// floor; ok false when there are none.
func (a *Archive) Ends(owner jid.JID, floor ID) (first, last Message, ok bool, err error) {
	for range 3 {
		// The oldest may go between the look at the index and the one at the body.
		if first, last, ok, err = a.ends(owner, floor); !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return first, last, ok, err
}

func (a *Archive) ends(owner jid.JID, floor ID) (first, last Message, ok bool, err error) {
	w := window{a: a, owner: owner, from: floor + 1, to: ^ID(0)}
	for backward, m := range map[bool]*Message{false: &first, true: &last} {
		ids, _, err := w.list(1, backward)
		if err != nil || len(ids) == 0 {
			return first, last, false, err
		}
		if *m, err = a.body(ids[0]); err != nil {
			return first, last, false, err
		}
	}
	return first, last, true, nil
}
