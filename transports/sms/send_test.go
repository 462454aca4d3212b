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

const bob = "+4915550101"

var long = strings.Repeat("Straße 12, bitte 👩‍🚒 schicken. ", 8)

func TestLongTextWithEmojiIsDeliveredAndConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		id := h.send(long)
		h.want(id, transports.Accepted)
		var parts []pdu.Part
		for _, s := range p.sent {
			if !s.StatusReport || s.To.String() != bob {
				t.Fatalf("submit %+v", s)
			}
			parts = append(parts, s.Part)
		}
		if got := pdu.Join(parts); got != long {
			t.Fatalf("got %q", got)
		}
		if len(p.bursts) != 1 || p.bursts[0] != len(parts) {
			t.Fatalf("bursts %v", p.bursts)
		}
		for i := range parts {
			if strings.Contains(h.receipts(), "delivered") {
				t.Fatal("confirmed before the last part")
			}
			p.report(t, byte(41+i), bob, pdu.StatusDelivered)
		}
		c := h.want(id, transports.Delivered)
		if c.Parts[0].MR != 41 || c.Alphabet != "UCS-2" || c.Parts[0].Done.IsZero() {
			t.Fatalf("chain %+v", c)
		}
		if r := h.lastReceipt(); h.receipts() != "accepted delivered" || r.Origin != "o1" || r.To != bob || r.Sender != "alice@office.localhost" {
			t.Fatalf("receipts %s, last %+v", h.receipts(), r)
		}
		p.report(t, 41, bob, pdu.StatusDelivered) // again
		if h.receipts() != "accepted delivered" || h.table.keys("rep/") > 1 {
			t.Fatal("the second report was taken")
		}
		pass(time.Hour)
		if h.table.keys("rep/") != 0 {
			t.Fatal("unmatched report kept for ever")
		}
	})
}

func TestRefusedBeforeAnythingIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0"))
		defer h.stop()
		for _, c := range []struct {
			to, body string
			kind     transports.ErrorKind
			says     string
		}{
			{"bob", "hi", transports.NotFound, "not a phone number"},
			{"0155501-01", strings.Repeat("x", 153*6+1), transports.TooLong, "7 parts and at most 6"},
			{"0155501-01", " \n", transports.Refused, "empty"},
			{"+1 202 555 0101", "hi", transports.Refused, "abroad"},
			{"0900 1234567", "hi", transports.Refused, "premium"},
			{"112", "help", transports.Refused, "emergency"},
		} {
			_, err := h.net.Send(t.Context(), transports.Message{To: transports.ContactID(c.to), Body: c.body})
			var te *transports.Error
			if !errors.As(err, &te) || te.Kind != c.kind || !strings.Contains(te.Text, c.says) {
				t.Errorf("%s: %v", c.to, err)
			}
		}
		if l, _ := h.outbox.List(transports.Filter{}); len(l) != 0 {
			t.Errorf("stored %d", len(l))
		}
	})
}

func TestKeySendsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		key := func(m *transports.Message) { m.Key = "k" }
		if a, b := h.send("hi", key), h.send("hi", key); a != b || len(p.texts()) != 1 {
			t.Fatal("sent twice")
		}
	})
}

// TestErrorClasses runs each class of error against a text of one part.
func TestErrorClasses(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		after   time.Duration
		state   transports.State
		tried   int
		told    string
		says    string
	}{
		"recipient":       {[]answer{{class: modem.ClassRecipient, cms: 1}}, 0, transports.Failed, 1, "failed", "does not exist"},
		"subscription":    {[]answer{{class: modem.ClassSubscription, cms: 50}}, 0, transports.Failed, 1, "failed", "not subscribed"},
		"busy":            {[]answer{{class: modem.ClassBusy, cms: 314, before: true}, {class: modem.ClassBusy, cms: 314}}, 3 * time.Second, transports.Accepted, 3, "accepted", ""},
		"busy for long":   {[]answer{{class: modem.ClassBusy}, {class: modem.ClassBusy}, {class: modem.ClassBusy}, {class: modem.ClassBusy}}, 8 * time.Second, transports.RetryWait, 4, "", "could not be sent"},
		"transient":       {[]answer{{class: modem.ClassNetwork, cms: 42}, {class: modem.ClassNetwork, cms: 38}}, time.Minute, transports.Accepted, 3, "accepted", ""},
		"transient waits": {[]answer{{class: modem.ClassNetwork, cms: 42}}, 7 * time.Second, transports.RetryWait, 1, "", "congested"},
		"rejected twice":  {[]answer{{class: modem.ClassNetwork, cms: 21}, {class: modem.ClassNetwork, cms: 21}}, time.Minute, transports.Failed, 2, "failed", "credit"},
		"pdu":             {[]answer{{class: modem.ClassPDU, cms: 198}}, 0, transports.SentUnconfirmed, 2, "", "did not confirm"},
		"pdu twice":       {[]answer{{class: modem.ClassPDU, cms: 198}, {class: modem.ClassPDU, cms: 96}}, 0, transports.Failed, 2, "failed", "SMS centre"},
		"protocol":        {[]answer{{class: modem.ClassProtocol, cms: 98}}, 6 * time.Second, transports.Accepted, 2, "accepted", ""},
		"already there":   {[]answer{{class: modem.ClassAccepted, cms: 197}}, 0, transports.Accepted, 1, "accepted", ""},
		"unknown":         {[]answer{{class: modem.ClassUnknown, cms: 77}, {class: modem.ClassUnknown, cms: 77}, {class: modem.ClassUnknown, cms: 77}}, 2 * time.Minute, transports.Failed, 3, "failed", "could not be sent"},
		"vendor":          {[]answer{{class: modem.ClassVendor, cms: 530}}, time.Minute, transports.Accepted, 2, "accepted", ""},
		"sim":             {[]answer{{class: modem.ClassSIM, cms: 311, before: true}, {class: modem.ClassSIM, cms: 311, before: true}}, time.Minute, transports.Accepted, 3, "accepted", ""},
		"storage":         {[]answer{{class: modem.ClassStorage, cms: 322, before: true}}, 5 * time.Second, transports.RetryWait, 1, "", "memory"},
		"config":          {[]answer{{class: modem.ClassConfig, cms: 330, before: true}}, 5 * time.Second, transports.RetryWait, 1, "", "SMS centre"},
		"modem":           {[]answer{{class: modem.ClassModem, cms: 300, before: true}}, time.Minute, transports.Accepted, 2, "accepted", ""},
		"ambiguous":       {[]answer{{class: modem.ClassAmbiguous, cms: 500}}, time.Minute, transports.PossiblySent, 1, "", "not certain"},
		"ambiguous told":  {[]answer{{class: modem.ClassAmbiguous, cms: 500}}, 5 * time.Hour, transports.PossiblySent, 1, "possibly-sent", "not certain"},
		"down after":      {[]answer{{class: modem.ClassDown}}, time.Minute, transports.PossiblySent, 1, "", "not certain"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer("gsm0", c.answers...)
				h := start(t, p)
				defer h.stop()
				id := h.send("hi")
				pass(c.after)
				ch := h.want(id, c.state)
				if p.tried != c.tried {
					t.Errorf("tried %d times, want %d", p.tried, c.tried)
				}
				told := strings.TrimSpace(h.receipts())
				if c.state == transports.SentUnconfirmed {
					told = ""
				}
				if told != c.told {
					t.Errorf("told %q, want %q", told, c.told)
				}
				if !strings.Contains(ch.Text, c.says) {
					t.Errorf("says %q", ch.Text)
				}
			})
		})
	}
}

func TestTransientErrorsGiveUpAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		for range 100 {
			p.answers = append(p.answers, answer{class: modem.ClassNetwork, cms: 41})
		}
		h := start(t, p)
		defer h.stop()
		chat, alarm := h.send("hi"), h.send("fire", urgent)
		pass(61 * time.Minute)
		h.want(alarm, transports.Failed)
		h.want(chat, transports.RetryWait)
		pass(24 * time.Hour)
		c := h.want(chat, transports.Failed)
		if !strings.Contains(c.Text, "given up") || !strings.Contains(c.Text, "temporary failure") {
			t.Errorf("says %q", c.Text)
		}
		if p.tried < 20 || p.tried > 45 {
			t.Errorf("tried %d times", p.tried)
		}
	})
}

// TestPartTwoOfThreeFails is row B21: part 1 stays accepted and is never sent again.
func TestPartTwoOfThreeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{}, answer{class: modem.ClassRecipient, cms: 30})
		h := start(t, p)
		defer h.stop()
		text := strings.Repeat("abcdefghij", 40)
		id := h.send(text)
		c := h.want(id, transports.Failed)
		if !strings.Contains(c.Text, "Only 1 of 3 parts") || len(p.sent) != 1 {
			t.Fatalf("%q, %d sent", c.Text, len(p.sent))
		}
		h.outbox.requeue(id)
		synctest.Wait()
		h.want(id, transports.Accepted)
		if len(p.sent) != 3 || p.sent[1].Part.Concat.Seq != 2 || p.sent[2].Part.Concat.Seq != 3 || p.sent[2].Part.Concat.Ref != p.sent[0].Part.Concat.Ref {
			t.Fatalf("sent %+v", p.sent)
		}
	})
}

func TestTransientErrorInTheMiddleGoesOnWithTheSameReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{}, answer{class: modem.ClassNetwork, cms: 42})
		h := start(t, p)
		defer h.stop()
		id := h.send(strings.Repeat("abcdefghij", 40))
		p.report(t, 41, bob, pdu.StatusDelivered) // of part 1, while the others wait
		pass(20 * time.Second)
		h.want(id, transports.Accepted)
		var parts []pdu.Part
		for _, s := range p.sent {
			parts = append(parts, s.Part)
		}
		if len(parts) != 3 || pdu.Join(parts) != strings.Repeat("abcdefghij", 40) {
			t.Fatalf("%d parts", len(parts))
		}
		p.report(t, 42, bob, pdu.StatusDelivered)
		p.report(t, 43, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
	})
}

func TestLateAnswerSettlesPossiblySent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassAmbiguous, token: 7, takes: 2 * time.Minute})
		h := start(t, p)
		defer h.stop()
		id := h.send("hi")
		pass(2 * time.Minute)
		h.want(id, transports.PossiblySent)
		p.late <- modem.Late{Token: 7, MR: 99}
		synctest.Wait()
		h.want(id, transports.Accepted)
		p.report(t, 99, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
		if len(p.texts()) != 1 || strings.Contains(h.receipts(), "possibly") {
			t.Fatalf("sent %d, told %s", len(p.texts()), h.receipts())
		}
	})
}

func TestReportSettlesPossiblySent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassAmbiguous, cms: 500})
		h := start(t, p)
		defer h.stop()
		id := h.send("hi")
		pass(3 * time.Minute)
		if h.receipts() != "possibly-sent" {
			t.Fatalf("told %q", h.receipts())
		}
		p.report(t, 12, bob, pdu.StatusDelivered)
		h.want(id, transports.Delivered)
		if h.receipts() != "possibly-sent delivered" {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

// TestReportOfTheNextTextIsNotGivenToAnUnsureOne was seen when the gateway was killed again and again: the report of a
// text that is under way came before its reference was on disk.
func TestReportOfTheNextTextIsNotGivenToAnUnsureOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassAmbiguous, cms: 500}, answer{takes: 10 * time.Second})
		h := start(t, p)
		defer h.stop()
		unsure := h.send("one")
		next := h.send("two")
		p.report(t, 41, bob, pdu.StatusDelivered) // of the second, whose +CMGS is not here yet
		h.want(unsure, transports.PossiblySent)
		pass(10 * time.Second)
		h.want(next, transports.Delivered)
		h.want(unsure, transports.PossiblySent)
		p.reportAt(t, 41, bob, pdu.StatusDelivered, time.Now().Add(-10*time.Second)) // the same again, with a later discharge time
		h.want(unsure, transports.PossiblySent)
		p.reportAt(t, 40, bob, pdu.StatusDelivered, time.Now().Add(-12*time.Second))
		h.want(unsure, transports.Delivered)
	})
}

// TestReportThatMayBeOfTwoUnsureTexts was seen when the program was killed twice within a second: the first text had not
// left, and got the report of the second.
func TestReportThatMayBeOfTwoUnsureTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unsure := answer{class: modem.ClassAmbiguous, cms: 500}
		p := newPeer("gsm0", unsure, unsure, unsure)
		h := start(t, p)
		defer h.stop()
		first, second := h.send("one"), h.send("two")
		p.report(t, 41, bob, pdu.StatusDelivered)
		h.want(first, transports.PossiblySent)
		h.want(second, transports.PossiblySent)
		pass(time.Minute)
		p.reportAt(t, 40, bob, pdu.StatusDelivered, time.Now().Add(-time.Minute)) // one for each
		h.want(first, transports.Delivered)
		h.want(second, transports.Delivered)
		pass(5 * time.Minute)
		third := h.send("three")
		p.report(t, 42, bob, pdu.StatusDelivered)
		h.want(third, transports.Delivered)
	})
}

// TestReportIsOfTheUnsureTextOfItsTime: minutes apart there is no doubt.
func TestReportIsOfTheUnsureTextOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unsure := answer{class: modem.ClassAmbiguous, cms: 500}
		p := newPeer("gsm0", unsure, unsure)
		h := start(t, p)
		defer h.stop()
		first := h.send("one")
		pass(5 * time.Minute)
		second := h.send("two")
		p.report(t, 41, bob, pdu.StatusDelivered)
		h.want(second, transports.Delivered)
		h.want(first, transports.PossiblySent)
	})
}

func TestUrgentTextIsRepeatedOnceAndMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassAmbiguous, cms: 500}, answer{class: modem.ClassAmbiguous, cms: 500})
		h := start(t, p)
		defer h.stop()
		id := h.send("fire", urgent)
		pass(time.Hour)
		h.want(id, transports.PossiblySent)
		if got := p.texts(); len(got) != 2 || got[1] != "[repeat] fire" || !p.sent[1].RejectDuplicates {
			t.Fatalf("sent %q", got)
		}
		if h.receipts() != "possibly-sent" {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

func TestModemDownTextsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		if st := h.status(); !st.Online || st.Show != "" || st.Text != "Testnet, signal -71 dBm" {
			t.Fatalf("status %+v", st)
		}
		p.set(modem.SIMMissing, "There is no SIM card in gsm0. Put one in.")
		synctest.Wait()
		if st := h.status(); st.Show != "xa" || st.Text != "There is no SIM card in gsm0. Put one in. Queued SMS wait." {
			t.Fatalf("status %+v", st)
		}
		id := h.send("hi")
		pass(20 * time.Hour)
		h.want(id, transports.Queued)
		p.set(modem.Ready, "")
		synctest.Wait()
		c := h.want(id, transports.Accepted)
		if c.Attempts != 1 {
			t.Fatalf("%d attempts", c.Attempts)
		}
	})
}

func TestTextExpiresWhileTheModemIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		p.set(modem.Absent, "No modem.")
		synctest.Wait()
		id := h.send("hi")
		pass(25 * time.Hour)
		p.set(modem.Ready, "")
		pass(time.Minute)
		h.want(id, transports.Expired)
		if h.receipts() != "expired" || len(p.sent) != 0 || !strings.Contains(h.lastReceipt().Err.Text, "in time") {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

func TestTwoModems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPeer("gsm0", answer{class: modem.ClassSubscription, cms: 10}), newPeer("gsm1", answer{class: modem.ClassSubscription, cms: 10})
		h := start(t, a, b)
		defer h.stop()
		id := h.send("hi")
		h.want(id, transports.Failed) // both SIMs are barred
		if a.tried != 1 || b.tried != 1 {
			t.Fatalf("tried %d, %d", a.tried, b.tried)
		}
		a.answers = []answer{{class: modem.ClassSubscription, cms: 10}}
		b.answers = nil
		b.set(modem.Ready, "")
		for range 2 {
			h.want(h.send("hi"), transports.Accepted)
		}
		a.set(modem.Absent, "gsm0 is not plugged in.")
		synctest.Wait()
		if st := h.status(); st.Show != "" || !strings.Contains(st.Text, "gsm0 is not plugged in") {
			t.Fatalf("status %+v", st)
		}
		h.want(h.send("hi"), transports.Accepted)
	})
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		a := h.send("one")
		p.report(t, 41, bob, pdu.StatusNoResponse) // still trying
		h.want(a, transports.Accepted)
		p.report(t, 41, "+4915559999", pdu.StatusDelivered) // somebody else
		h.want(a, transports.Accepted)
		p.report(t, 41, "015550101", pdu.StatusExpired) // national form
		if c := h.want(a, transports.Failed); !strings.Contains(c.Text, "switched off") {
			t.Fatalf("says %q", c.Text)
		}
		b := h.send("two")
		pass(26 * time.Hour)
		h.want(b, transports.SentUnconfirmed)
		p.reportAt(t, 42, bob, pdu.StatusDelivered, time.Now().Add(-26*time.Hour)) // days later
		h.want(b, transports.Delivered)
		if h.receipts() != "accepted failed accepted sent-unconfirmed delivered" {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

func TestReusedReferenceGoesToTheNearestText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		first := h.send("one")
		when := time.Now()
		pass(3 * time.Hour)
		p.mu.Lock()
		p.mr = 40
		p.mu.Unlock()
		second := h.send("two")
		p.reportAt(t, 41, bob, pdu.StatusDelivered, when)
		h.want(first, transports.Delivered)
		h.want(second, transports.Accepted)
	})
}

func TestCancelledIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		p.set(modem.Searching, "No network.")
		synctest.Wait()
		id := h.send("hi")
		if err := h.outbox.Cancel(id); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if h.receipts() != "cancelled" {
			t.Fatalf("told %q", h.receipts())
		}
	})
}

func TestStopWaitsForThePartOnAir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{takes: 20 * time.Second})
		h := start(t, p)
		id := h.send(strings.Repeat("abcdefghij", 40))
		h.stop()
		c := h.chain(id)
		if c.Parts[0].State != transports.Accepted || c.Parts[1].State != transports.Queued || len(p.sent) != 1 {
			t.Fatalf("chain %+v", c)
		}
		h = open(t, h.outbox.copy(), h.table.copy(), quiet, p)
		defer h.stop()
		h.want(id, transports.Accepted)
		if len(p.sent) != 3 {
			t.Fatalf("%d parts left", len(p.sent))
		}
	})
}
