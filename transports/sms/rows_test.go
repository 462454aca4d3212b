package sms

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/modem/emulator"
	"doorway/modem/pdu"
	"doorway/transports"
)

// Rows of the behaviour matrix that end in front of people. Each ends with
// the standing check: a normal text is sent, confirmed and answered.

const standingText, standingAnswer = "standing check", "standing answer"

// standing is the check inside a bubble.
func (h *house) standing(p *modemPeer) {
	h.t.Helper()
	before := len(h.incoming())
	id := h.send(standingText)
	c := h.want(id, transports.Accepted)
	p.report(h.t, byte(c.Parts[0].MR), bob, pdu.StatusDelivered)
	h.want(id, transports.Delivered)
	p.arrive(deliver(h.t, bob, standingAnswer, 0, time.Now())[0])
	if got := h.incoming(); len(got) != before+1 || got[before].Body != standingAnswer {
		h.t.Errorf("the standing answer: %+v", got[before:])
	}
}

// standing is the check over the line.
func (l *line) standing(h *house) {
	l.t.Helper()
	id := l.send(h, standingText)
	until(l.t, "the standing check", func() bool { return h.chain(id).State == transports.Delivered })
	if err := l.emu.Phone(bob).Send(standingAnswer); err != nil {
		l.t.Fatal(err)
	}
	until(l.t, "the standing answer", func() bool {
		return slices.ContainsFunc(h.incoming(), func(m transports.Message) bool { return m.Body == standingAnswer })
	})
	until(l.t, "an empty storage", func() bool { return len(l.emu.Slots()) == 0 })
	for _, s := range l.emu.Submits() {
		if s.Count != 1 {
			l.t.Errorf("%q reached the service centre %d times", s.Text, s.Count)
		}
	}
}

func (l *line) send(h *house, body string) uint64 {
	l.t.Helper()
	ref, err := h.s.Send(l.t.Context(), transports.Message{To: bob, Body: body})
	if err != nil {
		l.t.Fatal(err)
	}
	id, _ := JobID(ref)
	return id
}

// house runs a session on drivers.
func (l *line) house(ps ...*tap) *house {
	c := quiet
	for _, p := range ps {
		c.Modems = append(c.Modems, p)
	}
	return run(l.t, newMemOutbox(), newMemTable(), c)
}

// B18: what becomes of a text for one cause of each class, over the line.
func TestB18Causes(t *testing.T) {
	l := newLine(t)
	p, stop := l.driver()
	defer stop()
	h := l.house(p)
	defer h.stop()
	for _, c := range []struct {
		cause int
		state transports.State
		says  string
	}{
		{1, transports.Failed, "does not exist"}, {50, transports.Failed, "not subscribed"}, {198, transports.SentUnconfirmed, "did not confirm"},
		{41, transports.RetryWait, "temporary failure"}, {500, transports.PossiblySent, "not certain"}, {314, transports.Delivered, ""},
		{322, transports.RetryWait, "memory"}, {302, transports.RetryWait, "not set up"}, {197, transports.Accepted, ""}, // three failures in a row would have it rest
		{513, transports.RetryWait, "The modem said"},
	} {
		until(t, "a modem that is ready", func() bool { return p.Status().State == modem.Ready })
		l.emu.Network().Fail(emulator.Fault{Cause: c.cause})
		id := l.send(h, fmt.Sprintf("cause %d", c.cause))
		until(t, fmt.Sprintf("cause %d to end as %s", c.cause, c.state), func() bool { return h.chain(id).State == c.state })
		if ch := h.chain(id); !strings.Contains(ch.Text, c.says) {
			t.Errorf("cause %d says %q", c.cause, ch.Text)
		}
		if c.state == transports.RetryWait { // what waits for its turn would be sent before the standing check
			if err := h.outbox.Cancel(id); err != nil {
				t.Error(err)
			}
		}
	}
	l.standing(h)
}

// B18: temporary failures for three numbers in a row are the network's own:
// the modem pauses with a reason, and the queue keeps its attempts.
func TestB18Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		for range 5 {
			p.answers = append(p.answers, answer{class: modem.ClassNetwork, cms: 38})
		}
		h := start(t, p)
		defer h.stop()
		var ids []uint64
		for i := range 10 {
			ids = append(ids, h.send("hi", func(m *transports.Message) { m.To = transports.ContactID(fmt.Sprintf("+4915550%d", 201+i)) }))
		}
		if p.tries() != 3 {
			t.Fatalf("tried %d times before the pause", p.tries())
		}
		if st := h.status(); st.Show != "dnd" || !strings.Contains(st.Text, "no text to several numbers in a row") || !strings.Contains(st.Text, "credit") {
			t.Errorf("status %+v", st)
		}
		pass(4 * time.Minute)
		if p.tries() != 3 {
			t.Errorf("tried %d times in the pause", p.tries())
		}
		pass(90 * time.Second)
		if p.tries() != 4 {
			t.Errorf("tried %d times, want one probe", p.tries())
		}
		pass(20 * time.Minute)
		for _, id := range ids {
			h.want(id, transports.Accepted)
		}
		if p.tries() != 5+len(ids) {
			t.Errorf("tried %d times for %d texts", p.tries(), len(ids))
		}
		if st := h.status(); st.Show != "" {
			t.Errorf("status %+v", st)
		}
		h.standing(p)
	})
}

func (p *modemPeer) tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried
}

// B21: part 2 of 3 fails for good: the sender is told how many parts are out,
// and part 1 is not sent again.
func TestB21PartFails(t *testing.T) {
	l := newLine(t)
	rules, err := emulator.ParseScript("on pdu\n nth 2\n result +CMS ERROR: 30\n")
	if err != nil {
		t.Fatal(err)
	}
	l.emu.AddRules(rules...)
	p, stop := l.driver()
	defer stop()
	h := l.house(p)
	defer h.stop()
	id := l.send(h, strings.Repeat("abcdefghij", 40))
	until(t, "the failure", func() bool { return h.chain(id).State == transports.Failed })
	if c := h.chain(id); !strings.Contains(c.Text, "Only 1 of 3 parts") || c.Parts[0].State == transports.Failed || c.Parts[2].State != transports.Queued {
		t.Errorf("chain %+v", c)
	}
	if s := l.emu.Submits(); len(s) != 1 || s[0].Seq != 1 {
		t.Errorf("at the service centre: %+v", s)
	}
	l.standing(h)
}

// B24: the SIM of one modem is not wanted by the network: texts leave by the other.
func TestB24OtherModemUsed(t *testing.T) {
	for _, stat := range []string{"3", "8", "11"} {
		t.Run(stat, func(t *testing.T) {
			bad, good := newLine(t), newLine(t)
			if err := bad.emu.Set("registration", stat); err != nil {
				t.Fatal(err)
			}
			a, stopA := bad.driver()
			defer stopA()
			b, stopB := good.driverNamed("gsm1")
			defer stopB()
			until(t, "the refusal", func() bool { return a.Status().State == modem.Denied })
			h := good.house(a, b)
			defer h.stop()
			until(t, "the alarm", func() bool { return strings.Contains(h.status().Text, "ask the provider") })
			for i := range 3 {
				id := good.send(h, fmt.Sprint("text ", i))
				until(t, "the text", func() bool { return h.chain(id).State == transports.Delivered })
			}
			if n := len(bad.emu.Submits()); n != 0 {
				t.Errorf("%d texts through the modem that is paused", n)
			}
			good.standing(h)
		})
	}
}

// B26: a report that never comes, comes two days late, comes twice, says
// "still trying" first, or that the text has expired.
func TestB26Reports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		never, late, twice, trying, expired := h.send("never"), h.send("late"), h.send("twice"), h.send("trying"), h.send("expired")
		sent := time.Now()
		p.report(t, 43, bob, pdu.StatusDelivered)
		p.report(t, 43, bob, pdu.StatusDelivered)
		h.want(twice, transports.Delivered)
		p.report(t, 44, bob, pdu.StatusNoResponse)
		h.want(trying, transports.Accepted)
		p.report(t, 45, bob, pdu.StatusExpired)
		if c := h.want(expired, transports.Failed); !strings.Contains(c.Text, "expired") {
			t.Errorf("says %q", c.Text)
		}
		pass(time.Hour)
		p.reportAt(t, 44, bob, pdu.StatusDelivered, sent)
		h.want(trying, transports.Delivered)
		pass(25 * time.Hour)
		h.want(never, transports.SentUnconfirmed)
		h.want(late, transports.SentUnconfirmed)
		pass(22 * time.Hour)
		p.reportAt(t, 42, bob, pdu.StatusDelivered, sent)
		h.want(late, transports.Delivered)
		if got := strings.Count(h.receipts(), "delivered"); got != 3 {
			t.Errorf("told %q", h.receipts())
		}
		h.standing(p)
	})
}

// B27: the network writes the recipient of a report as a national number, with
// another type, or as a name: matched by its digits, or left open and logged.
func TestB27RecipientOfReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		var log bytes.Buffer
		c := quiet
		c.Modems = []modem.Modem{p}
		h := runLogged(t, c, slog.New(slog.NewTextHandler(&log, nil)))
		synctest.Wait()
		report := func(mr int, to pdu.Number) {
			t.Helper()
			b, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: byte(mr), To: to, Time: time.Now(), Done: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			p.arrive(b)
		}
		for i, to := range []pdu.Number{{Digits: "015550101", TON: pdu.Unknown}, {Digits: "15550101", TON: pdu.National}, {Digits: "004915550101", TON: pdu.Unknown}} {
			id := h.send("hi")
			report(41+i, to)
			h.want(id, transports.Delivered)
		}
		id := h.send("hi")
		report(44, pdu.Number{Digits: "Bob", TON: pdu.Alphanumeric})
		pass(11 * time.Minute)
		h.want(id, transports.Accepted)
		h.standing(p)
		h.stop()
		if !strings.Contains(log.String(), "matches nothing") || strings.Contains(log.String(), "4915550101") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func runLogged(t *testing.T, c Config, log *slog.Logger) *house {
	t.Helper()
	h := &house{t: t, net: New(c), outbox: newMemOutbox(), table: newMemTable(), ended: make(chan struct{})}
	ses, err := h.net.Dial(t.Context(), transports.Account{}, transports.Env{Table: h.table, Outbox: h.outbox, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h.s = ses.(*Session)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() {
		defer close(h.ended)
		if err := h.s.Run(ctx, h.sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return h
}

// A flash goes out as class 0, also when it is repeated, and its validity is
// what is left of its time when it leaves at last.
func TestFlashAndValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		p.set(modem.Searching, "No network.")
		synctest.Wait()
		id := h.send("fire", func(m *transports.Message) { m.Flash, m.Urgent = true, true })
		pass(30 * time.Minute)
		p.answers = []answer{{class: modem.ClassAmbiguous, cms: 500}}
		p.set(modem.Ready, "")
		pass(10 * time.Minute)
		h.want(id, transports.Accepted)
		if len(p.sent) != 2 {
			t.Fatalf("%d parts sent", len(p.sent))
		}
		for i, s := range p.sent {
			if s.Class != pdu.Flash {
				t.Errorf("copy %d has class %v", i, s.Class)
			}
		}
		if v := p.sent[0].Validity; v != 30*time.Minute {
			t.Errorf("valid for %v, want the half hour that is left", v)
		}
		if v := p.sent[1].Validity; v >= 30*time.Minute || v < 20*time.Minute {
			t.Errorf("the repetition is valid for %v", v)
		}
		if !h.chain(id).Flash {
			t.Error("the chain does not say that it is a flash")
		}
		h.standing(p)
	})
}
