// Package jid holds the XMPP address (RFC 7622), kept in canonical form.
//
// Localparts are prepared with the PRECIS profile UsernameCaseMapped (RFC
// 8265 §3.3), resourceparts with OpaqueString (RFC 8265 §4.2), domainparts
// after IDNA2008 (RFC 5891, mapped as in UTS 46) to lower-case U-labels. An
// address of plain ASCII that is canonical already, which is nearly every one
// on the wire, is checked in one pass and allocates nothing; the others go
// through a small bounded cache. Escaping after XEP-0106 is here too.
//
// Left out: the package does not resolve domains, and it refuses what DNS
// could never hold (underscores, empty labels, labels over 63 octets).
// Everything is safe for concurrent use and no goroutine is started.
package jid

import (
	"errors"
	"fmt"
	"strings"
)

// JID is a canonical XMPP address. The zero value is "no address". Equal
// addresses compare equal with ==; a JID may be a map key. It refers to the
// string it was parsed from when that was canonical already: use Clone before
// keeping one that came from a network buffer or from a stanza.
type JID struct {
	s      string
	at, sl uint16 // length of localpart; length of "local@domain"
}

// maxPart is the largest prepared part in bytes (RFC 7622 §3.2–3.4).
const maxPart = 1023

// ErrMalformed is wrapped by every error of this package; its stanza error is
// jid-malformed.
var ErrMalformed = errors.New("malformed address")

func malformed(part, why string) error {
	return fmt.Errorf("%w: %s %s", ErrMalformed, part, why)
}

// Parse prepares and checks s (RFC 7622 §3).
func Parse(s string) (JID, error) {
	if j, ok := parseCanonical(s); ok {
		return j, nil
	}
	return parseSlow(s)
}

// New builds a JID from parts, each prepared and checked; local and resource may be empty.
func New(local, domain, resource string) (JID, error) {
	var err error
	if local != "" {
		if local, err = prepareLocal(local); err != nil {
			return JID{}, err
		}
	}
	if domain, err = prepareDomain(domain); err != nil {
		return JID{}, err
	}
	if resource != "" {
		if resource, err = prepareResource(resource); err != nil {
			return JID{}, err
		}
	}
	return join(local, domain, resource), nil
}

// join puts prepared parts together.
func join(local, domain, resource string) JID {
	var b strings.Builder
	b.Grow(len(local) + len(domain) + len(resource) + 2)
	if local != "" {
		b.WriteString(local)
		b.WriteByte('@')
	}
	b.WriteString(domain)
	sl := b.Len()
	if resource != "" {
		b.WriteByte('/')
		b.WriteString(resource)
	}
	return JID{s: b.String(), at: uint16(len(local)), sl: uint16(sl)}
}

// MustParse is Parse for constants and tests; it panics on error.
func MustParse(s string) JID {
	j, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

// String is the canonical address, "" for the zero JID.
func (j JID) String() string { return j.s }

// Local is the localpart, "" when there is none.
func (j JID) Local() string { return j.s[:j.at] }

// Domain is the domainpart, "" only for the zero JID.
func (j JID) Domain() string {
	if j.at == 0 {
		return j.s[:j.sl]
	}
	return j.s[j.at+1 : j.sl]
}

// Resource is the resourcepart, "" when there is none.
func (j JID) Resource() string {
	if int(j.sl) == len(j.s) {
		return ""
	}
	return j.s[j.sl+1:]
}

// Bare is the address without its resource.
func (j JID) Bare() JID { return JID{s: j.s[:j.sl], at: j.at, sl: j.sl} }

// DomainJID is the domain alone.
func (j JID) DomainJID() JID {
	d := j.Domain()
	return JID{s: d, sl: uint16(len(d))}
}

// WithResource replaces the resource, which is prepared and checked; "" is an
// error, as is a zero JID.
func (j JID) WithResource(r string) (JID, error) {
	if j.IsZero() {
		return JID{}, malformed("address", "is empty")
	}
	r, err := prepareResource(r)
	if err != nil {
		return JID{}, err
	}
	return JID{s: j.s[:j.sl] + "/" + r, at: j.at, sl: j.sl}, nil
}

// IsZero reports "no address".
func (j JID) IsZero() bool { return j.s == "" }

// IsBare reports that the JID has no resource and is not zero.
func (j JID) IsBare() bool { return j.s != "" && int(j.sl) == len(j.s) }

// IsFull reports that the JID has a resource.
func (j JID) IsFull() bool { return int(j.sl) != len(j.s) }

// Clone is the same address in memory of its own.
func (j JID) Clone() JID {
	j.s = strings.Clone(j.s)
	return j
}

// MarshalText gives the canonical address; "" for the zero JID.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.s), nil }

// UnmarshalText parses an address; an empty text is the zero JID.
func (j *JID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*j = JID{}
		return nil
	}
	p, err := Parse(string(b))
	if err != nil {
		return err
	}
	*j = p
	return nil
}
