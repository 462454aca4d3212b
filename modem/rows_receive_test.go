package modem

import (
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/modem/pdu"
)

// B12: a message is pushed, its PDU comes much later with noise in between, and
// commands go on meanwhile. A PDU that never comes harms nothing.
func TestB12PushedInTwoLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B12@250ms"), nil)
	r.ready()
	r.until("message", 5*time.Second, func() bool { return r.has("pushed in two lines") })
	r.mu.Lock()
	s := r.got[0]
	r.mu.Unlock()
	if s.Index != -1 || s.Stat != -1 || s.TPDU == nil {
		t.Errorf("stored %+v, want a pushed one", s)
	}
	r.emu.Send("\r\n+CMT: ,23\r\n\r\n^RSSI:20\r\n")
	r.standing()
	if n := len(r.texts()); n != 2 {
		t.Errorf("%d texts received: %q", n, r.texts())
	}
}

// B13: messages are pushed and want +CNMA. An acknowledgement that was missed
// has the modem drop its routing: it is made again, the message comes once more
// and counts once.
func TestB13MissedAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{Scripts: []string{"B13"}, AckTimeout: 150 * time.Millisecond}, nil)
	asleep := false
	r.mu.Lock()
	r.slow = func(Stored) {
		if !asleep {
			asleep = true
			<-time.After(300 * time.Millisecond)
		}
	}
	r.mu.Unlock()
	r.ready()
	r.deliver("acknowledged late", 5*time.Second)
	r.until("redelivered", 8*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) == 1 && r.seen[pdu.Hash(r.got[0].TPDU)] > 1
	})
	r.until("routing made again", 5*time.Second, func() bool { return r.traced(">AT+CNMI=2,2,0,1,0") >= 2 })
	r.standing()
	if got := r.texts(); !slices.Equal(got, []string{"acknowledged late", "standing answer"}) {
		t.Errorf("received %q", got)
	}
	if r.traced(">AT+CNMA") < 2 {
		t.Error("nothing is acknowledged")
	}
}

// B14: the storage is full, and nothing is announced until there is room: it
// is emptied at once, and reception goes on.
func TestB14StorageFull(t *testing.T) {
	for _, name := range []string{"B14", "B14-ciev"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{Scripts: []string{name}, Memories: []emulator.Memory{{Name: "ME", Size: 3, First: 0}}},
				func(c *Config) { c.Timeouts.Poll = 20 * time.Second }) // the poll does not help
			r.ready()
			r.until("drained", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 1 })
			r.set("cnmi", "2,0,0,0,0")
			want := []string{"one", "two", "three", "four", "five"}
			for _, s := range want {
				if err := r.emu.Deliver("+4915550102", s); err != nil {
					t.Fatal(err)
				}
			}
			r.until("all received", 8*time.Second, func() bool { return len(r.texts()) == len(want) })
			got := r.texts()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("received %q", got)
			}
			r.standing()
		})
	}
}

// B25: reports are stored in SR, and one modem says SM: the report is read
// where it lies, and what lies in SM under that number stays.
func TestB25StoredReports(t *testing.T) {
	for _, name := range []string{"B25", "B25-sm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, emulator.Config{Scripts: []string{name},
				Memories: []emulator.Memory{{Name: "ME", Size: 30, First: 0}, {Name: "SM", Size: 20, First: 0}, {Name: "SR", Size: 20, First: 0}}}, nil)
			r.ready()
			draft, _ := r.emu.Store("SM", 2, r.tpdu("not a report"))
			mr := r.mustSend("with report")
			r.until("report", 5*time.Second, func() bool { return slices.Contains(r.reports(), mr) })
			r.standingBut(1)
			if s := r.emu.Slots()[0]; s.Storage != "SM" || s.Index != draft {
				t.Errorf("left: %+v", s)
			}
		})
	}
}

// A report that nobody announced is found in SR by the poll.
func TestReportFoundByPoll(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B25"), nil)
	r.ready()
	r.until("quiet", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 2 })
	b, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: 77, To: mustNumber(t, "+4915550101"), Time: time.Now(), Done: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	r.emu.Store("SR", 0, b)
	r.until("report", 3*fast.Poll, func() bool { return slices.Contains(r.reports(), 77) })
	r.standing()
}

// B30: listing gets no answer, or fails at one slot which cannot be read
// either, or one slot holds what is no PDU: the others arrive, and what can be
// read at all is handed on and deleted.
func TestB30OneBadSlot(t *testing.T) {
	for _, name := range []string{"B30", "B30-slot", ""} {
		t.Run("script "+name, func(t *testing.T) {
			t.Parallel()
			c := emulator.Config{}
			if name != "" {
				c = script(name)
			}
			r := newRig(t, c, nil)
			r.ready()
			r.set("cnmi", "2,0,0,1,0") // nothing is announced but reports
			for i := range 6 {
				tpdu := []byte{0x04, 0xFF, 0x91} // an address longer than the TPDU
				if i != 3 {
					parts, err := pdu.EncodeDeliver("slot "+string(rune('0'+i)), pdu.DeliverOptions{From: mustNumber(t, "+4915550102")})
					if err != nil {
						t.Fatal(err)
					}
					tpdu = parts[0]
				}
				r.emu.Store("ME", 0, tpdu)
			}
			want := 6
			if name == "B30-slot" {
				want = 5
			}
			r.until("what can be read", 4*fast.Poll, func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.got) == want
			})
			left := 0
			if name == "B30-slot" {
				left = 1
			}
			r.mu.Lock()
			bad := slices.ContainsFunc(r.got, func(s Stored) bool { return s.Index == 3 && strings.HasSuffix(s.Raw, "04FF91") })
			r.mu.Unlock()
			if bad != (left == 0) {
				t.Errorf("slot 3 handed on: %v", bad)
			}
			r.standingBut(left)
		})
	}
}

// B31: nothing can be deleted: each message is handed on and counts once, the
// status says so, and the poll goes on.
func TestB31DeleteRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, script("B31"), nil)
	r.keep(true)
	r.ready()
	r.deliver("cannot be deleted", 5*time.Second)
	r.is(Ready, "cannot delete messages", "ME place 0", "CMS ERROR: 320")
	r.until("offered again", 3*fast.Poll, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.seen[pdu.Hash(r.got[0].TPDU)] > 1
	})
	r.standing()
	if got := r.texts(); !slices.Equal(got, []string{"cannot be deleted", "standing answer"}) {
		t.Errorf("received %q", got)
	}
	r.emu.ClearRules()
	r.keep(false)
	r.until("deleted in the end", 3*fast.Poll, func() bool { return len(r.emu.Slots()) == 0 })
	r.is(Ready, "The modem is ready:")
}

func (r *rig) keep(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keeps = yes
}

// B32: slots begin at 0 or at 900, counts are stale or missing: what is
// announced and what is listed is read, and nothing else.
func TestB32SlotNumbers(t *testing.T) {
	for _, c := range []struct {
		name  string
		first int
		also  string // another script
	}{{"from 0", 0, ""}, {"from 900", 900, ""}, {"from 900, no list", 900, "B30"}, {"stale counts", 0, "B32-stale"}, {"no counts", 900, "B32-missing"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ec := emulator.Config{Memories: []emulator.Memory{{Name: "ME", Size: 50, First: c.first}}}
			if c.also != "" {
				ec.Scripts = []string{c.also}
			}
			r := newRig(t, ec, nil)
			r.ready()
			r.deliver("announced", 5*time.Second)
			r.set("cnmi", "2,0,0,1,0")
			parts, err := pdu.EncodeDeliver("not announced", pdu.DeliverOptions{From: mustNumber(t, "+4915550102")})
			if err != nil {
				t.Fatal(err)
			}
			r.emu.Store("ME", 0, parts[0])
			r.until("found", 4*fast.Poll, func() bool { return r.has("not announced") })
			r.standing()
		})
	}
}

// B36: two answers and an announcement come in one piece: each goes to its own place.
func TestB36OnePiece(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.until("quiet", 5*time.Second, func() bool { return r.traced(">AT+CMGL=4") >= 2 })
	r.set("cnmi", "2,0,0,1,0")
	parts, err := pdu.EncodeDeliver("between two answers", pdu.DeliverOptions{From: mustNumber(t, "+4915550136")})
	if err != nil {
		t.Fatal(err)
	}
	r.emu.Store("ME", 0, parts[0])
	if err := r.emu.LoadScript("B36"); err != nil {
		t.Fatal(err)
	}
	r.until("message", 3*fast.Poll, func() bool { return r.has("between two answers") })
	r.until("right signal", 3*fast.Poll, func() bool { return r.d.Status().RSSI == -73 })
	if r.d.Status().RSSI != -73 { // not that of the answer that came too late
		t.Errorf("status %+v", r.d.Status())
	}
	r.standing()
}

// A flash message (class 0) may be pushed although messages are stored, and
// then nothing but the driver has it.
func TestFlashPushed(t *testing.T) {
	t.Parallel()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	r.set("flash", "direct")
	parts, err := pdu.EncodeDeliver("now", pdu.DeliverOptions{From: mustNumber(t, "+4915550102"), Class: pdu.Flash})
	if err != nil {
		t.Fatal(err)
	}
	r.emu.DeliverTPDU(parts[0])
	r.until("flash", 5*time.Second, func() bool { return r.has("now") })
	r.mu.Lock()
	s := r.got[0]
	r.mu.Unlock()
	if m, err := pdu.DecodeDeliver(s.TPDU); err != nil || m.Class != pdu.Flash || s.Index != -1 {
		t.Errorf("stored %+v, class %v, %v", s, m.Class, err)
	}
	r.standing()
}
