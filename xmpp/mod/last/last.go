// Package last tells how long somebody has been away, and for how long the
// server has been up (XEP-0012 2.0).
//
// An account is asked about by its bare JID; only those who may see its presence
// hear the answer: 0 while a resource is available, else the seconds since the
// last one went, with what it said. Requests to a resource come through under
// the same condition.
//
// What has changed is written to the table "lastactivity" every few minutes and
// when the server stops, never for each event: after a crash the times of the
// last minutes are missing. Run is the package's only goroutine.
package last

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	ns        = "jabber:iq:last"
	prio      = 150 // at Outbound presence, behind the presence module (100)
	prioGuard = 100 // at Inbound, behind blocking
	interval  = 5 * time.Minute
	maxStatus = 1023 // bytes that are kept
)

// said marks a session whose last presence was its own unavailable one.
var said = xmpp.Key{Name: "last"}

// record is when an account was last online.
type record struct {
	V      int    `json:"v"`
	At     int64  `json:"at"` // Unix seconds
	Status string `json:"status,omitempty"`
}

// Module is XEP-0012. Safe for concurrent use after Load.
type Module struct {
	subs    xmpp.Subscriptions
	now     func() time.Time
	started time.Time
	host    xmpp.Host
	table   xmpp.Table

	mu    sync.Mutex // guards dirty
	dirty map[jid.JID]record
}

var _ xmpp.Module = (*Module)(nil)

// New makes the module; subs says who may see whom, and the server counts as
// started now.
func New(subs xmpp.Subscriptions, now func() time.Time) *Module {
	return &Module{subs: subs, now: now, started: now(), dirty: make(map[jid.JID]record)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "last", Specs: []xmpp.Spec{{Doc: "XEP-0012", Version: "2.0", Title: "Last Activity"}}}
}

// Load registers the handlers and hooks.
func (m *Module) Load(h xmpp.Host) error {
	m.host, m.table = h, h.Table("lastactivity")
	query := stanza.Name{Space: ns, Local: "query"}
	h.IQ(xmpp.ToHost, stanza.Get, query, m.uptime)
	h.IQ(xmpp.ToBare, stanza.Get, query, m.account)
	h.IQHook(xmpp.Inbound, prioGuard, m.guard)
	h.Feature(xmpp.ToHost, ns)
	h.Presence(xmpp.Outbound, prio, m.presence)
	h.Session(m.session)
	return nil
}

func answer(since time.Duration, status string) string {
	var w xmlstream.Writer
	seconds := max(0, int64(since/time.Second))
	return w.Start(ns, "query", "seconds", strconv.FormatInt(seconds, 10)).Text(status).End().String()
}

func (m *Module) uptime(context.Context, *xmpp.IQ) (string, error) {
	return answer(m.now().Sub(m.started), ""), nil
}

func forbidden() error {
	return stanza.NewError(stanza.Forbidden, "Only people who may see this person's presence can ask for it.")
}

func (m *Module) account(_ context.Context, iq *xmpp.IQ) (string, error) {
	if !iq.Exists || !m.sees(iq.Stanza) {
		return "", forbidden()
	}
	user := iq.To.Bare()
	if m.online(user) {
		return answer(0, ""), nil
	}
	m.mu.Lock()
	r, ok := m.dirty[user]
	m.mu.Unlock()
	if !ok {
		var err error
		if ok, err = m.table.Get(user.String(), &r); err != nil {
			return "", fmt.Errorf("read last activity: %w", err)
		}
	}
	if !ok {
		return "", stanza.NewError(stanza.ItemNotFound, "This person has not been online yet.")
	}
	return answer(m.now().Sub(time.Unix(r.At, 0)), r.Status), nil
}

func (m *Module) sees(st *stanza.Stanza) bool {
	owner, viewer := st.To.Bare(), st.From.Bare()
	return owner == viewer || m.subs.SeesPresence(owner, viewer)
}

// online reports that a resource is available.
func (m *Module) online(user jid.JID) bool {
	for _, s := range m.host.Sessions(user) {
		if p, _ := s.Presence(); p != nil {
			return true
		}
	}
	return false
}

// guard keeps requests from the resources of those the asker may not see
// (XEP-0012 §4).
func (m *Module) guard(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.Payload.Space != ns || st.Type != string(stanza.Get) || st.To.Local() == "" || !st.To.IsFull() || m.sees(st) {
		return xmpp.Pass, nil
	}
	return xmpp.Done, forbidden()
}

// presence notes when the last resource says that it is unavailable.
func (m *Module) presence(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st, s := d.Stanza, d.Sender
	switch {
	case !st.To.IsZero():
	case st.Type == "unavailable":
		s.SetValue(&said, true)
		status, _ := st.Child("", "status")
		m.left(s.JID().Bare(), status.Text)
	case st.Type == "" && s.Value(&said) != nil:
		s.SetValue(&said, nil)
	}
	return xmpp.Pass, nil
}

// session notes when the last stream ends without a word.
func (m *Module) session(_ context.Context, e xmpp.SessionEvent) {
	if e.Kind == xmpp.SessionClosed && e.Session.Value(&said) == nil {
		m.left(e.Session.JID().Bare(), "")
	}
}

func (m *Module) left(user jid.JID, status string) {
	if m.online(user) || !m.host.Exists(user) {
		return
	}
	if len(status) > maxStatus {
		status = strings.ToValidUTF8(status[:maxStatus], "")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty[user.Clone()] = record{V: 1, At: m.now().Unix(), Status: strings.Clone(status)}
}

// Run writes what has changed, every few minutes and when ctx ends.
func (m *Module) Run(ctx context.Context) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.flush()
		case <-t.C:
			if err := m.flush(); err != nil {
				m.host.Log().Warn("last activity not written", "comp", "last", "err", err)
			}
		}
	}
}

// flush writes what has changed; what cannot be written is kept.
func (m *Module) flush() error {
	m.mu.Lock()
	rows := make(map[string]any, len(m.dirty))
	for user, r := range m.dirty {
		rows[user.String()] = r
	}
	m.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	if err := m.table.Write(rows); err != nil {
		return fmt.Errorf("write last activity: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for user, r := range m.dirty {
		if rows[user.String()] == any(r) {
			delete(m.dirty, user)
		}
	}
	return nil
}

// Purge forgets a removed account.
func (m *Module) Purge(account jid.JID) error {
	account = account.Bare()
	m.mu.Lock()
	delete(m.dirty, account)
	m.mu.Unlock()
	if err := m.table.Write(map[string]any{account.String(): nil}); err != nil {
		return fmt.Errorf("purge last activity of %s: %w", account, err)
	}
	return nil
}
