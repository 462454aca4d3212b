package command_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/command"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	home  = routertest.Domain
	alice = "alice@office.example/desk"
	bob   = "bob@office.example/desk"
	ns    = "http://jabber.org/protocol/commands"
	sms   = "sms." + home
)

// subscriptions let everybody see everybody.
type subscriptions struct{ xmpp.Subscriptions }

func (subscriptions) SeesPresence(jid.JID, jid.JID) bool { return true }

// house is a server with a few commands.
type house struct {
	*routertest.House
	m       *command.Module
	barred  bool // alice may not administer any more
	ordered []string
}

func open(t testing.TB) *house {
	t.Helper()
	h := &house{m: command.New()}
	h.House = routertest.Open(t, router.Config{}, h.m, disco.New(subscriptions{}, h.m))
	h.Component(sms)
	boss := func(j jid.JID) bool { return j.Local() == "alice" && !h.barred }
	for _, c := range []xmpp.Command{
		{Node: "time", Name: "Time", Run: func(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			return xmpp.CommandDone("It is late, " + c.Asker.Local() + " <" + c.Lang + ">."), nil
		}},
		{Node: "order", Name: "Order lunch", May: boss, Run: h.order},
		{Node: "broken", Name: "Broken", Run: func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			return nil, errors.New("disk full")
		}},
		{Node: "silent", Name: "Silent", Run: func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) { return nil, nil }},
	} {
		if err := h.m.Command(c); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// order is a command of two pages.
func (h *house) order(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
	dish := form.New(form.Ask, "urn:lunch", form.Field{Var: "dish", Kind: form.TextSingle, Required: true},
		form.Field{Var: "pin", Kind: form.TextPrivate}, form.Switch("hot", "Hot", false))
	return &xmpp.CommandPage{Form: dish, Submit: func(_ context.Context, c *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		what, _ := c.Form.Value("dish")
		switch what {
		case "stone":
			return nil, xmpp.TryAgain("Stones are not eaten here.")
		case "gold":
			return nil, stanza.NewError(stanza.NotAcceptable, "Too dear.")
		case "poison":
			return nil, errors.New("kitchen on fire")
		}
		return &xmpp.CommandPage{Last: true, Notes: []xmpp.CommandNote{{Severity: xmpp.CommandWarning, Text: "No way back after this."}},
			Submit: func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
				h.ordered = append(h.ordered, what)
				return &xmpp.CommandPage{Form: form.New(form.Result, "urn:lunch", form.Text("dish", "", what)), Payload: "<bill xmlns='urn:bill'/>"}, nil
			}}, nil
	}}, nil
}

var idPattern = regexp.MustCompile(`sessionid='([0-9a-f]+)'`)

// ask sends a command element and returns the answer with S for its session id.
func ask(c *routertest.Client, to, attrs, inside string) (answer, id string) {
	got := c.Ask("set", to, "<command xmlns='"+ns+"' "+attrs+">"+inside+"</command>")
	if m := idPattern.FindStringSubmatch(got); m != nil {
		return strings.ReplaceAll(got, m[1], "S"), m[1]
	}
	return got, ""
}

func begin(t testing.TB, c *routertest.Client) string {
	t.Helper()
	answer, id := ask(c, home, "node='order'", "")
	if id == "" {
		t.Fatalf("not begun: %s", answer)
	}
	return id
}

func fill(fields ...string) string {
	x := "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:lunch</value></field>"
	for i := 0; i < len(fields); i += 2 {
		x += "<field var='" + fields[i] + "'><value>" + fields[i+1] + "</value></field>"
	}
	return x + "</x>"
}

const (
	head     = "<command xmlns='" + ns + "' node='order' sessionid='S' status='executing' xml:lang='en'>"
	firstAct = "<actions execute='next'><next/></actions>"
	lastPage = head + "<actions execute='complete'><prev/><complete/></actions><note type='warn'>No way back after this.</note></command>"
)

func firstPage(dish, hot, note string) string {
	if dish != "" {
		dish = "<value>" + dish + "</value>"
	}
	return head + firstAct + "<x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='hidden'><value>urn:lunch</value></field>" +
		"<field var='dish' type='text-single'><required/>" + dish + "</field><field var='pin' type='text-private'/>" +
		"<field var='hot' type='boolean' label='Hot'><value>" + hot + "</value></field></x>" + note + "</command>"
}

// TestFlows walks through commands as clients do.
func TestFlows(t *testing.T) {
	h := open(t)
	a := h.Login(alice)
	got, _ := ask(a, home, "node='time' action='execute'", "")
	if want := "<command xmlns='" + ns + "' node='time' sessionid='S' status='completed' xml:lang='en'><note type='info'>It is late, alice &lt;&gt;.</note></command>"; got != want {
		t.Errorf("simple: %s", got)
	}
	if got, _ = ask(a, home, "node='silent'", ""); got != "<command xmlns='"+ns+"' node='silent' sessionid='S' status='completed' xml:lang='en'/>" {
		t.Errorf("silent: %s", got)
	}
	if got, _ = ask(a, home, "node='broken'", ""); got != "internal-server-error" {
		t.Errorf("broken: %s", got)
	}
	id := begin(t, a)
	in := "node='order' sessionid='" + id + "'"
	for _, s := range []struct{ what, attrs, inside, want string }{
		{"refused with a sentence", "", fill("dish", "stone", "pin", "1234", "hot", "1"),
			firstPage("stone", "1", "<note type='error'>Stones are not eaten here.</note>")},
		{"refused with a condition", "", fill("dish", "gold"), "not-acceptable"},
		{"failed", "", fill("dish", "poison"), "internal-server-error"},
		{"forward", "action='next'", fill("dish", "soup", "hot", "1", "unasked", "x"), lastPage},
		{"back", "action='prev'", "", firstPage("soup", "1", "")},
		{"a form of type cancel counts as filled in", "action='execute'", strings.Replace(fill("dish", "rice"), "submit", "cancel", 1), lastPage},
		{"done", "action='complete'", "", "<command xmlns='" + ns + "' node='order' sessionid='S' status='completed' xml:lang='en'>" +
			"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:lunch</value></field>" +
			"<field var='dish' type='text-single'><value>rice</value></field></x><bill xmlns='urn:bill'/></command>"},
		{"over", "", "", "not-allowed <session-expired xmlns='" + ns + "'/>"},
		{"over", "action='cancel'", "", "not-allowed <session-expired xmlns='" + ns + "'/>"},
	} {
		if got, _ := ask(a, home, in+" "+s.attrs, s.inside); got != s.want {
			t.Errorf("%s:\n got %s\nwant %s", s.what, got, s.want)
		}
	}
	routertest.Same(t, "kitchen", h.ordered, "rice")
	id = begin(t, a)
	if got, _ = ask(a, home, "node='order' action='cancel' sessionid='"+id+"'", ""); got != "<command xmlns='"+ns+"' node='order' sessionid='S' status='canceled' xml:lang='en'/>" {
		t.Errorf("cancel: %s", got)
	}
}

// TestErrors has the exact condition for each wrong request (XEP-0050 §4.4),
// and the execution is there afterwards.
func TestErrors(t *testing.T) {
	h := open(t)
	a, b := h.Login(alice), h.Login(bob)
	other := h.Login("alice@office.example/phone")
	id := begin(t, a)
	in := "node='order' sessionid='" + id + "'"
	app := func(condition, what string) string { return condition + " <" + what + " xmlns='" + ns + "'/>" }
	payload := app("bad-request", "bad-payload")
	for _, s := range []struct {
		what              string
		who               *routertest.Client
		to, attrs, inside string
		want              string
	}{
		{"unknown action", a, home, in + " action='jump'", "", app("bad-request", "malformed-action")},
		{"unknown action, no command", a, home, "node='no' action='jump'", "", app("bad-request", "malformed-action")},
		{"no node", a, home, "", "", "bad-request"},
		{"empty node", a, home, "node=''", "", "bad-request"},
		{"unknown node", a, home, "node='no'", "", "item-not-found"},
		{"unknown node, with an id", a, home, "node='no' sessionid='x'", "", "item-not-found"},
		{"list as a command", a, home, "node='" + ns + "'", "", "item-not-found"},
		{"not allowed", b, home, "node='order'", "", "forbidden"},
		{"not allowed, somebody's id", b, home, in, "", "forbidden"},
		{"begins with next", a, home, "node='order' action='next'", "", app("bad-request", "bad-action")},
		{"begins with complete", a, home, "node='order' action='complete'", "", app("bad-request", "bad-action")},
		{"begins with cancel", a, home, "node='order' action='cancel'", "", app("bad-request", "bad-action")},
		{"back from the first", a, home, in + " action='prev'", "", app("bad-request", "bad-action")},
		{"finish too early", a, home, in + " action='complete'", fill("dish", "soup"), app("bad-request", "bad-action")},
		{"empty id", a, home, "node='order' sessionid=''", "", app("bad-request", "bad-sessionid")},
		{"invented id", a, home, "node='order' sessionid='1'", "", app("bad-request", "bad-sessionid")},
		{"changed id", a, home, "node='order' sessionid='" + strings.Repeat("0", len(id)) + "'", "", app("bad-request", "bad-sessionid")},
		{"id of another resource", other, home, in, "", app("bad-request", "bad-sessionid")},
		{"id of another command", a, home, "node='time' sessionid='" + id + "'", "", app("bad-request", "bad-sessionid")},
		{"no language", a, home, in + " xml:lang='no language'", "", app("bad-request", "bad-locale")},
		{"long language", a, home, in + " xml:lang='abcdefghi'", "", app("bad-request", "bad-locale")},
		{"no form", a, home, in, "", payload},
		{"no field", a, home, in, fill(), payload},
		{"empty field", a, home, in, fill("dish", ""), payload},
		{"twice the field", a, home, in, fill("dish", "a", "dish", "b"), payload},
		{"wrong kind", a, home, in, fill("dish", "a", "hot", "perhaps"), payload},
		{"wrong form", a, home, in, strings.Replace(fill("dish", "a"), "urn:lunch", "urn:dinner", 1), payload},
		{"form of no type", a, home, in, strings.Replace(fill("dish", "a"), "submit", "", 1), payload},
		{"form that asks", a, home, in, strings.Replace(fill("dish", "a"), "submit", "form", 1), payload},
		{"two forms", a, home, in, fill("dish", "a") + fill("dish", "b"), payload},
		{"too many fields", a, home, in, fill(strings.Split(strings.Repeat("a,", 600)+"a", ",")[:600]...), payload},
		{"another language is all right", a, home, in + " action='next' xml:lang='de-AT'", fill("dish", "soup"), lastPage},
	} {
		if got, _ := ask(s.who, s.to, s.attrs, s.inside); got != s.want {
			t.Errorf("%s:\n got %s\nwant %s", s.what, got, s.want)
		}
	}
	a.Say("<iq type='set' id='e' to='" + home + "'><command xmlns='" + ns + "' node='order' sessionid='&lt;' action='next'/></iq>")
	if got := a.One(); !strings.HasPrefix(got.Inner(), "<command xmlns='"+ns+"' node='order' sessionid='&lt;' action='next'/><error type='modify'>") {
		t.Errorf("a refusal does not say whose it is: %v", got)
	}
	if got := a.Ask("get", home, "<command xmlns='"+ns+"' node='time'/>"); got != "feature-not-implemented" {
		t.Errorf("get: %s", got)
	}
	h.barred = true
	if got, _ := ask(a, home, in, ""); got != "forbidden" {
		t.Errorf("no longer allowed: %s", got)
	}
	if len(h.ordered) > 0 {
		t.Errorf("ordered %q", h.ordered)
	}
}

// TestDiscovery shows each asker what they may run, and nothing else.
func TestDiscovery(t *testing.T) {
	h := open(t)
	a, b := h.Login(alice), h.Login(bob)
	q := func(kind, node string) string {
		return "<query xmlns='http://jabber.org/protocol/disco#" + kind + "' node='" + node + "'/>"
	}
	item := func(node, name string) string {
		return fmt.Sprintf("<item jid='%s' node='%s' name='%s'/>", home, node, name)
	}
	list := func(items ...string) string {
		return strings.TrimSuffix(q("items", ns), "/>") + ">" + strings.Join(items, "") + "</query>"
	}
	for _, s := range []struct {
		who       *routertest.Client
		ask, want string
	}{
		{a, q("items", ns), list(item("time", "Time"), item("order", "Order lunch"), item("broken", "Broken"), item("silent", "Silent"))},
		{b, q("items", ns), list(item("time", "Time"), item("broken", "Broken"), item("silent", "Silent"))},
		{b, q("info", ns), strings.TrimSuffix(q("info", ns), "/>") + "><identity category='automation' type='command-list' name='Commands'/><feature var='" + ns + "'/></query>"},
		{a, q("info", "order"), strings.TrimSuffix(q("info", "order"), "/>") + "><identity category='automation' type='command-node' name='Order lunch'/><feature var='" + ns + "'/><feature var='jabber:x:data'/></query>"},
		{b, q("info", "order"), "forbidden"},
		{b, q("items", "order"), "forbidden"},
		{a, q("items", "order"), q("items", "order")},
		{a, q("info", "no"), "item-not-found"},
		{a, q("items", "no"), "item-not-found"},
	} {
		if got := s.who.Ask("get", home, s.ask); got != s.want {
			t.Errorf("%s %s:\n got %s\nwant %s", s.who.Session.JID(), s.ask, got, s.want)
		}
	}
	if got := a.Ask("get", "alice@"+home, q("items", ns)); got != "item-not-found" {
		t.Errorf("account: %s", got)
	}
	if got := a.Ask("get", home, "<query xmlns='http://jabber.org/protocol/disco#info'/>"); !strings.Contains(got, "<feature var='"+ns+"'/>") {
		t.Errorf("not a feature: %s", got)
	}
}

// passing is a domain that leaves commands to this package.
type passing struct{}

func (passing) Handle(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) { return xmpp.Pass, nil }

func TestHostedDomain(t *testing.T) {
	h := open(t)
	a := h.Login(alice)
	for _, d := range []string{"dir." + home, "bare." + home} {
		if err := h.Router.Domain(xmpp.Domain{Name: d, Handler: passing{}}); err != nil {
			t.Fatal(err)
		}
	}
	c := xmpp.Command{Domain: "dir." + home, Node: "time", Name: "There", Run: func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return xmpp.CommandFailed("No clock."), nil
	}}
	if err := h.m.Command(c); err != nil {
		t.Fatal(err)
	}
	for _, c := range []xmpp.Command{c, {Node: "", Run: c.Run}, {Node: "x"}, {Node: ns, Run: c.Run}} {
		if err := h.m.Command(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	if got, _ := ask(a, "dir."+home, "node='time'", ""); got != "<command xmlns='"+ns+"' node='time' sessionid='S' status='completed' xml:lang='en'><note type='error'>No clock.</note></command>" {
		t.Errorf("got %s", got)
	}
	if got, _ := ask(a, "dir."+home, "node='order'", ""); got != "item-not-found" {
		t.Errorf("another domain's: %s", got)
	}
	if got, _ := ask(a, "bare."+home, "node='time'", ""); got != "feature-not-implemented" {
		t.Errorf("no commands: %s", got)
	}
	if got := a.Ask("get", "bare."+home, "<query xmlns='http://jabber.org/protocol/disco#items' node='"+ns+"'/>"); got != "item-not-found" {
		t.Errorf("no commands: %s", got)
	}
}

// TestExpiry: what is left alone for ten minutes is over, and forgotten.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		a := h.Login(alice)
		defer h.Go(h.m.Run)()
		id := begin(t, a)
		in := "node='order' sessionid='" + id + "'"
		time.Sleep(9 * time.Minute)
		if got, _ := ask(a, home, in, fill("dish", "stone")); !strings.Contains(got, "Stones") {
			t.Errorf("after 9 minutes: %s", got)
		}
		time.Sleep(9 * time.Minute)
		if n := h.m.Running(); n != 1 {
			t.Errorf("%d running after a step", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := h.m.Running(); n != 0 {
			t.Errorf("%d running after ten minutes", n)
		}
		if got, _ := ask(a, home, in, fill("dish", "soup")); got != "not-allowed <session-expired xmlns='"+ns+"'/>" {
			t.Errorf("expired: %s", got)
		}
	})
}

// TestExpiryWithoutRun does not depend on the sweep.
func TestExpiryWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		a := h.Login(alice)
		id := begin(t, a)
		time.Sleep(10 * time.Minute)
		if got, _ := ask(a, home, "node='order' sessionid='"+id+"'", fill("dish", "soup")); got != "not-allowed <session-expired xmlns='"+ns+"'/>" {
			t.Errorf("expired: %s", got)
		}
	})
}

// TestFlood: a user who starts without end loses their oldest, others nothing.
func TestFlood(t *testing.T) {
	h := open(t)
	a := h.Login(alice)
	phone := h.Login("alice@office.example/phone")
	kept := begin(t, phone)
	first := begin(t, a)
	for range 7 {
		begin(t, a)
	}
	if got, _ := ask(phone, home, "node='order' sessionid='"+kept+"'", fill("dish", "stone")); got != "not-allowed <session-expired xmlns='"+ns+"'/>" {
		t.Errorf("the ninth did not end the first: %s", got)
	}
	if got, _ := ask(a, home, "node='order' sessionid='"+first+"'", fill("dish", "stone")); !strings.Contains(got, "Stones") {
		t.Errorf("used: %s", got)
	}
	for range 1000 {
		begin(t, a)
	}
	if n := h.m.Running(); n != 8 {
		t.Errorf("%d running", n)
	}
	a.Leave()
	if n := h.m.Running(); n != 0 {
		t.Errorf("%d are left of a session that has gone", n)
	}
}

// TestFull: when everybody together has too many, nobody can start one more.
func TestFull(t *testing.T) {
	h := open(t)
	if err := h.m.Command(xmpp.Command{Node: "open", Run: h.order}); err != nil {
		t.Fatal(err)
	}
	h.Component("peer.example")
	for i := range 1100 {
		h.Route(fmt.Sprintf("<iq type='set' id='1' from='u%d@peer.example/x' to='%s'><command xmlns='%s' node='open'/></iq>", i, home, ns))
	}
	if n := h.m.Running(); n != 1024 {
		t.Errorf("%d running", n)
	}
	a := h.Login(alice)
	if got, _ := ask(a, home, "node='order'", ""); got != "resource-constraint" {
		t.Errorf("one more: %s", got)
	}
	if got, _ := ask(a, home, "node='time'", ""); got != "resource-constraint" {
		t.Errorf("one more: %s", got)
	}
}

// TestManyPages: a command without an end keeps the last pages only.
func TestManyPages(t *testing.T) {
	h := open(t)
	n := 0
	var page func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error)
	page = func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		n++
		return &xmpp.CommandPage{Submit: page, Notes: []xmpp.CommandNote{{Text: fmt.Sprint("page ", n)}}}, nil
	}
	if err := h.m.Command(xmpp.Command{Node: "endless", Run: page}); err != nil {
		t.Fatal(err)
	}
	a := h.Login(alice)
	_, id := ask(a, home, "node='endless'", "")
	in := "node='endless' sessionid='" + id + "' action="
	for range 50 {
		ask(a, home, in+"'next'", "")
	}
	back := 0
	for {
		got, _ := ask(a, home, in+"'prev'", "")
		if strings.HasPrefix(got, "bad-request") {
			break
		}
		if back++; !strings.Contains(got, fmt.Sprintf("page %d<", n-back)) {
			t.Errorf("%d back: %s", back, got)
		}
	}
	if back != 15 {
		t.Errorf("went back %d pages", back)
	}
}

// TestStepWhileWorking: an execution is worked on by one step at a time.
func TestStepWhileWorking(t *testing.T) {
	h := open(t)
	p := h.Component("peer.example")
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return &xmpp.CommandPage{Last: true, Submit: func(context.Context, *xmpp.CommandCall) (*xmpp.CommandPage, error) {
			close(entered)
			<-leave
			return nil, nil
		}}, nil
	}
	if err := h.m.Command(xmpp.Command{Node: "slow", Run: slow}); err != nil {
		t.Fatal(err)
	}
	send := func(attrs string) {
		h.Route("<iq type='set' id='1' from='x@peer.example/x' to='" + home + "'><command xmlns='" + ns + "' node='slow' " + attrs + "/></iq>")
	}
	send("")
	id := idPattern.FindStringSubmatch(p.One().Inner())[1]
	done := make(chan struct{})
	go func() { // owner: this test, by done
		defer close(done)
		send("sessionid='" + id + "'")
	}()
	<-entered
	send("sessionid='" + id + "' action='cancel'")
	if got := routertest.Content(p.One()); got != "unexpected-request" {
		t.Errorf("meanwhile: %s", got)
	}
	close(leave)
	<-done
	if got := p.One().Inner(); !strings.Contains(got, "status='completed'") {
		t.Errorf("afterwards: %s", got)
	}
	send("sessionid='" + id + "'")
	if got := routertest.Content(p.One()); !strings.HasPrefix(got, "not-allowed") {
		t.Errorf("over: %s", got)
	}
}

// FuzzCommand: whatever a client sends is answered, once, and well-formed.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"<command xmlns='" + ns + "' node='order'/>", "<command xmlns='" + ns + "' node='order' action='cancel' sessionid=''/>",
		"<command xmlns='" + ns + "' node='time' xml:lang='de'><x xmlns='jabber:x:data' type='submit'><field/></x></command>",
		"<command xmlns='" + ns + "'><x xmlns='jabber:x:data'/><x xmlns='jabber:x:data'/></command>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, xml string) {
		st, err := stanza.Parse("<iq type='set' id='1' from='" + alice + "' to='" + home + "'>" + xml + "</iq>")
		if err != nil || st.Children != 1 {
			return
		}
		h := open(t)
		a := h.Login(alice)
		a.Session.Handle(context.Background(), st)
		got := a.One()
		if _, err := stanza.Parse(got.String()); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	})
}
