package xmpp

import "doorway/xmpp/jid"

// Directory is the office directory (gateway/people implements it; mod/search
// and mod/vcard ask it). viewer is the bare JID of whoever asks, and every
// method tells only what that one may see: itself, and who is a member of a
// group visible to it; never hidden persons. For an address that is no local
// account there is nothing to see. All but Photo are answered from memory. Safe
// for concurrent use.
type Directory interface {
	// Search returns the persons who match every field of q that is not "", in
	// the order of their names, at most max. An empty q matches nobody.
	Search(viewer jid.JID, q DirectoryQuery, max int) []DirectoryEntry
	// Entry returns the person at an address (an account, or a phone's).
	Entry(viewer, address jid.JID) (DirectoryEntry, bool)
	// Groups returns the groups of which viewer sees the members, by label.
	Groups(viewer jid.JID) []DirectoryGroup
	// Members returns who is in one of those groups, by name; ok is false when
	// viewer sees no such group.
	Members(viewer jid.JID, group string) (members []DirectoryEntry, ok bool)
	// Photo returns the image of a person who may be seen, as it was stored, with
	// its media type; nothing for a person without one. It may read the disk.
	Photo(viewer, address jid.JID) (mediaType string, image []byte, err error)
}

// DirectoryQuery is what is searched for. A field matches when each of its words
// begins a word of the person's, in any case and with or without diacritics; a
// number matches by its digits, national or with the country's code.
type DirectoryQuery struct {
	Text                     string // in all of them
	First, Last, Nick, Email string
	Phone, Group             string
}

// DirectoryEntry is a person as a viewer may see them.
type DirectoryEntry struct {
	JID         jid.JID // where a message reaches them: the account, or the phone's address at the SMS domain; zero for neither
	Name        string  // display name
	First, Last string  // "" when only Name is known
	Nick        string
	Email       string
	Phones      []string // E.164; none where they may not be told
	Groups      []string // labels of the groups through which viewer sees them, sorted
	Department  string
	PhotoSHA1   string // of the image in lower-case hex (XEP-0153 §3.1), "" without one
}

// DirectoryGroup is a group as a viewer may see it.
type DirectoryGroup struct{ ID, Label string }
