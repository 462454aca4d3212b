package muc_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp/routertest"
)

// TestSoak: people come, talk, change and are thrown out of three rooms all at
// once; in the end everybody's view of who is there is the rooms' own.
func TestSoak(t *testing.T) {
	o := open(t, nil, routertest.Available())
	a := o.found("persistentroom=1")
	for _, other := range []string{"left", "right"} {
		a.Say("<presence to='" + other + "@" + service + "/alice'>" + join + "</presence>")
		a.Ask("set", other+"@"+service, submit())
	}
	rooms := []string{hall, "left@" + service, "right@" + service}
	var all []*routertest.Client
	for i := range 8 {
		all = append(all, o.person(fmt.Sprint("u", i)))
	}
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range 150 {
				if rnd.IntN(30) == 0 { // without a word, and back
					c.Leave()
					c = o.person(fmt.Sprintf("u%d/%d", i, n))
				}
				room := rooms[rnd.IntN(3)]
				at := fmt.Sprintf("%s/n%d", room, i)
				switch rnd.IntN(7) {
				case 0, 1, 2:
					c.Say("<presence to='" + at + "'>" + join + "</presence>")
				case 3:
					c.Say(fmt.Sprintf("<message type='groupchat' to='%s'><body>%d</body></message>", room, n))
				case 4:
					c.Say("<presence type='unavailable' to='" + at + "'/>")
				case 5:
					c.Say(fmt.Sprintf("<presence to='%s'><status>%d</status></presence>", at, n))
				case 6:
					c.Say(fmt.Sprintf("<message type='chat' to='%s/n%d'><body>psst</body></message>", room, rnd.IntN(8)))
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 50 {
			for _, room := range rooms {
				a.Say(fmt.Sprintf("<iq type='set' id='k%d' to='%s'>%s</iq>", n, room, admin(fmt.Sprintf("nick=n%d role=none", n%8))))
			}
			if n%10 == 0 {
				a.Say(fmt.Sprintf("<iq type='set' id='c%d' to='%s'>%s</iq>", n, hall, submit(fmt.Sprint("roomname=", n), fmt.Sprint("membersonly=", n/10%2))))
			}
		}
		a.Say("<iq type='set' id='end' to='" + hall + "'>" + submit("membersonly=0") + "</iq>")
	})
	wg.Wait()
	for _, room := range rooms {
		is := map[string]bool{}
		for l := range strings.SplitSeq(a.Ask("get", room, askItems), "<item ") {
			if _, rest, ok := strings.Cut(l, "jid='"); ok {
				at, _, _ := strings.Cut(rest, "'")
				is[at] = true
			}
		}
		seen := map[string]bool{}
		for _, st := range a.All() {
			if st.Kind.String() == "presence" && st.From.Bare().String() == room && st.Type != "error" {
				seen[st.From.String()] = st.Type == ""
			}
		}
		for at, there := range seen {
			if there != is[at] {
				t.Errorf("%s: alice believes %v, the room says %v", at, there, is[at])
			}
		}
		for at := range is {
			if !seen[at] && !strings.HasSuffix(at, "/alice") { // that was before
				t.Errorf("%s: alice does not know", at)
			}
		}
	}
	if s := o.Log.String(); strings.Contains(s, "panic") {
		t.Error(s)
	}
}
