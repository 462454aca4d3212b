package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/gateway/config"
	"doorway/gateway/people"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmpptest"
)

// groupOffice is the whole server in this process, so that tests can edit people and
// groups as the admin commands do, and real clients of it.
type groupOffice struct {
	*server
	t *testing.T
}

// openGroups starts a server with accounts of these names.
func openGroups(t *testing.T, accounts ...string) *groupOffice {
	t.Helper()
	if testing.Short() {
		t.Skip("the whole server runs in `make test`, not with -short")
	}
	dir := t.TempDir()
	cfg, err := config.Parse(filepath.Join(dir, "doorway.toml"), fmt.Appendf(nil, `domain = "office.localhost"
data = %q
[xmpp]
listen = ["127.0.0.1:0"]
listen_tls = []
[http]
listen = ["127.0.0.1:0"]
[sms]
country = "49"
`, filepath.Join(dir, "data")))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s.ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the server is not ready")
	}
	o := &groupOffice{s, t}
	o.accounts(accounts...)
	return o
}

func (o *groupOffice) accounts(names ...string) {
	o.t.Helper()
	for _, n := range names {
		if err := o.people.Add(n, "correct horse", strings.ToUpper(n[:1])+n[1:]); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *groupOffice) edit(f func(e *people.Edit) error) {
	o.t.Helper()
	if err := o.people.Edit(context.Background(), f); err != nil {
		o.t.Fatal(err)
	}
}

// group makes a group, or makes it anew, as people type it.
func (o *groupOffice) group(id, label, visible string, members ...string) {
	o.t.Helper()
	o.edit(func(e *people.Edit) (err error) {
		g := people.Group{ID: id, Label: label}
		if g.Visible, err = e.ParseVisible(visible); err != nil {
			return err
		}
		for _, typed := range members {
			m, err := e.Member(typed)
			if err != nil {
				return err
			}
			g.Members = append(g.Members, m)
		}
		return e.PutGroup(g)
	})
}

// member is a client of the office.
type member struct {
	*xmpptest.Client
	t *testing.T
}

// connect logs in, and does nothing more.
func (o *groupOffice) connect(name string) *member { return o.connectAs(name, "desk") }

// connectAs is connect with a resource.
func (o *groupOffice) connectAs(name, resource string) *member {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	c, err := xmpptest.Dial(ctx, o.addr("c2s"), xmpptest.Options{
		Domain: "office.localhost", User: name, Password: "correct horse", Resource: resource, TLS: xmpptest.StartTLS,
		TLSConfig: &tls.Config{RootCAs: roots(o.t, o.certs.CAFile()), MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = c.Kill() }) // ignored: the test may have closed it
	return &member{c, o.t}
}

// online logs in, asks for the roster and is present; what that brings is dropped.
func (o *groupOffice) online(name string) *member {
	o.t.Helper()
	m := o.connect(name)
	m.say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	m.lines()
	return m
}

func (m *member) say(xml string) {
	m.t.Helper()
	if err := m.Send(xml); err != nil {
		m.t.Fatal(err)
	}
}

// lines are what has come, once the server has handled what was sent. Whatever
// an edit pushes is queued when the edit returns, so it is among them.
func (m *member) lines() []string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	list, err := m.Settle(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	var lines []string
	for _, st := range list {
		lines = append(lines, memberLine(st))
	}
	return lines
}

// memberLine is a stanza in a few words: "push bob both Sales,Night", "bob away", "-bob" for unavailable.
func memberLine(st *stanza.Stanza) string {
	if st.Kind == stanza.Presence {
		switch st.Type {
		case "unavailable":
			return "-" + st.From.Local()
		case "":
			show, _ := st.Child("", "show")
			return strings.TrimSpace(st.From.Local() + " " + show.Text)
		}
		return st.Type + " " + st.From.Local()
	}
	q, _ := st.Child("jabber:iq:roster", "query")
	var items []string
	for i := range q.Children {
		it := &q.Children[i]
		var groups []string
		for k := range it.Children {
			groups = append(groups, it.Children[k].Text)
		}
		local, _, _ := strings.Cut(it.Attr("jid"), "@")
		if name := it.Attr("name"); name != "" && !strings.EqualFold(name, local) {
			local += " (" + name + ")"
		}
		items = append(items, strings.TrimSpace(local+" "+it.Attr("subscription")+" "+strings.Join(groups, ",")))
	}
	if e, ok := stanza.ErrorOf(st); ok {
		return st.Type + " " + string(e.Condition)
	}
	kind := map[string]string{"set": "push ", "result": "roster "}[st.Type]
	return strings.TrimSpace(kind + strings.Join(items, "; "))
}

// gets expects exactly these lines.
func (m *member) gets(what string, want ...string) {
	m.t.Helper()
	if got := m.lines(); !slices.Equal(got, want) {
		m.t.Errorf("%s: %s got\n  %s\nwant\n  %s", what, m.JID().Local(), strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// roster asks with a version and expects the result; what it brings else is an error.
func (m *member) roster(ver string, want string) (now string) {
	m.t.Helper()
	m.say("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='" + ver + "'/></iq>")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	st, err := m.Expect(ctx, func(st *stanza.Stanza) bool { return st.ID == "g" })
	if err != nil {
		m.t.Fatal(err)
	}
	if got := strings.TrimSpace(strings.TrimPrefix(memberLine(st), "roster")); got != want {
		m.t.Errorf("roster of %s is %q, want %q", m.JID().Local(), got, want)
	}
	q, _ := st.Child("jabber:iq:roster", "query")
	return q.Attr("ver")
}

// The tests below are the acceptance cases of shared rosters, against the whole
// server; those of mod/roster hold what single stanzas look like.

func TestGroupMemberAddedIsSeenWithoutLoginAgain(t *testing.T) {
	o := openGroups(t, "anna", "ben")
	o.group("sales", "Sales", "members", "anna")
	a, b := o.online("anna"), o.online("ben")
	o.group("sales", "Sales", "members", "anna", "ben")
	a.gets("added", "push ben both Sales", "ben")
	b.gets("added", "push anna both Sales", "anna")
	b.say("<presence><show>away</show></presence>")
	b.lines()
	a.gets("a change of presence", "ben away")
	// Another client of the same person sees the same.
	b.roster("", "anna both Sales")
	// Removing is unavailable first, then the push (case 3).
	o.group("sales", "Sales", "members", "anna")
	a.gets("removed", "-ben", "push ben remove")
	b.gets("removed", "-anna", "push anna remove")
}

func TestGroupVisibilityAloneIsPushed(t *testing.T) {
	o := openGroups(t, "anna", "ben", "carl")
	o.group("watch", "Watch", "nobody", "anna")
	o.group("guard", "Guard", "nobody", "carl")
	o.group("sales", "Sales", "watch", "ben")
	a, b, c := o.online("anna"), o.online("ben"), o.online("carl")
	a.gets("at first", "ben")
	o.group("sales", "Sales", "guard", "ben")
	a.gets("before", "-ben", "push ben remove")
	c.gets("now", "push ben to Sales", "ben")
	b.gets("seen, and nothing else")
}

func TestGroupsOfOneContactStandTogether(t *testing.T) {
	o := openGroups(t, "anna", "ben")
	a := o.online("anna")
	a.say("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='ben@office.localhost' name='Benny'><group>Chess</group></item></query></iq>")
	a.lines()
	o.group("sales", "Sales", "members", "anna", "ben")
	a.gets("a group", "push ben (Benny) both Sales,Chess")
	o.group("night", "Night", "everybody", "ben")
	a.gets("another", "push ben (Benny) both Night,Sales,Chess")
	o.group("night2", "Night", "everybody", "ben")
	a.gets("the same label again")
	o.group("sales", "Sales", "members", "anna")
	a.gets("one less", "push ben (Benny) to Night,Chess")
	a.say("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='ben@office.localhost' subscription='remove'/></query></iq>")
	a.gets("the personal part is removed", "push ben to Night", "roster")
	a.say("<iq type='set' id='3'><query xmlns='jabber:iq:roster'><item jid='ben@office.localhost' subscription='remove'/></query></iq>")
	a.gets("nothing of it is hers", "error not-acceptable")
	o.edit(func(e *people.Edit) error {
		for _, id := range []string{"night", "night2"} {
			if err := e.RemoveGroup(id); err != nil {
				return err
			}
		}
		return nil
	})
	a.gets("no group any more", "push ben remove")
	a.roster("", "")
}

func TestGroupOfEverybodyTakesNewAccounts(t *testing.T) {
	o := openGroups(t, "anna", "ben")
	o.group("all", "Office", "everybody", "everybody")
	a := o.online("anna")
	o.accounts("dora")
	a.gets("before she is there", "push dora both Office")
	d := o.online("dora")
	a.gets("there", "dora")
	d.roster("", "anna both Office; ben both Office")
	// Deleting an account takes it out of groups and rosters.
	if err := o.people.Remove("dora"); err != nil {
		t.Fatal(err)
	}
	a.gets("deleted", "-dora", "push dora remove")
	a.roster("", "ben both Office")
	// Named members work exactly so.
	o.group("all", "Office", "members", "anna", "ben")
	a.gets("named")
	a.roster("", "ben both Office")
}

// TestGroupMemberWhoseAccountGoes: each resource goes offline, before the contact goes.
func TestGroupMemberWhoseAccountGoes(t *testing.T) {
	o := openGroups(t, "anna", "ben")
	o.group("sales", "Sales", "members", "anna", "ben")
	a := o.online("anna")
	for _, resource := range []string{"desk", "phone"} {
		o.connectAs("ben", resource).say("<presence/>")
	}
	here := map[string]bool{}
	next := func(what string, done func() bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		for !done() {
			st, err := a.Next(ctx)
			if err != nil {
				t.Fatalf("%s: %v; online are %v", what, err, here)
			}
			if st.Kind == stanza.IQ {
				for full := range here {
					t.Errorf("%s is online while %s", full, memberLine(st))
				}
				return
			}
			if delete(here, st.From.String()); st.Type == "" {
				here[st.From.String()] = true
			}
		}
	}
	next("coming", func() bool { return len(here) == 2 })
	if err := o.people.Remove("ben"); err != nil {
		t.Fatal(err)
	}
	next("going", func() bool { return false })
}

func TestGroupMadeInvisibleLeavesNobodyBehind(t *testing.T) {
	o := openGroups(t, "anna", "ben", "carl")
	o.group("sales", "Sales", "members", "anna", "ben", "carl")
	a, c := o.online("anna"), o.online("carl")
	ver := c.roster("", "anna both Sales; ben both Sales")
	if same := c.roster(ver, ""); same != "" {
		t.Error("the current version got a roster")
	}
	c.say("<presence type='unavailable'/>")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	a.sees("-carl")
	o.group("sales", "Sales", "nobody", "anna", "ben", "carl")
	a.gets("invisible", "push ben remove", "push carl remove")
	c = o.connect("carl")
	if now := c.roster(ver, ""); now == "" {
		t.Error("an old version was taken for the current one")
	}
}

// sees waits for one line and drops what comes before it.
func (m *member) sees(line string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		st, err := m.Next(ctx)
		if err != nil {
			m.t.Fatalf("%s did not come: %v", line, err)
		}
		if memberLine(st) == line {
			return
		}
	}
}

func TestGroupSubscriptionsCannotBeBroken(t *testing.T) {
	o := openGroups(t, "anna", "ben")
	o.group("sales", "Sales", "members", "anna", "ben")
	a, b := o.online("anna"), o.online("ben")
	a.lines()
	a.say("<presence type='subscribe' to='ben@office.localhost'/>")
	a.gets("nobody is asked", "subscribed ben")
	for _, typ := range []string{"unsubscribe", "unsubscribed", "subscribed"} {
		a.say("<presence type='" + typ + "' to='ben@office.localhost'/>")
		b.say("<presence type='" + typ + "' to='anna@office.localhost'/>")
		a.gets(typ)
		b.gets(typ)
	}
	a.roster("", "ben both Sales")
	b.roster("", "anna both Sales")
	a.say("<presence><show>dnd</show></presence>")
	a.lines()
	b.gets("presence flows on", "anna dnd")
	a.say("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='far@far.example'><group>Sales</group></item></query></iq>")
	a.gets("a stranger in the group", "error not-acceptable")
}

func TestGroupLabelAndDirection(t *testing.T) {
	o := openGroups(t, "anna", "ben", "carl")
	o.group("boss", "Managers", "nobody", "anna")
	o.group("sales", "Sales", "boss", "ben", "carl")
	a, b := o.online("anna"), o.online("ben")
	a.gets("ben comes", "ben")
	o.group("sales", "Trade", "boss", "ben", "carl")
	a.gets("one push each", "push ben to Trade", "push carl to Trade")
	b.gets("not back")
	b.roster("", "")
	a.say("<presence><show>away</show></presence>")
	a.lines()
	b.gets("nor presence")
	// A group in a group: its members reach the outer group's viewers.
	o.group("house", "House", "members", "anna", "group:sales")
	a.gets("nested", "push ben both House,Trade", "push carl both House,Trade")
	b.gets("nested", "push anna both House", "anna away", "push carl both House")
	o.group("sales", "Trade", "boss", "ben")
	a.gets("the inner group shrinks", "push carl remove")
	b.gets("the inner group shrinks", "push carl remove")
}

func TestGroupPhonesAreContacts(t *testing.T) {
	o := openGroups(t, "anna")
	o.edit(func(e *people.Edit) error {
		return e.PutPerson(people.Person{ID: "driver", Name: "Driver Seven", Phones: []string{"0155 50107"}})
	})
	a := o.online("anna")
	o.group("drivers", "Drivers", "everybody", "driver")
	a.gets("a phone", "push +4915550107 (Driver Seven) to Drivers", "+4915550107 xa") // no modem
	o.edit(func(e *people.Edit) error { return e.RemoveGroup("drivers") })
	a.gets("gone", "-+4915550107", "push +4915550107 remove")
}
