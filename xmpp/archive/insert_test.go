package archive_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp/archive"
	"doorway/xmpp/routertest"
)

// TestInsert: messages of the past stand at their times among those that came
// here, each once; what is too old stays away, and a full disk keeps nothing.
func TestInsert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		a := open(t, store, archive.Config{Age: 24 * time.Hour})
		owner := archive.Owner{JID: alice, With: bob}
		a.Put(text("here 1"), ok(t), owner)
		time.Sleep(time.Hour)
		a.Put(text("here 2"), ok(t), owner)
		time.Sleep(time.Hour)
		now := time.Now()
		past := []archive.Past{{With: bob, At: now.Add(-25 * time.Hour), Stanza: text("too old")}}
		for i := range 300 { // all of one moment
			past = append(past, archive.Past{With: bob, At: now.Add(-90 * time.Minute), Stanza: text(fmt.Sprint("there ", i))})
		}
		past = append(past, archive.Past{With: bob, At: now.Add(time.Hour), Stanza: text("of the future")})
		if kept, err := a.Insert(alice, past); err != nil || kept != 301 {
			t.Errorf("kept %d, %v", kept, err)
		}
		a.Put(text("here 3"), ok(t), owner)
		want := []string{"here 1"}
		for i := range 300 {
			want = append(want, fmt.Sprint("there ", i))
		}
		want = append(want, "here 2", "of the future", "here 3")
		check := func(a *archive.Archive) {
			t.Helper()
			var got []string
			for _, m := range all(t, a, alice) {
				st, err := m.Stanza()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, st.Body())
			}
			if strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("archive %v", got)
			}
			if p, err := a.Page(alice, archive.Query{With: bob.Bare()}); err != nil || p.Result.Count != len(want) {
				t.Errorf("with bob %+v, %v", p, err)
			}
		}
		check(a)
		check(open(t, store, archive.Config{Age: 24 * time.Hour}))
		store.Fail(errors.New("disk full"))
		if kept, err := a.Insert(alice, past[1:2]); err == nil {
			t.Errorf("kept %d on a full disk", kept)
		}
		store.Fail(nil)
		check(a)
	})
}
