package muc

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/muc"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// nodeNick is where one asks for one's registered nick (XEP-0045 §7.12).
const nodeNick = "x-roomuser-item"

// service answers what is addressed to the domain itself; most of that the
// host's own modules do.
func (m *Module) service(ctx context.Context, st *stanza.Stanza) (xmpp.Verdict, error) {
	if st.Type != string(stanza.Get) || !st.To.IsBare() || st.Payload != (stanza.Name{Space: nsItems, Local: "query"}) {
		return xmpp.Pass, nil
	}
	q, _ := st.Child(nsItems, "query")
	if q.Attr("node") != "" {
		return xmpp.Pass, nil
	}
	ask, err := rsm.Of(&q)
	if err != nil {
		return xmpp.Done, err
	}
	list, err := m.list(st.From.Bare())
	if err != nil {
		return xmpp.Done, err
	}
	page, from, err := cut(list, ask)
	if err != nil {
		return xmpp.Done, err
	}
	var w xmlstream.Writer
	w.Start(nsItems, "query")
	for _, x := range page {
		w.Start("", "item", "jid", x.name.String(), "name", x.title).End()
	}
	if len(page) < len(list) || q.Child(rsm.Space, "set") != nil {
		set := rsm.Result{Index: from, Count: len(list)}
		if n := len(page); n > 0 {
			set.First, set.Last = page[0].name.String(), page[n-1].name.String()
		}
		w.Raw(set.XML())
	}
	m.host.Send(ctx, st.Reply(w.String()), nil)
	return xmpp.Done, nil
}

// pageSize is how many rooms one answer lists at most (XEP-0045 §6.3).
const pageSize = 500

// cut is the part of the list that is asked for, and where it begins.
func cut(list []listed, ask rsm.Request) (page []listed, from int, err error) {
	find := func(id string) int {
		i, ok := slices.BinarySearchFunc(list, id, func(x listed, id string) int { return strings.Compare(x.name.String(), id) })
		if !ok {
			err = stanza.NewError(stanza.ItemNotFound, "There is no such place in the list of rooms.")
		}
		return i
	}
	lo, hi := 0, len(list)
	if ask.After != "" {
		lo = find(ask.After) + 1
	}
	if ask.Before != "" {
		hi = find(ask.Before)
	}
	if err != nil || lo > hi {
		return nil, 0, err
	}
	if n := ask.Limit(pageSize); hi-lo > n {
		if ask.Backward {
			lo = hi - n
		} else {
			hi = lo + n
		}
	}
	return list[lo:hi], lo, nil
}

type listed struct {
	name  jid.JID
	title string
}

// list is the rooms somebody may know of: the public ones, and hidden ones he
// belongs to.
func (m *Module) list(who jid.JID) ([]listed, error) {
	var out, hidden []listed
	m.mu.Lock()
	for name, e := range m.index {
		x := listed{name, e.title}
		if x.title == "" {
			x.title = name.Local()
		}
		switch {
		case e.gone != nil:
		case e.public:
			out = append(out, x)
		default:
			hidden = append(hidden, x)
		}
	}
	m.mu.Unlock()
	for _, x := range hidden {
		in, err := m.belongs(x.name, who)
		if err != nil {
			return nil, err
		}
		if in {
			out = append(out, x)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name.String() < out[j].name.String() })
	return out, nil
}

// belongs reports that somebody is a member of a room, or in it; a room that
// lies on disk is not loaded for that.
func (m *Module) belongs(name, who jid.JID) (bool, error) {
	m.mu.Lock()
	r, e := m.rooms[name], m.index[name]
	m.mu.Unlock()
	if e != nil && e.group && (m.conf.Admin(who) || m.conf.Groups != nil && m.conf.Groups.Affiliation(name.Local(), who) != "") {
		return true, nil
	}
	if r == nil {
		var u member
		_, err := m.users.Get(userKey(name, who), &u)
		return u.Affiliation >= muc.Member, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.affiliation(who) >= muc.Member || slices.ContainsFunc(r.seats, func(s *seat) bool { return s.occ.bare == who }), nil
}

// roomInfo is XEP-0045 §6.4.
func (m *Module) roomInfo(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	q, _ := st.Child(nsInfo, "query")
	var w xmlstream.Writer
	switch node := q.Attr("node"); node {
	case "":
		w.Start(nsInfo, "query")
		w.Start("", "identity", "category", "conference", "type", "text", "name", r.title()).End()
		for _, f := range r.features() {
			w.Start("", "feature", "var", f).End()
		}
		w.Raw(r.infoForm().XML())
	case nodeNick:
		w.Start(nsInfo, "query", "node", node)
		if nick := r.users[st.From.Bare()].Nick; nick != "" {
			w.Start("", "identity", "category", "conference", "type", "text", "name", nick).End()
		}
	default:
		return stanza.NewError(stanza.ItemNotFound, "This room has no such node.")
	}
	r.send(st.Reply(w.String()))
	return nil
}

func (r *room) features() []string {
	c := r.conf
	list := []string{
		muc.Space, nsInfo, nsItems, nsPing, nsVCard, muc.SpaceOccupant, nsStanzaID,
		muc.SpaceStableID, muc.SpaceRequest, muc.SpaceSelfPing,
		pick(c.Public && !r.locked(), "muc_public", "muc_hidden"),
		pick(c.Persistent, "muc_persistent", "muc_temporary"),
		pick(c.MembersOnly, "muc_membersonly", "muc_open"),
		pick(c.Moderated, "muc_moderated", "muc_unmoderated"),
		pick(c.Anyone, "muc_nonanonymous", "muc_semianonymous"),
		pick(c.Password != "", "muc_passwordprotected", "muc_unsecured"),
	}
	list = append(list, archive.RetractSpace, archive.Tombstones, nsModerate, nsModerate0)
	if r.archives() {
		list = append(list, archive.Space, archive.Extended)
	}
	if r.registers() {
		list = append(list, nsRegister)
	}
	return list
}

// infoForm is XEP-0045 §15.5.4, with the photo of XEP-0486.
func (r *room) infoForm() *form.Form {
	f := form.New(form.Result, muc.SpaceInfo,
		form.Text("muc#roominfo_description", "Description", r.conf.Desc),
		form.Text("muc#roominfo_occupants", "People in the room", strconv.Itoa(len(r.nicks))),
		form.Text("muc#roominfo_subject", "Subject", r.subject.Text),
		form.Switch("muc#roominfo_subjectmod", "Participants may change the subject", r.conf.ChangeSubject),
		form.Text("muc#maxhistoryfetch", "Messages shown to who enters", strconv.Itoa(r.conf.History)),
		form.Text("muc#roomconfig_roomname", "Name of the room", r.title()),
	)
	if r.conf.Lang != "" {
		f.Fields = append(f.Fields, form.Text("muc#roominfo_lang", "Language", r.conf.Lang))
	}
	if r.photo != "" {
		f.Fields = append(f.Fields, form.Text("muc#roominfo_avatarhash", "Hash of the picture", r.photo))
	}
	return f
}

// roomItems lists who is in the room, to those who may enter and look
// (XEP-0045 §6.5).
func (m *Module) roomItems(ctx context.Context, st *stanza.Stanza) error {
	r, err := m.need(st.To)
	if err != nil {
		return err
	}
	defer r.exit(ctx)
	a := r.asker(st.From)
	var w xmlstream.Writer
	w.Start(nsItems, "query")
	if a.occ != nil || a.aff >= muc.Member || a.aff == muc.NoAffiliation && r.conf.Public && !r.conf.MembersOnly && r.conf.Password == "" {
		for _, o := range r.occupants() {
			w.Start("", "item", "jid", o.at.String(), "name", o.nick).End()
		}
	}
	r.send(st.Reply(w.String()))
	return nil
}
