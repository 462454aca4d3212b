package offline

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const home = "office.example"

// client is an emulated stream; with acks it has XEP-0198.
type client struct {
	acks bool

	mu     sync.Mutex // guards what follows
	got    []*stanza.Stanza
	holds  int
	onSend func(*stanza.Stanza)
	late   func(*stanza.Stanza) // set when the stream has ended: where the rest goes
}

func (c *client) Hold() func(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds++
	return func(error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.holds--
	}
}

func (c *client) Send(_ context.Context, st *stanza.Stanza) {
	c.mu.Lock()
	f := c.onSend
	if c.late == nil {
		c.got = append(c.got, st)
	} else {
		f = c.late
	}
	c.mu.Unlock()
	if f != nil {
		f(st)
	}
}

func (c *client) Close(*stanza.StreamError) {}
func (c *client) Secure() bool              { return true }
func (c *client) Addr() string              { return "127.0.0.1:1" }
func (c *client) Acks() bool                { return c.acks }

func (c *client) all() []*stanza.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// end closes the stream and returns what it got; what comes later goes to late.
func (c *client) end(late func(*stanza.Stanza)) []*stanza.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = late
	return c.got
}

func (c *client) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds
}

// bodies joins the bodies of what has come.
func (c *client) bodies() string {
	var l []string
	for _, st := range c.all() {
		if st.Kind == stanza.Message {
			l = append(l, st.Body())
		}
	}
	return strings.Join(l, " ")
}

type accounts map[string]bool

func (a accounts) Exists(local string) bool { return a[local] }

// availability stands for the presence module: it sets what a client broadcasts.
type availability struct{}

func (availability) Info() xmpp.Info { return xmpp.Info{Name: "availability"} }

func (availability) Load(h xmpp.Host) error {
	h.Presence(xmpp.Outbound, 100, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if d.Stanza.Type == "unavailable" {
			d.Sender.SetPresence(nil, 0)
			return xmpp.Pass, nil
		}
		p, _ := d.Stanza.Child("", "priority")
		n, _ := strconv.Atoi(p.Text)
		d.Sender.SetPresence(d.Stanza, int8(n))
		return xmpp.Pass, nil
	})
	return nil
}

// house is a server with the module on a table.
type house struct {
	*testing.T
	m   *Module
	r   *router.Router
	log *strings.Builder
}

// open starts a server on what the table holds.
func open(t *testing.T, table *memory, c Config) *house {
	t.Helper()
	h := &house{T: t, m: New(c), log: &strings.Builder{}}
	h.r = router.New(router.Config{
		Domain: home, Accounts: accounts{"alice": true, "bob": true, "carol": true}, Store: table,
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	if err := h.r.Load(h.m, availability{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// login binds a resource; presence "" leaves it unavailable.
func (h *house) login(account, resource string, acks bool, presence string) (*router.Session, *client) {
	h.Helper()
	c := &client{acks: acks}
	s, err := h.r.Bind(context.Background(), jid.MustParse(account+"@"+home), resource, c)
	if err != nil {
		h.Fatal(err)
	}
	if presence != "" {
		h.handle(s, presence)
	}
	return s, c
}

func (h *house) handle(s *router.Session, xml string) {
	h.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		h.Fatalf("%s: %v", xml, err)
	}
	if err := s.Handle(context.Background(), st); err != nil {
		h.Fatal(err)
	}
}

// chat sends a chat message to bob's bare JID.
func (h *house) chat(s *router.Session, body string) {
	h.Helper()
	h.handle(s, "<message type='chat' id='"+body+"' to='bob@office.example'><body>"+body+"</body></message>")
}

// ack acknowledges everything a client got that passes.
func (h *house) ack(s *router.Session, c *client, n int) {
	h.Helper()
	for _, st := range c.all()[:n] {
		s.Acked(context.Background(), st)
	}
}

const online = "<presence/>"
