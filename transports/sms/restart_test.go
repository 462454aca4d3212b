package sms

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

// crash is what the disk held at some moment.
type crash struct {
	outbox *memOutbox
	table  *memTable
}

func (h *house) crash() crash { return crash{h.outbox.copy(), h.table.copy()} }

func (c crash) restart(t *testing.T, peers ...*modemPeer) *house {
	t.Helper()
	return open(t, c.outbox, c.table, quiet, peers...)
}

// TestKilledBetweenCtrlZAndAnswer is row B22: nothing is sent again blindly, and the sender is told.
func TestKilledBetweenCtrlZAndAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at crash
		var h *house
		p := newPeer("gsm0", answer{}, answer{then: func() { at = h.crash() }})
		h = start(t, p)
		id := h.send(strings.Repeat("abcdefghij", 40)) // three parts, killed during the second
		h.stop()

		p2 := newPeer("gsm0")
		p2.mr = 60
		h = at.restart(t, p2)
		defer h.stop()
		c := h.want(id, transports.PossiblySent)
		if len(p2.sent) != 1 || p2.sent[0].Part.Concat.Seq != 3 || p2.sent[0].Part.Concat.Ref != p.sent[0].Part.Concat.Ref {
			t.Fatalf("sent after the restart: %+v", p2.sent)
		}
		if c.Parts[0].State != transports.Accepted || c.Parts[1].State != transports.PossiblySent || c.Parts[2].State != transports.Accepted {
			t.Fatalf("chain %+v", c)
		}
		pass(3 * time.Minute)
		if h.receipts() != "possibly-sent" || !strings.Contains(c.Text, "gateway was stopped") {
			t.Fatalf("told %q: %s", h.receipts(), c.Text)
		}
		p2.report(t, 41, bob, pdu.StatusDelivered)
		p2.report(t, 42, bob, pdu.StatusDelivered) // the reference nobody could save
		p2.report(t, 61, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
	})
}

func TestKilledBeforeThePartWasOnAir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		p.set(modem.Searching, "")
		synctest.Wait()
		id := h.send("hi")
		at := h.crash()
		h.stop()
		p2 := newPeer("gsm0")
		h = at.restart(t, p2)
		defer h.stop()
		h.want(id, transports.Accepted)
		if len(p2.sent) != 1 {
			t.Fatalf("sent %d", len(p2.sent))
		}
	})
}

func TestUrgentTextKilledOnAirIsRepeatedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at crash
		var h *house
		p := newPeer("gsm0", answer{then: func() { at = h.crash() }})
		h = start(t, p)
		id := h.send("fire", urgent)
		h.stop()
		p2 := newPeer("gsm0")
		h = at.restart(t, p2)
		defer h.stop()
		pass(5 * time.Minute)
		h.want(id, transports.Accepted)
		if got := p2.texts(); len(got) != 1 || got[0] != "[repeat] fire" {
			t.Fatalf("sent %q", got)
		}
	})
}

func TestReportIndexSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0"))
		id := h.send("hi")
		at := h.crash()
		h.stop()
		p := newPeer("gsm0")
		h = at.restart(t, p)
		defer h.stop()
		p.report(t, 41, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
		if h.receipts() != "delivered" || len(p.sent) != 0 {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

// TestReceiptNobodyTookIsOfferedAgain also covers a stop between the commit and the sink.
func TestReceiptNobodyTookIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassRecipient, cms: 1})
		h := start(t, p)
		h.refuse = errors.New("disk full")
		h.send("hi")
		at := h.crash()
		h.stop()
		h = at.restart(t, newPeer("gsm0"))
		if h.receipts() != "failed" {
			t.Fatalf("told %q", h.receipts())
		}
		at = h.crash()
		h.stop()
		h = at.restart(t, newPeer("gsm0"))
		defer h.stop()
		if h.receipts() != "" {
			t.Fatalf("told again: %q", h.receipts())
		}
	})
}

// TestReportReadBeforeTheMatchIsNotLost kills the gateway after the report left the modem.
func TestReportReadBeforeTheMatchIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		var h *house
		h = start(t, p)
		id := h.send("one")
		p.answers = []answer{{takes: time.Minute}}
		again := h.send("two") // the second text's report comes while its answer is awaited
		p.report(t, 42, bob, pdu.StatusDelivered)
		if p.deleted != 1 || h.table.keys("rep/") != 1 {
			t.Fatalf("deleted %d, kept %d", p.deleted, h.table.keys("rep/"))
		}
		at := h.crash()
		pass(2 * time.Minute)
		h.want(again, transports.Delivered)
		h.want(id, transports.Accepted)
		h.stop()
		h = at.restart(t, newPeer("gsm0"))
		defer h.stop()
		h.want(again, transports.Delivered) // the crash left it on air; the report proves it
	})
}

// TestReportThatOutlivesItsUseSettlesNobodyElse kills the gateway after a report was applied and before its record was deleted.
func TestReportThatOutlivesItsUseSettlesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{}, answer{class: modem.ClassAmbiguous, cms: 500})
		h := start(t, p)
		sure, unsure := h.send("one"), h.send("two")
		p.report(t, 41, bob, pdu.StatusDelivered)
		h.want(sure, transports.Delivered)
		at := h.crash()
		h.stop()
		tpdu, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: 41, To: pduNumber(bob), Time: time.Now(), Done: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := at.table.Write(map[string]any{"rep/x": reportRecord{V: 1, TPDU: tpdu, Modem: "gsm0", At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		h = at.restart(t, newPeer("gsm0"))
		defer h.stop()
		h.want(unsure, transports.PossiblySent)
		if h.table.keys("rep/") != 0 {
			t.Error("the record is kept")
		}
	})
}

func TestConcatenationReferenceIsNotRepeatedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		text := strings.Repeat("abcdefghij", 20)
		h.send(text)
		h.send(text)
		at := h.crash()
		h.stop()
		h = at.restart(t, p)
		defer h.stop()
		h.send(text)
		seen := map[uint16]int{}
		for _, s := range p.sent {
			seen[s.Part.Concat.Ref]++
			if !s.Part.Concat.Wide {
				t.Error("8-bit reference")
			}
		}
		if len(seen) != 3 {
			t.Fatalf("references %v", seen)
		}
	})
}

func TestDamagedJournalFailsAloneAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		id, err := h.outbox.Put(t.Context(), transports.Job{Dest: "x", State: transports.Queued, Payload: []byte("{")})
		if err != nil {
			t.Fatal(err)
		}
		h.want(h.send("hi"), transports.Accepted)
		if j, _ := h.outbox.Get(id); j.State != transports.Failed || !strings.Contains(j.Error, "damaged") {
			t.Fatalf("job %+v", j)
		}
	})
}
