package sms

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// routed runs a session whose modems have routes, in order of the names.
func routed(t *testing.T, c Config, routes map[string]Route, peers ...*modemPeer) *house {
	t.Helper()
	c.Country, c.Routes, c.Location = "49", routes, time.UTC
	return open(t, newMemOutbox(), newMemTable(), c, peers...)
}

func to(num string) func(*transports.Message) {
	return func(m *transports.Message) { m.To = transports.ContactID(num) }
}

func from(sender string) func(*transports.Message) {
	return func(m *transports.Message) { m.Sender = sender }
}

// by names the modem that sent a text.
func (h *house) by(id uint64) string {
	h.t.Helper()
	return h.want(id, transports.Accepted).Parts[0].Modem
}

func TestTextsPreferTheirModem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := routed(t, Config{Groups: func(s string) []string {
			if s == "carol@office.localhost" {
				return []string{"field"}
			}
			return nil
		}}, map[string]Route{
			"gsm0": {Prefixes: []string{"+4915"}},
			"gsm1": {Prefixes: []string{"+491555"}, Senders: []string{"bob@office.localhost"}},
			"gsm2": {Groups: []string{"field"}, Only: true},
		}, newPeer("gsm0"), newPeer("gsm1"), newPeer("gsm2"))
		defer h.stop()
		for _, c := range []struct {
			num, sender, want string
		}{
			{"+4915550101", "alice@office.localhost", "gsm1"}, // the longer prefix
			{"+4915150101", "alice@office.localhost", "gsm0"},
			{"+4915150101", "bob@office.localhost", "gsm1"},   // the sender comes before the number
			{"+4915150101", "carol@office.localhost", "gsm2"}, // and so does the group
		} {
			if got := h.by(h.send("hi", to(c.num), from(c.sender))); got != c.want {
				t.Errorf("%s to %s went by %s, want %s", c.sender, c.num, got, c.want)
			}
		}
	})
}

func TestTextsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := []*modemPeer{newPeer("gsm0"), newPeer("gsm1"), newPeer("gsm2")}
		h := routed(t, Config{}, map[string]Route{"gsm2": {Backup: true}}, peers...)
		defer h.stop()
		for i := range 12 {
			h.send(fmt.Sprint(i), to(fmt.Sprintf("+49155501%02d", i)))
		}
		if a, b, c := len(peers[0].texts()), len(peers[1].texts()), len(peers[2].texts()); a != 6 || b != 6 || c != 0 {
			t.Errorf("sent %d, %d and %d by the backup", a, b, c)
		}
		peers[0].set(modem.Searching, "")
		peers[1].set(modem.Absent, "")
		synctest.Wait()
		h.by(h.send("backup"))
		if len(peers[2].texts()) != 1 {
			t.Error("the backup did not take over")
		}
	})
}

// An urgent text leaves its preferred modem after half a minute, another one after Failover, one that names a modem never.
func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := newPeer("gsm0")
		down.st.State = modem.Searching
		other := newPeer("gsm1")
		h := routed(t, Config{Failover: 5 * time.Minute}, map[string]Route{"gsm0": {Prefixes: []string{"+49"}}}, down, other)
		defer h.stop()
		pass(time.Second)
		fixed := h.send("fixed", to("+4915550103"), func(m *transports.Message) { m.Via = "gsm0" })
		chat, alarm := h.send("chat"), h.send("alarm", urgent, to("+4915550102"))
		h.want(alarm, transports.Queued)
		pass(urgentFailover)
		if h.by(alarm) != "gsm1" {
			t.Error("the alarm waits")
		}
		h.want(chat, transports.Queued)
		pass(5 * time.Minute)
		if h.by(chat) != "gsm1" {
			t.Error("the chat waits")
		}
		pass(time.Hour)
		h.want(fixed, transports.Queued)
		down.set(modem.Ready, "")
		synctest.Wait()
		if h.by(fixed) != "gsm0" {
			t.Error("the text went by another modem than the one it names")
		}
		_, err := h.s.Send(t.Context(), transports.Message{To: bob, Body: "x", Via: "gsm9"})
		if err == nil || !strings.Contains(err.Error(), "gsm9") {
			t.Errorf("unknown modem: %v", err)
		}
	})
}

// Who texted in gets the answer from the number that was written to.
func TestConversationKeepsItsSIM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPeer("gsm0"), newPeer("gsm1")
		h := routed(t, Config{}, nil, a, b)
		defer h.stop()
		b.arrive(deliver(t, bob, "hello", 0, time.Now())[0])
		for range 4 {
			if got := h.by(h.send("answer")); got != "gsm1" {
				t.Errorf("answered by %s", got)
			}
		}
	})
}

// A cap counts parts, keeps a fifth for alarms, survives a restart, and ends with its period.
func TestModemCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		routes := map[string]Route{"gsm0": {PerHour: 5}}
		h := routed(t, Config{}, routes, p)
		for i := range 6 {
			h.send(fmt.Sprint(i))
		}
		if n := len(p.texts()); n != 4 {
			t.Fatalf("sent %d, want 4 of 5", n)
		}
		if l := h.net.Troubles(); len(l) != 1 || !strings.Contains(l[0].Text, "reserve for alarms") {
			t.Errorf("troubles %+v", l)
		}
		at := h.crash()
		h.stop()
		p = newPeer("gsm0")
		h = open(t, at.outbox, at.table, Config{Country: "49", Routes: routes, Location: time.UTC}, p)
		defer h.stop()
		h.send("alarm", urgent)
		late := h.send("alarm 2", urgent)
		if got := p.texts(); !slices.Equal(got, []string{"alarm"}) {
			t.Fatalf("sent %q", got)
		}
		if l := h.net.Troubles(); len(l) != 1 || !strings.Contains(l[0].Text, "5 texts of this hour") || !strings.Contains(h.status().Text, "per_hour") {
			t.Errorf("troubles %+v, status %q", l, h.status().Text)
		}
		h.want(late, transports.Queued)
		pass(time.Hour)
		if n := len(p.texts()); n != 3 { // and the alarm has expired meanwhile
			t.Errorf("sent %d in the next hour", n)
		}
	})
}

func TestCapsOfPeopleAndHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := routed(t, Config{PersonPerDay: 3, PerDay: 10}, nil, newPeer("gsm0"))
		defer h.stop()
		try := func(m transports.Message) string {
			m.To = bob
			_, err := h.s.Send(t.Context(), m)
			var te *transports.Error
			if err != nil && !errors.As(err, &te) {
				t.Fatal(err)
			}
			if err == nil {
				return ""
			}
			if te.Kind != transports.Busy || !te.Temporary {
				t.Errorf("kind %v", te)
			}
			return te.Text
		}
		long := strings.Repeat("x", 200)
		a, b := "alice@office.localhost", "bob@office.localhost"
		for i, c := range []struct {
			m    transports.Message
			says string
		}{
			{transports.Message{Sender: a, Body: long, Key: "k"}, ""},
			{transports.Message{Sender: a, Body: long}, "your 3 texts"},
			{transports.Message{Sender: a, Body: "1"}, ""},
			{transports.Message{Sender: a, Body: "2"}, "your 3 texts"},
			{transports.Message{Sender: a, Body: "alarm", Urgent: true}, ""},
			{transports.Message{Sender: b, Body: long}, ""},
			{transports.Message{Body: "box"}, ""},
			{transports.Message{Body: "box"}, ""},
			{transports.Message{Body: "box"}, "only the reserve"},
			{transports.Message{Body: "a1", Urgent: true}, ""},
			{transports.Message{Body: "a2", Urgent: true}, ""},
			{transports.Message{Body: "a3", Urgent: true}, "All of today's 10"},
		} {
			if got := try(c.m); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("text %d: %q, want %q", i, got, c.says)
			}
		}
		pass(24 * time.Hour)
		if got := try(transports.Message{Sender: a, Body: "tomorrow"}); got != "" {
			t.Error(got)
		}
		synctest.Wait()
		if n := h.table.keys("use/"); n != 4 { // of today: all, alice, the modem by day and hour
			t.Errorf("%d counts are kept", n)
		}
	})
}

// A key that finds an earlier text is not counted again.
func TestKeyIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := routed(t, Config{PersonPerDay: 2}, nil, newPeer("gsm0"))
		defer h.stop()
		for range 5 {
			h.send("hi", func(m *transports.Message) { m.Key = "k" })
			pass(time.Second)
		}
		h.send("other")
	})
}

func TestSendHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight
		p := newPeer("gsm0")
		h := routed(t, Config{Hours: Hours{8 * 60, 20 * 60}}, nil, p)
		defer h.stop()
		id := h.send("chat")
		h.send("alarm", urgent, to("+4915550102"))
		pass(7*time.Hour + 59*time.Minute)
		if got := p.texts(); !slices.Equal(got, []string{"alarm"}) {
			t.Fatalf("sent %q", got)
		}
		c := h.want(id, transports.Queued)
		if c.Next.Hour() != 8 || c.Deadline.Sub(c.Next) != 24*time.Hour {
			t.Errorf("next %s, deadline %s", c.Next, c.Deadline)
		}
		pass(time.Minute)
		h.by(id)
		pass(11*time.Hour + 58*time.Minute)
		p.answers = []answer{{class: modem.ClassNetwork, cms: 42}, {class: modem.ClassNetwork, cms: 42}, {class: modem.ClassNetwork, cms: 42}, {class: modem.ClassNetwork, cms: 42}}
		id = h.send("retried over night")
		pass(time.Hour)
		if c := h.want(id, transports.RetryWait); !strings.Contains(c.Text, "begin at 08:00") {
			t.Errorf("says %q", c.Text)
		}
		pass(14 * time.Hour)
		h.by(id)
	})
}

func TestHours(t *testing.T) {
	day := func(h, m int) time.Time { return time.Date(2026, 3, 28, h, m, 0, 0, time.UTC) }
	for _, c := range []struct {
		h    Hours
		t    time.Time
		want time.Time
	}{
		{Hours{}, day(3, 0), day(3, 0)},
		{Hours{480, 1200}, day(8, 0), day(8, 0)},
		{Hours{480, 1200}, day(7, 59), day(8, 0)},
		{Hours{480, 1200}, day(20, 0), day(32, 0)},
		{Hours{1200, 360}, day(23, 0), day(23, 0)},
		{Hours{1200, 360}, day(5, 59), day(5, 59)},
		{Hours{1200, 360}, day(6, 0), day(20, 0)},
	} {
		if got := c.h.Opens(c.t); !got.Equal(c.want) {
			t.Errorf("%v at %s opens %s, want %s", c.h, c.t, got, c.want)
		}
	}
}

func TestLaterAndShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{}, nil, p)
		defer h.stop()
		begin := time.Now().Add(time.Hour)
		h.send("later", func(m *transports.Message) { m.NotBefore = begin })
		p.set(modem.Searching, "")
		synctest.Wait()
		short := h.send("short", func(m *transports.Message) { m.Validity = 10 * time.Minute })
		pass(30 * time.Minute)
		p.set(modem.Ready, "")
		synctest.Wait()
		h.want(short, transports.Expired)
		if len(p.texts()) != 0 {
			t.Fatal("sent too early")
		}
		pass(30 * time.Minute)
		if got := p.texts(); !slices.Equal(got, []string{"later"}) {
			t.Fatalf("sent %q", got)
		}
	})
}

// A modem that keeps failing rests, says so, and others take over; it is tried again, and rests longer when it fails again.
func TestFailingModemRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := newPeer("gsm0")
		for range 40 {
			bad.answers = append(bad.answers, answer{class: modem.ClassModem, cms: 300, before: true})
		}
		good := newPeer("gsm1")
		h := routed(t, Config{}, nil, bad, good)
		defer h.stop()
		for i := range 10 {
			h.send(fmt.Sprint(i), to(fmt.Sprintf("+49155501%02d", i)))
		}
		if l := h.net.Troubles(); len(l) != 1 || l[0].Modem != "gsm0" || !strings.Contains(l[0].Text, "CMS ERROR: 300") {
			t.Errorf("troubles %+v", l)
		}
		pass(20 * time.Minute)
		if n := len(good.texts()); n != 10 {
			t.Errorf("the other modem sent %d of 10", n)
		}
		if bad.tried > 8 {
			t.Errorf("the bad modem was tried %d times", bad.tried)
		}
		bad.mu.Lock()
		bad.answers = nil
		bad.mu.Unlock()
		pass(time.Hour)
		h.send("one", to("+4915550201"))
		h.send("two", to("+4915550202"))
		if l := h.net.Troubles(); len(l) != 0 || len(bad.texts()) != 1 {
			t.Errorf("troubles %+v, sent %q", l, bad.texts())
		}
	})
}

// A modem that is only at home with some operators sends nothing abroad.
func TestOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{}, map[string]Route{"gsm0": {Operators: []string{"Telekom.de"}}}, p)
		defer h.stop()
		id := h.send("hi")
		h.want(id, transports.Queued)
		if l := h.net.Troubles(); len(l) != 1 || !strings.Contains(l[0].Text, "Testnet") {
			t.Errorf("troubles %+v", l)
		}
		p.mu.Lock()
		p.st.Operator = "telekom.de"
		p.mu.Unlock()
		p.set(modem.Ready, "")
		synctest.Wait()
		h.by(id)
	})
}

func TestListsOfNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{AllowTo: []string{"+4915", "5050"}, DenyTo: []string{"+491556"}, DenyFrom: []string{"Casino", "+49177"}}, nil, p)
		defer h.stop()
		for num, ok := range map[string]bool{"+4915550101": true, "5050": true, "+4915560101": false, "+4917750101": false, "5051": false} {
			_, err := h.s.Send(t.Context(), transports.Message{To: transports.ContactID(num), Body: "x"})
			if (err == nil) != ok {
				t.Errorf("%s: %v", num, err)
			}
		}
		p.arrive(deliver(t, "casino", "Win!", 0, time.Now())[0])
		p.arrive(deliver(t, "+4917750101", "hi", 0, time.Now())[0])
		p.arrive(deliver(t, bob, "ok", 0, time.Now())[0])
		if got := h.incoming(); len(got) != 1 || got[0].Body != "ok" {
			t.Errorf("got %+v", got)
		}
		l, err := h.net.Inbox("", 0, 0)
		if err != nil || len(l) != 3 || l[0].Text != "ok" || l[2].Kind != KindDenied || !l[2].Taken {
			t.Errorf("log %+v, %v", l, err)
		}
	})
}

// Who cancels a text is told at once, however many wait.
func TestChangedTellsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		p.st.State = modem.Searching
		h := routed(t, Config{}, nil, p)
		defer h.stop()
		id := h.send("hi")
		if err := h.outbox.Cancel(id); err != nil {
			t.Fatal(err)
		}
		job, err := h.outbox.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		h.net.Changed(job)
		synctest.Wait()
		if h.receipts() != "cancelled" {
			t.Errorf("told %q", h.receipts())
		}
		pass(time.Hour)
		if h.receipts() != "cancelled" {
			t.Errorf("told %q", h.receipts())
		}
	})
}
