package xmpp

import (
	"context"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
)

// CommandSpace is the namespace and feature of ad-hoc commands (XEP-0050), and
// the node of their list. Who hosts a domain and registers commands for it puts
// it among the domain's features.
const CommandSpace = "http://jabber.org/protocol/commands"

// Commands takes ad-hoc commands (XEP-0050; mod/command implements it): menus
// and forms that a client shows without knowing what they are about. Safe for
// concurrent use.
type Commands interface {
	// Command registers one, usually before the listeners open. A domain may
	// offer each node once; the domain itself need not be there yet.
	Command(c Command) error
}

// Command is one ad-hoc command of one domain.
type Command struct {
	Domain string // the hosted domain that offers it; "" for the server's own
	Node   string // its name for programs, unique in the domain
	Name   string // its name in menus
	// May says who can run it; others neither see it nor run it (forbidden).
	// It is asked again at every step, answers from memory and is safe for
	// concurrent use. nil: everybody.
	May func(asker jid.JID) bool
	// Run makes the first page.
	Run CommandFunc
}

// CommandFunc makes the next page of a command; nil means that it is over and
// nothing needs to be said. What it changes is on disk when it returns.
//
// A *stanza.Error is the answer as it is, and the asker may try this page
// again. TryAgain shows the page again with a sentence and with what was filled
// in. Any other error becomes internal-server-error and is logged.
//
// One execution is one goroutine at a time; different ones run concurrently.
type CommandFunc func(ctx context.Context, call *CommandCall) (*CommandPage, error)

// CommandCall is what a CommandFunc is given.
type CommandCall struct {
	Asker jid.JID // full JID
	Lang  string  // xml:lang of the request
	// Form is what was filled in. It agrees with the page's form (form.Check):
	// the required fields are there, values are of their kinds. Never nil; empty
	// at Run, and where the page asked nothing.
	Form *form.Form
}

// CommandPage is one step of a command: what is shown, and what comes next.
// Its closures hold the state, so an execution that is forgotten, cancelled or
// timed out leaves nothing behind.
type CommandPage struct {
	// Form is of type form when Submit is set, else of type result; nil for none.
	Form *form.Form
	// Notes are sentences for the asker. A command that ends without having done
	// its work has at least one of severity error (XEP-0050 §3.6).
	Notes []CommandNote
	// Payload is XML beside the form with namespaces of its own, "" for none.
	Payload string
	// Submit takes the filled-in form and makes the next page; nil: this is the end.
	Submit CommandFunc
	// Last says that Submit ends the command, so that clients say "finish" and
	// not "next". The asker can go back to earlier pages: nothing should have
	// been changed before the last Submit.
	Last bool
}

// CommandNote is a sentence with a severity (XEP-0050 §4.3).
type CommandNote struct {
	Severity CommandSeverity
	Text     string
}

// CommandSeverity is info, warn or error.
type CommandSeverity string

// The three severities.
const (
	CommandInfo    CommandSeverity = "info"
	CommandWarning CommandSeverity = "warn"
	CommandFailure CommandSeverity = "error"
)

// CommandDone is a last page of one sentence.
func CommandDone(text string) *CommandPage {
	return &CommandPage{Notes: []CommandNote{{CommandInfo, text}}}
}

// CommandFailed is a last page that says why nothing was done.
func CommandFailed(text string) *CommandPage {
	return &CommandPage{Notes: []CommandNote{{CommandFailure, text}}}
}

// TryAgain is an error that shows the page again with a sentence.
func TryAgain(text string) error { return &CommandAgain{text} }

// CommandAgain is what TryAgain returns.
type CommandAgain struct{ Text string }

func (e *CommandAgain) Error() string { return e.Text }

// Nodes answers service discovery for nodes of the addresses that it knows
// (mod/disco asks it; mod/command is one). Safe for concurrent use.
type Nodes interface {
	// Node answers a disco#info or disco#items request that names a node:
	// the whole <query/>, or an error for the asker. ok false: not its node.
	Node(ctx context.Context, iq *IQ, node string) (query string, ok bool, err error)
}

// Items is an optional ability of Nodes, for a type assertion: what an account
// lists when it is asked for its items without a node.
type Items interface {
	// Items calls f for each item of the account iq.To that the asker, who sees
	// its presence, may know of.
	Items(ctx context.Context, iq *IQ, f func(address jid.JID, node, name string)) error
}
