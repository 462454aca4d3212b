package sms

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// TestKilledAnywhere kills the gateway at random points of a stream of texts: before and after each commit of a worker,
// between the mark and Ctrl-Z, and between Ctrl-Z and the answer. Nothing is lost, and no part is sent twice; one that
// did not leave although its mark is on disk is reported as possibly sent.
func TestKilledAnywhere(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			outbox, table := newMemOutbox(), newMemTable()
			var sent [][]string // what left the modem, by life
			var ids []uint64
			bodies := map[uint64]string{}
			n := 0
			for life := range 4 {
				p := newPeer("gsm0")
				p.mr = byte(life * 50)
				for range rng.IntN(4) {
					p.answers = append(p.answers, answer{class: []modem.Class{"", modem.ClassNetwork, modem.ClassBusy}[rng.IntN(3)], before: rng.IntN(2) == 0})
				}
				for i := range p.answers {
					p.answers[i].before = p.answers[i].before && p.answers[i].class != ""
				}
				last := life == 3
				left, dead := rng.IntN(14), make(chan crash, 1)
				var mu sync.Mutex // guards left, killed
				killed := false
				gone := func() bool {
					mu.Lock()
					defer mu.Unlock()
					return killed
				}
				point := func() bool {
					mu.Lock()
					defer mu.Unlock()
					if last || killed {
						return !killed
					}
					if left--; left >= 0 {
						return true
					}
					killed = true
					dead <- crash{outbox.copy(), table.copy()}
					return false
				}
				p.alive = point
				outbox.commit = func() { point() }
				h := open(t, outbox, table, quiet, p)
				for range 2 {
					n++
					body := fmt.Sprintf("%d-%d %s", seed, n, strings.Repeat("x", rng.IntN(400)))
					id := h.send(body)
					if !gone() { // else the sender was not told that the gateway has it
						ids, bodies[id] = append(ids, id), body
					}
				}
				pass(3 * time.Minute)
				if last {
					pass(2 * time.Hour) // what was refused for a while has been tried again
				}
				if !last && !gone() {
					mu.Lock()
					killed = true
					mu.Unlock()
					dead <- crash{outbox.copy(), table.copy()}
				}
				var parts []string
				p.mu.Lock()
				for _, s := range p.sent {
					parts = append(parts, s.To.Digits+s.Text())
				}
				p.mu.Unlock()
				sent = append(sent, parts)
				if !last {
					h.stop()
					at := <-dead
					outbox, table = at.outbox, at.table
					continue
				}
				for _, id := range ids {
					c := h.chain(id)
					if c.Body != bodies[id] || c.State != transports.Accepted && c.State != transports.PossiblySent {
						t.Errorf("seed %d: text %d is %s: %s", seed, id, c.State, c.Text)
					}
				}
				h.stop()
			}
			count := map[string]int{}
			for _, l := range sent {
				for _, s := range l {
					if count[s]++; count[s] > 1 && strings.Contains(s, "-") {
						t.Errorf("seed %d: sent twice: %.30q", seed, s)
					}
				}
			}
		})
	}
}
