package sms

import (
	"testing"
	"testing/synctest"

	"doorway/modem"
	"doorway/transports"
)

// A text that a person puts back tells what became of it anew, and that it is another life; so does it after a restart.
func TestPutBackTellsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := answer{class: modem.ClassRecipient, cms: 1}
		h := start(t, newPeer("gsm0", gone, gone, gone))
		id := h.send("hi")
		for again := range 3 {
			h.want(id, transports.Failed)
			if r := h.lastReceipt(); r.State != transports.Failed || r.Again != again {
				t.Errorf("%+v, put back %d times", r, again)
			}
			if again == 1 {
				c := h.crash()
				h.stop()
				h = c.restart(t, newPeer("gsm0", gone))
			}
			if again < 2 {
				h.outbox.requeue(id)
				synctest.Wait()
			}
		}
		if got := h.receipts(); got != "failed" { // of this life
			t.Error(got)
		}
		h.stop()
	})
}
