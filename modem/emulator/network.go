package emulator

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"doorway/modem/pdu"
)

// NetworkConfig of a network and its service centre.
type NetworkConfig struct {
	Latency time.Duration // each way; also until a sent part is answered
	Phones  []PhoneConfig
	// Strict makes numbers that are not listed unobtainable; else a phone is
	// made for each number that is texted.
	Strict bool
	Hold   time.Duration // validity when the sender sets none; 0 means 24 h
	Retry  time.Duration // until a modem that refused a message is tried again; 0 means 1 s
	Log    io.Writer
}

// Network is a service centre, its phones, and the modems registered in it.
// Its methods are safe for concurrent use.
type Network struct {
	cfg  NetworkConfig
	log  *journal
	plan *agenda

	mu      sync.Mutex // guards what follows; a leaf but for agenda.mu
	phones  map[string]*phone
	order   []*phone
	modems  []*queue
	submits []*Submit
	held    []*message // for phones that are off
	faults  []*Fault
	delay   time.Duration
	ref     uint16
}

// Submit is a part that the service centre accepted.
type Submit struct {
	At           time.Time // first time
	TPDU         []byte    // as it came first
	To, Text     string
	Ref          int
	Seq, Total   int // 0 for a message of one part
	StatusReport bool
	MRs          []byte // reference of each copy
	Count        int    // how many copies came, whatever their MR, validity and flags

	modem *Emulator
	key   string
}

// Fault makes the service centre misbehave for the next parts.
type Fault struct {
	To           string        `json:"to,omitempty"`    // only for this number
	Times        int           `json:"times,omitempty"` // parts; 0 means one
	Cause        int           `json:"cms,omitempty"`   // refuse with this +CMS ERROR
	Lose         bool          `json:"lose,omitempty"`  // accept, then drop, without report
	NoReport     bool          `json:"noreport,omitempty"`
	Status       int           `json:"status,omitempty"` // fail with this TP-ST, or send it first when it is temporary
	ReportDelay  time.Duration `json:"reportdelay,omitempty"`
	ReportCopies int           `json:"reportcopies,omitempty"` // extra copies of the report
}

// message is a part on its way to a recipient.
type message struct {
	from     *Emulator
	mr       byte
	s        pdu.Submit
	accepted time.Time
	fault    Fault
}

// queue holds what waits for one modem.
type queue struct {
	e     *Emulator
	items []item
	busy  bool
}

type item struct {
	tpdu []byte
	done func() // the modem has taken it
}

// NewNetwork makes a network; its owner runs Run.
func NewNetwork(cfg NetworkConfig) *Network {
	if cfg.Hold == 0 {
		cfg.Hold = 24 * time.Hour
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	n := &Network{cfg: cfg, log: &journal{w: cfg.Log}, plan: newAgenda(), phones: map[string]*phone{}, delay: cfg.Latency}
	for _, p := range cfg.Phones {
		n.add(p)
	}
	return n
}

// Run carries messages until ctx ends. It returns nil.
func (n *Network) Run(ctx context.Context) error {
	n.plan.run(ctx)
	return nil
}

// SetLatency changes the time of each way.
func (n *Network) SetLatency(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

func (n *Network) latency() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.delay
}

// Fail adds a fault; faults are used in order.
func (n *Network) Fail(f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f.Times = max(f.Times, 1)
	n.faults = append(n.faults, &f)
}

// ClearFaults ends all faults.
func (n *Network) ClearFaults() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = nil
}

func (n *Network) nextRef() uint16 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ref++
	return n.ref
}

func (n *Network) join(e *Emulator) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modems = append(n.modems, &queue{e: e})
}

func (n *Network) submitsOf(e *Emulator) []Submit {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Submit
	for _, s := range n.submits {
		if s.modem == e {
			c := *s
			c.MRs = slices.Clone(s.MRs)
			out = append(out, c)
		}
	}
	return out
}

// submit takes a part from a modem; a cause other than 0 refuses it. The
// modem's mutex is held by the caller.
func (n *Network) submit(e *Emulator, mr byte, tpdu []byte, s pdu.Submit) (cause int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := &message{from: e, mr: mr, s: s, accepted: time.Now()}
	c := s.Part.Concat
	number := int(mr)
	entry := Entry{Kind: LogSubmit, Modem: e.Number(), To: s.To.String(), Text: s.Text(), MR: &number, Ref: int(c.Ref), Seq: c.Seq, Total: c.Total, TPDU: hex.EncodeToString(tpdu)}
	for i, f := range n.faults {
		if f.To != "" && !sender(f.To).SameTail(s.To) {
			continue
		}
		m.fault = *f
		if f.Times--; f.Times <= 0 {
			n.faults = slices.Delete(n.faults, i, i+1)
		}
		break
	}
	cause = m.fault.Cause
	if s.RejectDuplicates && cause == 0 && slices.ContainsFunc(n.held, func(h *message) bool { return h.from == e && h.mr == mr && h.s.To == s.To }) {
		cause = 197
	}
	if cause != 0 {
		entry.Kind, entry.Cause = LogReject, cause
		n.log.add(entry)
		return cause
	}
	entry.Copy = n.record(e, mr, tpdu, s)
	n.log.add(entry)
	if !m.fault.Lose {
		n.plan.after(n.delay, func() { n.carry(m) })
	}
	return 0
}

// record counts the copies of a part. What a sender may change for a second
// try (MR, validity, flags of the first octet) does not make another part.
func (n *Network) record(e *Emulator, mr byte, tpdu []byte, s pdu.Submit) int {
	c := s.Part.Concat
	key := fmt.Sprintf("%v %d %d %v %x", s.To, s.PID, s.DCS, s.Header, s.Part.Data)
	for _, r := range n.submits {
		if r.modem == e && r.key == key {
			r.Count++
			r.MRs = append(r.MRs, mr)
			return r.Count
		}
	}
	n.submits = append(n.submits, &Submit{
		At: time.Now(), TPDU: slices.Clone(tpdu), To: s.To.String(), Text: s.Text(), Ref: int(c.Ref), Seq: c.Seq, Total: c.Total,
		StatusReport: s.StatusReport, MRs: []byte{mr}, Count: 1, modem: e, key: key,
	})
	return 1
}

// carry brings a part to its recipient and reports.
func (n *Network) carry(m *message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if st := pdu.Status(m.fault.Status); st != 0 {
		m.fault.Status = 0
		n.report(m, st)
		if st.Final() {
			return
		}
	}
	for _, q := range n.modems {
		if q.e.number.SameTail(m.s.To) {
			tpdu, err := m.s.Forward(m.from.number, time.Now())
			if err != nil {
				n.report(m, pdu.StatusRejected)
				return
			}
			n.enqueue(q, item{tpdu, func() { n.report(m, pdu.StatusDelivered) }})
			return
		}
	}
	p := n.find(m.s.To)
	if p == nil {
		n.report(m, pdu.StatusNotObtainable)
		return
	}
	switch p.Mode {
	case Unknown:
		n.report(m, pdu.StatusNotObtainable)
	case Refuse:
		n.report(m, pdu.StatusRejected)
	case Off:
		n.hold(m)
	default:
		n.arrive(p, m)
		n.report(m, pdu.StatusDelivered)
	}
}

func (n *Network) hold(m *message) {
	n.held = append(n.held, m)
	d := m.s.Validity
	if d == 0 {
		d = n.cfg.Hold
	}
	n.plan.after(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.release(func(h *message) bool { return h == m }, func(h *message) { n.report(h, pdu.StatusExpired) })
	})
}

// release takes messages out of the held ones.
func (n *Network) release(which func(*message) bool, f func(*message)) {
	var rest, out []*message
	for _, h := range n.held {
		if which(h) {
			out = append(out, h)
		} else {
			rest = append(rest, h)
		}
	}
	n.held = rest
	for _, h := range out {
		f(h)
	}
}

// Expire ends the validity of everything held for a number.
func (n *Network) Expire(number string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := sender(number)
	n.release(func(h *message) bool { return h.s.To.SameTail(to) }, func(h *message) { n.report(h, pdu.StatusExpired) })
}

// report sends a status report to the modem of origin if it asked for one.
func (n *Network) report(m *message, st pdu.Status) {
	if !m.s.StatusReport || m.fault.NoReport {
		return
	}
	b, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: m.mr, To: m.s.To, Time: m.accepted, Done: time.Now(), Status: st})
	if err != nil {
		return // ignored: the number was read from a TPDU, so it can be written
	}
	for range 1 + m.fault.ReportCopies {
		n.toModem(m.from, b, n.delay+m.fault.ReportDelay)
	}
}

// toModem offers a TPDU to a modem after a time.
func (n *Network) toModem(e *Emulator, tpdu []byte, d time.Duration) {
	tpdu = slices.Clone(tpdu)
	n.plan.after(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if q := n.queueOf(e); q != nil {
			n.enqueue(q, item{tpdu: tpdu})
		}
	})
}

func (n *Network) queueOf(e *Emulator) *queue {
	for _, q := range n.modems {
		if q.e == e {
			return q
		}
	}
	return nil
}

func (n *Network) enqueue(q *queue, it item) {
	q.items = append(q.items, it)
	n.plan.after(0, func() { n.pump(q) })
}

// pump offers the oldest waiting TPDU; one is on its way at a time.
func (n *Network) pump(q *queue) {
	n.mu.Lock()
	if q.busy || len(q.items) == 0 {
		n.mu.Unlock()
		return
	}
	q.busy = true
	tpdu := q.items[0].tpdu
	n.mu.Unlock()
	q.e.mu.Lock()
	defer q.e.mu.Unlock()
	q.e.receive(tpdu, func(err error) { n.plan.after(0, func() { n.settled(q, err) }) })
}

func (n *Network) settled(q *queue, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q.busy = false
	if err != nil {
		n.plan.after(n.cfg.Retry, func() { n.pump(q) })
		return
	}
	it := q.items[0]
	q.items = q.items[1:]
	if it.done != nil {
		it.done()
	}
	n.plan.after(0, func() { n.pump(q) })
}

// retry is called by a modem that has become reachable or has room again; its mutex is held.
func (n *Network) retry(e *Emulator) {
	n.plan.after(0, func() {
		n.mu.Lock()
		q := n.queueOf(e)
		n.mu.Unlock()
		if q != nil {
			n.pump(q)
		}
	})
}

func (n *Network) deliverText(e *Emulator, from pdu.Number, text string, o pdu.DeliverOptions) error {
	o.From, o.Time, o.Ref = from, time.Now(), n.nextRef()
	all, err := pdu.EncodeDeliver(text, o)
	if err != nil {
		return err
	}
	for _, b := range all {
		n.toModem(e, b, n.latency())
	}
	return nil
}
