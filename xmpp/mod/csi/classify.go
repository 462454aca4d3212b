package csi

import (
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const (
	chatStates = "http://jabber.org/protocol/chatstates"
	events     = "http://jabber.org/protocol/pubsub#event"
	occupants  = "http://jabber.org/protocol/muc#user"
	copies     = "urn:xmpp:carbons:2"
	forward    = "urn:xmpp:forward:0"
)

// fate is what becomes of a stanza for an inactive client.
type fate uint8

const (
	send fate = iota
	hold
	drop
)

// name says which older stanza a held one replaces.
type name struct {
	from       jid.JID
	node, item string // of an event
}

// classify applies the rules to one stanza.
func classify(st *stanza.Stanza) (fate, name) {
	switch st.Kind {
	case stanza.Presence:
		if (st.Type == "" || st.Type == "unavailable") && !ownPresence(st) {
			return hold, name{from: st.From}
		}
	case stanza.Message:
		switch {
		case st.Type == stanza.TypeError:
		case mentions(st, events):
			if node, item, ok := event(st); ok {
				return hold, name{st.From.Bare(), node, item}
			}
		case mentions(st, chatStates) && onlyState(st):
			return drop, name{}
		}
	}
	return send, name{}
}

// mentions is a cheap look that spares most stanzas the parsing.
func mentions(st *stanza.Stanza, space string) bool {
	return strings.Contains(st.Inner(), space) || strings.Contains(st.Decls(), space)
}

// ownPresence reports one's own presence in a room, which says that one has
// entered or left it (XEP-0045 §7.2.2, status 110).
func ownPresence(st *stanza.Stanza) bool {
	if !mentions(st, occupants) {
		return false
	}
	x, _ := st.Child(occupants, "x")
	for i := range x.Children {
		if c := &x.Children[i]; c.Name.Local == "status" && c.Attr("code") == "110" {
			return true
		}
	}
	return false
}

// event reads the notification of exactly one published item (XEP-0060 §7.1.2.1).
// Of a node with several items none must be lost, so that each is held apart.
func event(st *stanza.Stanza) (node, item string, ok bool) {
	e, found := st.Child(events, "event")
	if !found || st.Type != "headline" || len(e.Children) != 1 || st.HasChild("", "body") {
		return "", "", false
	}
	items := &e.Children[0]
	if items.Name.Local != "items" || len(items.Children) != 1 || items.Children[0].Name.Local != "item" {
		return "", "", false
	}
	return items.Attr("node"), items.Children[0].Attr("id"), items.Attr("node") != ""
}

// onlyState reports a message that says no more than "is typing" (XEP-0085
// §5.5), also as a carbon copy.
func onlyState(st *stanza.Stanza) bool {
	els := st.Elements()
	if len(els) == 1 && els[0].Name.Space == copies {
		if f := els[0].Child(forward, "forwarded"); f != nil {
			for i := range f.Children {
				if c := &f.Children[i]; c.Name.Local == "message" {
					return c.Attr("type") != stanza.TypeError && states(c.Children)
				}
			}
		}
		return false
	}
	return states(els)
}

func states(els []stanza.Element) bool {
	found := false
	for i := range els {
		switch n := els[i].Name; {
		case n.Space == chatStates:
			found = true
		case n.Space == "jabber:client" && n.Local == "thread":
		case n.Space == "urn:xmpp:hints", n.Space == "urn:xmpp:sid:0", n.Space == "urn:xmpp:occupant-id:0", n.Space == "urn:xmpp:delay", n.Space == occupants:
		default:
			return false
		}
	}
	return found
}
