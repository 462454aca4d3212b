package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/gateway/hook"
	"doorway/transports"
	"doorway/transports/sms"
)

// TestAPI sends through the HTTP API of the whole program with a token of the command line, follows the text until the
// phone has it, and reads what came in.
func TestAPI(t *testing.T) {
	s := newSMSBox(t, "--phone", demoBusy)
	url := "http://" + s.addr(t, "HTTP")
	out, code := s.run(t, "", "token", "add", "Grafana", "--json", "--scope", "sms.send,sms.read", "--days", "7")
	var made control.TokenMade
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.Expires.IsZero() {
		t.Fatal(out, err)
	}
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+made.Secret)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	code, body := ask("POST", "/api/v1/sms", `{"to":["`+demoQuiet+`","bob"],"text":"Disk full","priority":"alarm"}`)
	var sent struct {
		Messages []struct{ ID, Status, Cause string }
	}
	if err := json.Unmarshal([]byte(body), &sent); code != 202 || err != nil || len(sent.Messages) != 2 || sent.Messages[1].Status != "refused" {
		t.Fatal(code, body, err)
	}
	id := sent.Messages[0].ID
	until(t, time.Minute, func() (bool, string) {
		_, body := ask("GET", "/api/v1/sms/"+id, "")
		return strings.Contains(body, `"status":"delivered"`), body
	})
	for _, args := range [][]string{{"people", "add", "anna", "--phone", demoQuiet}, {"people", "add", "ben", "--name", "Ben"}, {"group", "add", "inner", "anna", "ben"},
		{"group", "add", "field", "group:inner", "+4915550177"}} {
		if out, code := s.run(t, "", args...); code != 0 {
			t.Fatal(out)
		}
	}
	code, body = ask("POST", "/api/v1/sms", `{"to":["anna","group:field","ben"],"text":"To the field"}`)
	sent.Messages = nil
	if err := json.Unmarshal([]byte(body), &sent); code != 202 || err != nil || len(sent.Messages) != 3 || sent.Messages[2].Status != "refused" || !strings.Contains(body, "+4915550177") {
		t.Error(code, body, err)
	}
	early, code := s.run(t, "", "sms", "send", demoBusy, "before STOP", "--key", "early", "--json")
	if code != 0 {
		t.Fatal(early)
	}
	if err := s.client.Send(t.Context(), demoBusy, "STOP"); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func() (bool, string) {
		_, body := ask("GET", "/api/v1/sms?direction=in", "")
		return strings.Contains(body, `"kind":"opt-out"`), body
	})
	if code, body := ask("POST", "/api/v1/sms", `{"to":["`+demoBusy+`"],"text":"x"}`); code != 422 || !strings.Contains(body, "opted-out") {
		t.Error(code, body)
	}
	// The same request again is the text that was taken.
	again, code := s.run(t, "", "sms", "send", demoBusy, "before STOP", "--key", "early", "--json")
	var one, two control.SMSSent
	if err := errors.Join(json.Unmarshal([]byte(early), &one), json.Unmarshal([]byte(again), &two)); code != 0 || err != nil || one.ID == 0 || one.ID != two.ID {
		t.Error(code, early, again, err)
	}
	// To another number it is another request, and the same number may be written in another way.
	for to, same := range map[string]bool{"0155 501-02": true, demoQuiet: false} {
		again, code := s.run(t, "", "sms", "send", to, "before STOP", "--key", "early", "--json")
		if err := json.Unmarshal([]byte(again), &two); code != 0 || err != nil || (one.ID == two.ID) != same {
			t.Error(to, code, early, again, err)
		}
	}
	out, code = s.run(t, "", "sms", "optout", "--json")
	var optouts []sms.OptOut
	if err := json.Unmarshal([]byte(out), &optouts); code != 0 || err != nil || len(optouts) != 1 || optouts[0].Number != demoBusy {
		t.Error(out, err)
	}
	// After a rotation both secrets are taken, and the list says so.
	out, code = s.run(t, "", "token", "rotate", "grafana", "--json", "--overlap", "30m")
	old := made.Secret
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.Secret == old || made.OldUntil.IsZero() {
		t.Fatal(code, out, err)
	}
	for _, made.Secret = range []string{old, made.Secret} {
		if code, body := ask("GET", "/api/v1/sms", ""); code != 200 {
			t.Error(code, body)
		}
	}
	if out, _ := s.run(t, "", "token", "list"); !strings.Contains(out, "the secret before is taken until") {
		t.Error(out)
	}
	// A rate holds over a reload, which reads no tokens.
	out, code = s.run(t, "", "token", "add", "brief", "--rate", "2/h", "--json")
	good := made.Secret
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
		t.Fatal(code, out, err)
	}
	for i, want := range []int{200, 200, 429, 429} {
		if i == 3 {
			if out, code := s.run(t, "", "reload"); code != 0 {
				t.Error(out)
			}
		}
		if code, body := ask("GET", "/api/v1/sms", ""); code != want {
			t.Errorf("request %d: %d %s", i, code, body)
		}
	}
	made.Secret = good
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"sms", "optout", demoBusy, "--off"}, 0, "gets texts again"},
		{[]string{"sms", "optout"}, 0, "Nobody has opted out"},
		{[]string{"sms", "inbox"}, 0, "STOP"},
		{[]string{"sms", "inbox", "--from", demoQuiet}, 0, "No texts"},
		{[]string{"sms", "send", demoQuiet, "x", "--modem", "gsm7"}, 1, "no modem"},
		{[]string{"sms", "send", demoQuiet, "x", "--at", "soon"}, 2, "is not a time"},
		{[]string{"sms", "send", demoQuiet, "later", "--at", time.Now().AddDate(0, 6, 0).Format("2006-01-02T15:04"), "--modem", "gsm0", "--valid", "30m"}, 0, "Queued"},
		{[]string{"queue", "show", strings.TrimPrefix(id, "sms-")}, 0, "delivered"},
		{[]string{"queue", "show", "99999"}, 1, "There is no job"},
		{[]string{"token", "list"}, 0, "Grafana"},
		{[]string{"token", "add", "grafana"}, 1, "already"},
		{[]string{"token", "add", "x", "--network", "here"}, 2, "is not a network"},
		{[]string{"token", "add", "x", "--rate", "many"}, 2, "is not a rate"},
		{[]string{"token", "add", "slow", "--rate", "2/h"}, 0, "dw_"},
		{[]string{"token", "list"}, 0, "rate 2/h"},
		{[]string{"token", "rotate", "none"}, 1, "no token"},
		{[]string{"token", "rotate", "slow", "--overlap", "9999h"}, 1, "90 days"},
		{[]string{"token", "rotate", "slow", "--overlap", "soon"}, 2, "overlap"},
		{[]string{"token", "rotate", "slow", "--overlap", "0"}, 0, "not taken any more"},
		{[]string{"token", "revoke", "Grafana"}, 0, "not taken any more"},
		{[]string{"token", "revoke", "Grafana"}, 1, "no token"},
		{[]string{"webhook", "add", "intranet"}, 1, "not an address"},
		{[]string{"webhook", "add", "http://127.0.0.1:1/x", "--event", "sms.received"}, 0, "whsec_"},
		{[]string{"webhook", "list"}, 0, "sms.received"},
		{[]string{"webhook", "test", "none"}, 1, "no webhook"},
		{[]string{"webhook", "add", "http://127.0.0.1:1/x", "--style", "xml"}, 1, "no style"},
		{[]string{"webhook", "add", "http://127.0.0.1:1/x", "--style", "smseagle", "--api-key"}, 2, "stdin"},
		{[]string{"webhook", "rotate", "none"}, 1, "no webhook"},
		{[]string{"webhook", "resend", "none", "1"}, 1, "has no delivery 1"},
		{[]string{"webhook", "resend", "none", "x"}, 2, "not the number"},
	} {
		if out, code := s.run(t, "", c.args...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: %d %s", c.args, code, out)
		}
	}
	if code, _ := ask("GET", "/api/v1/sms", ""); code != 401 {
		t.Errorf("a revoked token: %d", code)
	}
	out, _ = s.run(t, "", "webhook", "list", "--json")
	var hooks []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &hooks); err != nil || len(hooks) != 1 {
		t.Fatal(out, err)
	}
	s.webhook(t, hooks[0].ID)
	if out, code := s.run(t, "", "webhook", "remove", hooks[0].ID); code != 0 {
		t.Error(out)
	}
}

// webhook tests a webhook that leads to the box itself, repeats the delivery, and rotates its secret.
func (s *smsBox) webhook(t *testing.T, id string) {
	t.Helper()
	if out, code := s.run(t, "", "webhook", "test", id); code != 1 || !strings.Contains(out, "another machine") {
		t.Error(code, out)
	}
	out, code := s.run(t, "", "webhook", "show", id, "--json")
	var l []hook.Delivery
	err := json.Unmarshal([]byte(out), &l)
	l = slices.DeleteFunc(l, func(d hook.Delivery) bool { return d.Event != hook.Test }) // the STOP may come again meanwhile
	if code != 0 || err != nil || len(l) != 1 || l[0].State != transports.Failed || l[0].Code != 0 {
		t.Fatal(code, out, err)
	}
	if out, code := s.run(t, "", "webhook", "resend", id, fmt.Sprint(l[0].ID)); code != 1 || !strings.Contains(out, "another machine") {
		t.Error(code, out)
	}
	if out, _ := s.run(t, "", "webhook", "show", id); strings.Count(out, "webhook.test") != 2 {
		t.Error(out)
	}
	if out, code := s.run(t, "", "webhook", "rotate", id); code != 0 || !strings.Contains(out, "whsec_") || !strings.Contains(out, "two signatures") {
		t.Error(code, out)
	}
	if out, _ := s.run(t, "", "webhook", "list"); !strings.Contains(out, "the secret before") {
		t.Error(out)
	}
	if out, code := s.run(t, "a key\n", "webhook", "add", "https://intranet.example/in", "--style", "smseagle", "--method", "get", "--api-key"); code != 0 {
		t.Error(code, out)
	}
	if out, _ := s.run(t, "", "webhook", "list"); !strings.Contains(out, "style smseagle") || strings.Contains(out, "a key") {
		t.Error(out)
	}
}
