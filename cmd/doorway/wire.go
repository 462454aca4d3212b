package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doorway/gateway/api"
	"doorway/gateway/backup"
	"doorway/gateway/bridge"
	"doorway/gateway/certs"
	"doorway/gateway/config"
	"doorway/gateway/control"
	"doorway/gateway/doctor"
	"doorway/gateway/health"
	"doorway/gateway/hook"
	"doorway/gateway/people"
	"doorway/gateway/people/shared"
	"doorway/gateway/queue"
	"doorway/gateway/spool"
	"doorway/gateway/store"
	"doorway/gateway/supervise"
	"doorway/gateway/token"
	"doorway/modem"
	"doorway/transports/number"
	"doorway/transports/sms"
	"doorway/xmpp"
	"doorway/xmpp/c2s"
	"doorway/xmpp/jid"
	"doorway/xmpp/router"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/websocket"
)

// server is everything, put together. The order of construction is the order
// of start; the stop goes backwards.
type server struct {
	cfg     *config.Config                // as it was at the start
	live    atomic.Pointer[config.Config] // as the last reload left it
	log     *slog.Logger
	health  *health.Health
	group   *supervise.Group
	store   *store.Store
	people  *people.People
	shared  *shared.Roster
	certs   *certs.Certs
	router  *router.Router
	modules modules
	clients *c2s.Server
	sockets *websocket.Handler
	modems  []*modem.Driver
	queue   *queue.Queue
	sms     *sms.Network
	bridge  *bridge.Bridge
	control *control.Server
	web     *api.Server
	tokens  *token.Book
	hooks   *hook.Hooks
	spool   *spool.Spool // nil without drop folders
	ports   *listeners
	token   string
	started time.Time

	strict bool   // a listener that cannot be had ends the program (demo)
	ready  func() // called once all listeners were tried

	serving   atomic.Bool                        // READY was said
	leave     atomic.Pointer[context.CancelFunc] // ends run
	again     atomic.Bool                        // run was ended to begin anew
	reloading sync.Mutex                         // one reload at a time

	mu    sync.Mutex // guards addrs
	addrs map[string]string
}

// lender adapts the store to the router: a *store.Table is an xmpp.Table.
type lender struct{ *store.Store }

func (l lender) Table(name string) xmpp.Table { return l.Store.Table(name) }

func task(name string, run func(context.Context) error) supervise.Task {
	return supervise.Task{Name: name, Run: run}
}

// newServer constructs everything and starts nothing but what Open does.
func newServer(cfg *config.Config, log *slog.Logger) (*server, error) {
	s := &server{cfg: cfg, log: log, health: health.New(time.Now), started: time.Now(), addrs: map[string]string{}}
	s.live.Store(cfg)
	s.group = supervise.New(log, s.health)
	var err error
	if s.ports, err = newListeners(log, s.health); err != nil {
		return nil, err
	}
	if s.store, err = store.Open(cfg.Data, store.Options{Fallbacks: backup.Fallbacks(cfg.Backup.Dir)}); err != nil {
		return nil, err
	}
	if err := s.construct(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) close() error { return s.store.Close() }

func (s *server) construct() error {
	// The committer first: everything that opens may write.
	s.group.Add(supervise.Task{Name: "store", Run: s.store.Run, Once: true, Stop: 30 * time.Second})
	s.group.Add(task("backup", s.keeper().Run))
	var err error
	s.people, err = people.Open(s.store, people.House{
		Domain: s.cfg.Domain, SMSDomain: s.cfg.SMSDomain(), Numbers: number.National(s.cfg.SMS.Country),
	})
	if err != nil {
		return err
	}
	s.shared = shared.New(s.people)
	s.certs, err = certs.Open(s.cfg.Data, certs.Options{
		Domain: s.cfg.Domain, Names: []string{s.cfg.SMSDomain()},
		Certificate: s.cfg.XMPP.Certificate, Key: s.cfg.XMPP.Key, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.group.Add(task("certificates", s.certs.Run))
	if s.token, err = apiToken(s.cfg.Data); err != nil {
		return err
	}
	s.router = router.New(router.Config{
		Domain: s.cfg.Domain, Accounts: s.people, Store: lender{s.store}, Log: s.log,
	})
	if s.hooks, err = hook.Open(hook.Options{Store: s.store, Log: s.log}); err != nil {
		return err
	}
	if s.tokens, err = token.Open(s.store.Table("tokens"), time.Now); err != nil {
		return err
	}
	if err := s.constructSMS(); err != nil {
		return err
	}
	if err := s.constructXMPP(); err != nil {
		return err
	}
	return s.constructDoors()
}

func (s *server) constructXMPP() error {
	s.modules = newModules(s.cfg, groups{roster: s.shared, directory: shared.NewDirectory(s.people, s.shared), rooms: s.shared.Rooms()}, s.house())
	if err := s.router.Load(s.modules.list...); err != nil {
		return err
	}
	for _, m := range s.modules.list {
		if r, ok := m.(interface{ Run(context.Context) error }); ok {
			s.group.Add(task(m.Info().Name, r.Run))
		}
	}
	if err := s.offerPages(); err != nil {
		return err
	}
	if err := s.offerSMSCommands(); err != nil {
		return err
	}
	s.people.OnRemove(s.removed)
	marks := shared.NewBookmarker(s.shared, s.modules.bookmarks, s.cfg.MUCDomain(), s.store.Table("people"), s.log)
	s.people.OnRemove(marks.Removed)
	s.group.Add(task("bookmarks of groups", marks.Run))
	s.followPhotos()
	s.people.OnDisable(func(local string) {
		s.endStreams(local, "This account is switched off. Ask your administrator.")
	})
	s.clients = c2s.New(c2s.Config{
		Domain: s.cfg.Domain, Router: s.router, TLS: s.certs.TLSConfig(), RequireTLS: s.cfg.XMPP.RequireTLS,
		SASL:   sasl.NewServer(sasl.Config{Credentials: s.people, Domain: s.cfg.Domain, Plaintext: !s.cfg.XMPP.RequireTLS}),
		Limits: clientLimits(), Idlers: s.modules.csi, Log: s.log, Panicked: func(any) { s.health.CountPanic() },
	})
	return nil
}

// endStreams throws an account's clients out (RFC 6120 §4.9.3.12).
func (s *server) endStreams(local, text string) {
	j, err := jid.New(local, s.cfg.Domain, "")
	if err != nil {
		s.log.Error("account has no address", "comp", "people", "user", local, "err", err)
		return
	}
	for _, session := range s.router.Sessions(j) {
		session.Close(&stanza.StreamError{Condition: "not-authorized", Text: text})
	}
}

// removed takes everything of a deleted account away.
func (s *server) removed(local string) {
	j, err := jid.New(local, s.cfg.Domain, "")
	if err == nil { // else endStreams logs it
		s.modules.roster.Farewell(context.Background(), j)
	}
	s.endStreams(local, "This account was removed.")
	if err != nil {
		return
	}
	if err := s.modules.purge(j); err != nil {
		s.log.Error("account not wholly removed", "comp", "people", "user", j.String(), "err", err)
	}
}

// constructDoors makes what the world knocks at: the admin socket, HTTP and
// the XMPP listeners, then the watchdog over all.
func (s *server) constructDoors() error {
	s.control = control.New(s.log)
	control.Users(s.control, s.people, s.cfg.Domain, s.sessions)
	control.People(s.control, s.people)
	control.Groups(s.control, s.people, s.rosters())
	control.Transfer(s.control, s.cfg.Domain, s.exportAccounts, s.importAccounts)
	control.Queue(s.control, s.queue)
	control.Modems(s.control, s.modemStatus)
	control.ModemTools(s.control, func() []*modem.Driver { return s.modems }, s.scan)
	control.Backup(s.control, s.copyForBackup)
	control.SMS(s.control, s.sms, s.queue, s.cfg.Domain)
	control.Tokens(s.control, s.tokens)
	control.Webhooks(s.control, s.hooks)
	control.Handle(s.control, "doctor", func(context.Context, struct{}) (doctor.Facts, error) { return s.facts() })
	control.Handle(s.control, "reload", func(context.Context, struct{}) (reloaded, error) { return s.reload() })
	socket, err := control.Listen(s.cfg.Data)
	if err != nil {
		return err
	}
	s.group.Add(task("control", func(ctx context.Context) error { return s.control.Serve(ctx, socket) }))
	var ca func() ([]byte, error)
	if file := s.certs.CAFile(); file != "" {
		ca = func() ([]byte, error) { return os.ReadFile(file) }
	}
	s.openSockets()
	s.web = api.New(api.Config{
		More:     s.socketPages(),
		Overview: s.overview, Ready: func() bool { return s.serving.Load() && s.store.Stats().Err == nil }, CAFile: ca,
		Token: s.token, Tokens: s.tokens, Replies: s.store.Table("api_replies"), SMS: s.sms, Expand: s.numbersOf, Queue: s.queue, Hooks: s.hooks, Log: s.log,
	})
	s.group.Add(task("API", s.web.Run))
	s.group.Add(task("webhooks", s.hooks.Run))
	s.group.Add(task("modem events", func(ctx context.Context) error { return s.hooks.Watch(ctx, s.modemStatus) }))
	return nil
}

// door is one listener.
type door struct {
	kind, what, addr string
	serve            func(context.Context, net.Listener) error
}

func (s *server) doors() []door {
	var d []door
	for _, a := range s.cfg.HTTP.Listen {
		d = append(d, door{"http", "HTTP", a, s.web.Serve})
	}
	for _, a := range s.cfg.HTTP.ListenTLS {
		d = append(d, door{"https", "HTTPS", a, s.serveHTTPS})
	}
	for _, a := range s.cfg.XMPP.ListenTLS {
		d = append(d, door{"c2s_tls", "XMPP with direct TLS", a, func(ctx context.Context, l net.Listener) error { return s.clients.Serve(ctx, l, true) }})
	}
	for _, a := range s.cfg.XMPP.Listen {
		d = append(d, door{"c2s", "XMPP", a, func(ctx context.Context, l net.Listener) error { return s.clients.Serve(ctx, l, false) }})
	}
	return d
}

// run opens the listeners, serves until ctx ends, and stops in order.
func (s *server) run(ctx context.Context) (err error) {
	if os.Getenv("GOGC") == "" {
		c2s.PaceCollector()
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	s.leave.Store(&leave)
	notify := supervise.Notifier{Log: s.log}
	for _, d := range s.doors() {
		serve := func(ctx context.Context, l net.Listener) error {
			s.opened(d, l)
			return d.serve(ctx, l)
		}
		if s.strict {
			l, err := s.ports.open(d.addr)
			if err != nil {
				return err
			}
			s.opened(d, l)
			s.group.Add(task("listener "+d.addr, func(ctx context.Context) error { return d.serve(ctx, l) }))
			continue
		}
		s.ports.tried.Add(1)
		s.group.Add(task("listener "+d.addr, func(ctx context.Context) error {
			return s.ports.serve(ctx, d.what, d.addr, serve)
		}))
	}
	s.group.Add(task("watchdog", s.watchdog(notify).Run))
	s.group.Add(task("ready", func(context.Context) error {
		s.ports.tried.Wait()
		notify.Ready()
		s.serving.Store(true)
		s.log.Info("doorway is ready", "comp", "doorway", "version", version, "domain", s.cfg.Domain)
		if s.ready != nil {
			s.ready()
		}
		return nil
	}))
	stop := context.AfterFunc(ctx, func() {
		s.log.Info("doorway is stopping", "comp", "doorway")
		notify.Stopping()
	})
	defer stop()
	if err := s.group.Run(ctx); err != nil {
		return err
	}
	if s.again.Load() {
		return errRestart
	}
	return nil
}

func (s *server) watchdog(n supervise.Notifier) *supervise.Watchdog {
	w := &supervise.Watchdog{Status: s.statusLine, Notify: n, Health: s.health, Log: s.log}
	w.Probes = append(w.Probes, supervise.Probe{Name: "store", Ask: s.probeStore})
	w.Probes = append(w.Probes, supervise.Probe{Name: "router", Ask: s.router.Probe})
	for _, m := range s.modems {
		w.Probes = append(w.Probes, supervise.Probe{Name: "modem " + m.Status().Name, Ask: m.Probe})
	}
	return w
}

// probeStore also turns a commit that failed, and a missing certificate, into a finding.
func (s *server) probeStore(ctx context.Context) error {
	if err := s.certs.Problem(); err != nil {
		s.health.Set("certificate", health.Failure, err.Error())
	} else {
		s.health.Clear("certificate")
	}
	if err := s.store.Stats().Err; err != nil {
		text := fmt.Sprintf("Nothing can be written to %s (%v). Free space on the disk or check it; messages are refused until then.", s.cfg.Data, err)
		if e := (*store.Error)(nil); errors.As(err, &e) {
			text = e.Text
		}
		s.health.Set("store", health.Failure, text)
	} else {
		s.health.Clear("store")
	}
	return s.store.Probe(ctx)
}

// opened remembers the address a listener really has.
func (s *server) opened(d door, l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs[d.kind] = l.Addr().String()
	s.addrs[d.kind+" "+d.addr] = l.Addr().String()
}

func (s *server) addr(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[kind]
}

func (s *server) sessions(local string) int {
	j, err := jid.New(local, s.cfg.Domain, "")
	if err != nil {
		return 0
	}
	return len(s.router.Sessions(j))
}

func (s *server) modemStatus() []modem.Status {
	list := make([]modem.Status, 0, len(s.modems))
	for _, m := range s.modems {
		list = append(list, m.Status())
	}
	return list
}

// overview is one look at the box, for the status page and the API.
func (s *server) overview() api.Overview {
	stats := s.store.Stats()
	o := api.Overview{
		Version: version, Domain: s.cfg.Domain, Started: s.started, Accounts: len(s.people.List()), Sessions: s.clients.Connections(),
		Queue: s.queue.Counts(), Modems: s.modemStatus(), Commits: stats.Commits, Changes: stats.Changes, Panics: s.health.Panics(),
		CAFingerprint: s.certs.Fingerprint(), Hooks: s.hooks.Counts(), Usage: smsUsage(s.sms),
	}
	o.Findings = append(s.health.List(), smsFindings(s.sms, s.hooks)...)
	for _, m := range o.Modems {
		o.Findings = append(o.Findings, modemFindings(m)...)
	}
	return o
}

// statusLine is what `systemctl status` shows.
func (s *server) statusLine() string {
	o := s.overview()
	var parts []string
	for _, m := range o.Modems {
		p := m.Name + " " + string(m.State)
		if m.RSSI != 0 {
			p += fmt.Sprintf(" %d dBm", m.RSSI)
		}
		parts = append(parts, p)
	}
	waiting := o.Queue["queued"] + o.Queue["retry-wait"] + o.Queue["leased"] + o.Queue["on-air"]
	parts = append(parts, fmt.Sprintf("%d clients, %d texts waiting", o.Sessions, waiting))
	if n := len(o.Findings); n > 0 {
		parts = append(parts, fmt.Sprintf("%d warnings", n))
	}
	return strings.Join(parts, ", ")
}

// apiToken reads the token of the HTTP API, making it at the first start.
func apiToken(dir string) (string, error) {
	file := filepath.Join(dir, "api.token")
	b, err := os.ReadFile(file)
	if err == nil && len(strings.TrimSpace(string(b))) >= 32 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the API token: %w", err)
	}
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make the API token: %w", err)
	}
	token := hex.EncodeToString(raw)
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the API token: %w", err)
	}
	return token, nil
}
