package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
)

// answer is what the modem does with one Send; the zero value accepts it.
type answer struct {
	class  modem.Class
	cms    int
	before bool          // before Ctrl-Z: onAir is not called
	token  uint64        // of an ambiguous one
	takes  time.Duration // from onAir to the answer
	hang   bool          // never answers
	then   func()        // after onAir, before the answer
}

// modemPeer is a modem whose answers a test scripts.
type modemPeer struct {
	name string

	mu      sync.Mutex // guards what follows
	st      modem.Status
	answers []answer
	sent    []pdu.Submit // what left the modem for certain or possibly
	tried   int
	mr      byte
	bursts  []int
	deleted int
	alive   func() bool // asked before a part leaves and after it; false when the gateway has just been killed

	late    chan modem.Late
	inbox   chan modem.Stored
	changed chan struct{}
}

func newPeer(name string, answers ...answer) *modemPeer {
	return &modemPeer{name: name, answers: answers, mr: 40, late: make(chan modem.Late), inbox: make(chan modem.Stored), changed: make(chan struct{}, 1),
		st: modem.Status{Name: name, State: modem.Ready, Operator: "Testnet", RSSI: -71}}
}

func (p *modemPeer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p *modemPeer) set(s modem.State, text string) {
	p.mu.Lock()
	p.st.State, p.st.Text = s, text
	p.mu.Unlock()
	p.changed <- struct{}{}
}

func (p *modemPeer) Send(ctx context.Context, tpdu []byte, onAir func() error) (byte, error) {
	p.mu.Lock()
	if p.st.State != modem.Ready {
		p.mu.Unlock()
		return 0, &modem.SendError{Class: modem.ClassDown, CMS: -1, CME: -1, Err: errors.New("not ready")}
	}
	var a answer
	p.tried++
	if len(p.answers) > 0 {
		a, p.answers = p.answers[0], p.answers[1:]
	}
	p.mu.Unlock()
	cms := a.cms
	if cms == 0 {
		cms = -1
	}
	if a.before {
		return 0, &modem.SendError{Class: a.class, CMS: cms, CME: -1, Raw: fmt.Sprintf("+CMS ERROR: %d", a.cms)}
	}
	if err := onAir(); err != nil {
		return 0, err
	}
	if p.alive != nil && !p.alive() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if a.class == "" || a.class == modem.ClassAmbiguous {
		s, err := pdu.DecodeSubmit(tpdu)
		if err != nil {
			return 0, err
		}
		p.mu.Lock()
		p.sent = append(p.sent, s)
		p.mu.Unlock()
	}
	if a.then != nil {
		a.then()
	}
	if p.alive != nil && !p.alive() {
		a.hang = true
	}
	if a.hang {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if a.takes > 0 {
		rest(ctx, a.takes, nil)
	}
	if a.class != "" {
		return 0, &modem.SendError{Class: a.class, AfterCtrlZ: true, CMS: cms, CME: -1, Token: a.token, Raw: fmt.Sprintf("+CMS ERROR: %d", a.cms)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mr++
	return p.mr, nil
}

func (p *modemPeer) Burst(ctx context.Context, n int) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bursts = append(p.bursts, n)
	return func() {}
}
func (p *modemPeer) Late() <-chan modem.Late     { return p.late }
func (p *modemPeer) Inbox() <-chan modem.Stored  { return p.inbox }
func (p *modemPeer) Changed() <-chan struct{}    { return p.changed }
func (p *modemPeer) Probe(context.Context) error { return nil }
func (p *modemPeer) Status() modem.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.st
}

func (p *modemPeer) texts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, s := range p.sent {
		out = append(out, s.Text())
	}
	return out
}

// arrive stores a TPDU in the modem and offers it until it is deleted.
func (p *modemPeer) arrive(tpdu []byte) {
	p.inbox <- modem.Stored{Modem: p.name, TPDU: tpdu, Raw: fmt.Sprintf("%X", tpdu), Stat: 0, Storage: "ME", Index: 3, At: time.Now(),
		Delete: func(context.Context) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.deleted++
			return nil
		}}
	synctest.Wait()
}

func (p *modemPeer) report(t *testing.T, mr byte, to string, st pdu.Status) {
	t.Helper()
	p.reportAt(t, mr, to, st, time.Now())
}

func (p *modemPeer) reportAt(t *testing.T, mr byte, to string, st pdu.Status, accepted time.Time) {
	t.Helper()
	b, err := pdu.EncodeStatusReport(pdu.StatusReport{MR: mr, To: pduNumber(to), Time: accepted, Done: time.Now(), Status: st})
	if err != nil {
		t.Fatal(err)
	}
	p.arrive(b)
}

// house is a running session with what its sink was given.
type house struct {
	t      *testing.T
	net    *Network
	s      *Session
	outbox *memOutbox
	table  *memTable
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex // guards events, refuse
	events []transports.Event
	refuse error
}

var quiet = Config{Country: "49"}

func open(t *testing.T, outbox *memOutbox, table *memTable, c Config, peers ...*modemPeer) *house {
	t.Helper()
	for _, p := range peers {
		c.Modems = append(c.Modems, p)
	}
	h := run(t, outbox, table, c)
	synctest.Wait()
	return h
}

// run starts a session outside of synctest.
func run(t *testing.T, outbox *memOutbox, table *memTable, c Config) *house {
	t.Helper()
	h := &house{t: t, net: New(c), outbox: outbox, table: table, ended: make(chan struct{})}
	ses, err := h.net.Dial(t.Context(), transports.Account{}, transports.Env{Table: table, Outbox: outbox, Now: time.Now})
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

func start(t *testing.T, peers ...*modemPeer) *house {
	t.Helper()
	return open(t, newMemOutbox(), newMemTable(), quiet, peers...)
}

func (h *house) sink(_ context.Context, e transports.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := e.(transports.StatusEvent); !ok && h.refuse != nil {
		return h.refuse
	}
	h.events = append(h.events, e)
	return nil
}

func (h *house) stop() {
	h.cancel()
	<-h.ended
}

func (h *house) send(body string, opts ...func(*transports.Message)) uint64 {
	h.t.Helper()
	m := transports.Message{Sender: "alice@office.localhost", Origin: "o1", To: "0155 501-01", Body: body}
	for _, f := range opts {
		f(&m)
	}
	ref, err := h.s.Send(h.t.Context(), m)
	if err != nil {
		h.t.Fatal(err)
	}
	id, ok := JobID(ref)
	if !ok {
		h.t.Fatalf("ref %q", ref)
	}
	synctest.Wait()
	return id
}

func urgent(m *transports.Message) { m.Urgent = true }

func (h *house) chain(id uint64) Chain {
	h.t.Helper()
	job, err := h.outbox.Get(id)
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := h.net.Describe(job)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) want(id uint64, st transports.State) Chain {
	h.t.Helper()
	c := h.chain(id)
	if c.State != st {
		h.t.Fatalf("job %d is %s (%s), want %s; chain %+v", id, c.State, c.Text, st, c)
	}
	return c
}

// receipts returns the states told so far, in order.
func (h *house) receipts() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.events {
		if r, ok := e.(transports.Receipt); ok {
			out = append(out, string(r.State))
		}
	}
	return strings.Join(out, " ")
}

func (h *house) lastReceipt() transports.Receipt {
	h.mu.Lock()
	defer h.mu.Unlock()
	var last transports.Receipt
	for _, e := range h.events {
		if r, ok := e.(transports.Receipt); ok {
			last = r
		}
	}
	return last
}

func (h *house) incoming() []transports.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []transports.Message
	for _, e := range h.events {
		if r, ok := e.(transports.Incoming); ok {
			out = append(out, r.Message)
		}
	}
	return out
}

func (h *house) status() transports.StatusEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	var last transports.StatusEvent
	for _, e := range h.events {
		if r, ok := e.(transports.StatusEvent); ok {
			last = r
		}
	}
	return last
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
