package pubsub

import (
	"slices"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Affiliations (XEP-0060 §4.1).
const (
	owner       = "owner"
	publisher   = "publisher"
	publishOnly = "publish-only"
	member      = "member"
	none        = "none"
	outcast     = "outcast"
)

// fail makes an error with a pubsub-specific condition.
func fail(typ stanza.ErrorType, c stanza.Condition, app, text string) error {
	e := stanza.NewError(c, text)
	if typ != "" {
		e.Type = typ
	}
	if app != "" {
		e.App = "<" + app + " xmlns='" + SpaceErrors + "'/>"
	}
	return e
}

func noNode() error {
	return stanza.NewError(stanza.ItemNotFound, "There is no such node.")
}

func forbidden(text string) error { return stanza.NewError(stanza.Forbidden, text) }

func unsupported(feature string) error {
	e := stanza.NewError(stanza.FeatureNotImplemented, "Nodes here cannot do this.")
	e.App = "<unsupported xmlns='" + SpaceErrors + "' feature='" + feature + "'/>"
	return e
}

func unmet(field string) error {
	return fail("", stanza.Conflict, "precondition-not-met", "The node is not configured as the publication requires: "+field+".")
}

// affiliation is somebody's at a node; at nil, what it would be at a new one.
func (n *node) affiliation(of, who jid.JID) string {
	who = who.Bare()
	if who == of {
		return owner
	}
	if n != nil {
		if a := n.row.Affils[who.String()]; a != "" {
			return a
		}
	}
	return none
}

// subscribed reports a subscription of the address or of its bare JID.
func (n *node) subscribed(who jid.JID) bool {
	return n.row.Subs[who.String()] || n.row.Subs[who.Bare().String()]
}

// mayRead is the check of XEP-0060 §6.1.3 and §6.5.9; nil when the node may be
// read and subscribed to.
func (s *Service) mayRead(of jid.JID, n *node, who jid.JID) error {
	switch n.affiliation(of, who) {
	case owner, publisher, member:
		return nil
	case outcast, publishOnly:
		return forbidden("You may not read this node.")
	}
	switch c := &n.row.Conf; c.Access {
	case Open:
		return nil
	case Presence:
		if s.conf.Rules != nil && s.conf.Rules.SeesPresence(of, who) {
			return nil
		}
		return fail("", stanza.NotAuthorized, "presence-subscription-required", "Only those who see the owner's presence may read this node.")
	case Roster:
		if s.conf.Rules != nil && slices.ContainsFunc(s.conf.Rules.Groups(of, who), func(g string) bool { return slices.Contains(c.Groups, g) }) {
			return nil
		}
		return fail("", stanza.NotAuthorized, "not-in-roster-group", "Only some of the owner's contacts may read this node.")
	}
	return fail("", stanza.NotAllowed, "closed-node", "This node is not for everybody.")
}

// mayPublish is the check of XEP-0060 §7.1.3.1.
func (n *node) mayPublish(of, who jid.JID) error {
	switch n.affiliation(of, who) {
	case owner, publisher, publishOnly:
		return nil
	case outcast:
	default:
		if n != nil && (n.row.Conf.Publish == Anybody || n.row.Conf.Publish == Subscribers && n.subscribed(who)) {
			return nil
		}
	}
	return forbidden("You may not publish to this node.")
}

// owns is the check of the owner's requests (XEP-0060 §8).
func (n *node) owns(of, who jid.JID) error {
	if n.affiliation(of, who) != owner {
		return forbidden("Only the owner of this node can do that.")
	}
	return nil
}
