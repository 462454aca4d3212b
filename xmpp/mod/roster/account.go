package roster

import (
	"slices"
	"strings"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// account is the roster of one local user, in memory while somebody uses it.
type account struct {
	owner  jid.JID
	shared xmpp.SharedRoster
	once   sync.Once // loads
	err    error     // why loading went wrong
	refs   int       // users and unfinished entries; guarded by Module.mu

	// mu is the account's entity lock: it may be held while calling
	// Tables.LaterAll, never while waiting for the disk or calling hooks. It
	// guards what follows.
	mu       sync.Mutex
	items    []*item              // sorted by contact; replaced as a whole, so readers need the lock only to pick it up
	listed   int                  // items with listed
	overlays int                  // items with overlay
	requests int                  // items with a request
	own      digest               // of the kept items
	summed   bool                 // own is known
	told     string               // version of the computed items, as clients have been told
	raises   map[jid.JID]struct{} // items that clients have been told are raised by a group; nil for none
	queue    []*entry
	running  bool // somebody works on the queue
	handed   bool // the queue waits for a teller
	long     int  // entries of the queue that are long
}

func byContact(it *item, contact jid.JID) int {
	return strings.Compare(it.contact.String(), contact.String())
}

// find looks a contact up in a sorted list; nil when absent.
func find(items []*item, contact jid.JID) *item {
	if i, ok := slices.BinarySearchFunc(items, contact, byContact); ok {
		return items[i]
	}
	return nil
}

// snapshot is the list as it is now. The caller must not change it.
func (a *account) snapshot() []*item {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.items
}

// put replaces what is known of a contact; an empty item removes it. Needs mu.
func (a *account) put(contact jid.JID, next *item) {
	if next != nil && next.empty() {
		next = nil
	}
	i, found := slices.BinarySearchFunc(a.items, contact, byContact)
	if found {
		a.count(a.items[i], -1)
	}
	if next != nil {
		a.count(next, 1)
		a.raise(next)
	} else {
		delete(a.raises, contact)
	}
	switch {
	case found && next != nil:
		a.items = slices.Clone(a.items)
		a.items[i] = next
	case found:
		a.items = slices.Concat(a.items[:i], a.items[i+1:])
	case next != nil:
		items := make([]*item, 0, len(a.items)+1)
		items = append(items, a.items[:i]...)
		items = append(items, next)
		a.items = append(items, a.items[i:]...)
	}
}

func (a *account) count(it *item, n int) {
	if it.request != nil {
		a.requests += n
	}
	switch {
	case it.listed:
		a.listed += n
	case it.overlay:
		a.overlays += n
	default:
		return
	}
	if !a.summed {
		return
	}
	if n > 0 {
		a.own.add(it.digest())
	} else {
		a.own.remove(it.digest())
	}
}

// version is the roster's ver: that of the computed items and that of the user's
// own part. The first is the one that clients have been told of, so that none is
// given the version of a change whose pushes are yet to come. Needs mu.
func (a *account) version() string {
	if !a.summed {
		a.own = digest{}
		for _, it := range a.items {
			if it.kept() {
				a.own.add(it.digest())
			}
		}
		a.summed = true
	}
	sum := a.own
	for contact := range a.raises {
		sum.add(digestOf([]byte("raised " + contact.String())))
	}
	var space [96]byte
	ver := sum.append(space[:0])
	if a.told != "" {
		ver = append(append(ver, '.'), a.told...)
	}
	return string(ver)
}

// raise notes whether an item of the user's own is raised by a group, and
// reports that this is new. Needs mu.
func (a *account) raise(it *item) (changed bool) {
	is := it.listed && !it.state.hasFrom() && !a.sees(it.contact) && a.seen(it.contact)
	if _, was := a.raises[it.contact]; was == is {
		return false
	}
	if !is {
		delete(a.raises, it.contact)
		return true
	}
	if a.raises == nil {
		a.raises = make(map[jid.JID]struct{})
	}
	a.raises[it.contact] = struct{}{}
	return true
}

// acquire gives a local account, loaded; release must follow. The lock order
// is account.mu before Module.mu.
func (m *Module) acquire(owner jid.JID) (*account, error) {
	m.mu.Lock()
	a := m.accounts[owner]
	if a == nil {
		m.sweep()
		owner = owner.Clone()
		a = &account{owner: owner, shared: m.shared}
		m.accounts[owner] = a
	}
	a.refs++
	m.mu.Unlock()
	a.once.Do(func() { a.err = m.load(a) })
	if a.err != nil {
		m.mu.Lock()
		a.refs--
		if m.accounts[a.owner] == a { // the next one tries again
			delete(m.accounts, a.owner)
		}
		m.mu.Unlock()
		return nil, a.err
	}
	return a, nil
}

// release ends what acquire or hold began.
func (m *Module) release(a *account) {
	m.mu.Lock()
	a.refs--
	m.mu.Unlock()
}

// hold keeps an account that is in use already in memory.
func (m *Module) hold(a *account) {
	m.mu.Lock()
	a.refs++
	m.mu.Unlock()
}

// sweep drops accounts that nobody uses and that have nobody online, when there
// are many. Needs m.mu. It runs again only when as many have come as stayed, so
// a load costs little on average.
func (m *Module) sweep() {
	if len(m.accounts) < m.sweepAt {
		return
	}
	for owner, a := range m.accounts {
		if a.refs == 0 && len(m.host.Sessions(owner)) == 0 {
			delete(m.accounts, owner)
		}
	}
	m.sweepAt = max(idleAccounts, 2*len(m.accounts))
}

// load reads an account from the tables. A record that cannot be read is left
// where it is, logged and passed over: the rest of the roster stays usable.
func (m *Module) load(a *account) error {
	first, end := keyRange(a.owner)
	var items []*item
	skip := func(err error) {
		m.log.Error("unreadable roster record passed over", "user", a.owner.String(), "err", err)
	}
	err := m.roster.Range(first, end, false, func(k string, raw []byte) bool {
		_, contact, err := contactOf(k)
		if err == nil {
			var it *item
			if it, err = decodeItem(contact, raw); err == nil {
				items = append(items, it)
				return true
			}
		}
		skip(err)
		return true
	})
	if err != nil {
		return err
	}
	type pending struct {
		contact jid.JID
		raw     []byte
	}
	var reqs []pending
	err = m.requests.Range(first, end, false, func(k string, raw []byte) bool {
		_, contact, err := contactOf(k)
		if err != nil {
			skip(err)
			return true
		}
		reqs = append(reqs, pending{contact, slices.Clone(raw)})
		return true
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = m.shared.Version(a.owner)
	a.items = items // keys sort as contacts do
	for _, it := range items {
		a.count(it, 1)
		a.raise(it)
	}
	for _, p := range reqs {
		s, err := decodeRequest(p.raw)
		if err != nil {
			skip(err)
			continue
		}
		a.put(p.contact, withRequest(find(a.items, p.contact), p.contact, s))
	}
	return nil
}

// read reads what the tables hold of one contact; nil when nothing.
func (m *Module) read(owner, contact jid.JID) (*item, error) {
	k := key(owner, contact)
	var rec itemRecord
	var it *item
	ok, err := m.roster.Get(k, &rec)
	if err != nil {
		return nil, err
	}
	if ok {
		if it, err = rec.item(contact); err != nil {
			return nil, err
		}
	}
	var req requestRecord
	if ok, err = m.requests.Get(k, &req); err != nil || !ok {
		return it, err
	}
	s, err := req.parse()
	if err != nil {
		return nil, err
	}
	return withRequest(it, contact, s), nil
}
