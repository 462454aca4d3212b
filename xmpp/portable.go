package xmpp

import (
	"fmt"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Portable is an optional ability of a Module, for a type assertion: what it
// keeps of an account can be taken to another server and back (XEP-0227). Safe
// for concurrent use.
type Portable interface {
	// Export calls write with each element that stands for it inside <user/>,
	// with the namespaces it needs. An error of write is returned.
	Export(account jid.JID, write func(xml string) error) error
	// Import stages what an element inside <user/> says, for an account that has
	// nothing yet. ok false: some other module's element. An error is a sentence
	// about what is wrong with it, and nothing of the account is imported then.
	Import(i *Import, el *stanza.Element) (ok bool, err error)
}

// Import is an account in the making. It belongs to one goroutine.
type Import struct {
	Account jid.JID
	// Rows is what is committed in one piece with the account itself: table, key, value.
	Rows map[string]map[string]any
	// Before runs ahead of that commit, for what lies in another file of the
	// store; After runs behind it, for what modules have in memory.
	Before []func() error
	After  []func()
	// Notes are sentences about what was left out.
	Notes []string
}

// Put stages a row.
func (i *Import) Put(table, key string, value any) {
	if i.Rows == nil {
		i.Rows = make(map[string]map[string]any)
	}
	if i.Rows[table] == nil {
		i.Rows[table] = make(map[string]any)
	}
	i.Rows[table][key] = value
}

// Note says that something was left out.
func (i *Import) Note(format string, a ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, a...))
}
