package bridge

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	domain  = "sms.office.localhost"
	number  = "+4915550101"
	contact = number + "@" + domain
	alice   = "alice@office.localhost"
	phone   = alice + "/phone"
)

// server is the XMPP side: it keeps what the bridge sends.
type server struct {
	mu      sync.Mutex // guards what follows
	domain  xmpp.Domain
	sent    []*stanza.Stanza
	refuses map[jid.JID]error // by bare JID
	online  []jid.JID         // full JIDs
}

func (s *server) Domain(d xmpp.Domain) error { s.domain = d; return nil }
func (s *server) Log() *slog.Logger          { return slog.New(slog.DiscardHandler) }
func (s *server) Domainpart() string         { return "office.localhost" }

func (s *server) Send(_ context.Context, st *stanza.Stanza, done func(error)) {
	s.mu.Lock()
	err := s.refuses[st.To.Bare()]
	if err == nil {
		s.sent = append(s.sent, st)
	}
	s.mu.Unlock()
	if done != nil {
		done(err)
	}
}

func (s *server) Sessions(account jid.JID) []xmpp.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []xmpp.Session
	for _, j := range s.online {
		if j.Bare() == account {
			out = append(out, session{j: j})
		}
	}
	return out
}

type session struct {
	xmpp.Session
	j jid.JID
}

func (s session) JID() jid.JID { return s.j }

// take returns what was sent since the last call, as XML.
func (s *server) take() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, st := range s.sent {
		out = append(out, st.String())
	}
	s.sent = nil
	return out
}

// network is a House network that takes texts to numbers.
type network struct {
	mu    sync.Mutex // guards what follows
	texts []transports.Message
	err   error
	block chan struct{} // Send waits for it when not nil
	dials int
	sink  transports.Sink
	ends  chan error
}

func (n *network) Info() transports.Info {
	return transports.Info{Type: "sms", Name: "SMS", Scope: transports.House, Prompt: "Phone number", Desc: "Enter the number."}
}
func (n *network) Form() []transports.Field { return nil }

func (n *network) ContactID(typed string) (transports.ContactID, error) {
	num := strings.NewReplacer(" ", "", "-", "").Replace(typed)
	if strings.HasPrefix(num, "0") {
		num = "+49" + num[1:]
	}
	if !strings.HasPrefix(num, "+") {
		return "", &transports.Error{Kind: transports.NotFound, Text: "“" + typed + "” is not a phone number."}
	}
	return transports.ContactID(num), nil
}

func (n *network) Dial(context.Context, transports.Account, transports.Env) (transports.Session, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	return n, nil
}

func (n *network) Run(ctx context.Context, sink transports.Sink) error {
	n.mu.Lock()
	n.sink = sink
	n.mu.Unlock()
	if err := sink(ctx, transports.StatusEvent{Online: true, Text: "Testnet, signal -71 dBm"}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.ends:
		return err
	}
}

func (n *network) Send(_ context.Context, m transports.Message) (transports.Ref, error) {
	n.mu.Lock()
	block := n.block
	n.mu.Unlock()
	if block != nil {
		<-block
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return "", n.err
	}
	n.texts = append(n.texts, m)
	return transports.Ref("sms-1"), nil
}

func (n *network) last(t *testing.T) transports.Message {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.texts) == 0 {
		t.Fatal("no text was sent")
	}
	return n.texts[len(n.texts)-1]
}

// hold counts acknowledgements that wait.
type hold struct {
	mu   sync.Mutex // guards n, errs
	n    int
	errs []error
}

func (h *hold) Hold() func(error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	return func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n--
		h.errs = append(h.errs, err)
	}
}

func (h *hold) waiting() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

type rig struct {
	t    *testing.T
	b    *Bridge
	host *server
	net  *network
	hold *hold
	stop func()
}

func start(t *testing.T, tweak func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, host: &server{refuses: map[jid.JID]error{}, online: []jid.JID{jid.MustParse(phone)}},
		net: &network{ends: make(chan error)}, hold: &hold{}}
	c := Config{Network: r.net, Domain: domain, Host: r.host, Table: routertest.NewStore().Table("bridge"),
		DefaultRecipients: func() []jid.JID { return []jid.JID{jid.MustParse("carol@office.localhost")} }}
	if tweak != nil {
		tweak(&c)
	}
	r.run(c)
	return r
}

func (r *rig) run(c Config) {
	var err error
	if r.b, err = New(c); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.b.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}()
	r.stop = func() { cancel(); <-ended }
	synctest.Wait()
}

// do hands the bridge one stanza and returns the error it is answered with.
func (r *rig) do(xml string) (xmpp.Verdict, *stanza.Error) {
	r.t.Helper()
	st, err := stanza.Parse(xml)
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := r.b.Handle(r.t.Context(), &xmpp.Delivery{Stanza: st, Hold: r.hold})
	synctest.Wait()
	if err == nil {
		return v, nil
	}
	var se *stanza.Error
	if !errors.As(err, &se) {
		r.t.Fatalf("error %v", err)
	}
	return v, se
}

// message writes to addr.
func (r *rig) message(to, id, inner string) *stanza.Error {
	r.t.Helper()
	_, err := r.do("<message xmlns='jabber:client' type='chat' id='" + id + "' from='" + phone + "' to='" + to + "'>" + inner + "</message>")
	return err
}

func (r *rig) event(e transports.Event) error {
	r.t.Helper()
	return r.net.sink(r.t.Context(), e)
}

func (r *rig) arrives(ref, body string) error {
	return r.event(transports.Incoming{Message: transports.Message{From: number, Body: body, Ref: transports.Ref(ref)}})
}

// one wants exactly one stanza sent, with all of these parts in it.
func (r *rig) one(parts ...string) {
	r.t.Helper()
	got := r.host.take()
	if len(got) != 1 {
		r.t.Fatalf("sent %d: %s", len(got), strings.Join(got, "\n"))
	}
	has(r.t, got[0], parts...)
}

func has(t *testing.T, xml string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(xml, p) {
			t.Fatalf("no %q in %s", p, xml)
		}
	}
}

func (r *rig) none() {
	r.t.Helper()
	if got := r.host.take(); len(got) != 0 {
		r.t.Fatalf("sent %s", strings.Join(got, "\n"))
	}
}

func contains(l []string, parts ...string) bool {
	return slices.ContainsFunc(l, func(s string) bool {
		for _, p := range parts {
			if !strings.Contains(s, p) {
				return false
			}
		}
		return true
	})
}
