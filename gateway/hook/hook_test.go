package hook

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/store"
	"doorway/modem"
	"doorway/transports"
)

// rig is Hooks on a store, which can be stopped and opened again.
type rig struct {
	*Hooks
	t    *testing.T
	dir  string
	stop func()
}

func anywhere(netip.Addr) error { return nil }

func open(t *testing.T, dir string, permit func(netip.Addr) error) *rig {
	t.Helper()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }() // waited for by stop
	h, err := Open(Options{Store: s, Permit: permit})
	if err != nil {
		t.Fatal(err)
	}
	h.pauses = []time.Duration{20 * time.Millisecond}
	return &rig{Hooks: h, t: t, dir: dir, stop: func() {
		cancel()
		if err := errors.Join(<-done, s.Check(), s.Close()); err != nil {
			t.Error(err)
		}
	}}
}

// run delivers until the returned function is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // waited for by the returned function
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

// receiver keeps what it gets and answers with the codes, the last one again and again.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	codes []int
	got   []http.Header
	body  []string
	line  []string // method and address
}

func newReceiver(t *testing.T, codes ...int) *receiver {
	r := &receiver{codes: codes}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.body, r.line = append(r.got, req.Header), append(r.body, string(b)), append(r.line, req.Method+" "+req.RequestURI)
		code := r.codes[0]
		if len(r.codes) > 1 {
			r.codes = r.codes[1:]
		}
		if code == http.StatusFound {
			w.Header().Set("Location", r.URL+"/elsewhere")
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// last is the newest request.
func (r *receiver) last() (http.Header, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[len(r.got)-1], r.body[len(r.body)-1]
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited too long for " + what)
		}
	}
}

// last is the newest delivery of a hook.
func (r *rig) last(id string) Delivery {
	r.t.Helper()
	l, err := r.Deliveries(id, 1)
	if err != nil || len(l) != 1 {
		r.t.Fatalf("%+v %v", l, err)
	}
	return l[0]
}

// An event survives a restart, is tried again after errors under the same id, and signed so that an independent
// program agrees.
func TestDeliveredAfterErrorsAndRestart(t *testing.T) {
	to := newReceiver(t, 500, 302, 503, 204)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	hook, secret, err := r.Add(Hook{URL: to.URL + "/x", Events: []string{SMSReceived, SMSReceived}}, "")
	if err != nil || len(hook.Events) != 1 {
		t.Fatalf("%+v %v", hook, err)
	}
	for range 2 { // the same event twice
		if taken, err := r.Incoming(t.Context(), transports.Message{From: "+4915550101", Body: "Grüße & 👍", Ref: "in-1"}); taken || err != nil {
			t.Fatal(taken, err)
		}
	}
	if err := r.Receipt(t.Context(), transports.Receipt{Ref: "sms-1", State: transports.Delivered}); err != nil { // not wanted
		t.Fatal(err)
	}
	r.stop()
	r = open(t, r.dir, anywhere)
	defer r.stop()
	defer r.run()()
	until(t, "the delivery", func() bool { return r.last(hook.ID).State == transports.Delivered })
	if n := to.count(); n != 4 {
		t.Errorf("%d requests", n)
	}
	var body struct {
		Type, Timestamp string
		Data            received
	}
	if err := json.Unmarshal([]byte(to.body[3]), &body); err != nil || body.Type != SMSReceived || body.Data.Text != "Grüße & 👍" || body.Data.ID != "in-1" {
		t.Errorf("%s: %v", to.body[3], err)
	}
	id := to.got[0].Get("webhook-id")
	for i, h := range to.got {
		if h.Get("webhook-id") != id || id == "" || to.body[i] != to.body[0] {
			t.Errorf("try %d has another id or body", i)
		}
	}
	openssl(t, secret, to.got[3], to.body[3])
}

// openssl computes the signature anew.
func openssl(t *testing.T, secret string, h http.Header, body string) {
	t.Helper()
	if want := opensslSign(t, secret, h, body); h.Get("webhook-signature") != want {
		t.Errorf("signature %q, want %q", h.Get("webhook-signature"), want)
	}
}

func opensslSign(t *testing.T, secret string, h http.Header, body string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the Debian package openssl")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, SecretPrefix))
	if err != nil || len(key) != 32 {
		t.Fatalf("secret %q: %v", secret, err)
	}
	cmd := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hexOf(key), "-binary")
	cmd.Stdin = strings.NewReader(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return "v1," + base64.StdEncoding.EncodeToString(out)
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// 410 switches a hook off; a test still goes out, and enabling brings the events back.
func TestGone(t *testing.T) {
	to := newReceiver(t, 410, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	defer r.run()()
	hook, _, err := r.Add(Hook{URL: to.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Emit(t.Context(), SMSAccepted, "a", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the end", func() bool { return r.last(hook.ID).State == transports.Failed })
	if h, err := r.Get(hook.ID); err != nil || !strings.Contains(h.Off, "410") {
		t.Errorf("%+v %v", h, err)
	}
	if err := r.Emit(t.Context(), SMSAccepted, "b", nil); err != nil || to.count() != 1 {
		t.Error("still told", err)
	}
	if _, err := r.TestHook(t.Context(), hook.ID); err != nil {
		t.Fatal(err)
	}
	until(t, "the test", func() bool { return r.last(hook.ID).State == transports.Delivered })
	if err := r.Enable(hook.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Emit(t.Context(), SMSAccepted, "c", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the event", func() bool { return to.count() == 3 })
	if err := r.Remove(hook.ID); err != nil || len(r.List()) != 0 {
		t.Error(err)
	}
	if err := r.Remove(hook.ID); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// The machine itself is not called, whatever name leads there.
func TestForbiddenAddresses(t *testing.T) {
	to := newReceiver(t, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), nil)
	defer r.stop()
	defer r.run()()
	port := to.URL[strings.LastIndexByte(to.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.1.1"} {
		hook, _, err := r.Add(Hook{URL: "http://" + host + port}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.TestHook(t.Context(), hook.ID); err != nil {
			t.Fatal(err)
		}
		until(t, "the refusal of "+host, func() bool { return r.last(hook.ID).State == transports.Failed })
		if d := r.last(hook.ID); !strings.Contains(d.Error, "another machine") {
			t.Errorf("%s: %s", host, d.Error)
		}
	}
	if to.count() != 0 {
		t.Error("the machine was called")
	}
	for a, ok := range map[string]bool{"192.168.1.5": true, "10.1.2.3": true, "93.184.216.34": true, "::ffff:127.0.0.1": false, "fe80::1": false, "ff02::1": false, "255.255.255.255": false, "2001:db8::1": true} {
		if err := permit(netip.MustParseAddr(a)); (err == nil) != ok {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestRefusedHooks(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "data"), nil)
	defer r.stop()
	for _, h := range []Hook{{URL: "intranet"}, {URL: "ftp://x/"}, {URL: "https://a:b@x/"}, {URL: "https://x", Events: []string{"all"}}} {
		var e *Error
		if _, _, err := r.Add(h, ""); !errors.As(err, &e) || !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// A delivery is given up after a day.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, filepath.Join(t.TempDir(), "data"), func(netip.Addr) error { return errors.New("no network") })
		defer r.stop()
		r.pauses = pauses[:]
		stop := r.run()
		defer stop()
		hook, _, err := r.Add(Hook{URL: "http://127.0.0.1:9"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Emit(t.Context(), SMSAccepted, "a", nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Hour)
		if d := r.last(hook.ID); d.State != transports.RetryWait || d.Next.IsZero() {
			t.Errorf("%+v", d)
		}
		<-time.After(20 * time.Hour)
		if d := r.last(hook.ID); d.State != transports.Failed || d.Attempts < 9 || d.Attempts > 14 {
			t.Errorf("%+v", d)
		}
		// What was given up can be sent again for a week; a receiver that is away for good does not fill the disk.
		<-time.After(keepGiven - 12*time.Hour)
		if l, err := r.Deliveries(hook.ID, 10); err != nil || len(l) != 1 {
			t.Errorf("%+v %v", l, err)
		}
		<-time.After(24 * time.Hour)
		if l, err := r.Deliveries(hook.ID, 10); err != nil || len(l) != 0 || r.Counts()[transports.Failed] != 0 {
			t.Errorf("%+v %v %v", l, err, r.Counts())
		}
	})
}

// A text that fails, is put back by a person and fails again is told twice, and each time once.
func TestFailedAgain(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	hook, _, err := r.Add(Hook{URL: "http://127.0.0.1:9"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []int{0, 0, 1, 1} { // receipts are offered again after a restart
		if err := r.Receipt(t.Context(), transports.Receipt{Ref: "sms-1", State: transports.Failed, Again: again}); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := r.Deliveries(hook.ID, 10); err != nil || len(l) != 2 {
		t.Errorf("%+v %v", l, err)
	}
}

// A modem that is away for a moment is no news.
func TestModemEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
		defer r.stop()
		hook, _, err := r.Add(Hook{URL: "http://127.0.0.1:9"}, "")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		state := modem.Ready
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { // waited for below
			done <- r.Watch(ctx, func() []modem.Status {
				mu.Lock()
				defer mu.Unlock()
				return []modem.Status{{Name: "gsm0", State: state}}
			})
		}()
		set := func(s modem.State, d time.Duration) {
			mu.Lock()
			state = s
			mu.Unlock()
			<-time.After(d)
		}
		set(modem.Ready, time.Minute)
		set(modem.Searching, 50*time.Second)
		set(modem.Ready, time.Minute)
		set(modem.Absent, 2*time.Minute)
		set(modem.Ready, time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l, err := r.Deliveries(hook.ID, 10)
		if err != nil || len(l) != 2 || l[1].Event != ModemDown || l[0].Event != ModemUp {
			t.Errorf("%+v %v", l, err)
		}
	})
}

// A receiver with TLS is told when its certificate is signed by who is trusted, and not otherwise.
func TestTLS(t *testing.T) {
	var calls atomic.Int32
	to := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusEarlyHints) // 1xx comes before the answer
		w.WriteHeader(http.StatusAccepted)
	}))
	defer to.Close()
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	r.o.Roots = x509.NewCertPool()
	defer r.run()()
	hook, _, err := r.Add(Hook{URL: to.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	test := func(want transports.State) {
		t.Helper()
		if _, err := r.TestHook(t.Context(), hook.ID); err != nil {
			t.Fatal(err)
		}
		until(t, "the delivery", func() bool { s := r.last(hook.ID).State; return s == want })
	}
	test(transports.Failed)
	if d := r.last(hook.ID); !strings.Contains(d.Error, "certificate") || calls.Load() != 0 {
		t.Errorf("%s, %d calls", d.Error, calls.Load())
	}
	r.o.Roots.AddCert(to.Certificate())
	test(transports.Delivered)
}

// A receiver that says nothing, or nonsense, is an error and not a hang.
func TestSilentReceiver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{"", "SSH-2.0-x\r\n", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", maxAnswer)}
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		for _, a := range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(c, make([]byte, 4096), 1) // ignored: whatever came
			_, _ = io.WriteString(c, a)                     // ignored: it is what a client makes of it
			c.Close()
		}
	}()
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	for _, a := range answers {
		code, err := r.post(t.Context(), record{Hook: Hook{URL: "http://" + l.Addr().String() + "/?key=secret"}}, payload{ID: "x", Body: []byte("{}")}, 1)
		if err == nil || code != 0 || strings.Contains(reason(code, err), "secret") {
			t.Errorf("%.20q: %d %v", a, code, err)
		}
	}
	<-done
}
