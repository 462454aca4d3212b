package emulator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"doorway/modem/pdu"
)

// Mode is what a phone does with a message.
type Mode string

// Modes of a phone.
const (
	On      Mode = "on"
	Off     Mode = "off"     // the service centre holds the message until the phone is on
	Unknown Mode = "unknown" // the number does not exist: a report of permanent failure
	Refuse  Mode = "refuse"
)

// PhoneConfig describes a phone.
type PhoneConfig struct {
	Number string `json:"number"`
	// Answer is texted back for each whole message; "" for no answer. {text}
	// in it stands for what was received.
	Answer string `json:"answer,omitempty"`
	Mode   Mode   `json:"mode,omitempty"` // "" means on
}

// PhoneMessage is a whole message that a phone received or sent.
type PhoneMessage struct {
	At    time.Time `json:"at"`
	Sent  bool      `json:"sent,omitempty"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	Text  string    `json:"text"`
	Parts int       `json:"parts"`
}

type phone struct {
	PhoneConfig
	number pdu.Number
	log    []PhoneMessage
	open   map[string][]pdu.Part // parts of messages that are not whole yet
	last   *Emulator             // modem that texted last
}

// Phone is a handle on one phone of a network.
type Phone struct {
	n *Network
	p *phone
}

func (n *Network) add(c PhoneConfig) *phone {
	if c.Mode == "" {
		c.Mode = On
	}
	p := &phone{PhoneConfig: c, number: sender(c.Number), open: map[string][]pdu.Part{}}
	p.Number = p.number.String()
	n.phones[p.Number] = p
	n.order = append(n.order, p)
	return p
}

// find returns the phone of a number; nil when there is none and none is made.
func (n *Network) find(to pdu.Number) *phone {
	if p := n.phones[to.String()]; p != nil {
		return p
	}
	for _, p := range n.order {
		if p.number.SameTail(to) {
			return p
		}
	}
	if n.cfg.Strict {
		return nil
	}
	return n.add(PhoneConfig{Number: to.String()})
}

// Phone returns the phone with a number, making it if need be.
func (n *Network) Phone(number string) *Phone {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := sender(number)
	p := n.find(to)
	if p == nil {
		p = n.add(PhoneConfig{Number: number})
	}
	return &Phone{n, p}
}

// Phones lists all phones.
func (n *Network) Phones() []PhoneConfig {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []PhoneConfig
	for _, p := range n.order {
		out = append(out, p.PhoneConfig)
	}
	return out
}

// arrive gives a phone one part; n.mu is held.
func (n *Network) arrive(p *phone, m *message) {
	p.last = m.from
	part, c := m.s.Part, m.s.Part.Concat
	parts := []pdu.Part{part}
	if c.Total > 1 {
		key := fmt.Sprintf("%v %t %d %d", m.from.number, c.Wide, c.Ref, c.Total)
		if slices.ContainsFunc(p.open[key], func(o pdu.Part) bool { return o.Concat.Seq == c.Seq }) {
			return
		}
		parts = append(p.open[key], part)
		if len(parts) < c.Total {
			p.open[key] = parts
			return
		}
		delete(p.open, key)
	}
	msg := PhoneMessage{At: time.Now(), From: m.from.Number(), To: p.Number, Text: pdu.Join(parts), Parts: len(parts)}
	p.log = append(p.log, msg)
	n.log.add(Entry{Kind: LogPhoneReceived, From: msg.From, To: p.Number, Text: msg.Text, Parts: msg.Parts, Ref: int(c.Ref)})
	if p.Answer != "" {
		e, text := m.from, strings.ReplaceAll(p.Answer, "{text}", msg.Text)
		n.plan.after(n.delay, func() { _ = (&Phone{n, p}).send(e, text) }) // ignored: nobody to tell; the log shows no answer
	}
}

// Number of the phone.
func (p *Phone) Number() string { return p.p.Number }

// Messages returns what the phone received and sent, in order.
func (p *Phone) Messages() []PhoneMessage {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	return slices.Clone(p.p.log)
}

// Received returns the texts of the whole messages that the phone received.
func (p *Phone) Received() []string {
	var out []string
	for _, m := range p.Messages() {
		if !m.Sent {
			out = append(out, m.Text)
		}
	}
	return out
}

// Fragments counts the parts of messages that are not whole.
func (p *Phone) Fragments() int {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	k := 0
	for _, parts := range p.p.open {
		k += len(parts)
	}
	return k
}

// Send texts the modem that texted the phone last, or else the first modem.
func (p *Phone) Send(text string) error {
	p.n.mu.Lock()
	e := p.p.last
	if e == nil && len(p.n.modems) > 0 {
		e = p.n.modems[0].e
	}
	p.n.mu.Unlock()
	if e == nil {
		return fmt.Errorf("no modem is in the network")
	}
	return p.send(e, text)
}

// SendTo texts the modem with a number.
func (p *Phone) SendTo(number, text string) error {
	to := sender(number)
	p.n.mu.Lock()
	var e *Emulator
	for _, q := range p.n.modems {
		if q.e.number.SameTail(to) {
			e = q.e
		}
	}
	p.n.mu.Unlock()
	if e == nil {
		return fmt.Errorf("no modem has the number %s", number)
	}
	return p.send(e, text)
}

func (p *Phone) send(e *Emulator, text string) error {
	// The log entry comes first, so that it stands before what it causes.
	all, err := pdu.EncodeDeliver(text, pdu.DeliverOptions{From: p.p.number, Time: time.Now()})
	if err != nil {
		return err
	}
	p.n.log.add(Entry{Kind: LogPhoneSent, From: p.p.Number, To: e.Number(), Text: text, Parts: len(all)})
	p.n.mu.Lock()
	p.p.log = append(p.p.log, PhoneMessage{At: time.Now(), Sent: true, From: p.p.Number, To: e.Number(), Text: text, Parts: len(all)})
	p.n.mu.Unlock()
	return p.n.deliverText(e, p.p.number, text, pdu.DeliverOptions{})
}

// SetAnswer changes the automatic answer.
func (p *Phone) SetAnswer(text string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	p.p.Answer = text
}

// SetMode changes what the phone does. When it is switched on it gets what was held.
func (p *Phone) SetMode(m Mode) error {
	switch m {
	case On, Off, Unknown, Refuse:
	case "unreachable":
		m = Off
	default:
		return fmt.Errorf("unknown mode %q, want on, off, unknown or refuse", m)
	}
	n := p.n
	n.mu.Lock()
	defer n.mu.Unlock()
	p.p.Mode = m
	if m == On {
		n.release(func(h *message) bool { return h.s.To.SameTail(p.p.number) }, func(h *message) { n.plan.after(0, func() { n.carry(h) }) })
	}
	return nil
}
