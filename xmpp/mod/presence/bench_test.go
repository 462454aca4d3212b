package presence_test

import (
	"context"
	"fmt"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// BenchmarkPresenceBroadcast is one update of a user with 200 contacts, all of
// them online, through roster, presence and router to the streams' queues.
func BenchmarkPresenceBroadcast(b *testing.B) {
	for _, online := range []int{200, 10} {
		b.Run(fmt.Sprintf("online=%d", online), func(b *testing.B) {
			ctx := context.Background()
			subs := roster.New(nil)
			people := routertest.Accounts{"alice": true}
			for i := range 200 {
				people[fmt.Sprint("p", i)] = true
			}
			h := routertest.Open(b, router.Config{Accounts: people}, subs, presence.New(subs))
			user := jid.MustParse(alice)
			for i := range 200 {
				c := jid.MustParse(fmt.Sprintf("p%d@%s", i, routertest.Domain))
				if err := subs.Add(ctx, user, c, "", nil, "both"); err != nil {
					b.Fatal(err)
				}
				if i < online {
					h.Bind(c.String()+"/desk", &routertest.Stream{Quiet: true}, "<presence/>")
				}
			}
			a := h.Bind(alice+"/desk", &routertest.Stream{Quiet: true})
			st := stanza.New(stanza.Presence, "", "", jid.JID{}, jid.JID{}, "<show>away</show><priority>5</priority>")
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Session.Handle(ctx, st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
