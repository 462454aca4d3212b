package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// Two modems whose operators refuse hand their texts to each other at the same time.
func TestModemsThatBothRefuseDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := answer{class: modem.ClassSubscription, cms: 50, takes: 3 * time.Second}
		a, b := newPeer("gsm0", slow, slow), newPeer("gsm1", slow, slow)
		h := start(t, a, b)
		defer h.stop()
		one := h.send("one", to("+4915550201"))
		two := h.send("two", to("+4915550202"))
		pass(time.Minute)
		for _, id := range []uint64{one, two} {
			if c := h.want(id, transports.Failed); !strings.Contains(c.Text, "not subscribed") {
				t.Errorf("says %q", c.Text)
			}
		}
		h.want(h.send("three", to("+4915550203")), transports.Accepted)
	})
}

// What the network refuses for now is tried to the end of its time.
func TestTriedToTheEndOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		for range 100 {
			p.answers = append(p.answers, answer{class: modem.ClassNetwork, cms: 38})
		}
		h := start(t, p)
		defer h.stop()
		id := h.send("fire", urgent)
		pass(45 * time.Minute)
		h.want(id, transports.RetryWait)
		p.mu.Lock()
		p.answers = nil
		p.mu.Unlock()
		pass(15 * time.Minute)
		h.want(id, transports.Accepted)
	})
}

// The report of a text with a validity of its own is awaited for that time.
func TestReportIsAwaitedForTheTextsOwnValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0"))
		defer h.stop()
		long := h.send("long", func(m *transports.Message) { m.Validity = 72 * time.Hour })
		short := h.send("short", func(m *transports.Message) { m.Validity = 10 * time.Minute })
		pass(2 * time.Hour)
		h.want(short, transports.SentUnconfirmed)
		h.want(long, transports.Accepted)
		pass(70*time.Hour + 30*time.Minute)
		h.want(long, transports.Accepted)
		pass(time.Hour)
		h.want(long, transports.SentUnconfirmed)
	})
}

// STOP takes back at once what waits, also what was to be sent in a month, and says why.
func TestStopTakesBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		id := h.send("next month", func(m *transports.Message) { m.NotBefore = time.Now().Add(30 * 24 * time.Hour) })
		alarm := h.send("next day", urgent, func(m *transports.Message) { m.NotBefore = time.Now().Add(24 * time.Hour) })
		h.hear(t, p, bob, "stop")
		pass(2 * time.Minute)
		h.want(id, transports.Cancelled)
		h.want(alarm, transports.Cancelled)
		told := 0
		for _, e := range h.events {
			if r, ok := e.(transports.Receipt); ok && r.State == transports.Cancelled {
				told++
				if r.Err == nil || !strings.Contains(r.Err.Text, "wants no texts any more") {
					t.Errorf("told %+v", r)
				}
			}
		}
		if told != 2 {
			t.Errorf("told of %d", told)
		}
		if got := p.texts(); len(got) != 1 || got[0] != stopAnswer {
			t.Errorf("sent %q", got)
		}
	})
}

// The hours of a cap are those of the local clock, also where that is half an hour off.
func TestCapsOfHalfHourZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := open(t, newMemOutbox(), newMemTable(), Config{Country: "91", Location: time.FixedZone("IST", 5*3600+1800),
			Routes: map[string]Route{"gsm0": {PerHour: 5}}}, p)
		defer h.stop()
		for i := range 6 {
			h.send(fmt.Sprint(i), to("+919155501"))
		}
		if n := len(p.texts()); n != 4 {
			t.Fatalf("sent %d", n)
		}
		pass(31 * time.Minute) // it began at half past five
		if n := len(p.texts()); n != 6 {
			t.Errorf("sent %d in the next hour", n)
		}
	})
}

// Hours that begin where summer time leaves an hour out begin after it, and no text waits for the next day.
func TestHoursThatSummerTimeLeavesOut(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"America/New_York", "2026-03-08T01:00:00", "2026-03-08T03:30:00-04:00"},
		{"Europe/Berlin", "2026-03-29T01:00:00", "2026-03-29T03:30:00+02:00"},
	} {
		l, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Skip(err)
		}
		at, err := time.ParseInLocation("2006-01-02T15:04:05", c.day, l)
		if err != nil {
			t.Fatal(err)
		}
		hours := Hours{150, 20 * 60}
		opens := hours.Opens(at)
		if got := opens.Format(time.RFC3339); got != c.want || !hours.Opens(opens).Equal(opens) {
			t.Errorf("%s opens %s, want %s", c.zone, got, c.want)
		}
	}
}

// Years that no clock of the store can hold are refused in words.
func TestFarFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		for _, y := range []int{2003, 2300, 9999, 20000} {
			_, err := h.s.Send(t.Context(), transports.Message{To: bob, Body: "hi", NotBefore: time.Date(y, 12, 31, 23, 59, 0, 0, time.UTC)})
			var te *transports.Error
			if !errors.As(err, &te) || te.Kind != transports.Refused || !strings.Contains(te.Text, fmt.Sprint(y)) {
				t.Errorf("%d: %v", y, err)
			}
		}
		synctest.Wait()
		if len(p.texts()) != 0 {
			t.Error("sent")
		}
	})
}

// The clock of the box is set while texts wait for the network and for their reports.
func TestClockIsSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"back": -year, "forward": year} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shift atomic.Int64
				p := newPeer("gsm0", answer{}, answer{class: modem.ClassAmbiguous, cms: 500})
				h := clocked(t, newMemOutbox(), newMemTable(), func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }, p)
				defer h.stop()
				sent := h.send("sent")
				alarm := h.send("alarm", urgent)
				h.want(alarm, transports.PossiblySent)
				pass(time.Minute)
				shift.Store(int64(by))
				pass(90 * time.Second)
				if c := h.chain(alarm); c.State != transports.Accepted && c.State != transports.RetryWait { // repeated after two minutes
					t.Errorf("the alarm is %s", c.State)
				}
				h.want(sent, transports.Accepted)
				pass(24*time.Hour + 50*time.Minute)
				h.want(sent, transports.Accepted)
				pass(time.Hour)
				h.want(sent, transports.SentUnconfirmed)
			})
		})
	}
}

// clocked runs a session with a clock of its own.
func clocked(t *testing.T, outbox *memOutbox, table *memTable, now func() time.Time, p *modemPeer) *house {
	t.Helper()
	h := &house{t: t, net: New(Config{Country: "49", Modems: []modem.Modem{p}}), outbox: outbox, table: table, ended: make(chan struct{})}
	ses, err := h.net.Dial(t.Context(), transports.Account{}, transports.Env{Table: table, Outbox: outbox, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	h.s = ses.(*Session)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { // stop waits for it
		defer close(h.ended)
		if err := h.s.Run(ctx, h.sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
	return h
}

// A part that came before the clock went back does not keep its text for a year.
func TestIncompleteTextOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shift := 365 * 24 * time.Hour
		now := func() time.Time { return time.Now().Add(shift).Round(0) }
		p := newPeer("gsm0")
		h := clocked(t, newMemOutbox(), newMemTable(), now, p)
		s := modem.Stored{Modem: p.name, TPDU: deliver(t, bob, strings.Repeat("x", 200), 7, now())[0], At: now()}
		p.inbox <- s
		synctest.Wait()
		table := h.table.copy()
		h.stop()
		shift = 0
		h = clocked(t, newMemOutbox(), table, now, newPeer("gsm0"))
		defer h.stop()
		pass(16 * time.Minute)
		if got := h.incoming(); len(got) != 1 || !strings.Contains(got[0].Body, "[part 2 of 2 missing]") {
			t.Errorf("shown %+v", got)
		}
	})
}

// Texts that reach nobody are no secret of the log.
func TestTextsThatNobodyTakesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		h.mu.Lock()
		h.refuse = errors.New("no such account")
		h.mu.Unlock()
		h.hear(t, p, bob, "one")
		h.hear(t, p, bob, "two")
		if l := h.net.Troubles(); len(l) != 0 {
			t.Errorf("too soon: %+v", l)
		}
		pass(6 * time.Minute)
		l := h.net.Troubles()
		if len(l) != 1 || l[0].Modem != "inbox" || !strings.HasPrefix(l[0].Text, "2 texts") || !strings.Contains(l[0].Text, "recipients") {
			t.Errorf("%+v", l)
		}
		h.mu.Lock()
		h.refuse = nil
		h.mu.Unlock()
		pass(6 * time.Minute)
		if l := h.net.Troubles(); len(l) != 0 || len(h.incoming()) != 2 {
			t.Errorf("%+v, %d taken", l, len(h.incoming()))
		}
	})
}

// A text for a far day is still known after a restart when hundreds have been written since: who wrote it is told of its end.
func TestOldTextThatWaitsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0"))
		id := h.send("in two months", to("+4915550102"), func(m *transports.Message) { m.NotBefore = time.Now().Add(60 * 24 * time.Hour) })
		for i := range 450 {
			h.send(fmt.Sprint(i))
		}
		pass(20 * 24 * time.Hour)
		at := h.crash()
		h.stop()
		h = open(t, at.outbox, at.table, quiet, newPeer("gsm0"))
		defer h.stop()
		if err := h.outbox.Cancel(id); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if r := h.lastReceipt(); r.State != transports.Cancelled || r.Ref != refOf(id) {
			t.Errorf("told %+v", r)
		}
	})
}

// A text that was tried once is given up at the end of its time, also when no modem comes back to say so.
func TestTriedTextEndsWithoutAModem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0", answer{class: modem.ClassNetwork, cms: 41}, answer{class: modem.ClassNetwork, cms: 41})
		h := start(t, p)
		defer h.stop()
		id, alarm := h.send("hi"), h.send("fire", urgent, to("+4915550102"))
		h.want(id, transports.RetryWait)
		p.set(modem.Absent, "No modem.")
		pass(62 * time.Minute)
		if c := h.want(alarm, transports.Failed); !strings.Contains(c.Text, "temporary failure") {
			t.Errorf("says %q", c.Text)
		}
		h.want(id, transports.RetryWait)
		pass(24 * time.Hour)
		h.want(id, transports.Failed)
		if h.receipts() != "failed failed" {
			t.Errorf("told %q", h.receipts())
		}
	})
}

// A text that a person puts back when its time is over gets its time once more, not for ever.
func TestPutBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		for range 1000 {
			p.answers = append(p.answers, answer{class: modem.ClassNetwork, cms: 38})
		}
		h := start(t, p)
		defer h.stop()
		id := h.send("hi", urgent)
		pass(2 * time.Hour)
		h.want(id, transports.Failed)
		first := p.tries()
		if _, err := h.outbox.Update(t.Context(), id, func(j *transports.Job) bool { // as gateway/queue's Requeue does
			j.State, j.Deadline, j.NotBefore, j.Attempts, j.Error = transports.Queued, time.Time{}, time.Time{}, 0, ""
			return true
		}); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Hour)
		h.want(id, transports.Failed)
		if again := p.tries() - first; again < first-2 || again > first+2 {
			t.Errorf("tried %d times, and %d times when it was put back", first, again)
		}
	})
}

// What is put back while there is no modem has its time too.
func TestPutBackWithoutAModem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		p.st.State = modem.Absent
		h := start(t, p)
		defer h.stop()
		id := h.send("hi")
		pass(25 * time.Hour)
		var job transports.Job
		if _, err := h.outbox.Update(t.Context(), id, func(j *transports.Job) bool {
			defer func() { job = *j }()
			j.State, j.Deadline, j.NotBefore, j.Attempts, j.Error = transports.Queued, time.Time{}, time.Time{}, 0, ""
			j.History = append(j.History, transports.Step{At: time.Now(), State: transports.Queued, Note: "put back by hand"})
			return true
		}); err != nil {
			t.Fatal(err)
		}
		h.net.Changed(job)
		pass(23 * time.Hour)
		h.want(id, transports.Queued)
		pass(2 * time.Hour)
		h.want(id, transports.Failed)
	})
}

// A modem that is only for some texts sends them also when it is the only one; others are refused at once and not at the end
// of their time.
func TestOnlyModems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := Route{Prefixes: []string{"+491555"}, Only: true}
		for _, peers := range [][]*modemPeer{{newPeer("gsm0")}, {newPeer("gsm0"), newPeer("gsm1")}} {
			h := routed(t, Config{}, map[string]Route{"gsm0": only, "gsm1": only}, peers...)
			h.want(h.send("fits"), transports.Accepted)
			_, err := h.s.Send(t.Context(), transports.Message{To: "+4917012345678", Body: "does not"})
			var te *transports.Error
			if !errors.As(err, &te) || te.Kind != transports.Refused || !strings.Contains(te.Text, "only = true") {
				t.Errorf("%d modems: %v", len(peers), err)
			}
			h.stop()
		}
	})
}

// Who takes back a text of which a part is out is not told that nothing was sent.
func TestCancelledInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0", answer{}, answer{class: modem.ClassNetwork, cms: 41}))
		defer h.stop()
		id := h.send(strings.Repeat("x", 400))
		h.want(id, transports.RetryWait)
		if err := h.outbox.Cancel(id); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if r := h.lastReceipt(); r.State != transports.Cancelled || !strings.Contains(r.Err.Text, "1 of its 3 parts") {
			t.Errorf("told %+v", r)
		}
	})
}
