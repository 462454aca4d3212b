package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
)

// bookmarking publishes or retracts the bookmark of a room.
func bookmarking(verb, room string) string {
	inner := ""
	if verb == "publish" {
		inner = "<conference xmlns='urn:xmpp:bookmarks:1' name='" + room + "'/>"
	}
	return "<pubsub xmlns='http://jabber.org/protocol/pubsub'><" + verb + " node='urn:xmpp:bookmarks:1'><item id='" + room + "'>" + inner + "</item></" + verb + "></pubsub>"
}

// TestKillPEP kills doorway at random points while bookmarks come and go: what
// was answered is there afterwards, and both forms of it say the same.
func TestKillPEP(t *testing.T) {
	b := startBox(t, "")
	if out, code := b.run(t, "correct horse\n", "user", "add", "alice"); code != 0 {
		t.Fatal(out)
	}
	me := jid.MustParse("alice@office.localhost")
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	kept, gone, changes := map[string]bool{}, map[string]bool{}, 0
	for round := range 10 {
		c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if round > 0 {
			checkBookmarks(t, ctx, c, me, kept, gone)
		}
		done := make(chan struct{})
		answered := make(chan struct{}, 1)
		go func() { // waited for below
			defer close(done)
			for i := 0; ; i++ {
				room := fmt.Sprintf("r%d.%d@conference.office.localhost", round, i)
				if got, err := c.Set(ctx, me, bookmarking("publish", room)); err != nil || got.Type != "result" {
					return
				}
				kept[room] = true
				changes++
				select {
				case answered <- struct{}{}:
				default:
				}
				if i%3 != 0 {
					continue
				}
				delete(kept, room) // until it is answered, either may be
				if got, err := c.Set(ctx, me, bookmarking("retract", room)); err != nil || got.Type != "result" {
					return
				}
				gone[room] = true
			}
		}()
		for _, wait := range []<-chan struct{}{answered, soon(ctx, time.Duration(rnd.IntN(120))*time.Millisecond)} {
			select {
			case <-wait:
			case <-done:
			case <-ctx.Done():
			}
		}
		b.process.kill(t)
		_ = c.Kill() // ignored: the server's end is gone
		<-done
		cancel()
		b.start(t)
	}
	t.Logf("%d bookmarks were answered, %d of them retracted", changes, len(gone))
	c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	checkBookmarks(t, ctx, c, me, kept, gone)
}

// soon closes its channel after a while.
func soon(ctx context.Context, d time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}

// checkBookmarks holds the bookmarks against what was answered.
func checkBookmarks(t *testing.T, ctx context.Context, c *chatter, me jid.JID, kept, gone map[string]bool) {
	t.Helper()
	ask := func(payload string) string {
		got, err := c.Get(ctx, me, payload)
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		return got.Inner()
	}
	const page = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/><set xmlns='http://jabber.org/protocol/rsm'><max>250</max>%s</set></pubsub>"
	items := ""
	for after := ""; ; {
		got := ask(fmt.Sprintf(page, after))
		items += got
		_, last, ok := strings.Cut(got, "<last>")
		last, _, _ = strings.Cut(last, "</last>")
		if !ok || last == "" {
			break
		}
		after = "<after>" + last + "</after>"
	}
	old := ask("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
	for room := range kept {
		if !strings.Contains(items, "<item id='"+room+"'>") || !strings.Contains(old, "jid='"+room+"'") {
			t.Errorf("%s was published, and is not there", room)
		}
	}
	for room := range gone {
		if strings.Contains(items, "'"+room+"'") || strings.Contains(old, "'"+room+"'") {
			t.Errorf("%s was retracted, and is there", room)
		}
	}
	if n, m := strings.Count(items, "<item id="), strings.Count(old, "<conference"); n != m {
		t.Errorf("%d bookmarks, %d in the old form", n, m)
	}
}
