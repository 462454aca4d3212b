package roster

import (
	"context"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// subscription builds a stanza of the server's own between two bare JIDs.
func subscription(v verb, id string, from, to jid.JID) *stanza.Stanza {
	return stanza.New(stanza.Presence, v.String(), id, from, to, "")
}

// hide sends unavailable presence from each available resource of a user to a
// contact that is about to lose, or has given up, its subscription.
func (m *Module) hide(ctx context.Context, user, contact jid.JID) {
	for _, s := range m.host.Sessions(user) {
		if p, _ := s.Presence(); p != nil {
			m.host.Send(ctx, stanza.New(stanza.Presence, "unavailable", "", s.JID(), contact, ""), nil)
		}
	}
}

// show has the current presence of each available resource sent to a contact
// that may see it now (RFC 6121 §3.1.5): the answer to a probe in its name.
func (m *Module) show(ctx context.Context, user, contact jid.JID) {
	for _, s := range m.host.Sessions(user) {
		if p, _ := s.Presence(); p != nil {
			m.host.Send(ctx, stanza.New(stanza.Presence, "probe", "", contact, user, ""), nil)
			return
		}
	}
}

// approve sends a subscribed and then the user's presence. To a local contact
// that waits for the contact's own commit, lest the presence come before its
// clients know what it is for (RFC 6121 §3.1.6).
func (m *Module) approve(ctx context.Context, st *stanza.Stanza) {
	if st.To.Domain() != m.host.Domainpart() {
		m.host.Send(ctx, st, nil)
		m.show(ctx, st.From, st.To)
		return
	}
	m.host.Send(ctx, st, func(err error) {
		if err == nil { // ignored otherwise: the contact's disk refused, which is logged there
			m.show(context.Background(), st.From, st.To) // ctx's batch may be over
		}
	})
}

// sent takes the four subscription stanzas of a client (RFC 6121 appendix A.2):
// reduced to bare JIDs, the change on disk, then on their way, then pushed. It
// waits for that, so that what the client sends next stays behind.
func (m *Module) sent(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	v, ok := verbOf(d.Stanza.Type)
	if !ok {
		return xmpp.Pass, nil
	}
	if d.Stanza.To.IsZero() {
		return xmpp.Done, stanza.NewError(stanza.BadRequest, "A subscription needs the contact's address.")
	}
	user, contact := d.Stanza.From.Bare(), d.Stanza.To.Bare().Clone()
	if user == contact {
		return xmpp.Done, nil // everybody sees themselves (RFC 6121 §4.2.2)
	}
	a, err := m.acquire(user)
	if err != nil {
		return xmpp.Done, err
	}
	defer m.release(a)
	st := d.Stanza.WithFrom(a.owner).WithTo(contact)
	a.mu.Lock()
	e, err := m.send(a, v, st)
	a.mu.Unlock()
	if e == nil {
		return xmpp.Done, err
	}
	if err := m.settle(ctx, a, e); err != nil {
		return xmpp.Done, err
	}
	<-e.done // it may run in another's hands
	return xmpp.Done, nil
}

// send queues what a client's subscription stanza does: the cell of its state, or
// less where a group grants what it is about. The entry is nil when that is
// nothing. Needs a.mu.
func (m *Module) send(a *account, v verb, st *stanza.Stanza) (*entry, error) {
	contact := st.To
	old := find(a.items, contact)
	next := item{contact: contact}
	if old != nil {
		next = *old
	}
	was, cell := next.state, outbound[v][next.state]
	granted := a.grants(v, contact)
	switch {
	case granted && v == subscribe:
		e := newEntry(func(ctx context.Context) { // nobody needs to be asked
			m.deliver(ctx, subscribed, a.owner, nil, subscription(subscribed, st.ID, contact, a.owner))
		})
		m.enqueue(a, e)
		return e, nil
	case granted && v == subscribed && !was.in():
		return nil, nil // it is approved
	case granted && v != subscribed && contact.Domain() != m.host.Domainpart():
		cell.route = false
	}
	next.state = cell.next
	if !next.state.in() {
		next.request = nil
	}
	switch {
	case cell.approve:
		next.approved = true
	case v == unsubscribed:
		next.approved = false // RFC 6121 §3.2.2, §3.4.2
	}
	if !next.listed && (next.approved || next.state.out() || next.state.subscription() != "none") {
		if next.listed, next.overlay = true, false; a.listed >= maxItems {
			return nil, full()
		}
	}
	var push string
	e := newEntry(func(ctx context.Context) {
		if v == unsubscribed && was.hasFrom() && !granted {
			m.hide(ctx, a.owner, contact) // while it still may see it (§3.2.2)
		}
		if cell.route && v == subscribed {
			m.approve(ctx, st)
		} else if cell.route {
			m.host.Send(ctx, st, nil)
		}
		m.push(ctx, a.owner, push)
	})
	e.waited = true
	m.commit(a, contact, old, &next, e)
	push = a.pushOf(contact, old, &next)
	return e, nil
}

// grants reports that a group grants what a subscription stanza of the user's
// to a contact is about.
func (a *account) grants(v verb, contact jid.JID) bool {
	if v == subscribe || v == unsubscribe {
		return a.sees(contact)
	}
	return a.seen(contact)
}

// received takes subscription stanzas for a local account (RFC 6121 appendix
// A.3). Those for an unknown one are silently ignored (§8.5.1).
func (m *Module) received(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	v, ok := verbOf(d.Stanza.Type)
	if !ok {
		return xmpp.Pass, nil
	}
	user, contact := d.Stanza.To.Bare(), d.Stanza.From.Bare().Clone()
	if !d.Exists || user == contact {
		return xmpp.Done, nil
	}
	a, err := m.acquire(user)
	if err != nil {
		return xmpp.Done, err
	}
	defer m.release(a)
	st := d.Stanza.WithFrom(contact).WithTo(a.owner)
	a.mu.Lock()
	old := find(a.items, contact)
	next := item{contact: contact}
	if old != nil {
		next = *old
	}
	was, cell := next.state, inbound[v][next.state]
	switch granted := a.granted(v, contact); {
	case granted && v == subscribe:
		cell = inCell{next: was, reply: asSubscribed}
	case granted && v != subscribed: // the user's own part ends, and nobody notices
		cell = inCell{next: cell.next}
	case v == subscribe && next.approved && !was.hasFrom():
		cell = preApproved(was)
	}
	asks := cell.next.in() && !was.in()
	if cell == (inCell{next: was}) || asks && a.requests >= maxRequests {
		a.mu.Unlock()
		return xmpp.Done, nil
	}
	if next.state = cell.next; !next.state.in() {
		next.request = nil
	} else if asks {
		next.request = kept(st)
	}
	var targets []xmpp.Session
	if cell.deliver && v == subscribe {
		targets = m.greetedNow(a.owner)
	}
	done := d.Await()
	var push string
	e := newEntry(func(ctx context.Context) {
		defer done(nil)
		if cell.deliver {
			m.deliver(ctx, v, a.owner, targets, st)
		}
		m.push(ctx, a.owner, push)
		switch cell.reply {
		case asSubscribed:
			m.approve(ctx, subscription(subscribed, st.ID, a.owner, contact))
		case asUnsubscribed:
			if was.hasFrom() {
				m.hide(ctx, a.owner, contact) // RFC 6121 §3.3.3
			}
			m.host.Send(ctx, subscription(unsubscribed, st.ID, a.owner, contact), nil)
		}
	})
	e.refuse = done
	m.commit(a, contact, old, &next, e)
	push = a.pushOf(contact, old, &next)
	a.mu.Unlock()
	if !e.changed {
		m.drain(ctx, a)
	}
	return xmpp.Done, nil
}

// granted is grants for a stanza of the contact's to the user.
func (a *account) granted(v verb, contact jid.JID) bool {
	if v == subscribe || v == unsubscribe {
		return a.seen(contact)
	}
	return a.sees(contact)
}

// kept is the form in which a request waits: the whole stanza (RFC 6121
// §3.1.3), or its header when it is so large that it can only be an attack.
func kept(st *stanza.Stanza) *stanza.Stanza {
	if st.Size() > maxRequestSize {
		return st.WithInner("")
	}
	return st
}

// deliver gives a subscription stanza to the user's clients: a request to the
// available resources (chosen when it came), the rest to the interested ones,
// before the push (RFC 6121 §3.1.6, §3.2.3, §3.3.3).
func (m *Module) deliver(ctx context.Context, v verb, user jid.JID, targets []xmpp.Session, st *stanza.Stanza) {
	if v == subscribe {
		for _, s := range targets {
			if p, _ := s.Presence(); p != nil {
				m.host.Deliver(ctx, s, st)
			}
		}
		return
	}
	for _, s := range m.host.Sessions(user) {
		if s.Value(&interested) != nil {
			m.host.Deliver(ctx, s, st)
		}
	}
}

// greetedNow lists the resources that have been given the requests that wait.
// One that becomes available in this moment finds the new request among them
// instead, so that nobody gets it twice. Needs the account's lock.
func (m *Module) greetedNow(user jid.JID) []xmpp.Session {
	var out []xmpp.Session
	for _, s := range m.host.Sessions(user) {
		if s.Value(&greeted) != nil {
			out = append(out, s)
		}
	}
	return out
}

// greet follows a broadcast of presence. At the first one of a presence session
// the resource gets every request that waits for an answer (RFC 6121 §3.1.3),
// and the user's own requests that nobody has answered go out again when this
// is the only resource that is available (§3.1.2), once for each stream: an answer, or the request
// itself, may have been lost on the way.
func (m *Module) greet(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	s := d.Sender
	if s == nil || !d.Stanza.To.IsZero() {
		return xmpp.Pass, nil
	}
	switch {
	case d.Stanza.Type == "unavailable":
		s.SetValue(&greeted, nil)
		return xmpp.Pass, nil
	case d.Stanza.Type != "" || s.Value(&greeted) != nil:
		return xmpp.Pass, nil
	}
	a, err := m.acquire(s.JID().Bare())
	if err != nil {
		return xmpp.Pass, err
	}
	defer m.release(a)
	again := s.Value(&resent) == nil && m.available(a.owner) <= 1
	s.SetValue(&resent, true)
	a.mu.Lock()
	s.SetValue(&greeted, true)
	var requests []*stanza.Stanza
	var asked []jid.JID
	for _, it := range a.items {
		if it.request != nil && !a.seen(it.contact) {
			requests = append(requests, it.request)
		}
		if again && it.state.out() && !a.sees(it.contact) {
			asked = append(asked, it.contact)
		}
	}
	m.tell(a, func(ctx context.Context) {
		for _, r := range requests {
			m.host.Deliver(ctx, s, r)
		}
		for _, c := range asked {
			m.host.Send(ctx, subscription(subscribe, "", a.owner, c), nil)
		}
	})
	a.mu.Unlock()
	m.drain(ctx, a)
	return xmpp.Pass, nil
}

// available counts the available resources of a user.
func (m *Module) available(user jid.JID) int {
	n := 0
	for _, s := range m.host.Sessions(user) {
		if p, _ := s.Presence(); p != nil {
			n++
		}
	}
	return n
}
