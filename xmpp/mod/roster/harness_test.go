package roster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const domain = "office.example"

// disk is a store in memory: changes are seen at once and reach the disk a
// little later, in order, in a goroutine of its own, as the real one does.
type disk struct {
	mu     sync.Mutex // guards what follows
	wake   sync.Cond
	seen   map[string]map[string][]byte // what Get and Range see
	stored map[string]map[string][]byte // what survives
	queue  []write
	held   bool  // nothing reaches the disk
	fail   error // the next commits fail
	ended  bool
}

type write struct {
	rows map[string]map[string][]byte // nil deletes
	done func(error)
}

func newDisk() *disk {
	d := &disk{seen: map[string]map[string][]byte{}, stored: map[string]map[string][]byte{}}
	d.wake.L = &d.mu
	return d
}

func (d *disk) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for !d.ended && (d.held || len(d.queue) == 0) {
			d.wake.Wait()
		}
		if d.ended {
			return
		}
		w := d.queue[0]
		d.queue = d.queue[1:]
		err := d.fail
		if err == nil {
			apply(d.stored, w.rows)
		} else {
			d.seen = map[string]map[string][]byte{}
			apply(d.seen, d.stored)
			for _, q := range d.queue {
				apply(d.seen, q.rows)
			}
		}
		d.mu.Unlock()
		if w.done != nil {
			w.done(err)
		}
		d.mu.Lock()
	}
}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	d.wake.Broadcast()
}

func apply(to, rows map[string]map[string][]byte) {
	for table, changes := range rows {
		if to[table] == nil {
			to[table] = map[string][]byte{}
		}
		for k, v := range changes {
			if v == nil {
				delete(to[table], k)
			} else {
				to[table][k] = v
			}
		}
	}
}

func (d *disk) LaterAll(changes map[string]map[string]any, done func(error)) {
	rows := map[string]map[string][]byte{}
	for table, c := range changes {
		rows[table] = map[string][]byte{}
		for k, v := range c {
			var raw []byte
			if v != nil {
				var err error
				if raw, err = json.Marshal(v); err != nil {
					panic(err)
				}
			}
			rows[table][k] = raw
		}
	}
	d.set(func() {
		apply(d.seen, rows)
		d.queue = append(d.queue, write{rows, done})
	})
}

func (d *disk) Table(name string) xmpp.Table { return table{d, name} }

// on lists what has reached the disk, as "table key value", without versions.
func (d *disk) on() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for name, rows := range d.stored {
		for k, v := range rows {
			out = append(out, name+" "+strings.ReplaceAll(k, "\x00", " ")+" "+string(v))
		}
	}
	slices.Sort(out)
	return out
}

type table struct {
	d    *disk
	name string
}

func (t table) Get(key string, v any) (bool, error) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	raw, ok := t.d.seen[t.name][key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(raw, v)
}

func (t table) Write(changes map[string]any) error {
	done := make(chan error, 1)
	t.Later(changes, func(err error) { done <- err })
	return <-done
}

func (t table) Later(changes map[string]any, done func(error)) {
	t.d.LaterAll(map[string]map[string]any{t.name: changes}, done)
}

func (t table) Range(from, to string, reverse bool, f func(string, []byte) bool) error {
	t.d.mu.Lock()
	rows := maps.Clone(t.d.seen[t.name])
	t.d.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if k >= from && (to == "" || k < to) && !f(k, rows[k]) {
			break
		}
	}
	return nil
}

func (t table) Next() (uint64, error) { return 0, errors.New("not used") }

// accounts are the local people.
type accounts map[string]bool

func (a accounts) Exists(local string) bool { return a[local] }

// office is a server with roster and presence on a disk.
type office struct {
	t        *testing.T
	disk     *disk
	accounts accounts
	r        *router.Router
	roster   *roster.Module
	peer     *peer
	end      context.CancelFunc
	// between, when not nil, is called after presence was broadcast and before
	// requests are delivered.
	between func()
}

// hook is a module that calls between.
type hook struct{ o *office }

func (h hook) Info() xmpp.Info { return xmpp.Info{Name: "hook"} }
func (h hook) Load(host xmpp.Host) error {
	host.Presence(xmpp.Outbound, 120, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
		if h.o.between != nil {
			h.o.between()
		}
		return xmpp.Pass, nil
	})
	return nil
}

// play runs f in a bubble with a server; everything is settled when recv returns.
func play(t *testing.T, f func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{t: t, disk: newDisk(), accounts: accounts{"alice": true, "bob": true, "carol": true}}
		go o.disk.run() // ended by the line below
		defer o.disk.set(func() { o.disk.ended = true })
		o.start()
		defer func() { o.end() }()
		f(t, o)
		synctest.Wait()
	})
}

// start starts, or restarts, the server on the disk as it is.
func (o *office) start() {
	o.t.Helper()
	if o.end != nil {
		o.end()
	}
	var ctx context.Context
	ctx, o.end = context.WithCancel(context.Background())
	o.roster = roster.New(nil)
	o.r = router.New(router.Config{Domain: domain, Accounts: o.accounts, Store: o.disk})
	if err := o.r.Load(o.roster, presence.New(o.roster), hook{o}); err != nil {
		o.t.Fatal(err)
	}
	o.peer = &peer{}
	if err := o.r.Domain(xmpp.Domain{Name: "peer.example", Handler: o.peer}); err != nil {
		o.t.Fatal(err)
	}
	m := o.roster
	go m.Run(ctx) // ended by o.end
}

// crash restarts the server with nothing but what has reached the disk.
func (o *office) crash() {
	synctest.Wait()
	o.disk.set(func() {
		o.disk.seen = map[string]map[string][]byte{}
		apply(o.disk.seen, o.disk.stored)
	})
	o.start()
}

// peer is a component domain that remembers what it is given.
type peer struct {
	block chan struct{} // what is addressed to x@ waits for this one; may be nil
	mu    sync.Mutex    // guards got
	got   []string
}

func (p *peer) Handle(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if p.block != nil && d.Stanza.To.Local() == "x" {
		<-p.block
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, brief(d.Stanza))
	return xmpp.Done, nil
}

func (p *peer) recv() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// says routes a stanza of the component.
func (o *office) says(xml string) {
	o.t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		o.t.Fatal(err)
	}
	o.r.Send(context.Background(), st, nil)
}

// client is a connected resource.
type client struct {
	t *testing.T
	s *router.Session

	mu  sync.Mutex // guards got
	got []*stanza.Stanza
}

func (c *client) Hold() func(error) { return func(error) {} }
func (c *client) Send(_ context.Context, st *stanza.Stanza) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, st)
}
func (c *client) Close(*stanza.StreamError) {}
func (c *client) Secure() bool              { return true }
func (c *client) Addr() string              { return "test" }

// login binds a resource; nothing is sent yet.
func (o *office) login(full string) *client {
	o.t.Helper()
	j := jid.MustParse(full)
	c := &client{t: o.t}
	s, err := o.r.Bind(context.Background(), j.Bare(), j.Resource(), c)
	if err != nil {
		o.t.Fatal(err)
	}
	c.s = s
	return c
}

// online logs in, asks for the roster, sends presence, and drops the answers.
func (o *office) online(full string) *client {
	o.t.Helper()
	c := o.login(full)
	c.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "<presence/>")
	c.recv()
	return c
}

// send has the client send stanzas.
func (c *client) send(xml ...string) {
	c.t.Helper()
	for _, x := range xml {
		st, err := stanza.Parse(x)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := c.s.Handle(context.Background(), st); err != nil {
			c.t.Fatal(err)
		}
	}
}

// recv is what has come since, in brief, when nothing moves any more.
func (c *client) recv() []string {
	var out []string
	for _, st := range c.raw() {
		out = append(out, brief(st))
	}
	return out
}

func (c *client) raw() []*stanza.Stanza {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// close ends the stream without a word.
func (c *client) close() { c.s.Unbind(context.Background(), nil) }

// brief is a stanza in a line: "push <item …/>", "result r …", "error r
// condition type", "presence[:type] from > to …".
func brief(st *stanza.Stanza) string {
	inner := st.Inner()
	if e, ok := stanza.ErrorOf(st); ok {
		inner = string(e.Condition) + " " + string(e.Type)
	}
	if st.Kind == stanza.IQ {
		if st.Type != "set" {
			return strings.TrimSpace(fmt.Sprintf("%s %s %s", st.Type, st.ID, dropVer(inner)))
		}
		if st.From != st.To.Bare() {
			return "push from " + st.From.String()
		}
		return "push " + strings.TrimSuffix(strings.TrimPrefix(dropVer(inner), "<query xmlns='jabber:iq:roster'>"), "</query>")
	}
	kind := st.Kind.String()
	if st.Type != "" {
		kind += ":" + st.Type
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s > %s %s", kind, st.From, st.To, inner))
}

// dropVer takes the version out of a roster query.
func dropVer(s string) string {
	a, rest, ok := strings.Cut(s, " ver='")
	if !ok {
		return s
	}
	_, b, _ := strings.Cut(rest, "'")
	return a + b
}

// same compares, in order.
func same(t *testing.T, who string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s got\n  %s\nwant\n  %s", who, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
