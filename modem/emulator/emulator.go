// Package emulator is a GSM modem without hardware: a modem that speaks the
// AT commands of 3GPP TS 27.005 and TS 27.007 and ITU-T V.250 on a
// pseudo-terminal, a small service centre behind it, and phones behind that.
//
// The base modem is honest: it parses each SUBMIT, gives its own message
// references, keeps real slots, makes status reports, holds the state of its
// settings. Scripts (Rule, Script) change its behaviour at chosen moments, so
// that the faults of real modems can be played. Several emulators can share a
// Network and text each other.
//
// Left out: text mode, calls that are taken, data, phone book; the SIM has a PIN and a PUK
// and no files. The service centre is kept in memory.
//
// Emulator.Run owns all goroutines and ends them; Main is the emulator as a
// process of its own, with a log, a control socket and Client to talk to it.
package emulator

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"doorway/modem/pdu"
)

// Config of an emulated modem. The zero value is a registered modem without
// PIN whose own number is +4915550100.
type Config struct {
	Number string // own number, E.164
	Link   string // path of a symbolic link to the slave; "" for none
	NoPort bool   // open no pseudo-terminal: Attach gives it a wire

	Manufacturer, Model, Revision string
	IMEI, IMSI, ICCID             string
	Operator                      string
	SMSC                          string // service centre address on the SIM; "-" for none
	PIN, PUK                      string // "" for none
	PINTries                      int    // left at start; 0 means 3
	Memories                      []Memory
	AckTimeout                    time.Duration // wait for +CNMA; 0 means 15 s
	FirstMR                       byte
	RSSI                          int // +CSQ value; 0 means 20
	// LinkSetup is how long the radio link takes to come up before a part is
	// sent, and LinkIdle how long +CMMS keeps it after one (TS 27.005 §3.5.6).
	LinkSetup, LinkIdle time.Duration

	Scripts []string // ready-made behaviours by name, looked at in order
	Rules   []Rule   // looked at after them

	Network *Network      // nil: one of its own, run by Run
	Latency time.Duration // of its own network, each way
	Phones  []PhoneConfig // of its own network
	Log     io.Writer     // JSON lines, one Write for each; nil for none
}

func (c Config) withDefaults() Config {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Number, "+4915550100")
	def(&c.Manufacturer, "doorway")
	def(&c.Model, "EMU-1")
	def(&c.Revision, "EMU-1 R1.0")
	def(&c.IMEI, "490154203237518")
	def(&c.IMSI, "262019000000001")
	def(&c.ICCID, "8949020000000000018")
	def(&c.Operator, "Emulated Network")
	def(&c.SMSC, "+491710760000")
	def(&c.PUK, "12345678")
	if c.PINTries == 0 {
		c.PINTries = 3
	}
	if c.Memories == nil {
		c.Memories = []Memory{{"ME", 50, 0}, {"SM", 20, 1}, {"SR", 20, 0}}
	}
	if c.AckTimeout == 0 {
		c.AckTimeout = 15 * time.Second
	}
	if c.RSSI == 0 {
		c.RSSI = 20
	}
	return c
}

// Emulator is one emulated modem. Its methods are safe for concurrent use,
// before, while and after Run runs.
type Emulator struct {
	cfg    Config
	number pdu.Number
	net    *Network
	ownNet bool
	log    *journal
	plan   *agenda
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards what follows; taken before Network.mu
	port     *port      // nil while vanished
	reopened chan struct{}
	memories []*memory
	rules    []*armed
	settings
	sim        simState
	line       []byte  // command line being typed
	rx         []byte  // received since the last log entry
	prompt     int     // length announced by +CMGS or +CMGW; 0 in command mode
	promptFor  command // the command that asked
	lastLine   string
	busy       bool   // an answer is due
	queued     []byte // input that came while busy
	held       []string
	mr         byte
	violations []string
	ack        *awaited
	calls      int
	refused    int       // calls that the client has hung up
	linkUntil  time.Time // until when the radio link is kept
	setups     int       // times it was set up
	link       string    // where the port appears; Config.Link at first
	nextLink   string    // where it appears next time; "" for the same
	generation int       // counts resets and vanished ports; late answers of an older one are dropped
	dead       bool
}

// New opens the pseudo-terminal; the modem answers once Run runs. Close frees
// it when Run is never called.
func New(cfg Config) (*Emulator, error) {
	cfg = cfg.withDefaults()
	number, err := pdu.ParseNumber(cfg.Number)
	if err != nil {
		return nil, fmt.Errorf("own number: %w", err)
	}
	e := &Emulator{
		cfg: cfg, number: number, net: cfg.Network, log: &journal{w: cfg.Log}, plan: newAgenda(), mr: cfg.FirstMR,
		closed: make(chan struct{}), reopened: make(chan struct{}, 1), link: cfg.Link,
	}
	for _, m := range cfg.Memories {
		e.memories = append(e.memories, &memory{Memory: m, slots: map[int]*Slot{}})
	}
	e.sim = simState{state: "READY", tries: cfg.PINTries, pukTries: 10}
	if cfg.PIN != "" {
		e.sim.state = "SIM PIN"
	}
	e.settings = e.powerOn()
	for _, name := range cfg.Scripts {
		rules, err := Script(name)
		if err != nil {
			return nil, err
		}
		e.arm(rules)
	}
	e.arm(cfg.Rules)
	if e.net == nil {
		e.ownNet = true
		e.net = NewNetwork(NetworkConfig{Latency: cfg.Latency, Phones: cfg.Phones, Log: cfg.Log})
		e.log = e.net.log // one lock for one writer
	}
	if !cfg.NoPort {
		if e.port, err = openPort(cfg.Link); err != nil {
			return nil, err
		}
	}
	e.net.join(e)
	return e, nil
}

func (e *Emulator) arm(rules []Rule) {
	for _, r := range rules {
		e.rules = append(e.rules, &armed{Rule: r})
	}
}

// Run serves the port until ctx ends, then closes it. It returns nil.
func (e *Emulator) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait() // Run owns these goroutines
	defer e.Close()
	wg.Go(func() { e.plan.run(ctx) })
	if e.ownNet {
		wg.Go(func() { _ = e.net.Run(ctx) }) // ignored: it returns nil only
	}
	wg.Go(func() { e.readPort(ctx) })
	e.mu.Lock()
	e.start(e.rules)
	e.mu.Unlock()
	<-ctx.Done()
	return nil
}

// Close hangs up and takes the link away.
func (e *Emulator) Close() {
	e.once.Do(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.dead = true
		close(e.closed)
		if e.port != nil {
			e.port.close(e.link)
			e.port = nil
		}
	})
}

// LinkSetups tells how often the radio link was set up for sending.
func (e *Emulator) LinkSetups() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.setups
}

// Path is where a driver opens the modem: the link, or the slave itself.
func (e *Emulator) Path() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link != "" {
		return e.link
	}
	if e.port == nil {
		return ""
	}
	return e.port.name()
}

// Attach has the modem use a connection in the place of its port, such as one
// end of a net.Pipe, until that is closed; then it is as if it were unplugged.
func (e *Emulator) Attach(c net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.port != nil {
		e.port.close(e.link)
	}
	e.port = &port{master: c}
	e.generation++
	select {
	case e.reopened <- struct{}{}:
	default:
	}
}

// Number is the modem's own number.
func (e *Emulator) Number() string { return e.number.String() }

// Network is the network it is registered in.
func (e *Emulator) Network() *Network { return e.net }

// Phone returns the phone with a number, making it if need be.
func (e *Emulator) Phone(number string) *Phone { return e.net.Phone(number) }

// Deliver sends a text to the modem from a number, or from a name as networks
// and firms use.
func (e *Emulator) Deliver(from, text string) error {
	return e.net.deliverText(e, sender(from), text, pdu.DeliverOptions{})
}

// DeliverTPDU gives the modem a TPDU as it is, whole or broken; the network
// offers it until the modem takes it.
func (e *Emulator) DeliverTPDU(tpdu []byte) { e.net.toModem(e, tpdu, 0) }

// Submits returns what the service centre accepted from this modem, each
// different part once.
func (e *Emulator) Submits() []Submit { return e.net.submitsOf(e) }

// Violations tells what the client did that no driver should do, such as
// writing while a command was being carried out.
func (e *Emulator) Violations() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.violations...)
}

// AddRules looks at further rules, before those there are.
func (e *Emulator) AddRules(rules ...Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.rules
	e.rules = nil
	e.arm(rules)
	fresh := e.rules
	e.rules = append(fresh[:len(fresh):len(fresh)], old...)
	e.start(fresh)
}

// LoadScript is AddRules for a ready-made behaviour by name.
func (e *Emulator) LoadScript(name string) error {
	rules, err := Script(name)
	if err != nil {
		return err
	}
	e.AddRules(rules...)
	return nil
}

// ClearRules makes the modem honest again.
func (e *Emulator) ClearRules() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = nil
	e.dialect = ""
}

// Send writes raw bytes to the client at once, whatever the modem is doing.
func (e *Emulator) Send(raw string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write(raw)
}

// Reset is a spontaneous restart: settings fall back, a PIN is asked for again.
func (e *Emulator) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reset()
}

// Vanish hangs the port up; after back it returns (0: never).
func (e *Emulator) Vanish(back time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.vanish(back)
}

// start applies the rules for the start and their timed bytes.
func (e *Emulator) start(rules []*armed) {
	for _, r := range rules {
		if r.On == OnStart {
			r.matched, r.used = r.matched+1, r.used+1
			e.before(r.Rule, "")
			e.write(r.Before + r.After)
			if r.Vanish {
				e.vanish(r.Back)
			}
		}
	}
}

// readPort feeds what the client writes into the modem.
func (e *Emulator) readPort(ctx context.Context) {
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		e.mu.Lock()
		p := e.port
		e.mu.Unlock()
		if p == nil {
			select {
			case <-ctx.Done():
			case <-e.closed:
				return
			case <-e.reopened:
			}
			continue
		}
		n, err := p.master.Read(buf)
		if n > 0 {
			e.mu.Lock()
			if e.port == p {
				e.feed(buf[:n])
			}
			e.mu.Unlock()
		}
		if err != nil {
			e.mu.Lock()
			if e.port == p { // not our own doing: treat it as a hang-up and stay away
				e.vanish(0)
			}
			e.mu.Unlock()
		}
	}
}

func (e *Emulator) vanish(back time.Duration) {
	if e.port == nil {
		return
	}
	e.flushRx()
	e.port.close(e.link)
	e.port = nil
	e.generation++
	e.log.add(Entry{Kind: LogPort, Modem: e.Number(), Data: "vanished"})
	e.powerCycle()
	if back <= 0 {
		return
	}
	e.plan.after(back, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.dead || e.port != nil {
			return
		}
		e.link = e.next()
		p, err := openPort(e.link)
		if err != nil {
			e.log.add(Entry{Kind: LogPort, Modem: e.Number(), Data: err.Error()})
			return
		}
		e.port = p
		e.log.add(Entry{Kind: LogPort, Modem: e.Number(), Data: "back at " + p.name()})
		select {
		case e.reopened <- struct{}{}:
		default:
		}
	})
}

// next is where the port appears next.
func (e *Emulator) next() string {
	if e.nextLink != "" {
		return e.nextLink
	}
	return e.link
}

// write sends bytes to the client. A client that does not read loses them, as
// on a line without flow control.
func (e *Emulator) write(raw string) {
	if len(e.echoed) > 0 {
		raw = string(e.echoed) + raw
		e.echoed = e.echoed[:0]
	}
	if raw == "" || e.port == nil {
		return
	}
	e.log.add(Entry{Kind: LogTx, Modem: e.Number(), Data: raw})
	_ = e.port.master.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // ignored: terminals have deadlines
	_, _ = io.WriteString(e.port.master, raw)                                  // ignored: lost, as said above
}

// Set changes the modem's state from outside. Names: echo 0|1, dialect
// std|lf|cr|blank|bare, registration N (as in +CREG), signal N (as in +CSQ),
// sim "READY"|"SIM PIN"|"SIM PUK"|"absent"|"busy", smsc NUMBER, prompt N (the
// modem waits for a PDU of N octets), incoming NAME (memory of new messages),
// csms 0|1, cnmi 2,1,0,1,0, cpms ME|SM, flash direct|store (class 0 messages
// come as +CMT), full LINE (said when a message finds no room; then nothing is
// announced until there is room again), cdsi NAME (memory that +CDSI names),
// link PATH (where the port appears when it comes back), clock DURATION (of the
// modem's clock against this machine's), plmn NUMBER (of the network), balance
// TEXT, cscs NAME (character set), ussd plain|ucs2|packed (the form of codes), reset.
func (e *Emulator) Set(name, value string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apply(Setting{name, value})
}

func (e *Emulator) apply(s Setting) error {
	n, err := strconv.Atoi(s.Value)
	switch s.Name {
	case "reset":
		e.reset()
		return nil
	case "dialect":
		e.dialect = s.Value
		return nil
	case "incoming", "cpms":
		if e.memory(s.Value) == nil {
			return fmt.Errorf("set %s: no memory %q", s.Name, s.Value)
		}
	}
	switch s.Name {
	case "incoming":
		e.incoming = s.Value
		return nil
	case "cpms":
		e.mem[0], e.mem[1], e.mem[2] = s.Value, s.Value, s.Value
		return nil
	case "smsc":
		e.smsc = s.Value
		return nil
	case "clock":
		d, err := time.ParseDuration(s.Value)
		if err != nil {
			return fmt.Errorf("set clock: %q is not a duration", s.Value)
		}
		e.clock = d
		return nil
	case "cscs":
		e.cscs = s.Value
		return nil
	case "plmn":
		e.plmn = s.Value
		return nil
	case "balance":
		e.balance = s.Value
		return nil
	case "ussd":
		e.ussdForm = s.Value
		return nil
	case "flash":
		e.flashDirect = s.Value == "direct"
		return nil
	case "full":
		e.fullLine = s.Value
		return nil
	case "cdsi":
		e.cdsi = s.Value
		return nil
	case "link":
		e.nextLink = s.Value
		return nil
	case "sim":
		e.sim.state = s.Value
		return nil
	case "cnmi":
		if !e.setCNMI(command{args: s.Value}) {
			return fmt.Errorf("set cnmi: %q", s.Value)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("set %s: %q is not a number", s.Name, s.Value)
	}
	switch s.Name {
	case "echo":
		e.echo = n != 0
	case "csms":
		e.csms = n
	case "registration":
		e.setRegistration(n)
	case "signal":
		e.rssi = n
	case "prompt":
		e.prompt, e.promptFor = n, command{name: "+CMGS"}
	default:
		return fmt.Errorf("set: unknown name %q", s.Name)
	}
	return nil
}
