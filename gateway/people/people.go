// Package people keeps accounts and their credentials; later persons, phones and groups.
package people

import (
	"context"
	"time"

	"doorway/gateway/store"
	"doorway/xmpp/sasl"
)

// Account is one local XMPP account.
type Account struct {
	Local   string    `json:"local"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
}

// People answers from memory and writes through. Safe for concurrent use.
type People struct{}

// Open reads the table "accounts"; it makes the box's secret in "settings" at the first start.
func Open(s *store.Store) (*People, error) { panic("skeleton") }

func (p *People) Exists(local string) bool { panic("skeleton") }
func (p *People) Keys(ctx context.Context, local string, h sasl.Hash) (sasl.Keys, bool) {
	panic("skeleton")
}
func (p *People) FakeSeed() []byte { panic("skeleton") }

// Add creates an account; ErrExists, or a sentence about a bad name or password.
func (p *People) Add(local, password, name string) error { panic("skeleton") }

// SetPassword replaces the keys; ErrUnknown.
func (p *People) SetPassword(local, password string) error { panic("skeleton") }

// Remove deletes the account. Watchers are told after the commit.
func (p *People) Remove(local string) error { panic("skeleton") }

// List returns all accounts in order of localpart.
func (p *People) List() []Account { panic("skeleton") }

// OnRemove registers f, called with the localpart of each removed account. Before the first Remove only.
func (p *People) OnRemove(f func(local string)) { panic("skeleton") }
