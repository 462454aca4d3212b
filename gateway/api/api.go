// Package api answers HTTP: health for monitors, metrics for Prometheus, the
// CA certificate for new devices, a status page for people, and the status
// as JSON for programs that carry the API token.
//
// It holds no state of its own and starts no goroutine but those of net/http,
// which Serve waits for.
package api

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"doorway/gateway/health"
	"doorway/modem"
	"doorway/transports"
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
	// CAFingerprint is the SHA-256 of the box's CA, "" when a foreign certificate is used.
	CAFingerprint string `json:"ca_sha256,omitempty"`
}

// Config is what the handler needs.
type Config struct {
	Overview func() Overview
	CAFile   func() ([]byte, error) // the CA as PEM; nil without one
	Token    string                 // of /api/; "" refuses all
	Log      *slog.Logger
}

// Server answers HTTP.
type Server struct {
	c   Config
	mux *http.ServeMux
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{c: c, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /{$}", s.status)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /metrics", s.metrics)
	s.mux.HandleFunc("GET /ca.pem", s.ca)
	s.mux.HandleFunc("GET /api/v1/status", s.bearer(s.apiStatus))
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

func (s *Server) apiStatus(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.c.Overview())
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.c.Log.Error("answer cannot be encoded", "comp", "api", "err", err)
		http.Error(w, "doorway has a fault here; its log has the details.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	s.write(w, append(b, '\n'))
}

func (s *Server) write(w http.ResponseWriter, b []byte) {
	if _, err := w.Write(b); err != nil {
		s.c.Log.Debug("http client went away", "comp", "api", "err", err)
	}
}

// bearer lets in requests with the API token (RFC 6750 §2.1); problems are
// told as problem+json (RFC 9457).
func (s *Server) bearer(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || s.c.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.c.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="doorway"`)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			s.write(w, []byte(`{"title":"Unauthorized","status":401,"detail":"Send the API token as: Authorization: Bearer TOKEN. It is in the file api.token in the data folder."}`+"\n"))
			return
		}
		next(w, r)
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
