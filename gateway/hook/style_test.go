package hook

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/transports"
)

// fields takes a form apart with another program than the one that made it.
func fields(t *testing.T, form string) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs the Debian package python3")
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", "import json,sys,urllib.parse as u; print(json.dumps(dict(u.parse_qsl(sys.stdin.read(), True, True))))")
	cmd.Stdin = strings.NewReader(form)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return m
}

// A text that came in and one that was sent, in each style and method: what a receiver reads.
func TestStyles(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	text := "Grüße & 👍 = 100 % + mehr\nZeile 2"
	local := at.Local().Format("20060102150405")
	for _, c := range []struct {
		name   string
		hook   Hook
		apiKey string
		line   string // method and address without the query that is added
		want   []map[string]string
	}{
		{"form", Hook{Style: Form}, "", "POST /x?a=b", []map[string]string{
			{"type": SMSReceived, "timestamp": at.Format(time.RFC3339), "id": "in-1", "from": "+4915550101", "text": text, "received_at": at.Format(time.RFC3339)},
			{"type": SMSFailed, "timestamp": at.Format(time.RFC3339), "id": "sms-1", "to": "+4915550102", "state": "failed", "at": at.Format(time.RFC3339), "cause": "No."},
		}},
		{"smseagle", Hook{Style: SMSEagle}, "k&y", "POST /x?a=b", []map[string]string{{"sender": "+4915550101", "timestamp": local, "text": text, "apikey": "k&y"}}},
		{"smseagle by GET", Hook{Style: SMSEagle, Method: http.MethodGet}, "", "GET /x?a=b&", []map[string]string{{"sender": "+4915550101", "timestamp": local, "text": text, "apikey": ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := newReceiver(t, 500, 200)
			r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
			defer r.stop()
			r.o.Now = func() time.Time { return at }
			c.hook.URL = to.URL + "/x?a=b"
			hook, secret, err := r.Add(c.hook, c.apiKey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Incoming(t.Context(), transports.Message{From: "+4915550101", Body: text, Ref: "in-1"}); err != nil {
				t.Fatal(err)
			}
			stop := r.run()
			defer stop()
			until(t, "the delivery", func() bool { return r.last(hook.ID).State == transports.Delivered })
			if err := r.Receipt(t.Context(), transports.Receipt{Ref: "sms-1", To: "+4915550102", State: transports.Failed, At: at, Err: &transports.Error{Text: "No."}}); err != nil {
				t.Fatal(err)
			}
			until(t, "the second delivery", func() bool { return to.count() == 1+len(c.want) })
			again, err := r.Resend(t.Context(), hook.ID, r.last(hook.ID).ID)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := r.Wait(t.Context(), again); err != nil || d.State != transports.Delivered {
				t.Errorf("%+v %v", d, err)
			}
			to.mu.Lock()
			defer to.mu.Unlock()
			for i := range to.got {
				line, content := to.line[i], to.body[i]
				if hook.Method == http.MethodGet {
					line, content = line[:len(c.line)], line[len(c.line):]
				} else if to.got[i].Get("Content-Type") != "application/x-www-form-urlencoded" {
					t.Errorf("%v", to.got[i])
				}
				got, want := fields(t, content), c.want[min(max(i-1, 0), len(c.want)-1)]
				if hook.Style == SMSEagle && got["msgid"] != "1" { // also the second and the third time
					t.Errorf("number %q", got["msgid"])
				}
				delete(got, "msgid")
				if line != c.line || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v, want %v", to.line[i], got, want)
				}
				openssl(t, secret, to.got[i], content)
			}
		})
	}
}

func TestRefusedStyles(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "data"), nil)
	defer r.stop()
	for _, c := range []struct {
		hook   Hook
		apiKey string
	}{
		{Hook{Style: "xml"}, ""}, {Hook{Method: "PUT"}, ""}, {Hook{Method: "GET"}, ""}, {Hook{Style: Form, Method: "GET"}, ""}, {Hook{Style: Form}, "key"},
		{Hook{Style: SMSEagle, Events: []string{SMSFailed}}, ""}, {Hook{Style: SMSEagle, Events: []string{SMSReceived, ModemUp}}, ""},
		{Hook{Style: SMSEagle}, "a\nb"}, {Hook{Style: SMSEagle}, strings.Repeat("x", 201)},
	} {
		c.hook.URL = "https://intranet.example/"
		var e *Error
		if h, _, err := r.Add(c.hook, c.apiKey); !errors.As(err, &e) || !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// A webhook that was made before there were styles has the first one.
func TestHookWithoutStyle(t *testing.T) {
	to := newReceiver(t, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	if err := r.table.Write(map[string]any{"h": map[string]any{"v": 1, "id": "h", "url": to.URL, "events": nil, "created": time.Now(), "secret": make([]byte, 32)}}); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = open(t, r.dir, anywhere)
	defer r.stop()
	defer r.run()()
	if h, err := r.Get("h"); err != nil || h.Style != Doorway || h.Method != http.MethodPost {
		t.Fatalf("%+v %v", h, err)
	}
	id, err := r.TestHook(t.Context(), "h")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := r.Wait(t.Context(), id); err != nil || d.State != transports.Delivered {
		t.Errorf("%+v %v", d, err)
	}
	if _, body := to.last(); !strings.Contains(body, `"type":"webhook.test"`) {
		t.Error(body)
	}
}

// During a rotation there are two signatures, of which each secret makes one; the check in docs/api.md takes either.
func TestRotation(t *testing.T) {
	to := newReceiver(t, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	hook, first, err := r.Add(Hook{URL: to.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, overlap := range []time.Duration{-1, maxOverlap + 1} {
		if _, _, err := r.Rotate(hook.ID, overlap); !errors.Is(err, ErrRefused) {
			t.Errorf("%v: %v", overlap, err)
		}
	}
	if _, _, err := r.Rotate("none", 0); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	got, second, err := r.Rotate(hook.ID, time.Hour)
	if err != nil || got.OldUntil.IsZero() || second == first {
		t.Fatalf("%+v %v", got, err)
	}
	r.stop()
	r = open(t, r.dir, anywhere)
	defer r.stop()
	defer r.run()()
	deliver := func(secrets ...string) {
		t.Helper()
		id, err := r.TestHook(t.Context(), hook.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := r.Wait(t.Context(), id); err != nil || d.State != transports.Delivered || d.Code != 200 {
			t.Fatalf("%+v %v", d, err)
		}
		h, body := to.last()
		var want []string
		for _, s := range secrets {
			want = append(want, opensslSign(t, s, h, body))
		}
		if got := h.Get("webhook-signature"); got != strings.Join(want, " ") {
			t.Errorf("signatures %q, want %q", got, want)
		}
		for _, s := range []string{first, second} {
			if ok := documented(t, s, h, body); ok != strings.Contains(strings.Join(secrets, " "), s) {
				t.Errorf("the documented check says %v", ok)
			}
		}
	}
	deliver(second, first)
	if l := r.List(); l[0].OldUntil.IsZero() {
		t.Errorf("%+v", l)
	}
	now := time.Now().Add(time.Hour + time.Second)
	r.o.Now = func() time.Time { return now }
	deliver(second)
	if l := r.List(); !l[0].OldUntil.IsZero() {
		t.Errorf("%+v", l)
	}
	_, third, err := r.Rotate(hook.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	deliver(third)
}

// The example in docs/api.md is what a receiver gets, and its signature is right.
func TestDocumentedExample(t *testing.T) {
	raw, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "```\nPOST ")
	text, _, _ = strings.Cut(text, "\n```")
	head, body, ok := strings.Cut(text, "\n\n")
	secret := regexp.MustCompile("whsec_[A-Za-z0-9+/=]{44}").FindString(string(raw))
	if !ok || secret == "" {
		t.Fatal("there is no example")
	}
	h := http.Header{}
	for _, line := range strings.Split(head, "\n")[1:] {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	openssl(t, secret, h, body)
	if !documented(t, secret, h, body) {
		t.Error("the documented check does not take the documented example")
	}
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	to := newReceiver(t, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	r.o.Now = func() time.Time { return at }
	defer r.run()()
	hook, _, err := r.Add(Hook{URL: to.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Incoming(t.Context(), transports.Message{From: "+4915550101", Body: "on my way", Ref: "in-4a73f1c09b2e5d8877aa01c3"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the delivery", func() bool { return r.last(hook.ID).State == transports.Delivered })
	got, sent := to.last()
	if sent != body || got.Get("webhook-timestamp") != h.Get("webhook-timestamp") || len(got.Get("webhook-id")) != len(h.Get("webhook-id")) {
		t.Errorf("%v %s, documented %v %s", got, sent, h, body)
	}
	for name := range h {
		if got.Get(name) == "" {
			t.Errorf("there is no header %s", name)
		}
	}
}

// documented checks a delivery as docs/api.md has it.
func documented(t *testing.T, secret string, h http.Header, body string) bool {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs the Debian package python3")
	}
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(doc), "```python\n")
	code, _, end := strings.Cut(code, "```")
	if !ok || !end {
		t.Fatal("docs/api.md shows no check")
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", "import base64,hmac,sys\nsecret,id,timestamp,signature=sys.argv[1:]\nbody=sys.stdin.buffer.read()\n"+code+"print(ok)",
		secret, h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"))
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out)) == "True"
}

// FuzzEagle feeds the forms with bodies as a damaged disk might hold them.
func FuzzEagle(f *testing.F) {
	for _, s := range []string{`{"type":"sms.received","timestamp":"2026-11-22T20:00:00Z","data":{"from":"1","text":"x"}}`, `{"data":{"a":[1,{"b":null}]}}`, `{`, `null`, `{"data":3}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, encode := range []func() (url.Values, error){
			func() (url.Values, error) { return form([]byte(body)) },
			func() (url.Values, error) { return eagle([]byte(body), 1, "") },
		} {
			v, err := encode()
			if back, bad := url.ParseQuery(v.Encode()); err == nil && (bad != nil || !reflect.DeepEqual(back, v)) {
				t.Errorf("%v: %v %v", v, back, bad)
			}
		}
	})
}
