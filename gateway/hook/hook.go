// Package hook tells other programs of events by HTTP: a text came in, became
// accepted, was delivered or failed, a modem came or went.
//
// Deliveries are signed as Standard Webhooks has it
// (github.com/standard-webhooks): webhook-id stays the same over retries,
// webhook-signature is v1,base64(HMAC-SHA256(id.timestamp.body)), and a second one
// with the secret before for a while after a rotation. Bodies are JSON, or forms of
// the styles Form and SMSEagle. Success is an
// answer 2xx within ten seconds; else the delivery is tried again after 5 s, 30 s,
// 2 min, 10 min, 1 h, then every 4 h for a day. 410 switches the hook off.
// Redirects are not followed. The order of deliveries is not promised, and one may
// come twice.
//
// An event that Emit has taken is on disk: deliveries are jobs of an outbox of
// their own (gateway/queue) and survive a restart. Addresses that belong to the
// machine itself or to no network are refused in the dialer, after names were
// resolved, and no proxy is used.
//
// Run owns a few workers and waits for them.
package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/transports"
)

// The events.
const (
	SMSReceived  = "sms.received"
	SMSAccepted  = "sms.accepted"
	SMSDelivered = "sms.delivered"
	SMSFailed    = "sms.failed"
	ModemUp      = "modem.up"
	ModemDown    = "modem.down"
	Test         = "webhook.test"
)

// Events lists what a hook can ask for.
var Events = []string{SMSReceived, SMSAccepted, SMSDelivered, SMSFailed, ModemUp, ModemDown}

// SecretPrefix begins each secret (Standard Webhooks).
const SecretPrefix = "whsec_"

const (
	maxHooks   = 50
	keepDone   = 3 * 24 * time.Hour // deliveries that succeeded
	keepGiven  = 7 * 24 * time.Hour // and those that were given up
	maxWaiting = 20000              // deliveries that wait, of all hooks
)

// Errors, to be used with errors.Is.
var (
	ErrUnknown = errors.New("there is no such webhook")
	ErrRefused = errors.New("webhook not made")
)

// Error is an error with a sentence for the person.
type Error struct {
	Text string
	Err  error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Hook is where events go.
type Hook struct {
	ID      string    `json:"id"`
	URL     string    `json:"url"`
	Events  []string  `json:"events"` // empty: all
	Created time.Time `json:"created"`
	Style   string    `json:"style"`         // of the bodies: Doorway, Form or SMSEagle
	Method  string    `json:"method"`        // POST; GET in the style SMSEagle
	Off     string    `json:"off,omitempty"` // why it is switched off, a sentence
	// OldUntil is how long deliveries are also signed with the secret before the last rotation.
	OldUntil time.Time `json:"old_until,omitzero"`
}

// wants reports that the hook is told of an event.
func (h Hook) wants(event string) bool {
	return h.Off == "" && (len(h.Events) == 0 || slices.Contains(h.Events, event))
}

// record is a hook as the table "webhooks" holds it, under its id.
type record struct {
	V int `json:"v"`
	Hook
	Secret []byte `json:"secret"`
	Old    []byte `json:"old,omitempty"` // the secret before, until OldUntil
	APIKey string `json:"api_key,omitempty"`
}

// Options of Hooks.
type Options struct {
	Store *store.Store
	Log   *slog.Logger
	Now   func() time.Time
	// Permit says whether an address may be called; nil refuses loopback, link-local, unspecified and multicast ones,
	// and those of this machine.
	Permit func(netip.Addr) error
	Roots  *x509.CertPool // that sign the receivers' certificates; nil: the system's
}

// Hooks keeps hooks and delivers to them. Safe for concurrent use.
type Hooks struct {
	o      Options
	table  *store.Table
	queue  *queue.Queue
	dial   *net.Dialer
	pauses []time.Duration

	change sync.Mutex // one change at a time

	mu    sync.Mutex // guards hooks; never held over the disk
	hooks map[string]record
}

// Open reads the hooks and what waits for them.
func Open(o Options) (*Hooks, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Permit == nil {
		o.Permit = permit
	}
	h := &Hooks{o: o, table: o.Store.Table("webhooks"), pauses: pauses[:], hooks: map[string]record{}}
	h.dial = dialer(o.Permit)
	var err error
	if h.queue, err = queue.Open(o.Store, queue.Options{Network: "hook", Now: o.Now, Log: o.Log, Keep: keepDone, KeepDead: keepGiven}); err != nil {
		return nil, fmt.Errorf("open webhooks: %w", err)
	}
	var bad error
	err = h.table.Range("", "", false, func(key string, raw []byte) bool {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			bad = fmt.Errorf("webhook %q: %w", key, err)
			return false
		}
		if r.Style == "" { // written before there were styles
			r.Style, r.Method = Doorway, http.MethodPost
		}
		h.hooks[r.ID] = r
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("open webhooks: %w", err)
	}
	return h, nil
}

// Add makes a hook and returns its secret, which signs deliveries; apiKey is what the style SMSEagle sends besides. It returns
// after fsync.
func (h *Hooks) Add(hook Hook, apiKey string) (Hook, string, error) {
	err := check(&hook)
	if err == nil {
		err = checkStyle(&hook, apiKey)
	}
	if err != nil {
		return Hook{}, "", err
	}
	h.change.Lock()
	defer h.change.Unlock()
	if len(h.List()) >= maxHooks {
		return Hook{}, "", refuse("There are %d webhooks already. Remove one that nobody uses.", maxHooks)
	}
	raw := make([]byte, 40)
	if _, err := rand.Read(raw); err != nil {
		return Hook{}, "", fmt.Errorf("make webhook: %w", err)
	}
	hook.ID, hook.Created, hook.Off = hex.EncodeToString(raw[32:]), h.o.Now().Round(0).UTC(), ""
	hook.OldUntil = time.Time{}
	r := record{V: 1, Hook: hook, Secret: raw[:32], APIKey: apiKey}
	if err := h.table.Write(map[string]any{hook.ID: r}); err != nil {
		return Hook{}, "", fmt.Errorf("keep webhook: %w", err)
	}
	h.mu.Lock()
	h.hooks[hook.ID] = r
	h.mu.Unlock()
	return hook, SecretPrefix + base64.StdEncoding.EncodeToString(r.Secret), nil
}

// maxOverlap bounds how long an old secret may sign beside the new one.
const maxOverlap = 90 * 24 * time.Hour

// Rotate gives a hook a new secret and returns it. For overlap more, deliveries are signed with the one before, too (Standard
// Webhooks: two signatures). ErrUnknown. It returns after fsync.
func (h *Hooks) Rotate(id string, overlap time.Duration) (Hook, string, error) {
	if overlap < 0 || overlap > maxOverlap {
		return Hook{}, "", refuse("The old secret can sign for 90 days at most, such as --overlap 24h; 0 ends it at once.")
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return Hook{}, "", fmt.Errorf("rotate secret of webhook: %w", err)
	}
	var hook Hook
	err := h.edit(id, func(r *record) {
		r.Old, r.OldUntil = nil, time.Time{}
		if overlap > 0 {
			r.Old, r.OldUntil = r.Secret, h.o.Now().Add(overlap).Round(time.Second).UTC()
		}
		r.Secret, hook = raw, r.Hook
	})
	if err != nil {
		return Hook{}, "", err
	}
	return hook, SecretPrefix + base64.StdEncoding.EncodeToString(raw), nil
}

func refuse(format string, a ...any) error {
	return &Error{Text: fmt.Sprintf(format, a...), Err: ErrRefused}
}

func check(h *Hook) error {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(h.URL) > 2000 {
		return refuse("%.60q is not an address for a webhook. Write it in full, such as https://intranet.example/sms.", h.URL)
	}
	if u.User != nil {
		return refuse("The address must not hold a password: deliveries are signed instead. Leave out what stands before the @.")
	}
	for _, e := range h.Events {
		if !slices.Contains(Events, e) {
			return refuse("There is no event %.40q. The events are %s.", e, strings.Join(Events, ", "))
		}
	}
	slices.Sort(h.Events)
	h.Events = slices.Compact(h.Events)
	return nil
}

// List returns the hooks in the order they were made.
func (h *Hooks) List() []Hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Hook, 0, len(h.hooks))
	for _, r := range h.hooks {
		list = append(list, r.shown(h.o.Now()))
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) < 0
	})
	return list
}

// Get returns a hook; ErrUnknown.
func (h *Hooks) Get(id string) (Hook, error) {
	r, ok := h.get(id)
	if !ok {
		return Hook{}, unknown(id)
	}
	return r.shown(h.o.Now()), nil
}

// shown is the hook as others see it.
func (r record) shown(now time.Time) Hook {
	if !now.Before(r.OldUntil) {
		r.OldUntil = time.Time{}
	}
	return r.Hook
}

func unknown(id string) error {
	return &Error{Text: fmt.Sprintf("There is no webhook %.40q. `doorway webhook list` shows them.", id), Err: ErrUnknown}
}

func (h *Hooks) get(id string) (record, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.hooks[id]
	return r, ok
}

// Remove forgets a hook; what waits for it is dropped. ErrUnknown. It returns after fsync.
func (h *Hooks) Remove(id string) error {
	return h.edit(id, nil)
}

// Enable switches a hook on again that was switched off. ErrUnknown. It returns after fsync.
func (h *Hooks) Enable(id string) error {
	return h.edit(id, func(r *record) { r.Off = "" })
}

// edit changes a hook; a nil f removes it.
func (h *Hooks) edit(id string, f func(*record)) error {
	h.change.Lock()
	defer h.change.Unlock()
	r, ok := h.get(id)
	if !ok {
		return unknown(id)
	}
	var v any
	if f != nil {
		f(&r)
		v = r
	}
	if err := h.table.Write(map[string]any{id: v}); err != nil {
		return fmt.Errorf("change webhook: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f == nil {
		delete(h.hooks, id)
	} else {
		h.hooks[id] = r
	}
	return nil
}

// Emit stores an event for the hooks that want it, and returns after fsync. key names the event: the same one
// within two days is stored once.
func (h *Hooks) Emit(ctx context.Context, event, key string, data any) error {
	var wants []Hook
	for _, k := range h.List() {
		if k.wants(event) {
			wants = append(wants, k)
		}
	}
	if len(wants) == 0 {
		return nil
	}
	if n := h.waiting(); n >= maxWaiting {
		h.o.Log.Error("webhook event dropped, too many wait", "comp", "hook", "ref", key, "waiting", n)
		return nil // nobody has taken any for long: the box must go on
	}
	body, err := json.Marshal(map[string]any{"type": event, "timestamp": h.o.Now().UTC().Format(time.RFC3339), "data": data})
	if err != nil {
		return fmt.Errorf("webhook event %s: %w", event, err)
	}
	for _, k := range wants {
		if _, err := h.put(ctx, payload{Hook: k.ID, Event: event, Body: body}, key); err != nil {
			return err
		}
	}
	return nil
}

// put stores a delivery; one without a key is made by hand, and comes before others.
func (h *Hooks) put(ctx context.Context, p payload, key string) (uint64, error) {
	if p.ID == "" {
		raw := make([]byte, 16)
		if _, err := rand.Read(raw); err != nil {
			return 0, fmt.Errorf("webhook event %s: %w", p.Event, err)
		}
		p.ID = "msg_" + hex.EncodeToString(raw)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return 0, fmt.Errorf("webhook event %s: %w", p.Event, err)
	}
	j := transports.Job{Dest: p.Hook, Payload: raw, Priority: byHand}
	if key != "" {
		j.Key, j.Priority = key+"\x00"+p.Hook, 0
	}
	id, err := h.queue.Put(ctx, j)
	if err != nil {
		return 0, fmt.Errorf("webhook event %s: %w", p.Event, err)
	}
	return id, nil
}

// Counts returns the number of deliveries by state.
func (h *Hooks) Counts() map[transports.State]int { return h.queue.Counts() }

func (h *Hooks) waiting() int {
	c := h.queue.Counts()
	return c[transports.Queued] + c[transports.Leased] + c[transports.RetryWait]
}
