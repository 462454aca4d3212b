package pubsub

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// subscriber reads whom a request to subscribe is for (XEP-0060 §6.1.3.1).
func (r *request) subscriber() (jid.JID, error) {
	v := r.what.Attr("jid")
	if v == "" {
		return jid.JID{}, fail("", stanza.BadRequest, "jid-required", "The request does not say who is to be subscribed.")
	}
	j, err := jid.Parse(v)
	if err != nil || j.Bare() != r.from.Bare() {
		return jid.JID{}, fail("", stanza.BadRequest, "invalid-jid", "You can subscribe your own address only.")
	}
	return j.Clone(), nil
}

// subscribe is XEP-0060 §6.1. The last item follows (§6.1.7).
func (r *request) subscribe(ctx context.Context) (string, error) {
	if err := r.need(); err != nil {
		return "", err
	}
	who, err := r.subscriber()
	if err != nil {
		return "", err
	}
	if r.el.Child(Space, "options") != nil {
		return "", unsupported("subscription-options")
	}
	fresh := false
	err = r.s.Change(ctx, r.of, func(t *Tx) error {
		n := t.node(r.node)
		if n == nil {
			return noNode()
		}
		if err := r.s.mayRead(r.of, n, r.from); err != nil {
			return err
		}
		if n.row.Subs[who.String()] {
			return nil
		}
		if len(n.row.Subs) >= r.s.limits.People {
			return fail("", stanza.PolicyViolation, "too-many-subscriptions", "Too many are subscribed to this node.")
		}
		fresh = true
		return t.subscribe(r.node, who, true)
	})
	if err != nil {
		return "", err
	}
	if fresh {
		r.greet(ctx, who)
	}
	var w xmlstream.Writer
	return w.Start("", "subscription", "node", r.node, "jid", who.String(), "subscription", "subscribed").End().String(), nil
}

// greet has the last item sent to a new subscriber.
func (r *request) greet(ctx context.Context, who jid.JID) {
	err := r.s.LastItems(r.of, who, false, func(node string) bool { return node == r.node }, func(e *Event) {
		e.Only = who
		for _, f := range r.s.watch {
			f(ctx, e)
		}
	})
	if err != nil {
		r.s.log.Error("subscriber without its last item", "user", r.of.String(), "err", err)
	}
}

func (t *Tx) subscribe(name string, who jid.JID, on bool) error {
	n, err := t.edit(name, false)
	if err != nil {
		return err
	}
	if !on {
		delete(n.row.Subs, who.String())
		return nil
	}
	if n.row.Subs == nil {
		n.row.Subs = make(map[string]bool)
	}
	n.row.Subs[who.String()] = true
	return nil
}

// unsubscribe is XEP-0060 §6.2.
func (r *request) unsubscribe(ctx context.Context) (string, error) {
	if err := r.need(); err != nil {
		return "", err
	}
	who, err := r.subscriber()
	if err != nil {
		return "", err
	}
	return "", r.s.Change(ctx, r.of, func(t *Tx) error {
		n := t.node(r.node)
		switch {
		case n == nil:
			return noNode()
		case !n.row.Subs[who.String()]:
			return fail(stanza.Cancel, stanza.UnexpectedRequest, "not-subscribed", "This address is not subscribed.")
		}
		return t.subscribe(r.node, who, false)
	})
}

// ownSubscriptions is XEP-0060 §5.6: those of the asker.
func (r *request) ownSubscriptions(_ context.Context) (string, error) {
	a, err := r.s.acquire(r.of)
	if err != nil {
		return "", err
	}
	defer r.s.release(a)
	if r.node != "" && a.get(r.node) == nil {
		return "", noNode()
	}
	var w xmlstream.Writer
	w.Start("", "subscriptions", "node", r.node)
	for _, n := range a.list() {
		if r.node != "" && n.name != r.node {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(n.row.Subs)) {
			if j, err := jid.Parse(k); err == nil && j.Bare() == r.from.Bare() {
				w.Start("", "subscription", "node", n.name, "jid", k, "subscription", "subscribed").End()
			}
		}
	}
	return w.String(), nil
}

// ownAffiliations is XEP-0060 §5.7: those of the asker.
func (r *request) ownAffiliations(_ context.Context) (string, error) {
	a, err := r.s.acquire(r.of)
	if err != nil {
		return "", err
	}
	defer r.s.release(a)
	if r.node != "" && a.get(r.node) == nil {
		return "", noNode()
	}
	var w xmlstream.Writer
	w.Start("", "affiliations", "node", r.node)
	for _, n := range a.list() {
		if aff := n.affiliation(r.of, r.from); aff != none && (r.node == "" || r.node == n.name) {
			w.Start("", "affiliation", "node", n.name, "affiliation", aff).End()
		}
	}
	return w.String(), nil
}

// affiliations is XEP-0060 §8.9.1.
func (r *request) affiliations(_ context.Context) (string, error) {
	n, release, err := r.owned()
	if err != nil {
		return "", err
	}
	defer release()
	var w xmlstream.Writer
	w.Start("", "affiliations", "node", r.node)
	w.Start("", "affiliation", "jid", r.of.String(), "affiliation", owner).End()
	for _, k := range slices.Sorted(maps.Keys(n.row.Affils)) {
		w.Start("", "affiliation", "jid", k, "affiliation", n.row.Affils[k]).End()
	}
	return w.String(), nil
}

// setAffiliations is XEP-0060 §8.9.2: all of them or none.
func (r *request) setAffiliations(ctx context.Context) (string, error) {
	return "", r.change(ctx, func(t *Tx, _ *node) error {
		list, err := r.people("affiliation", "affiliation")
		if err != nil {
			return err
		}
		n, err := t.edit(r.node, false)
		if err != nil {
			return err
		}
		for j, aff := range list {
			who := j.Bare()
			switch aff {
			case owner, publisher, publishOnly, member, outcast, none:
			default:
				return stanza.NewError(stanza.BadRequest, fmt.Sprintf("There is no affiliation %q.", aff))
			}
			switch {
			case who == r.of && aff != owner: // XEP-0060 §8.9.2.4: a node has an owner
				return stanza.NewError(stanza.NotAcceptable, "The account owns its nodes.")
			case who == r.of:
			case aff == none:
				delete(n.row.Affils, who.String())
			default:
				if n.row.Affils == nil {
					n.row.Affils = make(map[string]string)
				}
				n.row.Affils[who.String()] = aff
			}
		}
		if len(n.row.Affils) > r.s.limits.People {
			return stanza.NewError(stanza.ResourceConstraint, fmt.Sprintf("A node has at most %d affiliations.", r.s.limits.People))
		}
		return nil
	})
}

// subscriptions is XEP-0060 §8.8.1.
func (r *request) subscriptions(_ context.Context) (string, error) {
	n, release, err := r.owned()
	if err != nil {
		return "", err
	}
	defer release()
	var w xmlstream.Writer
	w.Start("", "subscriptions", "node", r.node)
	for _, k := range slices.Sorted(maps.Keys(n.row.Subs)) {
		w.Start("", "subscription", "jid", k, "subscription", "subscribed").End()
	}
	return w.String(), nil
}

// setSubscriptions is XEP-0060 §8.8.2: all of them or none.
func (r *request) setSubscriptions(ctx context.Context) (string, error) {
	return "", r.change(ctx, func(t *Tx, _ *node) error {
		list, err := r.people("subscription", "subscription")
		if err != nil {
			return err
		}
		n, err := t.edit(r.node, false)
		if err != nil {
			return err
		}
		for j, sub := range list {
			switch sub {
			case "subscribed", none:
			default:
				return stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("A subscription cannot be made %q here.", sub))
			}
			if err := t.subscribe(r.node, j, sub != none); err != nil {
				return err
			}
		}
		if len(n.row.Subs) > r.s.limits.People {
			return fail("", stanza.PolicyViolation, "too-many-subscriptions", "Too many are subscribed to this node.")
		}
		return nil
	})
}
