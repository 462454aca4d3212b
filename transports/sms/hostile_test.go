package sms

import (
	"strings"
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
				if r.Err == nil || !strings.Contains(r.Err.Text, "STOP has come") {
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
