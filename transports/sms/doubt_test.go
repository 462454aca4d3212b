package sms

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/transports"
)

// TestTextsOfARestoredCopyStay: what waited in an older copy of the outbox is
// not sent by itself, urgent or not, begun or not; the sender is told, and a
// person may send it again.
func TestTextsOfARestoredCopyStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at crash
		var h *house
		p := newPeer("gsm0", answer{}, answer{then: func() { at = h.crash() }})
		h = start(t, p)
		long := h.send(strings.Repeat("abcdefghij", 40)) // three parts, copied during the second
		h.stop()
		doubt := func() {
			for id, job := range at.outbox.jobs {
				switch job.State {
				case transports.Queued, transports.Leased, transports.OnAir, transports.RetryWait:
					h.net.Doubt(&job)
					at.outbox.jobs[id] = job
				}
			}
		}
		doubt()
		h = at.restart(t) // no modem
		plain, alarm := h.send("hi"), h.send("fire", urgent)
		at = h.crash()
		h.stop()
		doubt()
		p = newPeer("gsm0")
		h = at.restart(t, p)
		defer h.stop()
		pass(30 * time.Minute)
		if len(p.sent) != 0 {
			t.Fatalf("sent %q", p.texts())
		}
		for _, id := range []uint64{long, plain, alarm} {
			if c := h.want(id, transports.PossiblySent); !strings.Contains(c.Text, "older copy") {
				t.Errorf("%d: %s", id, c.Text)
			}
		}
		if got := h.receipts(); got != "possibly-sent possibly-sent" { // of the long one before
			t.Errorf("told %q", got)
		}
		h.outbox.requeue(plain)
		pass(time.Minute)
		if got := p.texts(); len(got) != 1 || got[0] != "hi" {
			t.Errorf("sent by hand %q", got)
		}
	})
}
