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
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/muc"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/mod/ping"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	office  = "office.localhost"
	gateway = "sms.office.localhost"
	mobile  = "+4915550101"
	contact = mobile + "@" + gateway
)

type lender struct{ *store.Store }

func (l lender) Table(name string) xmpp.Table { return l.Store.Table(name) }

// client is alice or bob at a phone.
type client struct{ *routertest.Client }

// gets waits for a stanza with all these parts and takes it out.
func (c client) gets(parts ...string) {
	c.House.T.Helper()
	until(c.House.T, fmt.Sprintf("%q", parts), func() bool {
		found := false
		c.Pick(func(st *stanza.Stanza) bool {
			s := st.String()
			if found || slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) }) {
				return false
			}
			found = true
			return true
		})
		return found
	})
}

func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	limit := time.After(60 * time.Second)
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

	groups *groups // nil without rooms
	tweak  func(*bridge.Config)

	server *routertest.House
	queue  *queue.Queue
	net    *sms.Network
	stop   func()

	stopBridge func() // alone
}

func newHouse(t *testing.T) *house { return newHouseWith(t, nil, nil) }

func newHouseWith(t *testing.T, g *groups, tweak func(*bridge.Config)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), locks: t.TempDir(), modem: filepath.Join(t.TempDir(), "modem"), groups: g, tweak: tweak}
	var err error
	h.emu, err = emulator.New(emulator.Config{Link: h.modem, Phones: []emulator.PhoneConfig{{Number: mobile}, {Number: mobile2}, {Number: mobile3}}})
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
	r := roster.New(nil)
	off := offline.New(offline.Config{})
	modules := []xmpp.Module{r, presence.New(r), off, disco.New(r), ping.New(r)}
	if h.groups != nil {
		c := muc.Config{Domain: conference, Groups: h.groups}
		if h.groups.archive {
			c.Archive = archive.New(archive.Config{})
		}
		modules = append(modules, muc.New(c))
	}
	h.server = routertest.Open(t, router.Config{Domain: office, Accounts: routertest.Accounts{"alice": true, "bob": true}, Store: lender{db}}, modules...)
	var stops []func()
	task := func(run func(context.Context) error) { stops = append(stops, h.server.Go(run)) }
	task(db.Run)
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
	c := bridge.Config{
		Network: h.net, Domain: gateway, Host: h.server.Router, Table: db.Table("bridge"), NetworkTable: db.Table("sms"), Outbox: h.queue,
		DefaultRecipients: func() []jid.JID { return []jid.JID{jid.MustParse("bob@" + office)} },
	}
	if h.groups != nil {
		c.Rooms = &bridge.Rooms{Domain: conference, Groups: h.groups, Name: h.groups.name, Wanted: h.net.May, Cost: h.net.Parts, Answer: h.net.AutoAnswer}
	}
	if h.tweak != nil {
		h.tweak(&c)
	}
	b, err := bridge.New(c)
	if err != nil {
		t.Fatal(err)
	}
	task(b.Run)
	h.stopBridge = func() {
		stops[len(stops)-1]()
		stops = stops[:len(stops)-1]
	}
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

func (h *house) login(local string) client {
	h.t.Helper()
	return client{h.server.Login(local+"@"+office+"/phone", "<iq xmlns='jabber:client' type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>",
		"<presence xmlns='jabber:client'/>")}
}

// TestAliceTextsAPhone is the second walk of the design: contact, text, receipt, answer.
func TestAliceTextsAPhone(t *testing.T) {
	h := newHouse(t)
	alice := h.login("alice")

	// Finding the gateway and the contact.
	alice.Say("<iq xmlns='jabber:client' type='get' id='d1' to='" + gateway + "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
	alice.gets("id='d1'", "category='gateway'", "type='sms'", "jabber:iq:gateway")
	alice.Say("<iq xmlns='jabber:client' type='set' id='g1' to='" + gateway + "'><query xmlns='jabber:iq:gateway'><prompt>0155 501-01</prompt></query></iq>")
	alice.gets("id='g1'", "<jid>"+contact+"</jid>")
	alice.Say("<iq xmlns='jabber:client' type='get' id='p1' to='" + gateway + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	alice.gets("id='p1'", "type='result'")
	alice.Say("<presence xmlns='jabber:client' type='subscribe' to='" + contact + "'/>")
	alice.gets("<presence", "type='subscribed'", "from='"+contact+"'")
	alice.gets("jabber:iq:roster", "jid='"+contact+"'", "subscription='to'")
	alice.gets("<presence", "from='"+contact+"'", "<status>SMS</status>")

	// A long text with emoji, and the receipt.
	text := strings.TrimSpace(strings.Repeat("Grüße aus dem Büro 👩‍🚒 € {ok} ", 9))
	alice.Say("<message xmlns='jabber:client' type='chat' id='m1' to='" + contact + "'><body>" + text + "</body><request xmlns='urn:xmpp:receipts'/></message>")
	phone := h.emu.Phone(mobile)
	until(t, "the text on the phone", func() bool { return slices.Equal(phone.Received(), []string{text}) })
	alice.gets("<received xmlns='urn:xmpp:receipts' id='m1'/>", "from='"+contact+"'")
	if alice.Holds() > 0 {
		t.Error("the stream's acknowledgement still waits")
	}

	// The answer, and one that finds nobody online.
	if err := phone.Send("Zurück: " + text); err != nil {
		t.Fatal(err)
	}
	alice.gets("<message", "from='"+contact+"'", "<body>Zurück: "+text+"</body>")
	alice.Leave()
	if err := phone.Send("Noch da?"); err != nil {
		t.Fatal(err)
	}
	until(t, "an empty storage", func() bool { return len(h.emu.Slots()) == 0 })
	alice = h.login("alice")
	alice.gets("<message", "Noch da?")

	// Refusals.
	alice.Say("<message xmlns='jabber:client' type='chat' id='m2' to='bob@" + gateway + "'><body>x</body></message>")
	alice.gets("type='error'", "id='m2'", "not a phone number")
	alice.Say("<message xmlns='jabber:client' type='chat' id='m3' to='" + contact + "'><body>" + strings.Repeat("x", 1000) + "</body></message>")
	alice.gets("type='error'", "id='m3'", "7 parts")
	h.emu.Network().Fail(emulator.Fault{Cause: 1})
	alice.Say("<message xmlns='jabber:client' type='chat' id='m4' to='" + contact + "'><body>x</body></message>")
	alice.gets("type='error'", "id='m4'", "item-not-found", "does not exist")
	alice.Say("<iq xmlns='jabber:client' type='get' id='x1' to='" + contact + "'><query xmlns='jabber:iq:last'/></iq>")
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
	alice.Say("<message xmlns='jabber:client' type='chat' id='m1' to='015550101@" + gateway + "'><body>Bist du da?</body><request xmlns='urn:xmpp:receipts'/></message>")
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
