package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/gateway/hook"
	"doorway/transports"
)

const (
	apartEnv  = "DOORWAY_TEST_APART" // the program, which is built outside
	elsewhere = "192.0.2.1"          // RFC 5737; leads back to the namespace without being an address of its interfaces
)

// apart runs a test in a network namespace of its own, in which elsewhere seems to be another machine: the program
// calls no address of the one it runs on. It reports whether the caller is in there.
func apart(t *testing.T) bool {
	t.Helper()
	needPeer(t, "unshare", "util-linux")
	needPeer(t, "ip", "iproute2")
	if os.Getenv(apartEnv) != "" {
		return true
	}
	script := `ip link set lo up && ip route add local ` + elsewhere + `/32 dev lo && exec "$@"`
	if out, err := exec.CommandContext(t.Context(), "unshare", "-Urn", "sh", "-c", script, "sh", "true").CombinedOutput(); err != nil {
		t.Skipf("this system allows no network namespaces: %v %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-Urn", "sh", "-c", script, "sh", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=5m", "-test.v")
	cmd.Env = append(os.Environ(), apartEnv+"="+program(t))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// request is what a receiver got.
type request struct {
	head http.Header
	line string // method and address
	body string
}

// receiver answers with codes, the last one again and again, and keeps what it gets.
type receiver struct {
	url   string
	mu    sync.Mutex // guards what follows
	codes []int
	got   []request
}

func newReceiver(t *testing.T, codes ...int) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", elsewhere+":0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + l.Addr().String() + "/in", codes: codes}
	srv := &http.Server{Handler: r}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // waited for by the cleanup
	t.Cleanup(func() {
		_ = srv.Close() // ignored: the listener goes with it
		<-done
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, request{req.Header, req.Method + " " + req.RequestURI, string(b)})
	w.WriteHeader(r.codes[0])
	if len(r.codes) > 1 {
		r.codes = r.codes[1:]
	}
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// signedBy reports whether openssl makes one of a request's signatures with a secret.
func (q request) signedBy(t *testing.T, secret string) bool {
	t.Helper()
	needPeer(t, "openssl", "openssl")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, hook.SecretPrefix))
	if err != nil || len(key) != 32 {
		t.Fatalf("%q: %v", secret, err)
	}
	cmd := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString(key), "-binary")
	cmd.Stdin = strings.NewReader(q.head.Get("webhook-id") + "." + q.head.Get("webhook-timestamp") + "." + q.body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Split(q.head.Get("webhook-signature"), " "), "v1,"+base64.StdEncoding.EncodeToString(out))
}

// TestWebhookOfTheProgram has a phone text in: the event reaches another machine although that answers an error first and
// the program is killed before it tries again. Then a rotation, a delivery by hand, and 410.
func TestWebhookOfTheProgram(t *testing.T) {
	if !apart(t) {
		return
	}
	s := newSMSBox(t)
	to := newReceiver(t, 204, 500, 200, 200, 200, 410, 200)
	add := func(args ...string) (made control.WebhookMade) {
		t.Helper()
		out, code := s.run(t, "the key\n", append([]string{"webhook", "add", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
			t.Fatal(code, out, err)
		}
		return made
	}
	h := add(to.url, "--event", "sms.received")
	cli := func(code int, says string, args ...string) string {
		t.Helper()
		out, got := s.run(t, "", append([]string{"webhook"}, args...)...)
		if got != code || !strings.Contains(out, says) {
			t.Errorf("webhook %v: %d %s", args, got, out)
		}
		return out
	}
	cli(0, "answered 204", "test", h.ID)
	if err := s.client.Send(t.Context(), demoQuiet, "Grüße"); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func() (bool, string) {
		out, _ := s.run(t, "", "webhook", "show", h.ID)
		return strings.Contains(out, "retry-wait answer 500"), out
	})
	s.process.kill(t)
	s.box.start(t)
	until(t, time.Minute, func() (bool, string) { return len(to.requests()) >= 3, "the event does not come again" })
	got := to.requests()
	if a, b := got[1], got[2]; a.head.Get("webhook-id") != b.head.Get("webhook-id") || a.body != b.body || !strings.Contains(b.body, "Grüße") || !b.signedBy(t, h.Secret) {
		t.Errorf("%+v\n%+v", a, b)
	}
	until(t, time.Minute, func() (bool, string) {
		out, _ := s.run(t, "", "webhook", "show", h.ID)
		return strings.Contains(out, "delivered  answer 200"), out
	})

	out, code := s.run(t, "", "webhook", "rotate", h.ID, "--overlap", "1h", "--json")
	var rotated control.WebhookMade
	if err := json.Unmarshal([]byte(out), &rotated); code != 0 || err != nil || rotated.Secret == h.Secret {
		t.Fatal(code, out, err)
	}
	list, _ := s.run(t, "", "webhook", "show", h.ID, "--json")
	var deliveries []hook.Delivery
	if err := json.Unmarshal([]byte(list), &deliveries); err != nil || len(deliveries) != 2 || deliveries[0].State != transports.Delivered || deliveries[0].Attempts < 2 {
		t.Fatal(list, err)
	}
	cli(0, "answered 200", "resend", h.ID, strconv.FormatUint(deliveries[0].ID, 10))
	got = to.requests()
	if q := got[3]; q.head.Get("webhook-id") != got[1].head.Get("webhook-id") || !q.signedBy(t, h.Secret) || !q.signedBy(t, rotated.Secret) {
		t.Errorf("%+v", q)
	}

	eagle := add(to.url+"?box=1", "--style", "smseagle", "--method", "GET", "--api-key")
	cli(0, "answered 200", "test", eagle.ID)
	if q := to.requests()[4]; !strings.HasPrefix(q.line, "GET /in?box=1&apikey=the+key&msgid=") || q.body != "" {
		t.Errorf("%+v", q)
	}
	cli(1, "410", "test", eagle.ID)
	cli(0, "switched off", "list")
	cli(0, "is told of events again", "enable", eagle.ID)
}
