package router_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// BenchmarkRoute carries a chat message of alice's to bob's bare JID, where
// one resource takes it.
func BenchmarkRoute(b *testing.B) {
	r, _ := newRouter(b)
	alice, _ := bind(b, r, "alice", "desk", 0)
	_, bob := bind(b, r, "bob", "desk", 0)
	bob.Quiet = true
	st := parse(b, "<message type='chat' id='m' to='bob@office.example'><body>"+strings.Repeat("x", 200)+"</body></message>")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := alice.Handle(ctx, st); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanout100 sends one presence to each of 100 people, as the
// broadcast of a big office does.
func BenchmarkFanout100(b *testing.B) {
	names := make(routertest.Accounts, 100)
	for i := range 100 {
		names[fmt.Sprint("u", i)] = true
	}
	r := routertest.Open(b, router.Config{Accounts: names}).Router
	var list []*stanza.Stanza
	for n := range names {
		_, c := bind(b, r, n, "desk", 0)
		c.Quiet = true
		list = append(list, parse(b, "<presence from='u0@office.example/desk'><status>here</status></presence>").WithTo(at(n+"@"+home)))
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		for _, st := range list {
			r.Send(ctx, st, nil)
		}
	}
}
