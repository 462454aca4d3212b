package shared

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// Bookmarker keeps the bookmarks of groups' rooms (XEP-0402) in the accounts of
// their members. What it has given each account is on disk beside the people, so that after
// a crash it goes on where it was: a bookmark is noted before it is given, and
// forgotten after it was taken back.
type Bookmarker struct {
	r         *Roster
	bookmarks xmpp.Bookmarks
	domain    string // of rooms
	table     Table
	log       *slog.Logger
	wake      chan struct{} // holds one token when something may have changed

	mu   sync.Mutex // guards gone
	gone []string   // removed accounts; those who have the name next begin anew
}

// Table is where a Bookmarker keeps what it has given: the table "people".
type Table interface {
	Write(changes map[string]any) error
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error
}

// offer is one bookmark, given or about to be.
type offer struct {
	Room     string `json:"room"` // the group's id
	Label    string `json:"label"`
	Autojoin bool   `json:"autojoin,omitempty"`
	Done     bool   `json:"done,omitempty"` // it was surely given
}

// offersRecord is what the table holds of one account.
type offersRecord struct {
	V      int     `json:"v"`
	Offers []offer `json:"offers"`
}

const offersVersion = 1

// NewBookmarker makes one; domain is that of rooms. It works while Run runs.
func NewBookmarker(r *Roster, b xmpp.Bookmarks, domain string, t Table, log *slog.Logger) *Bookmarker {
	k := &Bookmarker{r: r, bookmarks: b, domain: domain, table: t, log: log, wake: make(chan struct{}, 1)}
	r.rooms.Watch(func(context.Context, xmpp.GroupRoomChange) { k.rouse() })
	return k
}

func (k *Bookmarker) rouse() {
	select {
	case k.wake <- struct{}{}:
	default: // it is told already
	}
}

// Removed says that an account, by its localpart, is no more, and its
// bookmarks with it (people.People.OnRemove).
func (k *Bookmarker) Removed(local string) {
	k.mu.Lock()
	k.gone = append(k.gone, local)
	k.mu.Unlock()
	k.rouse()
}

// retry is how long Run waits when the disk took nothing.
const retry = time.Minute

// Run gives and takes back bookmarks until ctx ends.
func (k *Bookmarker) Run(ctx context.Context) error {
	have, err := k.read()
	if err != nil {
		return err
	}
	for {
		var again <-chan time.Time
		if err := k.settle(ctx, have); err != nil && ctx.Err() == nil {
			k.log.Warn("bookmarks of groups' rooms are not all given yet", "comp", "people", "err", err)
			again = time.After(retry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-again:
		}
	}
}

// read is what was given, by account.
func (k *Bookmarker) read() (map[string][]offer, error) {
	have := make(map[string][]offer)
	var bad error
	err := k.table.Range("", "", false, func(key string, raw []byte) bool {
		local, _, ok := strings.Cut(key, "\x00")
		if !ok || people.RoomsKey(local) != key {
			return true
		}
		var rec offersRecord
		if err := json.Unmarshal(raw, &rec); err != nil || rec.V != offersVersion {
			bad = fmt.Errorf("bookmarks of %s: version %d: %w", local, rec.V, cmp.Or(err, people.ErrPerson))
			return false
		}
		have[local] = rec.Offers
		return true
	})
	return have, cmp.Or(err, bad)
}

// forget drops what removed accounts had.
func (k *Bookmarker) forget(have map[string][]offer) error {
	k.mu.Lock()
	gone := k.gone
	k.gone = nil
	k.mu.Unlock()
	for i, local := range gone {
		if err := k.table.Write(map[string]any{people.RoomsKey(local): nil}); err != nil {
			k.mu.Lock()
			k.gone = append(k.gone, gone[i:]...)
			k.mu.Unlock()
			return err
		}
		delete(have, local)
	}
	return nil
}

// settle brings what people have in line with the groups.
func (k *Bookmarker) settle(ctx context.Context, have map[string][]offer) error {
	s := k.r.now.Load()
	first := k.forget(have)
	want := make(map[string][]offer, len(have))
	for id := range s.groups {
		g, ok := s.roomOf(id)
		if !ok {
			continue
		}
		for _, a := range s.affiliations(id, k.r.house.SMSDomain) {
			if a.jid.Domain() == k.r.house.Domain {
				want[a.jid.Local()] = append(want[a.jid.Local()], offer{Room: id, Label: g.Label, Autojoin: g.Autojoin, Done: true})
			}
		}
	}
	for local := range have {
		if _, ok := want[local]; !ok {
			want[local] = nil
		}
	}
	for local, offers := range want {
		if err := ctx.Err(); err != nil {
			return err
		}
		sort.Slice(offers, func(i, j int) bool { return offers[i].Room < offers[j].Room })
		if slices.Equal(have[local], offers) {
			continue
		}
		if s.state.OfAccount(local) == nil { // removed while nobody looked
			k.mu.Lock()
			k.gone = append(k.gone, local)
			k.mu.Unlock()
			continue
		}
		if err := k.give(ctx, local, have, offers); err != nil && first == nil {
			first = err
		}
	}
	return cmp.Or(first, k.forget(have))
}

// give brings one account's bookmarks in line.
func (k *Bookmarker) give(ctx context.Context, local string, have map[string][]offer, offers []offer) error {
	account, err := jid.New(local, k.r.house.Domain, "")
	if err != nil {
		return err
	}
	old := have[local]
	noted := slices.Clone(old)
	for _, o := range offers {
		if !slices.Contains(old, o) {
			noted = slices.DeleteFunc(noted, func(x offer) bool { return x.Room == o.Room })
			noted = append(noted, offer{Room: o.Room, Label: o.Label, Autojoin: o.Autojoin})
		}
	}
	if err := k.note(have, local, noted); err != nil {
		return err
	}
	for _, o := range noted {
		room, err := jid.New(o.Room, k.domain, "")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(offers, func(x offer) bool { return x.Room == o.Room }) {
			err = k.bookmarks.Withdraw(ctx, account, room)
		} else if !o.Done {
			err = k.bookmarks.Offer(ctx, account, room, o.Label, o.Autojoin)
		}
		if err != nil {
			return fmt.Errorf("bookmark of %s for %s: %w", room, account, err)
		}
	}
	return k.note(have, local, offers)
}

// note writes down what an account has, or is about to have.
func (k *Bookmarker) note(have map[string][]offer, local string, offers []offer) error {
	if slices.Equal(have[local], offers) {
		return nil
	}
	var row any
	if len(offers) > 0 {
		row = offersRecord{offersVersion, offers}
	}
	if err := k.table.Write(map[string]any{people.RoomsKey(local): row}); err != nil {
		return err
	}
	if have[local] = offers; row == nil {
		delete(have, local)
	}
	return nil
}
