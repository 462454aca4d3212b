package private_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const home = "office.example"

// memory is a store that is on disk at once, unless it fails.
type memory struct {
	mu   sync.Mutex // guards what follows
	rows map[string][]byte
	fail error
}

// bucket is one table of a memory.
type bucket struct {
	m    *memory
	name string
}

func (m *memory) Table(name string) xmpp.Table { return bucket{m, name + "/"} }

func (m *memory) LaterAll(changes map[string]map[string]any, done func(error)) {
	for name, c := range changes {
		m.Table(name).Later(c, nil)
	}
	done(nil)
}

func (b bucket) Get(key string, v any) (bool, error) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	raw, ok := b.m.rows[b.name+key]
	if !ok || v == nil {
		return ok, nil
	}
	return true, json.Unmarshal(raw, v)
}

func (b bucket) Write(changes map[string]any) error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	if b.m.fail != nil {
		return b.m.fail
	}
	if b.m.rows == nil {
		b.m.rows = make(map[string][]byte)
	}
	for k, v := range changes {
		if v == nil {
			delete(b.m.rows, b.name+k)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.m.rows[b.name+k] = raw
	}
	return nil
}

func (b bucket) Later(changes map[string]any, done func(error)) {
	err := b.Write(changes)
	if done != nil {
		done(err)
	}
}

func (b bucket) Range(from, to string, _ bool, f func(string, []byte) bool) error {
	b.m.mu.Lock()
	all := make(map[string][]byte)
	var keys []string
	for k, raw := range b.m.rows {
		if key, ok := strings.CutPrefix(k, b.name); ok && key >= from && (to == "" || key < to) {
			all[key] = raw
			keys = append(keys, key)
		}
	}
	b.m.mu.Unlock()
	slices.Sort(keys)
	for _, k := range keys {
		if !f(k, all[k]) {
			return nil
		}
	}
	return nil
}

func (b bucket) Next() (uint64, error) { return 0, nil }

type accounts map[string]bool

func (a accounts) Exists(local string) bool { return a[local] }

// office is a server with alice, bob and carol.
type office struct {
	testing.TB
	r     *router.Router
	store *memory
}

func open(t testing.TB, store *memory, modules ...xmpp.Module) *office {
	t.Helper()
	if store == nil {
		store = &memory{}
	}
	o := &office{t, router.New(router.Config{Domain: home, Accounts: accounts{"alice": true, "bob": true, "carol": true}, Store: store}), store}
	if err := o.r.Load(modules...); err != nil {
		t.Fatal(err)
	}
	return o
}

// client is a bound resource that keeps what it gets.
type client struct {
	*office
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
func (c *client) Addr() string              { return "127.0.0.1:1" }

// login binds a resource and sends what is given.
func (o *office) login(full string, xml ...string) *client {
	o.Helper()
	j := jid.MustParse(full)
	c := &client{office: o}
	s, err := o.r.Bind(context.Background(), j.Bare(), j.Resource(), c)
	if err != nil {
		o.Fatal(err)
	}
	c.s = s
	c.send(xml...)
	return c
}

func parse(t testing.TB, xml string) *stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return st
}

func (c *client) send(xml ...string) {
	c.Helper()
	for _, x := range xml {
		if err := c.s.Handle(context.Background(), parse(c, x)); err != nil {
			c.Fatal(err)
		}
	}
}

// ask sends an IQ and returns the answer: the inner XML, or the condition of
// the error.
func (c *client) ask(typ, to, payload string) string {
	c.Helper()
	if to != "" {
		to = " to='" + to + "'"
	}
	c.send("<iq type='" + typ + "' id='ask'" + to + ">" + payload + "</iq>")
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, st := range c.got {
		if st.Kind == stanza.IQ && st.ID == "ask" && (st.Type == "result" || st.Type == "error") {
			c.got = slices.Delete(c.got, i, i+1)
			return content(st)
		}
	}
	c.Errorf("%s was not answered", payload)
	return ""
}

func content(st *stanza.Stanza) string {
	if e, ok := stanza.ErrorOf(st); ok {
		return strings.TrimSpace(string(e.Condition) + " " + e.App)
	}
	return st.Inner()
}
