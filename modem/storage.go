package modem

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slot is one place of the modem's storage.
type slot struct {
	mem   string
	index int
}

// reading is a slot to read; report: it was announced as a status report.
type reading struct {
	slot
	report bool
}

// offered is what the inbox knows of a slot or of a pushed TPDU.
type offered struct {
	stored  Stored
	sum     [sha256.Size]byte
	waiting bool // not yet taken from the inbox
	at      time.Time
}

// offer is one entry of the queue in front of the inbox.
type offer struct {
	stored Stored
	of     *offered
}

// head gives what the inbox is to take next; the channel is nil when there is nothing.
func (d *Driver) head() (chan<- Stored, offer) {
	if len(d.offers) == 0 {
		return nil, offer{}
	}
	return d.inbox, d.offers[0]
}

// taken removes the head.
func (d *Driver) taken() {
	o := d.offers[0]
	d.offers = d.offers[1:]
	o.of.waiting, o.of.at = false, time.Now()
}

// put queues a TPDU unless it waits already or was taken a moment ago and is
// probably being persisted.
func (d *Driver) put(of *offered, again time.Duration) {
	if of.waiting || time.Since(of.at) < again {
		return
	}
	of.waiting = true
	d.offers = append(d.offers, offer{stored: of.stored, of: of})
}

// forgetSlots drops what was read from a storage that is gone; it is read
// again when the modem is back. Pushed TPDUs exist nowhere else and stay.
func (d *Driver) forgetSlots() {
	kept := d.offers[:0]
	for _, o := range d.offers {
		if o.stored.Index < 0 {
			kept = append(kept, o)
		}
	}
	clear(d.offers[len(kept):])
	d.offers = kept
	clear(d.slots)
	clear(d.kept)
}

// offerPushed offers a +CDS or +CMT, which no storage holds, until it is
// deleted. With CSMS=1 Delete acknowledges it (TS 27.005 §4.6).
func (d *Driver) offerPushed(s *session, u urc) {
	h, ok := parsePushed(u.text)
	if !ok {
		return
	}
	if len(d.pushed) >= 1000 {
		d.log.Error("modem: pushed message dropped, nobody takes them")
		return
	}
	d.pushes++
	id, epoch, ack := d.pushes, d.epoch, s.ack
	of := &offered{stored: Stored{Modem: d.cfg.Name, Raw: u.pdu, Stat: -1, Index: -1, At: time.Now()}}
	of.stored.TPDU, _ = parsePDU(u.pdu, h.length)
	of.stored.Delete = func(ctx context.Context) error {
		return d.submit(ctx, func(ctx context.Context, s *session) error {
			_, there := d.pushed[id]
			delete(d.pushed, id)
			if !there || !ack || epoch != d.epoch {
				return nil
			}
			// The modem waits for a while, one message at a time (timer TR2M of
			// TS 24.011): an acknowledgement that is late would be for another one.
			if id == d.pushes && time.Since(of.stored.At) < s.t.Prompt {
				// Once: a second one would acknowledge the next message.
				if r, err := s.ask1(ctx, command{line: "AT+CNMA", limit: s.t.Command}); r.final.ok() || err != nil {
					return err
				}
			}
			return s.stillAnnounced(ctx)
		})
	}
	d.pushed[id] = of
	d.put(of, 0)
}

// announced notes a slot named by +CMTI or +CDSI.
func (s *session) announced(mem string, index int, report bool) {
	k := slot{mem, index}
	s.gen[k]++
	s.want = append(s.want, reading{k, report})
	if mem != "SR" && !slices.Contains(s.mems, mem) {
		s.mems = append(s.mems, mem)
	}
}

// selectMemory makes +CMGR, +CMGL and +CMGD use a memory.
func (s *session) selectMemory(ctx context.Context, mem string) (bool, error) {
	if mem == s.mem1 || mem == "" {
		return true, nil
	}
	r, err := s.ask(ctx, command{line: `AT+CPMS="` + mem + `"`, info: "+CPMS", limit: s.t.Storage})
	if err != nil {
		return false, err
	}
	if !r.final.ok() {
		_, ok, err := s.chooseMemory(ctx, mem)
		return ok, err
	}
	s.mem1 = mem
	return true, nil
}

// readNext reads one announced slot.
func (s *session) readNext(ctx context.Context) error {
	w := s.want[0]
	s.want = s.want[1:]
	found, report, err := s.readSlot(ctx, w.slot)
	if err != nil || !w.report || (found && report) || w.mem == "SR" {
		return err
	}
	// COMPAT(Quectel EC25): the report lies in SR whatever the line says.
	_, _, err = s.readSlot(ctx, slot{"SR", w.index})
	return err
}

// readSlot reads one slot and offers what is in it. A bare OK means that it is empty.
func (s *session) readSlot(ctx context.Context, k slot) (found, report bool, err error) {
	if ok, err := s.selectMemory(ctx, k.mem); err != nil || !ok {
		return false, false, err
	}
	h, pdu, ok, err := s.readPDU(ctx, k.index)
	if err == nil && ok && !wholePDU(pdu, h.length) {
		// Bytes may have been lost on the way; what it says twice is what it has.
		h2, pdu2, ok2, err2 := s.readPDU(ctx, k.index)
		if err = err2; ok2 {
			h, pdu = h2, pdu2
		}
	}
	if err != nil || !ok {
		return false, false, err
	}
	s.offerSlot(k, h, pdu)
	tpdu, _ := parsePDU(pdu, h.length)
	return true, len(tpdu) > 0 && tpdu[0]&3 == 2, nil // TS 23.040 §9.2.3.1
}

func (s *session) readPDU(ctx context.Context, index int) (header, string, bool, error) {
	r, err := s.ask(ctx, command{line: "AT+CMGR=" + strconv.Itoa(index), info: "+CMGR", pdu: true})
	if err != nil || !r.final.ok() || len(r.lines) < 2 {
		return header{}, "", false, err
	}
	h, ok := parseCMGR(r.lines[0])
	return h, r.lines[1], ok && r.lines[1] != "", nil
}

// offerSlot hands on what was found; drafts of other programs are left alone
// unless they fill the storage.
func (s *session) offerSlot(k slot, h header, pdu string) {
	if h.stat == 2 || h.stat == 3 {
		return
	}
	sum := sha256.Sum256([]byte(pdu))
	of := s.d.slots[k]
	if of == nil || of.sum != sum || !of.waiting {
		at := time.Time{}
		if of != nil && of.sum == sum {
			at = of.at
		}
		of = &offered{sum: sum, at: at, stored: Stored{Modem: s.d.cfg.Name, Raw: pdu, Stat: max(h.stat, 0),
			Storage: k.mem, Index: k.index, At: time.Now()}}
		of.stored.TPDU, _ = parsePDU(pdu, h.length)
		epoch, gen := s.d.epoch, s.gen[k]
		of.stored.Delete = func(ctx context.Context) error { return s.d.deleteSlot(ctx, k, sum, epoch, gen) }
		s.d.slots[k] = of
	}
	s.d.put(of, s.t.Poll/2)
}

// deleteSlot empties a slot if it still holds what was read. It is read again
// first when anything has happened to it, or to the modem, since.
func (d *Driver) deleteSlot(ctx context.Context, k slot, sum [sha256.Size]byte, epoch, gen uint64) error {
	var refused error
	err := d.submit(ctx, func(ctx context.Context, s *session) error {
		if !s.setUp {
			refused = ErrDown
			return nil
		}
		ok, err := s.selectMemory(ctx, k.mem)
		if err != nil || !ok {
			refused = fmt.Errorf("delete %s %d: memory is refused", k.mem, k.index)
			return err
		}
		if epoch != d.epoch || gen != s.gen[k] {
			h, pdu, ok, err := s.readPDU(ctx, k.index)
			if err != nil {
				refused = ErrDown
				return err
			}
			if !ok || sha256.Sum256([]byte(pdu)) != sum {
				if ok {
					s.offerSlot(k, h, pdu) // another message lies there now
				}
				return nil
			}
		}
		// Once: when the answer is lost the slot may be empty and another message
		// lie in it by now, which a second command would delete unread.
		r, err := s.ask1(ctx, command{line: "AT+CMGD=" + strconv.Itoa(k.index), limit: s.t.Storage})
		switch {
		case err != nil:
			refused = ErrDown
		case r.final.kind == finalNone:
			s.gen[k]++ // it is read again before the next try
			s.drainDue = true
			refused = fmt.Errorf("delete %s %d: no answer", k.mem, k.index)
		case r.final.ok(), r.final.kind == finalCMS && r.final.code == 321:
			s.gen[k]++
			delete(d.slots, k)
			d.cannotDelete(s, k, "")
		default:
			refused = fmt.Errorf("delete %s %d: %s", k.mem, k.index, r.final.raw)
			d.cannotDelete(s, k, r.final.raw)
		}
		return err
	})
	if err != nil {
		return err
	}
	return refused
}

// cannotDelete notes a slot that stays full, or with "" that it is empty now,
// and tells people.
func (d *Driver) cannotDelete(s *session, k slot, why string) {
	was := d.kept[k]
	switch {
	case why == was:
		return
	case why == "":
		delete(d.kept, k)
	default:
		d.kept[k] = why
		d.log.Error("modem does not delete a message", "storage", k.mem, "index", k.index, "err", why)
	}
	if s.isReady() && !s.noSMSC {
		d.setState(Ready, d.readyText())
	}
}

// drain offers everything in storage, and what was pushed and not deleted.
func (s *session) drain(ctx context.Context) error {
	s.drainDue = false
	for _, of := range s.d.pushed {
		s.d.put(of, s.t.Poll/2)
	}
	if err := s.stillAnnounced(ctx); err != nil {
		return err
	}
	// The chosen memory comes last, so that it is the one in use afterwards.
	mems := append(s.once, s.mems...)
	slices.Reverse(mems[len(s.once):])
	s.once = nil
	for _, m := range mems {
		ok, err := s.selectMemory(ctx, m)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := s.drainMemory(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// drainMemory lists the memory in use; where listing does not work it walks the slots.
func (s *session) drainMemory(ctx context.Context, mem string) error {
	r, err := s.ask(ctx, command{line: "AT+CPMS?", info: "+CPMS", limit: s.t.Command})
	if err != nil {
		return err
	}
	_, u, counted := parseCPMS(r.first())
	if counted && mem == s.mem {
		s.d.update(func(st *Status) { st.StorageUsed, st.StorageSize = u.used, u.size })
	}
	if s.noList {
		return s.walk(ctx, mem, u)
	}
	r, err = s.e.do(ctx, command{line: "AT+CMGL=4", info: "+CMGL", pdu: true, limit: s.t.List})
	if err == errTimeout {
		if _, err := s.e.write("\x1b"); err != nil {
			return err
		}
		if err := s.e.resync(ctx); err != nil {
			return err
		}
		r.final = final{kind: finalOther, code: -1, raw: "no answer"}
	} else if err != nil {
		return err
	}
	missing := false
	for i := 0; i+1 < len(r.lines); i += 2 {
		h, ok := parseCMGL(r.lines[i])
		if !ok || r.lines[i+1] == "" {
			missing = true
			continue
		}
		if !wholePDU(r.lines[i+1], h.length) {
			s.want = append(s.want, reading{slot: slot{mem, h.index}})
			continue
		}
		if err := s.listed(ctx, slot{mem, h.index}, h, r.lines[i+1], u); err != nil {
			return err
		}
	}
	switch {
	case r.final.ok() && !missing, r.final.kind == finalCMS && r.final.code == 321:
		return nil
	case !r.final.ok():
		s.noList = true
		s.d.log.Warn("modem does not list its storage: slots are read one by one", "err", r.final.raw)
	}
	return s.walk(ctx, mem, u)
}

// listed offers an entry; a draft is deleted when it helps to fill the storage.
func (s *session) listed(ctx context.Context, k slot, h header, pdu string, u usage) error {
	if h.stat != 2 && h.stat != 3 {
		s.offerSlot(k, h, pdu)
		return nil
	}
	if u.size == 0 || u.used*5 <= u.size*4 {
		return nil
	}
	s.d.log.Warn("modem storage fills up: a draft is deleted", "storage", k.mem, "index", k.index)
	_, err := s.ask1(ctx, command{line: "AT+CMGD=" + strconv.Itoa(k.index), limit: s.t.Storage})
	return err
}

// walk reads the slots one by one; a slot that fails is passed over. Where the
// modem lists its slots (+CMGD=?, TS 27.005 §3.5.4) only those are read, since
// numbers may begin anywhere; else it stops when as many as are in use were found.
func (s *session) walk(ctx context.Context, mem string, u usage) error {
	r, err := s.ask(ctx, command{line: "AT+CMGD=?", info: "+CMGD", limit: s.t.Storage})
	if err != nil {
		return err
	}
	if l := parseLists(r.first(), "+CMGD"); r.final.ok() && len(l) > 0 && strings.Contains(r.first(), "(") {
		for _, v := range l[0] {
			if i := number(v); i >= 0 {
				if _, _, err := s.readSlot(ctx, slot{mem, i}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	found := 0
	if u.size == 0 {
		u.size = 50
	}
	for i := 0; i <= min(u.size, 1000) && (u.used == 0 || found < u.used); i++ {
		ok, _, err := s.readSlot(ctx, slot{mem, i})
		if err != nil {
			return err
		}
		if ok {
			found++
		}
		if u.used == 0 && i >= 10 && found == 0 {
			break // an empty storage by all appearances; counts may be stale
		}
	}
	return nil
}
