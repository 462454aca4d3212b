package pep_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

// TestOrder: those who hear of a node hear of its changes in the order in which
// they came to the disk, whoever makes them, and of all of them.
func TestOrder(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, pubsub.Limits{}, router.Config{Store: store})
	stop := o.Go(store.Run)
	defer stop()
	o.subs.friends(alice, bob)
	hearers := []*routertest.Client{o.online(alice+"/1", "urn:a"), o.online(bob+"/1", "urn:a")}
	user := jid.MustParse(alice)
	c := pubsub.Personal()
	c.Max = 0
	if err := o.service.Change(t.Context(), user, func(tx *pubsub.Tx) error {
		return tx.Do(&pubsub.Op{Kind: pubsub.Created, Node: "urn:a", Conf: &c})
	}); err != nil {
		t.Fatal(err)
	}
	const makers, each = 8, 20
	var wg sync.WaitGroup
	for i := range makers {
		wg.Go(func() {
			for k := range each {
				if err := o.m.Publish(t.Context(), user, "urn:a", fmt.Sprintf("%d.%d", i, k), "<x xmlns='urn:x'/>"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := o.m.Publish(t.Context(), user, "urn:a", "end", "<x xmlns='urn:x'/>"); err != nil {
		t.Fatal(err)
	}
	ids, _, err := o.service.IDs(user, user, "urn:a")
	if err != nil || len(ids) != makers*each+1 {
		t.Fatalf("%d items, %v", len(ids), err)
	}
	slices.Reverse(ids)
	for _, h := range hearers {
		var heard []string
		for _, l := range h.Recv() {
			_, id, _ := strings.Cut(l, "item=")
			id, _, _ = strings.Cut(id, "(")
			heard = append(heard, id)
		}
		if !slices.Equal(heard, ids) {
			t.Errorf("%s heard\n%v\nof\n%v", h.Session.JID(), heard, ids)
		}
	}
}
