package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorway/gateway/hook"
	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/gateway/token"
	"doorway/modem"
	"doorway/modem/pdu"
	"doorway/transports"
	"doorway/transports/sms"
)

// deaf is a modem that is searching for its network, and hears what a test puts into it.
type deaf struct {
	modem.Modem
	inbox chan modem.Stored
}

func (d *deaf) Inbox() <-chan modem.Stored  { return d.inbox }
func (d *deaf) Late() <-chan modem.Late     { return nil }
func (d *deaf) Changed() <-chan struct{}    { return nil }
func (d *deaf) Probe(context.Context) error { return nil }
func (d *deaf) Status() modem.Status {
	return modem.Status{Name: "gsm0", State: modem.Searching, Text: "No network."}
}

// replies is a table that can be made to fail.
type replies struct {
	*store.Table
	broken atomic.Bool
}

func (r *replies) Write(c map[string]any) error {
	if r.broken.Load() {
		return errors.New("disk full")
	}
	return r.Table.Write(c)
}

// box is the API on everything behind it, with a modem that sends nothing.
type box struct {
	t       *testing.T
	dir     string
	store   *store.Store
	api     *Server
	queue   *queue.Queue
	hooks   *hook.Hooks
	tokens  *token.Book
	replies *replies
	modem   *deaf
	ready   atomic.Bool
	url     string
	stop    func()
}

func openBox(t *testing.T, dir string) *box {
	t.Helper()
	b := &box{t: t, dir: dir, modem: &deaf{inbox: make(chan modem.Stored)}}
	b.ready.Store(true)
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	b.store = s
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup // waited for by stop
	run := func(ctx context.Context, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	storeCtx, storeStop := context.WithCancel(context.Background())
	storeDone := make(chan error, 1)
	go func() { storeDone <- s.Run(storeCtx) }() // waited for by stop
	die := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b.queue, err = queue.Open(s, queue.Options{Network: "sms"})
	die(err)
	n := sms.New(sms.Config{Country: "49", Modems: []modem.Modem{b.modem}, PerDay: 60})
	ses, err := n.Dial(ctx, transports.Account{}, transports.Env{Table: s.Table("sms"), Outbox: b.queue})
	die(err)
	b.tokens, err = token.Open(s.Table("tokens"), time.Now)
	die(err)
	b.hooks, err = hook.Open(hook.Options{Store: s, Permit: func(netip.Addr) error { return nil }})
	die(err)
	run(ctx, func(ctx context.Context) error {
		return ses.Run(ctx, func(ctx context.Context, e transports.Event) error {
			switch e := e.(type) {
			case transports.Incoming:
				_, err := b.hooks.Incoming(ctx, e.Message)
				return err
			case transports.Receipt:
				return b.hooks.Receipt(ctx, e)
			}
			return nil
		})
	})
	run(ctx, b.hooks.Run)
	b.replies = &replies{Table: s.Table("api_replies")}
	b.api = New(Config{Overview: example, Ready: b.ready.Load, Token: "the box's own secret", Tokens: b.tokens, Replies: b.replies,
		SMS: n, Queue: b.queue, Hooks: b.hooks, Log: slog.New(slog.DiscardHandler)})
	run(ctx, b.api.Run)
	web := httptest.NewServer(b.api)
	b.url = web.URL
	b.stop = func() {
		web.Close()
		cancel()
		wg.Wait()
		storeStop()
		if err := errors.Join(<-storeDone, s.Check(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	return b
}

func newBox(t *testing.T) *box { return openBox(t, filepath.Join(t.TempDir(), "data")) }

// key makes a token with scopes.
func (b *box) key(name string, scopes ...string) string {
	b.t.Helper()
	_, secret, err := b.tokens.Add(token.Token{Name: name, Scopes: scopes})
	if err != nil {
		b.t.Fatal(err)
	}
	return secret
}

// hear has the modem receive a text.
func (b *box) hear(from, text string) {
	b.t.Helper()
	tpdus, err := pdu.EncodeDeliver(text, pdu.DeliverOptions{From: pdu.Number{Digits: from[1:], TON: pdu.International}, Time: time.Now()})
	if err != nil {
		b.t.Fatal(err)
	}
	gone := make(chan struct{})
	select {
	case b.modem.inbox <- modem.Stored{Modem: "gsm0", TPDU: tpdus[0], At: time.Now(), Delete: func(context.Context) error { close(gone); return nil }}:
	case <-time.After(30 * time.Second):
		b.t.Fatal("the modem is not read")
	}
	select {
	case <-gone:
	case <-time.After(30 * time.Second):
		b.t.Fatal("the text is not deleted")
	}
}

// answer is what the API said.
type answer struct {
	code int
	http.Header
	body string
}

// ask makes one request. header lines are name, value, name, value.
func (b *box) ask(method, path, secret, body string, header ...string) answer {
	b.t.Helper()
	return b.askAt(b.url, method, path, secret, body, header...)
}

// askAt asks another server.
func (b *box) askAt(url, method, path, secret, body string, header ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, string(raw)}
}
