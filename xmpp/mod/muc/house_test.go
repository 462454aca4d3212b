package muc_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/muc"
	wire "doorway/xmpp/muc"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	service = "conference.office.example"
	hall    = "hall@" + service
	join    = "<x xmlns='http://jabber.org/protocol/muc'/>"
)

var people = []string{"alice", "bob", "carol", "dave", "erin"}

// office is a house with rooms.
type office struct {
	*routertest.House
	now time.Time
	m   *muc.Module
}

func open(t testing.TB, store router.Store, more ...xmpp.Module) *office {
	t.Helper()
	return openWith(t, store, muc.Config{}, more...)
}

// openWith is open with what c says beside domain and clock.
func openWith(t testing.TB, store router.Store, c0 muc.Config, more ...xmpp.Module) *office {
	t.Helper()
	o := &office{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c0.Domain, c0.Now = service, func() time.Time { return o.now }
	o.m = muc.New(c0)
	accounts := routertest.Accounts{}
	for _, p := range people {
		accounts[p] = true
	}
	for i := range 200 {
		accounts[fmt.Sprint("u", i)] = true
	}
	c := router.Config{Accounts: accounts}
	if store != nil {
		c.Store = store
	}
	o.House = routertest.Open(t, c, append(more, o.m)...)
	o.Line = line
	return o
}

// person logs somebody in under "name" or "name/resource".
func (o *office) person(name string) *routertest.Client {
	o.T.Helper()
	local, res, ok := strings.Cut(name, "/")
	if !ok {
		res = "desk"
	}
	return o.Login(local + "@office.example/" + res)
}

// enter has somebody log in and enter the hall under his name; what came is
// forgotten.
func (o *office) enter(names ...string) []*routertest.Client {
	o.T.Helper()
	var list []*routertest.Client
	for _, n := range names {
		c := o.person(n)
		nick, _, _ := strings.Cut(n, "/")
		c.Say("<presence to='" + hall + "/" + nick + "'>" + join + "</presence>")
		list = append(list, c)
	}
	for _, c := range list {
		c.Take()
	}
	return list
}

// found makes the hall with a configuration: fields as "name=value"; alice is
// in it as its owner.
func (o *office) found(fields ...string) *routertest.Client {
	o.T.Helper()
	a := o.enter("alice")[0]
	if got := a.Ask("set", hall, submit(fields...)); got != "" {
		o.T.Fatalf("configure: %s", got)
	}
	a.Take()
	return a
}

func submit(fields ...string) string {
	var b strings.Builder
	b.WriteString("<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>")
	for _, f := range fields {
		name, values, _ := strings.Cut(f, "=")
		if !strings.HasPrefix(name, "x-") && !strings.HasPrefix(name, "muc#") {
			name = "muc#roomconfig_" + name
		}
		b.WriteString("<field var='" + name + "'>")
		for v := range strings.SplitSeq(values, ",") {
			b.WriteString("<value>" + v + "</value>")
		}
		b.WriteString("</field>")
	}
	b.WriteString("</x></query>")
	return b.String()
}

// admin is a muc#admin request of items as "nick=bob role=none".
func admin(items ...string) string {
	var b strings.Builder
	b.WriteString("<query xmlns='http://jabber.org/protocol/muc#admin'>")
	for _, it := range items {
		b.WriteString("<item")
		reason := ""
		for f := range strings.FieldsSeq(it) {
			k, v, _ := strings.Cut(f, "=")
			if k == "reason" {
				reason = "<reason>" + v + "</reason>"
				continue
			}
			b.WriteString(" " + k + "='" + v + "'")
		}
		b.WriteString(">" + reason + "</item>")
	}
	b.WriteString("</query>")
	return b.String()
}

// set is Ask with the condition only.
func set(c *routertest.Client, items ...string) string {
	cond, _, _ := strings.Cut(c.Ask("set", hall, admin(items...)), " ")
	return cond
}

func nick(j jid.JID) string {
	if j.IsFull() {
		return j.Resource()
	}
	return "hall"
}

// line describes what rooms say in few words: "unavailable bob member/none
// bob@office.example/desk 110 303", "groupchat bob: hello".
func line(st *stanza.Stanza) string {
	if e, ok := stanza.ErrorOf(st); ok {
		return fmt.Sprintf("error %s %s: %s", st.Kind, nick(st.From), e.Condition)
	}
	if st.From.Domain() != service {
		return routertest.Line(st)
	}
	var b strings.Builder
	switch u, ok := wire.ParseUser(st); {
	case st.Kind == stanza.IQ:
		fmt.Fprintf(&b, "%s %s %s", st.Type, nick(st.From), st.Inner())
	case st.Kind == stanza.Message && st.HasChild("", "subject"):
		s, _ := st.Child("", "subject")
		fmt.Fprintf(&b, "subject %s: %s", nick(st.From), s.Text)
	case st.Body() != "":
		typ := st.Type
		if typ == "" {
			typ = "normal"
		}
		fmt.Fprintf(&b, "%s %s: %s", typ, nick(st.From), st.Body())
	case ok && (st.Kind == stanza.Presence || u.Item != nil || len(u.Status) > 0):
		if st.Kind == stanza.Message {
			b.WriteString("message ")
		} else if st.Type != "" {
			b.WriteString(st.Type + " ")
		}
		b.WriteString(nick(st.From))
		if u.Item != nil {
			fmt.Fprintf(&b, " %s/%s", u.Item.Affiliation, u.Item.Role)
			for _, x := range []string{u.Item.JID.String(), u.Item.Nick} {
				if x != "" {
					b.WriteString(" " + x)
				}
			}
			if u.Item.ActorNick != "" {
				b.WriteString(" by " + u.Item.ActorNick)
			}
			if u.Item.Reason != "" {
				b.WriteString(" because " + u.Item.Reason)
			}
		}
		if u.Destroy != nil {
			b.WriteString(strings.TrimRight(" destroyed "+strings.TrimSpace(u.Destroy.Venue.String()+" "+u.Destroy.Reason), " "))
		}
		for _, s := range u.Status {
			b.WriteString(" " + strconv.Itoa(s))
		}
	default:
		fmt.Fprintf(&b, "%s %s %s", st.Kind, nick(st.From), st.Inner())
	}
	if st.HasChild("urn:xmpp:delay", "delay") {
		b.WriteString(" (late)")
	}
	return strings.TrimSpace(b.String())
}

// conf is a field of the hall's configuration as an owner sees it.
func conf(t testing.TB, c *routertest.Client, field string) []string {
	t.Helper()
	xml := c.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/muc#owner'/>")
	st := routertest.Parse(t, "<iq type='result' id='1'>"+xml+"</iq>")
	q, _ := st.Child("http://jabber.org/protocol/muc#owner", "query")
	x := q.Child("jabber:x:data", "x")
	if x == nil {
		t.Fatalf("no form: %s", xml)
	}
	for _, f := range x.Children {
		if f.Attr("var") == field {
			var v []string
			for _, c := range f.Children {
				if c.Name.Local == "value" {
					v = append(v, c.Text)
				}
			}
			return v
		}
	}
	return nil
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func say(c *routertest.Client, text string) {
	c.House.T.Helper()
	c.Say("<message type='groupchat' to='" + hall + "' id='m'><body>" + text + "</body></message>")
}

func forget(list ...*routertest.Client) {
	for _, c := range list {
		c.Take()
	}
}
