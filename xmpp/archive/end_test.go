package archive_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
)

// TestForget: what an owner that is no more has left goes, also when there is
// much of it, what others keep stays, and what comes later under the same name.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, routertest.NewStore(), archive.Config{})
		for i := range 200 {
			a.Put(text(fmt.Sprint(i)), ok(t), archive.Owner{JID: room, With: bob}, archive.Owner{JID: alice, With: bob})
		}
		var owners []jid.JID
		list := func() []jid.JID {
			owners = nil
			if err := a.Owners(func(j jid.JID) bool { owners = append(owners, j); return true }); err != nil {
				t.Error(err)
			}
			return owners
		}
		if got := list(); !slices.Equal(got, []jid.JID{alice, room}) {
			t.Errorf("owners %v", got)
		}
		floor := a.Floor()
		a.Forget(room)
		a.Put(text("new"), ok(t), archive.Owner{JID: room, With: bob})
		if p, err := a.Page(room, archive.Query{Floor: floor}); err != nil || p.Result.Count != 1 {
			t.Errorf("before it is done: %v %v", p, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }() // waited for below
		synctest.Wait()
		if got := all(t, a, room); len(got) != 1 {
			t.Errorf("%d messages of the room", len(got))
		}
		if got := all(t, a, alice); len(got) != 200 {
			t.Errorf("%d messages of alice", len(got))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
