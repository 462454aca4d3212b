package roster

import (
	"context"
	"slices"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// diff is one contact of a user that a change of groups touches.
type diff struct {
	contact       jid.JID
	before, after *xmpp.SharedItem
}

// news is what one diff means for a user's clients.
type news struct {
	contact jid.JID
	push    *stanza.Stanza // nil when the contact looks as before
	own     bool           // push is nobody else's
	lost    bool           // a group does not show the contact any more
	gained  bool           // one does that did not
}

// round is one change of groups on its way to those who are online.
type round struct {
	m      *Module
	change xmpp.SharedChange
	late   []*account // for tellers, who begin when all have taken their turn
	long   int        // users whom tellers have not told yet; guarded by backlog.mu

	// What the goroutine that made the change tells is written out in portions.
	ctx      context.Context
	flush    func()
	gathered int
	pushes   int // told so far

	// Its own, used again for each user.
	diffs  []diff
	differ func(contact jid.JID, before, after *xmpp.SharedItem) // appends to diffs
	list   []news
	user   jid.JID
	report func(context.Context) // of list to user

	mu sync.Mutex // guards what follows
	// interim are pushes that are not a user's last of this change, which all
	// users share who see the contact alike.
	interim map[*xmpp.SharedItem]*stanza.Stanza
	removed map[jid.JID]*stanza.Stanza
}

// interimVersion is the ver of every push of a change but a user's last one. No
// roster has it: who stops listening in between gets the whole roster the next
// time (RFC 6121 §2.6.3).
const interimVersion = "-"

// changed tells those who are online of a change of groups: roster pushes, and
// presence of contacts that came and went. It runs in the goroutine of whoever made
// the change, and what it tells takes its turn with the user's own changes. Where
// it is much, it only takes its turn here, and tellers tell it.
func (m *Module) changed(ctx context.Context, c xmpp.SharedChange) {
	m.losses.Add(1)
	m.backlog.wait()
	r := &round{m: m, change: c,
		interim: make(map[*xmpp.SharedItem]*stanza.Stanza), removed: make(map[jid.JID]*stanza.Stanza)}
	r.ctx, r.flush = m.gather(ctx)
	r.differ = func(contact jid.JID, before, after *xmpp.SharedItem) {
		r.diffs = append(r.diffs, diff{contact, before, after})
	}
	r.report = func(ctx context.Context) { m.report(ctx, r.user, r.list) }
	var users []jid.JID
	c.Users(func(user jid.JID) { users = append(users, user) })
	for _, user := range users {
		r.one(user)
		if r.gathered >= portion {
			r.flush()
			r.ctx, r.flush = m.gather(ctx)
			r.gathered = 0
		}
	}
	r.raises()
	r.flush()
	for _, a := range r.late {
		m.drain(ctx, a)
		m.release(a)
	}
}

// one tells one user whose items differ.
func (r *round) one(user jid.JID) {
	m := r.m
	if len(m.host.Sessions(user)) == 0 {
		if a := m.loaded(user); a != nil {
			a.mu.Lock()
			a.told = m.shared.Version(user)
			a.mu.Unlock()
			m.release(a)
		}
		return
	}
	r.diffs = r.diffs[:0]
	r.change.Items(user, r.differ)
	diffs := r.diffs
	a, err := m.acquire(user)
	if err != nil {
		m.log.Error("change of groups not told", "user", user.String(), "err", err)
		return
	}
	defer m.release(a)
	a.mu.Lock()
	a.told = m.shared.Version(user)
	if len(a.items) > 0 {
		for _, d := range diffs {
			if it := find(a.items, d.contact); it != nil {
				a.raise(it)
			}
		}
	}
	if len(diffs) > fewPushes || r.pushes+len(diffs) > roundPushes {
		if r.later(a) {
			m.hold(a)
			r.late = append(r.late, a)
		}
		a.mu.Unlock()
		return
	}
	r.list = r.news(r.list[:0], a, diffs, a.items, a.version())
	r.pushes += len(r.list)
	r.gathered += len(r.list)
	switch {
	case len(r.list) == 0:
		a.mu.Unlock()
		m.drain(r.ctx, a)
	case a.turn():
		a.mu.Unlock()
		r.user = a.owner
		m.now(r.ctx, a, r.report)
	default: // somebody else will tell it
		list := slices.Clone(r.list)
		m.tell(a, func(ctx context.Context) { m.report(ctx, a.owner, list) })
		a.mu.Unlock()
		m.drain(r.ctx, a)
	}
}

// news appends what differences mean for a user's clients, who had these items when
// the change took its turn; version is the one that they have after it.
func (r *round) news(list []news, a *account, diffs []diff, items []*item, version string) []news {
	for i := len(diffs) - 1; i >= 0; i-- { // from the end: the last push has the version
		n, ok := r.what(a, diffs[i], find(items, diffs[i].contact), version)
		if !ok {
			continue
		}
		if list = append(list, n); n.push != nil {
			version = interimVersion
		}
	}
	slices.Reverse(list)
	return list
}

// what is what one difference means.
func (r *round) what(a *account, d diff, it *item, ver string) (n news, ok bool) {
	n = news{contact: d.contact, lost: d.before != nil && d.after == nil, gained: d.before == nil && d.after != nil}
	if it != nil && it.state.hasTo() {
		n.lost, n.gained = false, false // seen all the time
	}
	switch {
	case it.plain() && d.before == d.after:
		return n, false
	case it.plain() && ver == interimVersion:
		n.push = r.shared(d)
		return n, true
	case it.plain():
		n.push, n.own = pushed(pushXML(ver, d.contact, a.shown(nil, d.after))), true
		return n, true
	}
	// Whether the contact saw the user before is not known here; so what comes or
	// goes is told in any case.
	if was, is := a.shown(it, d.before), a.shown(it, d.after); was != is || d.before == nil || d.after == nil {
		n.push, n.own = pushed(pushXML(ver, d.contact, is)), true
	}
	return n, n.push != nil || n.lost || n.gained
}

// shared is an interim push of a contact to which the user added nothing.
func (r *round) shared(d diff) *stanza.Stanza {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.after == nil {
		p := r.removed[d.contact]
		if p == nil {
			p = pushed(pushXML(interimVersion, d.contact, ""))
			r.removed[d.contact] = p
		}
		return p
	}
	p := r.interim[d.after]
	if p == nil {
		p = pushed(pushXML(interimVersion, d.contact, d.after.XML))
		r.interim[d.after] = p
	}
	return p
}

// raises tells users whose own items rose to from, or fell from it, because the
// contact has come to see them through a group or does so no longer. Such a contact
// is no computed item, so the change does not name it.
func (r *round) raises() {
	for _, a := range r.m.everybody() {
		a.mu.Lock()
		var list []news
		for _, it := range a.items {
			if it.listed && !it.state.hasFrom() && a.raise(it) && !a.sees(it.contact) {
				list = append(list, news{contact: it.contact, push: pushed(a.pushXML(it.contact, a.shown(it, nil)))})
			}
		}
		if len(list) > 0 {
			r.m.tell(a, func(ctx context.Context) { r.m.report(ctx, a.owner, list) })
		}
		a.mu.Unlock()
		if len(list) > 0 {
			r.m.drain(r.ctx, a)
		}
		r.m.release(a)
	}
}

// report pushes to the user's clients what has changed. A contact that is lost
// becomes unavailable first, one that is gained shows its presence after the push.
func (m *Module) report(ctx context.Context, user jid.JID, list []news) {
	comings := false
	for _, n := range list {
		comings = comings || n.lost || n.gained
	}
	here := comings && m.available(user) > 0
	for _, n := range list {
		if n.lost && here && !m.stillSees(user, n.contact) {
			m.vanish(ctx, n.contact, user)
		}
		if n.push != nil {
			m.spread(ctx, user, n.push, n.own)
		}
		if n.gained && here {
			m.appear(ctx, n.contact, user)
		}
	}
}

// stillSees reports that a user who has lost a contact of a group may see its presence.
func (m *Module) stillSees(user, contact jid.JID) bool {
	if contact.Domain() == m.host.Domainpart() {
		return m.SeesPresence(contact, user)
	}
	return m.Subscription(user, contact) == "to" || m.Subscription(user, contact) == "both"
}

// vanish has a contact become unavailable to a user who may see it no longer. A
// contact elsewhere hears of it as of a user who is gone, so that it sends nothing
// more; an account that was removed has said Farewell.
func (m *Module) vanish(ctx context.Context, contact, user jid.JID) {
	if contact.Domain() == m.host.Domainpart() {
		if m.host.Exists(contact) {
			m.hide(ctx, contact, user)
		}
		return
	}
	m.host.Send(ctx, stanza.New(stanza.Presence, "unavailable", "", contact, user, ""), quiet)
	m.host.Send(ctx, stanza.New(stanza.Presence, "unavailable", "", user, contact, ""), quiet)
}

// quiet has the router keep to itself that a contact elsewhere cannot be reached.
func quiet(error) {}

// appear has the current presence of a contact sent to a user who may see it now:
// by the answer to a probe, in which blocking has its say.
func (m *Module) appear(ctx context.Context, contact, user jid.JID) {
	if contact.Domain() == m.host.Domainpart() {
		m.show(ctx, contact, user)
		return
	}
	m.host.Send(ctx, stanza.New(stanza.Presence, "probe", "", user, contact, ""), quiet)
}

// loaded gives an account if it is in memory, nil otherwise; release must follow.
func (m *Module) loaded(owner jid.JID) *account {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[owner]
	if a != nil {
		a.refs++
	}
	return a
}

// everybody gives all accounts in memory; release must follow for each.
func (m *Module) everybody() []*account {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*account, 0, len(m.accounts))
	for _, a := range m.accounts {
		a.refs++
		list = append(list, a)
	}
	return list
}
