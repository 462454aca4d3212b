package sms

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

// hear has a number text in; each text is one of its own.
func (h *house) hear(t *testing.T, p *modemPeer, num, text string) {
	t.Helper()
	pass(time.Second)
	p.arrive(deliver(t, num, text, 0, time.Now())[0])
}

func TestStopAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		h.hear(t, p, bob, "YES") // without an opt-out it is an answer
		h.hear(t, p, bob, " Stop! ")
		h.hear(t, p, bob, "stop") // again: no second answer
		got := h.incoming()
		if len(got) != 3 || got[0].Kind != "" || got[1].Kind != KindOptOut || !strings.Contains(got[1].Body, "wants no more texts") {
			t.Fatalf("got %+v", got)
		}
		if s := p.texts(); len(s) != 1 || s[0] != stopAnswer {
			t.Fatalf("answered %q", s)
		}
		refused := func(h *house) bool {
			_, err := h.s.Send(t.Context(), transports.Message{To: bob, Body: "x", Urgent: true})
			return errors.Is(err, ErrOptedOut) && strings.Contains(err.Error(), "START")
		}
		if !refused(h) {
			t.Error("texts to the number are taken")
		}
		at := h.crash()
		h.stop()
		p = newPeer("gsm0")
		h = at.restart(t, p)
		defer h.stop()
		if l := h.net.OptOuts(); !refused(h) || len(l) != 1 || l[0].Number != bob {
			t.Errorf("forgotten after the restart: %+v", l)
		}
		h.hear(t, p, bob, "stop it") // no whole word
		h.hear(t, p, bob, "Start")
		if refused(h) || len(h.net.OptOuts()) != 0 {
			t.Error("START has changed nothing")
		}
		if s := p.texts(); len(s) != 1 || s[0] != startAnswer {
			t.Fatalf("answered %q", s)
		}
	})
}

// A STOP that nobody has taken yet is looked at again after a restart, and does not undo a later START.
func TestOldStopDoesNotUndoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		h.mu.Lock()
		h.refuse = errors.New("disk full")
		h.mu.Unlock()
		h.hear(t, p, bob, "STOP")
		h.hear(t, p, bob, "START")
		at := h.crash()
		h.stop()
		p2 := newPeer("gsm0")
		h = at.restart(t, p2)
		defer h.stop()
		if l := h.net.OptOuts(); len(l) != 0 {
			t.Errorf("opted out: %+v", l)
		}
		if got := h.incoming(); len(got) != 2 || got[0].Kind != "" && got[0].Kind != KindOptOut || got[1].Kind != KindOptIn {
			t.Errorf("got %+v", got)
		}
		pass(time.Hour)
		if n := len(p.texts()) + len(p2.texts()); n != 2 {
			t.Errorf("%d answers", n)
		}
	})
}

func TestOptOutByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newPeer("gsm0"))
		defer h.stop()
		for _, c := range []struct{ out, changed bool }{{false, false}, {true, true}, {true, false}, {false, true}} {
			num, changed, err := h.net.SetOptOut("0155 501-01", c.out)
			if num != bob || changed != c.changed || err != nil {
				t.Errorf("%v: %s %v %v", c, num, changed, err)
			}
		}
		if _, _, err := h.net.SetOptOut("bob", true); err == nil {
			t.Error("a word is a number")
		}
	})
}

// Answers that nobody wrote end after a few, and names and short codes never get one.
func TestAnswersDoNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		h.hear(t, p, bob, "help")
		if s := p.texts(); len(s) != 1 || s[0] != helpAnswer || len(h.incoming()) != 0 {
			t.Fatalf("answered %q, passed on %+v", s, h.incoming())
		}
		h.hear(t, p, bob, "?") // once a day; then it is for people
		if len(p.texts()) != 1 || len(h.incoming()) != 1 {
			t.Fatal("answered twice")
		}
		for range 10 {
			h.hear(t, p, bob, "STOP")
			h.hear(t, p, bob, "START")
		}
		if n := len(p.texts()); n != autoMost {
			t.Errorf("%d answers", n)
		}
		h.hear(t, p, "casino", "help")
		h.hear(t, p, "5050", "STOP")
		if n := len(p.texts()); n != autoMost || len(h.net.OptOuts()) != 0 {
			t.Error("a name or a short code was answered")
		}
		pass(25 * time.Hour)
		h.hear(t, p, bob, "help")
		h.net.AutoAnswer(bob, "in-1", "Thank you")
		h.net.AutoAnswer(bob, "in-1", "Thank you")
		pass(time.Minute)
		if n := len(p.texts()); n != autoMost+2 {
			t.Errorf("%d answers after a day", n)
		}
	})
}

// The answer to STOP leaves at any hour.
func TestStopIsAnsweredAtNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{Hours: Hours{8 * 60, 20 * 60}, Answers: Answers{Stop: "Bye", Help: "-"}}, nil, p)
		defer h.stop()
		h.hear(t, p, bob, "stop")
		if s := p.texts(); len(s) != 1 || s[0] != "Bye" {
			t.Errorf("answered %q", s)
		}
		h.hear(t, p, "+4915550102", "help")
		if len(p.texts()) != 1 || len(h.incoming()) != 2 {
			t.Error("help is answered although that is off")
		}
	})
}

// What is not a text for people is named for what it is.
func TestNamedForWhatItIs(t *testing.T) {
	none := pdu.Number{}
	mms := append([]byte("\x01\x06\x22application/vnd.wap.mms-message\x00\xaf\x84\x8c\x82\x98T1\x00\x8d\x90\x89\x19\x80"), "+4915550102/TYPE=PLMN\x00\x83http://mms.example/x\x00"...)
	port := func(p uint16) []byte { return []byte{5, 4, byte(p >> 8), byte(p), 0, 0} }
	for name, c := range map[string]struct {
		tpdus      [][]byte
		kind, says string
	}{
		"MMS":          {[][]byte{raw(none, 4, port(2948), mms)}, KindMMS, "from +4915550102"},
		"MMS in parts": {[][]byte{raw(none, 4, append(port(2948), 0, 3, 9, 2, 2), mms[60:]), raw(none, 4, append(port(2948), 0, 3, 9, 2, 1), mms[:60])}, KindMMS, "picture message"},
		"short MMS":    {[][]byte{raw(none, 4, port(2948), []byte("\x01\x06\x03\xbe\xaf\x84\x8c\x82\x98T\x00"))}, KindMMS, "picture message"},
		"WAP push":     {[][]byte{raw(none, 4, port(2948), []byte{1, 6, 1, 0xAE, 2, 5})}, KindBinary, "WAP push"},
		"card":         {[][]byte{raw(none, 0, port(9204), []byte("BEGIN:VCARD"))}, KindBinary, "(vCard)] BEGIN:VCARD"},
		"ringing tone": {[][]byte{raw(none, 4, port(5505), []byte{2, 0x4A, 0x3A})}, KindBinary, "binary message of 3 octets for an application, a ringing tone"},
		"binary":       {[][]byte{raw(none, 4, nil, []byte{0, 1, 2, 3, 0xFF})}, KindBinary, "binary message of 5 octets"},
		"one octet":    {[][]byte{raw(none, 4, port(77), []byte{0})}, KindBinary, "1 octet for an application, port 77"},
		"flash":        {[][]byte{raw(none, 0x10, nil, []byte("now"))}, KindFlash, "now"},
		"voicemail":    {[][]byte{raw(none, 0, []byte{1, 2, 0x80, 3}, nil)}, KindVoicemail, "3 voicemails wait for the SIM in gsm0"},
		"one fax":      {[][]byte{raw(none, 0, []byte{1, 2, 1, 1}, []byte("from 12"))}, KindVoicemail, "1 fax waits for the SIM in gsm0. Call its mailbox.] from 12"},
		"no voicemail": {[][]byte{raw(none, 0xC0, nil, nil)}, KindVoicemail, "No voicemail waits"},
		"none by head": {[][]byte{raw(none, 0, []byte{1, 2, 0, 0}, nil)}, KindVoicemail, "No voicemail waits"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer("gsm0")
				h := start(t, p)
				defer h.stop()
				for _, b := range c.tpdus {
					p.arrive(b)
				}
				got := h.incoming()
				if len(got) != 1 || got[0].Kind != c.kind || !strings.Contains(got[0].Body, c.says) {
					t.Errorf("got %+v, want %s %q", got, c.kind, c.says)
				}
			})
		})
	}
}

// FuzzNamed feeds the naming with foreign TPDUs: any of them gets words.
func FuzzNamed(f *testing.F) {
	f.Add([]byte{0x44, 0x03, 0x81, 0x21, 0xF3, 0, 4, 0x62, 0x11, 0x22, 0x10, 0, 0, 0, 8, 6, 5, 4, 0x0B, 0x84, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := pdu.DecodeDeliver(b)
		if err != nil {
			return
		}
		kind, words := named(d, "gsm0", d.Part.Data, d.Text())
		if kind != "" && kind != KindFlash && words == "" {
			t.Errorf("kind %q without words", kind)
		}
	})
}

func TestInboxIsPaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := start(t, p)
		defer h.stop()
		for _, s := range []string{"one", "two", "three"} {
			h.hear(t, p, bob, s)
		}
		h.hear(t, p, "+4915550102", "other")
		l, err := h.net.Inbox(bob, 0, 2)
		if err != nil || len(l) != 2 || l[0].Text != "three" || l[1].Text != "two" || !l[0].Taken || l[0].Modem != "gsm0" {
			t.Fatalf("%+v %v", l, err)
		}
		if l, err = h.net.Inbox(bob, l[1].ID, 2); err != nil || len(l) != 1 || l[0].Text != "one" {
			t.Fatalf("%+v %v", l, err)
		}
		pass(keepLog + 2*pruneEvery)
		if l, err = h.net.Inbox("", 0, 0); err != nil || len(l) != 0 {
			t.Fatalf("kept for ever: %+v %v", l, err)
		}
	})
}

// A text that waits is not sent any more when STOP comes; who wrote it is told.
func TestStopCancelsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer("gsm0")
		h := routed(t, Config{Hours: Hours{8 * 60, 20 * 60}}, nil, p)
		defer h.stop()
		id := h.send("in the morning")
		h.hear(t, p, bob, "stop")
		pass(9 * time.Hour)
		h.want(id, transports.Cancelled)
		if s := p.texts(); len(s) != 1 || s[0] != stopAnswer || strings.Count(h.receipts(), "cancelled") != 1 {
			t.Errorf("sent %q, told %q", s, h.receipts())
		}
		job, err := h.outbox.Get(id)
		if err != nil || !strings.Contains(job.Error, "wants no texts any more") {
			t.Errorf("%+v %v", job, err)
		}
	})
}
