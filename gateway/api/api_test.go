package api

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"doorway/gateway/health"
	"doorway/modem"
	"doorway/transports"
)

func server(t *testing.T, o Overview) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(New(Config{
		Overview: func() Overview { return o },
		CAFile:   func() ([]byte, error) { return []byte("-----BEGIN CERTIFICATE-----\n"), nil },
		Token:    "secret", Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
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

func example() Overview {
	return Overview{
		Version: "test", Domain: "office.example", Started: time.Unix(0, 0), Accounts: 3, Sessions: 2,
		Queue:    map[transports.State]int{transports.Queued: 4},
		Modems:   []modem.Status{{Name: "gsm0", State: modem.Ready, RSSI: -71, Text: "The modem is ready <&>."}},
		Findings: []health.Finding{{Name: "disk", Severity: health.Warning, Text: "The disk is nearly full. Delete something."}},
		Commits:  7,
	}
}

func TestHealthz(t *testing.T) {
	o := example()
	if code, body := get(t, server(t, o).URL+"/healthz", ""); code != 200 || !strings.Contains(body, `"status":"warning"`) {
		t.Errorf("with a warning: %d %s", code, body)
	}
	o.Findings[0].Severity = health.Failure
	if code, body := get(t, server(t, o).URL+"/healthz", ""); code != 503 || !strings.Contains(body, "nearly full") {
		t.Errorf("with an error: %d %s", code, body)
	}
	o.Findings = nil
	if code, body := get(t, server(t, o).URL+"/healthz", ""); code != 200 || !strings.Contains(body, `"status":"ok"`) {
		t.Errorf("when well: %d %s", code, body)
	}
}

func TestMetrics(t *testing.T) {
	o := example()
	o.Usage = []ModemUsage{{Modem: "gsm0", Hour: 3, Day: 7, PerDay: 300, Resting: true, Failing: 2}}
	o.Hooks = map[transports.State]int{transports.RetryWait: 5}
	code, body := get(t, server(t, o).URL+"/metrics", "")
	for _, want := range []string{
		"doorway_xmpp_sessions 2\n", `doorway_queue_jobs{state="queued"} 4`, `doorway_modem_ready{modem="gsm0"} 1`,
		`doorway_modem_rssi_dbm{modem="gsm0"} -71`, `doorway_findings{severity="warning"} 1`, "doorway_store_commits_total 7\n",
		"process_resident_memory_bytes",
		`doorway_modem_parts_hour{modem="gsm0"} 3`, `doorway_modem_parts_day{modem="gsm0"} 7`, `doorway_modem_cap_day{modem="gsm0"} 300`,
		`doorway_modem_resting{modem="gsm0"} 1`, `doorway_modem_failing{modem="gsm0"} 2`, `doorway_webhook_deliveries{state="retry-wait"} 5`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if code != 200 {
		t.Errorf("status %d", code)
	}
}

func TestStatusPage(t *testing.T) {
	code, body := get(t, server(t, example()).URL+"/", "")
	for _, want := range []string{"office.example", "The disk is nearly full", "-71 dBm", "ready &lt;&amp;&gt;", "queued"} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if code != 200 {
		t.Errorf("status %d", code)
	}
	if code, body := get(t, server(t, Overview{Domain: "d"}).URL+"/", ""); code != 200 || !strings.Contains(body, "All is well") || !strings.Contains(body, "No modem is configured") {
		t.Errorf("empty box: %d %s", code, body)
	}
}

func TestToken(t *testing.T) {
	u := server(t, example()).URL + "/api/v1/status"
	for _, token := range []string{"", "wrong"} {
		if code, body := get(t, u, token); code != 401 || !strings.Contains(body, "/problems/unauthorized") {
			t.Errorf("token %q: %d %s", token, code, body)
		}
	}
	code, body := get(t, u, "secret")
	var o Overview
	if err := json.Unmarshal([]byte(body), &o); err != nil || code != 200 || o.Sessions != 2 {
		t.Errorf("%d %s %v", code, body, err)
	}
	if code, _ := get(t, server(t, example()).URL+"/nothing", ""); code != 404 {
		t.Errorf("unknown page: %d", code)
	}
}
