package xmpp

import (
	"context"

	"doorway/xmpp/jid"
)

// SharedRoster is what the shared groups tell the roster (gateway/people
// implements it, mod/roster asks it): the computed items of a local account
// and who sees whom. All of it is answered from memory. Users are canonical
// bare JIDs of local accounts; an unknown one has an empty roster. Nobody is in
// their own. Safe for concurrent use; one call sees one state of the groups.
type SharedRoster interface {
	// Version names the state of user's computed items: it changes when they do
	// and is the same after a restart when they did not. "" for no items.
	Version(user jid.JID) string
	// Items calls f for each computed item of user, in the order of contacts'
	// JIDs, until it returns false. Items are shared by all who have the same.
	Items(user jid.JID, f func(*SharedItem) bool)
	// Item returns one of them, nil for none.
	Item(user, contact jid.JID) *SharedItem
	// Sees reports that viewer may see the presence of owner through a group.
	// owner is a local account; viewer may be any address in a group.
	Sees(viewer, owner jid.JID) bool
	// Known is Items, and then calls viewer for each local account that Sees user
	// and is in none of them: all of one state, also when it changes meanwhile.
	Known(user jid.JID, f func(*SharedItem) bool, viewer func(account jid.JID))
	// Watch has f called after each change, in order, one at a time, once the
	// change is on disk and Item and Version answer by it. They answer by the next
	// change only after f has returned. Called while modules load.
	Watch(f func(ctx context.Context, c SharedChange))
}

// SharedItem is a computed roster item (RFC 6121 §2.1.2). It is never changed:
// a new state is a new SharedItem, so equal pointers mean equal items.
type SharedItem struct {
	Contact jid.JID
	Name    string   // the directory's display name, "" for none
	Groups  []string // labels of the groups through which it is seen, sorted, each once
	// Subscription is to or both. A contact that only sees the user has no item.
	Subscription string
	// XML is the item as <item .../> of jabber:iq:roster, for a user who added nothing of their own.
	XML string
}

// SharedChange is one edit of groups or people, with what it makes of rosters.
// It is worked out when asked, so that those who are not online cost nothing.
type SharedChange interface {
	// Users calls f for each local account some of whose items differ.
	Users(f func(user jid.JID))
	// Items calls f for each differing item of user: before is nil for one that
	// is new, after for one that is gone.
	Items(user jid.JID, f func(contact jid.JID, before, after *SharedItem))
}

// GroupRooms is what the groups that have a room tell the rooms (gateway/people
// implements it; mod/muc asks it, and so may whoever bookmarks rooms). The room
// of a group is <id>@<domain of rooms>: persistent, members-only, not anonymous
// and named by the label; that, and who belongs to it, is computed and never
// stored by the rooms. All of it is answered from memory, already while modules
// load. Users are canonical bare JIDs of any domain. Safe for concurrent use;
// the methods call nothing of the rooms.
type GroupRooms interface {
	// Rooms calls f for each group that has a room, until it returns false.
	Rooms(f func(GroupRoom) bool)
	// Room returns one of them; ok false when the group has no room, or is none.
	Room(id string) (g GroupRoom, ok bool)
	// Affiliation is user's in the room: "member" of the group, "admin" for who
	// manages it, "owner" for who may also configure the room (there need not be
	// one), "" for everybody else.
	Affiliation(id string, user jid.JID) string
	// Members calls f for each user who has one, until it returns false.
	Members(id string, f func(user jid.JID, affiliation string) bool)
	// Watch has f called after each change of a room, in order, one at a time,
	// once the change is on disk and the other methods answer by it. Called
	// while modules load. f may wait for the disk.
	Watch(f func(ctx context.Context, c GroupRoomChange))
}

// GroupRoom is the room of a group.
type GroupRoom struct {
	ID          string // the group's, which is the localpart of the room: valid and canonical as such (RFC 7622 §3.3)
	Label       string // what people see as the room's name
	Description string // "" for none
	Autojoin    bool   // members' clients should enter it by themselves (XEP-0402)
	// Texts lets members take part whose address is a phone: they are members of
	// the room like others, and so is the domain of texts, which speaks for them.
	Texts bool
}

// GroupRoomChange is what one edit has changed of one room. Before is nil for a
// room that is new, After for one that is no more: its group was deleted, or
// shall have a room no longer.
type GroupRoomChange struct {
	ID            string
	Before, After *GroupRoom
	Users         []jid.JID // whose affiliation differs; each once, in any order
}
