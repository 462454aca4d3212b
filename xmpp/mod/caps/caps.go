// Package caps knows what clients can do (XEP-0115 1.6), and tells them by the
// same means what the server can.
//
// A client's presence names a hash of its features. A hash that is not known is
// asked for once, at one of the clients that use it; its answer is kept for all
// of them when the hash is right (sha-1 or sha-256), else for that one stream
// only, and the next client is asked. What is kept is bounded in bytes; what was
// used least recently goes first.
//
// The server's own hash is in the stream features; the answer to a disco#info
// with that node is given here, any other by the disco module.
//
// Run is the package's only goroutine; it gives up on clients that do not
// answer. A session has one pointer.
package caps

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

const (
	ns           = "http://jabber.org/protocol/caps"
	prioPresence = 120 // at Outbound, behind the presence module (100), which refuses what is wrong
	prioAnswer   = 50  // at Inbound

	maxInfo  = 32 << 10 // bytes of one answer
	maxName  = 1 << 10  // bytes of a hash and its node
	patience = 30 * time.Second
)

// DefaultBytes is how much is kept when New is not told.
const DefaultBytes = 1 << 20

// key finds what is known of a session's client.
var key = xmpp.Key{Name: "caps"}

// Module is XEP-0115. Safe for concurrent use after Load.
type Module struct {
	node    string
	limit   int
	host    xmpp.Host
	home    jid.JID
	watch   []func(context.Context, xmpp.Session)
	queries atomic.Uint64
	server  atomic.Pointer[own] // the server's own, as it was last

	mu      sync.Mutex // guards what follows
	cache   map[version]*entry
	bytes   int
	clock   uint64 // rises with each use of the cache
	pending map[version]*query
}

// version is how a client names its features.
type version struct{ hash, ver string }

// entry is an answer whose hash was right.
type entry struct {
	info *info
	used uint64
}

// query is a hash that one client has been asked for.
type query struct {
	asked   xmpp.Session
	since   time.Time
	waiting []xmpp.Session
	failed  []xmpp.Session // asked before, in vain; a right answer counts for them too
}

// client is what is known of a session's client.
type client struct {
	version
	node string
	id   string // of the request that it has not answered, guarded by Module.mu
	info atomic.Pointer[info]
}

var (
	_ xmpp.Module = (*Module)(nil)
	_ xmpp.Caps   = (*Module)(nil)
)

// New makes the module. node is the URI that names the server's software; bytes
// bounds what is kept of clients, 0 means DefaultBytes.
func New(node string, bytes int) *Module {
	if bytes == 0 {
		bytes = DefaultBytes
	}
	return &Module{node: node, limit: bytes, cache: make(map[version]*entry), pending: make(map[version]*query)}
}

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "caps", Specs: []xmpp.Spec{{Doc: "XEP-0115", Version: "1.6.0", Title: "Entity Capabilities"}}}
}

// Load registers the feature and the hooks.
func (m *Module) Load(h xmpp.Host) error {
	home, err := jid.Parse(h.Domainpart())
	if err != nil {
		return err
	}
	m.host, m.home = h, home
	h.Feature(xmpp.ToHost, ns)
	h.StreamFeature(xmpp.StreamFeature{
		Name: stanza.Name{Space: ns, Local: "c"}, Phase: xmpp.PostAuth,
		Offer: func(xmpp.Stream) string {
			var w xmlstream.Writer
			return w.Start(ns, "c", "hash", "sha-1", "node", m.node, "ver", m.self().ver).End().String()
		},
	})
	h.Presence(xmpp.Outbound, prioPresence, m.presence)
	h.IQHook(xmpp.Inbound, prioAnswer, m.iq)
	h.Session(m.session)
	return nil
}

// Has implements xmpp.Caps.
func (m *Module) Has(full jid.JID, feature string) bool {
	for _, s := range m.host.Sessions(full) {
		if s.JID() == full {
			c := clientOf(s)
			if c == nil {
				return false
			}
			i := c.info.Load()
			return i != nil && i.has(feature)
		}
	}
	return false
}

// Notify implements xmpp.Caps.
func (m *Module) Notify(s xmpp.Session) []string {
	if c := clientOf(s); c != nil {
		if i := c.info.Load(); i != nil {
			return i.notify
		}
	}
	return nil
}

// Watch implements xmpp.Caps.
func (m *Module) Watch(f func(ctx context.Context, s xmpp.Session)) { m.watch = append(m.watch, f) }

func clientOf(s xmpp.Session) *client {
	c, _ := s.Value(&key).(*client)
	return c
}

// learned keeps what is known of clients and tells those who watch.
func (m *Module) learned(ctx context.Context, i *info, sessions ...xmpp.Session) {
	for _, s := range sessions {
		if c := clientOf(s); c != nil && c.info.Swap(i) != i {
			for _, f := range m.watch {
				f(ctx, s)
			}
		}
	}
}

// presence looks at what a client broadcasts.
func (m *Module) presence(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st, s := d.Stanza, d.Sender
	if !st.To.IsZero() || st.Type != "" && st.Type != "unavailable" {
		return xmpp.Pass, nil
	}
	old := clientOf(s)
	v, node := advertised(st)
	switch {
	case v.ver == "":
		if old != nil {
			m.forget(ctx, s, old)
		}
		return xmpp.Pass, nil
	case old != nil && old.version == v && old.node == node:
		return xmpp.Pass, nil
	case old != nil:
		m.forget(ctx, s, old)
	}
	c := &client{version: version{strings.Clone(v.hash), strings.Clone(v.ver)}, node: strings.Clone(node)}
	s.SetValue(&key, c)
	m.find(ctx, s, c)
	return xmpp.Pass, nil
}

// advertised reads <c/>; ver is "" without one, or with one that makes no sense.
func advertised(st *stanza.Stanza) (v version, node string) {
	if st.Type != "" || !strings.Contains(st.Inner(), ns) && !strings.Contains(st.Decls(), ns) {
		return v, ""
	}
	el, _ := st.Child(ns, "c")
	v, node = version{el.Attr("hash"), el.Attr("ver")}, el.Attr("node")
	if len(v.hash)+len(v.ver)+len(node) > maxName || node == "" {
		return version{}, ""
	}
	return v, node
}

func (m *Module) session(ctx context.Context, e xmpp.SessionEvent) {
	if e.Kind != xmpp.SessionClosed {
		return
	}
	if c := clientOf(e.Session); c != nil {
		m.forget(ctx, e.Session, c)
	}
}

// iq takes the answers of clients, and requests with the server's own node.
func (m *Module) iq(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.To != m.home {
		return xmpp.Pass, nil
	}
	switch st.Type {
	case string(stanza.Get):
		return m.described(ctx, st)
	case string(stanza.Result), stanza.TypeError:
		if d.Sender != nil && m.answered(ctx, d.Sender, st) {
			return xmpp.Done, nil
		}
	}
	return xmpp.Pass, nil
}
