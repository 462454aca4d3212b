package sms

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

func deliver(t *testing.T, from, text string, ref uint16, at time.Time) [][]byte {
	t.Helper()
	n := pduNumber(from)
	if strings.ContainsAny(from, "abcdefghijklmnopqrstuvwxyz") {
		n = pdu.Number{Digits: from, TON: pdu.Alphanumeric}
	}
	b, err := pdu.EncodeDeliver(text, pdu.DeliverOptions{From: n, Time: at, Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTextArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		tpdu := deliver(t, bob, "Komme gleich 👍", 0, time.Now())[0]
		p.arrive(tpdu)
		p.arrive(tpdu) // the modem could not delete it
		again := slices.Clone(tpdu)
		again[0] ^= 0x04 // the network sent it again, with more waiting
		p.arrive(again)
		got := h.incoming()
		if len(got) != 1 || got[0].Body != "Komme gleich 👍" || got[0].From != bob || got[0].Delayed || got[0].Ref == "" {
			t.Fatalf("got %+v", got)
		}
		if p.deleted != 3 {
			t.Errorf("deleted %d", p.deleted)
		}
		at := h.crash()
		h.stop()
		h = at.restart(t, p)
		defer h.stop()
		p.arrive(tpdu)
		if n := len(h.incoming()); n != 0 {
			t.Fatalf("%d more after the restart", n)
		}
	})
}

func TestPartsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		parts := deliver(t, bob, long, 5, time.Now())
		other := deliver(t, "+4915550202", strings.ToUpper(long), 5, time.Now())
		rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for i := range parts {
			p.arrive(parts[i])
			p.arrive(other[i])
			p.arrive(parts[i])
		}
		got := h.incoming()
		if len(got) != 2 || got[0].Body != long || got[1].Body != strings.ToUpper(long) {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestMissingPartIsMarkedAndCorrectedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		text := strings.Repeat("a", 153) + strings.Repeat("b", 153) + "c"
		parts := deliver(t, bob, text, 9, time.Now())
		p.arrive(parts[2])
		p.arrive(parts[0])
		pass(14 * time.Minute)
		if len(h.incoming()) != 0 {
			t.Fatal("shown too early")
		}
		at := h.crash()
		h.stop()
		h = at.restart(t, p)
		defer h.stop()
		pass(2 * time.Minute)
		got := h.incoming()
		if len(got) != 1 || got[0].Body != strings.Repeat("a", 153)+"[part 2 of 3 missing]c" {
			t.Fatalf("got %+v", got)
		}
		pass(time.Hour)
		p.arrive(parts[1])
		got = h.incoming()
		if len(got) != 2 || got[1].Body != text || got[1].Replace != got[0].Ref || got[1].Ref == got[0].Ref {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestReferenceReusedNextDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		p.arrive(deliver(t, bob, strings.Repeat("a", 200), 9, time.Now())[0])
		pass(2 * time.Hour)
		for _, b := range deliver(t, bob, strings.Repeat("b", 200), 9, time.Now()) {
			p.arrive(b)
		}
		got := h.incoming()
		if len(got) != 2 || !strings.HasSuffix(got[0].Body, "[part 2 of 2 missing]") || got[1].Body != strings.Repeat("b", 200) {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestUndecodableIsKeptAsideAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		p.arrive([]byte{0x04, 0xFF, 0x91, 1})
		p.inbox <- modem.Stored{Raw: "GARBAGE", Stat: 1, At: time.Now(), Delete: nil}
		p.arrive([]byte{})
		p.arrive([]byte{0x02, 1})
		p.inbox <- modem.Stored{TPDU: []byte{0x11, 0}, Stat: 2} // somebody's draft
		p.arrive(deliver(t, "vodafone", "", 0, time.Now())[0])
		got := h.incoming()
		if len(got) != 1 || got[0].Body != "(empty text)" || got[0].From != "vodafone" {
			t.Fatalf("got %+v", got)
		}
		if n := h.table.keys("bad/"); n != 4 {
			t.Errorf("%d in quarantine", n)
		}
		pass(15 * 24 * time.Hour)
		if n := h.table.keys("seen/"); n != 0 {
			t.Errorf("%d hashes kept for ever", n)
		}
		if n := h.table.keys("bad/"); n != 4 {
			t.Errorf("quarantine lost %d", 4-n)
		}
	})
}

func TestNotStoredMeansNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		h.table.fail = errors.New("disk full")
		tpdu := deliver(t, bob, "hi", 0, time.Now())[0]
		p.arrive(tpdu)
		if p.deleted != 0 || len(h.incoming()) != 0 {
			t.Fatal("the text left the modem without being stored")
		}
		h.table.mu.Lock()
		h.table.fail = nil
		h.table.mu.Unlock()
		p.arrive(tpdu)
		if p.deleted != 1 || len(h.incoming()) != 1 {
			t.Fatal("not taken the second time")
		}
	})
}

func TestTextNobodyTakesIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		h.refuse = errors.New("nobody there")
		p.arrive(deliver(t, bob, "one", 0, time.Now())[0])
		p.arrive(deliver(t, bob, "two", 0, time.Now())[0])
		at := h.crash()
		pass(time.Minute)
		h.mu.Lock()
		h.refuse = nil
		h.mu.Unlock()
		pass(5 * time.Minute)
		if got := h.incoming(); len(got) != 2 || got[0].Body != "one" {
			t.Fatalf("got %+v", got)
		}
		h.stop()
		pass(20 * time.Minute)
		h = at.restart(t, p)
		defer h.stop()
		got := h.incoming()
		if len(got) != 2 || got[0].Body != "one" || !got[0].Delayed {
			t.Fatalf("after the restart: %+v", got)
		}
	})
}

func TestOldTextCarriesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		written := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
		p.arrive(deliver(t, bob, "hi", 0, written)[0])
		got := h.incoming()
		if len(got) != 1 || !got[0].Delayed || !got[0].At.Equal(written) {
			t.Fatalf("got %+v", got)
		}
		p.arrive(deliver(t, bob, "clock is wrong", 0, time.Now().Add(9*time.Hour))[0])
		if got := h.incoming(); got[1].Delayed {
			t.Fatalf("got %+v", got[1])
		}
	})
}

// FuzzReceive feeds anything a modem could store; texts that come out are for people.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x04\x0b\x91\x94\x51\x55\x05\x10\xf1\x00\x00\x62\x11\x22\x10\x00\x00\x00\x02\xe8\x34"))
	f.Add([]byte("\x44\x0b\x91\x94\x51\x55\x05\x10\xf1\x00\x08\x62\x11\x22\x10\x00\x00\x00\x08\x05\x00\x03\x01\x02\x01\xd8\x3d"))
	f.Add([]byte("\x06\x29\x0b\x91\x94\x51\x55\x05\x10\xf1\x62\x11\x22\x10\x00\x00\x00\x62\x11\x22\x10\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, tpdu []byte) {
		s, err := newSession(New(quiet), transports.Env{Table: newMemTable(), Outbox: newMemOutbox(), Now: time.Now, Log: discard})
		if err != nil {
			t.Fatal(err)
		}
		r := newReceiver(s)
		kept := make(chan error, 1)
		r.store(arrival{modem: "gsm0", stored: modem.Stored{TPDU: tpdu}, kept: kept})
		if err := <-kept; err != nil {
			t.Fatal(err)
		}
		for _, m := range r.byRef {
			r.timeouts(time.Now().Add(time.Hour))
			msg, err := m.message(s.n)
			if err != nil || msg.Body == "" || msg.From == "" {
				t.Fatalf("%+v: %v", msg, err)
			}
		}
	})
}
