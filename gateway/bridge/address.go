package bridge

import (
	"errors"

	"doorway/transports"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Namespaces and features.
const (
	nsGateway       = "jabber:iq:gateway"
	nsVCard         = "vcard-temp"
	nsVersion       = "jabber:iq:version"
	nsPing          = "urn:xmpp:ping"
	nsDiscoInfo     = "http://jabber.org/protocol/disco#info"
	nsDiscoItems    = "http://jabber.org/protocol/disco#items"
	nsReceipts      = "urn:xmpp:receipts"
	nsHints         = "urn:xmpp:hints"
	nsDelay         = "urn:xmpp:delay"
	nsCorrect       = "urn:xmpp:message-correct:0"
	nsReply         = "urn:xmpp:reply:0"
	nsStanzaID      = "urn:xmpp:sid:0"
	featureEscaping = `jid\20escaping` // XEP-0106 §6
)

// contactOf is the contact a JID of the domain stands for.
func (b *Bridge) contactOf(j jid.JID) (transports.ContactID, error) {
	return b.c.Network.ContactID(jid.Unescape(j.Local()))
}

// address is a contact's canonical JID (XEP-0106).
func (b *Bridge) address(c transports.ContactID) (jid.JID, error) {
	return jid.New(jid.Escape(string(c)), b.self.Domain(), "")
}

// refusal is the stanza error for an error of the network: the kind decides the condition
// (RFC 6120 §8.3.3), the sentence goes along.
func refusal(err error) *stanza.Error {
	var e *transports.Error
	if !errors.As(err, &e) {
		se := stanza.NewError(stanza.InternalServerError, "Something went wrong in the gateway. Try again in a moment.")
		se.Err = err
		return se
	}
	c := stanza.UndefinedCondition
	switch e.Kind {
	case transports.Auth:
		c = stanza.RegistrationRequired
	case transports.NotFound:
		c = stanza.ItemNotFound
	case transports.Refused:
		c = stanza.NotAllowed
	case transports.Busy:
		c = stanza.ResourceConstraint
	case transports.Down:
		c = stanza.ServiceUnavailable
		if e.Temporary {
			c = stanza.RemoteServerTimeout
		}
	case transports.TooLong:
		c = stanza.NotAcceptable
	}
	se := stanza.NewError(c, e.Text)
	se.Err = e.Err
	if e.Temporary {
		se.Type = stanza.Wait
	}
	return se
}

// masked hides the middle of an id, for logs above debug.
func masked(c transports.ContactID) string {
	if len(c) <= 6 {
		return string(c)
	}
	return string(c[:4]) + "…" + string(c[len(c)-2:])
}
