// Package token keeps the bearer tokens of programs that use the HTTP API
// (RFC 6750): one for each integration, with scopes, an expiry, a rate and the networks
// from which it may come without TLS.
//
// A token is 256 random bits behind the prefix "dw_", shown once; the table
// "tokens" holds its SHA-256. Rotate changes them, and takes the old ones for a
// while longer. Everything is answered from memory and written
// through: a change returns after it is on disk. The package starts no goroutine.
package token

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Scopes of a token; Admin includes the others.
const (
	SMSSend = "sms.send"
	SMSRead = "sms.read"
	Admin   = "admin"
)

// Scopes lists what a token can be allowed.
var Scopes = []string{SMSSend, SMSRead, Admin}

// Prefix begins each token, so that scanners for leaked secrets know one.
const Prefix = "dw_"

// maxTokens bounds the tokens of one box.
const maxTokens = 1000

// Errors, to be used with errors.Is; a refused request comes as *Error.
var (
	ErrUnknown = errors.New("there is no such token")
	ErrRefused = errors.New("token not made")
)

// Error is an error with a sentence for the person who typed.
type Error struct {
	Text string
	Err  error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Token is what is known of a token but its secret.
type Token struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"` // of the integration, for people
	Scopes   []string       `json:"scopes"`
	Networks []netip.Prefix `json:"networks,omitempty"` // from where it may come without TLS
	Created  time.Time      `json:"created"`
	Expires  time.Time      `json:"expires,omitzero"` // zero: never
	Used     time.Time      `json:"used,omitzero"`    // to the hour
	Rate     Rate           `json:"rate,omitzero"`
	// OldUntil is how long the secret before the last rotation is taken, and OldUsed when it last was, to the hour.
	OldUntil time.Time `json:"old_until,omitzero"`
	OldUsed  time.Time `json:"old_used,omitzero"`
}

// Allows reports that the token has a scope.
func (t Token) Allows(scope string) bool {
	return slices.Contains(t.Scopes, scope) || slices.Contains(t.Scopes, Admin)
}

// record is a token as the table "tokens" holds it, under its id.
type record struct {
	V int `json:"v"`
	Token
	Hash string `json:"hash"`          // SHA-256 in hex
	Old  string `json:"old,omitempty"` // of the secret before, until OldUntil
}

// Table is what the book needs of the table "tokens".
type Table interface {
	Write(changes map[string]any) error
	Later(changes map[string]any, done func(error))
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error
}

// Book holds the tokens. Safe for concurrent use.
type Book struct {
	table Table
	now   func() time.Time

	change sync.Mutex // one change at a time

	mu     sync.Mutex // guards what follows; never held over the disk
	byID   map[string]record
	byHash map[string]string    // hash → id
	spent  map[string]time.Time // id → when all of its rate is there again
}

// Open reads the tokens.
func Open(t Table, now func() time.Time) (*Book, error) {
	b := &Book{table: t, now: now, byID: map[string]record{}, byHash: map[string]string{}, spent: map[string]time.Time{}}
	var bad error
	err := t.Range("", "", false, func(key string, raw []byte) bool {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			bad = fmt.Errorf("token %q: %w", key, err)
			return false
		}
		b.list(r)
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("open tokens: %w", err)
	}
	return b, nil
}

// Add makes a token and returns its secret, which is not kept. It returns after fsync.
func (b *Book) Add(t Token) (Token, string, error) {
	if err := check(&t, b.now()); err != nil {
		return Token{}, "", err
	}
	b.change.Lock()
	defer b.change.Unlock()
	b.mu.Lock()
	n, taken := len(b.byID), false
	for _, r := range b.byID {
		taken = taken || strings.EqualFold(r.Name, t.Name)
	}
	b.mu.Unlock()
	switch {
	case taken:
		return Token{}, "", refuse("There is already a token called %q. Revoke it first, or choose another name.", t.Name)
	case n >= maxTokens:
		return Token{}, "", refuse("There are %d tokens already. Revoke those that nobody uses: `doorway token list` shows when each was used.", n)
	}
	raw, err := random()
	if err != nil {
		return Token{}, "", err
	}
	secret := secretOf(raw)
	t.ID, t.Created, t.Used = hex.EncodeToString(raw[32:]), b.now().Round(0).UTC(), time.Time{}
	t.OldUntil, t.OldUsed = time.Time{}, time.Time{}
	r := record{V: 1, Token: t, Hash: hashOf(secret)}
	if err := b.table.Write(map[string]any{t.ID: r}); err != nil {
		return Token{}, "", fmt.Errorf("keep token: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list(r)
	return t, secret, nil
}

// random returns the bits of a secret, and those of an id behind them.
func random() ([]byte, error) {
	raw := make([]byte, 40)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("make token: %w", err)
	}
	return raw, nil
}

func secretOf(raw []byte) string { return Prefix + base64.RawURLEncoding.EncodeToString(raw[:32]) }

func refuse(format string, a ...any) error {
	return &Error{Text: fmt.Sprintf(format, a...), Err: ErrRefused}
}

func check(t *Token, now time.Time) error {
	t.Name = strings.TrimSpace(t.Name)
	if t.Name == "" || utf8.RuneCountInString(t.Name) > 100 || strings.ContainsAny(t.Name, "\n\r\t") {
		return refuse("A token needs a name of at most 100 characters, such as the program that uses it.")
	}
	if len(t.Scopes) == 0 {
		t.Scopes = []string{SMSSend, SMSRead}
	}
	for _, s := range t.Scopes {
		if !slices.Contains(Scopes, s) {
			return refuse("There is no scope %q. The scopes are %s.", s, strings.Join(Scopes, ", "))
		}
	}
	if !t.Expires.IsZero() && !t.Expires.After(now) {
		return refuse("The token would have expired already. Choose a time in the future.")
	}
	return nil
}

func hashOf(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// Check returns the token of a secret; false when there is none or it has
// expired. Only hashes are compared, so the time it takes tells nothing of a secret.
func (b *Book) Check(secret string) (Token, bool) {
	hash, now := hashOf(secret), b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	id, ok := b.byHash[hash]
	r := b.byID[id]
	if !ok || !r.Expires.IsZero() && !now.Before(r.Expires) || hash == r.Old && !now.Before(r.OldUntil) {
		return Token{}, false
	}
	used := &r.Used
	if hash == r.Old {
		used = &r.OldUsed
	}
	if hour := now.Truncate(time.Hour).UTC(); used.Before(hour) {
		*used = hour
		b.byID[id] = r
		b.table.Later(map[string]any{id: r}, nil) // Later never waits for the disk; a lost hour harms nobody
	}
	return r.Token, true
}

// List returns the tokens by name.
func (b *Book) List() []Token {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Token, 0, len(b.byID))
	for _, r := range b.byID {
		if !now.Before(r.OldUntil) {
			r.OldUntil, r.OldUsed = time.Time{}, time.Time{}
		}
		list = append(list, r.Token)
	}
	sort.Slice(list, func(i, j int) bool {
		x, y := &list[i], &list[j]
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) < 0
	})
	return list
}

// Revoke deletes a token by its id or name, and returns it; ErrUnknown. It returns after fsync.
func (b *Book) Revoke(which string) (Token, error) {
	b.change.Lock()
	defer b.change.Unlock()
	r, err := b.find(which)
	if err != nil {
		return Token{}, err
	}
	// From now on it is refused, also when the disk does not take it.
	b.mu.Lock()
	b.unlist(r)
	delete(b.spent, r.ID)
	b.mu.Unlock()
	if err := b.table.Write(map[string]any{r.ID: nil}); err != nil {
		return r.Token, fmt.Errorf("the token %q is refused from now on, but after a restart it would be taken again, since the disk did not take the change: %w", r.Name, err)
	}
	return r.Token, nil
}

// find is the token with an id or name; ErrUnknown.
func (b *Book) find(which string) (record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.byID[which]
	for _, x := range b.byID {
		if !ok && strings.EqualFold(x.Name, which) {
			r, ok = x, true
		}
	}
	if !ok {
		return record{}, &Error{Text: fmt.Sprintf("There is no token %q. `doorway token list` shows them.", which), Err: ErrUnknown}
	}
	return r, nil
}
