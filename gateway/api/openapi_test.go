package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/gateway/health"
	"doorway/gateway/hook"
	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/gateway/token"
)

// spec is openapi.json as the test uses it.
type spec struct {
	t     *testing.T
	doc   map[string]any
	paths map[string]any
	seen  map[string]bool // "POST /path 202"
}

func loadSpec(t *testing.T) *spec {
	t.Helper()
	s := &spec{t: t, seen: map[string]bool{}}
	if err := json.Unmarshal(openapiJSON, &s.doc); err != nil {
		t.Fatal(err)
	}
	s.paths = s.doc["paths"].(map[string]any)
	return s
}

// at follows a $ref.
func (s *spec) at(v any) map[string]any {
	m := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return m
	}
	var cur any = s.doc
	for _, p := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		cur = cur.(map[string]any)[p]
	}
	if cur == nil {
		s.t.Fatalf("%s leads nowhere", ref)
	}
	return s.at(cur)
}

// valid holds a value against a schema (the part of JSON Schema that openapi.json uses) and returns what is wrong.
func (s *spec) valid(where string, schema any, v any) []string {
	m := s.at(schema)
	for key := range m {
		switch key {
		case "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "pattern", "format", "description",
			"minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "default":
		default:
			s.t.Fatalf("%s: the test does not know the keyword %s", where, key)
		}
	}
	if c, ok := m["const"]; ok && c != v {
		return []string{fmt.Sprintf("%s is %v, not %v", where, v, c)}
	}
	if e, ok := m["enum"].([]any); ok && !slices.Contains(e, v) {
		return []string{fmt.Sprintf("%s is %v, which is not in the list", where, v)}
	}
	if any, ok := m["anyOf"].([]any); ok {
		var bad []string
		for _, x := range any {
			b := s.valid(where, x, v)
			if len(b) == 0 {
				return nil
			}
			bad = append(bad, b...)
		}
		return bad
	}
	if t, ok := m["type"]; ok && !isType(t, v) {
		return []string{fmt.Sprintf("%s is %T, not %v", where, v, t)}
	}
	switch v := v.(type) {
	case map[string]any:
		return s.validObject(where, m, v)
	case []any:
		var bad []string
		for i, x := range v {
			if m["items"] != nil {
				bad = append(bad, s.valid(fmt.Sprintf("%s/%d", where, i), m["items"], x)...)
			}
		}
		return bad
	case string:
		if p, ok := m["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			return []string{where + " does not match " + p}
		}
		if _, err := time.Parse(time.RFC3339, v); m["format"] == "date-time" && err != nil {
			return []string{where + " is no time: " + v}
		}
	}
	return nil
}

func (s *spec) validObject(where string, m, v map[string]any) (bad []string) {
	props, _ := m["properties"].(map[string]any)
	required, _ := m["required"].([]any)
	for _, r := range required {
		if _, ok := v[r.(string)]; !ok {
			bad = append(bad, fmt.Sprintf("%s lacks %s", where, r))
		}
	}
	for key, x := range v {
		switch p, ok := props[key]; {
		case ok:
			bad = append(bad, s.valid(where+"/"+key, p, x)...)
		case m["additionalProperties"] == false:
			bad = append(bad, fmt.Sprintf("%s has %s, which is not documented", where, key))
		default:
			if a, ok := m["additionalProperties"].(map[string]any); ok {
				bad = append(bad, s.valid(where+"/"+key, a, x)...)
			}
		}
	}
	return bad
}

func isType(want, v any) bool {
	if l, ok := want.([]any); ok {
		return slices.ContainsFunc(l, func(w any) bool { return isType(w, v) })
	}
	got := "null"
	switch x := v.(type) {
	case string:
		got = "string"
	case bool:
		got = "boolean"
	case map[string]any:
		got = "object"
	case []any:
		got = "array"
	case float64:
		got = "number"
		if x == float64(int64(x)) && want == "integer" {
			return true
		}
	}
	return got == want
}

// check holds an answer against what the document says of an operation.
func (s *spec) check(method, path string, a answer) {
	s.t.Helper()
	what := fmt.Sprintf("%s %s %d", method, path, a.code)
	item, ok := s.paths[path].(map[string]any)
	if !ok {
		s.t.Errorf("%s is not documented", path)
		return
	}
	op, ok := item[strings.ToLower(method)].(map[string]any)
	if !ok {
		s.t.Errorf("%s %s is not documented", method, path)
		return
	}
	all := op["responses"].(map[string]any)
	resp, ok := all[fmt.Sprint(a.code)]
	if !ok && a.code >= 500 {
		resp, ok = all["default"]
		what = method + " " + path + " default"
	}
	s.seen[what] = true
	if !ok {
		s.t.Errorf("%s is not documented: %s", what, a.body)
		return
	}
	s.answer(what, s.at(resp), a)
}

// answer holds an answer against one of the answers that the document has.
func (s *spec) answer(what string, resp map[string]any, a answer) {
	s.t.Helper()
	for name := range s.headers(resp) {
		if a.Get(name) == "" {
			s.t.Errorf("%s has no %s", what, name)
		}
	}
	content, ok := resp["content"].(map[string]any)
	if !ok {
		if a.body != "" {
			s.t.Errorf("%s has a body: %q", what, a.body)
		}
		return
	}
	typ, _, err := mime.ParseMediaType(a.Get("Content-Type"))
	media, ok := content[typ].(map[string]any)
	if err != nil || !ok {
		s.t.Errorf("%s has the type %q: %s", what, a.Get("Content-Type"), a.body)
		return
	}
	if !strings.HasSuffix(typ, "json") {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		s.t.Errorf("%s: %v in %s", what, err, a.body)
		return
	}
	for _, bad := range s.valid("", media["schema"], v) {
		s.t.Errorf("%s: %s", what, bad)
	}
	if p, ok := v.(map[string]any); ok && typ == "application/problem+json" {
		if p["status"] != float64(a.code) || !strings.HasSuffix(p["detail"].(string), ".") {
			s.t.Errorf("%s: %s", what, a.body)
		}
		if (a.code == 429 || a.code == 503) && a.Get("Retry-After") == "" {
			s.t.Errorf("%s has no Retry-After", what)
		}
	}
}

// headers are those that an answer always has.
func (s *spec) headers(resp map[string]any) map[string]any {
	all, _ := resp["headers"].(map[string]any)
	m := map[string]any{}
	for name, h := range all {
		if s.at(h)["required"] == true {
			m[name] = h
		}
	}
	return m
}

// The document names every address of the server and no other, and every operation answers as it says: each
// documented status of each is brought about.
func TestOpenAPI(t *testing.T) {
	s := loadSpec(t)
	for _, r := range (&Server{}).routes() {
		if r.path == "/{$}" || r.path == "/ca.pem" || strings.HasPrefix(r.path, "/problems/") {
			continue // pages for people
		}
		item, ok := s.paths[r.path].(map[string]any)
		if !ok || item[strings.ToLower(r.method)] == nil {
			t.Errorf("%s %s is not documented", r.method, r.path)
		}
	}
	b := newBox(t)
	defer b.stop()
	walk(t, s, b)
	for path, item := range s.paths {
		for method, op := range item.(map[string]any) {
			for code := range op.(map[string]any)["responses"].(map[string]any) {
				if what := strings.ToUpper(method) + " " + path + " " + code; !s.seen[what] {
					t.Errorf("never seen: %s", what)
				}
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(s.seen)) {
		t.Log(what)
	}
}

// walk makes every operation answer in every documented way.
func walk(t *testing.T, s *spec, b *box) {
	all, reader, writer := b.key("all", token.Admin), b.key("reader", token.SMSRead), b.key("writer", token.SMSSend)
	const texts, one, hooks, hook = "/api/v1/sms", "/api/v1/sms/{id}", "/api/v1/webhooks", "/api/v1/webhooks/{id}"
	const resend = hook + "/deliveries/{delivery}/resend"
	do := func(want int, method, template, path, secret, body string, header ...string) answer {
		t.Helper()
		a := b.ask(method, path, secret, body, header...)
		if a.code != want {
			t.Errorf("%s %s: %d, want %d: %s", method, path, a.code, want, a.body)
		}
		s.check(method, template, a)
		return a
	}
	send := func(want int, body string, header ...string) answer {
		t.Helper()
		return do(want, "POST", texts, texts, writer, body, header...)
	}
	send(202, `{"to":["+4915550101","0155 501-02","nobody"],"text":"hi","priority":"alarm","flash":true,"valid_for":600}`)
	send(202, `{"to":["5050"],"text":"later","not_before":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	for _, body := range []string{`{`, `[]`, `{"to":"+49"}`, `{"to":["+4915550101"],"txt":"x"}`, `{"to":["+4915550101"],"text":" "}`, `{"to":["+4915550101"],"text":"x","priority":"high"}`,
		`{"to":["+4915550101"],"text":"x","valid_for":5}`, `{"to":["+4915550101"],"text":"x"}{}`} {
		send(400, body)
	}
	send(413, `{"text":"`+strings.Repeat("x", bodyLimit)+`"}`)
	for _, body := range []string{`{"to":[],"text":"x"}`, `{"to":["bob"],"text":"x"}`, `{"to":["+12025550101"],"text":"x"}`, `{"to":["+4915550101"],"text":"x","modem":"gsm9"}`} {
		send(422, body)
	}
	b.api.running.begin(b.tokens.List()[2].ID + "\x00busy") // the writer's
	send(409, `{"to":["+4915550101"],"text":"x"}`, "Idempotency-Key", "busy")
	b.replies.broken.Store(true)
	send(503, `{"to":["+4915550101"],"text":"x"}`, "Idempotency-Key", "broken")
	b.replies.broken.Store(false)
	long, err := json.Marshal(strings.Repeat("x", 800))
	if err != nil {
		t.Fatal(err)
	}
	for range 15 { // the day's cap
		if a := b.ask("POST", texts, writer, `{"to":["+4915550101"],"text":`+string(long)+`}`); a.code != 202 {
			break
		}
	}
	send(429, `{"to":["+4915550101"],"text":`+string(long)+`}`)
	list := do(200, "GET", texts, texts+"?limit=2", reader, "")
	var p page[text]
	if err := json.Unmarshal([]byte(list.body), &p); err != nil || len(p.Messages) != 2 || p.Next == "" {
		t.Fatalf("%s %v", list.body, err)
	}
	do(200, "GET", texts, texts+"?limit=500&status=queued&to=%2B4915550101&after="+p.Next, reader, "")
	b.hear("+4915550101", "hello")
	do(200, "GET", texts, texts+"?direction=in&from=%2B4915550101", reader, "")
	for _, q := range []string{"direction=up", "limit=0", "limit=x", "after=-", "status=x", "to=bob", "from=x", "direction=in&to=x", "what=x", "limit=1&limit=2", "a=%zz"} {
		do(400, "GET", texts, texts+"?"+q, reader, "")
	}
	id := p.Messages[0].ID
	got := do(200, "GET", one, texts+"/"+id, reader, "")
	do(304, "GET", one, texts+"/"+id, reader, "", "If-None-Match", got.Get("ETag"))
	do(404, "GET", one, texts+"/sms-999999", reader, "")
	do(404, "GET", one, texts+"/x", reader, "")
	do(204, "DELETE", one, texts+"/"+id, writer, "")
	do(204, "DELETE", one, texts+"/"+id, writer, "")
	if err := b.queue.Requeue(mustJob(t, id)); err != nil {
		t.Fatal(err)
	}
	finish(t, b, mustJob(t, id))
	do(409, "DELETE", one, texts+"/"+id, writer, "")
	do(404, "DELETE", one, texts+"/sms-999999", writer, "")

	made := do(201, "POST", hooks, hooks, all, `{"url":"http://127.0.0.1:9/x","events":["sms.received"]}`)
	var h struct{ ID string }
	if err := json.Unmarshal([]byte(made.body), &h); err != nil {
		t.Fatal(err)
	}
	do(400, "POST", hooks, hooks, all, `{"uri":"x"}`)
	do(413, "POST", hooks, hooks, all, strings.Repeat(" ", bodyLimit+1))
	do(422, "POST", hooks, hooks, all, `{"url":"x"}`)
	do(201, "POST", hooks, hooks, all, `{"url":"http://127.0.0.1:9/y","style":"form"}`)
	do(422, "POST", hooks, hooks, all, `{"url":"http://127.0.0.1:9/y","style":"xml"}`)
	eagle := do(201, "POST", hooks, hooks, all, `{"url":"http://127.0.0.1:9/y","style":"smseagle","method":"GET","api_key":"0815"}`)
	if strings.Contains(eagle.body, "0815") {
		t.Errorf("the key is shown: %s", eagle.body)
	}
	if _, _, err := b.hooks.Rotate(h.ID, time.Hour); err != nil { // for old_until
		t.Fatal(err)
	}
	do(200, "GET", hooks, hooks, all, "")
	do(200, "GET", hook, hooks+"/"+h.ID, all, "")
	do(202, "POST", hook+"/test", hooks+"/"+h.ID+"/test", all, "")
	until(t, func() bool {
		return strings.Contains(do(200, "GET", hook+"/deliveries", hooks+"/"+h.ID+"/deliveries", all, "").body, `"failed"`)
	})
	var l struct{ Deliveries []struct{ ID uint64 } }
	if err := json.Unmarshal([]byte(b.ask("GET", hooks+"/"+h.ID+"/deliveries", all, "").body), &l); err != nil || len(l.Deliveries) != 1 {
		t.Fatalf("%+v %v", l, err)
	}
	do(202, "POST", resend, fmt.Sprintf("%s/%s/deliveries/%d/resend", hooks, h.ID, l.Deliveries[0].ID), all, "")
	do(404, "POST", resend, hooks+"/"+h.ID+"/deliveries/999999/resend", all, "")
	do(413, "POST", resend, at(resend, h.ID), all, strings.Repeat(" ", bodyLimit+1))
	do(413, "POST", hook+"/test", at(hook+"/test", h.ID), all, strings.Repeat(" ", bodyLimit+1))
	waiting, letGo := b.waiting()
	do(422, "POST", resend, waiting, all, "")
	letGo()
	for _, m := range [][2]string{{"GET", hook}, {"DELETE", hook}, {"POST", hook + "/test"}, {"GET", hook + "/deliveries"}, {"POST", resend}} {
		do(404, m[0], m[1], at(m[1], "none"), all, "")
	}
	do(200, "GET", "/api/v1/status", "/api/v1/status", all, "")
	do(200, "GET", "/api/v1/openapi.json", "/api/v1/openapi.json", "", "")
	do(200, "GET", "/metrics", "/metrics", "", "")
	do(200, "GET", "/healthz", "/healthz", "", "")
	o := example()
	o.Findings[0].Severity = health.Failure
	b.api.c.Overview = func() Overview { return o }
	do(503, "GET", "/healthz", "/healthz", "", "")
	do(200, "GET", "/readyz", "/readyz", "", "")
	b.ready.Store(false)
	do(503, "GET", "/readyz", "/readyz", "", "")

	none := b.key("none", token.SMSRead)
	noneSend := b.key("none2", token.SMSSend)
	operations := [][2]string{{"POST", texts}, {"GET", texts}, {"GET", one}, {"DELETE", one}, {"GET", hooks}, {"POST", hooks}, {"GET", hook}, {"DELETE", hook},
		{"POST", hook + "/test"}, {"GET", hook + "/deliveries"}, {"POST", resend}, {"GET", "/api/v1/status"}}
	for _, m := range operations {
		path := at(m[1], h.ID)
		secret := none
		if m[0] == "GET" && strings.HasPrefix(m[1], texts) {
			secret = noneSend
		}
		do(403, m[0], m[1], path, secret, "{}")
		do(401, m[0], m[1], path, "", "{}")
	}
	broken(t, s, b, all)
	do(204, "DELETE", hook, hooks+"/"+h.ID, all, "")
	_, slow, err := b.tokens.Add(token.Token{Name: "slow", Scopes: []string{token.Admin}, Rate: token.Rate{N: 1, Per: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	do(200, "GET", "/api/v1/status", "/api/v1/status", slow, "")
	for _, m := range operations {
		do(429, m[0], m[1], at(m[1], h.ID), slow, "{}")
	}
}

// at is an address of a template.
func at(template, id string) string {
	return strings.NewReplacer("{id}", id, "{delivery}", "1").Replace(template)
}

// broken has the disk fail, under an API like that of the box.
func broken(t *testing.T, s *spec, b *box, secret string) {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "data"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }() // waited for below
	hooks, err := hook.Open(hook.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := hooks.Add(hook.Hook{URL: "https://intranet.example/"}, "")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := queue.Open(st, queue.Options{Network: "sms"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := errors.Join(<-done, st.Close()); err != nil {
		t.Fatal(err)
	}
	c := b.api.c
	c.Hooks, c.Queue = hooks, texts
	web := httptest.NewServer(New(c))
	defer web.Close()
	for path, item := range s.paths {
		for method, op := range item.(map[string]any) {
			if op.(map[string]any)["responses"].(map[string]any)["default"] == nil {
				continue
			}
			method, body := strings.ToUpper(method), ""
			if path == "/api/v1/webhooks" {
				body = `{"url":"https://intranet.example/"}`
			}
			id := h.ID
			if strings.HasPrefix(path, "/api/v1/sms") {
				id = "sms-1"
			}
			s.check(method, path, b.askAt(web.URL, method, at(path, id), secret, body))
		}
	}
}

// waiting makes a delivery whose receiver gives no answer until it is let go, and returns where it could be sent again.
func (b *box) waiting() (path string, letGo func()) {
	b.t.Helper()
	hold := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	h, _, err := b.hooks.Add(hook.Hook{URL: slow.URL}, "")
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := b.hooks.TestHook(b.t.Context(), h.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprintf("/api/v1/webhooks/%s/deliveries/%d/resend", h.ID, id), func() {
		close(hold)
		slow.Close()
	}
}
