package roster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// view gives a local account as it is; nil for others.
func (m *Module) view(user jid.JID) *account {
	if !m.host.Exists(user) {
		return nil
	}
	a, err := m.acquire(user)
	if err != nil {
		m.log.Error("roster unreadable", "user", user.String(), "err", err)
		return nil
	}
	m.release(a) // what is read of it stays as it was
	return a
}

// Subscription implements xmpp.Subscriptions: the user's own and the groups' together.
func (m *Module) Subscription(user, contact jid.JID) string {
	user, contact = user.Bare(), contact.Bare()
	a := m.view(user)
	if a == nil {
		return ""
	}
	it, s := find(a.snapshot(), contact), m.shared.Item(user, contact)
	if sum := a.sum(it, s); sum != nil {
		return sum.state.subscription()
	}
	if s != nil {
		return s.Subscription
	}
	return ""
}

// SeesPresence implements xmpp.Subscriptions.
func (m *Module) SeesPresence(owner, viewer jid.JID) bool {
	owner, viewer = owner.Bare(), viewer.Bare()
	if owner == viewer {
		return m.host.Exists(owner)
	}
	if m.shared.Sees(viewer, owner) {
		return true
	}
	a := m.view(owner)
	if a == nil {
		return false
	}
	it := find(a.snapshot(), viewer)
	return it != nil && it.state.hasFrom()
}

// Losses implements xmpp.Losses. It may rise without a loss.
func (m *Module) Losses() uint64 { return m.losses.Load() }

// Contacts implements xmpp.Subscriptions. f is called without a lock, and sees
// the user's own part as it was when Contacts was called. Those who only see the user
// through a group are among them, with from.
func (m *Module) Contacts(user jid.JID, f func(contact jid.JID, subscription string)) {
	if a := m.view(user.Bare()); a != nil {
		m.contacts(a, f)
	}
}

func (m *Module) contacts(a *account, f func(contact jid.JID, subscription string)) {
	items := a.snapshot()
	a.merge(items, func(g func(*xmpp.SharedItem) bool) {
		m.shared.Known(a.owner, g, func(viewer jid.JID) {
			if it := find(items, viewer); it == nil || !it.listed {
				f(viewer, "from")
			}
		})
	}, func(it *item, s *xmpp.SharedItem) bool {
		if s != nil && it.plain() {
			f(s.Contact, s.Subscription)
		} else if sum := a.sum(it, s); sum != nil && (sum.state.hasTo() || sum.state.hasFrom()) {
			f(sum.contact, sum.state.subscription())
		}
		return true
	})
}

// local checks the addresses of a change that another module asks for.
func (m *Module) local(user, contact jid.JID) error {
	if !user.IsBare() || !m.host.Exists(user) {
		return stanza.NewError(stanza.ItemNotFound, "There is no such account.")
	}
	if contact.IsZero() || contact.Bare() == user {
		return stanza.NewError(stanza.NotAllowed, "An account's own address cannot be one of its contacts.")
	}
	return nil
}

// Add implements xmpp.Subscriptions. It returns when the item is on disk; the
// push follows, in the order of commits. Nothing is sent to the contact but,
// when it has come to see the user, the user's current presence. A request that
// the new subscription answers is dropped. It may be called from a Handler, but
// not from a function that a Table calls when it has committed. Errors are *stanza.Error for what
// the caller got wrong (item-not-found, not-allowed, bad-request,
// not-acceptable, resource-constraint), else the disk's.
func (m *Module) Add(ctx context.Context, user, contact jid.JID, name string, groups []string, subscription string) error {
	if err := m.local(user, contact); err != nil {
		return err
	}
	hasTo, hasFrom, ok := parseSubscription(subscription)
	if !ok {
		return stanza.NewError(stanza.BadRequest, fmt.Sprintf("There is no subscription %q.", subscription))
	}
	if err := checkLabels(name, groups, maxGroups); err != nil {
		return err
	}
	a, err := m.acquire(user)
	if err != nil {
		return err
	}
	defer m.release(a)
	contact = contact.Clone()
	a.mu.Lock()
	old := find(a.items, contact)
	next := item{contact: contact}
	if old != nil {
		next = *old
	}
	if !next.listed {
		if a.listed >= maxItems {
			a.mu.Unlock()
			return full()
		}
		if !next.overlay {
			next.groups = groups
		}
		next.listed, next.overlay = true, false
	}
	if next.name == "" {
		next.name = name
	}
	was := next.state
	next.state = stateOf(hasTo, hasFrom, was.out(), was.in())
	if !next.state.in() {
		next.request = nil
	}
	var push string
	e := newEntry(func(ctx context.Context) {
		m.push(ctx, a.owner, push)
		if hasFrom && !was.hasFrom() {
			m.show(ctx, a.owner, contact)
		}
	})
	e.waited = true
	m.commit(a, contact, old, &next, e)
	push = a.pushOf(contact, old, &next)
	a.mu.Unlock()
	return m.settle(ctx, a, e)
}

// Remove implements xmpp.Subscriptions. The contact is told nothing; an absent
// item is no error. It returns when the removal is on disk.
func (m *Module) Remove(ctx context.Context, user, contact jid.JID) error {
	if err := m.local(user, contact); err != nil {
		return err
	}
	a, e, err := m.drop(user, contact)
	if e == nil {
		return err
	}
	defer m.release(a)
	return m.settle(ctx, a, e)
}

// drop queues the removal of an item. The entry is nil, and nothing to be
// released, when there is none.
func (m *Module) drop(user, contact jid.JID) (*account, *entry, error) {
	a, err := m.acquire(user)
	if err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := find(a.items, contact)
	if old == nil {
		m.release(a)
		return nil, nil, nil
	}
	return a, m.remove(a, old, false), nil
}

// Farewell has each resource of a removed local account become unavailable to those
// who see it: when its streams end it has no contacts any more. Call it before they
// are closed, and before Purge.
func (m *Module) Farewell(ctx context.Context, owner jid.JID) {
	a, err := m.acquire(owner.Bare())
	if err != nil {
		m.log.Error("end of an account not told", "user", owner.String(), "err", err)
		return
	}
	defer m.release(a)
	m.contacts(a, func(contact jid.JID, subscription string) {
		if subscription == "from" || subscription == "both" {
			m.hide(ctx, a.owner, contact)
		}
	})
}

// Purge forgets a removed local account: its own items and requests go, contacts
// on other domains are told that the subscriptions have ended, and it is taken
// out of the rosters and the waiting requests of all local accounts, which is
// pushed. It reads the whole roster table. Call it after Farewell, when the
// account's streams are closed and it no longer exists; an interrupted Purge may be
// repeated.
func (m *Module) Purge(ctx context.Context, owner jid.JID) error {
	owner = owner.Bare().Clone()
	items, err := m.forget(owner)
	if err != nil {
		return fmt.Errorf("purge roster of %s: %w", owner, err)
	}
	for _, it := range items {
		if it.contact.Domain() != m.host.Domainpart() {
			m.undo(ctx, owner, it)
		}
	}
	found := make(map[jid.JID][]jid.JID) // other accounts → their items for addresses of owner
	suffix := "\x00" + owner.String()
	for table, t := range map[string]xmpp.Table{tableRoster: m.roster, tableRequests: m.requests} {
		err := t.Range("", "", false, func(k string, _ []byte) bool {
			if !strings.Contains(k, suffix) {
				return true
			}
			user, contact, err := contactOf(k)
			other, err2 := jid.Parse(user)
			if err != nil || err2 != nil || contact.Bare() != owner {
				return true // ignored: not an item for owner
			}
			found[other.Clone()] = append(found[other], contact)
			return true
		})
		if err != nil {
			return fmt.Errorf("purge %s: read table %s: %w", owner, table, err)
		}
	}
	var errs []error
	type step struct {
		a *account
		e *entry
	}
	var steps []step
	for user, contacts := range found {
		for _, c := range contacts {
			a, e, err := m.drop(user, c)
			if e != nil {
				steps = append(steps, step{a, e})
			}
			errs = append(errs, err)
		}
	}
	for _, s := range steps {
		errs = append(errs, m.settle(ctx, s.a, s.e))
		m.release(s.a)
	}
	return errors.Join(errs...)
}

// forget deletes an account's own records and returns what they were.
func (m *Module) forget(owner jid.JID) ([]*item, error) {
	a, err := m.acquire(owner)
	if err != nil {
		return nil, err
	}
	defer m.release(a)
	first, end := keyRange(owner)
	changes := make(map[string]map[string]any)
	for table, t := range map[string]xmpp.Table{tableRoster: m.roster, tableRequests: m.requests} {
		gone := make(map[string]any)
		if err := t.Range(first, end, false, func(k string, _ []byte) bool {
			gone[k] = nil
			return true
		}); err != nil {
			return nil, err
		}
		changes[table] = gone
	}
	done := make(chan error, 1)
	a.mu.Lock()
	items := a.items
	a.items, a.listed, a.overlays, a.requests, a.summed, a.raises = nil, 0, 0, 0, false, nil
	m.host.Tables().LaterAll(changes, func(err error) { done <- err })
	a.mu.Unlock()
	return items, <-done
}
