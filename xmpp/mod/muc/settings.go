package muc

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/stanza"
)

// settings are a room's configuration (XEP-0045 §15.5.3).
type settings struct {
	Title         string `json:"title,omitempty"`
	Desc          string `json:"desc,omitempty"`
	Lang          string `json:"lang,omitempty"`
	Persistent    bool   `json:"persistent,omitempty"`
	Public        bool   `json:"public,omitempty"`
	MembersOnly   bool   `json:"members_only,omitempty"`
	Moderated     bool   `json:"moderated,omitempty"`
	Logging       bool   `json:"logging,omitempty"`
	NoArchive     bool   `json:"no_archive,omitempty"`
	Password      string `json:"password,omitempty"` // "": none is needed
	Anyone        bool   `json:"anyone,omitempty"`   // non-anonymous
	ChangeSubject bool   `json:"change_subject,omitempty"`
	Invites       bool   `json:"invites,omitempty"` // members may invite into a members-only room
	LockNicks     bool   `json:"lock_nicks,omitempty"`
	PM            string `json:"pm"`                  // who may send private messages
	MaxUsers      int    `json:"max_users,omitempty"` // nicks; 0: no limit
	History       int    `json:"history"`             // messages sent at entry, at most
}

func defaults() settings {
	return settings{Public: true, PM: "anyone", History: 20}
}

// lockNicks is a field of our own; XEP-0045 §7.2.9 speaks of locked nicks, but
// names no field.
const lockNicks = "x-roomconfig_locknicks"

// enableArchive is the field by which clients know that messages are archived;
// XEP-0045 has none.
const enableArchive = "muc#roomconfig_enablearchiving"

// Bounds of texts, in bytes.
const (
	maxTitle = 256
	maxDesc  = 2048
)

// form is the configuration as a form; owners and admins with it.
func (r *room) form() *form.Form {
	c := r.conf
	list := func(a muc.Affiliation) []string {
		var l []string
		r.everyone(func(j jid.JID, u member) {
			if u.Affiliation == a {
				l = append(l, j.String())
			}
		})
		slices.Sort(l)
		return l
	}
	f := form.New(form.Ask, muc.SpaceConfig,
		form.Text("muc#roomconfig_roomname", "Name of the room", c.Title),
		form.Text("muc#roomconfig_roomdesc", "Description", c.Desc),
		form.Text("muc#roomconfig_lang", "Language", c.Lang),
		form.Switch("muc#roomconfig_persistentroom", "Keep the room when nobody is in it", c.Persistent),
		form.Switch("muc#roomconfig_publicroom", "Show the room in the list of rooms", c.Public),
		form.Switch("muc#roomconfig_membersonly", "Only members may enter", c.MembersOnly),
		form.Switch("muc#roomconfig_allowinvites", "Members may invite others into a members-only room", c.Invites),
		form.Switch("muc#roomconfig_moderatedroom", "Only those with voice may talk", c.Moderated),
		form.Switch("muc#roomconfig_passwordprotectedroom", "A password is needed to enter", c.Password != ""),
		form.Field{Var: "muc#roomconfig_roomsecret", Kind: form.TextPrivate, Label: "Password", Values: values(c.Password)},
		form.Choice("muc#roomconfig_whois", "Who may see real addresses", pick(c.Anyone, "anyone", "moderators"),
			form.Option{Label: "Moderators only", Value: "moderators"}, form.Option{Label: "Anyone", Value: "anyone"}),
		form.Switch("muc#roomconfig_changesubject", "Participants may change the subject", c.ChangeSubject),
		form.Choice("muc#roomconfig_allowpm", "Who may send private messages", c.PM,
			form.Option{Label: "Anyone", Value: "anyone"}, form.Option{Label: "Those with voice", Value: "participants"},
			form.Option{Label: "Moderators", Value: "moderators"}, form.Option{Label: "Nobody", Value: "none"}),
		form.Choice("muc#roomconfig_maxusers", "Most people at once", cmp.Or(numeral(c.MaxUsers), "none"), options(c.MaxUsers)...),
		form.Text("muc#maxhistoryfetch", "Messages shown to who enters (at most "+strconv.Itoa(keepMessages)+")", strconv.Itoa(c.History)),
		form.Switch("muc#roomconfig_enablelogging", "The conversation is logged", c.Logging),
		form.Switch(lockNicks, "Who has registered a nickname must use it", c.LockNicks),
		form.Field{Var: "muc#roomconfig_roomadmins", Kind: form.JIDMulti, Label: "Admins", Values: list(muc.Admin)},
		form.Field{Var: "muc#roomconfig_roomowners", Kind: form.JIDMulti, Label: "Owners", Values: list(muc.Owner)},
	)
	if r.m.archives() {
		f.Fields = append(f.Fields, form.Switch(enableArchive, "Members can read what was said while they were away", !c.NoArchive))
	}
	f.Title = "Configuration of " + r.title()
	f.Instructions = []string{"Fields that you leave out keep their value."}
	return f
}

func values(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func pick(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// numeral is "" for zero.
func numeral(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func options(now int) []form.Option {
	sizes := []int{10, 20, 30, 50, 100, 200, 500}
	if now > 0 && !slices.Contains(sizes, now) {
		sizes = append(sizes, now)
		slices.Sort(sizes)
	}
	list := []form.Option{{Label: "No limit", Value: "none"}}
	for _, n := range sizes {
		list = append(list, form.Option{Label: strconv.Itoa(n), Value: strconv.Itoa(n)})
	}
	return list
}

func unacceptable(text string) error { return stanza.NewError(stanza.NotAcceptable, text) }

// configured is the configuration that a submitted form makes of the present
// one, and the changes of affiliations it asks for.
func (r *room) configured(f *form.Form) (settings, map[jid.JID]member, error) {
	c := r.conf
	if err := r.checkForm(f); err != nil {
		return c, nil, err
	}
	text := func(name string, to *string, limit int) {
		if x := f.Field(name); x != nil {
			*to = strings.Clone(strings.Join(x.Values, "\n"))
			if len(*to) > limit {
				*to = strings.ToValidUTF8((*to)[:limit], "")
			}
		}
	}
	flag := func(name string, to *bool) {
		if v, ok := f.Value(name); ok {
			*to, _ = form.Bool(v)
		}
	}
	text("muc#roomconfig_roomname", &c.Title, maxTitle)
	text("muc#roomconfig_roomdesc", &c.Desc, maxDesc)
	text("muc#roomconfig_lang", &c.Lang, 64)
	flag("muc#roomconfig_persistentroom", &c.Persistent)
	flag("muc#roomconfig_publicroom", &c.Public)
	flag("muc#roomconfig_membersonly", &c.MembersOnly)
	flag("muc#roomconfig_allowinvites", &c.Invites)
	flag("muc#roomconfig_moderatedroom", &c.Moderated)
	flag("muc#roomconfig_changesubject", &c.ChangeSubject)
	flag("muc#roomconfig_enablelogging", &c.Logging)
	flag(lockNicks, &c.LockNicks)
	if r.m.archives() {
		keeps := !c.NoArchive
		for _, name := range []string{enableArchive, "mam", "muc#roomconfig_mam"} { // COMPAT(Conversations): it sends all that it knows
			flag(name, &keeps)
		}
		c.NoArchive = !keeps
	}
	protected := c.Password != ""
	flag("muc#roomconfig_passwordprotectedroom", &protected)
	text("muc#roomconfig_roomsecret", &c.Password, maxTitle)
	switch {
	case protected && c.Password == "":
		return c, nil, unacceptable("A room that is protected by a password needs one.")
	case !protected:
		c.Password = ""
	}
	if v, ok := f.Value("muc#roomconfig_whois"); ok {
		c.Anyone = v == "anyone"
	}
	if v, ok := f.Value("muc#roomconfig_allowpm"); ok {
		c.PM = strings.Clone(v)
	}
	if v, ok := f.Value("muc#roomconfig_maxusers"); ok {
		c.MaxUsers, _ = strconv.Atoi(v) // ignored: "none" is 0, the rest was checked
	}
	if v, ok := f.Value("muc#maxhistoryfetch"); ok && v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return c, nil, unacceptable("The number of messages shown at entry must be a number.")
		}
		c.History = min(n, keepMessages)
	}
	if err := r.unlike(c); err != nil {
		return c, nil, err
	}
	users, err := r.configuredUsers(f)
	return c, users, err
}

// checkForm holds the form against what was asked. Who submits a form made for
// another limit of people need not choose from our list.
func (r *room) checkForm(f *form.Form) error {
	asked := r.form()
	if v, ok := f.Value("muc#roomconfig_maxusers"); ok && v != "none" && v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return unacceptable("The limit of people must be a number or none.")
		}
		asked.Field("muc#roomconfig_maxusers").Options = nil
	}
	if err := asked.Check(f); err != nil {
		return stanza.NewError(stanza.BadRequest, "This form cannot be used: "+err.Error())
	}
	return nil
}

// configuredUsers reads the lists of admins and owners, each the whole list
// when it is there.
func (r *room) configuredUsers(f *form.Form) (map[jid.JID]member, error) {
	users := make(map[jid.JID]member)
	set := func(j jid.JID, a muc.Affiliation) {
		u, ok := users[j]
		if !ok {
			u = r.users[j]
		}
		u.V, u.Affiliation, u.Reason = 1, a, ""
		users[j] = u
	}
	for _, x := range []struct {
		name string
		aff  muc.Affiliation
	}{{"muc#roomconfig_roomadmins", muc.Admin}, {"muc#roomconfig_roomowners", muc.Owner}} {
		field := f.Field(x.name)
		if field == nil {
			continue
		}
		want := make(map[jid.JID]bool)
		for _, v := range field.Values {
			j, err := jid.Parse(strings.TrimSpace(v))
			if err != nil {
				return nil, stanza.NewError(stanza.JIDMalformed, "This is not an address: "+v)
			}
			want[j.Bare().Clone()] = true
		}
		fixed := false // by the group
		r.everyone(func(j jid.JID, u member) {
			_, done := users[j]
			fixed = fixed || !want[j] && r.computed(j) == x.aff || want[j] && r.computed(j) > x.aff
			if u.Affiliation == x.aff && !want[j] && !done {
				set(j, muc.NoAffiliation)
			}
		})
		if fixed {
			return nil, r.followsGroup()
		}
		for j := range want {
			if r.standing(j) != x.aff || users[j].V != 0 {
				set(j, x.aff)
			}
		}
	}
	if r.group == nil && r.owners(nil) > 0 && r.owners(users) == 0 {
		return nil, stanza.NewError(stanza.Conflict, "A room must keep at least one owner.")
	}
	return users, nil
}
