package search_test

import (
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/mod/search"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const domain = "directory.office.example"

// office is an emulated directory: alice sees bob and a driver, bob sees nobody.
type office struct {
	entries []xmpp.DirectoryEntry
	asked   []string
}

func (o *office) sees(viewer jid.JID) bool { return viewer.Local() == "alice" }

func (o *office) Search(viewer jid.JID, q xmpp.DirectoryQuery, max int) (found []xmpp.DirectoryEntry) {
	o.asked = append(o.asked, fmt.Sprintf("%s %+v", viewer, q))
	for _, e := range o.entries {
		if o.sees(viewer) && len(found) < max && strings.HasPrefix(strings.ToLower(e.Name), strings.ToLower(q.Text+q.First)) {
			found = append(found, e)
		}
	}
	return found
}

func (o *office) Entry(jid.JID, jid.JID) (xmpp.DirectoryEntry, bool) {
	return xmpp.DirectoryEntry{}, false
}

func (o *office) Groups(viewer jid.JID) []xmpp.DirectoryGroup {
	if !o.sees(viewer) {
		return nil
	}
	return []xmpp.DirectoryGroup{{ID: "drivers", Label: "Drivers & Co"}}
}

func (o *office) Members(viewer jid.JID, group string) ([]xmpp.DirectoryEntry, bool) {
	return o.entries, o.sees(viewer) && group == "drivers"
}

func (o *office) Photo(jid.JID, jid.JID) (string, []byte, error) { return "", nil, nil }

func newOffice() *office {
	return &office{entries: []xmpp.DirectoryEntry{
		{JID: jid.MustParse("bob@office.example"), Name: "Bob Miller", First: "Bob", Last: "Miller", Nick: "bobby", Email: "bob@office.example",
			Phones: []string{"+491701", "+49302"}, Groups: []string{"Drivers & Co", "Sales"}},
		{JID: jid.MustParse("+491702@sms.office.example"), Name: "Driver <7>", Phones: []string{"+491702"}, Groups: []string{"Drivers & Co"}},
		{Name: "Nobody can reach", Groups: []string{"Drivers & Co"}},
	}}
}

func open(t *testing.T, o *office) (h *routertest.House, alice, bob *routertest.Client) {
	t.Helper()
	h = routertest.Open(t, router.Config{}, disco.New(roster.New(nil)), search.New(search.Config{Domain: domain, Directory: o}))
	return h, h.Login("alice@office.example/desk"), h.Login("bob@office.example/desk")
}

func query(inner string) string { return "<query xmlns='jabber:iq:search'>" + inner + "</query>" }

func submit(fields ...string) string {
	f := form.New(form.Submit, "jabber:iq:search")
	for i := 0; i < len(fields); i += 2 {
		f.Fields = append(f.Fields, form.Text(fields[i], "", fields[i+1]))
	}
	return query(f.XML())
}

const reported = `<reported><field var='jid' type='jid-single' label='Address'/><field var='name' type='text-single' label='Name'/>` +
	`<field var='nick' type='text-single' label='Nickname'/><field var='email' type='text-single' label='E-mail address'/>` +
	`<field var='phone' type='text-single' label='Phone number'/><field var='group' type='text-single' label='Groups'/></reported>`

// TestFieldsAreOfferedBothWays: plain, and as a form with more of them.
func TestFieldsAreOfferedBothWays(t *testing.T) {
	_, alice, _ := open(t, newOffice())
	got := alice.Ask("get", domain, query(""))
	for _, want := range []string{"<query xmlns='jabber:iq:search'><instructions>", "<first/><last/><nick/><email/><x xmlns='jabber:x:data' type='form'>",
		"<field var='FORM_TYPE' type='hidden'><value>jabber:iq:search</value></field>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	for _, f := range []string{"search", "first", "last", "nick", "email", "phone", "group"} {
		if !strings.Contains(got, "<field var='"+f+"' type='text-single'") {
			t.Errorf("the form has no %s", f)
		}
	}
}

// TestSearchWithForm answers with a form.
func TestSearchWithForm(t *testing.T) {
	_, alice, _ := open(t, newOffice())
	got := alice.Ask("set", domain, submit("first", "b", "unknown", "x"))
	want := query("<x xmlns='jabber:x:data' type='result'>" + reported +
		"<field var='FORM_TYPE' type='hidden'><value>jabber:iq:search</value></field>" +
		"<item><field var='jid'><value>bob@office.example</value></field><field var='name'><value>Bob Miller</value></field>" +
		"<field var='nick'><value>bobby</value></field><field var='email'><value>bob@office.example</value></field>" +
		"<field var='phone'><value>+491701, +49302</value></field><field var='group'><value>Drivers &amp; Co, Sales</value></field></item></x>")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// One form field has another name than the query's.
	o := newOffice()
	_, alice, _ = open(t, o)
	alice.Ask("set", domain, submit("search", " a ", "last", "l", "nick", "n", "email", "e", "phone", "0170", "group", "g"))
	routertest.Same(t, "asked", o.asked, "alice@office.example {Text:a First: Last:l Nick:n Email:e Phone:0170 Group:g}")
}

// TestPlainSearch answers with items; a phone's JID is where it can be texted.
func TestPlainSearch(t *testing.T) {
	_, alice, _ := open(t, newOffice())
	if got, want := alice.Ask("set", domain, query("<first>bob</first>")), query("<item jid='bob@office.example'>"+
		"<first>Bob</first><last>Miller</last><nick>bobby</nick><email>bob@office.example</email></item>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := alice.Ask("set", domain, query("<first>driver</first>")), query("<item jid='+491702@sms.office.example'>"+
		"<first>Driver &lt;7&gt;</first><last/><nick/><email/></item>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNothingFoundIsAnEmptyQuery, also where somebody is there whom the asker
// may not see, and who cannot be reached.
func TestNothingFoundIsAnEmptyQuery(t *testing.T) {
	_, alice, bob := open(t, newOffice())
	for _, ask := range []string{submit("search", "zz"), query("<first>zz</first>"), query("<first>nobody</first>")} {
		routertest.Same(t, "alice", []string{alice.Ask("set", domain, ask)}, "<query xmlns='jabber:iq:search'/>")
	}
	routertest.Same(t, "bob", []string{bob.Ask("set", domain, submit("first", "bob"))}, "<query xmlns='jabber:iq:search'/>")
}

func TestAtMost100AreListed(t *testing.T) {
	o := newOffice()
	for i := range 300 {
		o.entries = append(o.entries, xmpp.DirectoryEntry{JID: jid.MustParse(fmt.Sprintf("p%d@office.example", i)), Name: fmt.Sprint("Pat ", i)})
	}
	_, alice, _ := open(t, o)
	if n := strings.Count(alice.Ask("set", domain, submit("search", "pat")), "<item>"); n != 100 {
		t.Errorf("%d items", n)
	}
}

func TestBadSearches(t *testing.T) {
	h, alice, _ := open(t, newOffice())
	for what, c := range map[string][3]string{
		"nothing filled in":    {"set", query(""), "not-acceptable"},
		"nothing in the form":  {"set", submit("search", "  ", "nick", ""), "not-acceptable"},
		"only unknown fields":  {"set", submit("colour", "red"), "not-acceptable"},
		"much too long":        {"set", submit("search", strings.Repeat("x", 257)), "not-acceptable"},
		"another form":         {"set", query(form.New(form.Submit, "urn:other", form.Text("search", "", "x")).XML()), "bad-request"},
		"a form to fill in":    {"set", query(form.New(form.Ask, "jabber:iq:search").XML()), "bad-request"},
		"a field without name": {"set", query("<x xmlns='jabber:x:data' type='submit'><field><value>x</value></field></x>"), "bad-request"},
		"a cancelled form":     {"set", query("<x xmlns='jabber:x:data' type='cancel'/>"), ""},
		"an unknown request":   {"set", "<other xmlns='jabber:iq:search'/>", "service-unavailable"},
	} {
		if got := alice.Ask(c[0], domain, c[1]); got != c[2] {
			t.Errorf("%s: %s", what, got)
		}
	}
	// Strangers are refused, in both directions of the question, and see no groups.
	peer := h.Component("peer.example")
	for _, typ := range []string{"get", "set"} {
		h.Route("<iq type='" + typ + "' id='1' from='x@peer.example' to='" + domain + "'>" + submit("search", "bob") + "</iq>")
		peer.Want("stranger", "error 1 "+domain+" > x@peer.example forbidden")
	}
	for _, node := range []string{"", " node='drivers'"} {
		h.Route("<iq type='get' id='1' from='x@peer.example' to='" + domain + "'><query xmlns='http://jabber.org/protocol/disco#items'" + node + "/></iq>")
		want := "result 1 " + domain + " > x@peer.example <query xmlns='http://jabber.org/protocol/disco#items'/>"
		if node != "" {
			want = "error 1 " + domain + " > x@peer.example item-not-found"
		}
		peer.Want("stranger", want)
	}
	// Whatever else comes.
	alice.Say("<message to='" + domain + "'><body>hi</body></message>")
	alice.Want("a message", "error "+domain+" > alice@office.example/desk service-unavailable")
	alice.Say("<presence to='"+domain+"'/>", "<iq type='result' id='x' to='"+domain+"'/>")
	alice.Want("presence")
	if got := alice.Ask("get", "bob@"+domain, query("")); got != "service-unavailable" {
		t.Errorf("somebody at the directory: %s", got)
	}
}

func TestDiscovery(t *testing.T) {
	const items, info = "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/disco#info"
	_, alice, bob := open(t, newOffice())
	ask := func(c *routertest.Client, space, node string) string {
		if node != "" {
			node = " node='" + node + "'"
		}
		return c.Ask("get", domain, "<query xmlns='"+space+"'"+node+"/>")
	}
	if got := alice.Ask("get", routertest.Domain, "<query xmlns='"+items+"'/>"); !strings.Contains(got, "<item jid='"+domain+"' name='Directory'/>") {
		t.Errorf("the server lists %s", got)
	}
	got := ask(alice, info, "")
	for _, want := range []string{"<identity category='directory' type='user' name='Directory'/>", "<feature var='jabber:iq:search'/>",
		"<feature var='vcard-temp'/>", "<feature var='" + items + "'/>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	for _, c := range []struct {
		who         *routertest.Client
		space, node string
		want        string
	}{
		{alice, items, "", "<query xmlns='" + items + "'><item jid='" + domain + "' node='drivers' name='Drivers &amp; Co'/></query>"},
		{bob, items, "", "<query xmlns='" + items + "'/>"},
		{alice, items, "drivers", "<query xmlns='" + items + "' node='drivers'><item jid='bob@office.example' name='Bob Miller'/>" +
			"<item jid='+491702@sms.office.example' name='Driver &lt;7&gt;'/></query>"},
		{alice, info, "drivers", "<query xmlns='" + info + "' node='drivers'><identity category='directory' type='group' name='Drivers &amp; Co'/>" +
			"<feature var='" + info + "'/><feature var='" + items + "'/></query>"},
		{bob, items, "drivers", "item-not-found"},
		{bob, info, "drivers", "item-not-found"},
		{alice, items, "other", "item-not-found"},
	} {
		if got := ask(c.who, c.space, c.node); got != c.want {
			t.Errorf("%s of %q: got %s\nwant %s", c.space, c.node, got, c.want)
		}
	}
	if got := alice.Ask("get", domain, "<vCard xmlns='vcard-temp'/>"); !strings.Contains(got, "<FN>Directory</FN>") {
		t.Errorf("vCard %s", got)
	}
}

// FuzzSearch: whatever a client asks is answered once.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{"<first>b</first>", submit("search", "b"), "<x xmlns='jabber:x:data' type='submit'/>", "<first><a/></first>", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		if strings.Contains(inner, "<iq") || len(inner) > 1<<16 {
			t.Skip()
		}
		_, alice, _ := open(t, newOffice())
		st, err := parse(query(inner))
		if err != nil {
			t.Skip()
		}
		if err := alice.Session.Handle(t.Context(), st); err != nil {
			t.Skip()
		}
		if got := alice.Take(); len(got) != 1 {
			t.Errorf("%d answers", len(got))
		}
	})
}

func parse(query string) (*stanza.Stanza, error) {
	return stanza.Parse("<iq type='set' id='1' to='" + domain + "'>" + query + "</iq>")
}
