package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/people"
	"doorway/xmpp/jid"
)

// shelf holds bookmarks as mod/bookmarks would.
type shelf struct {
	mu    sync.Mutex // guards what follows
	given map[string]string
	calls int
	fails int // so many calls fail
}

func (s *shelf) change(account, room jid.JID, what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.fails > 0 {
		s.fails--
		return errors.New("the disk is full")
	}
	if key := account.Local() + " " + room.String(); what == "" {
		delete(s.given, key)
	} else {
		s.given[key] = what
	}
	return nil
}

func (s *shelf) Offer(_ context.Context, account, room jid.JID, name string, autojoin bool) error {
	return s.change(account, room, fmt.Sprintf("%s %v", name, autojoin))
}

func (s *shelf) Withdraw(_ context.Context, account, room jid.JID) error {
	return s.change(account, room, "")
}

// until waits for what is given.
func (s *shelf) until(t *testing.T, want map[string]string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		ok, got := maps.Equal(s.given, want), maps.Clone(s.given)
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-limit:
			t.Fatalf("given %v, want %v", got, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// shelve runs a Bookmarker until stop.
func (o *office) shelve(s *shelf) (stop func()) {
	k := NewBookmarker(o.Roster, s, "conference."+domain, o.store.Table("people"), slog.New(slog.DiscardHandler))
	o.people.OnRemove(k.Removed)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }() // waited for by stop
	return func() {
		cancel()
		if err := <-done; err != nil {
			o.Error(err)
		}
	}
}

func TestBookmarksFollowGroups(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben", "carl")
	s := &shelf{given: map[string]string{}}
	stop := o.shelve(s)
	o.group("sales", "Sales", "members", "anna", "ben", "+4915550101", "bot@irc.office.example")
	o.room("sales", people.RoomAutojoin, "carl")
	const room = " sales@conference.office.example"
	s.until(t, map[string]string{"anna" + room: "Sales true", "ben" + room: "Sales true", "carl" + room: "Sales true"})
	o.group("sales", "Selling", "members", "anna")
	s.until(t, map[string]string{"anna" + room: "Selling true", "carl" + room: "Selling true"})
	stop()
	// What changes while nothing runs is made up for at the next start.
	o.room("sales", people.RoomOffered)
	o.group("all", "All", "members", "everybody")
	o.room("all", people.RoomOffered)
	s.mu.Lock()
	s.calls = 0
	s.mu.Unlock()
	stop = o.shelve(s)
	const hall = " all@conference.office.example"
	want := map[string]string{"anna" + room: "Selling false", "anna" + hall: "All false", "ben" + hall: "All false", "carl" + hall: "All false"}
	s.until(t, want)
	stop()
	if s.calls != 5 {
		t.Errorf("%d calls", s.calls)
	}
	// Nothing to do, nothing done.
	s.calls = 0
	stop = o.shelve(s)
	o.edit(func(e *people.Edit) error { return e.RemoveGroup("sales") })
	delete(want, "anna"+room)
	s.until(t, want)
	stop()
	if s.calls != 1 {
		t.Errorf("%d calls", s.calls)
	}
}

// An account of the same name as a removed one is given its own.
func TestBookmarksOfANewAccount(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben")
	o.group("all", "All", "members", "everybody")
	o.room("all", people.RoomOffered)
	s := &shelf{given: map[string]string{}}
	stop := o.shelve(s)
	const hall = " all@conference.office.example"
	want := map[string]string{"anna" + hall: "All false", "ben" + hall: "All false"}
	s.until(t, want)
	stop()
	stop = o.shelve(s)
	s.mu.Lock() // nothing is given while this is held
	if err := o.people.Remove("anna"); err != nil {
		t.Fatal(err)
	}
	delete(s.given, "anna"+hall) // with the account
	o.accounts("anna")
	s.mu.Unlock()
	s.until(t, want)
	stop()
	var keys []string
	err := o.store.Table("people").Range("", "", false, func(key string, _ []byte) bool { keys = append(keys, key); return true })
	if want := []string{"anna", "anna\x00rooms", "ben", "ben\x00rooms"}; err != nil || !slices.Equal(keys, want) {
		t.Errorf("rows %q, %v", keys, err)
	}
}

// A disk that takes nothing is tried again.
func TestBookmarksAreTriedAgain(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna")
	o.group("all", "All", "members", "everybody")
	o.room("all", people.RoomOffered)
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{given: map[string]string{}, fails: 2}
		stop := o.shelve(s)
		for range 3 {
			synctest.Wait()
			time.Sleep(retry + time.Second)
		}
		synctest.Wait()
		if len(s.given) != 1 || s.calls != 3 {
			t.Errorf("given %v in %d calls", s.given, s.calls)
		}
		stop()
	})
}
