package xmpp

import (
	"context"

	"doorway/xmpp/jid"
)

// Bookmarks puts bookmarks of rooms into local accounts for the server
// (mod/bookmarks implements it): those of groups that have a room. It takes
// nothing back that a person has chosen. Accounts and rooms are bare JIDs; what
// is changed is on disk, and told to the account's clients, when a method
// returns nil. Both may wait for the disk and can be repeated. Safe for
// concurrent use, also before an account was ever online.
type Bookmarks interface {
	// Offer gives an account a bookmark (XEP-0402). A bookmark that the account
	// has made itself stays as it is. One that was offered before follows the
	// new name and autojoin, but for what the person has changed since: a name
	// of their own, autojoin turned off or on, the bookmark removed. With
	// autojoin the account's clients enter the room by themselves.
	Offer(ctx context.Context, account, room jid.JID, name string, autojoin bool) error
	// Withdraw takes away a bookmark that was offered, also when the person has
	// changed it, and forgets what they had chosen; never one of their own making.
	Withdraw(ctx context.Context, account, room jid.JID) error
}

// Publisher publishes in the name of a local account (mod/pep implements it),
// with the rights of its owner (XEP-0163). Safe for concurrent use.
type Publisher interface {
	// Publish puts an item into a node of the account, which is made when it is
	// not there, as the account's clients would; id "" makes one up. payload is
	// one XML element with a namespace of its own. It returns when the item is
	// on disk; contacts and clients are told after that. Errors are
	// *stanza.Error where a client would get one: too large, too much.
	Publish(ctx context.Context, account jid.JID, node, id, payload string) error
	// Retract removes an item; one that is not there is no error.
	Retract(ctx context.Context, account jid.JID, node, id string) error
}
