// Package muc holds what a room and those who talk to rooms share on the wire
// (XEP-0045 1.34): affiliations, roles, status codes, and the x and query
// elements of its four namespaces. The room itself is xmpp/mod/muc.
//
// Left out: configuration forms and policy. No goroutines.
package muc

import (
	"strconv"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Namespaces of XEP-0045, and of direct invitations (XEP-0249) and occupant
// identifiers (XEP-0421).
const (
	Space         = "http://jabber.org/protocol/muc"
	SpaceUser     = "http://jabber.org/protocol/muc#user"
	SpaceAdmin    = "http://jabber.org/protocol/muc#admin"
	SpaceOwner    = "http://jabber.org/protocol/muc#owner"
	SpaceRequest  = "http://jabber.org/protocol/muc#request"
	SpaceConfig   = "http://jabber.org/protocol/muc#roomconfig"
	SpaceInfo     = "http://jabber.org/protocol/muc#roominfo"
	SpaceRegister = "http://jabber.org/protocol/muc#register"
	SpaceDirect   = "jabber:x:conference"
	SpaceOccupant = "urn:xmpp:occupant-id:0"
	SpaceStableID = "http://jabber.org/protocol/muc#stable_id"
	SpaceSelfPing = "http://jabber.org/protocol/muc#self-ping-optimization"
)

// Affiliation is a lasting association with a room (XEP-0045 §5.2). Greater is
// more; the zero value is none.
type Affiliation int8

// Affiliations.
const (
	Outcast Affiliation = iota - 1
	NoAffiliation
	Member
	Admin
	Owner
)

var affiliations = [...]string{"outcast", "none", "member", "admin", "owner"}

// String is the word on the wire.
func (a Affiliation) String() string { return affiliations[a+1] }

// MarshalText writes the word.
func (a Affiliation) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the word; an unknown one is no affiliation.
func (a *Affiliation) UnmarshalText(b []byte) error {
	*a, _ = ParseAffiliation(string(b))
	return nil
}

// ParseAffiliation reads the word on the wire.
func ParseAffiliation(s string) (Affiliation, bool) {
	for i, w := range affiliations {
		if w == s {
			return Affiliation(i - 1), true
		}
	}
	return NoAffiliation, false
}

// Role is what somebody may do during a visit (XEP-0045 §5.1). Greater is more.
type Role int8

// Roles.
const (
	NoRole Role = iota
	Visitor
	Participant
	Moderator
)

var roles = [...]string{"none", "visitor", "participant", "moderator"}

// String is the word on the wire.
func (r Role) String() string { return roles[r] }

// ParseRole reads the word on the wire.
func ParseRole(s string) (Role, bool) {
	for i, w := range roles {
		if w == s {
			return Role(i), true
		}
	}
	return NoRole, false
}

// Status codes (XEP-0045 §15.6).
const (
	StatusNonAnonymous     = 100 // at entry: everybody sees full JIDs
	StatusConfigChanged    = 104
	StatusSelf             = 110
	StatusLogged           = 170
	StatusUnlogged         = 171
	StatusNowNonAnonymous  = 172
	StatusNowSemiAnonymous = 173
	StatusCreated          = 201
	StatusNickAssigned     = 210
	StatusBanned           = 301
	StatusNickChanged      = 303
	StatusKicked           = 307
	StatusNotAffiliated    = 321
	StatusMembersOnly      = 322
	StatusShutdown         = 332
	StatusTechnical        = 333
)

// Item is an <item/> of muc#user and muc#admin.
type Item struct {
	Affiliation Affiliation
	Role        Role
	JID         jid.JID
	Nick        string
	Reason      string
	ActorNick   string
	ActorJID    jid.JID
	// NoRole and NoAffiliation on the wire may mean "not said": admin lists
	// leave one of the two out.
	OmitRole, OmitAffiliation bool
}

func (it *Item) write(w *xmlstream.Writer) {
	aff, role := it.Affiliation.String(), it.Role.String()
	if it.OmitAffiliation {
		aff = ""
	}
	if it.OmitRole {
		role = ""
	}
	w.Start("", "item", "affiliation", aff, "role", role, "jid", it.JID.String(), "nick", it.Nick)
	if it.ActorNick != "" || !it.ActorJID.IsZero() {
		w.Start("", "actor", "nick", it.ActorNick, "jid", it.ActorJID.String()).End()
	}
	if it.Reason != "" {
		w.Leaf("", "reason", it.Reason)
	}
	w.End()
}

// User is an <x/> of muc#user (XEP-0045 §4, §9, §10.9). The zero value is an
// empty one.
type User struct {
	Item    *Item
	Status  []int
	Destroy *Destroy
}

// Destroy tells of a room's end (XEP-0045 §10.9).
type Destroy struct {
	Venue  jid.JID
	Reason string
}

func (d *Destroy) write(w *xmlstream.Writer) {
	w.Start("", "destroy", "jid", d.Venue.String())
	if d.Reason != "" {
		w.Leaf("", "reason", d.Reason)
	}
	w.End()
}

// XML writes the element.
func (u *User) XML() string {
	var w xmlstream.Writer
	w.Start(SpaceUser, "x")
	if u.Item != nil {
		u.Item.write(&w)
	}
	if u.Destroy != nil {
		u.Destroy.write(&w)
	}
	for _, s := range u.Status {
		w.Start("", "status", "code", strconv.Itoa(s)).End()
	}
	return w.End().String()
}

// ParseUser reads the <x/> of muc#user in a presence or message; ok false
// without one. What cannot be read in it is left out.
func ParseUser(st *stanza.Stanza) (u User, ok bool) {
	el, ok := st.Child(SpaceUser, "x")
	if !ok {
		return u, false
	}
	for i := range el.Children {
		c := &el.Children[i]
		if c.Name.Space != SpaceUser {
			continue
		}
		switch c.Name.Local {
		case "status":
			if n, err := strconv.Atoi(c.Attr("code")); err == nil {
				u.Status = append(u.Status, n)
			}
		case "item":
			it := ParseItem(c)
			u.Item = &it.Item
		case "destroy":
			d := ParseDestroy(c)
			u.Destroy = &d
		}
	}
	return u, true
}

// Has reports a status code.
func (u *User) Has(code int) bool {
	for _, s := range u.Status {
		if s == code {
			return true
		}
	}
	return false
}

// Asked is an <item/> as it was sent: which attributes were there, and which
// of them could not be read.
type Asked struct {
	Item
	HasRole, HasAffiliation, HasJID, HasNick bool
	Bad                                      bool // an attribute has an impossible value
	XML                                      string
}

// ParseItem reads an <item/>.
func ParseItem(el *stanza.Element) Asked {
	a := Asked{Item: Item{Nick: el.Attr("nick"), Reason: el.ChildText("", "reason")}, XML: el.XML()}
	a.HasNick = a.Nick != ""
	var ok bool
	if v := el.Attr("affiliation"); v != "" {
		a.HasAffiliation = true
		if a.Affiliation, ok = ParseAffiliation(v); !ok {
			a.Bad = true
		}
	}
	if v := el.Attr("role"); v != "" {
		a.HasRole = true
		if a.Role, ok = ParseRole(v); !ok {
			a.Bad = true
		}
	}
	if v := el.Attr("jid"); v != "" {
		j, err := jid.Parse(v)
		a.JID, a.HasJID = j.Clone(), true
		if err != nil {
			a.Bad = true
		}
	}
	if c := el.Child("", "actor"); c != nil {
		a.ActorNick = c.Attr("nick")
		a.ActorJID, _ = jid.Parse(c.Attr("jid")) // ignored: an actor without address
	}
	return a
}

// ParseDestroy reads a <destroy/>.
func ParseDestroy(el *stanza.Element) Destroy {
	venue, _ := jid.Parse(el.Attr("jid")) // ignored: no venue
	return Destroy{Venue: venue.Clone(), Reason: el.ChildText("", "reason")}
}

// List writes the <query/> of muc#admin with items.
func List(items []Item) string {
	var w xmlstream.Writer
	w.Start(SpaceAdmin, "query")
	for i := range items {
		items[i].write(&w)
	}
	return w.End().String()
}

// Join is an <x/> of the namespace Space: somebody wants to enter.
type Join struct {
	Password string
	History  History
}

// History is how much of it somebody asks for; a negative limit, or a zero
// Since, is none. Within is what the wire calls seconds.
type History struct {
	MaxStanzas, MaxChars int
	Within               time.Duration
	Since                time.Time
}

// ParseJoin reads it; ok false when the presence has none.
func ParseJoin(st *stanza.Stanza) (j Join, ok bool) {
	el, ok := st.Child(Space, "x")
	if !ok {
		return j, false
	}
	j.History = History{MaxStanzas: -1, MaxChars: -1, Within: -1}
	j.Password = el.ChildText("", "password")
	h := el.Child("", "history")
	if h == nil {
		return j, true
	}
	number := func(name string) int {
		n, err := strconv.ParseUint(h.Attr(name), 10, 31)
		if err != nil {
			return -1
		}
		return int(n)
	}
	j.History.MaxStanzas, j.History.MaxChars = number("maxstanzas"), number("maxchars")
	if n := number("seconds"); n >= 0 {
		j.History.Within = time.Duration(n) * time.Second
	}
	if t, err := time.Parse(time.RFC3339, h.Attr("since")); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 { // XEP-0082
		j.History.Since = t
	}
	return j, true
}

// XML writes the element.
func (j *Join) XML() string {
	var w xmlstream.Writer
	w.Start(Space, "x")
	if h := j.History; h.MaxStanzas >= 0 || h.MaxChars >= 0 || h.Within >= 0 || !h.Since.IsZero() {
		text := func(n int) string {
			if n < 0 {
				return ""
			}
			return strconv.Itoa(n)
		}
		since, seconds := "", ""
		if !h.Since.IsZero() {
			since = h.Since.UTC().Format(time.RFC3339)
		}
		if h.Within >= 0 {
			seconds = strconv.Itoa(int(h.Within / time.Second))
		}
		w.Start("", "history", "maxstanzas", text(h.MaxStanzas), "maxchars", text(h.MaxChars), "seconds", seconds, "since", since).End()
	}
	if j.Password != "" {
		w.Leaf("", "password", j.Password)
	}
	return w.End().String()
}

// OccupantID writes the element of XEP-0421.
func OccupantID(id string) string {
	return "<occupant-id xmlns='" + SpaceOccupant + "' id='" + xmlstream.Escaped(id) + "'/>"
}
