package sms

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

const (
	gapAfter     = 15 * time.Minute // an incomplete text is shown after so long without a new part
	keepSet      = 24 * time.Hour   // and its late parts are taken for so long
	reuseAfter   = time.Hour        // a reference seen again so much later belongs to another text
	delayedAfter = 5 * time.Minute  // older texts carry their time
)

// inState is where a received text stands.
type inState string

const (
	inOpen  inState = "open"  // parts are missing
	inReady inState = "ready" // the sink has to take it
	inShown inState = "shown" // taken with a gap; late parts correct it
	inDone  inState = "done"
)

// inMessage is a received text, complete or not; the record "in/"+Ref.
type inMessage struct {
	V     int       `json:"v"`
	Ref   string    `json:"ref"`
	N     uint64    `json:"n"` // rises with each text, for their order after a restart
	State inState   `json:"state"`
	Modem string    `json:"modem"`
	From  string    `json:"from"` // digits or name
	TON   byte      `json:"ton"`
	CRef  uint16    `json:"cref,omitempty"`
	Wide  bool      `json:"wide,omitempty"`
	Total int       `json:"total"`
	Parts []inPart  `json:"parts"`
	First time.Time `json:"first"` // when the host read the first part
	Last  time.Time `json:"last"`
	Rev   int       `json:"rev,omitempty"` // counts corrections
}

// inPart is one TPDU of a text.
type inPart struct {
	Seq  int       `json:"seq"`
	TPDU []byte    `json:"tpdu"`
	At   time.Time `json:"at"`
}

// key names what all parts of one text have in common (reference §1.4).
func (m *inMessage) key() string {
	return setKey(m.From, m.TON, m.Wide, m.CRef, m.Total, m.Modem)
}

func setKey(from string, ton byte, wide bool, ref uint16, total int, modem string) string {
	return strings.Join([]string{modem, strconv.Itoa(int(ton)), from, strconv.FormatBool(wide),
		strconv.Itoa(int(ref)), strconv.Itoa(total)}, "\x00")
}

func (m *inMessage) clone() inMessage {
	c := *m
	c.Parts = slices.Clone(m.Parts)
	return c
}

func (m *inMessage) complete() bool { return len(m.Parts) >= max(m.Total, 1) }

// place puts a decoded TPDU into its text.
func (r *receiver) place(modem string, d pdu.Deliver, tpdu []byte, hash string, at time.Time, n uint64, changes map[string]any) (then func()) {
	c := d.Part.Concat
	ref := "in-" + hash[:24]
	p := inPart{Seq: c.Seq, TPDU: tpdu, At: at}
	if c.Total <= 1 {
		m := &inMessage{V: recordVersion, Ref: ref, N: n, State: inReady, Modem: modem, From: d.From.Digits, TON: byte(d.From.TON),
			Total: 1, Parts: []inPart{p}, First: at, Last: at}
		changes["in/"+ref] = m.clone()
		return func() {
			r.byRef[ref] = m
			r.offer(m)
		}
	}
	key := setKey(d.From.Digits, byte(d.From.TON), c.Wide, c.Ref, c.Total, modem)
	old := r.fitting(key, d, at)
	var m inMessage
	if old != nil {
		m = old.clone()
	} else {
		m = inMessage{V: recordVersion, Ref: ref, N: n, State: inOpen, Modem: modem, From: d.From.Digits, TON: byte(d.From.TON),
			CRef: c.Ref, Wide: c.Wide, Total: c.Total, First: at}
	}
	m.Parts = append(m.Parts, p)
	m.Last = at
	if m.State != inOpen {
		m.State = inOpen // a version with a gap was shown, or is on its way to the sink: correct that
		m.Rev++
	}
	if m.complete() {
		m.State = inReady
	}
	changes["in/"+m.Ref] = m.clone()
	return func() {
		if old != nil {
			*old = m
		} else {
			old = &m
			r.byRef[m.Ref] = old
			r.sets[key] = append(r.sets[key], old)
		}
		if old.State == inReady && old.complete() {
			r.offer(old)
		}
	}
}

// fitting finds the open text a part belongs to: the newest of its key that lacks this number and whose time fits.
func (r *receiver) fitting(key string, d pdu.Deliver, at time.Time) *inMessage {
	for _, m := range slices.Backward(r.sets[key]) {
		if m.complete() || at.Sub(m.Last) > keepSet {
			continue
		}
		taken, far := false, false
		for _, p := range m.Parts {
			taken = taken || p.Seq == d.Part.Concat.Seq
			if o, err := pdu.DecodeDeliver(p.TPDU); err == nil && !o.Time.IsZero() && !d.Time.IsZero() && d.Time.Sub(o.Time).Abs() > reuseAfter {
				far = true
			}
		}
		if !taken && !far {
			return m
		}
	}
	return nil
}

// forget drops a text from memory.
func (r *receiver) forget(m *inMessage) {
	delete(r.byRef, m.Ref)
	k := m.key()
	r.sets[k] = slices.DeleteFunc(r.sets[k], func(x *inMessage) bool { return x == m })
	if len(r.sets[k]) == 0 {
		delete(r.sets, k)
	}
}

// timeouts shows what stayed incomplete.
func (r *receiver) timeouts(now time.Time) {
	for _, m := range r.byRef {
		if m.State != inOpen || now.Sub(m.Last) < gapAfter {
			continue
		}
		c := m.clone()
		c.State = inReady
		if err := r.s.env.Table.Write(map[string]any{"in/" + m.Ref: c}); err != nil {
			r.s.env.Log.Error("sms record not written", "comp", "sms", "ref", m.Ref, "err", err)
			m.Last = now // tried again after the same time
			continue
		}
		m.State = inReady
		r.s.env.Log.Info("sms incomplete, shown with a gap", "comp", "sms", "net", m.Modem, "ref", m.Ref, "parts", len(m.Parts), "total", m.Total)
		r.offer(m)
	}
}

// next is how long the receiver may rest.
func (r *receiver) next(now time.Time) time.Duration {
	d := pruneEvery
	for _, m := range r.byRef {
		if m.State == inOpen {
			d = min(d, max(m.Last.Add(gapAfter).Sub(now), 100*time.Millisecond))
		}
	}
	return d
}

// message decodes the text. The parts are joined before they are decoded, since senders cut characters at borders.
func (m *inMessage) message(n *Network) (transports.Message, error) {
	var out transports.Message
	parts := make([]pdu.Part, 0, len(m.Parts))
	var written time.Time
	var first pdu.Deliver
	for i, p := range m.Parts {
		d, err := pdu.DecodeDeliver(p.TPDU)
		if err != nil {
			return out, fmt.Errorf("part %d: %w", p.Seq, err)
		}
		if m.Total <= 1 {
			d.Part.Concat = pdu.Concat{}
		}
		if i == 0 {
			first = d
		}
		parts = append(parts, d.Part)
		out.Flash = out.Flash || d.Class == pdu.Flash
		if written.IsZero() || !d.Time.IsZero() && d.Time.Before(written) {
			written = d.Time
		}
	}
	out.Body = pdu.JoinGaps(parts, func(seq, total int) string {
		return fmt.Sprintf("[part %d of %d missing]", seq, total)
	})
	sort.SliceStable(parts, func(i, j int) bool { return parts[i].Concat.Seq < parts[j].Concat.Seq })
	var data []byte
	for _, p := range parts {
		data = append(data, p.Data...)
	}
	out.Kind, out.Body = named(first, m.Modem, data, out.Body)
	if strings.TrimSpace(out.Body) == "" {
		out.Body = "(empty text)"
	}
	out.From = n.contactOf(pdu.Number{Digits: m.From, TON: pdu.TON(m.TON)})
	out.Ref = transports.Ref(m.Ref)
	if m.Rev > 0 {
		out.Ref = transports.Ref(fmt.Sprintf("%s-%d", m.Ref, m.Rev))
		out.Replace = transports.Ref(m.Ref)
	}
	// The service centre's clock is believed only where it is plausible: it may be hours off.
	out.At = m.First
	if d := m.First.Sub(written); !written.IsZero() && d > delayedAfter && d < keepSeen {
		out.At, out.Delayed = written, true
	}
	return out, nil
}

// sortByArrival puts texts into the order in which their first parts were read.
func sortByArrival(l []*inMessage) {
	slices.SortFunc(l, func(a, b *inMessage) int { return cmp.Compare(a.N, b.N) })
}
