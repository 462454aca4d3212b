// Package command runs ad-hoc commands (XEP-0050 1.3.0): menus and forms that
// clients show to people without knowing what they are about. Others register
// commands by the interface xmpp.Commands, for the server's own domain and for
// hosted ones; this package keeps their executions, checks what is filled in,
// and answers service discovery for their nodes. Who may not run a command
// does not see it.
//
// An execution belongs to one full JID and ends when it is completed or
// cancelled, after ten minutes without a step, when the client's session ends,
// or when its user starts more than eight. Its id carries a hash, so that an id
// that was valid once (session-expired) differs from one that never was
// (bad-sessionid) without anything being remembered.
//
// Texts are in English, and say so by xml:lang. A client that prefers another
// language is answered all the same: most stamp their own on every request, so
// that bad-locale, which XEP-0050 §3.7 recommends, is kept for what is no
// language tag. Left out: announcing commands by message (§2.3).
//
// Run is the package's only goroutine; it forgets what has expired.
package command

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const ns = xmpp.CommandSpace

// Limits.
const (
	maxPerUser = 8                // executions of one bare JID; the oldest goes
	maxAll     = 1024             // executions of all; then nobody can start one
	maxBack    = 16               // pages that prev can go back
	lifetime   = 10 * time.Minute // without a step
	maxKept    = 16 << 10         // bytes filled in on one page that prev shows again
	maxNode    = 1023             // bytes of a node's name
)

// Module is XEP-0050. Safe for concurrent use.
type Module struct {
	host  xmpp.Host
	ids   ids
	timer chan struct{} // capacity 1: an execution is there

	mu       sync.Mutex // guards what follows
	commands map[string][]*xmpp.Command
	running  map[string]*execution
	steps    uint64 // rises with each step, for the order of age
}

var (
	_ xmpp.Module   = (*Module)(nil)
	_ xmpp.Commands = (*Module)(nil)
	_ xmpp.Nodes    = (*Module)(nil)
)

// New makes the module.
func New() *Module {
	return &Module{
		ids: newIDs(), timer: make(chan struct{}, 1),
		commands: make(map[string][]*xmpp.Command), running: make(map[string]*execution),
	}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "command", Specs: []xmpp.Spec{
		{Doc: "XEP-0050", Version: "1.3.0", Title: "Ad-Hoc Commands"},
		{Doc: "XEP-0004", Version: "2.13.1", Title: "Data Forms"},
	}}
}

// Load registers the handler. It comes after those who register commands or
// before them, as they like.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	h.IQ(xmpp.ToDomain, stanza.Set, stanza.Name{Space: ns, Local: "command"}, m.answer)
	h.Feature(xmpp.ToHost, ns)
	h.Session(m.session)
	return nil
}

// Command implements xmpp.Commands.
func (m *Module) Command(c xmpp.Command) error {
	if c.Node == "" || len(c.Node) > maxNode || c.Node == ns || c.Run == nil {
		return fmt.Errorf("command %q: needs a node of its own and something to run", c.Node)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(c.Domain, c.Node) != nil {
		return fmt.Errorf("command %q of domain %q: registered twice", c.Node, c.Domain)
	}
	m.commands[c.Domain] = append(m.commands[c.Domain], &c)
	return nil
}

// find returns a command; mu is held.
func (m *Module) find(domain, node string) *xmpp.Command {
	for _, c := range m.commands[domain] {
		if c.Node == node {
			return c
		}
	}
	return nil
}

// at returns the commands of the domain that was asked, in order of
// registration, and the one of that node.
func (m *Module) at(to jid.JID, node string) (list []*xmpp.Command, c *xmpp.Command) {
	domain := to.Domain()
	if domain == m.host.Domainpart() {
		domain = ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list = m.commands[domain]
	return list[:len(list):len(list)], m.find(domain, node)
}

func may(c *xmpp.Command, asker jid.JID) bool { return c.May == nil || c.May(asker) }

// Node implements xmpp.Nodes.
func (m *Module) Node(_ context.Context, iq *xmpp.IQ, node string) (query string, ok bool, err error) {
	if iq.To.Local() != "" {
		return "", false, nil
	}
	list, c := m.at(iq.To, node)
	items := strings.HasSuffix(iq.Payload.Space, "#items")
	var w xmlstream.Writer
	w.Start(iq.Payload.Space, "query", "node", node)
	switch {
	case node == ns && len(list) > 0 && items:
		for _, c := range list {
			if may(c, iq.From) {
				w.Start("", "item", "jid", iq.To.String(), "node", c.Node, "name", c.Name).End()
			}
		}
	case node == ns && len(list) > 0:
		describe(&w, "command-list", "Commands")
	case c == nil:
		return "", false, nil
	case !may(c, iq.From):
		return "", true, forbidden()
	case !items:
		describe(&w, "command-node", c.Name)
	}
	return w.End().String(), true, nil
}

// describe writes what is said of a node (XEP-0050 §2.2).
func describe(w *xmlstream.Writer, typ, name string) {
	w.Start("", "identity", "category", "automation", "type", typ, "name", name).End()
	w.Start("", "feature", "var", ns).End()
	if typ == "command-node" {
		w.Start("", "feature", "var", "jabber:x:data").End()
	}
}

// The errors of XEP-0050 §4.4.

func forbidden() error {
	return &stanza.Error{Type: stanza.Cancel, Condition: stanza.Forbidden, Text: "You may not run this command."}
}

func bad(what, text string) error {
	e := stanza.NewError(stanza.BadRequest, text)
	e.App = "<" + what + " xmlns='" + ns + "'/>"
	return e
}

func expired() error {
	e := stanza.NewError(stanza.NotAllowed, "This command is over: it was completed, cancelled or left alone for too long. Start it again.")
	e.App = "<session-expired xmlns='" + ns + "'/>"
	return e
}
