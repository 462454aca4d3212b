// Package pubsub keeps nodes with items for many owners (XEP-0060 1.30) and
// answers the requests about them: publish with preconditions, retract, purge,
// items in pages (XEP-0059), nodes with their configuration, affiliations and
// subscriptions. mod/pep makes the personal eventing of accounts of it
// (XEP-0163), and decides who is told of what.
//
// An owner's nodes change one change at a time: it is checked and staged in a
// Tx, written in one commit together with what others add to it, waited for,
// and only then visible and told. Told are the changes of one owner in the
// order of their commits, by one goroutine at a time, that of whoever came
// first, without a lock.
//
// A node's configuration, and what is there of its items, is in memory while it
// is used, bounded in bytes; items lie on disk, but for small last ones. Nodes
// are rows "owner, NUL, name" of the table pubsub_nodes, items rows "owner, NUL,
// name, NUL, id" of pubsub_items.
//
// Left out: collections, the access model authorize, subscription options and
// ids (one subscription for each address), items that expire, a last item of
// nodes that do not persist theirs. The package starts no goroutine.
package pubsub

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// The namespaces of XEP-0060 §16.
const (
	Space       = "http://jabber.org/protocol/pubsub"
	SpaceOwner  = Space + "#owner"
	SpaceEvent  = Space + "#event"
	SpaceErrors = Space + "#errors"
)

// Tables of the store.
const (
	tableNodes = "pubsub_nodes"
	tableItems = "pubsub_items"
)

// Rules says who an owner's contacts are. Safe for concurrent use.
type Rules interface {
	// SeesPresence is the access model presence.
	SeesPresence(owner, viewer jid.JID) bool
	// Groups returns the roster groups that owner has viewer in, for the access model roster.
	Groups(owner, viewer jid.JID) []string
}

// Limits bound what one owner may keep. Zero fields take the defaults.
type Limits struct {
	Nodes     int   // 250
	Items     int   // of one node, and what "max" means: 1,000
	ItemBytes int   // of one payload: 128 KiB
	Bytes     int64 // of all payloads of an owner: 4 MiB
	People    int   // affiliations, and subscriptions, of one node: 200
}

func (l Limits) effective() Limits {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or(&l.Nodes, 250)
	or(&l.Items, 1000)
	or(&l.ItemBytes, 128<<10)
	or(&l.People, 200)
	if l.Bytes == 0 {
		l.Bytes = 4 << 20
	}
	return l
}

// DefaultCache is how many bytes of nodes stay in memory when Config names none.
const DefaultCache = 4 << 20

// Config is what a Service is made of.
type Config struct {
	Rules  Rules
	Limits Limits
	Cache  int // bytes of nodes in memory beside those in use; 0 means DefaultCache
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service keeps the nodes. Safe for concurrent use after modules have loaded.
type Service struct {
	conf   Config
	limits Limits
	tables xmpp.Tables
	nodes  xmpp.Table
	items  xmpp.Table
	log    *slog.Logger

	// Made while modules load, and frozen then.
	defaults map[string]NodeConfig
	before   map[string]func(*Tx, *Op) error
	watch    []func(context.Context, *Event)

	mu       sync.Mutex // guards what follows, and account.refs, cost and place
	accounts map[jid.JID]*account
	idle     *list.List // accounts nobody uses, the least recently used first
	bytes    int        // of those
}

// New makes a service. It can do nothing before Open.
func New(c Config) *Service {
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{
		conf: c, limits: c.Limits.effective(),
		defaults: make(map[string]NodeConfig), before: make(map[string]func(*Tx, *Op) error),
		accounts: make(map[jid.JID]*account), idle: list.New(),
	}
}

// Open takes the tables. Each module that uses the service calls it in Load;
// the first call counts.
func (s *Service) Open(h xmpp.Host) {
	if s.nodes == nil {
		s.tables, s.nodes, s.items = h.Tables(), h.Table(tableNodes), h.Table(tableItems)
		s.log = h.Log().With("comp", "pubsub")
	}
}

// Default says how a node of that name is configured when nobody has said
// anything else. Called while modules load.
func (s *Service) Default(name string, c NodeConfig) { s.defaults[name] = c }

// Before has f see what people ask to change of a node of that name, before it
// is staged. f may change the operation, add changes of its own to the
// transaction, or refuse with an error. What modules change by Change is not
// shown to f. One f for each name; called while modules load.
func (s *Service) Before(name string, f func(tx *Tx, op *Op) error) { s.before[name] = f }

// Watch has f called for each event, in order for each owner, after it is on
// disk, without a lock. Called while modules load.
func (s *Service) Watch(f func(ctx context.Context, e *Event)) { s.watch = append(s.watch, f) }

// account is one owner's nodes.
type account struct {
	owner jid.JID
	once  sync.Once // loads it
	err   error

	changes sync.Mutex // one change at a time, until it is on disk

	mu      sync.Mutex       // guards what follows; a leaf
	nodes   map[string]*node // never changed in place but for what caches
	out     []func(context.Context)
	telling bool

	refs  int // guarded by Service.mu, as is the rest
	cost  int
	place *list.Element
}

// acquire returns an owner's account, loaded; release must follow.
func (s *Service) acquire(owner jid.JID) (*account, error) {
	owner = owner.Bare()
	s.mu.Lock()
	a := s.accounts[owner]
	if a == nil {
		a = &account{owner: owner.Clone()}
		s.accounts[a.owner] = a
	}
	if a.refs++; a.place != nil {
		s.idle.Remove(a.place)
		s.bytes -= a.cost
		a.place = nil
	}
	s.mu.Unlock()
	a.once.Do(func() { a.nodes, a.err = s.load(a.owner) })
	if a.err != nil {
		s.mu.Lock()
		if a.refs--; s.accounts[a.owner] == a {
			delete(s.accounts, a.owner) // the next one tries again
		}
		s.mu.Unlock()
		return nil, fmt.Errorf("read nodes of %s: %w", owner, a.err)
	}
	return a, nil
}

// release puts an account back, and the least recently used ones away.
func (s *Service) release(a *account) {
	a.mu.Lock()
	cost := a.weigh()
	a.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.refs--; a.refs > 0 || s.accounts[a.owner] != a {
		return
	}
	a.cost = cost
	a.place = s.idle.PushBack(a)
	s.bytes += cost
	for s.bytes > s.conf.Cache {
		old := s.idle.Remove(s.idle.Front()).(*account)
		s.bytes -= old.cost
		old.place = nil
		delete(s.accounts, old.owner)
	}
}

// weigh is about how many bytes an account takes in memory. Needs mu.
func (a *account) weigh() int {
	n := 400 + len(a.owner.String())
	for _, x := range a.nodes {
		n += x.weigh()
	}
	return n
}

// tell calls what is queued, without the lock, unless somebody is at it, who
// will. Needs mu, and gives it up.
func (a *account) tell(ctx context.Context) {
	if a.telling {
		a.mu.Unlock()
		return
	}
	a.telling = true
	defer func() {
		a.telling = false
		a.mu.Unlock()
	}()
	for len(a.out) > 0 {
		out := a.out
		a.out = nil
		func() {
			a.mu.Unlock()
			defer a.mu.Lock() // also when one of them panics
			for _, f := range out {
				f(ctx)
			}
		}()
	}
}

// Purge forgets everything that a removed owner has kept.
func (s *Service) Purge(owner jid.JID) error {
	owner = owner.Bare()
	a, err := s.acquire(owner)
	if err != nil {
		return err
	}
	defer s.release(a)
	a.changes.Lock()
	defer a.changes.Unlock()
	gone := map[string]map[string]any{tableNodes: {}, tableItems: {}}
	for name, t := range map[string]xmpp.Table{tableNodes: s.nodes, tableItems: s.items} {
		err := t.Range(owner.String()+"\x00", owner.String()+"\x01", false, func(key string, _ []byte) bool {
			gone[name][key] = nil
			return true
		})
		if err != nil {
			return fmt.Errorf("purge nodes of %s: %w", owner, err)
		}
	}
	if err := s.commit(gone); err != nil {
		return fmt.Errorf("purge nodes of %s: %w", owner, err)
	}
	a.mu.Lock()
	a.nodes = map[string]*node{}
	a.mu.Unlock()
	return nil
}

// commit writes rows and waits until they are on disk.
func (s *Service) commit(rows map[string]map[string]any) error {
	done := make(chan error, 1)
	s.tables.LaterAll(rows, func(err error) { done <- err })
	return <-done
}
