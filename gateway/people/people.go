// Package people keeps accounts with their credentials, the people of the house
// and its shared groups.
//
// Who has an account is a person; people without one are reached at an address
// elsewhere or by phone. Groups have people, phones, addresses and other groups
// as members. What they make of rosters is worked out in gateway/people/shared.
//
// Everything but photos is answered from memory and written through: a change
// returns after it is on disk, and changes of people and groups (Edit) are all
// or nothing. Of a password only SCRAM keys are kept (RFC 5802 §3,
// RFC 7677), for SHA-256 and, for old clients, SHA-1. Names are prepared and
// checked as localparts (RFC 7622 §3.3).
//
// Left out: roles.
//
// The package starts no goroutine.
package people

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"doorway/gateway/store"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
)

// Iterations is the cost of new SCRAM keys (RFC 7677 §4 asks for at least
// 4096). The client does the work at each login, the server once for each new
// password and each PLAIN login: about 1 ms with SHA-256 on x86-64. More
// makes a stolen database harder to guess and logins on slow phones longer.
const Iterations = sasl.DefaultIterations

// MinPassword is the length in characters that a new password must have.
const MinPassword = 8

const (
	saltLen  = 16
	seedLen  = 32
	maxName  = 200  // characters of a display name
	maxLocal = 1023 // bytes (RFC 7622 §3.3)
	seedKey  = "fake_seed"
)

// Errors, to be used with errors.Is. ErrName and ErrPassword come inside an
// *Error, whose Text says what is wrong.
var (
	ErrExists   = errors.New("there is already an account of that name")
	ErrUnknown  = errors.New("there is no account of that name")
	ErrName     = errors.New("name not allowed")
	ErrPassword = errors.New("password not allowed")
)

// Error is an error with a sentence for the person who typed.
type Error struct {
	Text string // a sentence, with what to do next
	Err  error  // for the log
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Account is one local XMPP account.
type Account struct {
	Local   string    `json:"local"` // canonical localpart
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	// Disabled accounts cannot log in; everything that belongs to them stays.
	Disabled bool `json:"disabled,omitempty"`
}

// record is an account as the table "accounts" holds it, under its localpart.
type record struct {
	V int `json:"v"`
	Account
	Keys map[sasl.Hash]keys `json:"keys"`
}

// keys is sasl.Keys with names of its own on disk.
type keys struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored"`
	ServerKey  []byte `json:"server"`
}

// seed is the value of "fake_seed" in the table "settings".
type seed struct {
	V    int    `json:"v"`
	Seed []byte `json:"seed"`
}

var _ sasl.Credentials = (*People)(nil)

// People answers from memory and writes through. Safe for concurrent use.
type People struct {
	store *store.Store
	table *store.Table
	house House
	seed  []byte

	change sync.Mutex // held by one change at a time, across its commit
	state  atomic.Pointer[State]

	mu        sync.RWMutex // guards what follows
	accounts  map[string]*record
	observers []func(ctx context.Context, before, after *State)
	watchers  []func(local string)
	barred    []func(local string) // told of each disabled account
}

// Open reads the tables "accounts", "people" and "groups". It makes the box's
// secret in "settings" at the first start, and a person for each account that
// has none.
func Open(s *store.Store, h House) (*People, error) {
	p := &People{store: s, table: s.Table("accounts"), house: h, accounts: make(map[string]*record)}
	var bad error
	err := p.table.Range("", "", false, func(local string, raw []byte) bool {
		r := &record{}
		if err := json.Unmarshal(raw, r); err != nil {
			bad = fmt.Errorf("account %q: %w", local, err)
			return false
		}
		r.Local = local
		p.accounts[local] = r
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("open accounts: %w", err)
	}
	var sd seed
	settings := s.Table("settings")
	found, err := settings.Get(seedKey, &sd)
	if err != nil {
		return nil, fmt.Errorf("open accounts: %w", err)
	}
	if !found || len(sd.Seed) != seedLen {
		sd = seed{V: 1, Seed: random(seedLen)}
		if err := settings.Write(map[string]any{seedKey: sd}); err != nil {
			return nil, fmt.Errorf("open accounts: %w", err)
		}
	}
	p.seed = sd.Seed
	if err := p.openState(s); err != nil {
		return nil, err
	}
	return p, nil
}

// random returns n bytes for keys; crypto/rand never fails.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // ignored: it ends the program rather than fail
	return b
}

// Exists reports whether there is an account of that canonical localpart.
func (p *People) Exists(local string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.accounts[local] != nil
}

// Keys returns the SCRAM keys of a canonical localpart (sasl.Credentials).
func (p *People) Keys(_ context.Context, local string, h sasl.Hash) (sasl.Keys, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	r := p.accounts[local]
	if r == nil {
		return sasl.Keys{}, false
	}
	k, ok := r.Keys[h]
	return sasl.Keys(k), ok
}

// FakeSeed is the box's secret for the salts of accounts that do not exist
// (sasl.Credentials). It stays the same for the life of the store.
func (p *People) FakeSeed() []byte { return p.seed }

// Account returns one account by its canonical localpart.
func (p *People) Account(local string) (Account, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if r := p.accounts[local]; r != nil {
		return r.Account, true
	}
	return Account{}, false
}

// List returns all accounts in order of localpart.
func (p *People) List() []Account {
	p.mu.RLock()
	list := make([]Account, 0, len(p.accounts))
	for _, r := range p.accounts {
		list = append(list, r.Account)
	}
	p.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].Local < list[j].Local })
	return list
}

// Add creates an account with its person: the person of that id who has no
// address yet, else a new one. ErrExists, or an *Error about a bad name or
// password. local need not be canonical.
func (p *People) Add(local, password, name string) error {
	canonical, err := Prepare(local)
	if err != nil {
		return err
	}
	if name, err = line("person's name", name, maxName); err != nil {
		return &Error{Text: err.Error(), Err: ErrName}
	}
	if p.Exists(canonical) {
		return fmt.Errorf("add %s: %w", canonical, ErrExists)
	}
	k, err := derive(password)
	if err != nil {
		return err
	}
	return p.Edit(context.Background(), func(e *Edit) error { return e.addAccount(canonical, name, k) })
}

// SetPassword replaces the keys; ErrUnknown, or an *Error about a bad password.
func (p *People) SetPassword(local, password string) error {
	canonical, err := Prepare(local)
	if err != nil {
		return err
	}
	if !p.Exists(canonical) {
		return fmt.Errorf("set password of %s: %w", canonical, ErrUnknown)
	}
	k, err := derive(password)
	if err != nil {
		return err
	}
	p.change.Lock()
	defer p.change.Unlock()
	p.mu.RLock()
	old := p.accounts[canonical]
	p.mu.RUnlock()
	if old == nil {
		return fmt.Errorf("set password of %s: %w", canonical, ErrUnknown)
	}
	r := *old
	r.Keys = k
	return p.save(&r)
}

// save writes a record, then shows it. change is held.
func (p *People) save(r *record) error {
	if err := p.table.Write(map[string]any{r.Local: r}); err != nil {
		return fmt.Errorf("save account %s: %w", r.Local, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accounts[r.Local] = r
	return nil
}

// Remove deletes the account and its person; ErrUnknown. Watchers are told
// after the commit.
func (p *People) Remove(local string) error {
	canonical, err := Prepare(local)
	if err != nil {
		return err
	}
	return p.Edit(context.Background(), func(e *Edit) error { return e.removeAccount(canonical) })
}

// OnRemove registers f, called with the localpart of each removed account,
// from the goroutine that called Remove; f must not change accounts itself.
// Before the first Remove only.
func (p *People) OnRemove(f func(local string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = append(p.watchers, f)
}

// derive makes the keys of a new password, each with a salt of its own.
func derive(password string) (map[sasl.Hash]keys, error) {
	if !utf8.ValidString(password) {
		return nil, &Error{Text: "The password is not valid UTF-8 text. Choose another one.", Err: ErrPassword}
	}
	if n := utf8.RuneCountInString(password); n < MinPassword {
		has := fmt.Sprintf("%d characters", n)
		if n == 1 {
			has = "one character"
		}
		return nil, &Error{Text: fmt.Sprintf("The password has %s; choose one of at least %d.", has, MinPassword), Err: ErrPassword}
	}
	all := make(map[sasl.Hash]keys, 2)
	for _, h := range []sasl.Hash{sasl.SHA256, sasl.SHA1} {
		k, err := sasl.Derive(password, random(saltLen), Iterations, h)
		if err != nil { // RFC 8265 §4.2.1: only characters of the FreeformClass
			return nil, &Error{
				Text: "The password has a character that clients cannot send, such as a control character. Choose another one.",
				Err:  fmt.Errorf("%w: %w", ErrPassword, err),
			}
		}
		all[h] = keys(k)
	}
	return all, nil
}

// Prepare returns the canonical form of a localpart (RFC 7622 §3.3), or an
// *Error whose Text says what is allowed.
func Prepare(local string) (string, error) {
	bad := func(text string, err error) (string, error) {
		if err == nil {
			err = ErrName
		}
		return "", &Error{Text: text, Err: err}
	}
	switch {
	case local == "":
		return bad("The name of the account is empty. Give a name such as alice.", nil)
	case !utf8.ValidString(local):
		return bad("The name of the account is not valid UTF-8 text. Type it again.", nil)
	case len(local) > maxLocal:
		return bad(fmt.Sprintf("The name of the account is longer than %d bytes. Choose a shorter one.", maxLocal), nil)
	}
	if before, _, ok := strings.Cut(local, "@"); ok && before != "" {
		return bad(fmt.Sprintf("Give only the part before the @: %q instead of %q.", before, local), nil)
	}
	const allowed = `Letters, digits and signs such as . - _ + are allowed; spaces and " & ' / : < > @ are not.`
	j, err := jid.New(local, "localhost", "")
	if err != nil {
		return bad(fmt.Sprintf("%q cannot be the name of an account. %s", local, allowed), fmt.Errorf("%w: %w", ErrName, err))
	}
	return j.Local(), nil
}
