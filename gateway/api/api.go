// Package api answers HTTP: health for monitors, metrics for Prometheus, the
// CA certificate for new devices, a status page for people, and for programs
// that carry a token an API to send and follow texts and to keep webhooks.
// openapi.json describes that API; docs/api.md explains it.
//
// It implements bearer tokens (RFC 6750), problem details (RFC 9457) and
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header). It leaves out
// alerts and people.
//
// It starts no goroutine but those of net/http, which Serve waits for.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"doorway/gateway/health"
	"doorway/gateway/hook"
	"doorway/gateway/token"
	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
)

// Overview is one look at the whole box.
type Overview struct {
	Version  string                   `json:"version"`
	Domain   string                   `json:"domain"`
	Started  time.Time                `json:"started"`
	Accounts int                      `json:"accounts"`
	Sessions int                      `json:"sessions"`
	Queue    map[transports.State]int `json:"queue"`
	Modems   []modem.Status           `json:"modems"`
	Findings []health.Finding         `json:"findings"`
	Commits  uint64                   `json:"store_commits"`
	Changes  uint64                   `json:"store_changes"`
	Panics   int                      `json:"panics"`
	Usage    []ModemUsage             `json:"modem_usage"`
	Hooks    map[transports.State]int `json:"webhook_deliveries"`
	// CAFingerprint is the SHA-256 of the box's CA, "" when a foreign certificate is used.
	CAFingerprint string `json:"ca_sha256,omitempty"`
}

// ModemUsage is what one modem has sent.
type ModemUsage struct {
	Modem   string `json:"modem"`
	Hour    int    `json:"parts_this_hour"`
	Day     int    `json:"parts_today"`
	PerHour int    `json:"per_hour,omitempty"` // the caps
	PerDay  int    `json:"per_day,omitempty"`
	Resting bool   `json:"resting"`
	Failing int    `json:"failing"` // texts in a row that could not be sent
}

// Texts is the network of texts; *sms.Network satisfies it.
type Texts interface {
	Send(ctx context.Context, m transports.Message) (transports.Ref, error)
	ContactID(typed string) (transports.ContactID, error)
	Describe(job transports.Job) (sms.Chain, error)
	Inbox(from string, before uint64, limit int) ([]sms.Received, error)
}

// Queue is the outbox of texts.
type Queue interface {
	Get(id uint64) (transports.Job, error)
	List(f transports.Filter) ([]transports.Job, error)
	Cancel(id uint64) error
}

// Config is what the handler needs.
type Config struct {
	Overview func() Overview
	Ready    func() bool            // the store and the listeners are; nil: always
	CAFile   func() ([]byte, error) // the CA as PEM; nil without one
	Token    string                 // the box's own, of scope admin; "" for none
	Tokens   *token.Book
	Replies  Table // "api_replies"
	SMS      Texts
	// Expand returns the numbers of a person, or of the members of a group as "group:" and its id; nil for what is neither,
	// which is taken for a number. nil knows nobody.
	Expand func(to string) []string
	Queue  Queue
	Hooks  *hook.Hooks
	More   map[string]http.Handler // further addresses, by path; they take GET
	Log    *slog.Logger
}

// Server answers HTTP.
type Server struct {
	c       Config
	mux     *http.ServeMux
	guesses guesses
	running running
}

// route is a row of the table of addresses.
type route struct {
	method, path string
	serve        http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", s.status},
		{"GET", "/healthz", s.healthz},
		{"GET", "/readyz", s.readyz},
		{"GET", "/metrics", s.metrics},
		{"GET", "/ca.pem", s.ca},
		{"GET", "/problems/{slug}", s.explain},
		{"GET", "/api/v1/openapi.json", s.openapi},
		{"GET", "/api/v1/status", s.allow(token.Admin, s.apiStatus)},
		{"POST", "/api/v1/sms", s.allow(token.SMSSend, s.once(s.send))},
		{"GET", "/api/v1/sms", s.allow(token.SMSRead, s.listTexts)},
		{"GET", "/api/v1/sms/{id}", s.allow(token.SMSRead, s.getText)},
		{"DELETE", "/api/v1/sms/{id}", s.allow(token.SMSSend, s.withdraw)},
		{"GET", "/api/v1/webhooks", s.allow(token.Admin, s.listHooks)},
		{"POST", "/api/v1/webhooks", s.allow(token.Admin, s.each(s.addHook))},
		{"GET", "/api/v1/webhooks/{id}", s.allow(token.Admin, s.getHook)},
		{"DELETE", "/api/v1/webhooks/{id}", s.allow(token.Admin, s.removeHook)},
		{"POST", "/api/v1/webhooks/{id}/test", s.allow(token.Admin, s.each(s.testHook))},
		{"GET", "/api/v1/webhooks/{id}/deliveries", s.allow(token.Admin, s.listDeliveries)},
		{"POST", "/api/v1/webhooks/{id}/deliveries/{delivery}/resend", s.allow(token.Admin, s.each(s.resend))},
	}
}

//go:embed openapi.json
var openapiJSON []byte

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	s.raw(w, http.StatusOK, openapiJSON)
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{c: c, mux: http.NewServeMux()}
	methods := map[string][]string{}
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.method+" "+r.path, r.serve)
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, known := range methods {
		if slices.Contains(known, "GET") {
			known = append(known, "HEAD") // net/http answers it with the GET
		}
		s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(known, ", "))
			s.refuse(w, r, problem("method-not-allowed", "This address takes "+strings.Join(known, ", ")+"."))
		})
	}
	for path, h := range c.More {
		s.mux.Handle("GET "+path, h)
	}
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, problem("not-found", "There is no such address; /api/v1/openapi.json lists them all."))
	})
	return s
}

// ServeHTTP adds the headers every answer has.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// Serve answers on l until ctx ends, then waits at most five seconds for the
// requests under way.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // owner: this Serve, by done
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// healthz is 200 while nothing of severity error is raised, else 503; the
// body lists every finding.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	o := s.c.Overview()
	status, word := http.StatusOK, "ok"
	if len(o.Findings) > 0 {
		word = "warning"
	}
	for _, f := range o.Findings {
		if f.Severity == health.Failure {
			status, word = http.StatusServiceUnavailable, "error"
		}
	}
	s.json(w, status, map[string]any{"status": word, "findings": o.Findings})
}

// readyz is 200 once doorway takes connections and as long as it can store.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.c.Ready != nil && !s.c.Ready() {
		s.refuse(w, r, problem("starting", "doorway is starting or stopping, or its disk takes nothing."))
		return
	}
	s.json(w, http.StatusOK, map[string]any{"status": "ready"})
}

func (s *Server) apiStatus(w http.ResponseWriter, _ *http.Request, _ token.Token) *Problem {
	s.json(w, http.StatusOK, s.c.Overview())
	return nil
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.c.Log.Error("answer cannot be encoded", "comp", "api", "err", err)
		http.Error(w, "doorway has a fault here; its log has the details.", http.StatusInternalServerError)
		return
	}
	s.raw(w, status, append(b, '\n'))
}

// raw answers with JSON that is encoded already.
func (s *Server) raw(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	s.write(w, b)
}

func (s *Server) write(w http.ResponseWriter, b []byte) {
	if _, err := w.Write(b); err != nil {
		s.c.Log.Debug("http client went away", "comp", "api", "err", err)
	}
}

func (s *Server) ca(w http.ResponseWriter, r *http.Request) {
	if s.c.CAFile == nil {
		http.Error(w, "This doorway uses a certificate from elsewhere and has no CA of its own.", http.StatusNotFound)
		return
	}
	b, err := s.c.CAFile()
	if err != nil {
		s.c.Log.Error("CA certificate cannot be read", "comp", "api", "err", err)
		http.Error(w, "The CA certificate cannot be read; doorway's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	s.write(w, b)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.write(w, statusPage(s.c.Overview()))
}

// metrics writes the Prometheus text format.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	o := s.c.Overview()
	set := metrics.NewSet()
	gauge := func(name string, v float64) { set.NewGauge(name, func() float64 { return v }) }
	gauge("doorway_accounts", float64(o.Accounts))
	gauge("doorway_xmpp_sessions", float64(o.Sessions))
	for state, n := range o.Queue {
		gauge(fmt.Sprintf("doorway_queue_jobs{state=%q}", string(state)), float64(n))
	}
	for _, m := range o.Modems {
		ready := 0.0
		if m.State == modem.Ready {
			ready = 1
		}
		gauge(fmt.Sprintf("doorway_modem_ready{modem=%q}", m.Name), ready)
		if m.RSSI != 0 {
			gauge(fmt.Sprintf("doorway_modem_rssi_dbm{modem=%q}", m.Name), float64(m.RSSI))
		}
	}
	for _, u := range o.Usage {
		gauge(fmt.Sprintf("doorway_modem_parts_hour{modem=%q}", u.Modem), float64(u.Hour))
		gauge(fmt.Sprintf("doorway_modem_parts_day{modem=%q}", u.Modem), float64(u.Day))
		gauge(fmt.Sprintf("doorway_modem_cap_hour{modem=%q}", u.Modem), float64(u.PerHour))
		gauge(fmt.Sprintf("doorway_modem_cap_day{modem=%q}", u.Modem), float64(u.PerDay))
		gauge(fmt.Sprintf("doorway_modem_failing{modem=%q}", u.Modem), float64(u.Failing))
		resting := 0.0
		if u.Resting {
			resting = 1
		}
		gauge(fmt.Sprintf("doorway_modem_resting{modem=%q}", u.Modem), resting)
	}
	for state, n := range o.Hooks {
		gauge(fmt.Sprintf("doorway_webhook_deliveries{state=%q}", string(state)), float64(n))
	}
	count := map[health.Severity]int{health.Info: 0, health.Warning: 0, health.Failure: 0}
	for _, f := range o.Findings {
		count[f.Severity]++
	}
	for sev, n := range count {
		gauge(fmt.Sprintf("doorway_findings{severity=%q}", string(sev)), float64(n))
	}
	set.NewCounter("doorway_store_commits_total").Set(o.Commits)
	set.NewCounter("doorway_store_changes_total").Set(o.Changes)
	set.NewCounter("doorway_panics_total").Set(uint64(o.Panics))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
