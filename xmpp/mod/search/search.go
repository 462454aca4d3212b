// Package search is the office directory as clients search it: XEP-0055 1.3
// (Jabber Search, with data forms) on a domain of its own, which also lists in
// service discovery (XEP-0030) the groups that the asker sees, as nodes, and
// their members.
//
// What is found, and what is told of it, is decided by xmpp.Directory. Only
// people with an account here may search; others are refused with forbidden.
//
// Choices where the standard leaves room: a search in which nothing is filled in
// is not-acceptable; no more than 100 people are listed; fields that are not
// known are ignored, and so is what else a client puts into a form. Who cannot be
// reached by any address is not listed, since every result names one.
//
// The package starts no goroutine and keeps nothing.
package search

import (
	"context"
	"fmt"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// The namespaces.
const (
	ns         = "jabber:iq:search"
	nsVCard    = "vcard-temp"
	infoSpace  = "http://jabber.org/protocol/disco#info"
	itemsSpace = "http://jabber.org/protocol/disco#items"
)

// Limits.
const (
	maxResults = 100
	maxText    = 256 // bytes of what is searched for, in one field
)

// Config is what a Module is made of.
type Config struct {
	Domain    string         // the whole name, such as directory.office.example
	Directory xmpp.Directory // nil: there is none, and the domain is not served
}

// Module is the directory's domain. It implements xmpp.Module and xmpp.Handler.
// Safe for concurrent use after Load.
type Module struct {
	conf Config
	host xmpp.Host
}

var (
	_ xmpp.Module  = (*Module)(nil)
	_ xmpp.Handler = (*Module)(nil)
)

// New makes the module.
func New(c Config) *Module { return &Module{conf: c} }

// Info describes the module.
func (*Module) Info() xmpp.Info {
	return xmpp.Info{Name: "search", Specs: []xmpp.Spec{{Doc: "XEP-0055", Version: "1.3", Title: "Jabber Search"}}}
}

// name is what clients list the domain as.
const name = "Directory"

// Load registers the domain.
func (m *Module) Load(h xmpp.Host) error {
	m.host = h
	if m.conf.Directory == nil {
		return nil
	}
	j, err := jid.Parse(m.conf.Domain)
	if err != nil {
		return fmt.Errorf("domain of the directory: %w", err)
	}
	return h.Domain(xmpp.Domain{
		Name: j.String(),
		Identities: []xmpp.Identity{
			{Category: "directory", Type: "user", Name: name},
			{Category: "directory", Type: "group", Name: name},
		},
		Features: []string{ns, nsVCard},
		Handler:  m,
	})
}

// Handle takes what is addressed to the domain. What it does not know is left
// to the host's handlers for any domain.
func (m *Module) Handle(ctx context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	st := d.Stanza
	if st.Kind != stanza.IQ || st.To != st.To.DomainJID() || st.Type != string(stanza.Get) && st.Type != string(stanza.Set) {
		if st.Kind == stanza.Presence {
			return xmpp.Done, nil
		}
		return xmpp.Pass, nil
	}
	answer, ok, err := m.iq(st)
	if !ok && err == nil {
		return xmpp.Pass, nil
	}
	if err == nil {
		m.host.Send(ctx, st.Reply(answer), nil)
	}
	return xmpp.Done, err
}

// iq answers a request; ok is false for one that others may know.
func (m *Module) iq(st *stanza.Stanza) (answer string, ok bool, err error) {
	get := st.Type == string(stanza.Get)
	switch {
	case st.Payload == stanza.Name{Space: ns, Local: "query"}:
		if err = m.admit(st.From); err == nil && get {
			answer = fields()
		} else if err == nil {
			answer, err = m.search(st)
		}
		return answer, true, err
	case st.Payload == stanza.Name{Space: nsVCard, Local: "vCard"} && get:
		var w xmlstream.Writer
		w.Start(nsVCard, "vCard").Leaf("", "FN", name).Leaf("", "DESC", "Finds colleagues and their addresses.").End()
		return w.String(), true, nil
	case st.Payload == stanza.Name{Space: infoSpace, Local: "query"} && get:
		return m.info(st)
	case st.Payload == stanza.Name{Space: itemsSpace, Local: "query"} && get:
		return m.items(st)
	}
	return "", false, nil
}

// admit lets in people with an account here.
func (m *Module) admit(asker jid.JID) error {
	if m.host.Exists(asker) {
		return nil
	}
	return stanza.NewError(stanza.Forbidden, "Only people with an account at "+m.host.Domainpart()+" can search the directory.")
}

// asked is the form that clients are given, and whose answers are read.
func asked() *form.Form {
	f := form.New(form.Ask, ns,
		form.Text("search", "Search for", ""),
		form.Text("first", "First name", ""),
		form.Text("last", "Last name", ""),
		form.Text("nick", "Nickname", ""),
		form.Text("email", "E-mail address", ""),
		form.Text("phone", "Phone number", ""),
		form.Text("group", "Group or department", ""),
	)
	f.Title = "Search the directory"
	f.Instructions = []string{"Fill in one or more fields. The beginning of each word is enough."}
	return f
}

// fields is what can be searched for (XEP-0055 §2.1, §3).
func fields() string {
	var w xmlstream.Writer
	w.Start(ns, "query")
	w.Leaf("", "instructions", "Fill in one or more fields. The beginning of each word is enough.")
	for _, f := range []string{"first", "last", "nick", "email"} {
		w.Start("", f).End()
	}
	return w.Raw(asked().XML()).End().String()
}

// search answers a search in the way in which it was asked.
func (m *Module) search(st *stanza.Stanza) (string, error) {
	el, ok := st.Child(ns, "query")
	if !ok {
		return "", stanza.NewError(stanza.BadRequest, "The request holds no search.")
	}
	submitted, err := form.Of(&el)
	if err != nil {
		return "", badForm(err)
	}
	value := func(f string) string { return el.ChildText(ns, f) }
	if submitted != nil {
		if submitted.Type == form.Cancel {
			return "", nil // XEP-0004 §3.1: nothing more is wanted
		}
		if t := submitted.FormType(); submitted.Type != form.Submit || t != "" && t != ns {
			return "", stanza.NewError(stanza.BadRequest, "This is not the form of a search. Ask for it again.")
		}
		value = func(f string) string { v, _ := submitted.Value(f); return v }
	}
	q, err := query(value)
	if err != nil {
		return "", err
	}
	var found []xmpp.DirectoryEntry
	for _, e := range m.conf.Directory.Search(st.From.Bare(), q, maxResults) {
		if !e.JID.IsZero() {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 0:
		return "<query xmlns='" + ns + "'/>", nil // XEP-0055 §2.1
	case submitted != nil:
		return extended(found), nil
	}
	return plain(found), nil
}

func badForm(err error) error {
	return &stanza.Error{Type: stanza.Modify, Condition: stanza.BadRequest, Text: "The form cannot be read. Ask for it again.", Err: err}
}

// query reads what is searched for.
func query(value func(field string) string) (xmpp.DirectoryQuery, error) {
	var q xmpp.DirectoryQuery
	for f, to := range map[string]*string{"search": &q.Text, "first": &q.First, "last": &q.Last, "nick": &q.Nick,
		"email": &q.Email, "phone": &q.Phone, "group": &q.Group} {
		if *to = strings.TrimSpace(value(f)); len(*to) > maxText {
			return q, stanza.NewError(stanza.NotAcceptable, fmt.Sprintf("Search for less than %d letters.", maxText))
		}
	}
	if q == (xmpp.DirectoryQuery{}) {
		return q, stanza.NewError(stanza.NotAcceptable, "Fill in at least one field to search for.")
	}
	return q, nil
}

// plain lists results as the basic protocol has them (XEP-0055 §2.1).
func plain(found []xmpp.DirectoryEntry) string {
	var w xmlstream.Writer
	w.Start(ns, "query")
	for _, e := range found {
		first := e.First
		if first == "" && e.Last == "" {
			first = e.Name
		}
		w.Start("", "item", "jid", e.JID.String())
		for _, f := range [][2]string{{"first", first}, {"last", e.Last}, {"nick", e.Nick}, {"email", e.Email}} {
			w.Leaf("", f[0], f[1])
		}
		w.End()
	}
	return w.End().String()
}

// extended lists results as a form (XEP-0055 §3).
func extended(found []xmpp.DirectoryEntry) string {
	f := form.New(form.Result, ns)
	f.Reported = []form.Field{
		{Var: "jid", Kind: form.JIDSingle, Label: "Address"},
		{Var: "name", Kind: form.TextSingle, Label: "Name"},
		{Var: "nick", Kind: form.TextSingle, Label: "Nickname"},
		{Var: "email", Kind: form.TextSingle, Label: "E-mail address"},
		{Var: "phone", Kind: form.TextSingle, Label: "Phone number"},
		{Var: "group", Kind: form.TextSingle, Label: "Groups"},
	}
	for _, e := range found {
		f.Items = append(f.Items, []form.Field{
			one("jid", e.JID.String()), one("name", e.Name), one("nick", e.Nick), one("email", e.Email),
			one("phone", strings.Join(e.Phones, ", ")), one("group", strings.Join(e.Groups, ", ")),
		})
	}
	return "<query xmlns='" + ns + "'>" + f.XML() + "</query>"
}

func one(name, value string) form.Field { return form.Field{Var: name, Values: []string{value}} }

// node is the node that a discovery request names.
func node(st *stanza.Stanza) string {
	q, _ := st.Child(st.Payload.Space, "query")
	return q.Attr("node")
}

// info describes the node of a group; the domain itself is described by the
// host, and other nodes may be known to others.
func (m *Module) info(st *stanza.Stanza) (string, bool, error) {
	n := node(st)
	for _, g := range m.groups(st.From) {
		if n != "" && g.ID == n {
			var w xmlstream.Writer
			w.Start(infoSpace, "query", "node", n)
			w.Start("", "identity", "category", "directory", "type", "group", "name", g.Label).End()
			for _, f := range []string{infoSpace, itemsSpace} {
				w.Start("", "feature", "var", f).End()
			}
			return w.End().String(), true, nil
		}
	}
	return "", false, nil
}

// groups are those that the asker sees; none for who has no account here.
func (m *Module) groups(asker jid.JID) []xmpp.DirectoryGroup {
	if !m.host.Exists(asker) {
		return nil
	}
	return m.conf.Directory.Groups(asker.Bare())
}

// items lists the groups that the asker sees, or the members of one.
func (m *Module) items(st *stanza.Stanza) (string, bool, error) {
	var w xmlstream.Writer
	n := node(st)
	if n == "" {
		w.Start(itemsSpace, "query")
		for _, g := range m.groups(st.From) {
			w.Start("", "item", "jid", st.To.String(), "node", g.ID, "name", g.Label).End()
		}
		return w.End().String(), true, nil
	}
	if !m.host.Exists(st.From) {
		return "", false, nil
	}
	members, ok := m.conf.Directory.Members(st.From.Bare(), n)
	if !ok {
		return "", false, nil
	}
	w.Start(itemsSpace, "query", "node", n)
	for _, e := range members {
		if !e.JID.IsZero() {
			w.Start("", "item", "jid", e.JID.String(), "name", e.Name).End()
		}
	}
	return w.End().String(), true, nil
}
