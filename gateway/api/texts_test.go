package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/token"
	"doorway/transports"
	"doorway/transports/sms"
)

func until(t *testing.T, f func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited too long")
		}
	}
}

func mustJob(t *testing.T, id string) uint64 {
	t.Helper()
	n, ok := sms.JobID(transports.Ref(id))
	if !ok {
		t.Fatalf("id %q", id)
	}
	return n
}

// finish has a text be sent.
func finish(t *testing.T, b *box, id uint64) {
	t.Helper()
	ok, err := b.queue.Update(t.Context(), id, func(j *transports.Job) bool { j.State = transports.Accepted; return true })
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func (b *box) texts() []transports.Job {
	b.t.Helper()
	l, err := b.queue.List(transports.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// The same key gets the same answer and sends once, also after a restart; another body is refused.
func TestIdempotencyKey(t *testing.T) {
	b := newBox(t)
	secret, other := b.key("a", token.SMSSend), b.key("b", token.SMSSend)
	body := `{"to":["+4915550101","+4915550102","bob"],"text":"hi"}`
	first := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k1")
	if first.code != 202 || first.Get("Idempotency-Replayed") != "" || len(b.texts()) != 2 {
		t.Fatalf("%+v", first)
	}
	same := func() {
		t.Helper()
		a := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k1")
		if a.code != 202 || a.body != first.body || a.Get("Idempotency-Replayed") != "true" || len(b.texts()) != 2 {
			t.Errorf("%+v, %d texts", a, len(b.texts()))
		}
	}
	same()
	if a := b.ask("POST", "/api/v1/sms", secret, body+" ", "Idempotency-Key", "k1"); a.code != 422 || !strings.Contains(a.body, "idempotency-mismatch") {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 256), "ü"} {
		if a := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", bad); a.code != 400 {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	if a := b.ask("POST", "/api/v1/sms", secret, `{"to":["bob"],"text":"x"}`, "Idempotency-Key", "k2"); a.code != 422 {
		t.Errorf("%+v", a)
	}
	if a := b.ask("POST", "/api/v1/sms", secret, `{"to":["+4915550103"],"text":"x"}`, "Idempotency-Key", "k2"); a.code != 202 {
		t.Errorf("the key of a refused request is not free: %+v", a)
	}
	if a := b.ask("POST", "/api/v1/sms", other, `{"to":["+4915550104"],"text":"x"}`, "Idempotency-Key", "k1"); a.code != 202 {
		t.Errorf("keys of another token: %+v", a)
	}
	b.stop()
	b = openBox(t, b.dir)
	defer b.stop()
	if n := len(b.texts()); n != 4 {
		t.Fatalf("%d texts after the restart", n)
	}
	a := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k1")
	if a.body != first.body || a.Get("Idempotency-Replayed") != "true" || len(b.texts()) != 4 {
		t.Errorf("%+v", a)
	}
	if err := b.api.prune(time.Now().Add(replyAge + time.Hour)); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := b.replies.Range("", "", false, func(string, []byte) bool { n++; return true }); err != nil || n != 0 {
		t.Errorf("%d replies are kept for ever, %v", n, err)
	}
}

// A request that was cut off before its answer was kept sends nothing twice when it is repeated.
func TestCutOffAndRepeated(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSSend)
	body := `{"to":["+4915550101","+4915550102"],"text":"hi"}`
	first := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k")
	row := b.tokens.List()[0].ID + "\x00k"
	var r reply
	if ok, err := b.replies.Get(row, &r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	r.Status, r.Body = 0, nil // as it was before the answer
	if err := b.replies.Write(map[string]any{row: r}); err != nil {
		t.Fatal(err)
	}
	again := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k")
	if again.code != 202 || again.body != first.body || len(b.texts()) != 2 {
		t.Errorf("%+v, %d texts", again, len(b.texts()))
	}
}

// A request that was cut off is not refused when it is repeated, though the texts of the day are used up by now and one of its
// numbers has opted out.
func TestCutOffAndRepeatedAtTheCap(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSSend)
	body := `{"to":["+4915550101","+4915550102"],"text":"hi","priority":"alarm"}`
	first := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k")
	if first.code != 202 {
		t.Fatalf("%+v", first)
	}
	for a := first; a.code == 202; {
		a = b.ask("POST", "/api/v1/sms", secret, `{"to":["+4915550103"],"text":"x","priority":"alarm"}`)
	}
	b.hear("+4915550102", "STOP")
	until(t, func() bool {
		return strings.Contains(b.ask("POST", "/api/v1/sms", secret, `{"to":["+4915550102"],"text":"x"}`).body, "opted-out")
	})
	row := b.tokens.List()[0].ID + "\x00k"
	var r reply
	if ok, err := b.replies.Get(row, &r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	r.Status, r.Body = 0, nil // as it was before the answer
	if err := b.replies.Write(map[string]any{row: r}); err != nil {
		t.Fatal(err)
	}
	n := len(b.texts())
	if again := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k"); again.code != 202 || again.body != first.body || len(b.texts()) != n {
		t.Errorf("%+v, first %+v, %d texts, before %d", again, first, len(b.texts()), n)
	}
}

// A day later a key is free again, also for the same request: it sends, though the outbox knows keys for longer.
func TestKeyOfYesterday(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSSend)
	for i, text := range []string{"first", "second", "second"} {
		a := b.ask("POST", "/api/v1/sms", secret, `{"to":["+4915550101"],"text":"`+text+`"}`, "Idempotency-Key", "daily")
		var p page[sent]
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.code != 202 || a.Get("Idempotency-Replayed") != "" {
			t.Fatalf("%+v %v", a, err)
		}
		if l := b.texts(); len(l) != i+1 || mustJob(t, p.Messages[0].ID) != l[0].ID {
			t.Fatalf("request %d: %s, %d texts", i, a.body, len(l))
		}
		row := b.tokens.List()[0].ID + "\x00daily"
		var r reply
		if ok, err := b.replies.Get(row, &r); !ok || err != nil {
			t.Fatal(ok, err)
		}
		r.At = r.At.Add(-replyAge)
		if err := b.replies.Write(map[string]any{row: r}); err != nil {
			t.Fatal(err)
		}
	}
}

// Many clients at once: each text once.
func TestManyAtOnce(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSSend)
	var wg sync.WaitGroup
	for i := range 8 {
		for range 3 {
			wg.Go(func() {
				body := fmt.Sprintf(`{"to":["+4915550101"],"text":"%d"}`, i)
				for {
					a := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", fmt.Sprint(i))
					if a.code == 409 {
						continue
					}
					if a.code != 202 {
						t.Errorf("%+v", a)
					}
					return
				}
			})
		}
	}
	wg.Wait()
	if n := len(b.texts()); n != 8 {
		t.Errorf("%d texts", n)
	}
}

// A token without TLS is taken on loopback and from its networks only.
func TestPlainHTTP(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSRead)
	_, old, err := b.tokens.Add(token.Token{Name: "old", Scopes: []string{token.SMSRead}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, secret string
		want         int
	}{
		{"127.0.0.1:1", secret, 200}, {"[::1]:1", secret, 200}, {"192.0.2.7:1", secret, 403}, {"192.0.2.7:1", old, 200},
		{"[::ffff:192.0.2.7]:1", old, 200}, {"198.51.100.1:1", old, 403}, {"", secret, 403},
	} {
		r := httptest.NewRequest("GET", "/api/v1/sms", nil)
		r.RemoteAddr = c.from
		r.Header.Set("Authorization", "bearer "+c.secret)
		w := httptest.NewRecorder()
		b.api.ServeHTTP(w, r)
		if w.Code != c.want || w.Code == 403 && !strings.Contains(w.Body.String(), "plain-http") {
			t.Errorf("from %q: %d %s", c.from, w.Code, w.Body)
		}
	}
}

func TestOddRequests(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"PUT", "/api/v1/sms", 405, "method-not-allowed"}, {"GET", "/api/v2/sms", 404, "openapi.json"}, {"POST", "/healthz", 405, "GET, HEAD"},
		{"GET", "/problems/opted-out", 200, "STOP"}, {"GET", "/problems/none", 404, "not-found"}, {"HEAD", "/healthz", 200, ""},
		{"GET", "/api/v1/sms/../../../metrics", 200, "doorway_"},
	} {
		a := b.ask(c.method, c.path, "", "")
		if a.code != c.code || !strings.Contains(a.body, c.says) {
			t.Errorf("%s %s: %+v", c.method, c.path, a)
		}
	}
	for _, k := range kinds { // the address in type leads to words
		if a := b.ask("GET", "/problems/"+k.slug, "", ""); a.code != 200 || !strings.Contains(a.body, k.title) {
			t.Errorf("%s: %+v", k.slug, a)
		}
	}
}

// A text that came in and one that failed are told to a webhook.
func TestWebhookOfTexts(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	var mu sync.Mutex
	var got []string
	to := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var buf bytes.Buffer
		_, _ = buf.ReadFrom(r.Body) // ignored: the test sees what is missing
		mu.Lock()
		defer mu.Unlock()
		got = append(got, buf.String())
	}))
	defer to.Close()
	admin := b.key("admin", token.Admin)
	if a := b.ask("POST", "/api/v1/webhooks", admin, `{"url":"`+to.URL+`"}`); a.code != 201 {
		t.Fatalf("%+v", a)
	}
	a := b.ask("POST", "/api/v1/sms", admin, `{"to":["+4915550101"],"text":"hi"}`)
	var p page[sent]
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	b.hear("+4915550102", "hello")
	if err := b.hooks.Receipt(context.Background(), transports.Receipt{Ref: transports.Ref(p.Messages[0].ID), To: "+4915550101", State: transports.Failed,
		Err: &transports.Error{Text: "The number does not exist."}}); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(got, "\n")
		return strings.Contains(all, `"sms.received"`) && strings.Contains(all, `"hello"`) && strings.Contains(all, `"sms.failed"`) && strings.Contains(all, p.Messages[0].ID)
	})
}

// Lists come page by page, newest first, each text once.
func TestPages(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	secret := b.key("a", token.SMSSend, token.SMSRead)
	for i := range 5 {
		if a := b.ask("POST", "/api/v1/sms", secret, fmt.Sprintf(`{"to":["+4915550101"],"text":"%d"}`, i)); a.code != 202 {
			t.Fatalf("%+v", a)
		}
		b.hear("+4915550102", fmt.Sprint(i))
	}
	for _, direction := range []string{"out", "in"} {
		var got []string
		for next, pages := "", 0; next != "" || pages == 0; pages++ {
			a := b.ask("GET", "/api/v1/sms?limit=2&direction="+direction+strings.TrimSuffix("&after="+next, "&after="), secret, "")
			var p page[struct{ Text string }]
			if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.code != 200 || pages > 3 {
				t.Fatalf("%+v %v", a, err)
			}
			for _, m := range p.Messages {
				got = append(got, m.Text)
			}
			next = p.Next
		}
		if strings.Join(got, "") != "43210" {
			t.Errorf("%s: %v", direction, got)
		}
	}
}

// FuzzSend feeds the API with bodies: each gets an answer that fits.
func FuzzSend(f *testing.F) {
	for _, s := range []string{`{"to":["+49"],"text":"x"}`, `{"to":[null]}`, `{"not_before":"x"}`, `{"to":["1"],"text":"\ud800"}`, `null`, `{"to":{}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var req sendRequest
		p := decode([]byte(body), &req)
		if p == nil {
			p = req.check()
		}
		if p != nil && (p.Status < 400 || p.Status > 422 || !strings.HasSuffix(p.Detail, ".")) {
			t.Errorf("%+v", p)
		}
	})
}

// People and groups are the numbers behind them, each once, also when a request is repeated after a group has changed.
func TestPeopleAndGroups(t *testing.T) {
	b := newBox(t)
	defer b.stop()
	group := []string{"+4915550102", "+4915550101"}
	b.api.c.Expand = func(to string) []string {
		switch to {
		case "anna":
			return []string{"0155 501-01"}
		case "group:field":
			return group
		case "group:empty":
			return []string{}
		}
		return nil
	}
	secret := b.key("a", token.SMSSend)
	ask := func(body string) (p page[sent]) {
		t.Helper()
		a := b.ask("POST", "/api/v1/sms", secret, body, "Idempotency-Key", "k")
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.code != 202 {
			t.Fatalf("%+v", a)
		}
		return p
	}
	body := `{"to":["anna","group:field","group:empty","bob","+4915550102"],"text":"hi"}`
	p := ask(body)
	if len(p.Messages) != 4 || p.Messages[0].Number != "+4915550101" || p.Messages[1].To != "group:field" || p.Messages[1].Number != "+4915550102" ||
		p.Messages[2].Status != "refused" || !strings.Contains(p.Messages[2].Cause, "group:empty") || p.Messages[3].Status != "refused" || len(b.texts()) != 2 {
		t.Errorf("%+v, %d texts", p.Messages, len(b.texts()))
	}
	row := b.tokens.List()[0].ID + "\x00k"
	var r reply
	if ok, err := b.replies.Get(row, &r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	r.Status, r.Body = 0, nil // as if it had been cut off
	if err := b.replies.Write(map[string]any{row: r}); err != nil {
		t.Fatal(err)
	}
	group = []string{"+4915550103", "+4915550102"}
	if p := ask(body); len(p.Messages) != 5 || len(b.texts()) != 3 {
		t.Errorf("%+v, %d texts", p.Messages, len(b.texts()))
	}
	if a := b.ask("POST", "/api/v1/sms", secret, `{"to":["group:empty"],"text":"x"}`); a.code != 422 || !strings.Contains(a.body, "no-recipient") {
		t.Errorf("%+v", a)
	}
	group = nil
	for i := range maxRecipients + 1 {
		group = append(group, fmt.Sprintf("+49155%07d", i))
	}
	if a := b.ask("POST", "/api/v1/sms", secret, `{"to":["group:field"],"text":"x"}`); a.code != 400 {
		t.Errorf("%+v", a)
	}
}
