package sms

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

// The reference has 8 bits (3GPP TS 23.040 §9.2.2.1): 600 texts to one number, whose phone is off, and then all reports at
// once, the newest first.
func TestReportsOfMoreTextsThanReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		var ids []uint64
		var at []time.Time
		for i := range 600 {
			ids = append(ids, h.send(fmt.Sprint(i)))
			at = append(at, time.Now())
			pass(5 * time.Second)
		}
		for i := len(ids) - 1; i >= 0; i-- {
			st := pdu.StatusDelivered
			if i%7 == 0 {
				st = 0x46
			}
			p.reportAt(t, byte(41+i), bob, st, at[i].Add(3*time.Second)) // its clock is not ours
		}
		for i, id := range ids {
			want := transports.Delivered
			if i%7 == 0 {
				want = transports.Failed
			}
			if c := h.chain(id); c.State != want {
				t.Fatalf("text %d (reference %d) is %s, want %s", i, c.Parts[0].MR, c.State, want)
			}
		}
	})
}

// A report may be faster than the modem's own answer, and those of the parts come in any order.
func TestReportsBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		early := func(mr byte) func() {
			return func() {
				b, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: mr, To: pduNumber(bob), Time: time.Now(), Done: time.Now()})
				if err != nil {
					t.Error(err)
				}
				p.inbox <- modem.Stored{Modem: p.name, TPDU: b, At: time.Now()}
			}
		}
		p.answers = []answer{{takes: 5 * time.Second, then: early(41)}, {takes: 5 * time.Second}, {takes: 5 * time.Second, then: early(43)}}
		h := start(t, p)
		defer h.stop()
		id := h.send(strings.Repeat("x", 400))
		pass(20 * time.Second)
		if c := h.want(id, transports.Accepted); c.Parts[0].State != transports.Delivered || c.Parts[1].State != transports.Accepted || c.Parts[2].State != transports.Delivered {
			t.Errorf("%+v", c.Parts)
		}
		p.report(t, 42, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
		if h.receipts() != "accepted delivered" {
			t.Errorf("told %q", h.receipts())
		}
	})
}
