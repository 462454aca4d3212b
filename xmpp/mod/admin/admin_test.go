package admin

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/command"
	"doorway/xmpp/mod/disco"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	home = routertest.Domain
	ns   = "http://jabber.org/protocol/commands"
)

// accounts are local accounts, with a password each.
type accounts struct {
	passwords map[string]string
	disabled  map[string]bool
}

func (a *accounts) Exists(local string) bool { _, ok := a.passwords[local]; return ok }

func (a *accounts) List() (list []Account) {
	for _, local := range slices.Sorted(maps.Keys(a.passwords)) {
		list = append(list, Account{local, a.disabled[local]})
	}
	return list
}

func (a *accounts) Disabled(local string) bool { return a.disabled[local] }

func (a *accounts) Add(local, password, _ string) error {
	switch {
	case a.Exists(local):
		return stanza.NewError(stanza.Conflict, "There is already such an account.")
	case len(password) < 8:
		return xmpp.TryAgain("The password is too short.")
	case password == "disk full":
		return errors.New("disk full")
	}
	a.passwords[local] = password
	return nil
}

func (a *accounts) Remove(local string) error { delete(a.passwords, local); return nil }

func (a *accounts) SetPassword(local, password string) error {
	if len(password) < 8 {
		return xmpp.TryAgain("The password is too short.")
	}
	a.passwords[local] = password
	return nil
}

func (a *accounts) SetDisabled(local string, disabled bool) error {
	if local == "carol" && disabled {
		return stanza.NewError(stanza.NotAllowed, "Not Carol.")
	}
	a.disabled[local] = disabled
	return nil
}

// rosters has one contact for everybody.
type rosters struct{}

func (rosters) Query(jid.JID) (string, error) {
	return "<query xmlns='jabber:iq:roster'><item jid='x@y' name='X' subscription='both'><group>G</group></item></query>", nil
}

type nobody struct{ xmpp.Subscriptions }

func (nobody) SeesPresence(jid.JID, jid.JID) bool { return false }

// office is a server whose alice administers.
type office struct {
	*routertest.House
	m       *Module
	people  *accounts
	stopped chan bool // with room
}

func open(t testing.TB, store *routertest.Store) *office {
	t.Helper()
	o := &office{people: &accounts{map[string]string{"alice": "p", "bob": "p", "carol": "p"}, map[string]bool{}}, stopped: make(chan bool, 4)}
	commands := command.New()
	o.m = New(Config{
		Commands: commands, Accounts: o.people, Roster: rosters{}, Admins: func() []jid.JID { return []jid.JID{jid.MustParse("alice@" + home)} },
		Inactive: func(s xmpp.Session) bool { return s.JID().Resource() == "pocket" },
		Stop:     func(restart bool) { o.stopped <- restart },
	})
	o.House = routertest.Open(t, router.Config{Accounts: o.people, Store: store}, routertest.Available(), commands, o.m, disco.New(nobody{}, commands))
	return o
}

var idPattern = regexp.MustCompile(`sessionid='([0-9a-f]+)'`)

// run executes a command of one form and returns what its end, or its refusal, says.
func run(c *routertest.Client, node string, fields ...string) string {
	got := c.Ask("set", home, "<command xmlns='"+ns+"' node='"+prefix+node+"'/>")
	m := idPattern.FindStringSubmatch(got)
	if m == nil || strings.Contains(got, "status='completed'") {
		return brief(got)
	}
	x := "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>" + formType + "</value></field>"
	for i := 0; i < len(fields); i += 2 {
		x += "<field var='" + fields[i] + "'>"
		for v := range strings.SplitSeq(fields[i+1], ",") {
			x += "<value>" + v + "</value>"
		}
		x += "</field>"
	}
	return brief(c.Ask("set", home, "<command xmlns='"+ns+"' node='"+prefix+node+"' sessionid='"+m[1]+"'>"+x+"</x></command>"))
}

var tags = regexp.MustCompile(`<command [^>]*status='(\w+)'[^>]*>|<actions.*?</actions>|<(x|field) [^>]*>|</(x|field|value|note|title|instructions|command)>|<(title|instructions|value)>|<note type='(\w+)'>|<required/>|<option.*?</option>`)

// brief leaves the state, the values and the notes.
func brief(answer string) string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(answer, " $1 $5 ")), " ")
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// TestOnlyAdministrators: others see no command and run none (XEP-0133 §6).
func TestOnlyAdministrators(t *testing.T) {
	o := open(t, routertest.NewStore())
	a, b := o.Login("alice@"+home+"/x"), o.Login("bob@"+home+"/x")
	list := "<query xmlns='http://jabber.org/protocol/disco#items' node='" + ns + "'/>"
	check(t, "bob's list", b.Ask("get", home, list), list)
	got := a.Ask("get", home, list)
	for _, c := range o.m.commands() {
		if !strings.Contains(got, "node='"+prefix+c.Node+"'") {
			t.Errorf("alice does not see %s", c.Node)
		}
		check(t, "bob runs "+c.Node, run(b, c.Node), "forbidden")
		check(t, "bob looks at "+c.Node, b.Ask("get", home, "<query xmlns='http://jabber.org/protocol/disco#info' node='"+prefix+c.Node+"'/>"), "forbidden")
	}
	check(t, "get-user-password", run(a, "get-user-password"), "item-not-found")
}

func TestUsers(t *testing.T) {
	o := open(t, routertest.NewStore())
	a := o.Login("alice@" + home + "/x")
	add := func(fields ...string) string { return run(a, "add-user", fields...) }
	payload := "bad-request <bad-payload xmlns='" + ns + "'/>"
	for _, c := range []struct{ what, got, want string }{
		{"add", add("accountjid", "dave@"+home, "password", "secret words", "password-verify", "secret words", "given_name", "Dave"), "completed info dave@office.example can log in now."},
		{"add twice", add("accountjid", "dave@"+home, "password", "secret words", "password-verify", "secret words"), "conflict"},
		{"add nothing", add(), payload},
		{"add no address", add("accountjid", "a b"), payload},
		{"fail to add", add("accountjid", "eve@"+home, "password", "disk full", "password-verify", "disk full"), "internal-server-error"},
		{"change password", run(a, "change-user-password", "accountjid", "bob@"+home, "password", "other words"), "completed info The password of bob@office.example is changed; streams that are open stay open."},
		{"no password", run(a, "change-user-password", "accountjid", "bob@"+home), payload},
		{"nobody's password", run(a, "change-user-password", "accountjid", "zoe@"+home, "password", "other words"), "item-not-found"},
		{"delete", run(a, "delete-user", "accountjids", "dave@"+home), "completed info Deleted: dave@office.example."},
		{"delete again", run(a, "delete-user", "accountjids", "dave@"+home), "item-not-found"},
		{"delete oneself", run(a, "delete-user", "accountjids", "bob@"+home+",alice@"+home), "not-allowed"},
		{"delete elsewhere", run(a, "delete-user", "accountjids", "x@elsewhere.example"), "item-not-found"},
		{"delete the server", run(a, "delete-user", "accountjids", home), "item-not-found"},
		{"delete nobody", run(a, "delete-user"), payload},
		{"disable", run(a, "disable-user", "accountjids", "bob@"+home), "completed info Disabled: bob@office.example."},
		{"disable one of two", run(a, "disable-user", "accountjids", "bob@"+home+",carol@"+home), "completed info Disabled: bob@office.example. error Not Carol."},
		{"disable none", run(a, "disable-user", "accountjids", "carol@"+home), "not-allowed"},
		{"disable oneself", run(a, "disable-user", "accountjids", "alice@"+home), "not-allowed"},
	} {
		check(t, c.what, c.got, c.want)
	}
	for _, c := range []struct{ what, got, want string }{
		{"other passwords", add("accountjid", "eve@"+home, "password", "secret words", "password-verify", "secret wrods"), "The two passwords differ."},
		{"no password", add("accountjid", "eve@"+home), "An account needs a password."},
		{"short password", add("accountjid", "eve@"+home, "password", "x", "password-verify", "x"), "The password is too short."},
		{"elsewhere", add("accountjid", "eve@elsewhere.example", "password", "secret words", "password-verify", "secret words"), "looks like name@office.example"},
		{"with a resource", run(a, "disable-user", "accountjids", "bob@"+home+"/x"), "without a resource"},
	} {
		if !strings.HasPrefix(c.got, "executing") || !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %s, want the form again with %s", c.what, c.got, c.want)
		}
	}
	if strings.Contains(add("accountjid", "eve@"+home, "password", "secret words", "password-verify", "x"), "secret words") {
		t.Error("a password is shown again")
	}
	if !o.people.disabled["bob"] || o.people.disabled["carol"] || o.people.passwords["bob"] != "other words" || o.people.Exists("eve") {
		t.Errorf("accounts %v", o.people)
	}
	b := o.Login("bob@" + home + "/x")
	check(t, "a login that was under way", b.Ended(), "not-authorized")
	check(t, "re-enable", run(a, "reenable-user", "accountjids", "bob@"+home), "completed info Re-enabled: bob@office.example.")
	if b = o.Login("bob@" + home + "/y"); b.Ended() != "" {
		t.Errorf("re-enabled, and yet ended with %s", b.Ended())
	}
}

func TestSessions(t *testing.T) {
	o := open(t, routertest.NewStore())
	a := o.Login("alice@" + home + "/x")
	b, c := o.Login("bob@"+home+"/one"), o.Login("bob@"+home+"/two")
	check(t, "nobody", run(a, "end-user-session", "accountjids", "bob@"+home+"/three"), "item-not-found")
	check(t, "offline", run(a, "end-user-session", "accountjids", "carol@"+home), "item-not-found")
	check(t, "one", run(a, "end-user-session", "accountjids", "bob@"+home+"/two"), "completed info The sessions are ended.")
	check(t, "one", b.Ended()+" "+c.Ended(), " policy-violation")
	check(t, "all", run(a, "end-user-session", "accountjids", "bob@"+home), "completed info The sessions are ended.")
	check(t, "all", b.Ended(), "policy-violation")
}

func TestLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := routertest.NewStore()
		o := open(t, store)
		a := o.Login("alice@"+home+"/x", "<presence/>")
		o.Login("bob@"+home+"/pocket", "<presence/>")
		o.people.disabled["carol"] = true
		alice, bob, carol := "alice@"+home, "bob@"+home, "carol@"+home
		x := "<query xmlns='jabber:iq:roster'><item jid='x@y' name='X' subscription='both'><group>G</group></item></query>"
		for _, c := range []struct{ node, fields, want string }{
			{"get-registered-users-num", "", "completed " + formType + " 3"},
			{"get-disabled-users-num", "", "completed " + formType + " 1"},
			{"get-online-users-num", "", "completed " + formType + " 2"},
			{"get-active-users-num", "", "completed " + formType + " 1"},
			{"get-idle-users-num", "", "completed " + formType + " 1"},
			{"get-registered-users-list", "max_items=none", "completed " + formType + " " + alice + " " + bob + " " + carol},
			{"get-disabled-users-list", "max_items=25", "completed " + formType + " " + carol},
			{"get-online-users-list", "", "completed " + formType + " " + alice + " " + bob},
			{"get-active-users", "", "completed " + formType + " " + alice},
			{"get-idle-users", "", "completed " + formType + " " + bob},
			{"get-idle-users", "max_items=7", "bad-request <bad-payload xmlns='" + ns + "'/>"},
			{"get-user-roster", "accountjids=" + bob, "completed " + formType + " " + bob + " X &lt;x@y>, both, G " + x},
			{"get-user-lastlogin", "accountjids=" + bob, "completed " + formType + " " + bob + " 2000-01-01T00:00:00Z"},
			{"get-user-lastlogin", "accountjids=" + bob + "," + carol, "completed " + formType + " " + bob + " " + carol + " 2000-01-01T00:00:00Z never"},
			{"user-stats", "accountjid=" + bob, "completed " + formType + " 127.0.0.1 1 pocket 2000-01-01T00:00:00Z"},
			{"user-stats", "accountjid=zoe@" + home, "item-not-found"},
			{"get-user-roster", "accountjids=zoe@" + home, "item-not-found"},
			{"get-user-lastlogin", "accountjids=" + bob + "," + bob + "/x", "without a resource"},
		} {
			var fields []string
			if k, v, ok := strings.Cut(c.fields, "="); ok {
				fields = []string{k, v}
			}
			got := run(a, c.node, fields...)
			if c.want == "without a resource" {
				if !strings.Contains(got, c.want) {
					t.Errorf("%s: %s", c.node, got)
				}
				continue
			}
			check(t, c.node+" "+c.fields, strings.ReplaceAll(got, "&gt;", ">"), c.want)
		}
		// Times of login reach the disk in a while, and outlive a restart.
		stop := o.Go(o.m.Run)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		stop()
		o = open(t, store)
		a = o.Login("alice@" + home + "/x")
		check(t, "after a restart", run(a, "get-user-lastlogin", "accountjids", bob), "completed "+formType+" "+bob+" 2000-01-01T00:00:00Z")
	})
}

// heard are the messages that came, as subject: body.
func heard(c *routertest.Client) string {
	var all []string
	for _, st := range c.Pick(func(st *stanza.Stanza) bool { return st.Kind == stanza.Message }) {
		subject, _ := st.Child("", "subject")
		if st.From.String() != home {
			subject.Text = "from " + st.From.String()
		}
		all = append(all, subject.Text+": "+st.Body())
	}
	return strings.Join(all, " | ")
}

func TestAnnouncement(t *testing.T) {
	o := open(t, routertest.NewStore())
	a, b, c := o.Login("alice@"+home+"/x", "<presence/>"), o.Login("bob@"+home+"/x", "<presence/>"), o.Login("carol@"+home+"/x")
	check(t, "announce", run(a, "announce", "announcement", "Fire drill,at noon."), "completed info Sent to 2 people.")
	check(t, "alice and bob", heard(a)+" "+heard(b), "Announcement: Fire drill\nat noon. Announcement: Fire drill\nat noon.")
	check(t, "carol, who is not available", heard(c), "")
	if got := run(a, "announce", "announcement", " "); !strings.Contains(got, "The text is empty.") {
		t.Errorf("nothing: %s", got)
	}
	if got := run(a, "announce", "announcement", strings.Repeat("x", 9000)); !strings.Contains(got, "too long") {
		t.Errorf("too much: %s", got)
	}
}

// TestGreetings: the message of the day and the welcome come once, over restarts.
func TestGreetings(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	login := func(name string) *routertest.Client {
		c := o.Login(name+"@"+home+"/x", "<presence/>", "<presence><show>away</show></presence>")
		return c
	}
	a := login("alice")
	check(t, "nothing to edit", run(a, "edit-motd"), "completed error There is no message of the day. Set one first.")
	check(t, "welcome", run(a, "set-welcome", "welcome", "Hello."), "completed info New people are welcomed with this text.")
	check(t, "motd", run(a, "set-motd", "motd", "Cake today."), "completed info Sent to one person; others get it at their next login.")
	check(t, "alice, who is online, and here for long", heard(a), "Message of the day: Cake today.")
	b := login("bob")
	check(t, "bob is new", heard(b), "Welcome: Hello. | Message of the day: Cake today.")
	check(t, "bob's other client", heard(o.Login("bob@"+home+"/y", "<presence/>")), "")
	check(t, "edit", run(a, "edit-motd", "motd", "Cake tomorrow."), "completed info The message of the day is changed.")

	o = open(t, store)
	a = login("alice")
	check(t, "after a restart", heard(a)+heard(login("bob")), "")
	silent := o.Login("carol@"+home+"/x", "<presence><priority>-1</priority></presence>")
	check(t, "a client that takes no messages", heard(silent), "")
	silent.Say("<presence><priority>1</priority></presence>")
	check(t, "the same, when it does", heard(silent), "Welcome: Hello. | Message of the day: Cake tomorrow.")
	check(t, "a new one", run(a, "set-motd", "motd", "No cake."), "completed info Sent to 3 people; others get it at their next login.")
	check(t, "carol", heard(silent), "Message of the day: No cake.")
	check(t, "delete", run(a, "delete-motd"), "completed info The message of the day is deleted.")
	check(t, "delete again", run(a, "delete-motd"), "completed info There was no message of the day.")
	check(t, "delete welcome", run(a, "delete-welcome"), "completed info New people are not welcomed any more.")
	o.people.passwords["dave"] = "p"
	check(t, "dave", heard(login("dave")), "")
	if err := o.m.Purge(jid.MustParse("dave@" + home)); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Join(store.Rows(), "\n"); strings.Contains(rows, "dave") {
		t.Errorf("left of dave:\n%s", rows)
	}
	store.Fail(errors.New("disk full"))
	check(t, "disk full", run(a, "set-motd", "motd", "x"), "internal-server-error")
	check(t, "nobody hears of it", heard(silent), "")
}

func TestAdminList(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	a, b := o.Login("alice@"+home+"/x"), o.Login("bob@"+home+"/x")
	if got := run(a, "edit-admin", "adminjids", "bob@"+home); !strings.Contains(got, "by the configuration") {
		t.Errorf("alice is off: %s", got)
	}
	check(t, "nobody", run(a, "edit-admin", "adminjids", "alice@"+home+",zoe@"+home), "item-not-found")
	check(t, "elsewhere", run(a, "edit-admin", "adminjids", "alice@"+home+",zoe@elsewhere.example"), "item-not-found")
	check(t, "bob", run(a, "edit-admin", "adminjids", "alice@"+home+",bob@"+home), "completed info The list of administrators is changed.")
	check(t, "bob can", run(b, "get-registered-users-num"), "completed "+formType+" 3")
	o = open(t, store)
	b = o.Login("bob@" + home + "/x")
	check(t, "after a restart", run(b, "get-registered-users-num"), "completed "+formType+" 3")
	if got := fmt.Sprint(o.m.Admins()); got != "[alice@office.example bob@office.example]" {
		t.Errorf("admins %s", got)
	}
	if err := o.m.Purge(jid.MustParse("bob@" + home)); err != nil || o.m.Admin(jid.MustParse("bob@"+home+"/x")) {
		t.Errorf("a removed account still administers: %v", err)
	}
}

func TestBlacklist(t *testing.T) {
	store := routertest.NewStore()
	o := open(t, store)
	peer := o.Component("sms." + home)
	a := o.Login("alice@"+home+"/x", "<presence/>")
	if got := run(a, "edit-blacklist", "blacklistjids", "bob@"+home); !strings.Contains(got, "Disable the account instead.") {
		t.Errorf("bob: %s", got)
	}
	check(t, "edit", run(a, "edit-blacklist", "blacklistjids", "+4915550101@sms."+home), "completed info The blacklist is changed.")
	for range 2 {
		a.Say("<message id='1' type='chat' to='+4915550101@sms." + home + "'><body>x</body></message>")
		if got := routertest.Content(a.One()); got != "not-acceptable" {
			t.Errorf("to a blocked number: %s", got)
		}
		o.Route("<message id='2' type='chat' from='+4915550101@sms." + home + "/x' to='alice@" + home + "'><body>x</body></message>")
		o.Route("<presence from='+4915550101@sms." + home + "' to='alice@" + home + "'/>")
		a.Want("from a blocked number")
		if got := routertest.Content(peer.One()); got != "service-unavailable" {
			t.Errorf("from a blocked number: %s", got)
		}
		a.Say("<message id='3' type='chat' to='+4915550102@sms." + home + "'><body>x</body></message>")
		if got := peer.One(); got.ID != "3" {
			t.Errorf("to another number: %v", got)
		}
		o = open(t, store) // the list outlives a restart
		peer = o.Component("sms." + home)
		a = o.Login("alice@"+home+"/x", "<presence/>")
	}
	check(t, "the whole domain", run(a, "edit-blacklist", "blacklistjids", "sms."+home), "completed info The blacklist is changed.")
	a.Say("<iq type='get' id='4' to='+4915550102@sms." + home + "'><q xmlns='u'/></iq>")
	if got := routertest.Content(a.One()); got != "not-acceptable" {
		t.Errorf("to a blocked domain: %s", got)
	}
	check(t, "nothing", run(a, "edit-blacklist"), "completed info The blacklist is changed.")
	a.Say("<message id='5' type='chat' to='+4915550101@sms." + home + "'><body>x</body></message>")
	if got := peer.One(); got.ID != "5" {
		t.Errorf("no longer blocked: %v", got)
	}
}

// TestStop: the service stops after the delay, as the newest command says.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, routertest.NewStore())
		a := o.Login("alice@"+home+"/x", "<presence/>")
		defer o.Go(o.m.Run)()
		check(t, "no such delay", run(a, "shutdown", "delay", "77"), "bad-request <bad-payload xmlns='"+ns+"'/>")
		check(t, "shutdown", run(a, "shutdown", "delay", "60", "announcement", "Good night."), "completed info The service shuts down in 60 seconds.")
		check(t, "announcement", heard(a), "Announcement: Good night.")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		check(t, "restart instead", run(a, "restart", "delay", "30"), "completed info The service restarts in 30 seconds.")
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if len(o.stopped) > 0 {
			t.Error("stopped early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(o.stopped); n != 1 || !<-o.stopped {
			t.Errorf("stopped %d times, or not to begin again", n)
		}
	})
}
