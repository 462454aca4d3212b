package roster_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// relabel gives the group another label: all items of all people change.
func (e *everybody) relabel(label string) {
	before := e.items
	e.version++
	e.items = nil
	for _, old := range before {
		it := *old
		it.Groups = []string{label}
		it.XML = strings.ReplaceAll(old.XML, "<group>"+old.Groups[0], "<group>"+label)
		e.items = append(e.items, &it)
	}
	e.watch(context.Background(), relabelled{before, e.items})
}

type relabelled struct{ before, after []*xmpp.SharedItem }

func (r relabelled) Users(f func(jid.JID)) {
	for _, it := range r.after {
		f(it.Contact)
	}
}

func (r relabelled) Items(user jid.JID, f func(jid.JID, *xmpp.SharedItem, *xmpp.SharedItem)) {
	for i, it := range r.after {
		if it.Contact != user {
			f(it.Contact, r.before[i], it)
		}
	}
}

// large is how many people a group has of which every change of its label is long.
const large = 300

// slowly starts a server for a large group of whom two are online: one who
// reads, and one who does not until the gate is closed.
func slowly(t *testing.T, f func(e *everybody, slow, quick *routertest.Client, gate chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		e, h, r := openEverybody(t, large, 0)
		h.Settle = synctest.Wait
		end := h.Go(r.Run)
		gate := make(chan struct{})
		slow := h.Bind(e.items[0].Contact.String()+"/desk", &routertest.Stream{Pacing: func() { <-gate }}, getXML)
		quick := h.Login(e.items[1].Contact.String()+"/desk", getXML)
		slow.Take()
		quick.Take()
		f(e, slow, quick, gate)
		synctest.Wait()
		end()
	})
}

// versions are those of the roster pushes and results that have come, and the
// number of pushes that show a label.
func versions(c *routertest.Client, label string) (vers []string, shown int) {
	synctest.Wait()
	for _, st := range c.Take() {
		if q, ok := st.Child("jabber:iq:roster", "query"); ok && st.Kind == stanza.IQ {
			vers = append(vers, q.Attr("ver"))
			if st.Type == "set" && strings.Contains(st.Inner(), "<group>"+label+"</group>") {
				shown++
			}
		}
	}
	return vers, shown
}

// wantPushes expects a push for each contact, of which the last alone has a version.
func wantPushes(t *testing.T, who string, vers []string, shown int) {
	t.Helper()
	if len(vers) != large-1 || shown != large-1 {
		t.Fatalf("%s: %d pushes, %d with the label; want %d of each", who, len(vers), shown, large-1)
	}
	for i, v := range vers {
		if (v == "-") == (i == len(vers)-1) {
			t.Fatalf("%s: push %d of %d has version %q", who, i, len(vers), v)
		}
	}
}

// TestLongChangeWaitsForNobody: who reads slowly holds up neither the edit nor
// others, and keeps the order of pushes and results.
func TestLongChangeWaitsForNobody(t *testing.T) {
	slowly(t, func(e *everybody, slow, quick *routertest.Client, gate chan struct{}) {
		e.relabel("Crew") // returns
		vers, shown := versions(quick, "Crew")
		wantPushes(t, "quick", vers, shown)
		first, n := versions(slow, "Crew")
		if len(first) == 0 || len(first) >= large-1 {
			t.Fatalf("the slow client was sent %d pushes at once", len(first))
		}
		slow.Say(getXML)
		quick.Say(getXML)
		if got, _ := versions(quick, ""); len(got) != 1 || got[0] != vers[len(vers)-1] {
			t.Errorf("quick: the roster has version %q, the last push had %q", got, vers[len(vers)-1])
		}
		if got, _ := versions(slow, ""); len(got) != 0 {
			t.Errorf("slow: %d things came while it did not read", len(got))
		}
		close(gate)
		rest, more := versions(slow, "Crew")
		all := append(first, rest...)
		if len(all) != large {
			t.Fatalf("slow: %d pushes and results, want %d", len(all), large)
		}
		wantPushes(t, "slow", all[:large-1], n+more)
		if all[large-1] != all[large-2] {
			t.Errorf("slow: the roster has version %q, the last push had %q", all[large-1], all[large-2])
		}
	})
}

// TestFarBehindIsSentAway: what waits for a client is bounded.
func TestFarBehindIsSentAway(t *testing.T) {
	slowly(t, func(e *everybody, slow, quick *routertest.Client, gate chan struct{}) {
		for i, label := range []string{"One", "Two", "Three", "Four", "Five"} {
			if got := slow.Ended(); got != "" {
				t.Fatalf("the slow client was sent away at change %d: %s", i, got)
			}
			e.relabel(label)
			vers, shown := versions(quick, label)
			wantPushes(t, "quick, "+label, vers, shown)
		}
		if got := slow.Ended(); !strings.Contains(got, "policy-violation") {
			t.Errorf("the slow client is still there: %q", got)
		}
		if got := quick.Ended(); got != "" {
			t.Errorf("the quick client was sent away: %s", got)
		}
		close(gate)
	})
}
