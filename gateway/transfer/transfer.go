// Package transfer takes accounts out of doorway and into it as files of the
// portable format of XMPP servers (XEP-0227 1.1): SCRAM keys, roster with the
// requests that wait, offline messages, private storage, vCard, blocked addresses
// as a privacy list, personal eventing, message archive. Each part is written and
// read by the module that keeps it (xmpp.Portable).
//
// An export holds keys by which somebody could pretend to be this server, or
// guess passwords: it is written for its owner only. An import is checked
// wholly before anything is changed; an account is imported in one commit or not
// at all, and one that exists is never touched. Only its archive lies in another
// file of the store and is committed first.
//
// XInclude is followed where XEP-0227 §5 wants it (Flatten). Left out:
// pubsub and rooms of other owners, which the format leaves out; people and groups
// of the office, which have a format of their own; XInclude with parse or
// xpointer.
//
// The package starts no goroutine.
package transfer

import (
	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
)

// The namespaces of the format, and of doorway's own addition: an element
// <account name='Alice A.' disabled='true'/>.
const (
	space        = "urn:xmpp:pie:0"
	spaceScram   = "urn:xmpp:pie:0#scram"
	spaceAccount = "urn:doorway:account:0"
	spaceInclude = "http://www.w3.org/2001/XInclude"
)

// mechanisms are the names of hashes in the format.
var mechanisms = map[string]sasl.Hash{"SCRAM-SHA-256": sasl.SHA256, "SCRAM-SHA-1": sasl.SHA1}

// Accounts is what the package needs of people.People.
type Accounts interface {
	Exists(local string) bool
	// Adopt makes an account with rows of other tables in the same commit.
	Adopt(a people.Adoption, rows map[string]map[string]any) error
}

// House is a server that accounts come into.
type House struct {
	Domain   string
	Accounts Accounts
	Parts    []xmpp.Portable
	// Clear takes away what an import of that account that failed has left behind.
	Clear func(account jid.JID) error
}

// States of an account in a Report.
const (
	Imported = "imported"
	Possible = "possible" // what a trial says in the place of Imported
	Refused  = "refused"
)

// Result is what became of one account of a file.
type Result struct {
	Account string   `json:"account"` // as the file names it: name@host
	Line    int      `json:"line"`
	State   string   `json:"state"`
	Problem *Problem `json:"problem,omitempty"` // why it was refused
	Notes   []string `json:"notes,omitempty"`   // what was left out
}

// Problem is what is wrong at a line of a file.
type Problem struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func (p *Problem) Error() string { return p.Text }
