package muc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	askInfo  = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
	askItems = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
	askConf  = "<query xmlns='http://jabber.org/protocol/muc#owner'/>"
)

// condition is the first word of an answer.
func condition(s string) string {
	cond, _, _ := strings.Cut(s, " ")
	return cond
}

// TestConfigure: what may be submitted, and what it changes.
func TestConfigure(t *testing.T) {
	o := open(t, nil)
	a := o.found("roomname=The Hall", "roomdesc=a b")
	b := o.enter("bob")[0]
	a.Take()
	for _, c := range []struct {
		what, send, want string
	}{
		{"blank password", submit("passwordprotectedroom=1", "roomsecret="), "not-acceptable"},
		{"no password at all", submit("passwordprotectedroom=1"), "not-acceptable"},
		{"odd switch", submit("membersonly=perhaps"), "bad-request"},
		{"odd choice", submit("whois=nobody"), "bad-request"},
		{"odd number", submit("maxusers=many"), "not-acceptable"},
		{"odd history", submit("muc#maxhistoryfetch=x"), "not-acceptable"},
		{"odd address", submit("roomowners=@"), "bad-request"},
		{"no owner", submit("roomowners=bob@office.example", "roomowners=carol@office.example"), "bad-request"},
		{"last owner", submit("roomadmins=alice@office.example", "roomowners=alice@office.example"), ""},
		{"last owner", strings.ReplaceAll(submit("roomowners=x"), "<value>x</value>", ""), "conflict"},
		{"no form", askConf, "bad-request"},
		{"odd form", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='form'/></query>", "bad-request"},
		{"another form", strings.ReplaceAll(submit("membersonly=1"), "#roomconfig</value>", "#register</value>"), "bad-request"},
		{"cancel", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query>", ""},
		{"unknown field", submit("muc#roomconfig_whatever=1"), ""},
	} {
		if got := condition(a.Ask("set", hall, c.send)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := condition(b.Ask("set", hall, c.send)); c.want == "" && got != "forbidden" {
			t.Errorf("%s by bob: %q", c.what, got)
		}
		b.Want(c.what + " is told to nobody")
	}
	if got := condition(b.Ask("get", hall, askConf)); got != "forbidden" {
		t.Errorf("bob reads the configuration: %s", got)
	}
	same(t, "absent fields keep their value", conf(t, a, "muc#roomconfig_roomname"), []string{"The Hall"})
	if got := a.Ask("set", hall, submit("roomowners=alice@office.example,carol@office.example", "roomadmins=bob@office.example", "maxusers=7")); got != "" {
		t.Fatal(got)
	}
	b.Want("an admin now", "bob admin/moderator bob@office.example/desk by alice 110", "message hall owner/none carol@office.example", "message hall 104")
	same(t, "owners", conf(t, a, "muc#roomconfig_roomowners"), []string{"alice@office.example", "carol@office.example"})
	same(t, "limit", conf(t, a, "muc#roomconfig_maxusers"), []string{"7"})
	if got := a.Ask("set", hall, submit("roomowners=carol@office.example")); got != "" {
		t.Fatal(got)
	}
	if got := condition(a.Ask("get", hall, askConf)); got != "forbidden" {
		t.Errorf("alice is still an owner: %s", got)
	}
}

func TestDestroy(t *testing.T) {
	destroy := "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='new@" + service + "'><reason>moved</reason></destroy></query>"
	for _, persistent := range []string{"0", "1"} {
		store := routertest.NewStore()
		o := open(t, store)
		a := o.found("persistentroom="+persistent, "membersonly=0")
		b := o.enter("bob")[0]
		say(b, "hello")
		set(a, "nick=bob affiliation=member")
		forget(a, b)
		if got := condition(b.Ask("set", hall, destroy)); got != "forbidden" {
			t.Errorf("by bob: %s", got)
		}
		a.Say("<iq type='set' id='d' to='" + hall + "'>" + destroy + "</iq>")
		a.Want("told, then answered", "unavailable alice none/none alice@office.example/desk destroyed new@"+service+" moved 110", "result hall")
		b.Want("told", "unavailable bob none/none bob@office.example/desk destroyed new@"+service+" moved 110")
		if got := condition(a.Ask("get", hall, askInfo)); got != "item-not-found" {
			t.Errorf("it is still there: %s", got)
		}
		b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
		if persistent == "0" {
			b.Want("made anew", "bob owner/moderator bob@office.example/desk 110 201", "subject hall:")
			continue
		}
		b.Want("gone", "error presence bob: gone")
		for _, r := range store.Rows() {
			if !strings.HasPrefix(r, "rooms "+hall+" ") {
				t.Errorf("left behind: %s", r)
			}
		}
		later := open(t, store)
		later.now = later.now.Add(29 * 24 * time.Hour)
		b = later.person("bob")
		b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
		b.Want("gone after a restart", "error presence bob: gone")
		later.now = later.now.Add(2 * 24 * time.Hour)
		b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
		b.Want("long ago", "bob owner/moderator bob@office.example/desk 110 201", "subject hall:")
	}
}

// TestRestart: a persistent room is the same after a restart.
func TestRestart(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a := o.found("persistentroom=1", "roomname=The Hall", "whois=anyone", "publicroom=0")
	b := o.enter("bob")[0]
	if got := b.Ask("set", hall, register("bobby")); got != "" {
		t.Fatal(got)
	}
	set(a, "jid=dave@office.example affiliation=outcast")
	a.Say("<message type='groupchat' to='" + hall + "'><subject>plans</subject></message>")
	say(b, "hello")
	if got := a.Ask("set", hall, photo); got != "" {
		t.Fatal(got)
	}
	before := b.Take()

	o = open(t, store)
	c := o.person("carol")
	c.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	got := c.Take()
	if len(got) != 4 || !strings.Contains(got[0].Inner(), "<photo>"+photoHash+"</photo>") || got[0].From.String() != hall {
		t.Fatalf("photo first: %v", got)
	}
	var lines []string
	for _, st := range got[1:] {
		lines = append(lines, line(st))
	}
	routertest.Same(t, "after a restart", lines, "carol none/participant carol@office.example/desk 110 100",
		"groupchat bob: hello (late)", "subject alice: plans (late)")
	for _, st := range before {
		if st.Body() == "hello" && !strings.HasPrefix(got[2].Inner(), st.Inner()+"<delay") {
			t.Errorf("history says\n%s, said was\n%s", got[2].Inner(), st.Inner())
		}
	}
	c.Say("<presence to='" + hall + "/bobby'/>")
	c.Want("reserved", "error presence bobby: conflict")
	d := o.person("dave")
	d.Say("<presence to='" + hall + "/dave'>" + join + "</presence>")
	d.Want("banned", "error presence dave: forbidden")
	a = o.person("alice")
	same(t, "name", conf(t, a, "muc#roomconfig_roomname"), []string{"The Hall"})
	if got := a.Ask("get", hall, "<vCard xmlns='vcard-temp'/>"); got != photo {
		t.Errorf("vCard %s", got)
	}
	if got := a.Ask("set", hall, submit("persistentroom=0")); got != "" {
		t.Fatal(got)
	}
	c.Leave()
	if n := store.Len(); n != 0 {
		t.Errorf("not persistent any more, and yet: %v", store.Rows())
	}
}

const (
	photo     = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVs\nbG8=</BINVAL></PHOTO></vCard>"
	photoHash = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
)

func TestVCard(t *testing.T) {
	o := open(t, nil)
	a := o.found("persistentroom=1")
	b := o.enter("bob")[0]
	a.Take()
	if got := condition(b.Ask("get", hall, "<vCard xmlns='vcard-temp'/>")); got != "item-not-found" {
		t.Errorf("none: %s", got)
	}
	if got := condition(b.Ask("set", hall, photo)); got != "forbidden" {
		t.Errorf("by bob: %s", got)
	}
	if got := a.Ask("set", hall, photo); got != "" {
		t.Error(got)
	}
	b.Want("announced", "presence hall <x xmlns='vcard-temp:x:update'><photo>"+photoHash+"</photo></x>", "message hall 104")
	if got := b.Ask("get", hall, askInfo); !strings.Contains(got, photoHash) {
		t.Error(got)
	}
	big := "<vCard xmlns='vcard-temp'><DESC>" + strings.Repeat("x", 128<<10) + "</DESC></vCard>"
	if got := condition(a.Ask("set", hall, big)); got != "not-acceptable" {
		t.Errorf("too big: %s", got)
	}
}

// TestDiskFails: what cannot be stored is refused, told to nobody, and not so.
func TestDiskFails(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a := o.found("persistentroom=1")
	b := o.enter("bob")[0]
	a.Take()
	store.Fail(errors.New("disk full"))
	for what, send := range map[string]string{
		"configuration": submit("membersonly=1", "roomname=x"),
		"kick":          admin("nick=bob affiliation=outcast"),
		"destroy":       "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>",
	} {
		if got := condition(a.Ask("set", hall, send)); got != "internal-server-error" {
			t.Errorf("%s: %q", what, got)
		}
		a.Want(what)
		b.Want(what)
	}
	if got := condition(b.Ask("set", hall, register("b"))); got != "internal-server-error" {
		t.Errorf("register: %s", got)
	}
	same(t, "members only", conf(t, a, "muc#roomconfig_membersonly"), []string{"0"})
	store.Fail(nil)
	if got := set(a, "nick=bob affiliation=outcast"); got != "" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestTellsAfterDisk: a change is told when it is on disk, and not before;
// talk goes on meanwhile.
func TestTellsAfterDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		o := open(t, store)
		defer o.Go(store.Run)()
		synctest.Wait()
		a := o.found("persistentroom=1")
		b := o.enter("bob")[0]
		forget(a, b)
		store.Hold()
		go a.Say("<iq type='set' id='x' to='" + hall + "'>" + admin("nick=bob affiliation=outcast") + "</iq>") // ends with Release
		synctest.Wait()
		say(b, "quick, before I go")
		a.Want("neither answered nor told", "groupchat bob: quick, before I go")
		b.Want("not told", "groupchat bob: quick, before I go")
		store.Release()
		synctest.Wait()
		b.Want("told", "unavailable bob outcast/none bob@office.example/desk by alice 110 301")
		a.Want("answered", "result hall", "unavailable bob outcast/none bob@office.example/desk by alice 301")
	})
}

// TestCrash: a process that ends before the answer has told nobody, and the
// room is whole afterwards.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		o := open(t, store)
		defer o.Go(store.Run)()
		synctest.Wait()
		a := o.found("persistentroom=1")
		b := o.enter("bob")[0]
		forget(a, b)
		set(a, "jid=dave@office.example affiliation=outcast")
		a.Take()
		store.Hold()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { // ends with the test
			_ = a.Session.Handle(ctx, routertest.Parse(t, "<iq type='set' id='x' to='"+hall+"'>"+submit("roomname=Lost", "roomadmins=bob@office.example")+"</iq>"))
		}()
		synctest.Wait()
		a.Want("not answered")
		b.Want("not told")
		// What lies on disk at this moment is what the next process finds.
		disk := routertest.NewStore()
		for _, row := range store.Rows() {
			f := strings.SplitN(row, " ", 3)
			if table, key := f[0], f[1]; table == "rooms" && strings.HasPrefix(f[2], "{") {
				disk.Put(table, key, f[2])
			} else if who, raw, ok := strings.Cut(f[2], " "); ok && table == "room_users" {
				disk.Put(table, key+"\x00"+who, raw)
			}
		}
		next := open(t, disk)
		x := next.person("alice")
		same(t, "name", conf(t, x, "muc#roomconfig_roomname"), nil)
		same(t, "admins", conf(t, x, "muc#roomconfig_roomadmins"), nil)
		d := next.person("dave")
		d.Say("<presence to='" + hall + "/dave'>" + join + "</presence>")
		d.Want("what was answered holds", "error presence dave: forbidden")
		store.Release()
		synctest.Wait()
	})
}

func register(nick string) string {
	return "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>" +
		"<field var='muc#register_roomnick'><value>" + nick + "</value></field></x></query>"
}

func TestRegistration(t *testing.T) {
	o := open(t, nil)
	a := o.found("persistentroom=0")
	b := o.enter("bob")[0]
	ask := "<query xmlns='jabber:iq:register'/>"
	if got := condition(b.Ask("get", hall, ask)); got != "service-unavailable" {
		t.Errorf("a temporary room: %s", got)
	}
	a.Ask("set", hall, submit("persistentroom=1"))
	if got := b.Ask("get", hall, ask); !strings.Contains(got, "muc#register_roomnick") {
		t.Errorf("form: %s", got)
	}
	if got := b.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"); strings.Contains(got, "identity") {
		t.Errorf("no nick: %s", got)
	}
	forget(a, b)
	for _, c := range []struct{ what, send, want string }{
		{"taken by an occupant", register("alice"), "conflict"},
		{"no nick", register(""), "bad-request"},
		{"no form", ask, "bad-request"},
		{"odd form", strings.ReplaceAll(register("b"), "muc#register<", "muc#x<"), "bad-request"},
		{"right", register("bobby"), ""},
		{"another one", register("bob2"), ""},
	} {
		if got := condition(b.Ask("set", hall, c.send)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	a.Want("a member now", "bob member/participant bob@office.example/desk")
	c := o.enter("carol")[0]
	if got := condition(c.Ask("set", hall, register("bob2"))); got != "conflict" {
		t.Errorf("registered: %s", got)
	}
	if got := b.Ask("get", hall, ask); got != "<query xmlns='jabber:iq:register'><registered/><username>bob2</username></query>" {
		t.Errorf("registered: %s", got)
	}
	if got := b.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"); !strings.Contains(got, "<identity category='conference' type='text' name='bob2'/>") {
		t.Errorf("own nick: %s", got)
	}
	if got := b.Ask("set", hall, "<query xmlns='jabber:iq:register'><remove/></query>"); got != "" {
		t.Errorf("take back: %s", got)
	}
	if got := condition(b.Ask("set", hall, "<query xmlns='jabber:iq:register'><remove/></query>")); got != "item-not-found" {
		t.Errorf("take back again: %s", got)
	}
	a.Ask("set", hall, submit("membersonly=1"))
	d := o.person("dave")
	if got := condition(d.Ask("set", hall, register("dave"))); got != "not-allowed" {
		t.Errorf("a stranger in a members-only room: %s", got)
	}
}

func TestInvitations(t *testing.T) {
	o := open(t, nil, routertest.Available())
	a := o.found("persistentroom=1", "passwordprotectedroom=0")
	b := o.enter("bob")[0]
	c, d := o.person("carol"), o.person("dave")
	c.Say("<presence/>")
	d.Say("<presence/>")
	invite := func(x *routertest.Client, to string) {
		x.Say("<message to='" + hall + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='" + to + "'><reason>come &amp; see</reason><continue thread='t'/></invite></x></message>")
	}
	forget(a, b)
	invite(b, "carol@office.example")
	st := c.One()
	if x := st.Inner(); !strings.Contains(x, "<invite from='"+hall+"/bob'><reason>come &amp; see</reason><continue") || st.From.String() != hall || st.To.String() != "carol@office.example" {
		t.Errorf("%s", st)
	}
	invite(d, "carol@office.example")
	d.Want("not inside", "error message hall: not-acceptable")
	c.Say("<message to='" + hall + "'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='" + hall + "/bob'><reason>busy</reason></decline></x></message>")
	st = b.One()
	if x := st.Inner(); x != "<x xmlns='http://jabber.org/protocol/muc#user'><decline from='carol@office.example'><reason>busy</reason></decline></x>" {
		t.Errorf("%s", st)
	}
	c.Say("<message to='" + hall + "'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='dave@office.example'/></x></message>")
	c.Want("not a relay", "error message hall: item-not-found")
	d.Want("not a relay")
	invite(b, "@")
	b.Want("bad address", "error message hall: jid-malformed")

	set(a, "nick=bob affiliation=member", "jid=dave@office.example affiliation=outcast")
	a.Ask("set", hall, submit("membersonly=1", "passwordprotectedroom=1", "roomsecret=pw", "whois=anyone"))
	forget(a, b, c, d)
	invite(b, "carol@office.example")
	b.Want("members may not", "error message hall: forbidden")
	a.Ask("set", hall, submit("allowinvites=1"))
	b.Take()
	invite(b, "dave@office.example")
	b.Want("banned", "error message hall: forbidden")
	invite(b, "carol@office.example/x")
	st = c.One()
	if x := st.Inner(); !strings.Contains(x, "<invite from='bob@office.example'>") || !strings.Contains(x, "<password>pw</password>") {
		t.Errorf("%s", st)
	}
	c.Say("<presence to='" + hall + "/carol'><x xmlns='http://jabber.org/protocol/muc'><password>pw</password></x></presence>")
	if got := c.Recv(); len(got) < 3 || got[2] != "carol member/participant carol@office.example/desk 110 100" {
		t.Errorf("a member by invitation: %q", got)
	}
	// Direct invitations pass as they are.
	direct := "<x xmlns='jabber:x:conference' jid='" + hall + "' password='pw' reason='come'/>"
	a.Say("<message to='dave@office.example/desk'>" + direct + "</message>")
	if got := d.One().Inner(); got != direct {
		t.Error(got)
	}
}

// TestDisco: what the service and its rooms say of themselves.
func TestDisco(t *testing.T) {
	o := open(t, nil)
	a := o.found("roomname=The Hall", "persistentroom=1", "passwordprotectedroom=1", "roomsecret=x", "lang=de")
	b := o.person("bob")
	info := b.Ask("get", hall, askInfo)
	for _, want := range []string{
		"<identity category='conference' type='text' name='The Hall'/>", "'http://jabber.org/protocol/muc'", "'muc_public'", "'muc_persistent'", "'muc_open'",
		"'muc_unmoderated'", "'muc_semianonymous'", "'muc_passwordprotected'", "'http://jabber.org/protocol/muc#stable_id'", "'http://jabber.org/protocol/muc#request'",
		"'http://jabber.org/protocol/muc#self-ping-optimization'", "'jabber:iq:register'", "'vcard-temp'", "'urn:xmpp:occupant-id:0'",
		"<field var='muc#roominfo_occupants' type='text-single' label='People in the room'><value>1</value>",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("no %s in %s", want, info)
		}
	}
	if got := condition(b.Ask("get", hall, "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>")); got != "item-not-found" {
		t.Errorf("node: %s", got)
	}
	items := func(c *routertest.Client) string { return c.Ask("get", service, askItems) }
	there := "<item jid='" + hall + "' name='The Hall'/>"
	if got := items(b); !strings.Contains(got, there) {
		t.Errorf("public: %s", got)
	}
	a.Ask("set", hall, submit("publicroom=0"))
	if got := items(b); strings.Contains(got, there) {
		t.Errorf("hidden: %s", got)
	}
	if got := items(a); !strings.Contains(got, there) {
		t.Errorf("hidden, by its owner: %s", got)
	}
	a.Leave()
	if got := items(o.person("alice")); !strings.Contains(got, there) {
		t.Errorf("hidden and empty, by its owner: %s", got)
	}
	if got := b.Ask("get", hall, askItems); strings.Contains(got, "item jid") {
		t.Errorf("occupants: %s", got)
	}
}

// TestBrokenDisk: a room that cannot be read keeps nobody from entering later.
func TestBrokenDisk(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a := o.found("persistentroom=1", "membersonly=1")
	set(a, "jid=bob@office.example affiliation=member")
	a.Leave()
	b := o.person("bob")
	store.Break(errors.New("bad sector"))
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	b.Want("broken", "error presence bob: internal-server-error")
	store.Break(nil)
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	b.Want("well again", "bob member/participant bob@office.example/desk 110", "subject hall:")
	b.Leave()
	store.Put("room_users", hall+"\x00dave@office.example", "junk")
	b = o.person("bob")
	b.Say("<presence to='" + hall + "/bob'>" + join + "</presence>")
	b.Want("better no room than one that forgot a ban", "error presence bob: internal-server-error")
}

// TestShutdown: a service that stops says so.
func TestShutdown(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	stop := o.Go(o.m.Run)
	stop()
	a.Want("stops", "unavailable alice owner/none alice@office.example/desk 110 332")
}

// TestPages: a long list of rooms comes in pages.
func TestPages(t *testing.T) {
	o := open(t, nil)
	a := o.person("alice")
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		a.Say("<presence to='" + n + "@" + service + "/alice'>" + join + "</presence>")
		a.Ask("set", n+"@"+service, submit())
	}
	for _, c := range []struct{ set, want string }{
		{"", "abcde"},
		{"<max>2</max>", "ab index='0'"},
		{"<max>2</max><after>b@" + service + "</after>", "cd index='2'"},
		{"<max>2</max><before/>", "de index='3'"},
		{"<max>2</max><before>d@" + service + "</before>", "bc index='1'"},
		{"<max>0</max>", ""},
		{"<max>2</max><after>x@" + service + "</after>", "item-not-found"},
		{"<max>x</max>", "bad-request"},
	} {
		set := c.set
		if set != "" {
			set = "<set xmlns='http://jabber.org/protocol/rsm'>" + set + "</set>"
		}
		got := a.Ask("get", service, "<query xmlns='http://jabber.org/protocol/disco#items'>"+set+"</query>")
		if strings.HasPrefix(got, "<") {
			items := got
			got = ""
			for l := range strings.SplitSeq(items, "<item jid='") {
				if strings.Contains(l, "' name=") {
					got += l[:1]
				}
			}
			if _, rest, ok := strings.Cut(items, "index='"); ok {
				got += " index='" + rest[:2]
			}
			if c.set != "" && !strings.Contains(items, "<count>5</count>") {
				t.Errorf("%s: no count in %s", c.set, items)
			}
		}
		if condition(strings.ReplaceAll(got, " ", "_")) != strings.ReplaceAll(c.want, " ", "_") {
			t.Errorf("%s: %s, want %s", c.set, got, c.want)
		}
	}
}

// TestGhosts: who cannot be reached any more is taken out.
func TestGhosts(t *testing.T) {
	o := open(t, nil)
	far := o.Component("far.example")
	a := o.found()
	o.Route("<presence from='x@far.example/y' to='" + hall + "/far'>" + join + "</presence>")
	far.Take()
	a.Want("entered", "far none/participant x@far.example/y")
	o.Route("<message type='error' from='x@far.example/y' to='" + hall + "/alice'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	a.Want("an error of another kind")
	o.Route("<message type='error' from='x@far.example/y' to='" + hall + "/alice'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	a.Want("a ghost", "unavailable far none/none x@far.example/y 333")
	b := o.enter("bob")[0]
	a.Take()
	b.Say("<message type='error' to='" + hall + "/alice'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	a.Want("a client that is still there may refuse a message")
	b.Leave()
	a.Want("a stream that ended", "unavailable bob none/none bob@office.example/desk")
	a.Leave()
	if got := condition(o.person("carol").Ask("get", hall, askInfo)); got != "item-not-found" {
		t.Errorf("the room is still there: %s", got)
	}
}

// TestPurge: a removed account is on no list any more.
func TestPurge(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a := o.found("persistentroom=1")
	set(a, "jid=bob@office.example affiliation=member")
	if err := o.m.Purge(jid.MustParse("bob@office.example")); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(store.Rows(), "\n"); strings.Contains(s, "bob@") || !strings.Contains(s, "alice@") {
		t.Error(s)
	}
}

// TestFlood: joins are bounded.
func TestFlood(t *testing.T) {
	o := open(t, nil)
	o.found()
	b := o.person("bob")
	refused := 0
	for range 600 {
		b.Say("<presence to='"+hall+"/bob'>"+join+"</presence>", "<presence type='unavailable' to='"+hall+"/bob'/>")
		for _, st := range b.Take() {
			if e, ok := stanza.ErrorOf(st); ok && e.Condition == stanza.ResourceConstraint {
				refused++
			}
		}
	}
	if refused < 150 {
		t.Errorf("only %d of 600 joins were refused", refused)
	}
}
