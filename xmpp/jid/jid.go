// Package jid holds the XMPP address (RFC 7622), kept in canonical form.
package jid

import "errors"

// JID is a canonical XMPP address. The zero value is "no address". Equal
// addresses compare equal with ==; a JID may be a map key. It refers to the
// string it was parsed from when that was canonical already: use Clone before
// keeping one that came from a network buffer or from a stanza.
type JID struct {
	s      string
	at, sl uint16 // length of localpart; length of "local@domain"
}

// ErrMalformed is wrapped by every error of this package; its stanza error is
// jid-malformed.
var ErrMalformed = errors.New("malformed address")

// Parse prepares and checks s (RFC 7622 §3).
func Parse(s string) (JID, error) { panic("skeleton") }

// New builds a JID from parts, each prepared and checked; local and resource may be empty.
func New(local, domain, resource string) (JID, error) { panic("skeleton") }

// MustParse is Parse for constants and tests; it panics on error.
func MustParse(s string) JID { panic("skeleton") }

func (j JID) String() string                     { return j.s }
func (j JID) Local() string                      { panic("skeleton") }
func (j JID) Domain() string                     { panic("skeleton") }
func (j JID) Resource() string                   { panic("skeleton") }
func (j JID) Bare() JID                          { panic("skeleton") }
func (j JID) DomainJID() JID                     { panic("skeleton") } // the domain alone
func (j JID) WithResource(r string) (JID, error) { panic("skeleton") }
func (j JID) IsZero() bool                       { return j.s == "" }
func (j JID) IsBare() bool                       { panic("skeleton") } // has no resource and is not zero
func (j JID) IsFull() bool                       { panic("skeleton") }
func (j JID) Clone() JID                         { panic("skeleton") } // refers to memory of its own
func (j JID) MarshalText() ([]byte, error)       { return []byte(j.s), nil }
func (j *JID) UnmarshalText(b []byte) error      { panic("skeleton") }

// Escape and Unescape are XEP-0106.
func Escape(local string) string   { panic("skeleton") }
func Unescape(local string) string { panic("skeleton") }
