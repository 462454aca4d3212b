package bridge_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/bridge"
	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/modem"
	"doorway/modem/emulator"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/mod/ping"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

const (
	office  = "office.localhost"
	gateway = "sms.office.localhost"
	mobile  = "+4915550101"
	contact = mobile + "@" + gateway
)

type people []string

func (p people) Exists(local string) bool { return slices.Contains(p, local) }

type lender struct{ *store.Store }

func (l lender) Table(name string) xmpp.Table { return l.Store.Table(name) }

// client is a stream that keeps what it gets.
type client struct {
	t *testing.T
	s *router.Session

	mu    sync.Mutex // guards what follows
	got   []string
	holds int
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
	defer c.mu.Unlock()
	c.got = append(c.got, st.String())
}

func (c *client) Close(*stanza.StreamError) {}
func (c *client) Secure() bool              { return true }
func (c *client) Addr() string              { return "127.0.0.1:1" }

// say sends a stanza as the client.
func (c *client) say(xml string) {
	c.t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.s.Handle(c.t.Context(), st); err != nil {
		c.t.Fatal(err)
	}
}

// gets waits for a stanza with all these parts and takes it out.
func (c *client) gets(parts ...string) string {
	c.t.Helper()
	var found string
	until(c.t, fmt.Sprintf("%q", parts), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, s := range c.got {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) }) {
				found, c.got = s, slices.Delete(c.got, i, i+1)
				return true
			}
		}
		return false
	})
	return found
}

func (c *client) acknowledged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds == 0
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// house is everything below the listeners.
type house struct {
	t     *testing.T
	dir   string
	emu   *emulator.Emulator
	modem string
	locks string

	router *router.Router
	queue  *queue.Queue
	net    *sms.Network
	stop   func()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), locks: t.TempDir(), modem: filepath.Join(t.TempDir(), "modem")}
	var err error
	h.emu, err = emulator.New(emulator.Config{Link: h.modem, Phones: []emulator.PhoneConfig{{Number: mobile}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.emu.Run(ctx) }) // ignored: it ends with ctx
	t.Cleanup(func() { cancel(); wg.Wait() })
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *house) start() {
	t := h.t
	t.Helper()
	db, err := store.Open(h.dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var stops []func()
	task := func(run func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		}()
		stops = append(stops, func() { cancel(); <-done })
	}
	task(db.Run)
	h.router = router.New(router.Config{Domain: office, Accounts: people{"alice", "bob"}, Store: lender{db}})
	r := roster.New(nil)
	off := offline.New(offline.Config{})
	if err := h.router.Load(r, presence.New(r), off, disco.New(r), ping.New(r)); err != nil {
		t.Fatal(err)
	}
	task(off.Run)
	if h.queue, err = queue.Open(db, queue.Options{Network: "sms"}); err != nil {
		t.Fatal(err)
	}
	task(h.queue.Run)
	d := modem.New(modem.Config{Name: "gsm0", Device: h.modem, LockDir: h.locks, Timeouts: modem.Timeouts{
		Command: time.Second, Storage: time.Second, List: 2 * time.Second, Prompt: time.Second, Send: 5 * time.Second,
		Poll: 3 * time.Second, Reopen: 50 * time.Millisecond, Quiet: 60 * time.Millisecond, Listen: 200 * time.Millisecond,
	}})
	task(d.Run)
	h.net = sms.New(sms.Config{Country: "49", Modems: []modem.Modem{d}})
	b, err := bridge.New(bridge.Config{
		Network: h.net, Domain: gateway, Host: h.router, Table: db.Table("bridge"), NetworkTable: db.Table("sms"), Outbox: h.queue,
		DefaultRecipients: func() []jid.JID { return []jid.JID{jid.MustParse("bob@" + office)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	task(b.Run)
	h.stop = func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		h.stop = func() {}
	}
}

func (h *house) login(local string) *client {
	h.t.Helper()
	c := &client{t: h.t}
	s, err := h.router.Bind(h.t.Context(), jid.MustParse(local+"@"+office), "phone", c)
	if err != nil {
		h.t.Fatal(err)
	}
	c.s = s
	c.say("<iq xmlns='jabber:client' type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>")
	c.say("<presence xmlns='jabber:client'/>")
	return c
}

// TestAliceTextsAPhone is the second walk of the design: contact, text, receipt, answer.
func TestAliceTextsAPhone(t *testing.T) {
	h := newHouse(t)
	alice := h.login("alice")

	// Finding the gateway and the contact.
	alice.say("<iq xmlns='jabber:client' type='get' id='d1' to='" + gateway + "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
	alice.gets("id='d1'", "category='gateway'", "type='sms'", "jabber:iq:gateway")
	alice.say("<iq xmlns='jabber:client' type='set' id='g1' to='" + gateway + "'><query xmlns='jabber:iq:gateway'><prompt>0155 501-01</prompt></query></iq>")
	alice.gets("id='g1'", "<jid>"+contact+"</jid>")
	alice.say("<iq xmlns='jabber:client' type='get' id='p1' to='" + gateway + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	alice.gets("id='p1'", "type='result'")
	alice.say("<presence xmlns='jabber:client' type='subscribe' to='" + contact + "'/>")
	alice.gets("<presence", "type='subscribed'", "from='"+contact+"'")
	alice.gets("jabber:iq:roster", "jid='"+contact+"'", "subscription='to'")
	alice.gets("<presence", "from='"+contact+"'", "<status>SMS</status>")

	// A long text with emoji, and the receipt.
	text := strings.TrimSpace(strings.Repeat("Grüße aus dem Büro 👩‍🚒 € {ok} ", 9))
	alice.say("<message xmlns='jabber:client' type='chat' id='m1' to='" + contact + "'><body>" + text + "</body><request xmlns='urn:xmpp:receipts'/></message>")
	phone := h.emu.Phone(mobile)
	until(t, "the text on the phone", func() bool { return slices.Equal(phone.Received(), []string{text}) })
	alice.gets("<received xmlns='urn:xmpp:receipts' id='m1'/>", "from='"+contact+"'")
	if !alice.acknowledged() {
		t.Error("the stream's acknowledgement still waits")
	}

	// The answer, and one that finds nobody online.
	if err := phone.Send("Zurück: " + text); err != nil {
		t.Fatal(err)
	}
	alice.gets("<message", "from='"+contact+"'", "<body>Zurück: "+text+"</body>")
	alice.s.Unbind(t.Context(), nil)
	if err := phone.Send("Noch da?"); err != nil {
		t.Fatal(err)
	}
	until(t, "an empty storage", func() bool { return len(h.emu.Slots()) == 0 })
	alice = h.login("alice")
	alice.gets("<message", "Noch da?")

	// Refusals.
	alice.say("<message xmlns='jabber:client' type='chat' id='m2' to='bob@" + gateway + "'><body>x</body></message>")
	alice.gets("type='error'", "id='m2'", "not a phone number")
	alice.say("<message xmlns='jabber:client' type='chat' id='m3' to='" + contact + "'><body>" + strings.Repeat("x", 1000) + "</body></message>")
	alice.gets("type='error'", "id='m3'", "7 parts")
	h.emu.Network().Fail(emulator.Fault{Cause: 1})
	alice.say("<message xmlns='jabber:client' type='chat' id='m4' to='" + contact + "'><body>x</body></message>")
	alice.gets("type='error'", "id='m4'", "item-not-found", "does not exist")
	alice.say("<iq xmlns='jabber:client' type='get' id='x1' to='" + contact + "'><query xmlns='jabber:iq:last'/></iq>")
	alice.gets("id='x1'", "service-unavailable")
	if v := h.emu.Violations(); len(v) > 0 {
		t.Errorf("violations %q", v)
	}
}

// TestAnswerAndReportAfterARestart stops the house while the phone is off.
func TestAnswerAndReportAfterARestart(t *testing.T) {
	h := newHouse(t)
	phone := h.emu.Phone(mobile)
	if err := phone.SetMode(emulator.Off); err != nil {
		t.Fatal(err)
	}
	alice := h.login("alice")
	alice.say("<message xmlns='jabber:client' type='chat' id='m1' to='015550101@" + gateway + "'><body>Bist du da?</body><request xmlns='urn:xmpp:receipts'/></message>")
	until(t, "the state accepted", func() bool { return h.queue.Counts()[transports.Accepted] == 1 })
	h.stop()

	h.start()
	alice = h.login("alice")
	if err := phone.SetMode(emulator.On); err != nil {
		t.Fatal(err)
	}
	alice.gets("<received xmlns='urn:xmpp:receipts' id='m1'/>", "from='015550101@"+gateway+"'")
	if err := phone.Send("Ja"); err != nil {
		t.Fatal(err)
	}
	alice.gets("<body>Ja</body>", "from='015550101@"+gateway+"'")
	if got := phone.Received(); !slices.Equal(got, []string{"Bist du da?"}) {
		t.Fatalf("the phone got %q", got)
	}
	jobs, err := h.queue.List(transports.Filter{})
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	c, err := h.net.Describe(jobs[0])
	if err != nil || c.State != transports.Delivered || c.Parts[0].MR < 0 || len(c.Steps) < 4 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestUnknownNumberGoesToTheDefaultRecipients(t *testing.T) {
	h := newHouse(t)
	bob := h.login("bob")
	if err := h.emu.Deliver("+4915559999", "Wer ist da?"); err != nil {
		t.Fatal(err)
	}
	bob.gets("<body>Wer ist da?</body>", "from='+4915559999@"+gateway+"'")
}
