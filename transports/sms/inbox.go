package sms

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

// Records of the network's table. Keys: "seen/"+hash, "rep/"+hash, "bad/"+hash, "in/"+ref, "ref",
// "log/"+hex(n), "sim/"+number, "stop/"+number, "auto/"+number, "use/"+period+"/"+who.
type (
	// seenRecord remembers a TPDU, since a modem that cannot delete shows it at each poll.
	seenRecord struct {
		V  int       `json:"v"`
		At time.Time `json:"at"`
	}
	// reportRecord is a status report that waits for its part.
	reportRecord struct {
		V     int       `json:"v"`
		TPDU  []byte    `json:"tpdu"`
		Modem string    `json:"modem"`
		At    time.Time `json:"at"`
	}
	// badRecord is what could not be decoded.
	badRecord struct {
		V     int       `json:"v"`
		Raw   string    `json:"raw"`
		Modem string    `json:"modem"`
		Slot  int       `json:"slot"`
		At    time.Time `json:"at"`
		Error string    `json:"error"`
	}
)

const (
	recordVersion = 1
	keepSeen      = 14 * 24 * time.Hour // duplicates are known this long
	keepBad       = 90 * 24 * time.Hour // quarantine
	pruneEvery    = 12 * time.Hour
)

// be64 writes a number so that keys sort by it.
func be64(n uint64) string { return fmt.Sprintf("%016x", n) }

func decodeRecord[T any](raw []byte) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

// arrival is a stored TPDU on its way to disk, or the note that the sink took a text (shown).
type arrival struct {
	modem  string
	stored modem.Stored
	kept   chan error // gets one value when it is on disk; has room for it
	shown  string     // ref of a text the sink took, "" for a TPDU
	rev    int
}

// receiver writes down what the modems stored, puts parts together, and offers texts to the sink.
type receiver struct {
	s      *Session
	sets   map[string][]*inMessage // open and recently shown texts of several parts, by key
	byRef  map[string]*inMessage
	pruned time.Time
}

func newReceiver(s *Session) *receiver {
	return &receiver{s: s, sets: map[string][]*inMessage{}, byRef: map[string]*inMessage{}}
}

// load reads texts that are incomplete or that nobody has taken yet.
func (r *receiver) load() error {
	var ready []*inMessage
	err := r.s.env.Table.Range("in/", "in0", false, func(key string, raw []byte) bool {
		m, err := decodeRecord[inMessage](raw)
		if err != nil {
			r.s.env.Log.Error("sms record unreadable", "comp", "sms", "ref", key, "err", err)
			return true
		}
		if now := r.s.env.Now(); m.Last.After(now) {
			m.Last = now // the clock went back meanwhile
		}
		r.byRef[m.Ref] = &m
		if m.Total > 1 {
			r.sets[m.key()] = append(r.sets[m.key()], &m)
		}
		if m.State == inReady {
			ready = append(ready, &m)
		}
		return true
	})
	if err != nil {
		return err
	}
	sortByArrival(ready)
	for _, m := range ready {
		r.offer(m)
	}
	return nil
}

func (r *receiver) run(ctx context.Context) {
	for ctx.Err() == nil {
		for _, a := range r.s.inbox.take() {
			if a.shown != "" {
				r.shown(a.shown, a.rev)
				continue
			}
			r.store(a)
		}
		now := r.s.env.Now()
		r.timeouts(now)
		if now.Sub(r.pruned) >= pruneEvery {
			r.prune(now)
		}
		rest(ctx, r.next(now), r.s.inbox.kick)
	}
}

// store writes one TPDU down and then says so to a.kept: the modem may forget it.
func (r *receiver) store(a arrival) {
	raw := a.stored.TPDU
	if raw == nil {
		raw = []byte(a.stored.Raw)
	}
	sum := pdu.Hash(raw)
	hash := hex.EncodeToString(sum[:])
	var seen seenRecord
	ok, err := r.s.env.Table.Get("seen/"+hash, &seen)
	if err != nil || ok { // ok: shown once already
		a.kept <- err
		return
	}
	at := a.stored.At
	if at.IsZero() {
		at = r.s.env.Now()
	}
	changes := map[string]any{"seen/" + hash: seenRecord{V: recordVersion, At: at}}
	if rep, ok := statusReport(a.stored.TPDU); ok {
		// Reports come as fast as texts leave, so they do not wait for each other's commits.
		key := "rep/" + hash
		changes[key] = reportRecord{V: recordVersion, TPDU: a.stored.TPDU, Modem: a.modem, At: at}
		r.s.env.Table.Later(changes, func(err error) {
			if err == nil {
				r.s.posts.put(post{kind: postReport, report: report{key: key, modem: a.modem, at: at, pdu: rep}})
			}
			a.kept <- err
		})
		return
	}
	a.kept <- r.write(a, hash, at, changes)
}

// statusReport decodes a status report; false for another TPDU, and for one that cannot be decoded.
func statusReport(tpdu []byte) (rep pdu.StatusReport, ok bool) {
	defer func() {
		if p := recover(); p != nil { // a decoder's fault must not stop reception
			ok = false
		}
	}()
	if tpdu == nil || pdu.KindOf(tpdu, false) != pdu.KindStatusReport {
		return rep, false
	}
	rep, err := pdu.DecodeStatusReport(tpdu)
	return rep, err == nil
}

// write writes down what is no status report.
func (r *receiver) write(a arrival, hash string, at time.Time, changes map[string]any) error {
	n, err := r.s.env.Table.Next()
	if err != nil {
		return err
	}
	then, err := r.classify(a, hash, at, n, changes)
	if err != nil {
		r.s.env.Log.Warn("sms could not be read, kept aside", "comp", "sms", "net", a.modem, "slot", a.stored.Index, "ref", hash[:12], "err", err)
		changes = map[string]any{
			"seen/" + hash: seenRecord{V: recordVersion, At: at},
			"bad/" + hash:  badRecord{V: recordVersion, Raw: a.stored.Raw, Modem: a.modem, Slot: a.stored.Index, At: at, Error: err.Error()},
		}
		then = nil
	}
	if err := r.s.env.Table.Write(changes); err != nil {
		return fmt.Errorf("store received sms: %w", err)
	}
	if then != nil {
		then()
	}
	return nil
}

// classify decides what a TPDU is, adds its records to changes, and returns what to do once they are on disk. An error
// sends it to quarantine.
func (r *receiver) classify(a arrival, hash string, at time.Time, n uint64, changes map[string]any) (then func(), err error) {
	defer func() {
		if p := recover(); p != nil { // a decoder's fault must not stop reception
			then, err = nil, fmt.Errorf("decode: %v", p)
		}
	}()
	tpdu := a.stored.TPDU
	if tpdu == nil {
		return nil, errors.New("not a PDU")
	}
	if pdu.KindOf(tpdu, false) == pdu.KindStatusReport {
		_, err := pdu.DecodeStatusReport(tpdu)
		return nil, fmt.Errorf("status report: %w", err)
	}
	d, err := pdu.DecodeDeliver(tpdu)
	switch {
	case err != nil:
		return nil, err
	case d.Silent():
		return nil, nil
	case d.Compressed:
		return nil, errors.New("compressed text")
	}
	for _, remark := range d.Remarks {
		r.s.env.Log.Debug("sms odd", "comp", "sms", "net", a.modem, "ref", hash[:12], "remark", remark)
	}
	return r.place(a.modem, d, tpdu, hash, at, n, changes), nil
}

// offer gives a text to the sink, until that takes it, unless it is for the gateway itself.
func (r *receiver) offer(m *inMessage) {
	msg, err := m.message(r.s.n)
	if err != nil {
		r.s.env.Log.Error("sms record unreadable", "comp", "sms", "ref", m.Ref, "err", err)
		return
	}
	if now := r.s.env.Now(); now.Sub(msg.At) > delayedAfter {
		msg.Delayed = true
	}
	on, err := r.screen(m, &msg)
	if err != nil {
		r.s.env.Log.Error("sms wish not stored, the text is looked at again after a restart", "comp", "sms", "ref", m.Ref, "err", err)
		return
	}
	r.log(m, msg, !on)
	ref, rev := m.Ref, m.Rev
	if !on {
		r.shown(ref, rev)
		return
	}
	r.s.offers.put(&offer{contact: string(msg.From), event: transports.Incoming{Message: msg},
		done: func() { r.s.inbox.put(arrival{shown: ref, rev: rev}) }})
}

// log writes the text's row in the log of what came in, and through which modem its number wrote.
func (r *receiver) log(m *inMessage, msg transports.Message, taken bool) {
	changes := map[string]any{logKey(m.N): m.record(msg, taken)}
	if len(r.s.units) > 1 && msg.Kind != KindDenied && strings.HasPrefix(string(msg.From), plainNumber) {
		changes["sim/"+string(msg.From)] = simRecord{V: recordVersion, Modem: m.Modem, At: m.First}
	}
	r.s.env.Table.Later(changes, func(err error) {
		if err != nil {
			r.s.env.Log.Error("sms log not written", "comp", "sms", "ref", m.Ref, "err", err)
		}
	})
}

// shown notes that the sink took a text. A text of one part, or a complete one, is only kept for its day.
func (r *receiver) shown(ref string, rev int) {
	m := r.byRef[ref]
	if m == nil || m.Rev != rev || m.State != inReady {
		return
	}
	m.State = inShown
	if m.complete() {
		m.State = inDone
	}
	c := m.clone()
	changes := map[string]any{"in/" + ref: c}
	var l Received
	if ok, err := r.s.env.Table.Get(logKey(m.N), &l); err == nil && ok && !l.Taken {
		l.Taken = true
		changes[logKey(m.N)] = l
	}
	r.s.env.Table.Later(changes, func(err error) {
		if err != nil { // it is offered again after a restart, and the receiver of the event knows its Ref
			r.s.env.Log.Error("sms record not written", "comp", "sms", "ref", ref, "err", err)
		}
	})
	if m.State == inDone {
		r.forget(m)
	}
}

// prune deletes records whose time is over.
func (r *receiver) prune(now time.Time) {
	r.pruned = now
	gone := map[string]any{}
	flush := func() {
		if len(gone) > 0 {
			r.s.env.Table.Later(gone, nil)
			gone = map[string]any{}
		}
	}
	old := func(prefix, end string, limit time.Duration, at func(raw []byte) (time.Time, bool)) {
		err := r.s.env.Table.Range(prefix, end, false, func(key string, raw []byte) bool {
			if t, ok := at(raw); ok && now.Sub(t) > limit {
				gone[key] = nil
			}
			return true
		})
		if err != nil {
			r.s.env.Log.Error("sms records not pruned", "comp", "sms", "err", err)
		}
		flush()
	}
	old("seen/", "seen0", keepSeen, func(raw []byte) (time.Time, bool) {
		v, err := decodeRecord[seenRecord](raw)
		return v.At, err == nil
	})
	old("bad/", "bad0", keepBad, func(raw []byte) (time.Time, bool) {
		v, err := decodeRecord[badRecord](raw)
		return v.At, err == nil
	})
	old("log/", "log0", keepLog, func(raw []byte) (time.Time, bool) {
		v, err := decodeRecord[Received](raw)
		return v.At, err == nil
	})
	old("sim/", "sim0", keepLog, func(raw []byte) (time.Time, bool) {
		v, err := decodeRecord[simRecord](raw)
		return v.At, err == nil
	})
	old("auto/", "auto0", autoEvery, func(raw []byte) (time.Time, bool) {
		v, err := decodeRecord[autoRecord](raw)
		if err != nil || len(v.Times) == 0 {
			return time.Time{}, err == nil
		}
		return v.Times[len(v.Times)-1], true
	})
	old("in/", "in0", keepSet, func(raw []byte) (time.Time, bool) {
		m, err := decodeRecord[inMessage](raw)
		if err != nil || m.State == inReady || m.State == inOpen {
			return time.Time{}, false
		}
		if now.Sub(m.Last) > keepSet {
			if live := r.byRef[m.Ref]; live != nil {
				r.forget(live)
			}
		}
		return m.Last, true
	})
}
